//! Traps when it is asked what it is.

use aftercommit_plugin::{
    Delivery, Event, Failure, FieldProblem, Outcome, bindings,
    bindings::{aftercommit::action::model::Descriptor, exports::aftercommit::action::plugin::Guest},
};

struct DescribeTraps;

impl Guest for DescribeTraps {
    fn describe() -> Descriptor {
        panic!("this guest can not be described")
    }

    fn check(_config: String) -> Result<(), Vec<FieldProblem>> {
        Ok(())
    }

    fn run(_event: Event, _delivery: Delivery, _config: String) -> Result<Outcome, Failure> {
        Ok(Outcome::new("done"))
    }
}

bindings::export!(DescribeTraps with_types_in bindings);

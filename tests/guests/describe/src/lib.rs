//! Misbehaves when it is asked what it is. It has no configuration at that time: a test that wants another behaviour
//! than the first writes its name over the word below, in the component's bytes.

use std::hint::black_box;

use aftercommit_plugin::{
    Delivery, Event, Failure, FieldProblem, Outcome, bindings,
    bindings::{aftercommit::action::model::Descriptor, exports::aftercommit::action::plugin::Guest},
};

/// `traps `, `loops `, `floods`, `grows `, `lies  ` or `honest`.
static BEHAVIOUR: &[u8; 16] = b"describe: traps ";

struct Describe;

impl Guest for Describe {
    fn describe() -> Descriptor {
        match &black_box(BEHAVIOUR)[10..] {
            b"loops " => spin(),
            // More than any schema, and less than the memory that the host allows.
            b"floods" => descriptor(" ".repeat(40 << 20), &[]),
            b"grows " => descriptor(" ".repeat(100 << 20), &[]),
            b"lies  " => descriptor(r#"{"type":"object"}"#.to_owned(), &["root"]),
            b"honest" => descriptor(r#"{"type":"object"}"#.to_owned(), &[]),
            _ => panic!("this guest can not be described"),
        }
    }

    fn check(_config: String) -> Result<(), Vec<FieldProblem>> {
        Ok(())
    }

    fn run(_event: Event, _delivery: Delivery, _config: String) -> Result<Outcome, Failure> {
        Ok(Outcome::new("done"))
    }
}

bindings::export!(Describe with_types_in bindings);

fn descriptor(config_schema: String, needs: &[&str]) -> Descriptor {
    Descriptor {
        name: "describe".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: "Describes itself".to_owned(),
        config_schema,
        needs: needs.iter().map(|&need| need.to_owned()).collect(),
    }
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

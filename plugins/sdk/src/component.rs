//! From the exports of the component to the functions of a [`Plugin`].

use std::marker::PhantomData;

use serde_json::error::Category;

use crate::{
    BatchItem, BatchPlugin, Delivery, Event, Failure, FieldProblem, Need, Outcome, Plugin, batch,
    bindings::{
        aftercommit::action::model::Descriptor,
        batch::exports::aftercommit::action::batch::{Guest as BatchGuest, Item},
        exports::aftercommit::action::plugin::Guest,
    },
    log, schema,
};

/// The component's exports, for one plugin.
pub struct Component<P>(PhantomData<P>);

impl<P: Plugin> Guest for Component<P> {
    fn describe() -> Descriptor {
        log::report_panics();
        Descriptor {
            name: P::NAME.to_owned(),
            version: P::VERSION.to_owned(),
            summary: P::SUMMARY.to_owned(),
            config_schema: schema::of::<P::Config>(),
            needs: P::NEEDS.iter().copied().map(Need::as_str).map(str::to_owned).collect(),
        }
    }

    fn check(config: String) -> Result<(), Vec<FieldProblem>> {
        log::report_panics();
        let config = read(&config).map_err(|message| vec![FieldProblem::new("", message)])?;
        let problems = P::check(&config);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn run(event: Event, delivery: Delivery, config: String) -> Result<Outcome, Failure> {
        log::report_panics();
        let config = read(&config).map_err(|message| Failure::misconfigured("config", message))?;
        P::run(event, delivery, config)
    }
}

impl<P: BatchPlugin> BatchGuest for Component<P> {
    fn run_batch(items: Vec<Item>) -> Vec<Result<Outcome, Failure>> {
        log::report_panics();
        let mut places = Vec::with_capacity(items.len());
        let mut readable = Vec::with_capacity(items.len());
        for Item { event, delivery, config } in items {
            match read(&config) {
                Ok(config) => {
                    readable.push(BatchItem { event, delivery, config });
                    places.push(None);
                }
                Err(message) => places.push(Some(Err(Failure::misconfigured("config", message)))),
            }
        }
        batch::fill(places, P::run_batch(readable))
    }
}

/// The schema was satisfied, so what fails here are rules of the struct that its schema does not state.
fn read<C: serde::de::DeserializeOwned>(config: &str) -> Result<C, String> {
    serde_json::from_str(config).map_err(|error| match error.classify() {
        Category::Data => error.to_string(),
        Category::Io | Category::Syntax | Category::Eof => format!("the configuration is not JSON: {error}"),
    })
}

/// Makes the crate's component from a [`Plugin`]. Once in a crate.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[doc(hidden)]
        type __AftercommitComponent = $crate::Component<$plugin>;
        $crate::bindings::export!(__AftercommitComponent with_types_in $crate::bindings);
    };
}

/// Exports [`BatchPlugin`](crate::BatchPlugin) too. Once in a crate, after [`export!`](crate::export).
#[macro_export]
macro_rules! export_batch {
    ($plugin:ty) => {
        #[doc(hidden)]
        type __AftercommitBatchComponent = $crate::Component<$plugin>;
        $crate::bindings::batch::export_batch!(__AftercommitBatchComponent with_types_in $crate::bindings::batch);
    };
}

//! The action `search`: keeps a search index in step with a table, on Elasticsearch, OpenSearch, Meilisearch or Typesense.

mod bulk;
mod config;
mod document;
mod elasticsearch;
mod engine;
mod meilisearch;
mod operation;
mod typesense;
mod version;

use aftercommit_plugin::{BatchItem, BatchPlugin, prelude::*};

use config::{Config, Engine};
use operation::Operation;

struct Search;

impl Plugin for Search {
    const NAME: &'static str = "search";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Keeps a search index in step: Elasticsearch, OpenSearch, Meilisearch, Typesense";
    const NEEDS: &'static [Need] = &[Need::Http];
    type Config = Config;

    fn check(config: &Config) -> Vec<FieldProblem> {
        config.problems()
    }

    fn run(event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        one(&event, &config)
    }
}

impl BatchPlugin for Search {
    /// One `_bulk` request for Elasticsearch and OpenSearch; the others get one request an item.
    fn run_batch(items: Vec<BatchItem<Config>>) -> Vec<Result<Outcome, Failure>> {
        if items.first().is_some_and(|item| item.config.engine.has_bulk()) {
            return bulk::run(&items);
        }
        items.iter().map(|item| one(&item.event, &item.config)).collect()
    }
}

aftercommit_plugin::export!(Search);
aftercommit_plugin::export_batch!(Search);

fn one(event: &Event, config: &Config) -> Result<Outcome, Failure> {
    let operation = Operation::of(event, config)?;
    match config.engine {
        Engine::Elasticsearch | Engine::Opensearch => elasticsearch::run(config, &operation),
        Engine::Meilisearch => meilisearch::run(config, &operation),
        Engine::Typesense => typesense::run(config, &operation),
    }
}

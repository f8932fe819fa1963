//! The action `cache`: invalidates, refreshes or publishes in Redis or Memcached.

mod config;
mod key;
mod scan;
mod ttl;

use aftercommit_plugin::{http::Content, prelude::*};

use config::{Action, Backend, Config};
use key::Target;

struct Cache;

impl Plugin for Cache {
    const NAME: &'static str = "cache";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Invalidates, refreshes or publishes in Redis or Memcached";
    const NEEDS: &'static [Need] = &[Need::Redis, Need::Memcached];
    type Config = Config;

    fn check(config: &Config) -> Vec<FieldProblem> {
        config.problems()
    }

    fn run(event: Event, delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        let target = Target::of(&config.key_pattern)?;
        match (config.action, target) {
            (Action::Invalidate, Target::Pattern(pattern)) => match config.backend {
                Backend::Redis => {
                    scan::unlink(config.connection(), &pattern, config.scan_count, delivery.budget_ms)
                }
                Backend::Memcached => Err(no_pattern()),
            },
            (_, Target::Pattern(_)) => Err(no_pattern()),
            (Action::Invalidate, Target::Key(key)) => invalidate(&config, &key),
            // The row is gone: nothing is left to be cached.
            (Action::Refresh, Target::Key(key)) if event.kind == "deleted" => invalidate(&config, &key),
            (Action::Refresh, Target::Key(key)) => refresh(&config, &key, event),
            (Action::Publish, Target::Key(channel)) => publish(&config, &channel, &event),
        }
    }
}

aftercommit_plugin::export!(Cache);

/// `check` has refused what is written so; a value can not do it, but `{{{raw}}}` can.
fn no_pattern() -> Failure {
    Failure::permanent("pattern", "the key is a pattern, and only `invalidate` in Redis takes one")
}

fn invalidate(config: &Config, key: &str) -> Result<Outcome, Failure> {
    let (command, existed) = match config.backend {
        Backend::Redis => ("UNLINK", integer(&redis::execute(config.connection(), "UNLINK", [key])?) > 0),
        Backend::Memcached => ("delete", memcached::delete(config.connection(), key)?),
    };
    let told = if existed { "" } else { " (there was none)" };
    let mut details = JsonObject::new();
    details.raw("deleted", if existed { "1" } else { "0" });
    Ok(Outcome::new(format!("{command} {key}{told}")).with_details(details.finish()))
}

fn refresh(config: &Config, key: &str, event: Event) -> Result<Outcome, Failure> {
    let ttl_secs = config.ttl_secs.as_ref().map(ttl::Ttl::secs).transpose()?;
    let value = config.value_template.as_deref().map_or(event.data, str::to_owned);
    let command = match config.backend {
        Backend::Redis => {
            let mut arguments = vec![key.to_owned(), value];
            if let Some(secs) = ttl_secs {
                arguments.extend(["EX".to_owned(), secs.to_string()]);
            }
            redis::execute(config.connection(), "SET", arguments)?;
            "SET"
        }
        Backend::Memcached => {
            memcached::set(config.connection(), key, &Content::Text(value), ttl_secs.unwrap_or(0))?;
            "set"
        }
    };
    let until = ttl_secs.map_or_else(String::new, |secs| format!(" for {secs} s"));
    Ok(Outcome::new(format!("{command} {key}{until}")))
}

fn publish(config: &Config, channel: &str, event: &Event) -> Result<Outcome, Failure> {
    let message = config.value_template.as_deref().map_or_else(|| event.to_json(), str::to_owned);
    let reply = redis::execute(config.connection(), "PUBLISH", [channel.to_owned(), message])?;
    let receivers = integer(&reply);
    let mut details = JsonObject::new();
    details.raw("receivers", &receivers.to_string());
    Ok(Outcome::new(format!("PUBLISH {channel} -> {receivers} receivers")).with_details(details.finish()))
}

/// A reply that is a count.
fn integer(reply: &[redis::Node]) -> i64 {
    match reply {
        [redis::Node::Integer(number)] => *number,
        _ => 0,
    }
}

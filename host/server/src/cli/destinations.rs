//! `destinations`: what is held back, and why.

use std::collections::HashMap;

use aftercommit_core::{Clock as _, SystemClock, Timestamp, nearest};
use aftercommit_store::{Hold, HoldState, Lane, Lift, PacedTarget, Target};
use serde_json::{Value, json};

use super::{
    failure::{Failure, Outcome},
    session::Session,
};

/// Look at destinations and endpoints that are left alone, paused or sent less, and resume them
///
/// A destination is a server: an origin such as `https://api.example.com`, or a server of the host's such as `redis.cache`. An
/// endpoint is one action of one observer, or what a delivery goes to at a destination that has several: a path
/// (`https://api.example.com/users/7`), a channel, a device. While one is held back its deliveries wait, and no attempt is counted.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List what is held back or sent less: since when, why, until when, and how many deliveries wait for it
    ///
    /// `open`: it failed too often in a row. `throttled`: it asked to be left alone (Retry-After). `half_open`: that time is
    /// over, and the next deliveries find out whether it works again. `paused`: an endpoint is gone or refuses, until you
    /// resume it or change its action. `paced`: it refuses calls beyond a rate (429 without a time), which each host learns and
    /// keeps to. What just works is not listed. How many wait is not known of an endpoint that is one of many of a
    /// template.
    #[command(after_help = "\
Examples:
  aftercommit destinations list
  aftercommit destinations list --output json | jq -r '.[] | select(.state == \"paused\") | .name'")]
    List,
    /// Let deliveries through again, step by step
    ///
    /// All of them or, if one is not held back, none. Running hosts follow within a second or so.
    #[command(after_help = "\
Examples:
  aftercommit destinations resume https://api.example.com
  aftercommit destinations resume https://api.example.com/users/7
  aftercommit destinations resume order-shipped/webhook")]
    Resume {
        /// As `destinations list` names them: a destination, what it has several of, or OBSERVER/ACTION
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

pub(super) async fn run(session: &Session, command: Command) -> Outcome {
    let store = session.store().await?;
    let holds = store.holds().await?;
    match command {
        Command::List => {
            let waiting: HashMap<Lane, u64> = store.waiting().await?.into_iter().collect();
            let now = SystemClock.now();
            let rates = store.learned_rates().await?;
            let mut rows: Vec<Value> =
                holds.iter().map(|hold| listed(hold, rate_of(&hold.target, &rates), &waiting, now)).collect();
            let is_held = |target: &Target| holds.iter().any(|hold| hold.target == *target);
            rows.extend(rates.iter().filter(|rate| !is_held(&rate.target)).map(|rate| paced(rate, &waiting)));
            let columns = ["name", "kind", "state", "waiting", "since", "until", "reason"];
            Ok(session.output.list(&rows, &columns)?)
        }
        Command::Resume { names } => {
            let chosen =
                names.iter().map(|name| find(name, &holds)).collect::<Result<Vec<&Hold>, Failure>>()?;
            for hold in chosen {
                store.lift(hold.target.clone(), Lift::Always).await?;
            }
            let items: Vec<Value> =
                names.iter().map(|name| json!({ "name": name, "state": "resumed" })).collect();
            let text: Vec<String> = names.iter().map(|name| format!("{name} is resumed")).collect();
            Ok(session.output.done(&items, &text.join("\n"))?)
        }
    }
}

/// A row for the list.
fn listed(hold: &Hold, rate: Option<f64>, waiting: &HashMap<Lane, u64>, now: Timestamp) -> Value {
    let is_over = hold.until.is_some_and(|until| until <= now);
    let state = match hold.state {
        HoldState::Open | HoldState::Throttled if is_over => "half_open",
        state => state.as_str(),
    };
    json!({
        "name": hold.target.to_string(),
        "kind": hold.target.kind(),
        "state": state,
        "waiting": waiting_for(&hold.target, &hold.lanes, waiting),
        "since": hold.since,
        "until": hold.until,
        "openings": hold.openings,
        "code": hold.code,
        "http_status": hold.http_status,
        "reason": hold.message,
        "rate_per_sec": rate,
    })
}

/// The same of a target that is not held back and has a rate.
fn paced(rate: &PacedTarget, waiting: &HashMap<Lane, u64>) -> Value {
    let per_sec = per_sec(rate);
    json!({
        "name": rate.target.to_string(),
        "kind": rate.target.kind(),
        "state": "paced",
        "waiting": waiting_for(&rate.target, &rate.lanes, waiting),
        "since": rate.since,
        "until": null,
        "openings": 0,
        "code": "http_status",
        "http_status": 429,
        "reason": format!("it refuses more calls than it takes: each host sends it {per_sec} a second"),
        "rate_per_sec": per_sec,
    })
}

fn rate_of(target: &Target, rates: &[PacedTarget]) -> Option<f64> {
    rates.iter().find(|rate| rate.target == *target).map(per_sec)
}

/// Calls a second of one host, to two decimals.
fn per_sec(rate: &PacedTarget) -> f64 {
    (f64::from(rate.per_minute) / 0.6).round() / 100.0
}

/// How many deliveries wait; not known of an endpoint that is one of many of a template.
fn waiting_for(target: &Target, lanes: &[Lane], waiting: &HashMap<Lane, u64>) -> Option<u64> {
    let is_one_of_many = matches!(target, Target::Address(_)) && lanes.is_empty();
    (!is_one_of_many).then(|| lanes.iter().filter_map(|lane| waiting.get(lane)).sum())
}

fn find<'h>(name: &str, holds: &'h [Hold]) -> Result<&'h Hold, Failure> {
    let names: Vec<String> = holds.iter().map(|hold| hold.target.to_string()).collect();
    let found = names.iter().position(|other| other == name);
    found.map(|position| &holds[position]).ok_or_else(|| {
        let hint = match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("; did you mean `{near}`?"),
            None if names.is_empty() => ": nothing is held back".to_owned(),
            None => "; `aftercommit destinations list` names what is".to_owned(),
        };
        Failure::failed(format!("no destination or endpoint `{name}` is held back{hint}"))
    })
}

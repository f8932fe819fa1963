//! What is held back, and why: destinations that are left alone for a while, and endpoints that are paused.
//!
//! A *destination* is what concurrency is counted by (an origin, or a server of the host's); an *endpoint* is one action
//! of one observer, or an address at a destination (a path, a channel, a device) that may be one of many of an action.
//! Rows are written only when something changes: by the host that found out, read by all of them.
//! Deliveries are not touched: hosts pass over their lanes.

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{IN_THE_FUTURE, Lane, Result, readable::readable, row::Row};

/// Reads, writes and lifts holds.
#[async_trait]
pub trait Holds: Send + Sync {
    /// All of them: first destinations, then endpoints, each by name.
    async fn holds(&self) -> Result<Vec<Hold>>;

    /// Writes a hold. Where its target is held back already, a destination's later `until` stays, and of an endpoint the
    /// first reason.
    async fn hold(&self, hold: Hold) -> Result<()>;

    /// Removes a hold; whether there was one, and `only` allowed it.
    async fn lift(&self, target: Target, only: Lift) -> Result<bool>;

    /// Returns when what [`holds`](Self::holds) tells, or which hosts are entered, may have changed since the last call, by
    /// whatever the backend hears; may return for nothing, and may miss a change: the caller polls behind it.
    async fn holds_bell(&self);

    /// How many deliveries wait (are not running), by lane.
    async fn waiting(&self) -> Result<Vec<(Lane, u64)>>;
}

/// What is held back.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Target {
    /// A destination, by its name.
    Destination(String),
    /// One action of one observer: (observer, action).
    Endpoint(String, String),
    /// An address at a destination.
    Address(String),
}

impl Target {
    /// `destination` or `endpoint`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Destination(_) => "destination",
            Self::Endpoint(..) | Self::Address(_) => "endpoint",
        }
    }

    /// As the table has it: kind, name, and the name of the action, which only endpoints have.
    pub(crate) fn columns(&self) -> [&str; 3] {
        match self {
            Self::Destination(name) | Self::Address(name) => [self.kind(), name, ""],
            Self::Endpoint(observer, action) => [self.kind(), observer, action],
        }
    }

    /// From the columns of the table.
    pub(crate) fn of_columns(kind: &str, name: &str, action: &str) -> Option<Self> {
        match kind {
            "destination" => Some(Self::Destination(name.to_owned())),
            // An action has a name.
            "endpoint" if action.is_empty() => Some(Self::Address(name.to_owned())),
            "endpoint" => Some(Self::Endpoint(name.to_owned(), action.to_owned())),
            _ => None,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Destination(name) | Self::Address(name) => f.write_str(name),
            Self::Endpoint(observer, action) => write!(f, "{observer}/{action}"),
        }
    }
}

/// How something is held back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// Its circuit breaker is open: it failed too often.
    Open,
    /// It asked to be left alone (`Retry-After`).
    Throttled,
    /// Until somebody acts.
    Paused,
}

impl HoldState {
    /// The name used in tables and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Throttled => "throttled",
            Self::Paused => "paused",
        }
    }
}

/// One row of `observer_destinations`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// What is held back.
    pub target: Target,
    /// How.
    pub state: HoldState,
    /// The code of the last failure, a short stable word.
    pub code: String,
    /// Its message, for people; without secrets.
    pub message: String,
    /// Its status code, where it had one.
    pub http_status: Option<u16>,
    /// Since when.
    pub since: Timestamp,
    /// Until when; then a few deliveries find out whether it works again. Absent: until it is lifted.
    pub until: Option<Timestamp>,
    /// Of a destination: how often its breaker opened since it was closed.
    pub openings: u32,
    /// The lanes whose deliveries wait for it, when this was written.
    pub lanes: Vec<Lane>,
    /// Of an endpoint: a digest of the action's definition, and the revision of the observers then. A later definition
    /// that is another one lifts the pause.
    pub definition: Option<(String, i64)>,
}

impl Hold {
    /// Until when, as it is at `now`: what was written by a clock that was set back since lasts no longer for that.
    #[must_use]
    pub fn until_from(&self, now: Timestamp) -> Option<Timestamp> {
        let ahead = self.since.since(now);
        self.until.map(|until| if ahead > IN_THE_FUTURE { until.minus(ahead) } else { until })
    }

    fn read(row: &impl Row) -> Result<Self> {
        let [kind, name, action] = ["kind", "name", "action"].map(|column| row.text(column));
        let definition = row.optional_string("definition")?;
        Ok(Self {
            target: Target::of_columns(kind?, name?, action?)
                .ok_or_else(|| row.unreadable("kind", &"it is no kind of target"))?,
            state: row.word("state")?,
            code: row.string("code")?,
            message: row.string("message")?,
            http_status: row.http_status()?,
            since: row.time("since")?,
            until: row.optional_time("until")?,
            openings: row.count("openings")?,
            lanes: lanes_of_json(row.text("lanes")?).map_err(|why| row.unreadable("lanes", &why))?,
            definition: definition.zip(row.optional_integer("revision")?),
        })
    }
}

/// The holds that can be read.
pub(crate) fn read_all(rows: &[impl Row]) -> Vec<Hold> {
    readable("observer_destinations", &["kind", "name", "action"], rows, Hold::read)
}

/// A lane, and how many deliveries wait in it.
pub(crate) fn read_waiting(row: &impl Row) -> Result<(Lane, u64)> {
    let lane = Lane { observer: row.text("observer")?.into(), action: row.text("action")?.into() };
    Ok((lane, row.integer("waiting")?.unsigned_abs()))
}

/// When a hold may be lifted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lift {
    /// In any case: a person says so.
    Always,
    /// If its `until` is not after this: it was not renewed meanwhile.
    OverAt(Timestamp),
    /// If it was written under an earlier revision of the observers than this.
    Before(i64),
}

impl Lift {
    /// As the statements take it: a time, a revision.
    pub(crate) const fn bounds(self) -> (Option<Timestamp>, Option<i64>) {
        match self {
            Self::Always => (None, None),
            Self::OverAt(at) => (Some(at), None),
            Self::Before(revision) => (None, Some(revision)),
        }
    }
}

/// Lanes as the column holds them: `[["observer", "action"], ..]`.
pub(crate) fn lanes_to_json(lanes: &[Lane]) -> String {
    let pairs: Vec<_> = lanes.iter().map(|lane| (&*lane.observer, &*lane.action)).collect();
    #[expect(clippy::expect_used, reason = "texts always serialise")]
    serde_json::to_string(&pairs).expect("pairs of texts")
}

/// The inverse.
pub(crate) fn lanes_of_json(text: &str) -> serde_json::Result<Vec<Lane>> {
    let pairs: Vec<(String, String)> = serde_json::from_str(text)?;
    let lane =
        |(observer, action): (String, String)| Lane { observer: observer.into(), action: action.into() };
    Ok(pairs.into_iter().map(lane).collect())
}

//! `capture backfill`: events of rows that were there before, page by page, no faster than asked.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use aftercommit_core::{Clock as _, EventKind, SystemClock, shell_command, shell_option};
use aftercommit_store::{Backend, Backfill, BackfillRequest};
use tokio_util::sync::CancellationToken;

use super::{
    condition,
    failure::{Failure, Outcome},
    session::Session,
    signals::Signals,
};
use crate::output;

/// Rows of one transaction: some milliseconds, so that the application waits for nothing.
const PAGE: usize = 500;

/// With a rate, pages of so many a second: what is made at once stays small beside what is allowed in a second.
const PAGES_PER_SEC: u32 = 10;

/// How often the person is told how far it is.
const PROGRESS: Duration = Duration::from_secs(1);

/// What to make events of.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The captured table
    table: String,
    /// Only rows for which this condition is true, beside the condition of the capture
    #[arg(long, value_name = "CONDITION")]
    when: Option<String>,
    /// The kind of the events
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// So many events a second at most [default: as many as the database takes]
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
    /// Begin anew, also where an unfinished one is there
    #[arg(long)]
    restart: bool,
}

/// Kinds of events that a row can become which was there before.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, clap::ValueEnum)]
enum Kind {
    /// As if the row was inserted now
    #[default]
    Created,
    /// Something else, for observers that only a backfill concerns
    Custom,
}

impl Kind {
    const fn event_kind(self) -> EventKind {
        match self {
            Self::Created => EventKind::Created,
            Self::Custom => EventKind::Custom,
        }
    }
}

pub(super) async fn run(session: &Session, args: Args) -> Outcome {
    if let Some(condition) = &args.when {
        condition::parse(condition)?;
    }
    let interrupted = interrupted(Signals::listen()?);
    let store = session.store().await?;
    let request = BackfillRequest {
        table: args.table.clone(),
        condition: args.when.clone(),
        kind: args.kind.event_kind(),
        restart: args.restart,
    };
    let begun = store.start_backfill(request, SystemClock.now()).await?;
    if begun.rows > 0 {
        let behind = begun.last.as_deref().unwrap_or("the last one");
        let Backfill { rows, table, .. } = &begun;
        output::note(&format!("goes on behind {behind}: {rows} rows of {table} were read before"));
    }
    let walked = walk(&*store, &args, begun, &interrupted).await;
    if !matches!(&walked, Ok(backfill) if backfill.finished_at.is_some()) {
        output::note(&format!("nothing that was made is made again; go on with: {}", args.same_command()));
    }
    let backfill = walked?;
    let Backfill { table, rows, events, .. } = &backfill;
    if backfill.finished_at.is_none() {
        return Err(Failure::failed(format!("interrupted after {rows} rows of {table}, {events} events")));
    }
    Ok(session.output.done(&backfill, &format!("made {events} events of {rows} rows of {table}"))?)
}

/// Makes events page by page, until all rows were read or the person interrupts it. Returns how far it came.
async fn walk(
    store: &dyn Backend,
    args: &Args,
    mut backfill: Backfill,
    interrupted: &CancellationToken,
) -> Result<Backfill, Failure> {
    let mut told = (Instant::now(), backfill.events);
    while backfill.finished_at.is_none() && !interrupted.is_cancelled() {
        let (begun, before) = (Instant::now(), backfill.events);
        backfill = store.backfill_page(&args.table, page(args.rate), SystemClock.now()).await?;
        if backfill.finished_at.is_some() {
            break;
        }
        let since = told.0.elapsed();
        if since >= PROGRESS {
            output::note(&progress(&backfill, backfill.events.saturating_sub(told.1), since));
            told = (Instant::now(), backfill.events);
        }
        let pause = pause(args.rate, backfill.events.saturating_sub(before), begun.elapsed());
        // Only the pause is given up; a page always comes to its end.
        interrupted.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(backfill)
}

/// Cancelled when the person interrupts.
fn interrupted(mut signals: Signals) -> CancellationToken {
    let interrupted = CancellationToken::new();
    let token = interrupted.clone();
    tokio::spawn(async move {
        signals.next().await;
        token.cancel();
    });
    interrupted
}

/// Rows of a page.
fn page(rate: Option<NonZeroU32>) -> usize {
    rate.map_or(PAGE, |rate| (rate.get() / PAGES_PER_SEC).max(1) as usize).min(PAGE)
}

/// How long to wait after a page that made so many events in this time.
fn pause(rate: Option<NonZeroU32>, events: u64, took: Duration) -> Duration {
    let Some(rate) = rate else { return Duration::ZERO };
    let least = Duration::from_micros(events.saturating_mul(1_000_000) / u64::from(rate.get()));
    least.saturating_sub(took)
}

/// How far it is, and how fast it was in the last moments.
fn progress(backfill: &Backfill, events: u64, since: Duration) -> String {
    let about = backfill.estimate.map_or_else(String::new, |rows| format!(" of about {rows}"));
    let per_sec = u128::from(events) * 1000 / since.as_millis().max(1);
    format!(
        "{}: {} rows{about}, {} events, {per_sec} a second",
        backfill.table, backfill.rows, backfill.events
    )
}

impl Args {
    /// The command that goes on where this one ends. Not with `--restart`, which would not.
    fn same_command(&self) -> String {
        let mut options = Vec::new();
        if let Some(condition) = &self.when {
            options.push(shell_option("--when", condition));
        }
        if self.kind == Kind::Custom {
            options.push("--kind custom".to_owned());
        }
        if let Some(rate) = self.rate {
            options.push(format!("--rate {rate}"));
        }
        shell_command("capture backfill", &self.table, &options.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use aftercommit_core::Timestamp;

    use super::*;

    fn rate(rate: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(rate)
    }

    #[test]
    fn pages_are_small_beside_a_rate() {
        assert_eq!([page(None), page(rate(100_000)), page(rate(1000)), page(rate(1))], [500, 500, 100, 1]);
    }

    #[test]
    fn a_page_takes_as_long_as_the_rate_asks() {
        let ms = Duration::from_millis;
        assert_eq!(pause(None, 500, ms(1)), Duration::ZERO);
        assert_eq!(pause(rate(1000), 100, ms(30)), ms(70));
        assert_eq!(pause(rate(1000), 100, ms(130)), Duration::ZERO);
        assert_eq!(
            pause(rate(1000), 0, ms(0)),
            Duration::ZERO,
            "rows that the condition passes over cost nothing"
        );
        assert_eq!(pause(rate(1), 1, ms(0)), ms(1000));
    }

    #[test]
    fn progress_names_what_is_known() {
        let backfill = Backfill {
            table: "orders".to_owned(),
            condition: None,
            kind: EventKind::Created,
            rows: 12_000,
            events: 11_800,
            estimate: Some(500_000),
            last: Some("12000".to_owned()),
            started_at: Timestamp::from_micros(0),
            finished_at: None,
        };
        let since = Duration::from_secs(2);
        assert_eq!(
            progress(&backfill, 5000, since),
            "orders: 12000 rows of about 500000, 11800 events, 2500 a second"
        );
        let unknown = Backfill { estimate: None, ..backfill };
        assert_eq!(progress(&unknown, 0, since), "orders: 12000 rows, 11800 events, 0 a second");
    }

    #[test]
    fn the_command_that_goes_on_can_be_pasted() {
        let args = |when: Option<&str>, kind, rate| Args {
            table: "shop.orders".to_owned(),
            when: when.map(str::to_owned),
            kind,
            rate,
            restart: true,
        };
        assert_eq!(
            args(None, Kind::Created, None).same_command(),
            "aftercommit capture backfill shop.orders"
        );
        assert_eq!(
            args(Some("status = 'paid'"), Kind::Custom, rate(50)).same_command(),
            r"aftercommit capture backfill shop.orders --when 'status = '\''paid'\''' --kind custom --rate 50"
        );
    }
}

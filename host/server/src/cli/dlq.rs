//! `dlq`: deliveries that failed for good.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use aftercommit_core::{Clock as _, DeliveryId, SystemClock};
use aftercommit_store::{Backend, DeadLetterFilter};
use serde_json::json;

use super::{
    dead_letter_filter,
    failure::{Failure, Outcome},
    ids,
    session::Session,
};
use crate::output::{joined, to_value};

/// Look at the dead letter queue, replay from it, discard from it
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List dead letters, the newest first
    #[command(after_help = "\
Examples:
  aftercommit dlq list
  aftercommit dlq list --where 'observer = order-shipped, since = 1d'
  aftercommit dlq list --output json | jq -r '.[] | .event.entity_id'")]
    List {
        /// Only these: KEY is observer, action, class, code, `entity_type`, `event_kind`, since or until
        #[arg(long = "where", value_name = "KEY = VALUE, ..", value_parser = dead_letter_filter::parse)]
        filter: Option<DeadLetterFilter>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 1000)]
        limit: usize,
    },
    /// Show one dead letter: its event, its action, its error and its history
    #[command(after_help = "\
Examples:
  aftercommit dlq show 5f0d7f0e-2f8f-5b0a-8d3f-6f3f1c2b4a59")]
    Show {
        /// Its id, which is its delivery's
        #[arg(value_parser = ids::delivery)]
        id: DeliveryId,
    },
    /// Make exactly these deliveries again, with a new round of attempts; print their ids
    ///
    /// Those that are named by their ids: all of them or, if one is not in the queue, none. They run with the present definition of
    /// their observer. Each id is printed when its delivery is durable; interrupted, the same command goes on with the rest.
    #[command(after_help = "\
Examples:
  aftercommit dlq retry 5f0d7f0e-2f8f-5b0a-8d3f-6f3f1c2b4a59
  aftercommit dlq retry --where 'observer = order-shipped, code = http_status, since = 2h' --preview
  aftercommit dlq retry --all")]
    Retry(Chosen),
    /// Remove dead letters for good: they are never delivered
    ///
    /// Those that are named by their ids: all of them or, if one is not in the queue, none. For others it asks first.
    #[command(after_help = "\
Examples:
  aftercommit dlq discard 5f0d7f0e-2f8f-5b0a-8d3f-6f3f1c2b4a59
  aftercommit dlq discard --where 'observer = order-shipped, until = 30d' --preview
  aftercommit dlq discard --all --yes")]
    Discard {
        #[command(flatten)]
        chosen: Chosen,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Which dead letters to do something to.
#[derive(Debug, clap::Args)]
pub(super) struct Chosen {
    /// Which ones
    #[arg(value_parser = ids::delivery, required_unless_present_any = ["all", "filter"])]
    ids: Vec<DeliveryId>,
    /// All that are in the queue now
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// All of these: KEY is observer, action, class, code, `entity_type`, `event_kind`, since or until; VALUE may be in single quotes
    #[arg(long = "where", value_name = "KEY = VALUE, ..", value_parser = dead_letter_filter::parse, conflicts_with_all = ["ids", "all"])]
    filter: Option<DeadLetterFilter>,
    /// Only say how many there are
    #[arg(long, conflicts_with = "ids")]
    preview: bool,
}

pub(super) async fn run(session: &Session, command: Command) -> Outcome {
    let store = session.store().await?;
    match command {
        Command::List { filter, limit } => {
            let columns =
                ["id", "event_id", "observer", "action", "attempts", "code", "died_at", "last_error"];
            let filter = filter.unwrap_or_default();
            let page = async |after| store.dead_letters_page(&filter, after, limit).await;
            session.list(&columns, limit, page).await
        }
        Command::Show { id } => {
            let letter = store.dead_letter(id).await?;
            let history = to_value(&store.history(id).await?)?;
            Ok(session.output.show(&joined(&letter, [("history", history)])?)?)
        }
        Command::Retry(chosen) | Command::Discard { chosen, .. } if chosen.preview => {
            preview(session, &*store, &chosen).await
        }
        Command::Retry(chosen) => retry(session, &*store, chosen).await,
        Command::Discard { chosen, yes } => discard(session, &*store, chosen, yes).await,
    }
}

async fn preview(session: &Session, store: &dyn Backend, chosen: &Chosen) -> Outcome {
    let count = store.count_dead_letters(&chosen.filter.clone().unwrap_or_default()).await?;
    let item = json!({ "preview": true, "dead_letters": count });
    Ok(session.output.done(&item, &format!("{}; nothing was done", letters(count)))?)
}

async fn retry(session: &Session, store: &dyn Backend, chosen: Chosen) -> Outcome {
    let now = SystemClock.now();
    let mut listing = session.output.lines("id");
    let mut printed = Ok(());
    let mut print = |made: &[DeliveryId]| {
        let rows: Vec<_> = made.iter().map(|id| json!({ "id": id, "status": "ready" })).collect();
        let added = listing.add(&rows);
        printed = std::mem::replace(&mut printed, Ok(())).and(added);
    };
    if chosen.ids.is_empty() {
        store.replay_all(&chosen.filter.unwrap_or_default(), now, &mut print).await?;
    } else {
        store.require_dead_letters(&chosen.ids).await?;
        print(&store.replay(chosen.ids, now).await?);
    }
    printed?;
    Ok(listing.end()?)
}

async fn discard(session: &Session, store: &dyn Backend, chosen: Chosen, yes: bool) -> Outcome {
    let now = SystemClock.now();
    let discarded = if chosen.ids.is_empty() {
        let filter = chosen.filter.unwrap_or_default();
        if !yes {
            confirm(store.count_dead_letters(&filter).await?)?;
        }
        store.discard_all(&filter, now).await?
    } else {
        store.require_dead_letters(&chosen.ids).await?;
        store.discard(chosen.ids, now).await?
    };
    Ok(session.output.done(&json!({ "discarded": discarded }), &format!("discarded {discarded}"))?)
}

/// Asks whether so many are to be discarded. Without a terminal nobody could answer.
fn confirm(count: u64) -> Outcome {
    /// A longer answer is none.
    const ANSWER_BYTES: u64 = 100;
    if count == 0 {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "{} would be discarded for good, and there is no terminal to ask on; add --yes, or --preview to see how many",
            letters(count)
        )));
    }
    let _ = write!(io::stderr(), "Discard {} for good? They are never delivered. [y/N] ", letters(count));
    let mut answer = String::new();
    let read = io::stdin().lock().take(ANSWER_BYTES).read_line(&mut answer);
    match (read, answer.trim().to_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::failed("nothing was discarded")),
    }
}

fn letters(count: u64) -> String {
    format!("{count} dead letter{}", if count == 1 { "" } else { "s" })
}

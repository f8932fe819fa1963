//! `deliveries`: what is under way.

use aftercommit_core::DeliveryState;
use aftercommit_store::DeliveryFilter;
use clap::builder::PossibleValuesParser;

use super::{failure::Outcome, session::Session};

/// Look at deliveries: one for each event, observer and action
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List live deliveries, the oldest first; or those that ended in a state, the newest first
    #[command(after_help = "\
Examples:
  aftercommit deliveries list
  aftercommit deliveries list --state waiting
  aftercommit deliveries list --state succeeded --observer order-shipped --output json
  aftercommit deliveries list --code denied            succeeded, although the egress denied the plugin something
  aftercommit deliveries list --code http_denied       failed, because the egress did not let the request through")]
    List(ListArgs),
}

/// Which deliveries to list.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only in this state
    #[arg(long, value_parser = PossibleValuesParser::new(DeliveryState::ALL.map(DeliveryState::as_str)))]
    state: Option<String>,
    /// Only of this observer
    #[arg(long, value_name = "NAME")]
    observer: Option<String>,
    /// Attempts with this code, the newest first
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

pub(super) async fn run(session: &Session, command: Command) -> Outcome {
    let Command::List(args) = command;
    let state =
        args.state.and_then(|name| DeliveryState::ALL.into_iter().find(|state| state.as_str() == name));
    let filter = DeliveryFilter { state, observer: args.observer, code: args.code, limit: args.limit };
    let store = session.store().await?;
    let columns = [
        "id",
        "event_id",
        "observer",
        "action",
        "status",
        "attempts",
        "max_attempts",
        "losses",
        "created_at",
        "next_attempt_at",
        "last_error",
    ];
    session.list(&columns, filter.limit, async |after| store.deliveries_page(&filter, after).await).await
}

//! `demo`: the whole path of an event, on a database of its own.

use std::path::Path;

use super::{
    failure::{Failure, Outcome},
    session::Session,
};
use crate::demo::{self, Scene};

/// Show the whole path of an event on a small database of its own
///
/// A shop with an SQLite database in a temporary folder, a receiver on the loopback interface, four observers and a host:
/// orders are committed by a second process and followed to their end, one of them through retries, the dead letter
/// queue and a replay. It ends by itself and leaves nothing behind.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  aftercommit demo
  aftercommit demo | less      plain text")]
pub(super) struct Args {
    /// Be the shop: play this scene in shop.db of the working folder
    #[arg(long, hide = true, value_enum)]
    shop: Option<Scene>,
}

pub(super) async fn run(_: &Session, args: &Args) -> Outcome {
    match args.shop {
        Some(scene) => demo::act(Path::new("shop.db"), scene)
            .map_err(|error| Failure::failed(format!("the shop can not commit: {error}"))),
        None => Ok(demo::tell().await?),
    }
}

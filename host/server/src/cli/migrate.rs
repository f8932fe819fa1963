//! `migrate`: the tables.

use super::{failure::Outcome, session::Session};

/// Make the tables of aftercommit, or bring them up to date
///
/// Applies what is missing, each migration in a transaction of its own, and nothing that was applied. An SQLite file
/// that does not exist is made. Tables of the application are not touched.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  aftercommit migrate
  DATABASE_URL=sqlite:shop.db aftercommit migrate")]
pub(super) struct Args {}

pub(super) async fn run(session: &Session, _: &Args) -> Outcome {
    let config = session.config()?;
    let store = session.new_database_of(&config).await?;
    let applied = store.migrate().await?;
    let text = match applied.last() {
        None => "the schema is up to date".to_owned(),
        Some(last) => {
            let lines = applied.iter().map(|it| format!("applied migration {} ({})\n", it.version, it.name));
            format!("{}the schema has version {}", lines.collect::<String>(), last.version)
        }
    };
    Ok(session.output.done(&applied, &text)?)
}

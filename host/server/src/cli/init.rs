//! `init`: the first two files.

use std::{
    fs::File,
    io::{self, Write as _},
    path::PathBuf,
};

use super::{
    failure::{Failure, Outcome},
    session::Session,
};
use crate::{config, observer_file};

/// Write a commented aftercommit.toml and an example of observers
///
/// aftercommit.toml has every key with its default and a sentence about it: it is the reference. Files that are there
/// already are never overwritten; then nothing is written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  aftercommit init             into the working folder
  aftercommit init deploy      into the folder deploy, which must be there")]
pub(super) struct Args {
    /// The folder to write into
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn run(session: &Session, args: &Args) -> Outcome {
    let files = [
        (args.folder.join("aftercommit.toml"), config::REFERENCE),
        (args.folder.join("observers.toml"), observer_file::EXAMPLE),
    ];
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(Failure::failed(format!(
            "{} is there already and is not overwritten; nothing was written",
            path.display()
        )));
    }
    for (path, text) in &files {
        let written = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error: io::Error| {
            Failure::failed(format!("cannot write {}: {error}", path.display()))
        })?;
    }
    let names: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    let text = format!("wrote {}\nnext: aftercommit migrate", names.join(" and "));
    Ok(session.output.done(&serde_json::json!({ "written": names }), &text)?)
}

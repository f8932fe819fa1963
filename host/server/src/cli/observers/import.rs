//! `observers import`: a file of observers from the table of an earlier system.

use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use serde_json::Value;

use crate::{
    cli::{
        failure::{Failure, Outcome},
        session::Session,
    },
    earlier_observers::{self, Imported, Note},
    output::{self, joined},
};

pub(super) async fn run(session: &Session, file: &Path, schema: &str) -> Outcome {
    if file.extension().is_none_or(|extension| extension != "toml") {
        return Err(Failure::usage(format!(
            "{}: what is written is TOML; give the file a name that ends in .toml",
            file.display()
        )));
    }
    let store = session.database_of(&session.config()?).await?;
    let rows = store.earlier_observers(schema).await?;
    let origin = format!("{schema}.tb_observer");
    let imported = earlier_observers::import(&rows, &origin, &session.catalog()?).await;
    // Nobody else may read it: credentials may stand in it.
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    created
        .and_then(|mut created| created.write_all(imported.text.as_bytes()))
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))?;
    for Note { name, note } in &imported.remarks {
        output::note(&format!("{name}: {note}"));
    }
    let summary = joined(&imported, [("file", Value::String(file.display().to_string()))])?;
    session.output.done(&summary, &in_words(&imported, &file.display().to_string()))?;
    let in_line = |Note { name, note }: &Note| format!("{name}: {note}");
    let comments: Vec<_> = imported.left_as_comments.iter().map(in_line).collect();
    if comments.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "some observers can not be taken over as they are, and stand in {} as comments: {}",
        file.display(),
        comments.join("; ")
    )))
}

fn in_words(imported: &Imported, file: &str) -> String {
    let deleted = match imported.deleted.len() {
        0 => String::new(),
        count => format!("; {count} that the earlier system had deleted are left out"),
    };
    format!(
        "wrote {} observers into {file}{deleted}\nnext: aftercommit observers validate {file}",
        imported.observers.len()
    )
}

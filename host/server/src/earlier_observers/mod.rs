//! Writes a file of observers from the table of an earlier system, which has the name of ours.

mod conversion;
mod toml_text;

use std::collections::HashSet;

use aftercommit_store::EarlierObserver;
use serde::Serialize;

use self::conversion::{Conversion, Remark, convert, is_deleted};
use crate::{
    document::{Format, Report},
    observer_file::ObserverFile,
    plugins::Catalog,
};

/// The text of a file of observers, and what became of each row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Imported {
    /// The file: an observer for each row, in the order of the rows.
    #[serde(skip)]
    pub text: String,
    /// Those that are observers now, by their names in the file.
    pub observers: Vec<String>,
    /// What keeps others from being observers, which are comments in the file; one for each reason.
    pub left_as_comments: Vec<Note>,
    /// Those that the earlier system had deleted, by their names there.
    pub deleted: Vec<String>,
    /// What a person should look at.
    pub remarks: Vec<Note>,
}

/// What is to be said of one observer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Note {
    /// Its name in the file.
    pub name: String,
    /// One sentence, without values that could be secrets.
    pub note: String,
}

/// Makes a file of the rows. `origin` names the table.
pub async fn import(rows: &[EarlierObserver], origin: &str, catalog: &Catalog) -> Imported {
    let head = format!(
        "observers of {origin}, an earlier system. Look through the remarks, then check and apply the file: `aftercommit observers validate FILE`, \
         `aftercommit observers apply FILE`. Texts are as they stood in the table, credentials too; a secret is better written \
         \"${{secret:NAME}}\"."
    );
    let mut imported = Imported {
        text: toml_text::comment(&head),
        observers: Vec::new(),
        left_as_comments: Vec::new(),
        deleted: Vec::new(),
        remarks: Vec::new(),
    };
    let (deleted, live): (Vec<_>, Vec<_>) = rows.iter().partition(|row| is_deleted(row));
    imported.deleted = deleted.iter().filter_map(|row| row.get("name").cloned()).collect();
    let priorities: HashSet<_> = live.iter().map(|row| row.get("priority")).collect();
    let mut names = HashSet::new();
    for row in live {
        let conversion = convert(row, &mut names, priorities.len() > 1);
        imported.add(conversion, catalog).await;
    }
    imported
}

impl Imported {
    async fn add(&mut self, mut conversion: Conversion, catalog: &Catalog) {
        let (mut obstacles, mut remarks) = (conversion.obstacles, std::mem::take(&mut conversion.remarks));
        if obstacles.is_empty() {
            match ObserverFile::parse("observers", conversion.text.as_str(), Format::Toml) {
                Err(report) => obstacles.extend(in_words(&report)),
                Ok(file) => {
                    // A plugin may lack a secret that is there where the file is used.
                    let checked = file.check(catalog).await;
                    remarks.extend(in_words(&checked.unwrap_or_else(|report| report)));
                }
            }
        }
        let name = &conversion.name;
        let note = |remark: Remark| Note { name: name.clone(), note: remark.words };
        let mut comments = vec![format!("earlier: {}", conversion.earlier_name)];
        comments.extend(conversion.description);
        comments.extend(remarks.iter().map(|remark| format!("REMARK: {}", remark.whole())));
        comments.extend(obstacles.iter().map(|obstacle| format!("NOT IMPORTED: {}", obstacle.whole())));
        self.text.push('\n');
        self.text.extend(comments.iter().map(|words| toml_text::comment(words)));
        if obstacles.is_empty() {
            self.text.push_str(&conversion.text);
            self.observers.push(name.clone());
        } else {
            self.text.push_str(&toml_text::comment(&conversion.text));
            self.left_as_comments.extend(obstacles.into_iter().map(note));
        }
        self.remarks.extend(remarks.into_iter().map(note));
    }
}

/// One line for each problem; its place would be that in a text which nobody has.
fn in_words(report: &Report) -> Vec<Remark> {
    let remark = |problem: &serde_json::Value| {
        let part = |key: &str| problem[key].as_str().filter(|text| !text.is_empty());
        let place = part("path").map(|path| path.trim_start_matches("observers[0].").to_owned() + ": ");
        let more = [part("hint"), part("help")].into_iter().flatten().map(|text| format!(" ({text})"));
        let message = part("message").unwrap_or_default();
        Remark::new(format!("{}{message}{}", place.unwrap_or_default(), more.collect::<String>()))
    };
    report.to_json().iter().map(remark).collect()
}

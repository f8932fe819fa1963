//! Pages of the documentation that repeat what the program says: the table of the host's own failures, codes and messages.

#![expect(clippy::unwrap_used, reason = "tests: what can not be had fails the test")]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use aftercommit_core::HostFailure;

const TROUBLESHOOTING: &str = "docs/troubleshooting.md";

const BEGIN: &str = "<!-- failures of the host -->\n";
const END: &str = "<!-- end of failures of the host -->";

#[test]
fn the_page_of_actions_lists_the_hosts_failures() {
    let mut table = "| code | class | fault | |\n|---|---|---|---|\n".to_owned();
    for failure in HostFailure::ALL {
        let class = failure.class().map_or("", |class| class.as_str());
        let (code, fault, meaning) = (failure.code(), failure.fault().as_str(), failure.meaning());
        writeln!(table, "| `{code}` | {class} | {fault} | {meaning} |").unwrap();
    }
    check("docs/actions.md", &table);
}

#[test]
fn the_page_of_troubleshooting_says_what_to_do_about_each() {
    let mut table = "| code | what it means | what to do |\n|---|---|---|\n".to_owned();
    for failure in HostFailure::ALL {
        writeln!(table, "| `{}` | {} | {} |", failure.code(), failure.meaning(), failure.hint()).unwrap();
    }
    check(TROUBLESHOOTING, &table);
}

/// Compares what stands between the marks of a page with `table`, or writes it there.
fn check(page: &str, table: &str) {
    let (path, text) = (repository().join(page), read(page));
    let from = text.find(BEGIN).unwrap_or_else(|| panic!("{page}: {BEGIN} is missing")) + BEGIN.len();
    let to = text.find(END).unwrap_or_else(|| panic!("{page}: {END} is missing"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{}{table}{}", &text[..from], &text[to..])).unwrap();
    } else {
        assert_eq!(&text[from..to], table, "{page} differs; UPDATE_DOCS=1 with this test writes it");
    }
}

#[test]
fn the_codes_of_plugins_are_those_that_they_give() {
    let sources = sources(&repository().join("plugins"));
    for code in explained("## Codes of plugins") {
        assert!(sources.contains(&format!("\"{code}\"")), "no plugin gives `{code}`");
    }
}

#[test]
fn messages_are_those_of_the_program() {
    // Texts that are broken over lines of source are one line of the log.
    let sources = sources(&repository().join("host"));
    let sources: String = sources.split("\\\n").map(str::trim_start).collect();
    for section in ["## Lines of the log", "## Errors of commands"] {
        for message in explained(section) {
            assert!(sources.contains(&message), "no source has `{message}`");
        }
    }
}

/// What a section explains: the code spans in the first column of its table.
fn explained(section: &str) -> BTreeSet<String> {
    let page = read(TROUBLESHOOTING);
    let (_, section) = page.split_once(section).unwrap_or_else(|| panic!("{section} is missing"));
    let section = section.split("\n## ").next().unwrap();
    let first_cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let spans = first_cells.flat_map(|cell| cell.split('`').step_by(2).map(str::to_owned));
    let explained: BTreeSet<_> = spans.filter(|span| !span.is_empty()).collect();
    assert!(explained.len() > 5, "{section}");
    explained
}

/// The text of all sources below a folder.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text += &fs::read_to_string(&path).unwrap();
            }
        }
    }
    text
}

fn read(page: &str) -> String {
    fs::read_to_string(repository().join(page)).unwrap()
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

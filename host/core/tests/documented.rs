//! The pages of documentation list the host's own failures as the table of the program has them.

#![expect(clippy::unwrap_used, reason = "tests: what can not be had fails the test")]

use std::{fmt::Write as _, fs, path::PathBuf};

use aftercommit_core::HostFailure;

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

/// Compares what stands between the marks of a page with `table`, or writes it there.
fn check(page: &str, table: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = fs::read_to_string(&path).unwrap();
    let from = text.find(BEGIN).unwrap_or_else(|| panic!("{page}: {BEGIN} is missing")) + BEGIN.len();
    let to = text.find(END).unwrap_or_else(|| panic!("{page}: {END} is missing"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{}{table}{}", &text[..from], &text[to..])).unwrap();
    } else {
        assert_eq!(&text[from..to], table, "{page} differs; UPDATE_DOCS=1 with this test writes it");
    }
}

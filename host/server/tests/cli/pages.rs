//! Help, as a reference of its own.

use crate::place::Place;

#[test]
fn help_teaches() {
    let place = Place::new();
    insta::assert_snapshot!("help", place.run(&["--help"]));
    insta::assert_snapshot!("help_dlq_retry", place.run(&["dlq", "retry", "--help"]));
    insta::assert_snapshot!("help_add_changelog", place.run(&["capture", "add-changelog", "--help"]));
}

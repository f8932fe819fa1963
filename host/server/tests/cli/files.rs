//! Configuration files: `init`, and what is wrong with them.

use std::fs;

use crate::place::Place;

#[test]
fn init_writes_the_reference_and_never_overwrites() {
    let place = Place::new();
    insta::assert_snapshot!(place.run(&["init"]));
    let reference = fs::read_to_string(place.path("aftercommit.toml")).unwrap();
    assert_eq!(reference, aftercommit::config::REFERENCE);
    place.write("observers.toml", "mine");
    fs::remove_file(place.path("aftercommit.toml")).unwrap();
    insta::assert_snapshot!(place.run(&["init"]));
    assert!(!place.path("aftercommit.toml").exists(), "half of it was written");
    assert_eq!(fs::read_to_string(place.path("observers.toml")).unwrap(), "mine");
}

#[test]
fn what_init_wrote_works() {
    let place = Place::new();
    for arguments in [&["init"][..], &["migrate"], &["observers", "apply", "observers.toml"]] {
        let run = place.run(arguments);
        assert_eq!(run.code, Some(0), "{run}");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_nearest() {
    let place = Place::new();
    place.write("aftercommit.toml", "[dispatch]\nmax_concurency = 5\n\n[smpt]\nhost = \"x\"\n");
    insta::assert_snapshot!(place.run(&["migrate"]));
    assert!(!place.path("aftercommit.db").exists());
}

#[test]
fn bad_toml_is_shown() {
    let place = Place::new();
    place.write("aftercommit.toml", "[intake]\nbatch_size = \n");
    insta::assert_snapshot!(place.run(&["migrate"]));
}

#[test]
fn a_missing_named_file_is_an_error() {
    let place = Place::new();
    insta::assert_snapshot!(place.run(&["migrate", "--config", "other.toml"]));
}

#[test]
fn the_environment_is_checked_too() {
    let place = Place::new();
    let mut command = place.command(&["migrate"]);
    command.env("AFTERCOMMIT_INTAKE_BATCH_SIZE", "0").env("AFTERCOMMIT_INTAKE_BATCHSIZE", "1");
    insta::assert_snapshot!(place.finish(command, &["migrate"], ""));
}

#[test]
fn a_password_is_never_printed() {
    let place = Place::new();
    for url in ["mysql://app:hunter2@db/shop", "postgres://app:hunter2@localhost:1/shop", "hunter2@db"] {
        let mut command = place.command(&["migrate"]);
        command.env("DATABASE_URL", url);
        let run = place.finish(command, &["migrate"], "");
        assert!(matches!(run.code, Some(2 | 3)), "{run}");
        assert!(!run.to_string().contains("hunter2"), "{run}");
    }
}

#[test]
fn an_unknown_command_is_wrong_usage() {
    let place = Place::new();
    assert_eq!(place.run(&["observer", "list"]).code, Some(2));
    assert_eq!(place.run(&["deliveries", "list", "--state", "done"]).code, Some(2));
    assert_eq!(place.run(&["--help"]).code, Some(0));
}

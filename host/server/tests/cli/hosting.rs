//! `run`: ready, and stopped by a signal.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use crate::place::Place;

/// Starts the host, waits until it is ready, stops it and returns its exit code and log.
fn run_and_stop(place: &Place, signal: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "aftercommit ready\n");
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    (child.wait().unwrap().code(), log)
}

#[test]
fn a_host_says_that_it_is_ready_and_stops_when_told() {
    let place = Place::migrated();
    for signal in ["-TERM", "-INT"] {
        let (code, log) = run_and_stop(&place, signal, &["run"]);
        assert_eq!(code, Some(0), "{log}");
    }
}

#[test]
fn the_json_log_has_a_ready_event() {
    let place = Place::migrated();
    let (_, log) = run_and_stop(&place, "-TERM", &["run", "--log-format", "json"]);
    let events: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["message"] == "ready" && event["host"].is_string()), "{log}");
}

#[test]
fn a_wrong_file_of_observers_stops_it_before_it_starts() {
    let place = Place::migrated();
    place.write("observers.toml", "[[observers]]\nname = 7\n");
    insta::assert_snapshot!(place.run(&["run"]));
    place.write("aftercommit.toml", "[observers]\nfile = \"mine.toml\"\n");
    insta::assert_snapshot!(place.run(&["run"]));
}

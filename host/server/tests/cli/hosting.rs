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
fn a_host_says_which_capture_does_not_fit_its_table() {
    let place = Place::migrated();
    let execute =
        |sql| rusqlite::Connection::open(place.path("aftercommit.db")).unwrap().execute_batch(sql).unwrap();
    execute("CREATE TABLE orders (id INTEGER PRIMARY KEY); CREATE TABLE carts (id INTEGER PRIMARY KEY)");
    for (table, entity) in [("orders", "Order"), ("carts", "Cart")] {
        assert_eq!(place.run(&["capture", "add", table, "--entity", entity]).code, Some(0));
    }
    execute("ALTER TABLE orders ADD COLUMN note TEXT");
    let run = ["run", "--log-format", "json"];
    let mut host = place.command(&run).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(host.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut warnings = lines
        .map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap())
        .filter(|event| event["level"] == "WARN");
    let warning = warnings.next().expect("it warns");
    host.kill().unwrap();
    assert_eq!(
        (&warning["table"], &warning["entity_type"]),
        (&"orders".into(), &"Order".into()),
        "{warning}"
    );
    assert!(warning["drift"].as_str().unwrap().contains("note"), "{warning}");
    assert_eq!(warnings.count(), 0, "the other fits");
    host.wait().unwrap();
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

const OBSERVER: &str =
    "[[observers]]\nname = \"NAME\"\n[[observers.actions]]\ntype = \"log\"\nmessage = \"x\"\n";

fn observers(names: &[&str]) -> String {
    names.iter().map(|name| OBSERVER.replace("NAME", name)).collect()
}

fn enabled(place: &Place) -> Vec<(String, bool)> {
    let listed: serde_json::Value =
        serde_json::from_str(&place.run(&["observers", "list", "--output", "json"]).stdout).unwrap();
    let row = |row: &serde_json::Value| {
        (row["name"].as_str().unwrap().to_owned(), row["enabled"].as_bool().unwrap())
    };
    listed.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn what_a_person_disabled_stays_so_and_what_the_file_lacks_is_named() {
    let place = Place::migrated();
    place.write("mine.toml", observers(&["a", "b", "other"]));
    assert_eq!(place.run(&["observers", "apply", "mine.toml"]).code, Some(0));
    assert_eq!(place.run(&["observers", "disable", "a"]).code, Some(0));
    place.write("observers.toml", observers(&["a", "b"]));
    let (code, log) = run_and_stop(&place, "-TERM", &["run"]);
    assert_eq!(code, Some(0), "{log}");
    let entry = |name: &str, enabled| (name.to_owned(), enabled);
    assert_eq!(enabled(&place), [entry("a", false), entry("b", true), entry("other", true)], "{log}");
    assert!(log.contains("in the database and not in the file") && log.contains("observers=other"), "{log}");
    assert!(!log.contains("transactions"), "stopping is no time for internals: {log}");
    assert_eq!(place.run(&["observers", "apply", "mine.toml"]).code, Some(0));
    assert_eq!(enabled(&place)[0], entry("a", false));
    place.write("mine.toml", observers(&["a"]).replace("[[observers.", "enabled = true\n[[observers."));
    assert_eq!(place.run(&["observers", "apply", "mine.toml"]).code, Some(0));
    assert_eq!(enabled(&place)[0], entry("a", true));
}

#[test]
fn sighup_reads_the_observers_again() {
    let place = Place::migrated();
    place.write("observers.toml", observers(&["a"]));
    let run = ["run", "--log-format", "json"];
    let mut host = place.command(&run).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let pid = host.id().to_string();
    let kill = |signal: &str| assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    let mut lines = BufReader::new(host.stderr.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let mut until = |message: &str| {
        let line = lines.find(|line| line["message"].as_str().unwrap().starts_with(message));
        line.unwrap_or_else(|| panic!("no line `{message}`"))
    };
    until("ready");
    place.write("observers.toml", "[[observers]]\nname = 7\n");
    kill("-HUP");
    let wrong = until("nothing was reloaded");
    assert!(wrong["message"].as_str().unwrap().contains("expected a text"), "{wrong}");
    place.write("observers.toml", observers(&["a", "b"]));
    kill("-HUP");
    assert_eq!(until("observers loaded")["observers"], 2);
    kill("-TERM");
    until("stopped");
    assert_eq!(host.wait().unwrap().code(), Some(0));
}

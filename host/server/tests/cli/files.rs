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

#[test]
fn files_that_are_too_large_or_never_end_are_not_read() {
    let place = Place::migrated();
    for file in ["large.toml", "large.json"] {
        std::fs::File::create(place.path(file)).unwrap().set_len(1 << 40).unwrap();
    }
    let fifo = place.path("fifo.toml");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (arguments, why) in [
        (&["migrate", "--config", "large.toml"][..], "it has 1048576 MiB, and at most 4 MiB are read"),
        (&["observers", "validate", "large.toml"], "it has 1048576 MiB, and at most 16 MiB are read"),
        (
            &["condition", "eval", "a = 1", "--event", "large.json"],
            "it has 1048576 MiB, and at most 64 MiB are read",
        ),
        (&["plugin", "check", "large.toml"], "it has 1048576 MiB, and at most 64 MiB are read"),
        (&["migrate", "--config", "fifo.toml"], "it is not a file"),
        (&["observers", "validate", "fifo.toml"], "it is not a file"),
        (&["condition", "eval", "a = 1", "--event", "fifo.toml"], "it is not a file"),
        (&["condition", "eval", "a = 1", "--event", "/dev/zero"], "it is not a file"),
        (&["plugin", "check", "fifo.toml"], "it is not a file"),
    ] {
        let run = place.run(arguments);
        assert!(matches!(run.code, Some(1 | 2)) && run.stderr.contains(why), "{run}");
        let file = arguments.last().unwrap();
        assert!(run.stderr.contains(file), "{run}");
    }
    let mut command = place.command(&["migrate"]);
    command.env("DATABASE_URL", "sqlite:fifo.toml");
    let run = place.finish(command, &["migrate"], "");
    assert!(run.code == Some(3) && run.stderr.contains("it is not a file"), "{run}");
    let mut command = place.command(&["observers", "validate", "good.toml"]);
    place.write(
        "good.toml",
        "[[observers]]\nname = \"a\"\n[[observers.actions]]\ntype = \"log\"\nmessage = \"x\"\n",
    );
    place
        .write("aftercommit.toml", "[secrets]\ndir = \".\"\n[smtp]\nhost = \"h\"\nca_file = \"fifo.toml\"\n");
    command.env_remove("DATABASE_URL");
    let run = place.finish(command, &["observers", "validate", "good.toml"], "");
    assert!(
        run.code == Some(2)
            && run.stderr.contains("smtp: `ca_file` fifo.toml can not be read: it is not a file"),
        "{run}"
    );
}

#[test]
fn what_a_history_shows_is_an_event_for_conditions() {
    let place = Place::migrated();
    let emit = [
        "events",
        "emit",
        "--entity",
        "Order",
        "--kind",
        "custom",
        "--id",
        "7",
        "--data",
        "{\"total\": 150.50}",
    ];
    let id = place.command(&emit).output().unwrap().stdout;
    let id = String::from_utf8(id).unwrap();
    let shown = place.run(&["events", "show", id.trim(), "--output", "json"]);
    let shown = shown.stdout.replace("[id]", id.trim());
    let run = place.run_with_input(&["condition", "eval", "total = 150.5", "--event", "-"], &shown);
    assert_eq!((run.stdout.as_str(), run.code), ("true\n", Some(0)), "{run}");
}

#[test]
fn what_no_table_has_is_a_warning() {
    let place = Place::migrated();
    rusqlite::Connection::open(place.path("aftercommit.db"))
        .unwrap()
        .execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL, status TEXT)")
        .unwrap();
    assert_eq!(place.run(&["capture", "add", "orders", "--entity", "Order"]).code, Some(0));
    place.write(
        "a.toml",
        "[[observers]]\nname = \"a\"\nentity_type = \"Order\"\ncondition = \"totl > 5\"\n[[observers.actions]]\ntype = \"log\"\n\
         message = \"{{stats}}\"\n[[observers]]\nname = \"b\"\nentity_type = \"Ordr\"\n[[observers.actions]]\ntype = \"log\"\nmessage = \"x\"\n",
    );
    for command in ["validate", "apply"] {
        let run = place.run(&["observers", command, "a.toml"]);
        assert_eq!(run.code, Some(0), "{run}");
        let warnings: Vec<&str> = run.stderr.lines().collect();
        assert_eq!(
            warnings,
            [
                "warning: observer `a`: a template reads `stats`, and no table of `Order` has that column; did you mean `status`?",
                "warning: observer `a`: its condition reads `totl`, and no table of `Order` has that column; did you mean `total`?",
                "warning: observer `b`: no captured table has the entity type `Ordr`; did you mean `Order`?",
            ]
        );
    }
}

#[test]
fn tables_of_another_program_are_left_alone() {
    let place = Place::new();
    rusqlite::Connection::open(place.path("aftercommit.db"))
        .unwrap()
        .execute_batch("CREATE TABLE tb_observer (pk_observer INTEGER PRIMARY KEY)")
        .unwrap();
    let run = place.run(&["migrate"]);
    assert_eq!(run.code, Some(2), "{run}");
    assert!(
        run.stderr.contains("table `tb_observer` already") && run.stderr.contains("`url` of [database]"),
        "{run}"
    );
}

#[test]
fn errors_are_json_where_results_are() {
    let place = Place::migrated();
    place.write("a.toml", "[[observers]]\nname = 7\n");
    for (arguments, code, says) in [
        (&["observers", "show", "nobody", "--output", "json"][..], 1, "there is no observer"),
        (&["observers", "validate", "a.toml", "--output=json"], 2, "expected a text"),
        (&["--output", "json", "observers", "lst"], 2, "unrecognized subcommand"),
        (&["events", "show", "x", "--output", "json"], 2, "an id is a UUID"),
        (&["condition", "eval", "a >", "--event", "-", "--output", "json"], 2, "a >"),
    ] {
        let run = place.run(arguments);
        let error: serde_json::Value =
            serde_json::from_str(run.stderr.trim_end()).unwrap_or_else(|_| panic!("{run}"));
        assert_eq!((run.code, error["exit_code"].as_i64()), (Some(code), Some(code.into())), "{run}");
        assert!(error["error"].as_str().unwrap().contains(says) && run.stdout.is_empty(), "{run}");
    }
    let run = place.run(&["observers", "validate", "a.toml", "--output", "json"]);
    let error: serde_json::Value = serde_json::from_str(run.stderr.trim_end()).unwrap();
    let problems = error["problems"].as_array().unwrap();
    let problem = problems.iter().find(|problem| problem["path"] == "observers[0].name").unwrap();
    assert_eq!(
        (problem["path"].as_str(), problem["line"].as_i64(), problem["file"].as_str()),
        (Some("observers[0].name"), Some(2), Some("a.toml"))
    );
}

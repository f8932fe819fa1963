//! Malformed configurations with a password in them: whatever is wrong, the password stands in no output, as text or as JSON.

use crate::place::{Place, Run};

const PASSWORD: &str = "hunter2";

/// `aftercommit.toml`, wrong in one way each.
const CONFIGURATIONS: [&str; 47] = [
    // The database's URL, misquoted and in other forms.
    "[database]\nurl = \"postgres://app:hunter2@db/shop",
    "[database]\nurl = postgres://app:hunter2@db/shop",
    "[database]\nurl = 'postgres://app:hunter2@db/shop\"",
    "[database]\nurl = \"postgres://app:hun\"hunter2@db/shop\"",
    "[database]\nurl = \"\"postgres://app:hunter2@db/shop\"\"",
    "[database]\nurl \"postgres://app:hunter2@db/shop\"",
    "[database]\nurl: \"postgres://app:hunter2@db/shop\"",
    "[database]\nurl = [\"postgres://app:hunter2@db/shop\"]",
    "[database]\nurl = { value = \"postgres://app:hunter2@db/shop\" }",
    "[database]\nurl = \"\"\"\npostgres://app:hunter2@db/shop\n",
    "[database]\nurl = \"postgres://app:\\hunter2@db/shop\"",
    "[database]\nurl = \"mysql://app:hunter2@db/shop\"",
    "[database]\nurl = \"host=db user=app password=hunter2\"",
    "[database]\nurl = \"host=db user=app password='x hunter2'\"",
    "[database]\nurl = \"Server=db;Uid=app;Pwd=hunter2;\"",
    "[database]\nurl = \"postgres://db/shop?password=hunter2&sslmod=x\"",
    "[database]\nurl = \"postgres://db/shop?sslmode=require&options=-c%20x%3Dhunter2\"",
    "[database]\nurl = \"postgres://app:p@ss@hunter2@db:x/shop\"",
    "[database]\nurl = \"postgres://app:p?hunter2@db/shop\"",
    "[database]\nurl = \"postgres://app:p/hunter2@db/shop\"",
    "[database]\nurl = \"postgres://app:p#hunter2@db/shop\"",
    "[database]\nurl = \"postgres://app:hunter2\"",
    "[database]\nurl = \"postgres%3A%2F%2Fapp%3Ahunter2%40db%2Fshop\"",
    "[database]\nurl = \"postgres://app:hunter2%4%@db/shop\"",
    "[database]\nurl = \"app:hunter2@db/shop\"",
    "[database]\nurl = \"sqlite:shop.db?cipher_key=hunter2\"",
    "[database]\nurl = \"sqlite:///none/shop.db?key=hunter2\"",
    "[database]\nurl = \"sqlite:/none/shop.db;password=hunter2\"",
    "[database]\nurl = \"file:shop.db?hexkey=hunter2\"",
    "[database]\nulr = \"postgres://app:hunter2@db/shop\"",
    "[database]\nlisten_url = \"mysql://app:hunter2@db/shop\"",
    "[database]\npassword = \"hunter2\"",
    "[database]\nurl = \"sqlite:a.db\"\nschema = \"postgres://app:hunter2@db/shop\" x",
    "database = \"postgres://app:hunter2@db/shop\"",
    "[[database]]\nurl = \"postgres://app:hunter2@db/shop\"",
    "database.url = \"postgres://app:hunter2@db/shop\nx = 1",
    // Passwords of servers.
    "[smtp]\nhost = \"h\"\npassword = \"hunter2\"",
    "[smtp]\nhost = \"h\"\npassword = 'hunter2",
    "[smtp]\nhost = \"h\"\npassword = hunter2",
    "[smtp]\nhost = \"h\"\npasword = hunter2",
    "[smtp]\nhost = \"h\"\nusername = \"u\"\npassword_env = hunter2",
    "[smtp]\nhost = \"h\"\ntls = \"smtp://u:hunter2@h\"",
    "[redis.cache]\nurl = \"redis://:hunter2@cache/zero\"",
    "[redis.cache]\nurl = redis://:hunter2@cache",
    "[memcached.cache]\nurl = \"memcached://u:hunter2@cache\"",
    "[destinations.\"https://u:hunter2@example.com\"]\nrate_per_sec = 1",
    "[plugins.webhook]\nsource = \"oci://u:hunter2@registry/webhook\"\nconfig = { token = \"hunter2\" }",
];

/// Files of observers, by their extension.
const OBSERVERS: [(&str, &str); 30] = [
    ("toml", "url = \"https://u:hunter2@example.com\""),
    ("toml", "url = \"https://u:hunter2@example.com"),
    ("toml", "url = https://u:hunter2@example.com"),
    ("toml", "url = \"https://u:hunter2@example.com/{{#if\""),
    ("toml", "url = \"https://example.com/?api_key=hunter2&{{#if\""),
    ("toml", "url = \"https://example.com\"\nheaders = { Authorization = \"Bearer hunter2\", \"X\" = 1 }"),
    ("toml", "url = \"https://example.com\"\nheaders = { Authorization = \"Bearer hunter2 }"),
    ("toml", "url = \"https://example.com\"\ntoken = \"hunter2\""),
    ("toml", "url = \"https://example.com\"\nsigning_secret = \"hunter2"),
    ("toml", "url = \"https://example.com\"\nsigning_secret = [\"hunter2\",\n\"hunter2\""),
    ("toml", "url = \"https://example.com\"\nsigning_secret = \"\"\"\nhunter2\n\"\"\" x"),
    ("toml", "url = \"https://example.com\"\npasswrd = hunter2"),
    ("toml", "url = \"https://example.com\"\n\"pass\\u0077ord\" = hunter2"),
    ("toml", "url = \"https://example.com\"\ntimeout_ms = \"postgres://app:hunter2@db\""),
    ("yaml", "url: https://u:hunter2@example.com"),
    ("yaml", "url: 'https://u:hunter2@example.com"),
    ("yaml", "url: \"https://u:hunter2@example.com\" x"),
    ("yaml", "url: https://example.com\n    password: 'hunter2"),
    ("yaml", "url: https://example.com\n    password: \"hunter2\" x: y"),
    ("yaml", "url: https://example.com\n    token: |\n      hunter2\n   x: 1"),
    ("yaml", "url: https://example.com\n    token: [hunter2, {hunter2: 1}"),
    ("yaml", "url: https://example.com\n    token: !!int hunter2"),
    ("yaml", "url: https://example.com\n    token: *hunter2"),
    ("yaml", "url: https://example.com\n    timeout_ms: postgres://app:hunter2@db"),
    ("json", "\"url\": \"https://u:hunter2@example.com\""),
    ("json", "\"url\": \"https://u:hunter2@example.com"),
    ("json", "\"url\": https://u:hunter2@example.com"),
    ("json", "\"url\": \"https://example.com\", \"password\": 'hunter2'"),
    ("json", "\"url\": \"https://example.com\",\n\"token\":\n\"hunter2\", \"token\": 1"),
    ("json", "\"url\": \"https://example.com\", \"hunter2\": 1, \"password\": \"hunter2\""),
];

fn file_of(extension: &str, action: &str) -> String {
    match extension {
        "toml" => {
            format!("[[observers]]\nname = \"a\"\n[[observers.actions]]\ntype = \"webhook\"\n{action}\n")
        }
        "yaml" => format!("observers:\n- name: a\n  actions:\n  - type: webhook\n    {action}\n"),
        _ => format!(
            "{{\"observers\": [{{\"name\": \"a\", \"actions\": [{{\"type\": \"webhook\", {action}}}]}}]}}"
        ),
    }
}

/// Fails if the run succeeded or shows the password.
fn check(run: &Run, text: &str) {
    assert!(matches!(run.code, Some(1..=3)), "{text}\n{run}");
    assert!(!run.to_string().contains(PASSWORD), "{text}\n{run}");
    let lines: Vec<&str> = run.stderr.lines().collect();
    if run.line.ends_with("--output json") {
        let error: serde_json::Value = serde_json::from_str(lines.last().unwrap())
            .unwrap_or_else(|error| panic!("{error}: {text}\n{run}"));
        assert!(!error["error"].as_str().unwrap().is_empty(), "{text}\n{run}");
        assert_eq!(error["exit_code"], run.code.unwrap(), "{text}");
    }
}

#[test]
fn no_malformed_configuration_shows_its_password() {
    let place = Place::new();
    for text in CONFIGURATIONS {
        place.write("aftercommit.toml", text);
        for format in ["table", "json"] {
            check(&place.run(&["deliveries", "list", "--output", format]), text);
        }
    }
}

#[test]
fn no_malformed_file_of_observers_shows_its_password() {
    let place = Place::new();
    for (extension, action) in OBSERVERS {
        let file = format!("observers.{extension}");
        let text = file_of(extension, action);
        place.write(&file, &text);
        for format in ["table", "json"] {
            check(&place.run(&["observers", "validate", &file, "--output", format]), &text);
        }
    }
}

#[test]
fn no_variable_of_the_environment_shows_its_password() {
    let place = Place::new();
    for (name, value) in [
        ("DATABASE_URL", "host=db user=app password=hunter2"),
        ("DATABASE_URL", "postgres://app:hunter2"),
        ("DATABASE_URL", "postgres://app:p?hunter2@db/shop"),
        ("AFTERCOMMIT_DATABASE_LISTEN_URL", "app:hunter2@db"),
        ("AFTERCOMMIT_REDIS_CACHE_URL", "redis://:hunter2@cache?x=1"),
        ("AFTERCOMMIT_SMTP_TLS", "smtp://u:hunter2@h"),
        ("AFTERCOMMIT_ADMIN_LISTEN", "http://u:hunter2@127.0.0.1"),
    ] {
        for format in ["table", "json"] {
            let arguments = ["deliveries", "list", "--output", format];
            let mut command = place.command(&arguments);
            command.env(name, value);
            check(&place.finish(command, &arguments, ""), value);
        }
    }
}

//! The example files of the actions, sent to a server of the test in the place of the vendor.

use std::{fs, path::Path, time::Duration};

use crate::{shop::Shop, sqlite_file::SqliteFile};

/// Lets an action reach a server on loopback.
pub(super) const PRIVATE: &str = "grants = { private_network = true }\n";

/// `examples/actions/NAME.toml`, with `more` added after each line that begins as said.
pub(super) fn example(name: &str, more: &[(&str, String)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/actions/{name}.toml"));
    let written = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = String::new();
    let mut used = vec![false; more.len()];
    for line in written.lines() {
        text.push_str(line);
        text.push('\n');
        for (position, (start, lines)) in more.iter().enumerate() {
            if line.starts_with(start) {
                text.push_str(lines);
                used[position] = true;
            }
        }
    }
    assert!(used.iter().all(|used| *used), "{name}.toml has no longer all of {more:?}");
    text
}

/// A shop with the example's observers and these variables of the environment.
pub(super) async fn shop(observers: &str, environment: &[(&str, &str)]) -> Shop<SqliteFile> {
    let mut shop = Shop::open("").await;
    for (name, value) in environment {
        shop.set_env(name, *value);
    }
    shop.observe(observers);
    shop
}

/// Waits until `count` attempts are logged; returns their status, class, code and HTTP status, in order.
pub(super) async fn logged(shop: &Shop<SqliteFile>, count: i64) -> Vec<String> {
    shop.eventually(Duration::from_mins(1), "the attempts are logged", async |shop| {
        shop.count("SELECT count(*) FROM tb_observer_log").await >= count
    })
    .await;
    let lines: String = shop
        .value(
            "SELECT group_concat(line, char(10)) FROM (SELECT observer || ' ' || status || ' ' || coalesce(class, '-') || ' ' ||
             coalesce(code, '-') || ' ' || coalesce(http_status, '-') AS line FROM tb_observer_log ORDER BY pk_log)",
        )
        .await;
    lines.lines().map(str::to_owned).collect()
}

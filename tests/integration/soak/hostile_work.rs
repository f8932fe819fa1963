//! Guests, servers, templates and rows that a host has to bear.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use aftercommit_tests::wasm;
use serde_json::json;

use super::unruly_server::UnrulyServer;
use crate::actions::built;

/// What guests do: name, plugin, and what the action says beside it.
const GUESTS: [(&str, &str, &str); 20] = [
    ("panics", "hostile", "do = \"panic\"\nmessage = \"boom\""),
    ("traps", "hostile", "do = \"trap\""),
    ("grows", "hostile", "do = \"grow_memory\"\nlimits = { memory_mb = 16 }"),
    ("loops", "hostile", "do = \"loop\"\nlimits = { cpu_ms = 20 }"),
    ("recurses", "hostile", "do = \"recurse\""),
    ("floods", "hostile", "do = \"flood_log\"\ncount = 10000"),
    ("calls", "hostile", "do = \"host_calls\"\ncount = 100000"),
    ("returns", "hostile", "do = \"huge_result\"\nsize_bytes = 4000000"),
    ("details", "hostile", "do = \"bad_details\""),
    ("spins", "wasi", "do = \"spin\"\nlimits = { cpu_ms = 20 }"),
    ("alarms", "wasi", "do = \"keep_alarms\"\ncount = 100000"),
    ("headers", "wasi", "do = \"grow_headers\"\ncount = 100000"),
    ("sleeps", "wasi", "do = \"sleep\"\ntimeout_ms = 300"),
    ("takes-memories", "heavy", "do = \"sleep\"\ntimeout_ms = 300"),
    ("exits", "wasi", "do = \"exit\""),
    ("no-text", "abi", "do = \"not_text\""),
    ("wild-place", "abi", "do = \"wild_place\""),
    ("wild-length", "abi", "do = \"wild_length\""),
    ("wild-list", "abi", "do = \"wild_list\""),
    ("no-case", "abi", "do = \"no_such_case\""),
];

/// Templates that load and do not render.
const TEMPLATES: [(&str, &str); 3] = [
    ("missing", "{{nothing.here}}"),
    (
        "swells",
        "{{json (json (json (json (json (json (json (json (json (json (json (json (json (json (json (json (json (json \
         (json (json (json (json (json (json body)))))))))))))))))))))))}}",
    ),
    ("no-json", "{\"a\": {{{body}}}"),
];

/// Templates that do not even load.
const UNLOADABLE: [(&str, usize); 4] =
    [("{{#each @root/c}}{{!-- {{/each}} --}}", 700), ("{{", 60_000), ("{{#if a}}", 400), ("{{x (not ", 500)];

/// What somebody with rights to our tables writes there; after each the next is written.
pub(super) const ODD_ROWS_ON_SQLITE: &[&str] = &[
    "UPDATE tb_observer SET enabled = 'true' WHERE name = 'odd'",
    "UPDATE tb_observer SET retry = x'ff00', priority = -1.5 WHERE name = 'odd'",
    "UPDATE tb_observer SET condition = '((((', enabled = 1 WHERE name = 'odd'",
    "INSERT INTO observer_inbox (seq, entity_type, entity_id, event_kind, data) SELECT seq, 'Order', x'ff', 'odd', '{' FROM observer_next",
    "INSERT INTO observer_quarantine (reason, quarantined_at) VALUES (x'00ff', 'yesterday')",
    "INSERT OR REPLACE INTO observer_destinations VALUES
         ('destination', 'odd', '', 'open', 'c', 'm', NULL, 'yesterday', NULL, 0, '{', NULL, NULL)",
    "UPDATE tb_observer SET retry = '{}', priority = 100, condition = NULL WHERE name = 'odd'",
];

pub(super) const ODD_ROWS_ON_POSTGRES: &[&str] = &[
    "UPDATE tb_observer SET retry = '7' WHERE name = 'odd'",
    "UPDATE tb_observer SET condition = '((((', retry = '{}' WHERE name = 'odd'",
    "INSERT INTO observer_destinations VALUES
         ('destination', 'odd', '', 'open', 'c', 'm', 99999, now(), NULL, -1, '{}', NULL, NULL) ON CONFLICT DO NOTHING",
    "UPDATE tb_observer SET condition = NULL WHERE name = 'odd'",
];

/// The plugins that all this needs, as configuration.
pub(super) fn plugins() -> String {
    let plugin =
        |name| format!("[plugins.{name}]\nsource = \"file:{}\"\n", built(&format!("test/{name}")).display());
    format!("{}[plugins.heavy]\nsource = \"file:{HEAVY}\"\n", ["hostile", "wasi", "abi"].map(plugin).concat())
}

/// In the shop's folder: a guest whose instances take much of the pool.
pub(super) const HEAVY: &str = "heavy.wasm";

pub(super) fn heavy() -> Vec<u8> {
    wasm::with_memories(&std::fs::read(built("test/wasi")).expect("it is built"), 16)
}

pub(super) struct HostileWork {
    /// Name and action of each observer of hostile rows.
    observers: Vec<(&'static str, String)>,
    odd_rows: Vec<String>,
    next_odd_row: AtomicUsize,
}

impl HostileWork {
    pub(super) fn new(servers: &[(&'static str, UnrulyServer)], odd_rows: &[&str]) -> Self {
        let guests = GUESTS.map(|(name, plugin, action)| (name, format!("type = \"{plugin}\"\n{action}\n")));
        let to_server =
            |(kind, server): &(&'static str, UnrulyServer)| (*kind, hook(&server.url(), "timeout_ms = 1000"));
        let nowhere = |template| hook("http://127.0.0.1:9/", &format!("body_template = '{template}'"));
        let templates = TEMPLATES.map(|(name, template)| (name, nowhere(template)));
        let observers = guests.into_iter().chain(servers.iter().map(to_server)).chain(templates).collect();
        let mut odd_rows: Vec<String> = odd_rows.iter().map(|&row| row.to_owned()).collect();
        for (piece, count) in UNLOADABLE {
            let actions = json!([{"type": "webhook", "url": "http://127.0.0.1:9/", "grants": {"private_network": true}, "body_template": piece.repeat(count)}]);
            odd_rows.push(format!("UPDATE tb_observer SET actions = '{actions}' WHERE name = 'odd'"));
        }
        Self { observers, odd_rows, next_odd_row: AtomicUsize::new(0) }
    }

    /// Its observers, and one that the odd rows are made of.
    pub(super) fn observers(&self) -> String {
        let hostile = self.observers.iter().map(|(name, action)| {
            format!(
                "[[observers]]\nname = \"{name}\"\nentity_type = \"Noise\"\ncondition = \"kind = '{name}'\"\n[observers.retry]\n\
                 max_attempts = 2\ninitial_delay_ms = 1\n[[observers.actions]]\n{action}"
            )
        });
        let odd = "[[observers]]\nname = \"odd\"\nentity_type = \"Noise\"\n[[observers.actions]]\ntype = \"log\"\nmessage = \"odd\"\n";
        hostile.collect::<String>() + odd
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.observers.iter().map(|(name, _)| *name)
    }

    /// The kind and the body of each row of a round.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.kinds().map(|kind| (kind, "\"\\".repeat(fastrand::usize(1..50))))
    }

    /// A statement that leaves an odd row in a table of ours, or mends the one before.
    pub(super) fn next_odd_row(&self) -> &str {
        let next = self.next_odd_row.fetch_add(1, Relaxed);
        &self.odd_rows[next % self.odd_rows.len()]
    }
}

fn hook(url: &str, more: &str) -> String {
    format!("type = \"webhook\"\nurl = \"{url}\"\n{more}\ngrants = {{ private_network = true }}\n")
}

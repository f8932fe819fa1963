//! Guests, servers, templates and rows that a host has to bear. A new kind of trouble is a line of one of these tables.

use aftercommit_tests::wasm;
use serde_json::json;

use super::unruly_servers::{ENDLESS_GREETING, ENDLESS_REPLY, NOISE, UnrulyServers};
use crate::actions::built;

/// What guests do: the observer's name, the plugin, and the action's other keys. `{silence}` is the address of that unruly server.
const GUESTS: &[(&str, &str, &str)] = &[
    ("panics", "hostile", "do = \"panic\"\nmessage = \"boom\""),
    ("traps", "hostile", "do = \"trap\""),
    ("recurses", "hostile", "do = \"recurse\""),
    ("loops", "hostile", "do = \"loop\"\nlimits = { cpu_ms = 20 }"),
    ("loops-until-timeout", "hostile", "do = \"loop\"\ntimeout_ms = 50"),
    ("grows-memory", "hostile", "do = \"grow_memory\"\nlimits = { memory_mb = 16 }"),
    ("floods-log", "hostile", "do = \"flood_log\"\ncount = 900"),
    ("calls-host", "hostile", "do = \"host_calls\"\ncount = 100000"),
    ("returns-much", "hostile", "do = \"huge_result\"\nsize_bytes = 4000000"),
    ("returns-no-json", "hostile", "do = \"bad_details\""),
    (
        "asks-silence",
        "hostile",
        "do = \"sleep_http\"\nrequest = { url = \"http://{silence}/\", timeout_ms = 100 }\ntimeout_ms = 300\n\
         grants = { http = [\"http://{silence}\"], private_network = true }",
    ),
    (
        "asks-what-is-denied",
        "hostile",
        "do = \"sleep_http\"\nrequest = { url = \"http://169.254.169.254/\" }",
    ),
    ("spins", "wasi", "do = \"spin\"\nlimits = { cpu_ms = 20 }"),
    ("polls", "wasi", "do = \"poll\"\ncount = 1000\nlimits = { cpu_ms = 20 }"),
    ("takes-randomness", "wasi", "do = \"random\"\ncount = 65536\nlimits = { cpu_ms = 20 }"),
    ("keeps-alarms", "wasi", "do = \"keep_alarms\"\ncount = 100000"),
    ("grows-headers", "wasi", "do = \"grow_headers\"\ncount = 100000"),
    ("prints", "wasi", "do = \"print\"\ncount = 900"),
    ("sleeps", "wasi", "do = \"sleep\"\ntimeout_ms = 300"),
    ("exits", "wasi", "do = \"exit\""),
    ("has-many-memories", "heavy", "do = \"sleep\"\ntimeout_ms = 300"),
    ("grows-table", "by-hand", "do = \"grow\"\nlimits = { cpu_ms = 20 }"),
    ("writes-no-text", "abi", "do = \"not_text\""),
    ("returns-no-text", "abi", "do = \"return_not_text\""),
    ("points-nowhere", "abi", "do = \"wild_place\""),
    ("lies-of-length", "abi", "do = \"wild_length\""),
    ("lies-of-list", "abi", "do = \"wild_list\""),
    ("makes-cases-up", "abi", "do = \"no_such_case\""),
];

/// Those that nothing else ends before; with the default, a quarter would end with ten seconds of waiting for them.
const GUEST_TIMEOUT: &str = "timeout_ms = 2000\n";

/// Templates that load and do not render, or render what nobody can use.
const TEMPLATES: &[(&str, &str)] = &[
    ("misses-a-field", "{{nothing.here}}"),
    (
        "swells",
        "{{json (json (json (json (json (json (json (json (json (json (json (json (json (json (json (json (json (json \
         (json (json (json (json (json (json body)))))))))))))))))))))))}}",
    ),
    (
        "repeats",
        "{{#each data}}{{#each ../data}}{{#each ../../data}}{{json ../../../data}}{{/each}}{{/each}}{{/each}}",
    ),
    ("makes-no-json", "{\"a\": {{{body}}}"),
];

/// Actions of built-in plugins, beside a webhook to each unruly server: the observer's name and the whole action.
const BUILT_IN: &[(&str, &str)] = &[
    // The host tells addresses apart by what the template makes.
    (
        "fails-at-new-addresses",
        "type = \"webhook\"\nurl = \"http://{answers-500}/{{entity_id}}\"\ngrants = { private_network = true }",
    ),
    (
        "is-throttled-at-new-addresses",
        "type = \"webhook\"\nurl = \"http://{answers-429}/{{entity_id}}\"\ngrants = { private_network = true }",
    ),
    ("redis-replies-noise", "type = \"cache\"\nconnection = \"noise\"\nkey_pattern = \"{{entity_id}}\""),
    (
        "redis-replies-for-ever",
        "type = \"cache\"\nconnection = \"endless\"\nkey_pattern = \"{{entity_id}}:*\"",
    ),
    (
        "memcached-replies-for-ever",
        "type = \"cache\"\nbackend = \"memcached\"\nconnection = \"endless\"\nkey_pattern = \"{{entity_id}}\"",
    ),
    (
        "mail-server-greets-for-ever",
        "type = \"email\"\nto = \"ana@example.com\"\nsubject = \"noise\"\nbody_template = \"{{body}}\"\ntimeout_ms = 1000",
    ),
];

/// Templates that do not even load, each a piece and how often it is repeated.
const UNLOADABLE: &[(&str, usize)] =
    &[("{{#each @root/c}}{{!-- {{/each}} --}}", 700), ("{{", 60_000), ("{{#if a}}", 400), ("{{x (not ", 500)];

/// What somebody with rights to our tables may write there, one after the other and then from the beginning; the last makes the
/// observer `odd` well again.
pub(super) const ODD_ROWS_ON_SQLITE: &[&str] = &[
    "UPDATE tb_observer SET enabled = 'true' WHERE name = 'odd'",
    "UPDATE tb_observer SET enabled = 1, retry = x'ff00', priority = -1.5 WHERE name = 'odd'",
    "UPDATE tb_observer SET retry = '{}', priority = 100, condition = '((((' WHERE name = 'odd'",
    "UPDATE tb_observer SET condition = NULL, actions = '[{\"type\": \"none\"}]', alert = x'00' WHERE name = 'odd'",
    "INSERT INTO observer_inbox (seq, entity_type, entity_id, event_kind, data) SELECT seq, 'Order', x'ff', 'odd', '{' FROM observer_next",
    "INSERT INTO observer_inbox (seq, entity_type, entity_id, event_kind, data)
     SELECT seq, 'Noise', '0', 'created', replace(hex(zeroblob(50000)), '0', '[') FROM observer_next",
    "INSERT INTO observer_inbox (seq, event_seq) SELECT seq, -1 FROM observer_next",
    "INSERT INTO observer_quarantine (reason, quarantined_at) VALUES (x'00ff', 'yesterday')",
    "INSERT OR REPLACE INTO observer_destinations VALUES
         ('destination', 'odd', '', 'open', 'c', 'm', NULL, 'yesterday', NULL, 0, '{', NULL, NULL)",
    "INSERT OR REPLACE INTO observer_learned_rates VALUES ('destination', 'odd', 9223372036854775807, 'yesterday', '', '{')",
    "INSERT OR REPLACE INTO observer_hosts VALUES ('odd', x'1b', 'yesterday', 'tomorrow', -1)",
    "UPDATE observer_deliveries SET attempts = -5, last_error = x'ff'
     WHERE id = (SELECT id FROM observer_deliveries WHERE observer = 'panics' AND state = 'waiting' LIMIT 1)",
    "UPDATE noise SET body = hex(zeroblob(9 << 20)) WHERE id = 0",
    "UPDATE noise SET body = '' WHERE id = 0",
    "UPDATE tb_observer SET retry = '{}', priority = 100, condition = NULL, alert = NULL WHERE name = 'odd'",
];

/// The same on PostgreSQL, which refuses most of those.
pub(super) const ODD_ROWS_ON_POSTGRES: &[&str] = &[
    "UPDATE tb_observer SET retry = '7' WHERE name = 'odd'",
    "UPDATE tb_observer SET retry = '{}', priority = -2000000000 WHERE name = 'odd'",
    "UPDATE tb_observer SET priority = 100, condition = '((((' WHERE name = 'odd'",
    "UPDATE tb_observer SET condition = NULL, actions = '[{\"type\": \"none\"}]', alert = '7' WHERE name = 'odd'",
    "INSERT INTO observer_inbox (entity_type, entity_id, event_kind, occurred_at, data) VALUES ('Order', '', 'odd', now(), '{')",
    "INSERT INTO observer_inbox (entity_type, entity_id, event_kind, occurred_at, data)
     VALUES ('Noise', '0', 'created', now(), repeat('[', 100000))",
    "INSERT INTO observer_inbox (event_seq) VALUES (-1)",
    "INSERT INTO observer_destinations VALUES
         ('destination', 'odd', '', 'open', 'c', 'm', 99999, now(), NULL, -1, '{}', NULL, NULL) ON CONFLICT DO NOTHING",
    "INSERT INTO observer_learned_rates VALUES ('destination', 'odd', 9223372036854775807, now(), now(), '{}') ON CONFLICT DO NOTHING",
    "INSERT INTO observer_hosts (id, name, started_at, heartbeat_at) VALUES (gen_random_uuid(), '', 'infinity', '-infinity')",
    "UPDATE observer_deliveries SET attempts = -5, event_bytes = -1
     WHERE id = (SELECT id FROM observer_deliveries WHERE observer = 'panics' AND state = 'waiting' LIMIT 1)",
    "UPDATE noise SET body = repeat('x', 18 << 20) WHERE id = 0",
    "UPDATE noise SET body = '' WHERE id = 0",
    "UPDATE tb_observer SET alert = NULL WHERE name = 'odd'",
];

/// What is the same on both; `{n}` is another number each time.
const ODD_ROWS: &[&str] = &[
    // A destination and a secret that nobody named before.
    "UPDATE tb_observer SET actions = '[{\"type\": \"webhook\", \"url\": \"http://n{n}.invalid/\"}]' WHERE name = 'odd'",
    "UPDATE tb_observer SET actions = '[{\"type\": \"slack\", \"webhook_url_env\": \"NONE_{n}\"}]' WHERE name = 'odd'",
    // A person who resumes whatever is held back: with the default settings, hostile servers would soon be left alone.
    "DELETE FROM observer_destinations",
];

/// Noise of a round: the next of the kinds.
const ROWS: usize = 10;

/// Plugin and file of the guests.
const PLUGINS: [(&str, &str); 4] =
    [("hostile", "test/hostile"), ("wasi", "test/wasi"), ("abi", "test/abi"), ("by-hand", "test/by_hand")];

/// The guest whose instances take much of the pool, in the shop's folder.
pub(super) const HEAVY: &str = "heavy.wasm";

/// That component.
pub(super) fn heavy() -> Vec<u8> {
    wasm::with_memories(&std::fs::read(built("test/wasi")).expect("it is built"), 16)
}

/// The plugins and the servers that hostile actions name, as configuration.
pub(super) fn config(servers: &UnrulyServers) -> String {
    let plugin = |(name, file): (&str, &str)| {
        format!("[plugins.{name}]\nsource = \"file:{}\"\n", built(file).display())
    };
    format!(
        "[redis.noise]\nurl = \"redis://{}\"\n[redis.endless]\nurl = \"redis://{endless}\"\n\
         [memcached.endless]\nurl = \"memcached://{endless}\"\n\
         [smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nfrom = \"shop@example.com\"\n\
         {}[plugins.heavy]\nsource = \"file:{HEAVY}\"\n",
        servers.address(NOISE),
        servers.port(ENDLESS_GREETING),
        PLUGINS.map(plugin).concat(),
        endless = servers.address(ENDLESS_REPLY),
    )
}

/// The hostile half of the work on one database.
pub(super) struct HostileWork {
    /// Name and action of each observer of noise; the name is the kind of row that it is for.
    observers: Vec<(&'static str, String)>,
    odd_rows: Vec<String>,
    written: usize,
    odd_rows_written: usize,
}

impl HostileWork {
    pub(super) fn new(servers: &UnrulyServers, odd_rows: &[&str]) -> Self {
        let addressed = |action: &str| {
            servers.names().fold(format!("{action}\n"), |action, name| {
                action.replace(&format!("{{{name}}}"), &servers.address(name))
            })
        };
        let guests = GUESTS.iter().map(|(name, plugin, action)| {
            let timeout = if action.contains("\ntimeout_ms") { "" } else { GUEST_TIMEOUT };
            (*name, format!("type = \"{plugin}\"\n{timeout}{}", addressed(action)))
        });
        let receivers = servers
            .names()
            .map(|name| (name, hook(&format!("http://{}/", servers.address(name)), "timeout_ms = 1000")));
        let templates = TEMPLATES.iter().map(|(name, template)| {
            (*name, hook("http://127.0.0.1:9/", &format!("body_template = '{template}'")))
        });
        let built_in = BUILT_IN.iter().map(|(name, action)| (*name, addressed(action)));
        let unloadable = UNLOADABLE.iter().map(|(piece, count)| {
            let actions = json!([{"type": "webhook", "url": "http://127.0.0.1:9/", "grants": {"private_network": true}, "body_template": piece.repeat(*count)}]);
            format!("UPDATE tb_observer SET actions = '{actions}' WHERE name = 'odd'")
        });
        let odd_rows = ODD_ROWS.iter().chain(odd_rows).map(|&row| row.to_owned());
        Self {
            observers: guests.chain(receivers).chain(templates).chain(built_in).collect(),
            odd_rows: unloadable.chain(odd_rows).collect(),
            written: 0,
            odd_rows_written: 0,
        }
    }

    /// Its observers, with the default retry policy, and the one that odd rows are made of.
    pub(super) fn observers(&self) -> String {
        let hostile = self.observers.iter().map(|(name, action)| {
            format!(
                "[[observers]]\nname = \"{name}\"\nentity_type = \"Noise\"\ncondition = \"kind = '{name}'\"\n\
                 [[observers.actions]]\n{action}"
            )
        });
        let odd = "[[observers]]\nname = \"odd\"\nentity_type = \"Noise\"\ncondition = \"kind = 'odd'\"\n\
                   [[observers.actions]]\ntype = \"log\"\nmessage = \"odd\"\n";
        hostile.collect::<String>() + odd
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.observers.iter().map(|(name, _)| *name)
    }

    /// Rows that have been made so far.
    pub(super) const fn written(&self) -> usize {
        self.written
    }

    /// A statement with the rows of a round: the next of the kinds.
    pub(super) fn next_rows(&mut self) -> String {
        let rows: Vec<String> = (0..ROWS)
            .map(|_| {
                let (kind, _) = &self.observers[self.written % self.observers.len()];
                self.written += 1;
                format!("({}, '{kind}', '{}')", self.written, "\"\\".repeat(fastrand::usize(1..50)))
            })
            .collect();
        format!("INSERT INTO noise VALUES {}", rows.join(", "))
    }

    /// The next statement that leaves an odd row in a table of ours, or mends the one before.
    pub(super) fn next_odd_row(&mut self) -> String {
        let row = &self.odd_rows[self.odd_rows_written % self.odd_rows.len()];
        self.odd_rows_written += 1;
        row.replace("{n}", &self.odd_rows_written.to_string())
    }
}

fn hook(url: &str, more: &str) -> String {
    format!("type = \"webhook\"\nurl = \"{url}\"\n{more}\ngrants = {{ private_network = true }}\n")
}

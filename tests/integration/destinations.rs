//! Destinations that fail, ask for a pause or have a rate, and endpoints that are gone, on either database: what they get,
//! what waits, and that nothing is lost or counted meanwhile.

use std::{
    collections::HashSet,
    fs,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use aftercommit_tests::{Answer, Certificate, Received, Receiver};
use serde_json::{Value, json};

use crate::{
    delivery::cases,
    shop::{Database, Shop, webhook},
};

const SOON: Duration = Duration::from_mins(1);

/// One request at once, so that what the first is answered decides of the others. A host that was killed is missed soon.
const ONE_BY_ONE: &str = "[dispatch]\nper_destination = 1\nlease_timeout_ms = 1000\n";

const BREAKER: &str = "[dispatch]\nper_destination = 8\nbreaker_failures = 3\nbreaker_open_ms = 100\n";

/// Claims of a few deliveries, for a destination that runs two at once.
const SMALL: &str = "[intake]\nbatch_size = 16\n[dispatch]\nper_destination = 2\n";

/// Longer than any test: it ends when it is resumed.
pub(crate) const LATER_SECS: &str = "250";

/// Without a breaker, a receiver would be asked again a hundred times a second, by each delivery.
pub(crate) const IMPATIENT: &str =
    "retry = { max_attempts = 1000, initial_delay_ms = 10, max_delay_ms = 10 }";

/// By itself, a delivery that was throttled waits ten times this at most: here it is the destination that waits.
pub(crate) const BRIEF: &str = "retry = { max_attempts = 3, initial_delay_ms = 10, max_delay_ms = 20 }";

cases! {
    retry_after_holds_the_endpoint_that_asks_and_no_other: super::ONE_BY_ONE,
    a_path_that_fails_does_not_stall_another_of_its_server: super::BREAKER,
    one_recipient_of_a_template_does_not_stall_the_others: super::BREAKER,
    a_server_that_nothing_connects_to_is_left_alone: super::BREAKER,
    one_that_fails_is_left_alone_then_probed_then_let_recover: super::BREAKER,
    an_endpoint_that_is_gone_is_paused_alone_until_it_is_resumed: super::ONE_BY_ONE,
    a_changed_action_is_not_paused_any_more: super::ONE_BY_ONE,
    an_endpoint_that_refuses_again_and_again_is_paused: "[dispatch]\nper_destination = 1\npause_after_refusals = 3\n",
    a_rate_is_kept: "",
    events_that_always_fail_do_not_hold_up_the_others: super::BREAKER,
    what_was_lost_with_a_host_tries_its_destination_though_it_failed_last: super::BREAKER,
    events_that_always_fail_have_a_bounded_share_of_a_busy_host: super::SMALL,
    the_rate_of_a_receiver_is_learned: "",
    a_certificate_that_is_not_trusted_costs_no_attempt: "[dispatch]\nbreaker_open_ms = 50\nbreaker_max_open_ms = 200\n",
}

/// Gives the shop's receiver a rate.
pub(crate) fn set_rate<D: Database>(shop: &Shop<D>, per_sec: usize) {
    let config = fs::read_to_string(shop.path("aftercommit.toml")).unwrap();
    let name = shop.receiver.url("");
    shop.write("aftercommit.toml", &format!("{config}[destinations.\"{name}\"]\nrate_per_sec = {per_sec}\n"));
}

/// Orders with these numbers, in one transaction.
pub(crate) async fn order<D: Database>(shop: &Shop<D>, keys: std::ops::Range<u32>) {
    let rows: Vec<String> = keys.map(|key| format!("({key}, 'pending', 1)")).collect();
    shop.sql(&format!("INSERT INTO orders VALUES {}", rows.join(","))).await;
}

/// What is held back, once `wanted` finds it so.
pub(crate) async fn listed<D: Database>(
    shop: &Shop<D>,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    shop.eventually(SOON, what, async |shop| wanted(&shop.json(&["destinations", "list"]))).await;
    shop.json(&["destinations", "list"])
}

fn at_path(received: &[Received], path: &str) -> usize {
    received.iter().filter(|request| request.path == path).count()
}

async fn a_certificate_that_is_not_trusted_costs_no_attempt<D: Database>(shop: Shop<D>) {
    const ORDERS: u32 = 20;
    let (own, other) = (Certificate::new(), Certificate::new());
    let receiver = Receiver::start_tls(own.server(&["http/1.1"])).await;
    let origin = format!("https://localhost:{}", receiver.port());
    let config = fs::read_to_string(shop.path("aftercommit.toml")).unwrap();
    shop.write("aftercommit.toml", &format!("{config}[destinations.\"{origin}\"]\nca_file = \"ca.pem\"\n"));
    fs::copy(other.ca(), shop.path("ca.pem")).unwrap();
    let once = "retry = { max_attempts = 1 }";
    let batches = webhook("batches", once, &format!("{origin}/batches")) + "batch = { max_items = 5 }\n";
    shop.observe(&(webhook("hook", once, &format!("{origin}/hook")) + &batches));
    let host = shop.start_host();
    order(&shop, 0..ORDERS).await;
    let held = listed(&shop, "the certificate is why", |held| held[0]["openings"].as_u64() >= Some(3)).await;
    assert_eq!((&held[0]["name"], &held[0]["code"]), (&json!(origin), &json!("certificate")), "{held}");
    let message = held[0]["reason"].as_str().unwrap();
    assert!(message.contains("ca_file"), "{message}");
    assert!(shop.host_log().contains("the destination is held back"), "{}", shop.host_log());
    assert_eq!(shop.count("SELECT count(*) FROM tb_observer_log").await, 0);
    // Trusted now: the host sees it by itself, and goes on.
    fs::copy(own.ca(), shop.path("ca.pem")).unwrap();
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(at_path(&receiver.received(), "/hook"), ORDERS as usize);
    assert_eq!(shop.json(&["dlq", "list"]), json!([]));
    assert_eq!(shop.count("SELECT max(attempt) FROM tb_observer_log").await, 1);
    assert_eq!(shop.json(&["destinations", "list"]), json!([]));
}

async fn retry_after_holds_the_endpoint_that_asks_and_no_other<D: Database>(shop: Shop<D>) {
    let busy = &shop.receiver;
    shop.observe(
        &[webhook("one", BRIEF, &busy.url("/one")), webhook("two", BRIEF, &busy.url("/two"))].concat(),
    );
    busy.respond(|request| match request.path.as_str() {
        "/one" => Answer::status(503).header("retry-after", LATER_SECS),
        _ => Answer::status(200),
    });
    let host = shop.start_host();
    order(&shop, 1..21).await;
    busy.wait_until(SOON, |received| at_path(received, "/two") == 20).await;
    let held = listed(&shop, "one waits, and nobody owns it", |held| held[0]["waiting"] == 20).await;
    assert_eq!(held.as_array().unwrap().len(), 1, "{held}");
    assert_eq!((&held[0]["kind"], &held[0]["state"]), (&json!("endpoint"), &json!("throttled")));
    assert_eq!((&held[0]["http_status"], &held[0]["name"]), (&json!(503), &json!(busy.url("/one"))));
    assert_eq!(at_path(&busy.received(), "/one"), 1, "one answer speaks for its endpoint");
    let attempted = "SELECT count(*) FROM observer_deliveries WHERE attempts > 0";
    assert_eq!(shop.count(attempted).await, 1, "who waits makes no attempt");
    let log = shop.host_log();
    assert!(log.contains("the destination is held back"), "{log}");

    host.kill();
    let host = shop.start_host();
    order(&shop, 21..31).await;
    busy.wait_until(SOON, |received| at_path(received, "/two") == 30).await;
    assert_eq!(at_path(&busy.received(), "/one"), 1, "a host that starts knows of it");

    busy.respond(|_| Answer::status(200));
    shop.run(&["destinations", "resume", &busy.url("/one")]);
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(shop.json(&["destinations", "list"]), json!([]));
    let received = busy.received();
    assert_eq!(
        (at_path(&received, "/one"), at_path(&received, "/two")),
        (31, 30),
        "each once, and the first"
    );
    assert_eq!(shop.count("SELECT max(attempt) FROM tb_observer_log").await, 2);
    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items").await, 0);
}

/// As many as were under way until the third failed, and a probe each time that its time was over.
fn tried_at_most(held: &Value, name: &str) -> usize {
    let held = held.as_array().unwrap().iter().find(|held| held["name"] == name);
    let openings = held.map_or(0, |held| held["openings"].as_u64().unwrap());
    3 + 8 + usize::try_from(openings).unwrap() + 1
}

async fn a_path_that_fails_does_not_stall_another_of_its_server<D: Database>(shop: Shop<D>) {
    let receiver = &shop.receiver;
    shop.observe(
        &[
            webhook("bad", IMPATIENT, &receiver.url("/bad")),
            webhook("good", IMPATIENT, &receiver.url("/good")),
        ]
        .concat(),
    );
    receiver.respond(|request| Answer::status(if request.path == "/bad" { 500 } else { 200 }));
    let host = shop.start_host();
    let bad = receiver.url("/bad");
    for (orders, all) in [(1..5, 4), (5..45, 44), (45..345, 344)] {
        order(&shop, orders).await;
        receiver.wait_until(SOON, |received| at_path(received, "/good") == all).await;
        let held = listed(&shop, "the other is held back", |held| held[0]["name"] == *bad).await;
        assert_eq!((held.as_array().unwrap().len(), &held[0]["kind"]), (1, &json!("endpoint")), "{held}");
        let tried = at_path(&receiver.received(), "/bad");
        let held = shop.json(&["destinations", "list"]);
        assert!(tried <= tried_at_most(&held, &bad), "{tried} requests to what is left alone: {held}");
    }
    receiver.respond(|_| Answer::status(200));
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(shop.json(&["destinations", "list"]), json!([]));
    assert_eq!(taken(&receiver.received()).len(), 2 * 344, "each was taken once");
    let good = "SELECT max(attempt) FROM tb_observer_log WHERE observer = 'good'";
    assert_eq!(shop.count(good).await, 1);
}

/// The status is where an order's webhook goes: of each hundred, a few go to recipients that fail or have a limit of their own.
async fn one_recipient_of_a_template_does_not_stall_the_others<D: Database>(shop: Shop<D>) {
    let receiver = &shop.receiver;
    shop.observe(&webhook("devices", IMPATIENT, &receiver.url("/{{status}}")));
    let is_healed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let healed = std::sync::Arc::clone(&is_healed);
    receiver.respond(move |request| match request.path.as_str() {
        _ if healed.load(std::sync::atomic::Ordering::SeqCst) => Answer::status(200),
        "/broken" => Answer::status(500),
        "/asks" => Answer::status(429).header("retry-after", "1"),
        "/limited" => Answer::status(429),
        _ => Answer::status(200),
    });
    let host = shop.start_host();
    for round in 0..4_u32 {
        let rows: Vec<String> = (0..100)
            .map(|n| {
                let device = match n % 10 {
                    1 => "broken".to_owned(),
                    4 => "asks".to_owned(),
                    7 => "limited".to_owned(),
                    _ => format!("well{n}"),
                };
                format!("({}, '{device}', 1)", round * 100 + n)
            })
            .collect();
        shop.sql(&format!("INSERT INTO orders VALUES {}", rows.join(","))).await;
        let well = 70 * (round as usize + 1);
        receiver.wait_until(SOON, |received| taken(received).len() == well).await;
        let held = shop.json(&["destinations", "list"]);
        assert!(held.as_array().unwrap().iter().all(|held| held["kind"] == "endpoint"), "{held}");
    }
    let (all, held) = (receiver.received(), shop.json(&["destinations", "list"]));
    let log = shop.host_log();
    assert!(!log.contains("its rate is learned"), "a recipient's own limit is not its server's: {log}");
    for path in ["/broken", "/limited"] {
        let (tried, most) = (at_path(&all, path), tried_at_most(&held, &receiver.url(path)));
        assert!(tried <= most, "{path}: {tried} requests, and not {most}: {held}");
    }
    let attempts = "SELECT count(*) FROM tb_observer_log";
    assert!(usize::try_from(shop.count(attempts).await).unwrap() <= receiver.count(), "who waits makes none");
    is_healed.store(true, std::sync::atomic::Ordering::SeqCst);
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(taken(&receiver.received()).len(), 400, "each was taken once");
    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items").await, 0);
}

async fn a_server_that_nothing_connects_to_is_left_alone<D: Database>(shop: Shop<D>) {
    // A port that nobody listens at any more.
    let dead = Receiver::start().await;
    let origin = dead.url("");
    shop.observe(
        &[
            webhook("dead", IMPATIENT, &dead.url("/{{entity_id}}")),
            webhook("too", IMPATIENT, &dead.url("/fixed")),
            webhook("well", "", &shop.receiver.url("/")),
        ]
        .concat(),
    );
    drop(dead);
    let host = shop.start_host();
    order(&shop, 1..101).await;
    shop.receiver.wait_for(100).await;
    let held = listed(&shop, "it was tried some times", |held| held[0]["openings"].as_u64() >= Some(4)).await;
    assert_eq!((held.as_array().unwrap().len(), &held[0]["name"]), (1, &json!(origin)), "{held}");
    assert_eq!((&held[0]["kind"], &held[0]["code"]), (&json!("destination"), &json!("connect")), "{held}");
    let attempts = shop.count("SELECT count(*) FROM tb_observer_log WHERE observer <> 'well'").await;
    let most = tried_at_most(&shop.json(&["destinations", "list"]), &origin);
    assert!(usize::try_from(attempts).unwrap() <= most, "{attempts} attempts, and not {most}");
    assert!(host.stop());
}

async fn one_that_fails_is_left_alone_then_probed_then_let_recover<D: Database>(shop: Shop<D>) {
    const ORDERS: usize = 100;
    const TAKES: Duration = Duration::from_millis(50);
    shop.observe(&webhook("flaky", IMPATIENT, &shop.receiver.url("/")));
    shop.receiver.respond(|_| Answer::status(503));
    let host = shop.start_host();
    order(&shop, 1..101).await;
    let held = listed(&shop, "it was tried some times", |held| held[0]["openings"].as_u64() >= Some(4)).await;
    assert_eq!(held[0]["code"], "http_status", "{held}");

    // As many as were under way until the third failed, and a probe each time.
    let failed = shop.receiver.count();
    let openings = shop.json(&["destinations", "list"])[0]["openings"].as_u64().unwrap();
    let most = 3 + 8 + usize::try_from(openings).unwrap() + 1;
    assert!(failed <= most, "{failed} requests while it was left alone, with {openings} openings");

    shop.receiver.respond(|_| Answer { after: TAKES, ..Answer::status(200) });
    let received = shop.receiver.wait_until(SOON, |received| taken(received).len() >= ORDERS).await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    let at: Vec<Instant> = taken(&received).iter().map(|request| request.at).collect();
    assert!(at[1] - at[0] >= TAKES, "the second came before the first was answered");
    assert!(at[3] - at[1] >= TAKES, "more than two at once after the first was answered");
    let received = shop.receiver.received();
    assert_eq!(taken(&received).len(), ORDERS, "each was taken once");
    let attempts = shop.count("SELECT count(*) FROM tb_observer_log").await;
    assert_eq!(usize::try_from(attempts).unwrap(), received.len(), "an attempt is a request");
    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items").await, 0);
    assert_eq!(shop.json(&["destinations", "list"]), json!([]));
}

pub(crate) fn taken(received: &[Received]) -> Vec<&Received> {
    received.iter().filter(|request| request.answered == 200).collect()
}

async fn an_endpoint_that_is_gone_is_paused_alone_until_it_is_resumed<D: Database>(shop: Shop<D>) {
    let both =
        webhook("gone", "", &shop.receiver.url("/gone")) + &webhook("well", "", &shop.receiver.url("/well"));
    shop.observe(&both);
    shop.receiver.respond(|request| Answer::status(if request.path == "/gone" { 410 } else { 200 }));
    let host = shop.start_host();
    order(&shop, 1..21).await;
    shop.receiver.wait_until(SOON, |received| at_path(received, "/well") == 20).await;
    let held = listed(&shop, "the others wait", |held| held[0]["waiting"] == 19).await;
    assert_eq!(held.as_array().unwrap().len(), 1, "{held}");
    assert_eq!((&held[0]["name"], &held[0]["kind"]), (&json!("gone/webhook"), &json!("endpoint")));
    assert_eq!((&held[0]["state"], &held[0]["code"]), (&json!("paused"), &json!("endpoint_gone")));
    assert!(held[0]["reason"].as_str().unwrap().contains("410"), "{held}");
    assert_eq!(shop.json(&["observers", "list"])[0]["paused"], json!(["webhook"]));
    let dead = "SELECT count(*) FROM observer_dlq_items";
    assert_eq!(shop.count(dead).await, 1, "the one that was refused went its own way");

    host.kill();
    let host = shop.start_host();
    order(&shop, 21..31).await;
    shop.receiver.wait_until(SOON, |received| at_path(received, "/well") == 30).await;
    assert_eq!(at_path(&shop.receiver.received(), "/gone"), 1, "a host that starts knows of it");

    shop.receiver.respond(|_| Answer::status(200));
    let unknown = shop.output(&["destinations", "resume", "gone/webhok"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean `gone/webhook`?"));
    shop.run(&["destinations", "resume", "gone/webhook"]);
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(at_path(&shop.receiver.received(), "/gone"), 30, "what waited is delivered, each once");
    assert_eq!(shop.count(dead).await, 1);
    assert_eq!(shop.json(&["destinations", "list"]), json!([]));
}

async fn a_changed_action_is_not_paused_any_more<D: Database>(shop: Shop<D>) {
    shop.observe(&webhook("moved", "", &shop.receiver.url("/old")));
    shop.receiver.respond(|request| Answer::status(if request.path == "/old" { 410 } else { 200 }));
    let host = shop.start_host();
    order(&shop, 1..6).await;
    listed(&shop, "the others wait", |held| held[0]["waiting"] == 4).await;
    shop.observe(&webhook("moved", "", &shop.receiver.url("/new")));
    shop.receiver.wait_until(SOON, |received| at_path(received, "/new") == 4).await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(shop.json(&["destinations", "list"]), json!([]));
    assert_eq!(at_path(&shop.receiver.received(), "/old"), 1);
}

async fn an_endpoint_that_refuses_again_and_again_is_paused<D: Database>(shop: Shop<D>) {
    let both = webhook("refused", "", &shop.receiver.url("/refused"))
        + &webhook("odd", "", &shop.receiver.url("/odd/{{entity_id}}"));
    shop.observe(&both);
    // There is nothing at any of them; but each of the odd ones is another.
    shop.receiver.respond(|request| Answer::status(if request.path == "/refused" { 401 } else { 404 }));
    let host = shop.start_host();
    order(&shop, 1..11).await;
    let held = listed(&shop, "the rest waits", |held| held[0]["waiting"] == 7).await;
    assert_eq!((held.as_array().unwrap().len(), &held[0]["name"]), (1, &json!("refused/webhook")), "{held}");
    assert!(held[0]["reason"].as_str().unwrap().starts_with("3 times in a row: "), "{held}");
    shop.receiver.wait_until(SOON, |received| received.len() == 3 + 10).await;
    assert!(host.stop());
    assert_eq!(shop.json(&["destinations", "list"])[0]["state"], "paused");
}

async fn a_rate_is_kept<D: Database>(shop: Shop<D>) {
    const ORDERS: u32 = 21;
    set_rate(&shop, 10);
    let other = Receiver::start().await;
    shop.observe(&(webhook("rated", "", &shop.receiver.url("/")) + &webhook("free", "", &other.url("/"))));
    let host = shop.start_host();
    order(&shop, 0..ORDERS).await;
    other.wait_for(21).await;
    let received = shop.receiver.wait_for(21).await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    // Tokens are 100 ms apart. A request may come late, and then the next seems early: half of the time is enough to tell.
    let took = received[20].at - received[0].at;
    assert!(took >= Duration::from_secs(1), "21 requests within {took:?}");
    assert_eq!(shop.count("SELECT max(attempt) FROM tb_observer_log").await, 1);
}

/// Their retries are due again and again, and each of them fails: what comes after them is delivered all the same.
async fn events_that_always_fail_do_not_hold_up_the_others<D: Database>(shop: Shop<D>) {
    const POISON: u32 = 12;
    shop.observe(&webhook("picky", IMPATIENT, &shop.receiver.url("/{{entity_id}}")));
    let is_poison = |path: &str| path.trim_start_matches('/').parse::<u32>().is_ok_and(|key| key < POISON);
    shop.receiver.respond(move |request| Answer::status(if is_poison(&request.path) { 500 } else { 200 }));
    let host = shop.start_host();
    order(&shop, 0..POISON).await;
    listed(&shop, "all that there is fails: it is left alone", |held| {
        held[0]["openings"].as_u64() >= Some(1)
    })
    .await;
    order(&shop, 100..400).await;
    shop.receiver.wait_until(SOON, |received| taken(received).len() >= 300).await;
    let left = "SELECT count(*) FROM observer_deliveries";
    shop.eventually(SOON, "only those are left", async |shop| shop.count(left).await == i64::from(POISON))
        .await;
    shop.receiver.respond(|_| Answer::status(200));
    shop.all_done(SOON).await;
    assert!(host.stop());
}

/// A destination of two actions is tried with the other one than failed last; where that has nothing, also with what was lost.
async fn what_was_lost_with_a_host_tries_its_destination_though_it_failed_last<D: Database>(shop: Shop<D>) {
    let url = shop.receiver.url("/");
    shop.observe(&(webhook("one", IMPATIENT, &url) + &webhook("two", IMPATIENT, &url)));
    shop.receiver.respond(|_| Answer::status(500));
    let host = shop.start_host();
    order(&shop, 0..6).await;
    listed(&shop, "it is left alone", |held| held[0]["openings"].as_u64() >= Some(1)).await;
    assert!(host.stop());
    // As if a host had died that owned all of the first action.
    shop.sql("DELETE FROM observer_deliveries WHERE observer = 'two'").await;
    shop.sql("UPDATE observer_deliveries SET losses = 1").await;
    let before = shop.receiver.count();
    let calls = AtomicUsize::new(0);
    shop.receiver.respond(move |_| Answer::status(if calls.fetch_add(1, Relaxed) == 0 { 500 } else { 200 }));
    let host = shop.start_host();
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(shop.receiver.count() - before, 7, "the first of six was tried twice");
}

/// All slots are always taken, and retries are always due: the most part of the slots goes to what was not tried before.
async fn events_that_always_fail_have_a_bounded_share_of_a_busy_host<D: Database>(shop: Shop<D>) {
    const ORDERS: u32 = 800;
    const ANSWERED: usize = 600;
    shop.observe(&webhook("picky", IMPATIENT, &shop.receiver.url("/?order={{entity_id}}")));
    let is_bad = |path: &str| path.trim_start_matches("/?order=").parse::<u32>().unwrap() % 5 == 0;
    // An answer takes longer than all that the host does for it: so slots are what is scarce.
    let after = Duration::from_millis(10);
    shop.receiver.respond(move |request| {
        let status = if is_bad(&request.path) { 500 } else { 200 };
        Answer { after, ..Answer::status(status) }
    });
    order(&shop, 0..ORDERS).await;
    let host = shop.start_host();
    let received = shop.receiver.wait_for(ANSWERED).await;
    assert!(host.stop());
    let (bad, good): (Vec<_>, Vec<_>) =
        received[..ANSWERED].iter().map(|request| &*request.path).partition(|path| is_bad(path));
    // If each was sent once, four of five were good.
    let without_retries = ANSWERED / 5 * 4;
    assert!(good.len() * 100 >= without_retries * 90, "{} good ones of {ANSWERED}", good.len());
    let retries = bad.len() - bad.iter().collect::<HashSet<_>>().len();
    assert!(retries * 40 >= ANSWERED, "retries do not starve either: {retries} of {ANSWERED}");
    assert_eq!(good.len(), good.iter().collect::<HashSet<_>>().len());
}

/// As many as come in time since the last, and five more at once.
struct Bucket {
    tokens: f64,
    at: Instant,
}

async fn the_rate_of_a_receiver_is_learned<D: Database>(shop: Shop<D>) {
    const PER_SEC: f64 = 50.0;
    const BURST: f64 = 5.0;
    const ORDERS: u32 = 300;
    shop.observe(&webhook("limited", IMPATIENT, &shop.receiver.url("/")));
    let bucket = std::sync::Mutex::new(Bucket { tokens: BURST + 1.0, at: Instant::now() });
    shop.receiver.respond(move |request| {
        let mut bucket = bucket.lock().unwrap();
        let came = request.at.saturating_duration_since(bucket.at).as_secs_f64() * PER_SEC;
        bucket.tokens = (bucket.tokens + came).min(BURST + 1.0);
        bucket.at = bucket.at.max(request.at);
        if bucket.tokens < 1.0 {
            return Answer::status(429);
        }
        bucket.tokens -= 1.0;
        Answer::status(200)
    });
    let host = shop.start_host();
    order(&shop, 0..ORDERS).await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    let listed = shop.json(&["destinations", "list"]);
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["state"]), (1, &json!("paced")), "{listed}");
    let rate = listed[0]["rate_per_sec"].as_f64().unwrap();
    assert!(rate > 0.0 && rate < 4.0 * PER_SEC, "{listed}");
    let received = shop.receiver.received();
    let refused = received.len() - taken(&received).len();
    assert_eq!(taken(&received).len(), ORDERS as usize, "each was taken once");
    println!("{refused} of {} requests were refused", received.len());
    assert!(refused > 0 && refused * 4 <= received.len(), "{refused} of {} were refused", received.len());
    assert!(shop.host_log().contains("its rate is learned"));

    // A host that starts begins with it: fewer are refused.
    let host = shop.start_host();
    order(&shop, ORDERS..2 * ORDERS).await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    let again = shop.receiver.received().len() - received.len() - ORDERS as usize;
    println!("{again} of the next {ORDERS} were refused");
    assert!(again < refused, "{again} refused, where {refused} were at first");
}

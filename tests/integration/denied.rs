//! A plugin that is denied something and goes on as if nothing had happened: its delivery succeeds, and a person finds it.

use std::{path::Path, time::Duration};

use serde_json::json;

use crate::{
    delivery::cases,
    shop::{Database, Shop, webhook},
};

const SOON: Duration = Duration::from_mins(1);

cases! {
    what_a_plugin_was_denied_is_listed_though_it_succeeded: "",
    a_secret_that_a_plugin_made_up_is_listed: "",
    what_fails_because_it_was_denied_says_so_once: "",
}

/// A component of someone else's, and what it is told to do.
fn observe_guest<D: Database>(shop: &Shop<D>, action: &str) {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/test/hostile.wasm");
    let config = std::fs::read_to_string(shop.path("aftercommit.toml")).unwrap();
    let plugin = format!("[plugins.hostile]\nsource = \"file:{}\"\n", guest.display());
    shop.write("aftercommit.toml", &(config + &plugin));
    let guest =
        format!("[[observers]]\nname = \"sly\"\n[[observers.actions]]\ntype = \"hostile\"\n{action}\n");
    shop.observe(&(guest + &webhook("honest", "", &shop.receiver.url("/"))));
}

async fn what_a_plugin_was_denied_is_listed_though_it_succeeded<D: Database>(shop: Shop<D>) {
    let elsewhere = shop.receiver.url("/elsewhere");
    observe_guest(
        &shop,
        &format!("do = \"requests\"\ncount = 3\nrequest = {{ url = \"{elsewhere}?token=t0ken\" }}\n"),
    );
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 5)").await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    let listed = shop.json(&["deliveries", "list", "--code", "denied"]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!((&listed[0]["observer"], &listed[0]["status"]), (&json!("sly"), &json!("succeeded")));
    let told = listed[0]["last_error"].as_str().unwrap();
    assert!(told.starts_with(&format!("denied: {elsewhere}: its origin is not granted")), "{told}");
    let all = shop.json(&["deliveries", "list", "--state", "succeeded"]);
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");

    let id = listed[0]["event_id"].as_str().unwrap();
    let shown = shop.json(&["events", "show", id]);
    let attempts = shown["attempts"].as_array().unwrap();
    let sly = attempts.iter().find(|attempt| attempt["observer"] == "sly").unwrap();
    assert_eq!((&sly["code"], &sly["message"]), (&json!("denied"), &json!("0 answers")), "{sly}");
    assert_eq!(
        (&sly["details"]["denied"][0], &sly["details"]["denied_more"]),
        (&json!(told[8..]), &json!(2))
    );
    let honest = attempts.iter().find(|attempt| attempt["observer"] == "honest").unwrap();
    assert_eq!((&honest["code"], &honest["details"]), (&json!(null), &json!(null)), "{honest}");
    for printed in [shop.run(&["events", "show", id]), shop.run(&["deliveries", "list", "--code", "denied"])]
    {
        assert!(printed.contains("its origin is not granted"), "{printed}");
    }
    assert_eq!(shop.count("SELECT count(*) FROM tb_observer_log WHERE message LIKE '%t0ken%'").await, 0);
    assert!(!shop.host_log().contains("t0ken"), "{}", shop.host_log());
    assert_eq!(shop.receiver.count(), 1, "the honest one's");
}

async fn a_secret_that_a_plugin_made_up_is_listed<D: Database>(shop: Shop<D>) {
    observe_guest(&shop, "do = \"hmac\"\nsecret = \"made up\"\n");
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 5)").await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    let listed = shop.json(&["deliveries", "list", "--code", "denied", "--observer", "sly"]);
    assert!(listed[0]["last_error"].as_str().unwrap().contains("not the handle of a secret"), "{listed}");
}

async fn what_fails_because_it_was_denied_says_so_once<D: Database>(shop: Shop<D>) {
    shop.observe(
        "[[observers]]\nname = \"templated\"\n[[observers.actions]]\ntype = \"webhook\"\n\
         url = \"https://{{status}}.example/\"\ngrants = { http = [\"https://paid.example\"] }\n",
    );
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 5)").await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    let listed = shop.json(&["deliveries", "list", "--code", "http_denied"]);
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["status"]), (1, &json!("dead")), "{listed}");
    let told = listed[0]["last_error"].as_str().unwrap();
    assert_eq!(told.matches("its origin is not granted").count(), 1, "{told}");
    assert_eq!(shop.json(&["deliveries", "list", "--code", "denied"]), json!([]));
}

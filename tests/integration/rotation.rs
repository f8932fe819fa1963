//! Secrets that are replaced, or come late, while a host runs: files as Kubernetes mounts them.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use aftercommit_tests::Answer;

use crate::shop::{Shop, webhook};

const AT_MOST: Duration = Duration::from_mins(1);

/// A folder as Kubernetes mounts a secret: the files are links through `..data`, which leads to the present version.
fn mount(folder: &Path, version: &str, secrets: &[(&str, &str)]) {
    let data = folder.join(format!("..{version}"));
    fs::create_dir_all(&data).unwrap();
    for (name, text) in secrets {
        fs::write(data.join(name), text).unwrap();
        let link = folder.join(name);
        if link.symlink_metadata().is_err() {
            symlink(format!("..data/{name}"), link).unwrap();
        }
    }
    // One rename replaces all of them.
    symlink(format!("..{version}"), folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

fn observer(shop: &Shop<impl crate::shop::Database>, name: &str, secret: &str) -> String {
    let header = format!("headers = {{ x-token = \"${{secret:{secret}}}\" }}\n");
    webhook(name, "retry = { max_attempts = 1 }", &shop.receiver.url(&format!("/{name}"))) + &header
}

/// The default interval between two reloads is far longer than this test.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_rotates_costs_no_event() {
    let shop = Shop::open("[secrets]\ndir = \"secrets\"\n").await;
    let folder = shop.path("secrets");
    mount(&folder, "1", &[("TOKEN", "one\n")]);
    let present = Arc::new(Mutex::new("one".to_owned()));
    let expected = Arc::clone(&present);
    shop.receiver.respond(move |seen| {
        let is_right = seen.header("x-token") == *expected.lock().unwrap();
        Answer::status(if is_right { 200 } else { 401 })
    });
    shop.observe(&observer(&shop, "hook", "TOKEN"));
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'new', 1)").await;
    shop.all_done(AT_MOST).await;
    for version in ["two", "three", "four"] {
        // The receiver takes the new one only, at the moment of the swap.
        version.clone_into(&mut present.lock().unwrap());
        mount(&folder, version, &[("TOKEN", version)]);
        shop.sql(&format!("INSERT INTO orders VALUES ({}, 'new', 1)", version.len() * 10)).await;
        shop.sql(&format!("UPDATE orders SET total = 2 WHERE id = {}", version.len() * 10)).await;
        shop.sql(&format!("DELETE FROM orders WHERE id = {}", version.len() * 10)).await;
        shop.all_done(AT_MOST).await;
    }
    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items").await, 0, "{}", shop.host_log());
    assert_eq!(shop.count("SELECT count(*) FROM tb_observer_log").await, 10, "one attempt each");
    assert!(host.stop(), "{}", shop.host_log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_comes_late_loads_its_observer() {
    let shop = Shop::open("[secrets]\ndir = \"secrets\"\n").await;
    let folder = shop.path("secrets");
    mount(&folder, "1", &[("TOKEN", "one"), ("LATE", "here")]);
    shop.observe(&(observer(&shop, "hook", "TOKEN") + &observer(&shop, "late", "LATE")));
    fs::remove_file(folder.join("LATE")).unwrap();
    // The host's own file names the first only: the second is in the database.
    shop.write("observers.toml", &observer(&shop, "hook", "TOKEN"));
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'new', 1)").await;
    shop.eventually(AT_MOST, "the first is delivered", async |shop| shop.receiver.count() == 1).await;
    let listed = shop.json(&["observers", "list"]);
    let late = listed.as_array().unwrap().iter().find(|it| it["name"] == "late").unwrap();
    assert!(late["error"].as_str().is_some_and(|error| error.contains("no secret `LATE`")), "{late}");
    mount(&folder, "2", &[("TOKEN", "one"), ("LATE", "here\r\n")]);
    shop.all_done(AT_MOST).await;
    let told = shop.receiver.received();
    assert!(told.iter().any(|it| it.path == "/late" && it.header("x-token") == "here"), "{told:?}");
    let listed = shop.json(&["observers", "list"]);
    assert!(listed.as_array().unwrap().iter().all(|it| it["error"].is_null()), "{listed}");
    assert!(host.stop(), "{}", shop.host_log());
}

/// A receiver that takes no credentials at all is asked once.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_present_secret_counts() {
    let mut shop = Shop::open("").await;
    shop.set_env("TOKEN", "wrong\n");
    shop.receiver.respond(|_| Answer::status(401));
    shop.observe(&observer(&shop, "hook", "TOKEN"));
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'new', 1)").await;
    shop.all_done(AT_MOST).await;
    assert_eq!(shop.receiver.count(), 1);
    assert_eq!(shop.receiver.received()[0].header("x-token"), "wrong", "without its line break");
    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items").await, 1);
    assert!(host.stop(), "{}", shop.host_log());
}

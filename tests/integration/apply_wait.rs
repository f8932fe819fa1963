//! `observers apply --wait`: it returns when the running hosts use what was applied, and says which do not.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::{
    host_process::HostProcess,
    postgres::PostgresDatabase,
    shop::{Database, Shop, webhook},
    sqlite_file::SqliteFile,
};

/// Hosts say every few seconds that they live.
const CONFIG: &str = "[dispatch]\nlease_timeout_ms = 12000\n";
const SOON: Duration = Duration::from_mins(1);

/// What `apply` with these arguments did: its exit code, what it printed, and what it complained of.
fn apply<D: Database>(shop: &Shop<D>, more: &[&str]) -> (Option<i32>, Value, String) {
    let arguments = [&["observers", "apply", "observers.toml", "--output", "json", "--wait"], more].concat();
    let mut command = shop.command(&arguments);
    let output = command.env("ONLY_HERE", "a secret").stdin(Stdio::null()).output().unwrap();
    let printed = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), printed, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn signal(host: &HostProcess, signal: Signal) {
    let id = Pid::from_raw(host.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}

async fn waits<D: Database>(shop: Shop<D>) {
    let url = |path: &str| shop.receiver.url(path);
    shop.write("observers.toml", &webhook("first", "", &url("/first")));
    let (code, printed, stderr) = apply(&shop, &[]);
    assert_eq!((code, &printed["used_by"]), (Some(0), &Value::Array(Vec::new())), "no host runs: {stderr}");

    let hosts = [shop.start_host(), shop.start_host()];
    for round in 0..5 {
        let path = format!("/round-{round}");
        shop.write("observers.toml", &webhook("first", "", &url(&path)));
        let (code, printed, stderr) = apply(&shop, &[]);
        assert_eq!((code, printed["used_by"].as_array().unwrap().len()), (Some(0), 2), "{stderr}");
        // Whichever host takes it, it goes where it is to go now.
        shop.sql(&format!("INSERT INTO orders VALUES ({round}, 'new', 1)")).await;
        let received = shop.receiver.wait_for(round + 1).await;
        assert_eq!(received[round].path, path);
    }

    // A host that hangs is named.
    let [hangs, goes_on] = hosts;
    signal(&hangs, Signal::STOP);
    shop.write("observers.toml", &webhook("first", "", &url("/hanging")));
    let (code, printed, stderr) = apply(&shop, &["--timeout", "2"]);
    assert_eq!((code, &printed["updated"][0]), (Some(1), &Value::from("first")), "{stderr}");
    assert!(stderr.contains("1 of 2 running hosts"), "{stderr}");
    assert!(stderr.contains(&format!(":{} (uses revision", hangs.id())), "{stderr}");
    signal(&hangs, Signal::CONT);
    let (code, printed, stderr) = apply(&shop, &[]);
    assert_eq!((code, &printed["unchanged"][0]), (Some(0), &Value::from("first")), "{stderr}");

    // One that died is not waited for, once that is known.
    hangs.kill();
    shop.write("observers.toml", &webhook("first", "", &url("/last")));
    let (code, printed, stderr) = apply(&shop, &[]);
    assert_eq!((code, printed["used_by"].as_array().unwrap().len()), (Some(0), 1), "{stderr}");

    // What this command can load, and the host can not.
    let secret = webhook("first", "", &url("/secret")) + "headers = { x-secret = \"${secret:ONLY_HERE}\" }\n";
    shop.write("observers.toml", &secret);
    let (code, _, stderr) = apply(&shop, &[]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("do not load: first: ") && stderr.contains("ONLY_HERE"), "{stderr}");
    shop.all_done(SOON).await;
    assert!(goes_on.stop());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_of_a_file_are_waited_for() {
    waits(Shop::<SqliteFile>::open(CONFIG).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_of_a_server_are_waited_for() {
    waits(Shop::<PostgresDatabase>::on_postgres(CONFIG).await).await;
}

/// A host that others took for dead, wrongly, says again what it works with.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_removed_enters_what_it_has_loaded_again() {
    let shop = Shop::<SqliteFile>::open("[dispatch]\nlease_timeout_ms = 3000\n").await;
    let host = shop.start_host();
    shop.sql("DELETE FROM observer_hosts").await;
    let entered =
        "SELECT count(*) FROM observer_hosts WHERE revision = (SELECT revision FROM observer_revision)";
    shop.eventually(SOON, "it is entered again", async |shop| shop.count(entered).await == 1).await;
    assert!(host.stop());
}

//! How many files a host may open, and what it does with few.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use aftercommit_tests::Receiver;

use crate::{
    host_process::HostProcess,
    shop::{Database, Shop, webhook},
};

const SOON: Duration = Duration::from_mins(1);

/// Starts a host that may open so many files: SOFT:HARD.
fn limited<D: Database>(shop: &Shop<D>, files: &str) -> HostProcess {
    let host = shop.command(&["run"]);
    // It becomes the host itself.
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={files}")).arg(host.get_program()).args(host.get_args());
    limited.current_dir(shop.path("."));
    limited.env_clear().envs(host.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let log = fs::File::create(shop.path("host.log")).unwrap();
    limited.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    HostProcess::of(limited.spawn().expect("`prlimit` of util-linux"))
}

/// Systems start programs with a limit that is far below what they may have.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_opens_as_many_files_as_it_may() {
    let shop = Shop::open("").await;
    shop.observe(&webhook("everything", "", &shop.receiver.url("/")));
    let host = limited(&shop, "40:5000");
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 5)").await;
    shop.receiver.wait_for(1).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", host.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().skip(3).collect::<Vec<_>>(), ["5000", "5000", "files"]);
    shop.eventually(SOON, "the log says how many", async |shop| shop.host_log().contains("files=5000")).await;
    assert!(host.stop());
}

/// The connections of most of them give way, and those to the database are never what is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_more_destinations_than_files_delivers_to_all_of_them() {
    const DESTINATIONS: u8 = 250;
    const FILES: &str = "130";
    const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'aftercommit' AND datname = current_database()";
    let everywhere = Receiver::start_on_every_address().await;
    let shop = Shop::on_postgres("[dispatch]\nmax_concurrency = 16\n").await;
    let observers = (1..=DESTINATIONS).map(|number| {
        webhook(&format!("to-{number}"), "", &format!("http://127.0.0.{number}:{}/", everywhere.port()))
    });
    shop.observe(&observers.collect::<String>());
    let host = limited(&shop, &format!("{FILES}:{FILES}"));
    for round in 1..=3 {
        shop.sql(&format!("INSERT INTO orders VALUES ({round}, 'new', 1)")).await;
        everywhere.wait_for(usize::from(DESTINATIONS) * round).await;
        shop.all_done(SOON).await;
        // With as many idle connections as it keeps.
        assert!(shop.count(CUT).await > 0);
    }
    let else_ended = "SELECT count(*) FROM tb_observer_log WHERE status <> 'succeeded' OR attempt > 1";
    assert_eq!(shop.count(else_ended).await, 0, "{}", shop.host_log());
    assert_eq!(everywhere.count(), usize::from(DESTINATIONS) * 3);
    assert!(host.stop(), "{}", shop.host_log());
}

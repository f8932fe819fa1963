//! How many files a host may open.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    host_process::HostProcess,
    shop::{Shop, webhook},
};

/// Systems start programs with a limit that is far below what they may have.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_opens_as_many_files_as_it_may() {
    let shop = Shop::open("").await;
    shop.observe(&webhook("everything", "", &shop.receiver.url("/")));
    let host = shop.command(&["run"]);
    // It becomes the host itself.
    let mut limited = Command::new("prlimit");
    limited.arg("--nofile=40:5000").arg(host.get_program()).args(host.get_args()).current_dir(shop.path("."));
    limited.env_clear().envs(host.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let log = fs::File::create(shop.path("host.log")).unwrap();
    limited.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let host = HostProcess::of(limited.spawn().expect("`prlimit` of util-linux"));
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 5)").await;
    shop.receiver.wait_for(1).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", host.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().skip(3).collect::<Vec<_>>(), ["5000", "5000", "files"]);
    shop.eventually(Duration::from_mins(1), "the log says how many", async |shop| {
        shop.host_log().contains("files=5000")
    })
    .await;
    assert!(host.stop());
}

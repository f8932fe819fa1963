//! What hostile guests leave in the process: nothing.

use std::fs;

use serde_json::json;

use super::{asking, table};
use crate::{
    fixture::{component, configure, run, runtime_with, settings},
    own_process::is_own,
    wire::Wire,
};

/// Resident memory and open files of this process.
fn state() -> (u64, usize) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    (kib >> 10, fs::read_dir("/proc/self/fd").unwrap().count())
}

#[test]
fn memory_and_files_return() {
    if !is_own("hostile::process::memory_and_files_return", &[]) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let host = runtime_with(settings(), &[]);
        let body = "x".repeat(1 << 20);
        let server = Wire::answering(&format!(
            "200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await;
        let mut actions = Vec::new();
        let mut rows: Vec<_> = table().into_iter().map(|(guest, written, ..)| (guest, written)).collect();
        let mut unread = asking("test/wasi", &server);
        unread["do"] = json!("unread");
        unread["count"] = json!(20);
        rows.push(("test/wasi", unread));
        for (guest, mut written) in rows {
            written["limits"]["cpu_ms"] = json!(20);
            let source = aftercommit_runtime::ComponentSource::File(component(guest));
            actions.push(configure(&host.load(guest, source, None).await.unwrap(), written).await);
        }
        let round = async || {
            for action in &actions {
                run(action).await;
            }
        };
        // What is kept on purpose is kept from now on: slots, connections, threads.
        for _ in 0..3 {
            round().await;
        }
        let before = state();
        for _ in 0..10 {
            round().await;
        }
        let after = state();
        println!(
            "resident memory {} MiB, then {} MiB; open files {}, then {}",
            before.0, after.0, before.1, after.1
        );
        assert!(after.0 < before.0 + 64, "{before:?} {after:?}");
        assert!(after.1 < before.1 + 16, "{before:?} {after:?}");
    });
}

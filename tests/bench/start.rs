//! How long the program takes to be ready, and what it holds in memory then.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    figure::{self, Figure},
    process::resident_mib,
    program::Program,
};

const STARTS: usize = 10;

/// What the example's configuration names.
const SECRETS: [&str; 4] = ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "APNS_KEY", "SEARCH_API_KEY"];

pub(crate) async fn measure() {
    figure::section("start");
    let Some(mut program) = Program::built() else { return };
    prepare(&mut program);
    program.run(&["migrate"]);
    let mut compiling = Figure::new("ms");
    compiling.add(program.start().ready_ms);
    let (mut cached, mut memory, mut nothing) = (Figure::new("ms"), Figure::new("MiB"), Figure::new("ms"));
    for _ in 0..STARTS {
        let started = Instant::now();
        program.run(&["--version"]);
        nothing.add(started.elapsed().as_secs_f64() * 1e3);
        let host = program.start();
        cached.add(host.ready_ms);
        // What was needed to start and is not any more is given back by then.
        tokio::time::sleep(Duration::from_millis(500)).await;
        memory.add(resident_mib(host.id()));
    }
    let reference = Some(("--version", &nothing));
    figure::print("start to ready, seven cached plugins", &cached, reference, Some("<= 150 ms"));
    figure::print("start to ready, compiling them", &compiling, None, None);
    figure::print("resident memory, idle", &memory, None, Some("<= 60 MiB"));
}

/// Gives it `examples/shortest`: each of the seven plugins has an action.
fn prepare(program: &mut Program) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shortest");
    let read = |name: &str| fs::read_to_string(examples.join(name)).unwrap();
    let own = "[database]\nurl = \"sqlite:shop.db\"\n[observers]\nfile = \"observers.json\"\n";
    program.write("aftercommit.toml", &(read("aftercommit.toml") + own));
    program.write("observers.json", &read("observers.json"));
    for secret in SECRETS {
        program.set_env(secret, "AC00000000000000000000000000000000");
    }
}

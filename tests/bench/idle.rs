//! What the program costs while nothing happens, and how long an event takes that comes then.

use std::time::Duration;

use crate::{
    database::Server,
    delivery::{ROUNDS, millis, paced_rows},
    figure::{self, Figure, percentile},
    process::processor_secs,
    program::Program,
    receiver::Receiver,
};

/// Each of its duties comes several times.
const WATCHED: Duration = Duration::from_secs(30);
/// What the start leaves to do is done by then.
const SETTLED: Duration = Duration::from_secs(3);
/// A host has been idle for long when an event comes so long after the last.
const PACE: Duration = Duration::from_millis(500);
const EVENTS: usize = 40;

pub(crate) async fn measure(section: &str, server: &dyn Server) {
    figure::section(section);
    let Some(program) = Program::built() else { return };
    let database = server.fresh();
    let config = "[observers]\nfile = \"observers.toml\"\n[admin]\nlisten = \"off\"\n";
    program.write("aftercommit.toml", &format!("[database]\nurl = \"{}\"\n{config}", database.url()));
    program.write("observers.toml", "observers = []\n");
    program.run(&["migrate"]);
    let host = program.start();
    tokio::time::sleep(SETTLED).await;
    let mut processor = Figure::new("% of a core");
    for _ in 0..ROUNDS {
        let before = processor_secs(host.id());
        tokio::time::sleep(WATCHED).await;
        processor.add((processor_secs(host.id()) - before) / WATCHED.as_secs_f64() * 100.0);
    }
    drop(host);
    let mut receiver = Receiver::start();
    let mut spans = paced_rows(server, &mut receiver, PACE, EVENTS).await;
    let mut latency = Figure::new("ms");
    latency.add(millis(percentile(&mut spans, 50)));
    figure::print("processor, idle", &processor, None, Some("<= 0.5 %"));
    figure::print("commit to receiver, 2/s, p50", &latency, None, Some("<= 3 ms"));
}

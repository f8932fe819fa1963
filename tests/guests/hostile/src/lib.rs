//! Misbehaves, or calls one function of the host, as its configuration says.

mod calls;
mod config;

use aftercommit_plugin::prelude::*;

use config::{Behaviour, Check, Config};

struct Hostile;

impl Plugin for Hostile {
    const NAME: &'static str = "hostile";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Misbehaves as it is told";
    const NEEDS: &'static [Need] = &[Need::Http, Need::Secrets, Need::RevealSecrets];
    type Config = Config;

    fn check(config: &Config) -> Vec<FieldProblem> {
        match config.check {
            Check::Accept => Vec::new(),
            Check::Refuse => vec![FieldProblem::new("/message", "refused as told")],
            Check::Trap => trap(),
            Check::Loop => spin(),
            Check::Http => vec![FieldProblem::new("/request", calls::http(config))],
        }
    }

    fn run(event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        let details = match config.behaviour {
            Behaviour::Nothing => return Ok(Outcome::new("nothing")),
            Behaviour::Loop => spin(),
            Behaviour::Trap => trap(),
            Behaviour::Panic => panic!("{}", config.message),
            Behaviour::GrowMemory => grow_memory(),
            Behaviour::Recurse => return Ok(Outcome::new(format!("depth {}", recurse(1)))),
            Behaviour::FloodLog => return Ok(flood_log(&config)),
            Behaviour::HostCalls => return Ok(host_calls(config.count)),
            Behaviour::HugeResult => return Ok(Outcome::new("x".repeat(config.size_bytes))),
            Behaviour::BadDetails => "{not json".to_owned(),
            Behaviour::Fail => return Err(fail(&config)),
            Behaviour::SleepHttp => sleep_http(&config),
            Behaviour::Requests => return Ok(requests(&config)),
            Behaviour::Http => calls::http(&config),
            Behaviour::Handle => calls::handle(&config),
            Behaviour::Reveal => calls::reveal(&config),
            Behaviour::Hmac => calls::hmac(&config),
            Behaviour::Sign => calls::sign(&config),
            Behaviour::Render => calls::render(&config, &event),
            Behaviour::Redis => calls::redis(),
            Behaviour::Mail => calls::mail(),
        };
        Ok(Outcome::new("called").with_details(details))
    }
}

aftercommit_plugin::export!(Hostile);

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

/// An abort without a panic's message.
fn trap() -> ! {
    std::process::abort()
}

fn grow_memory() -> ! {
    let mut kept = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![0xa5_u8; 1024 * 1024]));
    }
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    // The addition after the call keeps it from becoming a loop.
    recurse(std::hint::black_box(frame[0] + 1)).wrapping_add(frame[63])
}

fn flood_log(config: &Config) -> Outcome {
    let line = "x".repeat(config.size_bytes);
    for _ in 0..config.count {
        log::write(log::Level::Info, &line, &[]);
    }
    Outcome::new(format!("{} lines", config.count))
}

fn host_calls(count: u64) -> Outcome {
    for _ in 0..count {
        std::hint::black_box(clock::now_ms());
    }
    Outcome::new(format!("{count} calls"))
}

fn sleep_http(config: &Config) -> ! {
    loop {
        let _ = calls::http(config);
    }
}

fn requests(config: &Config) -> Outcome {
    let request = config.request.as_ref().map(calls::request_of);
    let mut answered = 0;
    for _ in 0..config.count {
        answered += u64::from(request.as_ref().is_some_and(|request| request.send().is_ok()));
    }
    Outcome::new(format!("{answered} answers"))
}

fn fail(config: &Config) -> Failure {
    match config.class.as_str() {
        "misconfigured" => Failure::misconfigured("told", &config.message),
        "permanent" => Failure::permanent("told", &config.message),
        "throttled" => Failure::throttled("told", &config.message, config.after_ms),
        _ => Failure::transient("told", &config.message),
    }
}

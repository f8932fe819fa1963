//! What a guest can do to its host by WASI alone.

use serde_json::{Value, json};
use wasip2::{
    cli::stdout::get_stdout,
    clocks::monotonic_clock::subscribe_duration,
    http::types::Fields,
    io::poll::{Pollable, poll},
    random::random::get_random_bytes,
};

use crate::{
    config::Config,
    request::{send, wait},
};

const AN_HOUR_NS: u64 = 3_600_000_000_000;

/// How many were answered, and the first error.
pub(crate) fn requests(config: &Config) -> Value {
    let sent: Vec<_> = (0..config.count).map(|_| send(config)).collect();
    let mut error = Value::Null;
    let mut answered = 0;
    for sent in sent {
        match sent.and_then(|sent| sent.map_or_else(|why| Ok(Err(why)), |answer| wait(&answer).map(Ok))) {
            Ok(Ok(_)) => answered += 1,
            Ok(Err(why)) => error = why,
            Err(code) => error = json!(format!("{code:?}")),
        }
    }
    json!({"answered": answered, "error": error})
}

/// The same one by one, all answers kept and none read.
pub(crate) fn unread(config: &Config) -> Value {
    let mut kept = Vec::new();
    for _ in 0..config.count {
        match send(config) {
            Ok(Ok(answer)) => match wait(&answer) {
                Ok(answer) => kept.push(answer),
                Err(code) => return json!({"answered": kept.len(), "error": format!("{code:?}")}),
            },
            other => return json!({"answered": kept.len(), "error": format!("{other:?}")}),
        }
    }
    json!({"answered": kept.len()})
}

pub(crate) fn spin() -> ! {
    loop {
        drop(std::hint::black_box(Fields::new()));
    }
}

pub(crate) fn keep_headers(count: u32) -> Value {
    let kept: Vec<_> = (0..count).map(|_| Fields::new()).collect();
    json!({"kept": kept.len()})
}

pub(crate) fn grow_headers(count: u32) -> Value {
    let fields = Fields::new();
    for number in 0..count {
        if let Err(error) = fields.append(&format!("x-{number}"), &[b'x'; 100]) {
            return json!({"headers": number, "error": format!("{error:?}")});
        }
    }
    json!({"headers": count})
}

pub(crate) fn keep_alarms(count: u32) -> Value {
    let kept: Vec<_> = (0..count).map(|_| subscribe_duration(AN_HOUR_NS)).collect();
    json!({"kept": kept.len()})
}

pub(crate) fn poll_many(count: u32) -> ! {
    let now = subscribe_duration(0);
    let same: Vec<&Pollable> = (0..count).map(|_| &now).collect();
    loop {
        std::hint::black_box(poll(&same));
    }
}

pub(crate) fn sleep() -> Value {
    subscribe_duration(AN_HOUR_NS).block();
    json!({"slept": true})
}

pub(crate) fn random(count: u32) -> ! {
    loop {
        std::hint::black_box(get_random_bytes(count.into()));
    }
}

pub(crate) fn print(count: u32) -> Value {
    let stdout = get_stdout();
    for _ in 0..count {
        if let Err(error) = stdout.blocking_write_and_flush(b"a line\n") {
            return json!({"error": format!("{error:?}")});
        }
    }
    json!({"printed": count})
}

//! What the fuzz targets run, on bytes of any kind: conditions, templates, files of observers, and the answers of servers.
//!
//! `host/fuzz` gives these functions to cargo-fuzz, which looks for new inputs for as long as one likes. The test `smoke`
//! runs the same functions on mutations of their seeds for some seconds. A function panics where something is wrong.

mod conditions;
#[cfg(feature = "host")]
mod host;
mod seeds;

pub use conditions::{compile_to_sql, evaluate, number, parse};
#[cfg(feature = "host")]
pub use host::{http_head, memcached_reply, observer_file, redis_reply, smtp_reply, template};

/// A function with its name and inputs to begin with.
pub struct Target {
    /// The name of the fuzz target.
    pub name: &'static str,
    /// Takes any input, and panics where it is not dealt with as it should.
    pub run: fn(&[u8]),
    /// Inputs that reach far.
    pub seeds: &'static [&'static [u8]],
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "parse", run: parse, seeds: seeds::CONDITIONS },
    Target { name: "evaluate", run: evaluate, seeds: seeds::EVALUATED },
    Target { name: "compile_to_sql", run: compile_to_sql, seeds: seeds::CONDITIONS },
    Target { name: "number", run: number, seeds: seeds::NUMBERS },
    #[cfg(feature = "host")]
    Target { name: "template", run: template, seeds: seeds::TEMPLATES },
    #[cfg(feature = "host")]
    Target { name: "observer_file", run: observer_file, seeds: seeds::OBSERVER_FILES },
    #[cfg(feature = "host")]
    Target { name: "http_head", run: http_head, seeds: seeds::HTTP_ANSWERS },
    #[cfg(feature = "host")]
    Target { name: "smtp_reply", run: smtp_reply, seeds: seeds::SMTP_REPLIES },
    #[cfg(feature = "host")]
    Target { name: "redis_reply", run: redis_reply, seeds: seeds::REDIS_REPLIES },
    #[cfg(feature = "host")]
    Target { name: "memcached_reply", run: memcached_reply, seeds: seeds::MEMCACHED_REPLIES },
];

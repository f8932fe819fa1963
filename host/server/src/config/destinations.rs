//! `[destinations."NAME"]`: destinations that are bounded in a way of their own.

use std::collections::BTreeMap;

use aftercommit_core::{Rate, nearest};
use aftercommit_runtime::{Origin, RouteSettings};

use super::route;
use crate::document::Section;

/// `[destinations."NAME"]`
#[derive(Clone, PartialEq, Default, Debug)]
pub struct DestinationConfig {
    /// Actions that run at once towards it, of each host; without it, `per_destination` of `[dispatch]`.
    pub max_concurrency: Option<usize>,
    /// Actions that start in a second, of all hosts together; without it, as many as come.
    pub rate_per_sec: Option<f64>,
    /// Actions that may start at once after a pause, within the rate.
    pub burst: u32,
    /// The way to it: certificates and a proxy.
    pub route: RouteSettings,
}

impl DestinationConfig {
    /// Calls evenly spread are what every way of counting accepts.
    const DEFAULT_BURST: u32 = 1;
    /// From one call in a quarter of an hour to more than one destination gets.
    const RATES: std::ops::Range<f64> = 0.001..100_000.0;

    /// The rate, if it has one.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.rate_per_sec.map(|per_sec| Rate { per_sec, burst: self.burst.max(1) })
    }

    /// The ways to origins of which `all` say more than their names.
    pub(crate) fn routes(all: &BTreeMap<String, Self>) -> BTreeMap<Origin, RouteSettings> {
        let routed = all.iter().filter(|(_, destination)| destination.route != RouteSettings::default());
        routed
            .filter_map(|(name, destination)| Some((name.parse().ok()?, destination.route.clone())))
            .collect()
    }

    /// Reads all of them. `servers` are the names of the host's own servers.
    pub(super) fn read_all(named: Vec<(String, Section<'_>)>, servers: &[String]) -> BTreeMap<String, Self> {
        let mut all = BTreeMap::new();
        for (written, mut section) in named {
            let name = name(&written, servers).unwrap_or_else(|why| {
                section.refuse(why);
                written.clone()
            });
            let read = Self::read(&mut section, &name);
            all.insert(name, read);
            section.finish();
        }
        all
    }

    fn read(section: &mut Section<'_>, name: &str) -> Self {
        let rate = section.node("rate_per_sec").is_some();
        let burst = section.whole_or_none("burst", 1..=100_000);
        if burst.is_some() && !rate {
            section.problem("burst", "means nothing without `rate_per_sec`");
        }
        Self {
            max_concurrency: section
                .whole_or_none("max_concurrency", 1..=super::DispatchConfig::MAX_CONCURRENCY),
            rate_per_sec: rate.then(|| section.fraction("rate_per_sec", 1.0, Self::RATES)),
            burst: burst.unwrap_or(Self::DEFAULT_BURST),
            route: route::read(section, name),
        }
    }
}

/// The name as destinations have it, or what is wrong with it.
fn name(written: &str, servers: &[String]) -> Result<String, String> {
    if servers.iter().any(|server| server == written) {
        return Ok(written.to_owned());
    }
    let why = match written.parse::<Origin>() {
        Ok(origin) if origin.to_string() == written => return Ok(written.to_owned()),
        Ok(origin) => return Err(format!("write it as destinations are named: `{origin}`")),
        Err(why) => why,
    };
    if written.contains("://") {
        return Err(why);
    }
    let hint = match nearest(written, servers.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if servers.is_empty() => "this file names no server of its own".to_owned(),
        None => format!("the servers of this file: {}", servers.join(", ")),
    };
    Err(format!(
        "`{written}` is neither an origin such as https://api.example.com nor a server of this file; {hint}"
    ))
}

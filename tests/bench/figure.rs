//! A figure: measured several times, printed as its median and its range, beside a reference and a target.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// How often each measurement is made, by turns with its reference: the machine's speed drifts within a minute, and
/// only figures taken next to each other compare.
pub(crate) const ROUNDS: usize = 5;

/// The measurements of one figure.
#[derive(Clone, Default)]
pub(crate) struct Figure {
    unit: &'static str,
    measured: Vec<f64>,
}

impl Figure {
    pub(crate) const fn new(unit: &'static str) -> Self {
        Self { unit, measured: Vec::new() }
    }

    pub(crate) fn add(&mut self, value: f64) {
        self.measured.push(value);
    }

    /// Adds a rate: so many in the time since.
    pub(crate) fn add_rate(&mut self, count: usize, since: Instant) {
        self.add(count as f64 / since.elapsed().as_secs_f64());
    }

    /// Whether anything was measured.
    pub(crate) const fn is_empty(&self) -> bool {
        self.measured.is_empty()
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.measured.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lowest = self.measured.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = self.measured.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let unit = self.unit;
        write!(f, "{} {unit} ({} to {})", Short(self.median()), Short(lowest), Short(highest))
    }
}

/// Three digits, or the whole part if that is longer.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = match self.0.abs() {
            value if value >= 100.0 => 0,
            value if value >= 10.0 => 1,
            _ => 2,
        };
        write!(f, "{:.decimals$}", self.0)
    }
}

/// Prints the name of a section.
pub(crate) fn section(name: &str) {
    println!("\n== {name}");
}

/// Prints a figure; `reference` is what it is compared with and what that measured.
pub(crate) fn print(name: &str, figure: &Figure, reference: Option<(&str, &Figure)>, target: Option<&str>) {
    print!("{name:<46} {figure}");
    if let Some((what, reference)) = reference {
        print!("; {what}: {reference}, {:.0} %", 100.0 * figure.median() / reference.median());
    }
    println!("{}", target.map(|target| format!("; target {target}")).unwrap_or_default());
}

/// The value below which `part` of a hundred lie. Sorts.
pub(crate) fn percentile(spans: &mut [Duration], part: usize) -> Duration {
    spans.sort_unstable();
    spans.get((spans.len() * part / 100).min(spans.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Nanoseconds that one call takes, over `count` calls.
pub(crate) fn nanos_each(count: u32, mut call: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..count {
        call();
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

//! Memory and open files of a host over time.

use std::{fmt, time::Duration};

use crate::host_process::HostProcess;

/// The medians of the second and of the last quarter may differ by so much: caches of the allocator and of the database, and
/// connections that are just being used.
const MORE_MEMORY_PERCENT: u64 = 10;
const MORE_MEMORY_MIB: u64 = 8;
const MORE_FILES: usize = 16;

#[derive(Default)]
pub(super) struct Usage {
    samples: Vec<Sample>,
}

struct Sample {
    at: Duration,
    memory_mib: u64,
    open_files: usize,
}

impl Usage {
    pub(super) fn sample(&mut self, host: &HostProcess, at: Duration) {
        self.samples.push(Sample { at, memory_mib: host.memory_mib(), open_files: host.open_files() });
    }

    /// The median of a quarter of the time, 0 to 3.
    fn median<T: Ord + Copy>(&self, quarter: u32, of: impl Fn(&Sample) -> T) -> T {
        let end = self.samples.last().expect("samples").at;
        let within = |sample: &&Sample| sample.at * 4 > end * quarter && sample.at * 4 <= end * (quarter + 1);
        let mut values: Vec<T> = self.samples.iter().filter(within).map(of).collect();
        values.sort_unstable();
        *values.get(values.len() / 2).expect("samples of each quarter")
    }

    fn memory_mib(&self, quarter: u32) -> u64 {
        self.median(quarter, |sample| sample.memory_mib)
    }

    fn open_files(&self, quarter: u32) -> usize {
        self.median(quarter, |sample| sample.open_files)
    }

    /// Neither grows from the second quarter, when all has run for a while, to the last.
    pub(super) fn check_flat(&self, name: &str) {
        let (before, after) = (self.memory_mib(1), self.memory_mib(3));
        let bound = before + before * MORE_MEMORY_PERCENT / 100 + MORE_MEMORY_MIB;
        assert!(after <= bound, "{name}: memory grows: {self}");
        assert!(self.open_files(3) <= self.open_files(1) + MORE_FILES, "{name}: open files grow: {self}");
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "medians of the quarters: {:?} MiB, {:?} open files",
            [0, 1, 2, 3].map(|quarter| self.memory_mib(quarter)),
            [0, 1, 2, 3].map(|quarter| self.open_files(quarter))
        )
    }
}

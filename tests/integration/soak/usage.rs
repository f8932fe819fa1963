//! What a host takes of its machine over time, and whether it grows.

use std::fmt;

use crate::host_process::HostProcess;

/// How much more anonymous memory the last quarter may take than the second, when both are calm.
///
/// What may still come is bounded: a place of the pool of instances keeps 0.8 MiB once it was used (`engine.rs` of the runtime), and a
/// moment with more calls at once than ever before uses some for the first time; pages that are partly used stay, and buffers of the
/// connections to the databases, as large as the largest row that they have read (18 MiB on PostgreSQL). A host is warm after some minutes: until
/// then it grew by 53 MiB within half a minute of a busy machine, and from then on the quarters of ten minutes lay within 36 MiB
/// (`docs/performance.md`). In two minutes the bound finds what leaks some 20 KiB with each attempt, in an hour some 600 bytes.
const MORE_MEMORY_MIB: u64 = 96;

/// How many more files and connections: those that are just being used, of a destination each.
const MORE_FILES: usize = 16;

/// What a host takes at one moment.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    /// `Rss`: with pages of files and of compiled plugins, which the system can take back.
    resident_mib: u64,
    /// `Anonymous`: what the process itself wrote, which grows where something leaks.
    anonymous_mib: u64,
    open_files: usize,
}

impl Sample {
    pub(super) fn of(host: &HostProcess) -> Self {
        Self {
            resident_mib: host.memory_mib("Rss"),
            anonymous_mib: host.memory_mib("Anonymous"),
            open_files: host.open_files(),
        }
    }

    /// The least of each.
    pub(super) fn least(self, other: Self) -> Self {
        Self {
            resident_mib: self.resident_mib.min(other.resident_mib),
            anonymous_mib: self.anonymous_mib.min(other.anonymous_mib),
            open_files: self.open_files.min(other.open_files),
        }
    }
}

/// A quarter of the time: what was done, and what the host took meanwhile and when only good work was left.
pub(super) struct Quarter {
    pub(super) good: usize,
    pub(super) attempts: i64,
    pub(super) busy: Vec<Sample>,
    pub(super) calm: Sample,
}

impl Quarter {
    fn busy_median<T: Ord + Copy>(&self, of: impl Fn(&Sample) -> T) -> T {
        let mut values: Vec<T> = self.busy.iter().map(of).collect();
        values.sort_unstable();
        *values.get(values.len() / 2).expect("samples of each quarter")
    }
}

/// The quarters of a soak, in their order.
#[derive(Default)]
pub(super) struct Usage(pub(super) Vec<Quarter>);

impl Usage {
    /// Nothing grows from the second quarter, when all has run for a while, to the last.
    pub(super) fn check_flat(&self, name: &str) {
        let (before, after) = (self.0[1].calm, self.0[3].calm);
        assert!(
            after.anonymous_mib <= before.anonymous_mib + MORE_MEMORY_MIB,
            "{name}: memory grows:\n{self}"
        );
        assert!(after.open_files <= before.open_files + MORE_FILES, "{name}: open files grow:\n{self}");
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "quarter  good  attempts  busy: anonymous  resident  files   calm: anonymous  resident  files"
        )?;
        for (number, quarter) in self.0.iter().enumerate() {
            writeln!(
                f,
                "{:>7} {:>5} {:>9} {:>11} MiB {:>5} MiB {:>6} {:>13} MiB {:>5} MiB {:>6}",
                number + 1,
                quarter.good,
                quarter.attempts,
                quarter.busy_median(|sample| sample.anonymous_mib),
                quarter.busy_median(|sample| sample.resident_mib),
                quarter.busy_median(|sample| sample.open_files),
                quarter.calm.anonymous_mib,
                quarter.calm.resident_mib,
                quarter.calm.open_files,
            )?;
        }
        Ok(())
    }
}

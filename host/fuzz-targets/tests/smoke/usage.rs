//! What inputs cost.

use std::{fs, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Processor time of this thread so far: it does not count what others do on a busy machine.
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

/// The most memory that this process ever had (`VmHWM`); 0 where the system does not say.
pub(crate) fn peak_memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    value.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

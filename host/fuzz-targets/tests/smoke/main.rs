//! Each fuzz target on mutations of its seeds for some seconds, in the build of the tests, which checks overflows.
//!
//! No sanitizer and no coverage: what it looks for is what shows without, a panic, a hang, a large allocation. New inputs are
//! tried in each run. `FUZZ_SECONDS` is the time for each target, `FUZZ_TARGET` one target alone, and `FUZZ_SEED` repeats a run.

#![expect(clippy::unwrap_used, reason = "tests: what can not be had fails the test")]

mod inputs;
mod usage;
mod watchdog;

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aftercommit_fuzz_targets::{TARGETS, Target};

use self::{inputs::Inputs, watchdog::Watchdog};

const DEFAULT_SECONDS: u64 = 2;

/// Processor time for one input of at most [`inputs::MAX_BYTES`] in a build without optimisation. The longest that is bounded elsewhere: for each tag
/// of a template the parser counts the lines before it, which took half a second with a third of the tags that a template may have.
const MOST_TIME: Duration = Duration::from_secs(3);

/// How much more memory than all inputs before it one input may take.
const MOST_MEMORY_MIB: u64 = 64;

/// What a target did in its time.
struct Ran {
    inputs: u64,
    slowest: Duration,
    peak_mib: u64,
}

#[test]
fn any_input_ends_within_its_bounds() {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let lasts = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(DEFAULT_SECONDS));
    let seed = number("FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    let only = env::var("FUZZ_TARGET").ok();
    println!("FUZZ_SEED={seed}");
    let wanted = |target: &&Target| only.as_deref().is_none_or(|only| only == target.name);
    assert!(TARGETS.iter().any(|target| wanted(&target)), "no target is called {only:?}");
    let mut found = Vec::new();
    for target in TARGETS.iter().filter(wanted) {
        let input = input_file(target.name);
        let watchdog = Watchdog::start(target.name, &input);
        match run(target, lasts, seed, &input, &watchdog) {
            Ok(Ran { inputs, slowest, peak_mib }) => {
                println!(
                    "{:<16} {inputs:>8} inputs, the slowest {slowest:?}, peak {peak_mib} MiB",
                    target.name
                );
            }
            Err(what) => found.push(format!("{}: {what}; the input is in {}", target.name, input.display())),
        }
    }
    assert!(found.is_empty(), "FUZZ_SEED={seed}:\n{}", found.join("\n"));
}

/// cargo-fuzz finds its targets by the names of these files.
#[test]
fn each_target_is_one_of_cargo_fuzz() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.map(|file| file.file_stem().unwrap().to_owned()).collect();
    files.sort_unstable();
    let mut targets: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    targets.sort_unstable();
    assert_eq!(files, targets);
}

/// Holds the input that is being tried, also when it ends the process.
fn input_file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// Runs until the time is over or an input shows a fault.
fn run(target: &Target, lasts: Duration, seed: u64, file: &Path, watchdog: &Watchdog) -> Result<Ran, String> {
    let mut inputs = Inputs::new(target.seeds, seed);
    // What is made once, by the first input, is nobody's.
    target.seeds.iter().for_each(|seed| (target.run)(seed));
    let mut ran = Ran { inputs: 0, slowest: Duration::ZERO, peak_mib: usage::peak_memory_mib() };
    let started = Instant::now();
    while started.elapsed() < lasts {
        let input = inputs.next();
        fs::write(file, &input).unwrap();
        let before = usage::processor_time();
        let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        let took = usage::processor_time().saturating_sub(before);
        watchdog.hear();
        let peak_mib = usage::peak_memory_mib();
        if ended.is_err() {
            return Err("it panics".to_owned());
        }
        if took > MOST_TIME {
            return Err(format!("it takes {took:?} of processor time for {} bytes", input.len()));
        }
        if peak_mib > ran.peak_mib + MOST_MEMORY_MIB {
            return Err(format!("it takes {} MiB for {} bytes", peak_mib - ran.peak_mib, input.len()));
        }
        ran = Ran { inputs: ran.inputs + 1, slowest: ran.slowest.max(took), peak_mib };
    }
    Ok(ran)
}

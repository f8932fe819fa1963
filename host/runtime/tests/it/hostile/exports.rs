//! A guest that goes wrong in each export, in those that the interface's border calls by itself, and before any of them.

use std::{collections::BTreeSet, path::Path};

use aftercommit_core::FailureClass::{Permanent, Transient};
use aftercommit_runtime::{Attempt, BatchItem, ComponentSource, ConfiguredAction, Runtime};
use serde_json::json;
use wit_parser::{Resolve, WorldItem};

use crate::fixture::{component, configure, delivery, event, runtime_with, settings, try_configure};

/// When the host meets the fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    Load,
    Check,
    Run,
    RunBatch,
}

/// Each export of the interface, when it is called, and the letters of the guest's faults in it and in what is called after
/// it (`tests/guests/by_hand/guest.wat`).
const EXPORTS: [(&str, When, [char; 2]); 4] = [
    ("plugin.describe", When::Load, ['d', 'D']),
    ("plugin.check", When::Check, ['c', 'C']),
    ("plugin.run", When::Run, ['r', 'R']),
    ("batch.run-batch", When::RunBatch, ['b', 'B']),
];

/// What else is called: the module's start function, and `cabi_realloc` while an export's arguments are handed over.
const OTHERS: [(When, char); 4] =
    [(When::Load, 's'), (When::Check, 'a'), (When::Run, 'A'), (When::RunBatch, 'A')];

/// What `cabi_realloc` can return that is no room: where, the letter, and whether the border notices. What it does not
/// notice stays within the guest's memory: it spoils nothing but the guest's own arguments.
const WRONG_PLACES: [(When, char, bool); 10] = [
    (When::Check, 'o', true),
    (When::Check, 'm', false),
    (When::Check, 'v', false),
    (When::Run, 'o', true),
    (When::Run, 'u', true),
    (When::Run, 'm', false),
    (When::Run, 'v', false),
    (When::RunBatch, 'o', true),
    (When::RunBatch, 'u', true),
    (When::RunBatch, 'v', false),
];

/// The exports of all worlds, as `interface.function`.
fn exports_of_the_interface() -> BTreeSet<String> {
    let mut resolve = Resolve::default();
    resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/action-1")).unwrap();
    let exported = resolve.worlds.iter().flat_map(|(_, world)| world.exports.values());
    let names = exported.flat_map(|item| match item {
        WorldItem::Interface { id, .. } => {
            let interface = &resolve.interfaces[*id];
            let name = interface.name.as_deref().unwrap();
            interface.functions.keys().map(|function| format!("{name}.{function}")).collect()
        }
        WorldItem::Function(function) => vec![function.name.clone()],
        WorldItem::Type { .. } => Vec::new(),
    });
    names.collect()
}

/// The guest with a fault.
fn faulty(place: char, way: char) -> ComponentSource {
    let mut bytes = std::fs::read(component("test/by_hand")).unwrap();
    let word = b"fault in . by .";
    let at = bytes.windows(word.len()).position(|window| window == word).expect("the words");
    bytes[at..at + word.len()].copy_from_slice(format!("fault in {place} by {way}").as_bytes());
    ComponentSource::Bytes(bytes.into())
}

async fn run(action: &ConfiguredAction, when: When) -> Attempt {
    let event = event(json!({"name": "Anna"}));
    match when {
        When::RunBatch => {
            let attempts = action.run_batch(&[BatchItem { event: &event, delivery: delivery() }]).await;
            attempts.into_iter().next().unwrap()
        }
        _ => action.run(&event, delivery()).await,
    }
}

/// How it goes with a fault: nothing, or what is told, of a delivery with its class and its code.
async fn outcome(runtime: &Runtime, when: When, place: char, way: char) -> Option<String> {
    let plugin = match runtime.load("by-hand", faulty(place, way), None).await {
        Ok(plugin) => plugin,
        Err(error) => {
            assert_eq!(when, When::Load, "{error}");
            return Some(error.to_string());
        }
    };
    let mut written = json!({"limits": {"cpu_ms": 100}});
    if when == When::RunBatch {
        written["batch"] = json!({"max_items": 2});
    }
    let action = match try_configure(&plugin, written).await {
        Ok(action) => action,
        Err(error) => {
            assert_eq!(when, When::Check, "{error}");
            return Some(error.to_string());
        }
    };
    let ends = [run(&action, when).await, run(&action, when).await].map(|attempt| {
        attempt.result.err().map(|failure| {
            let class = if failure.class == Permanent { "permanent" } else { "transient" };
            assert!(matches!(failure.class, Permanent | Transient), "{failure}");
            format!("{class} {}: {}", failure.problem.code, failure.problem.message)
        })
    });
    assert_eq!(ends[0], ends[1], "the second delivery meets nothing that the first has left");
    ends[0].clone()
}

/// What is told of a fault, before the fault itself.
const fn preface(when: When) -> &'static str {
    match when {
        When::Load => "the plugin does not describe itself: ",
        When::Check => "the plugin's check did not end well: ",
        When::Run | When::RunBatch => "transient ",
    }
}

#[test]
fn each_export_has_its_row() {
    let rows: BTreeSet<String> = EXPORTS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(rows, exports_of_the_interface(), "a new export needs its row, and its fault in the guest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_and_a_loop_in_each_export_end_what_was_asked() {
    let runtime = runtime_with(settings(), &[]);
    let calm = runtime.load("echo", ComponentSource::File(component("test/echo")), None).await.unwrap();
    let calm = configure(&calm, json!({"text": "{{name}}"})).await;
    let exports = EXPORTS.iter().flat_map(|(_, when, places)| places.map(|place| (*when, place)));
    for (when, place) in exports.chain(OTHERS) {
        for (way, told) in [('t', "the plugin trapped: "), ('l', "used more than ")] {
            let told = match (when, way) {
                (When::Run | When::RunBatch, 't') => format!("plugin_trap: {told}"),
                (When::Run | When::RunBatch, _) => format!("cpu_limit: {told}100 ms of CPU time"),
                _ => told.to_owned(),
            };
            let ended = outcome(&runtime, when, place, way).await;
            let ended = ended.unwrap_or_else(|| panic!("{when:?} {place} {way}: nothing went wrong"));
            let expected = format!("{}{told}", preface(when));
            assert!(ended.starts_with(&expected), "{when:?} {place} {way}: {ended}");
            assert!(ended.len() < 200 && !ended.contains('\n'), "{ended}");
        }
        assert!(run(&calm, When::Run).await.result.is_ok(), "a neighbour after {when:?} {place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn room_that_is_none_harms_nobody_else() {
    let runtime = runtime_with(settings(), &[]);
    for (when, way, noticed) in WRONG_PLACES {
        let place = if when == When::Check { 'a' } else { 'A' };
        let ended = outcome(&runtime, when, place, way).await;
        let Some(ended) = ended else {
            assert!(!noticed, "{when:?} {way} was not noticed");
            continue;
        };
        assert!(noticed, "{when:?} {way}: {ended}");
        assert!(ended.contains("the plugin does not keep to the interface: realloc return"), "{ended}");
        let class = if when == When::Check { preface(when) } else { "permanent plugin_abi" };
        assert!(ended.starts_with(class), "{ended}");
    }
}

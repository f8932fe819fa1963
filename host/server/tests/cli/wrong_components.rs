//! Files that are no plugins, each with its own reason.

use std::fs;

use crate::place::{Place, Run, guest};

fn check(content: &[u8]) -> Run {
    let place = Place::new();
    place.write("plugin.wasm", content);
    place.run(&["plugin", "check", "plugin.wasm"])
}

fn read(name: &str) -> Vec<u8> {
    fs::read(guest(name)).expect("`cargo xtask plugins` builds the test guests")
}

#[test]
fn each_has_its_reason() {
    insta::assert_snapshot!("text", check(b"observers:"));
    insta::assert_snapshot!("empty", check(b""));
    insta::assert_snapshot!("core_module", check(b"\0asm\x01\0\0\0"));
    insta::assert_snapshot!("other_world", check(&read("other_world.wasm")));
    insta::assert_snapshot!("describe_traps", check(&read("describe.wasm")));
    let whole = read("noop.wasm");
    let truncated = check(&whole[..whole.len() / 2]);
    assert_eq!(truncated.code, Some(1), "{truncated}");
    assert!(truncated.stderr.contains("the component is damaged"), "{truncated}");
}

#[test]
fn a_good_one_is_checked_and_inspected() {
    let place = Place::new();
    place.write("plugin.wasm", read("noop.wasm"));
    assert_eq!(place.run(&["plugin", "check", "plugin.wasm"]).code, Some(0));
    let run = place.run(&["plugin", "inspect", "plugin.wasm", "--output", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(shown["digest"].as_str().unwrap().starts_with("sha256:"), "{run}");
    assert!(shown["config_schema"].is_object(), "{run}");
}

#[test]
fn a_built_in_one_is_inspected_by_its_name() {
    let place = Place::new();
    let run = place.run(&["plugin", "inspect", "slack"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stdout.contains("chat.postMessage") && run.stdout.contains("blocks_template"), "{run}");
    let run = place.run(&["plugin", "inspect", "slak"]);
    assert_eq!(run.code, Some(2), "{run}");
    assert!(run.stderr.contains("there is no plugin `slak`; did you mean `slack`?"), "{run}");
}

#[test]
fn a_missing_file_is_named() {
    insta::assert_snapshot!(Place::new().run(&["plugin", "inspect", "none.wasm"]));
}

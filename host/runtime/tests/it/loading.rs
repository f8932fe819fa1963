//! Components that load, and one clear message for each that does not.

use std::os::unix::fs::PermissionsExt as _;

use aftercommit_runtime::{Compiler, ComponentSource, LoadError, Need, Runtime, RuntimeSettings};
use aftercommit_tests::wasm;

use crate::fixture::{component, plugin, runtime_with, settings};

async fn refused(runtime: &Runtime, bytes: Vec<u8>) -> LoadError {
    runtime.load("x", ComponentSource::Bytes(bytes.into()), None).await.expect_err("it must not load")
}

#[tokio::test]
async fn a_plugin_says_what_it_is() {
    let runtime = runtime_with(settings(), &[]);
    let plugin = runtime.load("hook", ComponentSource::File(component("webhook")), None).await.unwrap();
    assert_eq!(plugin.name(), "hook");
    assert_eq!(plugin.descriptor().name, "webhook");
    assert!(plugin.descriptor().needs.has(Need::Http));
    assert!(
        plugin.imports().iter().any(|name| name.starts_with("aftercommit:action/http@1.")),
        "{:?}",
        plugin.imports()
    );
    assert!(plugin.exports_batch());
    assert!(plugin.size_bytes() > 1000);
    let digest = plugin.digest().to_owned();
    // By its digest, from the cache, in another engine.
    let again = runtime_with(settings(), &[]);
    let plugin =
        again.load("hook", ComponentSource::File(component("webhook")), Some(&digest)).await.unwrap();
    assert_eq!(plugin.digest(), digest);
    let one_by_one = runtime.load("noop", ComponentSource::File(component("test/noop")), None).await.unwrap();
    assert!(!one_by_one.exports_batch());
}

#[tokio::test]
async fn what_is_not_a_component_is_refused() {
    let runtime = runtime_with(settings(), &[]);
    let whole = std::fs::read(component("webhook")).unwrap();
    assert!(matches!(refused(&runtime, b"hello".to_vec()).await, LoadError::NotWasm { .. }));
    assert!(matches!(refused(&runtime, Vec::new()).await, LoadError::NotWasm { .. }));
    assert!(matches!(refused(&runtime, b"\0asm\x01\0\0\0".to_vec()).await, LoadError::CoreModule));
    assert!(matches!(refused(&runtime, b"\x7fELF\x02\x01\x01".to_vec()).await, LoadError::Precompiled));
    let truncated = refused(&runtime, whole[..whole.len() / 2].to_vec()).await;
    assert!(matches!(truncated, LoadError::Damaged { .. }), "{truncated}");
    let missing = runtime.load("x", ComponentSource::File("/nowhere.wasm".into()), None).await.unwrap_err();
    assert!(missing.to_string().starts_with("/nowhere.wasm can not be read"), "{missing}");
    let other = runtime
        .load("x", ComponentSource::Bytes(whole.into()), Some(&format!("sha256:{}", "0".repeat(64))))
        .await
        .unwrap_err();
    assert!(matches!(other, LoadError::OtherDigest { .. }), "{other}");
}

#[tokio::test]
async fn what_has_no_end_or_is_too_large_is_not_read() {
    let runtime = runtime_with(RuntimeSettings { max_component_bytes: 100_000, ..settings() }, &[]);
    let device = runtime.load("x", ComponentSource::File("/dev/zero".into()), None).await.unwrap_err();
    assert_eq!(device.to_string(), "/dev/zero can not be read: it is not a file");
    let large = runtime.load("x", ComponentSource::File(component("webhook")), None).await.unwrap_err();
    assert!(large.to_string().contains("at most 98 KiB are read (`max_component_mb`"), "{large}");
    assert!(runtime.load("x", ComponentSource::File(component("test/describe")), None).await.is_err());
}

/// Components that no compiler makes, each a bomb for a host that believes what it reads. None has the host's interface: one
/// that was compiled is refused for that.
#[tokio::test]
async fn odd_shapes_are_refused_or_compiled_within_their_size() {
    let runtime = runtime_with(settings(), &[]);
    let one = |body: Vec<u8>| wasm::component(&[wasm::core_module(&wasm::module(&[], &[body]))]);
    // local.get 0, br_table with so many targets, end
    let targets = |count: usize| {
        let table = [vec![0x20, 0, 0x0e], wasm::number(count), vec![0; count + 1], vec![0x0b]].concat();
        one(wasm::body(&table))
    };
    let deep = |levels: usize| {
        (0..levels).fold(wasm::component(&[]), |inner, _| wasm::component(&[wasm::nested(&inner)]))
    };
    let memories = vec![wasm::section(5, &[vec![101], [1, 0, 0].repeat(101)].concat())];
    // A table of 4 thousand million elements, and a memory of 4 GiB.
    let table = vec![wasm::section(4, &[&[1, 0x70, 0][..], &wasm::number(u32::MAX as usize)].concat())];
    let memory = vec![wasm::section(5, &[&[1, 0][..], &wasm::number(65_536)].concat())];
    let module = |sections: &[Vec<u8>]| wasm::component(&[wasm::core_module(&wasm::module(sections, &[]))]);
    let other_world = "does not export";
    let parts = |count: usize| wasm::component(&vec![wasm::core_module(&wasm::module(&[], &[])); count]);
    let functions = |count: usize| {
        let bodies = vec![wasm::body(&[0x0b]); count];
        wasm::component(&[wasm::core_module(&wasm::module(&[], &bodies))])
    };
    let lie = [vec![1], wasm::number(1 << 30)].concat();
    for (what, bytes, told) in [
        ("nested blocks", wasm::slow_to_compile(10_000), other_world),
        ("a large br_table", targets(65_000), other_world),
        ("a larger br_table", targets(100_000), "exceeds the implementation limit"),
        ("too large a br_table", targets(2_000_000), "at most 1048576 are compiled"),
        ("locals", one(wasm::body_with_locals(49_999, &[0x0b])), other_world),
        ("too many locals", one(wasm::body_with_locals(50_000, &[0x0b])), "too many locals"),
        ("too many functions", functions(250_001), "more than 250000 functions"),
        ("nested components", deep(20), other_world),
        ("deeply nested components", deep(1000), "more than 20 levels of components"),
        ("modules", parts(100), other_world),
        ("too many modules", parts(1001), "more than 1000 modules"),
        ("memories", module(&memories), "memories count exceeds limit of 100"),
        ("a table", module(&table), "exceeds the limit"),
        ("a memory that nobody makes", module(&memory), other_world),
        ("a length that is a lie", wasm::component(&[lie]), "unexpected end-of-file"),
    ] {
        let started = std::time::Instant::now();
        let error = refused(&runtime, bytes).await.to_string();
        println!("{what}: {:?}", started.elapsed());
        assert!(error.contains(told) && error.len() < 1000, "{what}: {error}");
    }
}

#[tokio::test]
async fn what_took_too_much_is_not_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("compiler");
    std::fs::write(&program, "#!/bin/sh\necho begun >> \"$0.log\"\nkill -XCPU $$\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let compiler = Compiler { program: program.clone(), cpu_secs: 7, memory_mb: 64 };
    let cache_dir = Some(folder.path().join("compiled"));
    let host = RuntimeSettings { compiler: Some(compiler), cache_dir, ..settings() };
    let runtime = runtime_with(host, &[]);
    for _ in 0..2 {
        let told = runtime.load("x", ComponentSource::File(component("test/noop")), None).await.unwrap_err();
        assert!(told.to_string().contains("takes more than 7 s of processor time"), "{told}");
    }
    assert_eq!(std::fs::read_to_string(program.with_extension("log")).unwrap(), "begun\n");
}

/// Native code is not checked by the engine when it is loaded: damage that reached it would end the process.
#[tokio::test]
async fn a_damaged_compiled_plugin_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let host = || RuntimeSettings { cache_dir: Some(folder.path().join("compiled")), ..settings() };
    let load = async || {
        let noop = ComponentSource::File(component("test/noop"));
        runtime_with(host(), &[]).load("x", noop, None).await.unwrap()
    };
    load().await;
    let kept = |extension: &str| {
        let files = std::fs::read_dir(folder.path().join("compiled")).unwrap();
        files
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().unwrap_or_default() == extension)
            .collect::<Vec<_>>()
    };
    let code = kept("cwasm").remove(0);
    let length = usize::try_from(std::fs::metadata(&code).unwrap().len()).unwrap();
    for place in [0, 64, length / 4, length / 2, length - 40, length - 1] {
        let mut bytes = std::fs::read(&code).unwrap();
        bytes[place] ^= 0xff;
        std::fs::write(&code, &bytes).unwrap();
        load().await;
        assert_ne!(std::fs::read(&code).unwrap(), bytes, "byte {place}: it was kept again");
    }
    for shorter in [0, 10, length / 2, length - 1] {
        std::fs::OpenOptions::new().write(true).open(&code).unwrap().set_len(shorter as u64).unwrap();
        load().await;
        assert_eq!(std::fs::metadata(&code).unwrap().len(), length as u64);
    }
    std::fs::remove_file(folder.path().join("compiled/key")).unwrap();
    load().await;
    assert!(kept("part").is_empty());
}

#[tokio::test]
async fn a_compiled_component_from_a_user_is_refused() {
    let runtime = runtime_with(settings(), &[]);
    runtime.load("x", ComponentSource::File(component("test/noop")), None).await.unwrap();
    let folder = settings().cache_dir.unwrap();
    let compiled = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
        .unwrap();
    let error = runtime.load("x", ComponentSource::File(compiled), None).await.unwrap_err();
    assert!(matches!(error, LoadError::Precompiled), "{error}");
}

#[tokio::test]
async fn a_component_for_another_world_is_told_what_it_needs() {
    let runtime = runtime_with(settings(), &[]);
    let error =
        runtime.load("x", ComponentSource::File(component("test/other_world")), None).await.unwrap_err();
    assert!(matches!(error, LoadError::OtherWorld(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("\n  needs:") && text.contains("\n  host provides:"), "{text}");
    assert!(!text.contains("linker"), "{text}");
}

/// The guest `describe` with another behaviour.
fn describing(behaviour: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(component("test/describe")).unwrap();
    let word = b"describe: traps ";
    let at = bytes.windows(word.len()).position(|window| window == word).expect("the word");
    bytes[at + 10..at + word.len()].copy_from_slice(format!("{behaviour:6}").as_bytes());
    bytes
}

#[tokio::test]
async fn a_plugin_that_describes_itself_badly_is_refused_within_bounds() {
    let runtime = runtime_with(settings(), &[]);
    for (behaviour, told) in [
        ("traps", "the plugin does not describe itself: the plugin trapped"),
        ("loops", "the plugin does not describe itself: used more than 1000 ms of CPU time"),
        ("floods", "the plugin describes itself wrongly: its configuration schema has 41943040 bytes"),
        ("grows", "the plugin does not describe itself: needs more than 64 MiB of memory"),
        ("lies", "the plugin describes itself wrongly: it needs `root`, which is no capability"),
        ("chain", "the plugin describes itself wrongly: its configuration schema is nested deeper than 64"),
        (
            "double",
            "the plugin describes itself wrongly: its configuration schema has more than 20000 keywords",
        ),
        ("itself", "the plugin describes itself wrongly: its configuration schema refers to itself"),
        (
            "regexp",
            "the plugin describes itself wrongly: its configuration schema has 4000 patterns; at most 100",
        ),
        (
            "away",
            "the plugin describes itself wrongly: its configuration schema refers to `http://127.0.0.1:1/",
        ),
        (
            "deep",
            "the plugin describes itself wrongly: its configuration schema is not JSON: recursion limit",
        ),
    ] {
        let error = refused(&runtime, describing(behaviour)).await.to_string();
        assert!(error.starts_with(told), "{behaviour}: {error}");
    }
}

#[tokio::test]
async fn a_long_list_of_values_is_no_bomb() {
    let runtime = runtime_with(settings(), &[]);
    let long = ComponentSource::Bytes(describing("enums").into());
    runtime.load("x", long, None).await.unwrap();
}

#[tokio::test]
async fn the_same_guest_loads_when_it_is_honest() {
    let runtime = runtime_with(settings(), &[]);
    let honest = ComponentSource::Bytes(describing("honest").into());
    assert_eq!(runtime.load("x", honest, None).await.unwrap().descriptor().name, "describe");
}

#[tokio::test]
async fn a_plugin_takes_batches_if_it_exports_that() {
    assert!(plugin("search").await.exports_batch());
    assert!(!plugin("slack").await.exports_batch());
}

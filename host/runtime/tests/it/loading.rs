//! Components that load, and one clear message for each that does not.

use aftercommit_runtime::{ComponentSource, LoadError, Need, Runtime};

use crate::fixture::{component, runtime_with, settings};

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
    assert!(!plugin.exports_batch());
    assert!(plugin.size_bytes() > 1000);
    let digest = plugin.digest().to_owned();
    // By its digest, from the cache, in another engine.
    let again = runtime_with(settings(), &[]);
    let plugin =
        again.load("hook", ComponentSource::File(component("webhook")), Some(&digest)).await.unwrap();
    assert_eq!(plugin.digest(), digest);
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

#[tokio::test]
async fn a_describe_that_traps_is_told() {
    let runtime = runtime_with(settings(), &[]);
    let error =
        runtime.load("x", ComponentSource::File(component("test/describe_traps")), None).await.unwrap_err();
    assert!(matches!(error, LoadError::Describe { .. }), "{error}");
    assert!(error.to_string().starts_with("the plugin does not describe itself: "), "{error}");
}

//! Components that are small and take minutes to compile: who looks at one is told, and a host goes on delivering.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use aftercommit_tests::wasm;

use crate::{
    actions::built,
    shop::{Shop, webhook},
    sqlite_file::SqliteFile,
};

const SOON: Duration = Duration::from_mins(2);

/// Takes minutes of a processor.
fn slow() -> Vec<u8> {
    wasm::slow_to_compile(300_000)
}

const PLUGIN: &str = "[plugins.late]\nsource = \"file:late.wasm\"\n";

const LATE: &str =
    "[[observers]]\nname = \"late\"\nentity_type = \"Other\"\n[[observers.actions]]\ntype = \"late\"\n";

/// What is told when a component is looked at with a bound set to a value.
async fn told(bomb: &[u8], bound: &str, value: &str) -> String {
    let mut shop = Shop::open("").await;
    shop.set_env(bound, value);
    fs::write(shop.path("bomb.wasm"), bomb).unwrap();
    let looked = shop.output(&["plugin", "inspect", "bomb.wasm"]);
    assert_eq!(looked.status.code(), Some(1));
    let told = String::from_utf8(looked.stderr).unwrap();
    // Before it, a line may say that a compiler is at work.
    let last = told.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("error: bomb.wasm: ") && told.matches("error: ").count() == 1, "{told}");
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn compiling_is_ended_at_its_bounds_and_told() {
    let time = told(&slow(), "AFTERCOMMIT_RUNTIME_COMPILE_CPU_SECS", "1").await;
    assert!(
        time.contains("takes more than 1 s of processor time (`compile_cpu_secs` in [runtime])"),
        "{time}"
    );
    let memory =
        told(&wasm::large_to_compile(2000, 2000), "AFTERCOMMIT_RUNTIME_COMPILE_MEMORY_MB", "256").await;
    assert!(
        memory.contains("takes more than 256 MiB of memory (`compile_memory_mb` in [runtime])"),
        "{memory}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_wrong_is_told_by_the_process_that_compiles() {
    let shop = Shop::open("").await;
    // It returns nothing, and leaves a number.
    let module = wasm::module(&[], &[wasm::body(&[0x20, 0x00, 0x0b])]);
    fs::write(shop.path("wrong.wasm"), wasm::component(&[wasm::core_module(&module)])).unwrap();
    let looked = shop.output(&["plugin", "check", "wrong.wasm"]);
    let told = String::from_utf8(looked.stderr).unwrap();
    assert!(
        told.contains("the component is damaged or uses features") && told.contains("type mismatch"),
        "{told}"
    );
}

/// Whether a process compiles; one that has ended does not, even if nobody has asked how.
fn compiles(process: &Path) -> bool {
    let command = fs::read(process.join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).contains("--compile-component")
}

/// The processes that compile for a host.
fn compilers(host: u32) -> Vec<PathBuf> {
    // Each thread has its own.
    let threads = fs::read_dir(format!("/proc/{host}/task")).unwrap();
    let children =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    children
        .flat_map(|ids| ids.split_whitespace().map(|id| PathBuf::from("/proc").join(id)).collect::<Vec<_>>())
        .filter(|process| compiles(process))
        .collect()
}

/// A shop with an observer that works, and one that the table does not have yet, whose plugin is a bomb by then.
async fn with_a_bomb() -> Shop<SqliteFile> {
    let shop = Shop::open(PLUGIN).await;
    let hook = webhook("hook", "", &shop.receiver.url("/"));
    fs::copy(built("test/noop"), shop.path("late.wasm")).unwrap();
    shop.observe(&format!("{hook}{LATE}"));
    shop.sql("CREATE TABLE kept AS SELECT * FROM tb_observer WHERE name = 'late'").await;
    shop.observe(&hook);
    fs::write(shop.path("late.wasm"), slow()).unwrap();
    shop
}

const ARRIVES: &str = "INSERT INTO tb_observer SELECT * FROM kept";

#[tokio::test(flavor = "multi_thread")]
async fn a_host_delivers_while_it_compiles_and_stops_when_it_is_told_to() {
    let mut shop = with_a_bomb().await;
    shop.set_env("AFTERCOMMIT_RUNTIME_COMPILE_CPU_SECS", "3600");
    let host = shop.start_host();
    shop.sql(ARRIVES).await;
    shop.eventually(SOON, "it compiles", async |_| !compilers(host.id()).is_empty()).await;
    let compiler = compilers(host.id()).remove(0);
    for id in 0..20 {
        shop.sql(&format!("INSERT INTO orders VALUES ({id}, 'new', 1)")).await;
    }
    shop.all_done(SOON).await;
    assert_eq!(shop.receiver.count(), 20);
    assert!(compiles(&compiler), "it was done before the deliveries: this test shows nothing");
    assert!(host.stop(), "{}", shop.host_log());
    shop.eventually(SOON, "what compiles ends with its host", async |_| !compiles(&compiler)).await;

    // Nor is it held up while it starts.
    let starting = shop.launch_host();
    shop.eventually(SOON, "it compiles again", async |_| !compilers(starting.id()).is_empty()).await;
    assert!(!starting.stop(), "it was never ready");
    assert!(shop.host_log().contains("told to stop by SIGTERM before it was ready"), "{}", shop.host_log());

    let killed = shop.launch_host();
    shop.eventually(SOON, "it compiles again", async |_| !compilers(killed.id()).is_empty()).await;
    let compiler = compilers(killed.id()).remove(0);
    killed.kill();
    shop.eventually(SOON, "what compiles ends with a host that is killed", async |_| !compiles(&compiler))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_with_a_bomb_ends_with_its_error() {
    let mut shop = with_a_bomb().await;
    shop.set_env("AFTERCOMMIT_RUNTIME_COMPILE_CPU_SECS", "1");
    let host = shop.start_host();
    shop.sql(ARRIVES).await;
    shop.eventually(SOON, "the reload is over", async |shop| {
        shop.host_log().contains("compiling the component takes more than 1 s of processor time")
    })
    .await;
    shop.sql("INSERT INTO orders VALUES (1, 'new', 1)").await;
    shop.all_done(SOON).await;
    assert_eq!(shop.receiver.count(), 1);
    shop.write("late.toml", LATE);
    let refused = shop.output(&["observers", "validate", "late.toml"]);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && told.contains("more than 1 s of processor time"), "{told}");
    let listed = shop.run(&["observers", "list"]);
    assert!(listed.contains("more than 1 s of processor time"), "{listed}");
    assert!(host.stop(), "{}", shop.host_log());
    // And at a start, which is not held up by it for longer.
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (2, 'new', 1)").await;
    shop.all_done(SOON).await;
    assert_eq!(shop.receiver.count(), 2);
    assert!(host.stop(), "{}", shop.host_log());
}

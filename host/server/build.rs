//! Puts the built plugins into the binary: those in `plugins/dist`, or in the folder that `AFTERCOMMIT_PLUGINS` names.
//! Without them the crate still compiles; the binary then says what to run.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=AFTERCOMMIT_PLUGINS");
    let dist = env::var_os("AFTERCOMMIT_PLUGINS").map_or_else(
        || Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../plugins/dist"),
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut names: Vec<String> = fs::read_dir(&dist)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".wasm").map(str::to_owned))
        .collect();
    names.sort();
    let mut code = String::from(
        "/// Name and component of every built-in plugin.\npub(super) static BUILTIN: &[(&str, &[u8])] = &[\n",
    );
    for name in names {
        let file = dist.join(format!("{name}.wasm"));
        println!("cargo::rerun-if-changed={}", file.display());
        let file = fs::canonicalize(file)?;
        writeln!(code, "    ({name:?}, include_bytes!({:?})),", file.display().to_string())
            .expect("a string takes all");
    }
    code.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("builtin.rs"), code)
}

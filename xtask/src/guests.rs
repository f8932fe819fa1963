//! Building guests: every folder below `plugins/` and `tests/guests/` becomes a component in `plugins/dist`.
//!
//! Cargo compiles core modules into one shared folder, the WIT package's description inside; `wit-component` makes
//! components of them. A folder with `guest.wat` in the place of a crate has its core module written by hand. None of it is done when nothing changed since the last time.

mod compile;
mod digest;
mod encode;
mod text;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{repository, toolchain::Toolchain};

/// One guest.
pub(crate) struct Guest {
    /// Its folder.
    source: PathBuf,
    module: Module,
    /// What is made of that.
    component: PathBuf,
}

/// Where a guest's core module comes from.
enum Module {
    /// What cargo makes of its crate, a file's name.
    Compiled(String),
    /// Its text, in this file.
    Written(PathBuf),
}

/// Builds what is not up to date.
pub(crate) fn build() -> Result<()> {
    let root = repository::root();
    let target = root.join("plugins/target");
    let dist = root.join("plugins/dist");
    let guests = all(&root, &dist)?;
    let toolchain = Toolchain::find(&target.join("aftercommit-toolchain"))?;

    let stamp = target.join("aftercommit-guests");
    let digest = digest::of_inputs(&root, &toolchain.identity())?;
    let unchanged = fs::read_to_string(&stamp).is_ok_and(|built| built == digest);
    if unchanged && guests.iter().all(|guest| guest.component.is_file()) {
        eprintln!("guests: {} are up to date in plugins/dist", guests.len());
        return Ok(());
    }

    eprintln!("guests: building {} with {}", guests.len(), toolchain.describe());
    let modules = compile::run(&toolchain, &root, &target)?;
    for guest in &guests {
        let module = match &guest.module {
            Module::Compiled(name) => compile::module(guest, &modules.join(name))?,
            Module::Written(file) => text::module(file, &root.join("wit/action-1"))?,
        };
        let size_bytes = encode::write(guest, &module)?;
        let name = guest.component.strip_prefix(&root).unwrap_or(&guest.component);
        eprintln!("  {:<40} {:>4} KB", name.display(), size_bytes.div_ceil(1024));
    }
    remove_others(&dist, &guests)?;
    // Last: an interrupted build is not up to date.
    fs::write(&stamp, digest).with_context(|| format!("{} can not be written", stamp.display()))
}

/// The guests by their folders.
fn all(root: &Path, dist: &Path) -> Result<Vec<Guest>> {
    let mut guests = Vec::new();
    for (folder, prefix, dist) in [
        ("plugins", "aftercommit_plugin", dist.to_owned()),
        ("tests/guests", "aftercommit_guest", dist.join("test")),
    ] {
        for (source, text) in sources_in(&root.join(folder))? {
            let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // What the plugins are written with is no plugin.
            if name != "sdk" {
                let compiled = || Module::Compiled(format!("{prefix}_{}.wasm", name.replace('-', "_")));
                let module = text.map_or_else(compiled, Module::Written);
                guests.push(Guest { source, module, component: dist.join(format!("{name}.wasm")) });
            }
        }
    }
    Ok(guests)
}

/// The folders of guests, each with the text of its module if it has one.
fn sources_in(folder: &Path) -> Result<Vec<(PathBuf, Option<PathBuf>)>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} can not be read", folder.display()))? {
        let path = entry?.path();
        let text = Some(path.join("guest.wat")).filter(|text| text.is_file());
        if text.is_some() || path.join("Cargo.toml").is_file() {
            sources.push((path, text));
        }
    }
    sources.sort();
    Ok(sources)
}

/// A component whose folder is gone must not be loaded any more.
fn remove_others(dist: &Path, guests: &[Guest]) -> Result<()> {
    for folder in [dist.to_owned(), dist.join("test")] {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "wasm")
                && !guests.iter().any(|guest| guest.component == path)
            {
                fs::remove_file(&path).with_context(|| format!("{} can not be removed", path.display()))?;
            }
        }
    }
    Ok(())
}

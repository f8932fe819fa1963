//! Core modules that are written by hand, as WebAssembly text.

use std::path::Path;

use anyhow::{Context as _, Result};
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// The world with every export that there is.
const WORLD: &str = "batch-action";

/// The module of a text, with the description of its world in it.
pub(crate) fn module(text: &Path, wit: &Path) -> Result<Vec<u8>> {
    let mut module = wat::parse_file(text).with_context(|| format!("{} is no module", text.display()))?;
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).with_context(|| format!("{} is no package", wit.display()))?;
    let world = resolve.select_world(&[package], Some(WORLD))?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)?;
    Ok(module)
}

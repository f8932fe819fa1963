//! Making components of core modules.

use std::{fs, process};

use anyhow::{Context as _, Result};
use wit_component::ComponentEncoder;

use super::Guest;

/// Writes the guest's component and returns its size in bytes. The file is there whole or not at all.
pub(crate) fn write(guest: &Guest, module: &[u8]) -> Result<usize> {
    let component = encode(module).with_context(|| format!("{} is no guest", guest.source.display()))?;

    let path = &guest.component;
    let unfinished = path.with_extension(format!("wasm.{}", process::id()));
    let folder = path.parent().context("a component has a folder")?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&unfinished, &component))
        .and_then(|()| fs::rename(&unfinished, path))
        .with_context(|| format!("{} can not be written", path.display()))?;
    Ok(component.len())
}

/// The component of a core module that carries the description of its world. It is validated.
fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_module_is_a_component_without_imports() {
        let component = encode(b"\0asm\x01\0\0\0").unwrap();
        assert_eq!(component, encode(b"\0asm\x01\0\0\0").unwrap());
        assert_eq!(component[..8], *b"\0asm\x0d\0\x01\0");
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(encode(b"#!/bin/sh").is_err());
    }
}

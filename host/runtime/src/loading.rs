//! From a file to a compiled component, or to one clear reason why not.

use std::{borrow::Cow, path::PathBuf};

use sha2::{Digest as _, Sha256};
use wasmtime::{
    Engine,
    component::{Component, types::ComponentItem},
};

use crate::{
    cache::CompileCache,
    descriptor::DescriptorError,
    limits::Limits,
    world::{Misfit, PLUGIN, provided},
};

/// Where a component comes from.
#[derive(Clone, Debug)]
pub enum ComponentSource {
    /// Bytes at hand: a plugin that the program carries inside itself.
    Bytes(Cow<'static, [u8]>),
    /// A file.
    File(PathBuf),
}

/// A component that can not be used. Every variant is one message for people.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can not be read.
    #[error("{} can not be read: {why}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        why: std::io::Error,
    },
    /// The file is larger than any component.
    #[error("the component has {size_bytes} bytes; at most {MAX_COMPONENT_BYTES} are loaded")]
    TooLarge {
        /// Its size.
        size_bytes: u64,
    },
    /// The expected digest is not written as one.
    #[error("`{0}` is not a digest; write sha256: and 64 hexadecimal digits")]
    BadDigest(String),
    /// The component is not the one that was expected.
    #[error("the component is not the expected one\n  expected: {expected}\n  found:    {found}")]
    OtherDigest {
        /// As configured.
        expected: String,
        /// The file's own.
        found: String,
    },
    /// Not WebAssembly at all.
    #[error("the file is not a WebAssembly component (it starts with {start})")]
    NotWasm {
        /// The first bytes.
        start: String,
    },
    /// Native code. Never loaded: it could do anything.
    #[error(
        "the file is compiled native code, which is never loaded as a plugin; give the .wasm component that it was made from"
    )]
    Precompiled,
    /// WebAssembly, but a core module.
    #[error(
        "the file is a core WebAssembly module, not a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// A component that does not read or compile.
    #[error("the component is damaged or uses features that this host does not have: {why}")]
    Damaged {
        /// The compiler's reason.
        why: String,
    },
    /// A component for another world.
    #[error("{0}")]
    OtherWorld(Misfit),
    /// `describe` did not answer.
    #[error("the plugin does not describe itself: {why}")]
    Describe {
        /// What it did instead.
        why: String,
    },
    /// `describe` answered with something that is not a descriptor.
    #[error("the plugin describes itself wrongly: {0}")]
    Descriptor(#[from] DescriptorError),
}

/// No component is larger: the largest known, of Python, have 40 MB.
const MAX_COMPONENT_BYTES: u64 = 256 << 20;

/// A component that was read and compiled.
pub(crate) struct Compiled {
    pub(crate) component: Component,
    pub(crate) digest: String,
    pub(crate) size_bytes: u64,
    pub(crate) imports: Vec<String>,
    pub(crate) exports_batch: bool,
}

impl ComponentSource {
    /// The bytes, none of them looked at yet.
    pub(crate) fn read(self) -> Result<Cow<'static, [u8]>, LoadError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::File(path) => {
                let unreadable = |why| LoadError::Unreadable { path: path.clone(), why };
                let size_bytes = std::fs::metadata(&path).map_err(unreadable)?.len();
                if size_bytes > MAX_COMPONENT_BYTES {
                    return Err(LoadError::TooLarge { size_bytes });
                }
                Ok(Cow::Owned(std::fs::read(&path).map_err(unreadable)?))
            }
        }
    }
}

/// `sha256:` and the digest of the bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Whether the bytes are the expected ones.
pub(crate) fn check_digest(expected: Option<&str>, found: &str) -> Result<(), LoadError> {
    let Some(expected) = expected else { return Ok(()) };
    let normal = expected.to_ascii_lowercase();
    let hex = normal
        .strip_prefix("sha256:")
        .filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match hex {
        None => Err(LoadError::BadDigest(expected.to_owned())),
        Some(_) if normal == found => Ok(()),
        Some(_) => Err(LoadError::OtherDigest { expected: normal, found: found.to_owned() }),
    }
}

/// Compiles a component, or takes it from the cache. Blocks for as long as that takes.
pub(crate) fn compile(
    engine: &Engine,
    cache: Option<&CompileCache>,
    bytes: &[u8],
    digest: String,
) -> Result<Compiled, LoadError> {
    look_at_header(bytes)?;
    let hex = digest.trim_start_matches("sha256:");
    let component = if let Some(cached) = cache.and_then(|cache| cache.load(engine, hex)) {
        cached
    } else {
        // `from_binary` takes WebAssembly only, neither its text form nor native code.
        let component = Component::from_binary(engine, bytes)
            .map_err(|error| LoadError::Damaged { why: error.root_cause().to_string() })?;
        if let Some(cache) = cache {
            cache.store(hex, &component);
        }
        component
    };
    let world = component.component_type();
    let imports: Vec<String> = world.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let exports: Vec<String> = world.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let exported = |interface: &str| exports.iter().any(|name| name.starts_with(&format!("{interface}@1.")));
    let misfit = Misfit {
        needs: imports.iter().filter(|name| !provided(name)).cloned().collect(),
        lacks: if exported(PLUGIN) { Vec::new() } else { vec![format!("{PLUGIN}@1")] },
        differs: Vec::new(),
    };
    if misfit != Misfit::default() {
        return Err(LoadError::OtherWorld(misfit));
    }
    let exports_batch = exported("aftercommit:action/batch");
    Ok(Compiled { component, digest, size_bytes: bytes.len() as u64, imports, exports_batch })
}

/// A component whose interfaces have our names and do not link. The linker's message is searched for the names only.
pub(crate) fn unlinkable(compiled: &Compiled, engine: &Engine, error: &wasmtime::Error) -> LoadError {
    let told = format!("{error:#}");
    let world = compiled.component.component_type();
    let mut differs: Vec<String> = world
        .imports(engine)
        .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
        .map(|(name, _)| name.to_owned())
        .filter(|name| told.contains(name.as_str()))
        .collect();
    if differs.is_empty() {
        differs.push(format!("{PLUGIN}@1"));
    }
    tracing::debug!(error = told, "a component does not link");
    LoadError::OtherWorld(Misfit { differs, ..Misfit::default() })
}

fn look_at_header(bytes: &[u8]) -> Result<(), LoadError> {
    if Engine::detect_precompiled(bytes).is_some() || bytes.starts_with(b"\x7fELF") {
        return Err(LoadError::Precompiled);
    }
    match bytes {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Err(LoadError::CoreModule),
        [0, b'a', b's', b'm', ..] => {
            Err(LoadError::Damaged { why: "the file ends within its first bytes".to_owned() })
        }
        _ => {
            let start: String = bytes
                .iter()
                .take(8)
                .flat_map(|byte| std::ascii::escape_default(*byte))
                .map(char::from)
                .collect();
            let start =
                if start.is_empty() { "nothing: it is empty".to_owned() } else { format!("`{start}`") };
            Err(LoadError::NotWasm { start })
        }
    }
}

/// Bounds of `describe` and `check`, which run before an operator could have set any.
pub(crate) fn describe_limits() -> Limits {
    Limits { timeout_ms: 5000, cpu_ms: 1000, memory_mb: 64, host_calls: 200, ..Limits::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_told_apart() {
        assert!(matches!(look_at_header(b""), Err(LoadError::NotWasm { .. })));
        assert!(matches!(look_at_header(b"\0asm"), Err(LoadError::Damaged { .. })));
        assert!(matches!(look_at_header(b"\0asm\x01\0\0\0"), Err(LoadError::CoreModule)));
        assert!(matches!(look_at_header(b"\x7fELF\x02"), Err(LoadError::Precompiled)));
        assert!(look_at_header(b"\0asm\x0d\0\x01\0").is_ok());
    }

    #[test]
    fn digests_are_compared() {
        let found = digest(b"x");
        assert!(check_digest(Some(&found.to_uppercase().replace("SHA256", "sha256")), &found).is_ok());
        assert!(matches!(check_digest(Some("sha256:12"), &found), Err(LoadError::BadDigest(_))));
        assert!(matches!(check_digest(Some(&digest(b"y")), &found), Err(LoadError::OtherDigest { .. })));
    }
}

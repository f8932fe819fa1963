//! From a file to a compiled component, or to one clear reason why not.

pub(crate) mod describe;
pub(crate) mod descriptor;
pub(crate) mod linking;
pub(crate) mod loaded;
pub(crate) mod plugin;
pub(crate) mod schema;
pub(crate) mod schema_size;
pub(crate) mod world;

use std::{borrow::Cow, io, path::PathBuf};

use aftercommit_core::plain::one_line;
use sha2::{Digest as _, Sha256};
use wasmtime::{
    Engine,
    component::{Component, types::ComponentItem},
};

use crate::{
    files::read_file,
    limits::Limits,
    loading::{
        descriptor::DescriptorError,
        world::{Misfit, PLUGIN, provided},
    },
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
        why: io::Error,
    },
    /// The file is larger than the host loads.
    #[error("{what} is larger than the host loads: {why} (`max_component_mb` in [runtime])")]
    TooLarge {
        /// The file, if it is one.
        what: String,
        /// Its size and the host's limit.
        why: String,
    },
    /// It is made to be compiled for long, or has parts that no compiler of a language makes.
    #[error("the component has {what}")]
    TooHeavy {
        /// What it has too much of.
        what: String,
    },
    /// Its compilation was ended.
    #[error("compiling the component takes more than {bound}")]
    TooCostly {
        /// What it used up, and who sets that.
        bound: String,
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

/// What is told of a library's reason. It may repeat names of any length.
const MAX_REASON_CHARS: usize = 300;

impl LoadError {
    /// A component that a library does not take, with its reason.
    pub(crate) fn damaged(reason: &dyn std::fmt::Display) -> Self {
        let reason = reason.to_string();
        Self::Damaged { why: one_line(&reason).chars().take(MAX_REASON_CHARS).collect() }
    }
}

/// A component's bytes, the expected ones, and not looked at.
pub(crate) struct Whole {
    pub(crate) bytes: Cow<'static, [u8]>,
    /// `sha256:` and their digest.
    pub(crate) digest: String,
}

impl Whole {
    /// Reads a component. Takes its time.
    pub(crate) fn read(
        source: ComponentSource,
        expected_digest: Option<&str>,
        limit_bytes: u64,
    ) -> Result<Self, LoadError> {
        let bytes = source.read(limit_bytes)?;
        let digest = digest(&bytes);
        check_digest(expected_digest, &digest)?;
        Ok(Self { bytes, digest })
    }

    pub(crate) fn digest_hex(&self) -> &str {
        self.digest.trim_start_matches("sha256:")
    }
}

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
    fn read(self, limit_bytes: u64) -> Result<Cow<'static, [u8]>, LoadError> {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::File(path) => {
                Cow::Owned(read_file(&path, limit_bytes).map_err(|why| match why.kind() {
                    io::ErrorKind::FileTooLarge => {
                        LoadError::TooLarge { what: path.display().to_string(), why: why.to_string() }
                    }
                    _ => LoadError::Unreadable { path, why },
                })?)
            }
        };
        if bytes.len() as u64 > limit_bytes {
            let why = format!("it has {} bytes, and at most {limit_bytes} are loaded", bytes.len());
            return Err(LoadError::TooLarge { what: "the component".to_owned(), why });
        }
        Ok(bytes)
    }
}

/// Does work that takes its time.
pub(crate) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(LoadError::Damaged { why: format!("the compiler gave up: {error}") }))
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
fn check_digest(expected: Option<&str>, found: &str) -> Result<(), LoadError> {
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

/// What a compiled component imports and exports, if that is what plugins do.
pub(crate) fn examine(engine: &Engine, component: Component, whole: &Whole) -> Result<Compiled, LoadError> {
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
    let (digest, size_bytes) = (whole.digest.clone(), whole.bytes.len() as u64);
    Ok(Compiled { component, digest, size_bytes, imports, exports_batch })
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

/// What a file is by its first bytes.
pub(crate) fn look_at_header(bytes: &[u8]) -> Result<(), LoadError> {
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
    Limits { timeout_ms: 10_000, cpu_ms: 1000, memory_mb: 64, host_calls: 200, ..Limits::default() }
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

//! `[plugins.NAME]`: plugins beside, or in the place of, the built-in ones.

use std::{fmt, path::PathBuf, str::FromStr};

use serde_json::Value;

use crate::document::{Content, Section};

/// `[plugins.NAME]`
#[derive(Clone, PartialEq, Debug)]
pub struct PluginConfig {
    /// Where the component is.
    pub source: PluginSource,
    /// `sha256:` and 64 hexadecimal digits: a component that differs is refused.
    pub digest: Option<String>,
    /// What every action of this plugin is configured with, unless it says otherwise: an object.
    pub config: Option<Value>,
    /// What every action of this plugin may do; as written, the runtime reads it.
    pub grants: Option<Value>,
    /// Bounds for every action of this plugin; as written, the runtime reads it.
    pub limits: Option<Value>,
}

/// Where a plugin's component is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PluginSource {
    /// A file, written `file:PATH`.
    File(PathBuf),
    /// Inside this program, written `builtin:NAME`.
    Builtin(String),
}

impl FromStr for PluginSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("builtin", name)) if !name.is_empty() => Ok(Self::Builtin(name.to_owned())),
            _ => Err(format!("`{text}` is not a source: write file:PATH or builtin:NAME")),
        }
    }
}

impl fmt::Display for PluginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Builtin(name) => write!(f, "builtin:{name}"),
        }
    }
}

impl PluginConfig {
    /// A plugin of which only the source is known.
    #[must_use]
    pub const fn new(source: PluginSource) -> Self {
        Self { source, digest: None, config: None, grants: None, limits: None }
    }

    pub(super) fn read(name: &str, mut section: Section<'_>) -> Self {
        let config = Self {
            source: section.parsed("source").unwrap_or_else(|| PluginSource::Builtin(name.to_owned())),
            digest: section.text("digest"),
            config: table(&mut section, "config"),
            grants: table(&mut section, "grants"),
            limits: table(&mut section, "limits"),
        };
        if config.digest.as_deref().is_some_and(|digest| !is_digest(digest)) {
            section.problem("digest", "a digest is `sha256:` and 64 hexadecimal digits");
        }
        section.finish();
        config
    }
}

fn table(section: &mut Section<'_>, key: &str) -> Option<Value> {
    let node = section.node(key)?;
    if !matches!(node.content, Content::Table(_)) {
        section.problem(key, format!("expected a table, found {}", node.kind()));
    }
    Some(node.to_json())
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

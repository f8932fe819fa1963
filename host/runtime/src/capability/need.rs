//! What a plugin says it needs.

/// A capability that a plugin declares.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Need {
    /// HTTP requests.
    Http,
    /// Signing and tokens with secrets that the plugin does not see.
    Secrets,
    /// The text of secrets.
    Reveal,
    /// E-mail over the host's server.
    Mail,
    /// Commands to a Redis server.
    Redis,
    /// Keys of a Memcached server.
    Memcached,
}

impl Need {
    /// All needs.
    pub const ALL: [Self; 6] =
        [Self::Http, Self::Secrets, Self::Reveal, Self::Mail, Self::Redis, Self::Memcached];

    /// The name in a descriptor.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Secrets => "secrets",
            Self::Reveal => "secrets.reveal",
            Self::Mail => "mail",
            Self::Redis => "redis",
            Self::Memcached => "memcached",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|need| need.as_str() == name)
    }
}

/// What the plugin declared it needs.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Needs(u8);

impl Needs {
    /// Adds a need.
    #[must_use]
    pub const fn with(self, need: Need) -> Self {
        Self(self.0 | 1 << need as u8)
    }

    /// Whether the need was declared.
    #[must_use]
    pub const fn has(self, need: Need) -> bool {
        self.0 & (1 << need as u8) != 0
    }

    /// Those declared.
    pub fn iter(self) -> impl Iterator<Item = Need> {
        Need::ALL.into_iter().filter(move |need| self.has(*need))
    }
}

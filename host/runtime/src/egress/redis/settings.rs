//! Where a Redis server is and how to log in, from its URL.

use std::{fmt, path::PathBuf};

use percent_encoding::percent_decode_str;
use url::Url;

use crate::{egress::dial::Endpoint, secrets::Secret};

/// A Redis server. Its `Debug` form shows no password.
#[derive(Clone)]
pub struct RedisSettings {
    pub(super) endpoint: Endpoint,
    pub(super) tls: bool,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: u32,
    /// Connections at the same time; more calls wait. Default 16.
    pub max_connections: u32,
    /// A file of certificates (PEM) trusted beside the platform's. Followed when it changes.
    pub ca_file: Option<PathBuf>,
}

const PORT: u16 = 6379;
const FORM: &str = "write redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS";

impl RedisSettings {
    /// Reads `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, or `rediss://` with TLS (the form of
    /// <https://www.iana.org/assignments/uri-schemes/prov/redis>). User and password are percent-encoded. The error
    /// holds no part of the URL that could be a secret.
    pub fn from_url(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("this is not a URL ({error}); {FORM}"))?;
        let tls = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(format!("the URL does not start with redis:// or rediss://; {FORM}")),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| format!("the URL names no host; {FORM}"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("the URL has parameters, which are not read; {FORM}"));
        }
        let database = match url.path().trim_start_matches('/') {
            "" => 0,
            number => number
                .parse()
                .map_err(|_| format!("what follows the host is not the number of a database; {FORM}"))?,
        };
        let decoded = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| format!("user or password are not UTF-8; {FORM}"))
        };
        let username = Some(decoded(url.username())?).filter(|name| !name.is_empty());
        let password = url.password().map(decoded).transpose()?.filter(|password| !password.is_empty());
        if username.is_some() && password.is_none() {
            return Err(format!("the URL names a user and no password; {FORM}"));
        }
        Ok(Self {
            endpoint: Endpoint {
                host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
                port: url.port().unwrap_or(PORT),
            },
            tls,
            username,
            password: password.map(Secret::new),
            database,
            max_connections: 16,
            ca_file: None,
        })
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("endpoint", &self.endpoint)
            .field("tls", &self.tls)
            .field("username", &self.username)
            .field("password", &self.password)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let settings = RedisSettings::from_url("rediss://app:p%40ss@cache.example:7000/3").unwrap();
        assert_eq!(settings.endpoint.to_string(), "cache.example:7000");
        assert!(settings.tls);
        assert_eq!(settings.username.as_deref(), Some("app"));
        assert_eq!(settings.password.as_ref().map(Secret::expose), Some("p@ss"));
        assert_eq!(settings.database, 3);
        assert!(!format!("{settings:?}").contains("p@ss"));
        let plain = RedisSettings::from_url("redis://:secret@[::1]").unwrap();
        assert_eq!((plain.endpoint.to_string().as_str(), plain.username), ("[::1]:6379", None));
    }

    #[test]
    fn wrong_urls_are_told_without_their_password() {
        for wrong in [
            "http://:hunter2@h",
            "redis://:hunter2@",
            "redis://:hunter2@h/zero",
            "redis://:hunter2@h?db=1",
            "redis://hunter2@h",
            "hunter2",
        ] {
            let told = RedisSettings::from_url(wrong).unwrap_err();
            assert!(told.contains("redis://USER") && !told.contains("hunter2"), "{told}");
        }
    }
}

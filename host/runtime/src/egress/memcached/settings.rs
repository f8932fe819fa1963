//! Where a Memcached server is.

use url::Url;

use crate::egress::dial::Endpoint;

/// A Memcached server.
#[derive(Clone, Debug)]
pub struct MemcachedSettings {
    pub(super) endpoint: Endpoint,
    /// Connections at the same time; more calls wait. Default 16.
    pub max_connections: u32,
}

const PORT: u16 = 11_211;
const FORM: &str = "write memcached://HOST:PORT";

impl MemcachedSettings {
    /// Reads `memcached://HOST[:PORT]`. The error holds no part of the URL.
    pub fn from_url(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("this is not a URL ({error}); {FORM}"))?;
        if url.scheme() != "memcached" {
            return Err(format!("the URL does not start with memcached://; {FORM}"));
        }
        let bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match url.host_str() {
            Some(host) if bare && !host.is_empty() => Ok(Self {
                endpoint: Endpoint {
                    host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
                    port: url.port().unwrap_or(PORT),
                },
                max_connections: 16,
            }),
            _ => Err(format!("the URL is not a host and a port alone; {FORM}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused() {
        let at = |url| MemcachedSettings::from_url(url).map(|settings| settings.endpoint.to_string());
        assert_eq!(at("memcached://cache").as_deref(), Ok("cache:11211"));
        assert_eq!(at("memcached://[::1]:7").as_deref(), Ok("[::1]:7"));
        for wrong in [
            "cache:1",
            "redis://h",
            "memcached://",
            "memcached://a:b@h",
            "memcached://h/x",
            "memcached://h?x",
        ] {
            let told = at(wrong).unwrap_err();
            assert!(told.contains("memcached://HOST:PORT") && !told.contains("a:b"), "{wrong}: {told}");
        }
    }
}

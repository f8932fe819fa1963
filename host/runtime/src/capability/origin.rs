//! Where requests go: the unit by which destinations are granted.

use std::{fmt, str::FromStr};

use url::{Host, Url};

/// Scheme, host and port: the unit by which destinations are granted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin {
    https: bool,
    host: Host<String>,
    port: u16,
}

impl Origin {
    pub(crate) const fn is_https(&self) -> bool {
        self.https
    }

    pub(crate) const fn host(&self) -> &Host<String> {
        &self.host
    }

    /// The origin of an `http` or `https` URL.
    pub fn of(url: &Url) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        // A trailing dot names the same host in the DNS, but not in a certificate.
        let host = match url.host()? {
            Host::Domain(name) => Host::Domain(name.trim_end_matches('.').to_owned()),
            Host::Ipv4(address) => Host::Ipv4(address),
            Host::Ipv6(address) => Host::Ipv6(address),
        };
        Some(Self { https, host, port: url.port_or_known_default()? })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == default { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for Origin {
    type Err = String;

    /// Reads an origin written alone: `https://api.example.com`, with a port if it is not the scheme's own.
    fn from_str(text: &str) -> Result<Self, String> {
        const WANTED: &str = "write an origin such as https://api.example.com or http://10.0.0.7:8080";
        if text.contains('*') {
            return Err(format!("`{text}` has a wildcard; every host is named in full: {WANTED}"));
        }
        let url =
            Url::parse(text).map_err(|error| format!("`{text}` is not an origin ({error}); {WANTED}"))?;
        let bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match Self::of(&url) {
            Some(origin) if bare => Ok(origin),
            _ => Err(format!("`{text}` is not an origin alone; {WANTED}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn origins_are_normal() {
        assert_eq!(origin("https://API.example.com:443/"), origin("https://api.example.com"));
        assert_eq!(origin("http://0x7f.1"), origin("http://127.0.0.1:80"));
        assert_eq!(origin("https://example.com."), origin("https://example.com"));
        assert_ne!(origin("https://example.com"), origin("http://example.com:443"));
        assert_eq!(origin("http://[::1]:8080").to_string(), "http://[::1]:8080");
        for wrong in [
            "example.com",
            "ftp://example.com",
            "https://a@example.com",
            "https://example.com/path",
            "https://*.example.com",
        ] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }
}

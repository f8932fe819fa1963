//! Naming a destination in a summary.

use crate::secrets;

/// The URL's origin and path: no user information, query or fragment, which may carry secrets. Nothing when the URL is
/// not plain, as one that holds a secret's handle.
#[must_use]
pub fn origin_and_path(url: &str) -> Option<String> {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (scheme, rest) = url[..end].split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if !matches!(scheme, "http" | "https") || host.is_empty() || secrets::holds_handle(url) {
        return None;
    }
    Some(format!("{scheme}://{host}{path}"))
}

/// The origin of an absolute URL, or of one that begins with `//`.
pub(super) fn origin(url: &str) -> Option<&str> {
    let start = url.find("//").filter(|&at| matches!(&url[..at], "" | "http:" | "https:"))? + 2;
    let end = url[start..].find(['/', '?', '#', '\\']).map_or(url.len(), |end| start + end);
    // A name and a password before the host would be credentials.
    Some(&url[..end]).filter(|origin| !origin.contains('@') && end > start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origin_and_path_are_named() {
        let named = |url| origin_and_path(url).unwrap_or_default();
        assert_eq!(named("https://example.com/hook?token=1#x"), "https://example.com/hook");
        assert_eq!(named("https://user:pass@example.com:8443?q=/a"), "https://example.com:8443");
        assert_eq!(named("http://[::1]:80/a@b"), "http://[::1]:80/a@b");
    }

    #[test]
    fn an_origin_is_named_without_what_may_be_secret() {
        assert_eq!(origin("https://b.example:8443/a?b#c"), Some("https://b.example:8443"));
        assert_eq!(origin("//b.example?x"), Some("//b.example"));
        assert_eq!(origin("http://[::1]"), Some("http://[::1]"));
        for none in ["/hook//x", "hook", "https://user:pw@b.example/", "ftp://b.example/", "https:///x", ""] {
            assert_eq!(origin(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_not_a_plain_url_is_not_named() {
        let handle = "acsecret0123456789abcdef0123456789abcdef0123456789abcdef";
        for url in
            [handle.to_owned(), format!("https://example.com/{handle}"), format!("https://a.b/?k={handle}")]
        {
            assert_eq!(origin_and_path(&url), None);
        }
        assert_eq!(origin_and_path("${secret:HOOK}"), None);
        assert_eq!(origin_and_path("https:///path"), None);
    }
}

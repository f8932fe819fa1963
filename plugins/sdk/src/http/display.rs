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

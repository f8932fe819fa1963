//! Percent-encoding of a secret that stands inside a URL (RFC 3986, 2.1).

/// Encodes what would end a path segment's or a query value's text. `/`, `:` and `=` stay: tokens in paths hold them.
pub(super) fn percent_encode(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/=,;".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

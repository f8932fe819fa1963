//! Dot segments of a path: `.` and `..` in any spelling that a server may take for one.
//!
//! URL parsers remove them (WHATWG URL, "double-dot URL path segment"; RFC 3986, 5.2.4), and with them what stands before: a
//! request would act on another resource than its path says. Servers behind a proxy decode more than once, and some cut
//! `;parameters` off a segment first, so these spellings count too.

use std::ops::Range;

/// The first dot segment of a URL's path, as it is written. Query and fragment are not looked at.
pub(crate) fn dot_segment(url: &str) -> Option<&str> {
    let path = &url[..path_end(url)];
    segments(path).map(|segment| &path[segment]).find(|segment| is_dots(segment))
}

/// Where a URL's path ends.
pub(crate) fn path_end(url: &str) -> usize {
    url.find(['?', '#']).unwrap_or(url.len())
}

/// The segments of a path. An encoded slash is a part of one (RFC 3986, 2.2); a backslash divides as a slash does (WHATWG URL).
pub(crate) fn segments(path: &str) -> impl Iterator<Item = Range<usize>> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let end = path[start..].find(['/', '\\']).map(|end| start + end);
        next = end.map(|end| end + 1);
        Some(start..end.unwrap_or(path.len()))
    })
}

/// Whether a segment is `.` or `..`.
pub(crate) fn is_dots(segment: &str) -> bool {
    let mut rest = segment.as_bytes();
    let mut dots = 0;
    loop {
        // URL parsers drop tabs and line breaks wherever they stand, and blanks at the end of the URL.
        if let [b'\t' | b'\n' | b'\r' | b' ', after @ ..] = rest {
            rest = after;
        } else if let Some(length) = spelled(rest, b".") {
            dots += 1;
            rest = &rest[length..];
        } else {
            return matches!(dots, 1 | 2) && (rest.is_empty() || spelled(rest, b";").is_some());
        }
    }
}

/// How many bytes at the start of `text` spell one of `characters`: itself, or percent-encoded any number of times.
fn spelled(text: &[u8], characters: &[u8]) -> Option<usize> {
    let (&first, mut rest) = text.split_first()?;
    if characters.contains(&first) {
        return Some(1);
    }
    if first != b'%' {
        return None;
    }
    while let [b'2', b'5', after @ ..] = rest {
        rest = after;
    }
    let (digits, after) = rest.split_at_checked(2)?;
    let byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    characters.contains(&byte).then_some(text.len() - after.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found() {
        for dots in [
            ".",
            "..",
            "%2e",
            "%2E%2e",
            ".%2e",
            "%2e.",
            "%252e%252E",
            "%25252e",
            "..;x=1",
            "..%3Bx",
            ".\t.",
            "..\n",
            ".. ",
        ] {
            for (before, after) in
                [("https://a.example/x/", "/y"), ("https://a.example/", ""), ("/x\\", "?q"), ("x/", "\\y")]
            {
                assert_eq!(
                    dot_segment(&format!("{before}{dots}{after}")),
                    Some(dots),
                    "{before}{dots}{after}"
                );
            }
        }
    }

    #[test]
    fn names_with_dots_are_no_dot_segments() {
        for url in [
            "https://a.example/",
            "https://a.example/...",
            "https://a.example/.well-known/x..y/.x/..x",
            "https://a.example/%2ea/%252",
            "https://a.example/x?next=/../y",
            "https://a.example/x#/../y",
            "https://a.example//x/%",
            "https://a.example/..%2Fx",
        ] {
            assert_eq!(dot_segment(url), None, "{url}");
        }
    }
}

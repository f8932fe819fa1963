//! Credentials in URLs and other forms of connection strings.

use std::ops::Range;

use super::{line::both, word::is_secret_parameter};

/// Parameters of a database's URL whose values may be shown.
const SHOWN_PARAMETERS: [&str; 13] = [
    "application_name",
    "cache",
    "dbname",
    "host",
    "hostaddr",
    "mode",
    "port",
    "sslmode",
    "sslrootcert",
    "statement_cache_capacity",
    "target_session_attrs",
    "user",
    "username",
];

/// A URL, or what was meant as one, as it may be shown: the password is `***`, and so is the value of each parameter that is not
/// known to be harmless.
///
/// ```
/// # use aftercommit_core::without_password;
/// assert_eq!(without_password("postgres://app:p@ss@db/shop?sslmode=require"), "postgres://app:***@db/shop?sslmode=require");
/// assert_eq!(without_password("host=db password=hunter2"), "host=db password=***");
/// ```
#[must_use]
pub fn without_password(url: &str) -> String {
    // Encoded as a whole, or with blanks: nobody knows where its password ends.
    if url.contains("%3A%2F%2F") || url.contains("%3a%2f%2f") {
        return "***".to_owned();
    }
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    // The last `@`: a password may have others, and a `?` too.
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => (Some(credentials), rest),
        None => (None, rest),
    };
    let credentials = credentials.map_or_else(String::new, |credentials| match credentials.split_once(':') {
        Some((user, _)) if is_name(user) => format!("{user}:***@"),
        None if is_name(credentials) && !scheme.is_empty() => format!("{credentials}@"),
        _ => "***@".to_owned(),
    });
    let (place, parameters) = match rest.find(['?', ';', ' ']) {
        Some(at) if !rest[..at].contains('=') => rest.split_at(at),
        _ if rest.contains('=') => ("", rest),
        _ => (rest, ""),
    };
    let place = match authority_without_port(place) {
        // `scheme://user:password` of which the host was forgotten.
        Some(before) if !scheme.is_empty() => format!("{before}***"),
        _ => place.to_owned(),
    };
    format!("{scheme}{credentials}{place}{}", parameters_without_secrets(parameters))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// What stands before the `:` of `host:port` if no number follows.
fn authority_without_port(place: &str) -> Option<&str> {
    let authority = place.split(['/', '?', '#']).next().unwrap_or(place);
    // An address of version 6 has colons of its own.
    let at = authority.rfind(']').map_or(0, |end| end);
    let colon = at + authority[at..].find(':')?;
    let port = &authority[colon + 1..];
    let is_port = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    (!is_port).then(|| &place[..=colon])
}

fn parameters_without_secrets(parameters: &str) -> String {
    let mut shown = String::with_capacity(parameters.len());
    for part in parameters.split_inclusive(['?', '&', ';', ' ']) {
        let (pair, end) = match part.chars().next_back().filter(|last| "?&; ".contains(*last)) {
            Some(last) => part.split_at(part.len() - last.len_utf8()),
            None => (part, ""),
        };
        match pair.split_once('=') {
            Some((name, _)) if !SHOWN_PARAMETERS.contains(&name.to_lowercase().as_str()) => {
                shown.push_str(name);
                shown.push_str("=***");
            }
            // A part of a value with a blank or an `&` in it.
            None if !pair.is_empty() => shown.push_str("***"),
            _ => shown.push_str(pair),
        }
        shown.push_str(end);
    }
    shown
}

/// Whether an address has nothing in it that could be a credential: `scheme://host:port/path`, or a relative path, and parameters that
/// are known to be harmless.
pub(super) fn is_harmless(address: &str) -> bool {
    let (address, parameters) = address.split_once('?').unwrap_or((address, ""));
    let is_shown = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => SHOWN_PARAMETERS.contains(&name) && (value.starts_with('/') || is_name(value)),
        None => pair.is_empty(),
    };
    if !parameters.split('&').all(is_shown) {
        return false;
    }
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let rest = rest.strip_prefix("sqlite:").unwrap_or(rest);
    authority_without_port(rest).is_none()
        && !rest.contains(['@', '?', '=', ';', '%', '"', '\'', '\\'])
        && !rest.contains(char::is_whitespace)
        && !rest.split('/').any(is_like_a_token)
}

/// Letters and digits in a long row, as in `https://hooks.example.com/services/T00/B00/XXXX`.
fn is_like_a_token(segment: &str) -> bool {
    segment.len() >= 16
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        && segment.bytes().any(|byte| byte.is_ascii_digit())
        && segment.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// What must be hidden of an address in full: its password if everything else of it is clear, else all behind the scheme.
pub(super) fn to_hide(address: &str) -> Range<usize> {
    let start = address.find("://").filter(|at| is_name(&address[..*at])).map_or(0, |at| at + "://".len());
    match address[start..].rfind('@').map(|at| start + at) {
        Some(at) if start > 0 && is_harmless(&address[at + 1..]) => password_start(address, start, at)..at,
        _ => start..address.len(),
    }
}

/// Where credentials stand in a line, whatever its key is.
pub(super) fn credentials(line: &str) -> Option<Range<usize>> {
    [after_scheme(line), before_at(line), encoded(line), parameter(line)].into_iter().fold(None, both)
}

/// `scheme://user:password@host`: from behind the user's name to the last `@` of the line; without an `@`, what is no port.
fn after_scheme(line: &str) -> Option<Range<usize>> {
    let mut from = 0;
    loop {
        let start = from + line[from..].find("://")? + "://".len();
        let word = line[start..]
            .find(['"', '\'', '`', ' ', '<', '>', ')', ','])
            .map_or(line.len(), |end| start + end);
        let has_no_port = authority_without_port(&line[start..word]).is_some();
        let within = line[start..word].rfind('@').map(|at| start + at);
        let has_password = within.map_or(has_no_port, |at| !is_shown(&line[start..at]));
        if has_password {
            // A password that is not encoded may have anything in it, another `@` and blanks too.
            let end = line[start..].rfind('@').map_or(line.len(), |at| start + at);
            return Some(password_start(line, start, end)..end);
        }
        from = word;
    }
}

/// Where the password begins, behind the name of a user.
fn password_start(line: &str, start: usize, end: usize) -> usize {
    match line[start..end].find(':') {
        Some(colon) if colon == 0 || is_name(&line[start..start + colon]) => start + colon + 1,
        _ => start,
    }
}

/// Credentials that stand for others in an advice, and a name without a password.
fn is_shown(credentials: &str) -> bool {
    match credentials.split_once(':') {
        Some((_, password)) => {
            matches!(password, "PASSWORD" | "password") || password.bytes().all(|byte| byte == b'*')
        }
        None => is_name(credentials),
    }
}

/// `user:password@host` without a scheme: a word with a `:` before its `@`.
fn before_at(line: &str) -> Option<Range<usize>> {
    let blank = [' ', '\t', '"', '\'', '`', '=', '<', ',', '/'];
    line.match_indices('@').find_map(|(at, _)| {
        let start = line[..at].rfind(blank).map_or(0, |blank| blank + 1);
        let has_password = line[start..at].find(':').is_some_and(|colon| start + colon + 1 < at);
        let last = line.rfind('@').unwrap_or(at);
        (has_password && !is_shown(&line[start..at])).then(|| password_start(line, start, last)..last)
    })
}

/// A URL that was percent-encoded as a whole.
fn encoded(line: &str) -> Option<Range<usize>> {
    let lower = line.to_ascii_lowercase();
    let colon = lower.find("%3a")?;
    lower[colon..].find("%40")?;
    let start = line[..colon].rfind([' ', '\t', '"', '\'', '`', '=']).map_or(0, |blank| blank + 1);
    Some(start..line.len())
}

/// `?password=..`, `&key=..`, `;pwd=..`, ` password=..`.
fn parameter(line: &str) -> Option<Range<usize>> {
    if !line.contains('=') {
        return None;
    }
    let mut from = 0;
    while let Some(at) = line[from..].find(['?', '&', ';', ' ', '"', '\'', '`']).map(|at| from + at + 1) {
        let name_end = line[at..].find(|letter: char| !letter.is_alphanumeric() && !"_-".contains(letter));
        if let Some(length) = name_end
            && line[at + length..].starts_with('=')
            && is_secret_parameter(&line[at..at + length])
            && !line[at + length + 1..].starts_with("***")
        {
            return Some(at + length + 1..line.len());
        }
        from = at;
    }
    None
}

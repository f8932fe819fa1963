//! Puts secrets in the place of their handles, in a text that leaves for a destination.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::handle::{Entry, Handles, OWN_CHARS, prefix};
use super::percent::percent_encode;
use crate::capability::Origin;

/// A handle that is not honoured here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The secret, by name, is not granted towards the destination.
    Destination(String),
    /// The secret, by name, does not go into a body.
    Body(String),
}

/// A piece of a text: as it is, or a secret.
enum Piece<'t> {
    Text(&'t str),
    Secret(Arc<Entry>),
}

impl Handles {
    /// Whether a text has a handle's prefix in it. False for almost all texts.
    pub(crate) fn suspects(text: &str) -> bool {
        Self::suspects_bytes(text.as_bytes())
    }

    /// The same of bytes.
    pub(crate) fn suspects_bytes(bytes: &[u8]) -> bool {
        memchr::memmem::find(bytes, prefix().as_bytes()).is_some()
    }

    fn pieces<'t>(&self, text: &'t str) -> Vec<Piece<'t>> {
        let mut pieces = Vec::new();
        let (mut written, mut from) = (0, 0);
        while let Some(found) = text[from..].find(prefix()) {
            let start = from + found;
            let own = start + prefix().len();
            match text.get(own..own + OWN_CHARS).and_then(|own| self.own(own)) {
                Some(entry) => {
                    pieces.push(Piece::Text(&text[written..start]));
                    pieces.push(Piece::Secret(entry));
                    from = own + OWN_CHARS;
                    written = from;
                }
                None => from = own,
            }
        }
        pieces.push(Piece::Text(&text[written..]));
        pieces
    }

    /// A URL's text with its secrets, and the secrets that are in it. At the very start a secret is taken as it is (the
    /// whole URL, or its beginning, is the secret); further on it is encoded so that it stays inside its part of the URL.
    /// A guest that adds a path to a URL that it does not see can not know whether there is a slash already.
    pub(crate) fn url(&self, text: &str) -> (String, Vec<Arc<Entry>>) {
        let mut out = String::with_capacity(text.len());
        let mut used = Vec::new();
        // Whether the last piece was a secret at the very start.
        let mut whole_url = false;
        for piece in self.pieces(text) {
            match piece {
                Piece::Text(text) => {
                    let after_url = std::mem::take(&mut whole_url) && out.ends_with('/');
                    out.push_str(if after_url { text.strip_prefix('/').unwrap_or(text) } else { text });
                }
                Piece::Secret(entry) => {
                    if out.is_empty() {
                        whole_url = true;
                        out.push_str(entry.secret.expose());
                    } else {
                        percent_encode(entry.secret.expose(), &mut out);
                    }
                    used.push(entry);
                }
            }
        }
        (out, used)
    }

    /// A header's value, user name or token with its secrets, and whether there were any.
    pub(crate) fn value(&self, text: &str, destination: &Origin) -> Result<(String, bool), Refused> {
        let mut out = String::with_capacity(text.len());
        let mut any = false;
        for piece in self.pieces(text) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Secret(entry) => {
                    entry.check(destination)?;
                    out.push_str(entry.secret.expose());
                    any = true;
                }
            }
        }
        Ok((out, any))
    }

    /// A body with its secrets. None is sent as its handle: a receiver would take that for the secret.
    pub(crate) fn body(&self, text: &str, destination: &Origin) -> Result<String, Refused> {
        let mut out = String::with_capacity(text.len());
        for piece in self.pieces(text) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Secret(entry) => {
                    let escaping = entry.body.ok_or_else(|| Refused::Body(entry.name.clone()))?;
                    entry.check(destination)?;
                    escaping.escape_into(entry.secret.expose(), &mut out);
                }
            }
        }
        Ok(out)
    }

    /// A body as it will be sent, for a signature over it. Where it goes is decided when it is sent.
    pub(crate) fn signed(&self, text: &str) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(text.len()));
        let mut rest = text;
        for piece in self.pieces(text) {
            let length = match &piece {
                Piece::Text(text) => text.len(),
                Piece::Secret(_) => prefix().len() + OWN_CHARS,
            };
            let (written, after) = rest.split_at(length);
            rest = after;
            match piece {
                Piece::Secret(entry) if let Some(escaping) = entry.body => {
                    escaping.escape_into(entry.secret.expose(), &mut out);
                }
                _ => out.push_str(written),
            }
        }
        out
    }
}

impl Entry {
    /// Whether the secret may go there.
    pub(crate) fn check(&self, destination: &Origin) -> Result<(), Refused> {
        if self.destinations.contains(destination) {
            Ok(())
        } else {
            Err(Refused::Destination(self.name.clone()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{secrets::Secret, templates::Escaping};

    fn handles(secret: &str, body: Option<Escaping>) -> (Handles, String) {
        let handles = Handles::default();
        let destinations = vec!["https://a.example".parse().unwrap()];
        let handle =
            handles.issue(Entry { name: "TOKEN".into(), secret: Secret::new(secret), destinations, body });
        (handles, handle)
    }

    #[test]
    fn a_value_is_substituted_towards_its_destination_only() {
        let (handles, handle) = handles("s3cret", None);
        let text = format!("Bearer {handle}");
        let granted: Origin = "https://a.example".parse().unwrap();
        assert_eq!(handles.value(&text, &granted), Ok(("Bearer s3cret".to_owned(), true)));
        let other: Origin = "https://b.example".parse().unwrap();
        assert_eq!(handles.value(&text, &other), Err(Refused::Destination("TOKEN".to_owned())));
        assert_eq!(handles.value("plain", &other), Ok(("plain".to_owned(), false)));
    }

    #[test]
    fn a_secret_in_a_url_stays_in_its_part() {
        let (handles, handle) = handles("a&b=c#d/e", None);
        let (url, used) = handles.url(&format!("https://a.example/?k={handle}"));
        assert_eq!(url, "https://a.example/?k=a%26b=c%23d/e");
        assert_eq!(used.len(), 1);
        let (url, _) = handles.url(&handle);
        assert_eq!(url, "a&b=c#d/e");
    }

    #[test]
    fn a_path_after_a_secret_url_begins_with_one_slash() {
        for secret in ["https://a.example", "https://a.example/"] {
            let (handles, handle) = handles(secret, None);
            assert_eq!(handles.url(&format!("{handle}/x/y")).0, "https://a.example/x/y");
        }
        let (handles, handle) = handles("https://a.example/", None);
        assert_eq!(handles.url(&handle).0, "https://a.example/");
        assert_eq!(handles.url(&format!("{handle}?q=//")).0, "https://a.example/?q=//");
    }

    #[test]
    fn a_body_takes_only_what_may_stand_there() {
        let granted: Origin = "https://a.example".parse().unwrap();
        let (no_body, handle) = handles("x", None);
        let text = format!("{{\"k\":\"{handle}\"}}");
        assert_eq!(no_body.body(&text, &granted), Err(Refused::Body("TOKEN".to_owned())));
        assert_eq!(*no_body.signed(&text), text);
        assert_eq!(no_body.body("plain", &granted).as_deref(), Ok("plain"));
        let (json, handle) = handles("quo\"te", Some(Escaping::Json));
        let text = format!("{{\"k\":\"{handle}\"}}");
        assert_eq!(json.body(&text, &granted).as_deref(), Ok("{\"k\":\"quo\\\"te\"}"));
        assert_eq!(*json.signed(&format!("1.{text}")), "1.{\"k\":\"quo\\\"te\"}");
        let other: Origin = "https://b.example".parse().unwrap();
        assert_eq!(json.body(&text, &other), Err(Refused::Destination("TOKEN".to_owned())));
    }
}

//! Checks that a secret's characters are allowed where its field goes. A line break in the value of a header would fail each
//! delivery, so it is an error when the action loads.

use http::HeaderValue;

use super::{
    form::SecretForm,
    reference::{Part, parts},
};
use crate::{
    configure::{
        marked::{MarkedConfig, MarkedText},
        problem::{ConfigProblem, Findings},
    },
    loading::schema::{Marks, SecretPlace},
    templates::Escaping,
};

/// Reports every secret with a character that the place of its field does not allow.
pub(crate) fn check_characters(config: &MarkedConfig, findings: &Findings) {
    for MarkedText { pointer, marks, text } in config.sound_texts(findings) {
        let Some(check) = check_of(marks) else { continue };
        for part in parts(text).unwrap_or_default() {
            let Part::Secret(name) = part else { continue };
            if let Some(why) = config.secrets.get(name).and_then(|secret| check(secret.expose())) {
                findings.add(ConfigProblem::new(pointer, format!("the secret `{name}` {why}")));
            }
        }
    }
}

type Check = fn(&str) -> Option<&'static str>;

/// The check of a field's secrets. None where every character is allowed, or only the plugin knows.
fn check_of(marks: &Marks) -> Option<Check> {
    if marks.secret_place == Some(SecretPlace::Header) {
        return Some(of_header);
    }
    if marks.egress || marks.template == Some(Escaping::Url) || marks.secret_form == Some(SecretForm::Any) {
        return Some(of_line);
    }
    None
}

fn of_header(text: &str) -> Option<&'static str> {
    HeaderValue::from_str(text)
        .is_err()
        .then_some("can not stand in a header: it has a line break or a control character")
}

/// A credential is one line, unless it is a key's PEM.
fn of_line(text: &str) -> Option<&'static str> {
    let is_pem = text.trim_start().starts_with("-----BEGIN ");
    (!is_pem && text.contains(char::is_control)).then_some("has a line break or a control character")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_end_a_line_are_refused() {
        for text in ["a\nb", "a\r", "a\0"] {
            assert!(of_header(text).is_some() && of_line(text).is_some(), "{text:?}");
        }
        for text in ["a b!~", "\u{fc}"] {
            assert!(of_header(text).is_none() && of_line(text).is_none(), "{text:?}");
        }
        assert!(of_line("-----BEGIN PRIVATE KEY-----\nMII\n").is_none());
    }
}

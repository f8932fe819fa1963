//! Checks that a secret's characters are allowed where its field goes. A line break in the value of a header would fail each
//! delivery, so it is an error when the action loads.

use std::collections::BTreeMap;

use http::HeaderValue;
use serde_json::Value;

use super::{
    form::SecretForm,
    placement::each_text,
    provider::Secret,
    reference::{Part, parts},
};
use crate::{
    configure::problem::{ConfigProblem, ConfigureError},
    loading::schema::{Marks, SecretPlace},
    templates::Escaping,
};

/// Reports every secret with a character that the place of its field does not allow.
pub(crate) fn check_characters(
    config: &Value,
    marks: &BTreeMap<String, Marks>,
    secrets: &BTreeMap<String, Secret>,
) -> Result<(), ConfigureError> {
    let mut problems = Vec::new();
    each_text(config, "", &mut |pointer, text| {
        let Some(check) = marks.get(pointer).and_then(check_of) else { return };
        for part in parts(text).unwrap_or_default() {
            let Part::Secret(name) = part else { continue };
            if let Some(why) = secrets.get(name).and_then(|secret| check(secret.expose())) {
                problems.push(ConfigProblem::new(pointer, format!("the secret `{name}` {why}")));
            }
        }
    });
    if problems.is_empty() { Ok(()) } else { Err(ConfigureError { problems }) }
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

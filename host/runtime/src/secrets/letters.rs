//! Whether a secret can stand where its field goes. A line break in a header's value ends no request well, and each delivery
//! would fail: so it is an error when the action loads.

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
    problem::{ConfigProblem, ConfigureError},
    schema::{Marks, SecretPlace},
    templates::Escaping,
};

/// Everything that is wrong with the letters of secrets whose place the schema says.
pub(crate) fn check_letters(
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

/// What a field's secrets have to be; nothing where anything may stand, or only the plugin knows.
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
    HeaderValue::from_str(text).is_err().then_some(
        "can not stand in a header: it holds a line break, a control character or a letter beyond ASCII",
    )
}

/// A credential is one line, unless it is a key's PEM.
fn of_line(text: &str) -> Option<&'static str> {
    let is_pem = text.trim_start().starts_with("-----BEGIN ");
    (!is_pem && text.contains(char::is_control)).then_some("holds a line break or a control character")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_line_is_refused() {
        for text in ["a\nb", "a\r", "a\0"] {
            assert!(of_header(text).is_some() && of_line(text).is_some(), "{text:?}");
        }
        assert!(of_header("ü").is_some() && of_line("ü").is_none());
        assert!(of_header("a b!~").is_none());
        assert!(of_line("-----BEGIN PRIVATE KEY-----\nMII\n").is_none());
    }
}

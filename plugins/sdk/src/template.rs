//! Templates: fields that the host renders before `run`, and rendering from within.
//!
//! A field of one of these types is a template in the configuration. In `check` it holds the template as written, in
//! `run` the rendered text.

use std::{fmt, ops::Deref};

use schemars::JsonSchema;
use serde::Deserialize;

pub use crate::bindings::aftercommit::action::template::Escaping;
use crate::{Failure, secrets::holds_handle};

/// Renders `text` over a JSON object given as text. A template that does not render is a permanent failure.
pub fn render(text: &str, escaping: Escaping, data: &str) -> Result<String, Failure> {
    crate::bindings::aftercommit::action::template::render(text, escaping, data)
        .map_err(|message| Failure::permanent("template", message))
}

/// A configured text that stands for itself, so that `check` can look at it: nothing in it is rendered, and no secret is put
/// into it.
#[must_use]
pub fn literal(text: &str) -> Option<&str> {
    (!text.contains("{{") && !holds_handle(text)).then_some(text)
}

macro_rules! rendered {
    ($name:ident, $mark:literal $(, $more:literal)*; $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline, extend("x-template" = $mark $(, $more = true)*))]
        pub struct $name(pub String);

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(rendered: $name) -> Self {
                rendered.0
            }
        }
    };
}

rendered!(Json, "json"; "A template of a JSON document: values are escaped for the inside of JSON strings.");
rendered!(Html, "html"; "A template of HTML: values are escaped as HTML text.");
rendered!(Text, "text"; "A template of plain text: values stand as they are.");
rendered!(
    Name,
    "text", "x-name";
    "A template of a name, such as an index or a channel: values stand as they are, and none may be null or empty."
);
rendered!(
    Header,
    "text", "x-secret-header";
    "A template of a header's value or of a credential: values stand as they are, and a secret may be part of it."
);
rendered!(Url, "url"; "A template of a URL: values are percent-encoded.");
rendered!(
    SlackJson,
    "slack-json";
    "A template of Slack's Block Kit: JSON whose strings are mrkdwn; `&`, `<` and `>` of values are escaped, then as JSON."
);
rendered!(Slack, "slack"; "A template of Slack's mrkdwn: `&`, `<` and `>` of values are escaped.");
rendered!(Glob, "glob"; "A template of a pattern as Redis has it: values match only themselves.");

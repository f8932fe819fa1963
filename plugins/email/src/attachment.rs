//! Attachments made from templates.

use aftercommit_plugin::{
    Failure, FieldProblem,
    http::Content,
    mail,
    template::{Html, Json, Text},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// One attachment. Exactly one of the templates is given; it says how values are escaped.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Attachment {
    /// Its file name.
    #[schemars(example = "order-{{entity_id}}.csv")]
    filename: Text,
    /// Its media type. By default the template's: `text/plain`, `application/json` or `text/html`, in UTF-8.
    #[schemars(example = "text/csv; charset=utf-8")]
    media_type: Option<String>,
    /// Its content as plain text; values stand as they are.
    text_template: Option<Text>,
    /// Its content as JSON.
    json_template: Option<Json>,
    /// Its content as HTML.
    html_template: Option<Html>,
}

impl Attachment {
    /// What is wrong with the one at this position.
    pub(crate) fn problem(&self, position: usize) -> Option<FieldProblem> {
        let given =
            [self.text_template.is_some(), self.json_template.is_some(), self.html_template.is_some()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            let message = "write one of `text_template`, `json_template` and `html_template`";
            return Some(FieldProblem::new(format!("/attachments/{position}"), message));
        }
        self.media_type.as_ref().is_some_and(|media_type| !media_type.contains('/')).then(|| {
            let pointer = format!("/attachments/{position}/media_type");
            FieldProblem::new(pointer, "write a media type, such as text/csv; charset=utf-8")
        })
    }

    /// As the mail carries it, once its templates are rendered.
    pub(crate) fn rendered(self) -> Result<mail::Attachment, Failure> {
        let (content, usual) = match (self.text_template, self.json_template, self.html_template) {
            (Some(text), None, None) => (text.into(), "text/plain; charset=utf-8"),
            (None, Some(json), None) => (json.into(), "application/json"),
            (None, None, Some(html)) => (html.into(), "text/html; charset=utf-8"),
            _ => return Err(Failure::misconfigured("config", "an attachment has not exactly one template")),
        };
        Ok(mail::Attachment {
            filename: self.filename.into(),
            media_type: self.media_type.unwrap_or_else(|| usual.to_owned()),
            content: Content::Text(content),
        })
    }
}

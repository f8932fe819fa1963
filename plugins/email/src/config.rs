//! The configuration, and what its schema can not say of it.

use std::collections::BTreeMap;

use aftercommit_plugin::{
    FieldProblem,
    template::{Html, Text, literal},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    attachment::Attachment,
    recipients::{Recipients, receives},
};

/// What is written beside `type = "email"`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({
    "to": "admin@example.com", "subject": "New Order", "body_template": "Order {{entity_id}} has been placed"
}))]
pub(crate) struct Config {
    /// Recipients: an address, or a list of addresses; each may be a template, and one that renders empty is left out.
    #[serde(default)]
    #[schemars(transform = receives)]
    pub(crate) to: Recipients,
    /// Recipients of a copy, whom all recipients see.
    #[serde(default)]
    #[schemars(transform = receives)]
    pub(crate) cc: Recipients,
    /// Recipients of a copy, whom no other recipient sees.
    #[serde(default)]
    #[schemars(transform = receives)]
    pub(crate) bcc: Recipients,
    /// The sender. By default `from` of the host's mail server.
    #[schemars(example = "Shop <shop@example.com>")]
    pub(crate) from: Option<Text>,
    /// Where answers go to, instead of the sender.
    #[serde(default)]
    pub(crate) reply_to: Recipients,
    /// The subject: one line.
    #[schemars(example = "Order {{entity_id}} is on its way")]
    pub(crate) subject: Text,
    /// The mail as plain text.
    #[schemars(example = "Order {{entity_id}} has been placed")]
    pub(crate) body_template: Option<Text>,
    /// The mail as HTML. With both, programs show the one they can.
    #[schemars(example = "<p>Order <b>{{entity_id}}</b> has been placed</p>")]
    pub(crate) html_template: Option<Html>,
    /// Further headers.
    #[serde(default)]
    #[schemars(example = serde_json::json!({"X-Priority": "1"}))]
    pub(crate) headers: BTreeMap<String, Text>,
    /// Attachments made from templates.
    #[serde(default)]
    #[schemars(example = serde_json::json!([{"filename": "{{entity_id}}.csv", "text_template": "{{id}},{{total}}"}]))]
    pub(crate) attachments: Vec<Attachment>,
}

/// Headers that fields of the configuration write.
const OWN_FIELDS: [&str; 6] = ["From", "To", "Cc", "Bcc", "Reply-To", "Subject"];

impl Config {
    /// Everything that is wrong with it; templates stand as written.
    pub(crate) fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        if self.to.is_empty() && self.cc.is_empty() && self.bcc.is_empty() {
            problems.push(FieldProblem::new("/to", "write a recipient, here or in `cc` or `bcc`"));
        }
        if self.body_template.is_none() && self.html_template.is_none() {
            problems
                .push(FieldProblem::new("/body_template", "write `body_template`, `html_template` or both"));
        }
        problems.extend(self.problems_of_lines());
        problems.extend(
            self.attachments.iter().enumerate().filter_map(|(at, attachment)| attachment.problem(at)),
        );
        problems
    }

    /// What is wrong with texts of one line that no template makes. The host looks at recipients itself.
    fn problems_of_lines(&self) -> impl Iterator<Item = FieldProblem> {
        let mailboxes = self
            .from
            .iter()
            .map(|from| ("/from".to_owned(), &**from))
            .chain(self.reply_to.iter().map(|address| ("/reply_to".to_owned(), address)));
        let mailboxes = mailboxes.filter(|(_, text)| literal(text).is_some_and(|text| !text.contains('@')));
        let mailboxes = mailboxes.map(|(pointer, _)| {
            FieldProblem::new(pointer, "write one address, such as Shop <shop@example.com>")
        });
        let lines = self.headers.iter().map(|(name, value)| {
            (format!("/headers/{}", name.replace('~', "~0").replace('/', "~1")), &**value)
        });
        let lines = lines.chain([("/subject".to_owned(), &*self.subject)]);
        let lines = lines.filter(|(_, text)| text.trim().contains(['\r', '\n']));
        let own =
            self.headers.keys().filter(|name| OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name)));
        let own = own.map(|name| {
            let field = name.to_ascii_lowercase().replace('-', "_");
            FieldProblem::new(format!("/headers/{name}"), format!("write the field `{field}` instead"))
        });
        mailboxes.chain(lines.map(|(pointer, _)| FieldProblem::new(pointer, "write one line"))).chain(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(json: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(json).expect("a configuration");
        config.problems().into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn a_recipient_a_body_and_one_template_an_attachment_are_needed() {
        assert_eq!(pointers(r#"{"bcc":"a@b.example","subject":"s","html_template":"h"}"#), [""; 0]);
        assert_eq!(pointers(r#"{"subject":"s"}"#), ["/to", "/body_template"]);
        let attachments = r#"{"to":"a@b.example","subject":"s","body_template":"b","attachments":[
            {"filename":"a.txt","text_template":"x"},{"filename":"b.txt"},
            {"filename":"c.txt","text_template":"x","json_template":"{}"},
            {"filename":"d.csv","text_template":"x","media_type":"csv"}]}"#;
        assert_eq!(pointers(attachments), ["/attachments/1", "/attachments/2", "/attachments/3/media_type"]);
    }

    #[test]
    fn what_is_one_line_is_checked_at_once() {
        let with = |more: &str| pointers(&format!(r#"{{"to":"a@b.example","body_template":"b",{more}}}"#));
        assert_eq!(with(r#""subject":"{{a}}","from":"{{b}}","reply_to":["Shop <s@b.example>"]"#), [""; 0]);
        assert_eq!(with(r#""subject":"s\n","headers":{"X-A":"b"}"#), [""; 0], "it is trimmed");
        assert_eq!(with(r#""subject":"a\nb","headers":{"X/A":"a\rb"}"#), ["/headers/X~1A", "/subject"]);
        assert_eq!(with(r#""subject":"s","from":"shop","reply_to":"shop""#), ["/from", "/reply_to"]);
        assert_eq!(with(r#""subject":"s","headers":{"reply-to":"a","X-A":"b"}"#), ["/headers/reply-to"]);
    }

    #[test]
    fn the_schema_carries_the_marks_and_knows_all_keys() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).expect("JSON");
        let fields = &schema["properties"];
        assert_eq!(schema["additionalProperties"], false);
        for field in ["to", "cc", "bcc"] {
            assert_eq!(
                (&fields[field]["x-template"], &fields[field]["x-recipient"]),
                (&"text".into(), &true.into())
            );
            assert_eq!(fields[field]["items"]["x-recipient"], true);
        }
        assert_eq!(
            fields["reply_to"].get("x-recipient").or(fields["reply_to"]["items"].get("x-recipient")),
            None
        );
        assert_eq!(fields["html_template"]["x-template"], "html");
        assert_eq!(fields["headers"]["additionalProperties"]["x-template"], "text");
        assert_eq!(fields["attachments"]["items"]["properties"]["json_template"]["x-template"], "json");
        assert_eq!(schema["required"], serde_json::json!(["subject"]));
        assert_eq!(schema.get("$defs"), None);
        assert_eq!(aftercommit_plugin::schema::undocumented::<Config>(include_str!("../README.md")), [""; 0]);
    }
}

//! The configuration, and what its schema can not say of it.

use std::collections::BTreeMap;

use aftercommit_plugin::{
    FieldProblem,
    template::{Html, Text},
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
    pub(crate) attachments: Vec<Attachment>,
}

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
        problems.extend(
            self.attachments.iter().enumerate().filter_map(|(at, attachment)| attachment.problem(at)),
        );
        problems
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
            {"filename":"c.txt","text_template":"x","json_template":"{}"}]}"#;
        assert_eq!(pointers(attachments), ["/attachments/1", "/attachments/2"]);
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
        let undescribed: Vec<_> = fields
            .as_object()
            .expect("fields")
            .iter()
            .filter(|(_, field)| field.get("description").is_none())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(undescribed, [""; 0]);
    }
}

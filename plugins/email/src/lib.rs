//! The action `email`: sends a mail over the host's mail server.

mod attachment;
mod config;
mod recipients;

use aftercommit_plugin::{
    mail::{Message, Sent},
    prelude::*,
};

use config::Config;

struct Email;

impl Plugin for Email {
    const NAME: &'static str = "email";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Sends a mail over the host's mail server";
    const NEEDS: &'static [Need] = &[Need::Mail];
    type Config = Config;

    fn check(config: &Config) -> Vec<FieldProblem> {
        config.problems()
    }

    fn run(_event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        let message = message(config)?;
        let recipients = message.to.len() + message.cc.len() + message.bcc.len();
        Ok(outcome(&mail::send(&message)?, recipients))
    }
}

aftercommit_plugin::export!(Email);

/// What the attempt's log says of a mail to so many recipients.
fn outcome(sent: &Sent, recipients: usize) -> Outcome {
    let mut details = JsonObject::new();
    details.text("message_id", &sent.message_id).raw("recipients", &recipients.to_string());
    let people = if recipients == 1 { "recipient" } else { "recipients" };
    let mut summary = format!("mail {} to {recipients} {people}", sent.message_id);
    if !sent.refused.is_empty() {
        details.texts("refused", &sent.refused);
        summary.push_str("; refused: ");
        summary.push_str(&sent.refused.join(", "));
    }
    Outcome::new(summary).with_details(details.finish())
}

/// The message of a configuration whose templates are rendered. Its id is left to the host, which makes it from the
/// delivery's: the same in every attempt.
fn message(config: Config) -> Result<Message, Failure> {
    let message = Message {
        sender: config.from.map(String::from).filter(|from| !from.trim().is_empty()),
        to: config.to.written(),
        cc: config.cc.written(),
        bcc: config.bcc.written(),
        reply_to: config.reply_to.written(),
        subject: config.subject.into(),
        text: config.body_template.map(Into::into),
        html: config.html_template.map(Into::into),
        headers: config.headers.into_iter().map(|(name, value)| (name, value.into())).collect(),
        attachments: config
            .attachments
            .into_iter()
            .map(attachment::Attachment::rendered)
            .collect::<Result<_, _>>()?,
        message_id: None,
    };
    if message.to.is_empty() && message.cc.is_empty() && message.bcc.is_empty() {
        let why = "every recipient is empty: the fields in `to`, `cc` and `bcc` are null or empty";
        return Err(Failure::permanent("no_recipient", why));
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(json: &str) -> Result<Message, Failure> {
        message(serde_json::from_str(json).expect("a configuration"))
    }

    #[test]
    fn the_seed_form_is_a_message() {
        let message = made(r#"{"to":"admin@example.com","subject":"New Order","body_template":"Order 7"}"#)
            .expect("a message");
        assert_eq!(message.to, ["admin@example.com"]);
        assert_eq!((message.subject.as_str(), message.text.as_deref()), ("New Order", Some("Order 7")));
        assert_eq!((message.html, message.sender, message.message_id), (None, None, None));
    }

    #[test]
    fn an_outcome_names_who_was_refused() {
        let sent = |refused: &[&str]| Sent {
            message_id: "7@example.com".to_owned(),
            refused: refused.iter().map(ToString::to_string).collect(),
        };
        let all = outcome(&sent(&[]), 1);
        assert_eq!(all.summary, "mail 7@example.com to 1 recipient");
        assert_eq!(all.details.expect("details"), r#"{"message_id":"7@example.com","recipients":1}"#);
        let some = outcome(&sent(&["a***@example.com (550 no)"]), 3);
        assert_eq!(some.summary, "mail 7@example.com to 3 recipients; refused: a***@example.com (550 no)");
        let details = some.details.expect("details");
        assert!(
            details.ends_with(r#","recipients":3,"refused":["a***@example.com (550 no)"]}"#),
            "{details}"
        );
    }

    #[test]
    fn empty_recipients_are_left_out_and_one_must_remain() {
        let message =
            made(r#"{"to":["a@example.com",""],"cc":" ","subject":"s","body_template":"b"}"#).expect("one");
        assert_eq!((message.to.len(), message.cc.len()), (1, 0));
        let failure = made(r#"{"to":["",""],"subject":"s","body_template":"b"}"#).expect_err("none");
        assert_eq!(failure.problem().code, "no_recipient");
    }
}

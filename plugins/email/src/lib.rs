//! The action `email`: sends a mail over the host's mail server.

mod attachment;
mod config;
mod recipients;

use aftercommit_plugin::{mail::Message, prelude::*};

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
        let id = mail::send(&message)?;
        let mut details = JsonObject::new();
        details.text("message_id", &id).raw("recipients", &recipients.to_string());
        let people = if recipients == 1 { "recipient" } else { "recipients" };
        Ok(Outcome::new(format!("mail {id} to {recipients} {people}")).with_details(details.finish()))
    }
}

aftercommit_plugin::export!(Email);

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
    fn empty_recipients_are_left_out_and_one_must_remain() {
        let message =
            made(r#"{"to":["a@example.com",""],"cc":" ","subject":"s","body_template":"b"}"#).expect("one");
        assert_eq!((message.to.len(), message.cc.len()), (1, 0));
        let failure = made(r#"{"to":["",""],"subject":"s","body_template":"b"}"#).expect_err("none");
        assert_eq!(failure.problem().code, "no_recipient");
    }
}

//! What the schema can not say of a configuration.

use aftercommit_plugin::{FieldProblem, http::base_url_problem, secrets::Secret, template::literal};

use crate::{
    config::{Config, Provider},
    phone, sender,
};

impl Config {
    /// Everything that is wrong with it.
    pub(crate) fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = match self.provider {
            Provider::Twilio => self.problems_for_twilio(),
            Provider::Vonage => self.problems_for_vonage(),
        };
        problems.extend(base_url_problem("/api_url", self.api_url.as_deref()));
        problems.extend(self.problems_of_texts());
        problems
    }

    /// What is wrong with texts that no template makes.
    fn problems_of_texts(&self) -> impl Iterator<Item = FieldProblem> {
        let sender = match self.provider {
            Provider::Twilio => self.from.as_deref().and_then(literal).map(sender::check),
            Provider::Vonage => None,
        };
        let callback = self.status_callback.as_deref().and_then(literal).map(|url| {
            let is_http = url.starts_with("https://") || url.starts_with("http://");
            if is_http {
                Ok(())
            } else {
                Err("write the URL in full, such as https://example.com/sms".to_owned())
            }
        });
        let text = literal(&self.message_template)
            .map(|text| if text.trim().is_empty() { Err("write a text".to_owned()) } else { Ok(()) });
        let sid =
            |value: Option<&str>, prefix| value.and_then(literal).map(|sid| sender::check_sid(prefix, sid));
        [
            ("/phone", literal(&self.phone).map(phone::check)),
            ("/message_template", text),
            ("/from", sender),
            ("/status_callback", callback),
            ("/account_sid", sid(self.account_sid.as_ref().map(Secret::handle), "AC")),
            ("/messaging_service_sid", sid(self.messaging_service_sid.as_deref(), "MG")),
        ]
        .into_iter()
        .filter_map(|(pointer, checked)| Some(FieldProblem::new(pointer, checked?.err()?)))
    }

    fn problems_for_twilio(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        if self.account_sid.is_none() {
            problems.push(FieldProblem::new(
                "/account_sid",
                "Twilio needs the account: write account_sid = \"AC..\", or account_sid_env = \"TWILIO_ACCOUNT_SID\" and set that",
            ));
        }
        let credentials = [&self.auth_token, &self.api_key, &self.api_secret].map(Option::is_some);
        let message = match credentials {
            [true, false, false] | [false, true, true] => None,
            [false, false, false] => Some((
                "/auth_token",
                "Twilio needs a token: write auth_token_env = \"TWILIO_AUTH_TOKEN\" and set that, or use an API key with \
                 api_key and api_secret_env",
            )),
            [true, ..] => {
                Some(("/api_key", "write either `auth_token`, or `api_key` and `api_secret`, not both"))
            }
            [false, true, false] => {
                Some(("/api_secret", "an API key needs its secret: write api_secret_env"))
            }
            [false, false, true] => Some(("/api_key", "an API key's secret needs its key: write api_key")),
        };
        problems.extend(message.map(|(pointer, message)| FieldProblem::new(pointer, message)));
        match (&self.from, &self.messaging_service_sid) {
            (None, None) => problems.push(FieldProblem::new(
                "/from",
                "Twilio needs a sender: write from = \"+1..\", or messaging_service_sid = \"MG..\"",
            )),
            (Some(_), Some(_)) => problems.push(FieldProblem::new(
                "/messaging_service_sid",
                "write either `from` or `messaging_service_sid`, not both",
            )),
            _ => {}
        }
        problems
    }

    fn problems_for_vonage(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        for (pointer, is_missing, name) in [
            ("/api_key", self.api_key.is_none(), "VONAGE_API_KEY"),
            ("/api_secret", self.api_secret.is_none(), "VONAGE_API_SECRET"),
        ] {
            if is_missing {
                let field = &pointer[1..];
                problems.push(FieldProblem::new(
                    pointer,
                    format!("Vonage needs `{field}`: write {field}_env = \"{name}\" and set that"),
                ));
            }
        }
        if self.from.is_none() {
            problems
                .push(FieldProblem::new("/from", "Vonage needs a sender: write from, a number or a name"));
        }
        for (pointer, is_written) in [
            ("/account_sid", self.account_sid.is_some()),
            ("/auth_token", self.auth_token.is_some()),
            ("/messaging_service_sid", self.messaging_service_sid.is_some()),
        ] {
            if is_written {
                problems.push(FieldProblem::new(pointer, "this is Twilio's, and the provider is vonage"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ACCOUNT: &str = "AC00000000000000000000000000000001";
    const SERVICE: &str = "MG00000000000000000000000000000001";

    fn pointers(more: &serde_json::Value) -> Vec<String> {
        let mut written = json!({"phone": "+15558675310", "message_template": "m"});
        written.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        let config: Config = serde_json::from_value(written).expect("a configuration");
        config.problems().into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn twilio_needs_account_token_and_sender() {
        assert_eq!(pointers(&json!({})), ["/account_sid", "/auth_token", "/from"]);
        let account = json!({"account_sid": ACCOUNT, "auth_token": "t", "from": "+15557122661"});
        assert_eq!(pointers(&account), [""; 0]);
        let key = json!({"account_sid": ACCOUNT, "api_key": "SK", "api_secret": "s", "messaging_service_sid": SERVICE});
        assert_eq!(pointers(&key), [""; 0]);
        let half =
            json!({"account_sid": ACCOUNT, "api_key": "SK", "from": "f", "messaging_service_sid": SERVICE});
        assert_eq!(pointers(&half), ["/api_secret", "/messaging_service_sid"]);
        let both = json!({"account_sid": ACCOUNT, "auth_token": "t", "api_key": "SK", "api_secret": "s", "from": "f"});
        assert_eq!(pointers(&both), ["/api_key"]);
    }

    #[test]
    fn what_no_template_makes_is_checked_at_once() {
        let with = |more: serde_json::Value| {
            let mut written = json!({"account_sid": ACCOUNT, "auth_token": "t", "from": "Acme"});
            written.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
            pointers(&written)
        };
        assert_eq!(
            with(json!({"status_callback": "https://example.com/{{id}}", "from": "{{sender}}"})),
            [""; 0]
        );
        assert_eq!(with(json!({"status_callback": "example.com/sms"})), ["/status_callback"]);
        assert_eq!(with(json!({"message_template": " "})), ["/message_template"]);
        assert_eq!(with(json!({"from": "5557122661"})), ["/from"]);
        assert_eq!(with(json!({"account_sid": "SK1"})), ["/account_sid"]);
        assert_eq!(with(json!({"from": null, "messaging_service_sid": "MG1"})), ["/messaging_service_sid"]);
        assert_eq!(with(json!({"api_url": "https://api.example.com/?a"})), ["/api_url"]);
    }

    #[test]
    fn vonage_needs_key_secret_and_sender() {
        assert_eq!(pointers(&json!({"provider": "vonage"})), ["/api_key", "/api_secret", "/from"]);
        let right = json!({"provider": "vonage", "api_key": "k", "api_secret": "s", "from": "Acme"});
        assert_eq!(pointers(&right), [""; 0]);
        let mixed =
            json!({"provider": "vonage", "api_key": "k", "api_secret": "s", "from": "A", "auth_token": "t"});
        assert_eq!(pointers(&mixed), ["/auth_token"]);
    }

    #[test]
    fn a_number_without_template_is_checked_at_once() {
        let twilio =
            |phone: &str| json!({"phone": phone, "account_sid": ACCOUNT, "auth_token": "t", "from": "12345"});
        assert_eq!(pointers(&twilio("0171 1234567")), ["/phone"]);
        assert_eq!(pointers(&twilio("{{phone}}")), [""; 0]);
    }
}

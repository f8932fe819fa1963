//! Vonage's Messages API, version 1: `POST /v1/messages`, JSON with basic authentication. Refusals are problems as in RFC 7807.

use aftercommit_plugin::{Failure, JsonObject, http::Response};
use serde::Deserialize;

use crate::{Accepted, config::Config, post};

#[derive(Deserialize)]
struct Message {
    message_uuid: String,
}

/// A problem (RFC 7807, 3.1).
#[derive(Deserialize)]
struct Refusal {
    r#type: Option<String>,
    title: Option<String>,
    detail: Option<String>,
}

/// `delivery_id` comes back in the callbacks as `client_ref`; Vonage does not drop repetitions by it.
pub(crate) fn send(config: &Config, delivery_id: &str) -> Result<Accepted, Failure> {
    let (Some(key), Some(secret), Some(from)) = (&config.api_key, &config.api_secret, &config.from) else {
        return Err(Failure::misconfigured("config", "`api_key`, `api_secret` and `from` are needed"));
    };
    let mut message = JsonObject::new();
    message
        .text("channel", "sms")
        .text("message_type", "text")
        // Vonage takes numbers without the plus sign.
        .text("to", config.phone.trim_start_matches('+'))
        .text("from", from.trim_start_matches('+'))
        .text("text", &config.message_template)
        .text("client_ref", delivery_id);
    if let Some(url) = &config.status_callback {
        message.text("webhook_url", url);
    }
    let response =
        post(config, "/v1/messages")?.basic(key.handle(), secret.handle()).json(message.finish()).send()?;
    read(&response)
}

fn read(response: &Response) -> Result<Accepted, Failure> {
    if (200..300).contains(&response.status) {
        let id = response.json_unless_truncated::<Message>()?.map_or_else(String::new, |it| it.message_uuid);
        return Ok(Accepted { id, state: "submitted".to_owned(), status: response.status });
    }
    Err(refused(response))
}

/// The failure that a status means, with what the problem says.
fn refused(response: &Response) -> Failure {
    let Ok(refusal) = response.json::<Refusal>() else { return response.failure() };
    let code =
        refusal.r#type.as_deref().and_then(|url| url.rsplit_once('#')).map(|(_, code)| format!(" ({code})"));
    let said = [refusal.title, refusal.detail].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let said: String = said.chars().filter(|letter| !letter.is_control()).take(200).collect();
    let message = format!("Vonage answered {}{}: {said}", response.status, code.unwrap_or_default());
    let failure = match (response.status, response.retry_after_ms) {
        (401 | 403, _) => Failure::misconfigured("unauthorized", message),
        (402, _) => Failure::misconfigured("low_balance", message),
        (422, _) => Failure::permanent("invalid_parameters", message),
        (429, Some(after_ms)) => Failure::throttled("too_many_requests", message, after_ms),
        (429, None) => Failure::transient("too_many_requests", message),
        _ => return response.failure(),
    };
    failure.with_status(response.status)
}

#[cfg(test)]
mod tests {
    use aftercommit_plugin::http::Content;

    use super::*;

    fn answered(status: u16, text: &str, retry_after_ms: Option<u64>) -> Result<Accepted, Failure> {
        let body = Content::Text(text.to_owned());
        read(&Response { status, headers: Vec::new(), body, truncated: false, retry_after_ms })
    }

    #[test]
    fn a_problem_is_told() {
        let text = r#"{"type":"https://developer.vonage.com/api-errors/messages#1150","title":"Invalid params","detail":"bad `to`"}"#;
        let Err(Failure::Permanent(why)) = answered(422, text, None) else { panic!("permanent") };
        assert_eq!((why.code.as_str(), why.status), ("invalid_parameters", Some(422)));
        assert_eq!(why.message, "Vonage answered 422 (1150): Invalid params: bad `to`");
        assert!(
            matches!(answered(429, "{}", Some(5)), Err(Failure::Throttled(delay)) if delay.after_ms == 5)
        );
        assert!(matches!(answered(500, "{}", None), Err(Failure::Transient(_))));
        assert_eq!(answered(202, r#"{"message_uuid":"u"}"#, None).map(|it| it.id).ok().as_deref(), Some("u"));
    }
}

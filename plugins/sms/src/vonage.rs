//! Vonage's Messages API, version 1: `POST /v1/messages`, JSON with basic authentication. Refusals are problems as in RFC 7807.

use aftercommit_plugin::{Failure, FailureClass, JsonObject, excerpt, http::Response};
use serde::Deserialize;

use crate::{Accepted, config::Config, post, vonage_errors};

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
pub(crate) fn send(config: &Config, text: &str, delivery_id: &str) -> Result<Accepted, Failure> {
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
        .text("text", text)
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
    let refusal: Refusal = match response.refusal() {
        Ok(refusal) => refusal,
        Err(failure) => return failure,
    };
    let code = refusal.r#type.as_deref().and_then(|url| url.rsplit_once('#')).map_or("", |(_, code)| code);
    let said = [refusal.title, refusal.detail].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let mark = if code.is_empty() { String::new() } else { format!(" ({})", excerpt(code, 200)) };
    let message = format!("Vonage answered {}{mark}: {}", response.status, excerpt(&said, 200));
    let failure = match (response.status, response.retry_after_ms) {
        (429, after_ms) => FailureClass::Transient.failure("too_many_requests", message, after_ms),
        // Its code says more than a status; what is the server's own trouble is told by the status alone.
        (status @ 400..=499, _) => match (vonage_errors::failure(code, &message), status) {
            (Some(known), _) => known,
            (None, 401 | 403) => Failure::misconfigured("unauthorized", message),
            (None, 402) => Failure::misconfigured("low_balance", message),
            (None, 422) => Failure::permanent("invalid_parameters", message),
            (None, _) => return response.failure(),
        },
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
        let coded = |status: u16, code: &str| {
            let text = format!(
                r#"{{"type":"https://developer.vonage.com/api-errors/messages#{code}","title":"t"}}"#
            );
            answered(status, &text, None)
                .map(|accepted| accepted.id)
                .map_err(|failure| failure.problem().code.clone())
        };
        assert_eq!(coded(422, "1120"), Err("invalid_sender".to_owned()));
        assert_eq!(coded(403, "low-balance"), Err("low_balance".to_owned()));
        assert_eq!(coded(422, "9999"), Err("invalid_parameters".to_owned()));
        assert_eq!(coded(500, "1120"), Err("http_status".to_owned()), "its own trouble, whatever the code");
        assert_eq!(answered(202, r#"{"message_uuid":"u"}"#, None).map(|it| it.id).ok().as_deref(), Some("u"));
    }
}

//! Twilio's Messages resource: `POST /2010-04-01/Accounts/{AccountSid}/Messages.json`, a form with basic authentication.

use aftercommit_plugin::{Failure, http::Response};
use serde::Deserialize;

use crate::{Accepted, config::Config, post, twilio_errors};

/// The resource that was made, as far as it is read.
#[derive(Deserialize)]
struct Message {
    sid: Option<String>,
    status: Option<String>,
    error_code: Option<u32>,
    #[serde(rename = "error_message")]
    failed_because: Option<String>,
}

/// What Twilio answers when it refuses.
#[derive(Deserialize)]
struct Refusal {
    code: Option<u32>,
    message: Option<String>,
}

pub(crate) fn send(config: &Config, text: &str) -> Result<Accepted, Failure> {
    let Some(account) = &config.account_sid else {
        return Err(Failure::misconfigured("config", "`account_sid` is not given"));
    };
    let (user, password) = match (&config.api_key, &config.api_secret, &config.auth_token) {
        (Some(key), Some(secret), _) => (key, secret),
        (_, _, Some(token)) => (account, token),
        _ => return Err(Failure::misconfigured("config", "neither auth_token nor an API key is given")),
    };
    let fields = [
        ("To", Some(config.phone.as_ref())),
        ("From", config.from.as_deref()),
        ("MessagingServiceSid", config.messaging_service_sid.as_deref()),
        ("Body", Some(text)),
        ("StatusCallback", config.status_callback.as_deref()),
    ];
    let response = post(config, &format!("/2010-04-01/Accounts/{account}/Messages.json"))?
        .basic(user.handle(), password.handle())
        .form(fields.into_iter().filter_map(|(name, value)| Some((name, value?))))
        .send()?;
    read(&response)
}

fn read(response: &Response) -> Result<Accepted, Failure> {
    let status = response.status;
    if !(200..300).contains(&status) {
        let Refusal { code: Some(code), message } = response.refusal()? else {
            return Err(response.failure());
        };
        let known = twilio_errors::failure(code, message.as_deref().unwrap_or_default(), response);
        return Err(known.unwrap_or_else(|| response.failure()));
    }
    let Some(message) = response.json_unless_truncated::<Message>()? else {
        return Ok(Accepted { id: String::new(), state: String::new(), status });
    };
    // A message may be made and have failed already.
    if let Some(code) = message.error_code {
        let text = message.failed_because.unwrap_or_default();
        return Err(twilio_errors::failure(code, &text, response).unwrap_or_else(|| {
            Failure::permanent(
                "provider_error",
                format!("Twilio made the message and it failed with {code}: {text}"),
            )
            .with_status(status)
        }));
    }
    Ok(Accepted { id: message.sid.unwrap_or_default(), state: message.status.unwrap_or_default(), status })
}

#[cfg(test)]
mod tests {
    use aftercommit_plugin::http::Content;

    use super::*;

    fn answered(status: u16, text: &str) -> Result<Accepted, Failure> {
        let body = Content::Text(text.to_owned());
        read(&Response { status, headers: Vec::new(), body, truncated: false, retry_after_ms: None })
    }

    fn code(result: Result<Accepted, Failure>) -> String {
        result
            .map(|accepted| accepted.id)
            .map_err(|failure| failure.problem().code.clone())
            .unwrap_or_else(|code| code)
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(code(answered(201, r#"{"sid":"SM1","status":"queued","error_code":null}"#)), "SM1");
        assert_eq!(
            code(answered(400, r#"{"code":21211,"message":"m","status":400}"#)),
            "invalid_phone_number"
        );
        assert_eq!(code(answered(400, r#"{"code":99999,"message":"m","status":400}"#)), "http_status");
        assert_eq!(code(answered(502, "<html>")), "http_status");
        assert_eq!(code(answered(201, r#"{"sid":"SM1","status":"failed","error_code":30007}"#)), "filtered");
        assert_eq!(
            code(answered(201, r#"{"sid":"SM1","status":"failed","error_code":39999}"#)),
            "provider_error"
        );
        assert_eq!(code(answered(200, "<html>")), "unexpected_response");
    }
}

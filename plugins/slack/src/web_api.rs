//! Posting with `chat.postMessage`. Errors come as `{"ok":false,"error":CODE}`, most of them with status 200.

use aftercommit_plugin::{
    Failure, JsonObject, Outcome,
    http::{Request, Response},
    secrets::Secret,
};
use serde::Deserialize;

use crate::{config::Config, errors};

/// The answer's members that are read.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
}

pub(crate) fn post(config: &Config, token: &Secret, message: JsonObject) -> Result<Outcome, Failure> {
    let Some(api_url) = &config.api_url else {
        return Err(Failure::misconfigured("config", "`api_url` is not given"));
    };
    let response = Request::post(format!("{}/chat.postMessage", api_url.trim_end_matches('/')))
        .header("Content-Type", "application/json; charset=utf-8")
        .bearer(token.handle())
        .json(message.finish())
        .send()?;
    read(&response)
}

fn read(response: &Response) -> Result<Outcome, Failure> {
    let (status, after_ms) = (response.status, response.retry_after_ms);
    // With another status something before Slack's API may have answered, or the rate limit, and that without JSON.
    let answer = if (200..300).contains(&status) { response.json() } else { response.refusal() };
    let Answer { ok, error, channel, ts } = answer?;
    if !ok {
        let code = error.unwrap_or_default();
        let known = errors::failure(&code, status, after_ms);
        let by_status = || if status < 400 { errors::unknown(&code, status) } else { response.failure() };
        return Err(known.unwrap_or_else(by_status));
    }
    let (channel, ts) = (channel.unwrap_or_default(), ts.unwrap_or_default());
    let mut details = JsonObject::new();
    details.text("channel", &channel).text("ts", &ts);
    Ok(Outcome::new(format!("message {ts} posted to {channel}"))
        .with_status(status)
        .with_details(details.finish()))
}

#[cfg(test)]
mod tests {
    use aftercommit_plugin::http::Content;

    use super::*;

    fn answered(status: u16, text: &str, retry_after_ms: Option<u64>) -> Result<Outcome, Failure> {
        let body = Content::Text(text.to_owned());
        read(&Response { status, headers: Vec::new(), body, truncated: false, retry_after_ms })
    }

    #[test]
    fn a_cut_answer_counts_if_it_says_enough() {
        let cut = |text: &str| {
            let (headers, body) = (Vec::new(), Content::Text(text.to_owned()));
            read(&Response { status: 200, headers, body, truncated: true, retry_after_ms: None })
        };
        assert!(cut(r#"{"ok":true,"channel":"C1","ts":"1.2"}"#).is_ok());
        assert!(
            matches!(cut(r#"{"ok":true,"chan"#), Err(Failure::Transient(why)) if why.code == "response_cut")
        );
    }

    #[test]
    fn a_posted_message_is_named() {
        let outcome = answered(200, r#"{"ok":true,"channel":"C1","ts":"1.2","message":{"text":"x"}}"#, None);
        assert_eq!(outcome.expect("posted").details.as_deref(), Some(r#"{"channel":"C1","ts":"1.2"}"#));
    }

    #[test]
    fn errors_are_read_whatever_the_status() {
        let code = |status, text: &str, after| match answered(status, text, after) {
            Err(failure) => (failure.problem().code.clone(), matches!(failure, Failure::Throttled(_))),
            Ok(outcome) => panic!("{outcome:?}"),
        };
        assert_eq!(
            code(200, r#"{"ok":false,"error":"is_archived"}"#, None),
            ("is_archived".to_owned(), false)
        );
        assert_eq!(
            code(429, r#"{"ok":false,"error":"ratelimited"}"#, Some(1)),
            ("ratelimited".to_owned(), true)
        );
        assert_eq!(code(429, "slow down", Some(1)), ("http_status".to_owned(), true));
        assert_eq!(code(200, r#"{"ok":false,"error":"brand_new"}"#, None), ("slack_error".to_owned(), false));
        assert_eq!(code(200, "<html>", None), ("unexpected_response".to_owned(), false));
    }
}

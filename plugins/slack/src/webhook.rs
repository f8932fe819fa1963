//! Posting through an incoming webhook. Answers are plain text: `ok`, or an error code.

use aftercommit_plugin::{
    Failure, JsonObject, Outcome,
    http::{Request, Response},
};

use crate::errors;

/// The URL is a secret in itself and is not told.
pub(crate) fn post(url: &str, message: JsonObject) -> Result<Outcome, Failure> {
    let response = Request::post(url).json(message.finish()).send()?;
    read(&response)
}

fn read(response: &Response) -> Result<Outcome, Failure> {
    if (200..300).contains(&response.status) {
        return Ok(Outcome::new("message posted to the incoming webhook").with_status(response.status));
    }
    let text = response.text();
    let known = errors::failure(text.trim(), response.status, response.retry_after_ms);
    Err(known.unwrap_or_else(|| response.failure()))
}

#[cfg(test)]
mod tests {
    use aftercommit_plugin::http::Content;

    use super::*;

    fn answered(status: u16, text: &str) -> Result<Outcome, Failure> {
        let body = Content::Text(text.to_owned());
        read(&Response { status, headers: Vec::new(), body, truncated: false, retry_after_ms: None })
    }

    #[test]
    fn answers_are_read() {
        assert!(answered(200, "ok").is_ok());
        assert!(
            matches!(answered(404, "no_service"), Err(Failure::Misconfigured(why)) if why.code == "no_service")
        );
        assert!(
            matches!(answered(410, "channel_is_archived\n"), Err(Failure::Permanent(why)) if why.status == Some(410))
        );
        // What is not in the table goes by its status.
        assert!(matches!(answered(502, "<html>"), Err(Failure::Transient(why)) if why.code == "http_status"));
        assert!(matches!(answered(404, "<html>"), Err(Failure::Permanent(why)) if why.code == "http_status"));
    }
}

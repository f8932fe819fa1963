//! SASL XOAUTH2, as Google (<https://developers.google.com/workspace/gmail/imap/xoauth2-protocol>) and Microsoft
//! (<https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth>)
//! document it.
//!
//! Not left to the mail crate: a server explains a refusal in a challenge, which wants an empty answer, and the crate takes that for an error
//! of its own.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lettre::transport::smtp::{client::AsyncSmtpConnection, response::Response};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{MailFault, connection::fault, told};
use crate::secrets::{Redaction, Secret};

/// RFC 4954, 4 and 6.
const CHALLENGE: u16 = 334;
const REFUSED: u16 = 535;

/// `AUTH XOAUTH2` with the initial response.
struct Auth<'a> {
    username: &'a str,
    token: &'a Secret,
}

impl fmt::Display for Auth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let response =
            Zeroizing::new(format!("user={}\x01auth=Bearer {}\x01\x01", self.username, self.token.expose()));
        write!(f, "AUTH XOAUTH2 {}\r\n", STANDARD.encode(response.as_bytes()))
    }
}

/// Why a server refuses, in the challenge of its refusal.
#[derive(Deserialize)]
struct Refusal {
    /// An HTTP status, as a text or a number.
    status: serde_json::Value,
    scope: Option<String>,
}

/// Logs in.
pub(super) async fn log_in(
    smtp: &mut AsyncSmtpConnection,
    username: &str,
    token: &Secret,
    login: &Redaction,
) -> Result<(), MailFault> {
    let answer = smtp.command(Auth { username, token }).await.map_err(|error| fault(&error, login))?;
    if !answer.has_code(CHALLENGE) {
        return Ok(());
    }
    let why = explained(&answer);
    // The refusal itself says no more than the challenge did.
    match smtp.command("\r\n").await {
        Ok(answer) if !answer.has_code(CHALLENGE) => Ok(()),
        _ => Err(MailFault::of(REFUSED, told(&why, login))),
    }
}

fn explained(challenge: &Response) -> String {
    let json = challenge.first_word().and_then(|word| STANDARD.decode(word).ok());
    let refusal: Option<Refusal> = json.and_then(|json| serde_json::from_slice(&json).ok());
    match refusal {
        Some(Refusal { status, scope }) => {
            let status = status.as_str().map_or_else(|| status.to_string(), str::to_owned);
            let scope = scope.map(|scope| format!("; it wants the scope {scope}")).unwrap_or_default();
            format!("the server refuses the access token with status {status}{scope}")
        }
        None => "the server refuses the access token".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initial_response_is_as_documented() {
        let auth = Auth {
            username: "someuser@example.com",
            token: &Secret::new("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"),
        };
        let expected = "AUTH XOAUTH2 dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==\r\n";
        assert_eq!(auth.to_string(), expected);
    }
}

//! `[smtp.oauth2]`: how the host is given the access tokens with which it logs in at the mail server.

use aftercommit_runtime::SmtpOAuth;
use url::Url;

use super::smtp::is_this_machine;
use crate::document::Section;

/// `[smtp.oauth2]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmtpOAuthConfig {
    /// The token endpoint of the client credentials grant, and the client's id. Without them the secret is the key file of a
    /// service account, which names its own.
    pub client: Option<(Url, String)>,
    /// Whether the client's secret goes into the request's body.
    pub is_in_body: bool,
    /// What the token is for.
    pub scope: Option<String>,
}

/// What Google asks for mail (<https://developers.google.com/workspace/gmail/imap/xoauth2-protocol>).
const GOOGLE_SCOPE: &str = "https://mail.google.com/";

/// Client authentication, by its registered names (RFC 7591, 2).
const AUTH_METHODS: [(&str, bool); 2] = [("client_secret_basic", false), ("client_secret_post", true)];

impl SmtpOAuthConfig {
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let token_url: Option<Url> = section.parsed("token_url");
        let client_id = section.text("client_id");
        if let Some(url) = &token_url
            && !(url.scheme() == "https"
                || url.scheme() == "http" && url.host_str().is_some_and(is_this_machine))
        {
            section.problem("token_url", "the client's secret goes over https only");
        }
        if token_url.is_some() && client_id.is_none() {
            section.missing("client_id", "the client whose secret `password_env` names");
        }
        let config = Self {
            client: token_url.zip(client_id),
            is_in_body: section.choice("auth_method", &AUTH_METHODS).unwrap_or_default(),
            scope: section.text("scope"),
        };
        let is_present = section.is_present();
        section.finish();
        is_present.then_some(config)
    }

    /// As the runtime takes it; `secret` is the name of the client's secret or of the key file.
    pub(super) fn settings(&self, secret: &str) -> SmtpOAuth {
        match &self.client {
            Some((token_url, client_id)) => SmtpOAuth::ClientCredentials {
                token_url: token_url.clone(),
                client_id: client_id.clone(),
                client_secret: secret.to_owned(),
                scope: self.scope.clone(),
                is_in_body: self.is_in_body,
            },
            None => SmtpOAuth::ServiceAccount {
                key_file: secret.to_owned(),
                scope: self.scope.clone().unwrap_or_else(|| GOOGLE_SCOPE.to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        document::{Document, Format},
    };

    fn read(oauth2: &str) -> Result<SmtpOAuth, String> {
        let text = format!(
            "[smtp]\nhost = \"smtp.example.com\"\nusername = \"shop@example.com\"\npassword_env = \"S\"\n[smtp.oauth2]\n{oauth2}"
        );
        let document = Document::parse("aftercommit.toml", text, Format::Toml).unwrap();
        let config = Config::resolve(&document).map_err(|report| report.to_string())?;
        Ok(config.smtp.unwrap().oauth2.unwrap().settings("S"))
    }

    #[test]
    fn a_client_or_a_service_account_is_given_tokens() {
        let google = SmtpOAuth::ServiceAccount { key_file: "S".to_owned(), scope: GOOGLE_SCOPE.to_owned() };
        assert_eq!(read(""), Ok(google));
        let url = "https://login.example.com/t/token";
        let client =
            read(&format!("token_url = \"{url}\"\nclient_id = \"7\"\nauth_method = \"client_secret_post\""));
        let expected = SmtpOAuth::ClientCredentials {
            token_url: url.parse().unwrap(),
            client_id: "7".to_owned(),
            client_secret: "S".to_owned(),
            scope: None,
            is_in_body: true,
        };
        assert_eq!(client, Ok(expected));
        for (wrong, why) in [
            ("token_url = \"http://login.example.com\"\nclient_id = \"7\"", "over https only"),
            ("token_url = \"https://login.example.com\"", "`client_id` is missing"),
            ("token_url = \"login\"", "token_url"),
        ] {
            let told = read(wrong).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}

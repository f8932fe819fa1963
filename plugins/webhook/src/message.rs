//! One request, from a body to what its answer means.

use aftercommit_plugin::{Failure, Outcome, clock, http, http::Content, http::Request};

use crate::{
    config::{Config, Method},
    gone, headers, oauth2, signature,
};

/// What is sent to the configured URL.
pub(crate) struct Message<'a> {
    /// By which the receiver knows a repetition.
    pub(crate) id: &'a str,
    pub(crate) body: Option<String>,
    pub(crate) traceparent: Option<&'a str>,
    /// When less than the attempt's budget is left for it.
    pub(crate) timeout_ms: Option<u32>,
    /// How many events it tells of, if it is a batch.
    pub(crate) events: Option<usize>,
}

impl Message<'_> {
    pub(crate) fn send(self, config: &Config) -> Result<Outcome, Failure> {
        let Some(url) = config.url.as_deref() else {
            return Err(Failure::misconfigured("config", "neither url nor url_env is given"));
        };
        let timestamp_secs = clock::now_secs();
        let signed = self.body.as_deref().unwrap_or_default();
        let signatures = signature::of(&config.signing_secrets, self.id, timestamp_secs, signed)?;

        let mut request = Request::new(config.method.as_str(), url).max_redirects(config.follow_redirects);
        for (name, value) in &config.headers {
            request = request.header(name, value.as_ref());
        }
        request = request.header(headers::ID, self.id).header(headers::TIMESTAMP, timestamp_secs.to_string());
        if let Some(signatures) = signatures {
            request = request.header(headers::SIGNATURE, signatures);
        }
        if let Some(traceparent) = self.traceparent {
            request = request.header_if_absent(headers::TRACEPARENT, traceparent);
        }
        if let Some(body) = self.body {
            request =
                request.header_if_absent("Content-Type", config.content_type()).body(Content::Text(body));
        }
        if let Some(timeout_ms) = self.timeout_ms {
            request = request.timeout_ms(timeout_ms);
        }

        let response = match &config.oauth2 {
            Some(oauth2) => oauth2.send(request)?,
            None => request.send()?,
        };
        let status = response.status;
        match response.success_if(|status| config.is_success(status)).map_err(gone::recognized) {
            Ok(_) => Ok(Outcome::new(summary(config.method, url, status, self.events)).with_status(status)),
            Err(failure) if config.oauth2.is_some() => Err(oauth2::failure(failure)),
            Err(failure) => Err(failure),
        }
    }
}

/// For example `POST https://example.com/hook -> 200`. A URL that holds a secret is not named.
fn summary(method: Method, url: &str, status: u16, events: Option<usize>) -> String {
    let destination = http::origin_and_path(url).map(|destination| format!(" {destination}"));
    let batch = events.map(|events| format!(" (a batch of {events})"));
    let (destination, batch) = (destination.unwrap_or_default(), batch.unwrap_or_default());
    format!("{}{destination} -> {status}{batch}", method.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_no_secret() {
        let summary = |url| summary(Method::Put, url, 201, None);
        assert_eq!(summary("https://example.com/a?key=1"), "PUT https://example.com/a -> 201");
        assert_eq!(summary("acsecret0123456789abcdef0123456789abcdef0123456789abcdef"), "PUT -> 201");
    }

    #[test]
    fn the_summary_of_a_batch_says_how_many() {
        let summary = summary(Method::Post, "https://example.com/a", 200, Some(12));
        assert_eq!(summary, "POST https://example.com/a -> 200 (a batch of 12)");
    }
}

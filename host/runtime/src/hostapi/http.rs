//! `http`: from the guest's records to the egress and back.

use bytes::Bytes;

use crate::{
    bindings::aftercommit::action::{
        http::{self, Host, HttpError},
        model::Content,
    },
    calling::{
        contacts::Contact,
        guest::{Guest, Phase},
    },
    egress::{self, Auth, Body, EgressError},
};

impl Host for Guest {
    async fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Response, HttpError>> {
        let answer = self.request(request).await?;
        self.call.contacts.denials.note(&answer);
        Ok(answer)
    }
}

impl Guest {
    async fn request(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, HttpError>> {
        self.call.host_call()?;
        if self.call.phase != Phase::Run {
            return Ok(Err(HttpError::Denied("requests are sent during `run` only".to_owned())));
        }
        let request = egress::Request::from(request);
        let sent = self.call.egress.send(&self.call.permit, &request, self.call.bounds()).await;
        if let (Auth::Bearer(token), Ok(egress::Response { status: 401, .. })) = (&request.auth, &sent) {
            self.call.permit.tokens.refused(token, self.call.egress.clock.now()).await;
        }
        self.call.contacts.note(sent.as_ref().map_or_else(EgressError::contact, |_| Contact::Other));
        if let Ok(response) = &sent {
            self.call.redirected_to.clone_from(&response.redirected_to);
        }
        Ok(sent.map(http::Response::from).map_err(HttpError::from))
    }
}

impl From<http::Request> for egress::Request {
    fn from(request: http::Request) -> Self {
        Self {
            method: request.method,
            url: request.url,
            headers: request.headers,
            auth: match request.auth {
                http::Auth::None => Auth::None,
                http::Auth::Bearer(token) => Auth::Bearer(token),
                http::Auth::Basic((user, password)) => Auth::Basic(user, password),
            },
            body: request.body.map(|body| match body {
                Content::Text(text) => Body::Text(text),
                Content::Bytes(bytes) => Body::Bytes(Bytes::from(bytes)),
            }),
            timeout_ms: request.timeout_ms,
            max_redirects: request.max_redirects,
            verbatim: false,
        }
    }
}

impl From<egress::Response> for http::Response {
    fn from(response: egress::Response) -> Self {
        let headers = response
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let body = match String::from_utf8(response.body.into()) {
            Ok(text) => Content::Text(text),
            // Cut within a letter: the rest is text all the same.
            Err(error) if response.cut.is_some() && error.utf8_error().error_len().is_none() => {
                let end = error.utf8_error().valid_up_to();
                Content::Text(String::from_utf8_lossy(&error.as_bytes()[..end]).into_owned())
            }
            Err(error) => Content::Bytes(error.into_bytes()),
        };
        Self {
            status: response.status,
            headers,
            body,
            truncated: response.cut.is_some(),
            retry_after_ms: response.retry_after_ms,
        }
    }
}

impl From<EgressError> for HttpError {
    fn from(error: EgressError) -> Self {
        match error {
            EgressError::InvalidRequest(why) => Self::InvalidRequest(why),
            EgressError::Denied(why) => Self::Denied(why),
            EgressError::Dns(why) => Self::Dns(why),
            EgressError::Connect(why) => Self::Connect(why),
            EgressError::Tls(why) | EgressError::Certificate(why) => Self::Tls(why),
            EgressError::Timeout => Self::Timeout,
            EgressError::Protocol(why) => Self::Protocol(why),
        }
    }
}

//! OAuth 2.0 client credentials (RFC 6749, 4.4). The host obtains the token: the plugin sees handles.

use aftercommit_plugin::{
    Failure,
    http::{HttpError, Request, Response},
    secrets::{ClientAuthentication, ClientCredentials, Secret, TokenRequest, access_token},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Where to get an access token, and as whom.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct OAuth2 {
    /// The token endpoint.
    #[schemars(extend("x-egress" = true), example = &"https://login.example.com/oauth2/token")]
    pub(crate) token_url: String,
    /// The client's id.
    #[schemars(example = &"aftercommit")]
    pub(crate) client_id: String,
    /// The client's secret.
    #[schemars(extend("x-secret-form" = "any"), example = &"${secret:CLIENT_SECRET}")]
    pub(crate) client_secret: Secret,
    /// How the client says who it is: `client_secret_basic`, with HTTP Basic, or `client_secret_post`, in the body.
    #[serde(default)]
    #[schemars(extend("default" = "client_secret_basic"))]
    pub(crate) auth_method: AuthMethod,
    /// What the token is for, as the endpoint names it; several with a space between them.
    #[schemars(example = &"orders.write")]
    pub(crate) scope: Option<String>,
    /// For whom the token is, where the endpoint wants to know.
    #[schemars(example = &"https://api.example.com")]
    pub(crate) audience: Option<String>,
}

/// Client authentication, by its registered names (RFC 7591, 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum AuthMethod {
    #[default]
    ClientSecretBasic,
    ClientSecretPost,
}

impl OAuth2 {
    fn token(&self) -> Result<Secret, Failure> {
        Ok(access_token(&TokenRequest::ClientCredentials(ClientCredentials {
            token_url: self.token_url.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.handle().to_owned(),
            scope: self.scope.clone(),
            audience: self.audience.clone(),
            authentication: match self.auth_method {
                AuthMethod::ClientSecretBasic => ClientAuthentication::Basic,
                AuthMethod::ClientSecretPost => ClientAuthentication::Post,
            },
        }))?)
    }

    /// Sends a request with a token. A token that is not taken is renewed once, if it is not brand-new.
    pub(crate) fn send(&self, request: Request) -> Result<Response, Failure> {
        let send = |request: Request| -> Result<Response, Failure> {
            let token = self.token()?;
            request.bearer(token.handle()).send().map_err(|error: HttpError| error.into())
        };
        let response = send(request.clone())?;
        if response.status == 401 { send(request) } else { Ok(response) }
    }
}

/// A token that is not taken may be taken again later, when it was renewed or its client was given its rights back.
pub(crate) fn failure(failure: Failure) -> Failure {
    match failure {
        Failure::Permanent(problem) if problem.status == Some(401) => Failure::Transient(problem),
        other => other,
    }
}

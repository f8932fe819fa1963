//! Access tokens: obtained by the host, kept until shortly before they expire, and seen by the guest as handles.

use std::{collections::HashMap, time::Duration};

use aftercommit_core::Timestamp;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::{
    bindings::aftercommit::action::secrets::{
        ClientCredentials, Key, SecretError, ServiceAccount, Signature, TokenRequest,
    },
    egress::{Auth, Body, Egress, Permit, Request},
    guest::Call,
    hostapi::secrets::unknown,
    secrets::{Entry, Secret, sign},
};

/// The tokens of one action.
#[derive(Default)]
pub(crate) struct Tokens {
    /// By what was asked for. Held while a token is obtained, so that it is asked for once.
    by_request: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    handle: String,
    renew_at: Timestamp,
}

/// A token is renewed that long before it expires.
const MARGIN: Duration = Duration::from_mins(1);
/// When an endpoint does not say (RFC 6749, 5.1 only recommends that it does).
const DEFAULT_LIFE_SECS: u64 = 300;
/// What a service account's assertion is valid for; Google takes an hour at most.
const ASSERTION_SECS: i64 = 600;

/// A token's answer (RFC 6749, 5.1 and 5.2).
#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<u64>,
    error: Option<String>,
}

/// What a service account's key file holds.
#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: String,
}

/// The handle of a token that is valid now.
pub(super) async fn access_token(call: &Call, asked: &TokenRequest) -> Result<String, SecretError> {
    let (permit, egress) = (&call.permit, &call.egress);
    let key = format!("{asked:?}");
    let mut kept = permit.tokens.by_request.lock().await;
    if let Some(token) = kept.get(&key).filter(|token| egress.clock.now() < token.renew_at) {
        return Ok(token.handle.clone());
    }
    let request = match asked {
        TokenRequest::ClientCredentials(asked) => client_credentials(permit, asked)?,
        TokenRequest::ServiceAccount(asked) => service_account(permit, egress, asked)?,
    };
    let response = egress
        .send(permit, &request, call.bounds())
        .await
        .map_err(|error| SecretError::Token(format!("the token endpoint: {error}")))?;
    let answer: Answer = serde_json::from_slice(&response.body).map_err(|_| {
        SecretError::Token(format!("the token endpoint answered {} without JSON", response.status))
    })?;
    let Some(token) = answer.access_token.filter(|_| response.status == 200) else {
        let why: String = answer.error.unwrap_or_default().chars().take(100).collect();
        return Err(SecretError::Token(format!("the token endpoint answered {}: {why}", response.status)));
    };
    let life = Duration::from_secs(answer.expires_in.unwrap_or(DEFAULT_LIFE_SECS));
    let renew_at = egress.clock.now().plus(life.saturating_sub(MARGIN));
    let handle = permit.handles.issue(Entry {
        name: "access token".to_owned(),
        secret: Secret::new(token),
        destinations: permit.effective.origins.clone(),
        body: None,
    });
    if let Some(old) = kept.insert(key, Kept { handle: handle.clone(), renew_at }) {
        permit.handles.revoke(&old.handle);
    }
    Ok(handle)
}

fn client_credentials(permit: &Permit, asked: &ClientCredentials) -> Result<Request, SecretError> {
    known(permit, &asked.client_secret)?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for (name, value) in [("scope", &asked.scope), ("audience", &asked.audience)] {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    let auth = Auth::Basic(asked.client_id.clone(), asked.client_secret.clone());
    Ok(token_request(asked.token_url.clone(), auth, form.finish()))
}

fn service_account(permit: &Permit, egress: &Egress, asked: &ServiceAccount) -> Result<Request, SecretError> {
    let entry = known(permit, &asked.key_file)?;
    let invalid = |why: &str| SecretError::InvalidKey(format!("the secret `{}`: {why}", entry.name));
    let file: KeyFile = serde_json::from_str(entry.secret.expose())
        .map_err(|_| invalid("not the JSON of a service account's key file"))?;
    let now = egress.clock.now().as_millis() / 1000;
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": file.private_key_id});
    let claims = json!({
        "iss": file.client_email, "scope": asked.scope, "aud": file.token_uri, "iat": now, "exp": now + ASSERTION_SECS,
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let key = Secret::new(file.private_key);
    let signature =
        sign(&key, Signature::Rs256, &Key::Pem, signed.as_bytes()).map_err(|error| invalid(error.0))?;
    let assertion = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
        .append_pair("assertion", &assertion);
    Ok(token_request(file.token_uri, Auth::None, form.finish()))
}

fn token_request(url: String, auth: Auth, form: String) -> Request {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")];
    Request {
        method: "POST".to_owned(),
        url,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        auth,
        body: Some(Body::Bytes(form.into())),
        ..Request::default()
    }
}

fn known(permit: &Permit, handle: &str) -> Result<std::sync::Arc<Entry>, SecretError> {
    permit.handles.whole(handle).ok_or_else(|| unknown(permit))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex as StdMutex},
        time::Instant,
    };

    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::{
        capability::{Effective, Need, Needs, Origin, PrivateNetwork},
        egress::{Clients, Decided, Services, Who},
        guest::Phase,
        hostapi::LogSink,
        limits::Limits,
        secrets::Handles,
    };

    /// A clock that tests move.
    struct Hand(StdMutex<Timestamp>);

    impl aftercommit_core::Clock for Hand {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
    }

    /// Answers `answers` one after the other, each on its own connection, and keeps the requests.
    async fn endpoint(answers: Vec<&'static str>) -> (String, Arc<StdMutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(StdMutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                kept.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
                let head = format!("connection: close\r\ncontent-length: {}", answer.len());
                let status = if answer.contains("error") { "401 No" } else { "200 OK" };
                stream
                    .write_all(format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n{answer}").as_bytes())
                    .await
                    .unwrap();
            }
        });
        (origin, seen)
    }

    fn call(origin: &Origin, secret: &str, clock: &Arc<Hand>) -> (Call, String) {
        let effective = Effective {
            needs: Needs::default().with(Need::Http).with(Need::Secrets),
            origins: vec![origin.clone()],
            private_network: PrivateNetwork::Granted,
            ..Effective::default()
        };
        let clients = Clients::new("test", &[]).unwrap();
        let handles = Handles::default();
        let destinations = vec![origin.clone()];
        let handle =
            handles.issue(Entry { name: "S".into(), secret: Secret::new(secret), destinations, body: None });
        let client = clients.of(&effective);
        let who = Arc::<Who>::default();
        let permit = Arc::new(Permit {
            who: Arc::clone(&who),
            effective,
            handles,
            client,
            tokens: Tokens::default(),
            decided: Decided::default(),
        });
        let call = Call {
            phase: Phase::Run,
            permit,
            egress: Arc::new(Egress { clients, services: Services::default(), clock: clock.clone() }),
            limits: Arc::new(Limits::default()),
            log: LogSink::new(who, String::new(), 1, 1),
            deadline: Instant::now() + Duration::from_secs(5),
            max_ticks: 1,
            ticks: 0,
            host_calls: 0,
            waited: false,
        };
        (call, handle)
    }

    #[tokio::test]
    async fn client_credentials_are_asked_for_once_and_renewed() {
        let answers = vec![
            r#"{"access_token":"one","expires_in":3600}"#,
            r#"{"access_token":"two","expires_in":3600}"#,
            r#"{"error":"invalid_client"}"#,
        ];
        let (origin, seen) = endpoint(answers).await;
        let clock = Arc::new(Hand(StdMutex::new(Timestamp::from_micros(0))));
        let (call, handle) = call(&origin.parse().unwrap(), "pa:ss", &clock);
        let asked = TokenRequest::ClientCredentials(ClientCredentials {
            token_url: format!("{origin}/token"),
            client_id: "me".into(),
            client_secret: handle,
            scope: Some("a b".into()),
            audience: None,
        });
        let first = access_token(&call, &asked).await.unwrap();
        assert_eq!(call.permit.handles.whole(&first).unwrap().secret.expose(), "one");
        assert_eq!(access_token(&call, &asked).await.unwrap(), first);
        *clock.0.lock().unwrap() = Timestamp::from_micros(3_550_000_000);
        let second = access_token(&call, &asked).await.unwrap();
        assert_eq!(call.permit.handles.whole(&second).unwrap().secret.expose(), "two");
        assert!(call.permit.handles.whole(&first).is_none());
        *clock.0.lock().unwrap() = Timestamp::from_micros(9_000_000_000);
        let failed = access_token(&call, &asked).await.unwrap_err();
        assert!(
            matches!(failed, SecretError::Token(ref why) if why.ends_with("401: invalid_client")),
            "{failed:?}"
        );
        let requests = seen.lock().unwrap();
        assert!(requests[0].contains("authorization: Basic bWU6cGE6c3M="), "{}", requests[0]);
        assert!(requests[0].ends_with("grant_type=client_credentials&scope=a+b"), "{}", requests[0]);
    }

    #[tokio::test]
    async fn a_key_file_that_is_none_is_not_told() {
        let clock = Arc::new(Hand(StdMutex::new(Timestamp::from_micros(0))));
        let key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &ring::rand::SystemRandom::new())
                .unwrap();
        let pem = base64::engine::general_purpose::STANDARD.encode(key.as_ref());
        let file =
            json!({"client_email": "a", "private_key": pem, "token_uri": "http://127.0.0.1:1/"}).to_string();
        for text in ["{}", "hunter2", file.as_str()] {
            let (call, handle) = call(&"http://127.0.0.1:1".parse().unwrap(), text, &clock);
            let asked = TokenRequest::ServiceAccount(ServiceAccount { key_file: handle, scope: "s".into() });
            let error = access_token(&call, &asked).await.unwrap_err();
            assert!(matches!(error, SecretError::InvalidKey(_)), "{error:?}");
            assert!(!format!("{error:?}").contains("hunter2") && !format!("{error:?}").contains(&pem));
        }
    }
}

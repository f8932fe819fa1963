//! Access tokens: obtained by the host, kept until shortly before they expire, and seen by the guest as handles.

use std::{collections::HashMap, time::Duration};

use aftercommit_core::{Timestamp, plain::one_line};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    secrets::told,
    token_grant::{client_credentials, known, service_account},
};
use crate::{
    bindings::aftercommit::action::secrets::{SecretError, TokenRequest},
    calling::{contacts::Contact, denials::MaybeDenied as _},
    egress::{Bounds, Cut, Egress, Permit, Request},
    secrets::{Entry, Secret},
};

/// The tokens of one action.
#[derive(Default)]
pub(crate) struct Tokens {
    /// By what was asked for. Held while a token is obtained, so that it is asked for once.
    by_request: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    /// The same for all its renewals, so that a delivery that has it is not left with one that stands for nothing.
    handle: String,
    obtained_at: Timestamp,
    renew_at: Timestamp,
}

impl Kept {
    /// A clock that was set back since must not make it last longer.
    fn is_valid(&self, now: Timestamp) -> bool {
        (self.obtained_at..self.renew_at).contains(&now)
    }
}

/// Why there is no token.
#[derive(Debug)]
pub(crate) struct TokenFault {
    pub(crate) error: SecretError,
    /// The certificate of its endpoint is not trusted.
    pub(crate) is_untrusted: bool,
    /// The egress does not let the action send to its endpoint, for this reason.
    pub(crate) denied: Option<String>,
}

impl From<SecretError> for TokenFault {
    fn from(error: SecretError) -> Self {
        Self { error, is_untrusted: false, denied: None }
    }
}

/// A token that is not taken is asked for again no sooner, or each refusal would cost two requests.
const LEAST_AGE: Duration = Duration::from_mins(1);
/// A token is renewed that long before it expires.
const MARGIN: Duration = Duration::from_mins(1);
/// Different tokens that one action has at the same time.
const MAX_TOKENS: usize = 64;
/// What one is asked for with: addresses, names and scopes.
const MAX_REQUEST_BYTES: usize = 16 << 10;
/// When an endpoint does not say (RFC 6749, 5.1 only recommends that it does).
const DEFAULT_LIFE_SECS: u64 = 300;

/// No token is kept longer, whatever its endpoint says.
const LONGEST_LIFE_SECS: u64 = 24 * 60 * 60;
/// Characters of what an endpoint says of a refusal.
const MAX_SAID_CHARS: usize = 300;

/// A token's answer (RFC 6749, 5.1 and 5.2).
#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    /// A number by the RFC; some servers write a text, or a decimal.
    expires_in: Option<Value>,
    error: Option<Value>,
    error_description: Option<Value>,
}

impl Answer {
    /// How long the token is valid.
    fn life(&self) -> Duration {
        let seconds = match &self.expires_in {
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            _ => None,
        };
        // What is no time at all says nothing.
        let seconds = seconds.filter(|seconds: &f64| *seconds >= 0.0);
        let life = seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
        life.unwrap_or(Duration::from_secs(DEFAULT_LIFE_SECS)).min(Duration::from_secs(LONGEST_LIFE_SECS))
    }

    /// Why there is no token, in the endpoint's words.
    fn refusal(&self) -> String {
        let said = [&self.error, &self.error_description].into_iter().flatten();
        let said = said.map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned));
        said.collect::<Vec<_>>().join(": ")
    }
}

/// When a token with that life is renewed: well before it expires, and a short one not at once.
fn renewed_after(life: Duration) -> Duration {
    life.saturating_sub(MARGIN.min(life / 2))
}

impl Tokens {
    /// A destination did not take a token: it may have been revoked before its time. Whoever needs it next asks its endpoint
    /// again; one that the host signs itself is kept for its time elsewhere.
    pub(crate) async fn refused(&self, handle: &str, now: Timestamp) {
        for token in self.by_request.lock().await.values_mut().filter(|token| token.handle == handle) {
            if now >= token.obtained_at.plus(LEAST_AGE) {
                token.renew_at = now;
            }
        }
    }
}

/// The handle of a token that is valid now.
pub(crate) async fn access_token(
    permit: &Permit,
    egress: &Egress,
    bounds: Bounds,
    asked: &TokenRequest,
) -> Result<String, TokenFault> {
    let key = format!("{asked:?}");
    let mut kept = permit.tokens.by_request.lock().await;
    if let Some(token) = kept.get(&key).filter(|token| token.is_valid(egress.clock.now())) {
        return Ok(token.handle.clone());
    }
    make_room(&mut kept, &key, permit, egress.clock.now())?;
    let (secret, renew_at) = match asked {
        TokenRequest::ClientCredentials(asked) => {
            obtain(permit, egress, bounds, &client_credentials(permit, asked)?).await?
        }
        TokenRequest::ServiceAccount(asked) => {
            obtain(permit, egress, bounds, &service_account(permit, egress, asked)?).await?
        }
        TokenRequest::ProviderToken(asked) => {
            let key = known(permit, &asked.key)?;
            egress
                .provider_tokens
                .token(asked, &key.secret, egress.clock.now())
                .map_err(|error| told(&key, &error))?
        }
    };
    let entry = Entry {
        name: "access token".to_owned(),
        secret,
        destinations: permit.effective.origins.clone(),
        body: None,
    };
    let handle = match kept.get(&key) {
        Some(old) => {
            permit.handles.replace(&old.handle, entry);
            old.handle.clone()
        }
        None => permit.handles.issue(entry),
    };
    let obtained_at = egress.clock.now();
    kept.insert(key, Kept { handle: handle.clone(), obtained_at, renew_at });
    Ok(handle)
}

/// What a guest asks for becomes the name of a token that is kept: a guest that asks for ever new ones is refused.
fn make_room(
    kept: &mut HashMap<String, Kept>,
    key: &str,
    permit: &Permit,
    now: Timestamp,
) -> Result<(), SecretError> {
    if key.len() > MAX_REQUEST_BYTES {
        let why =
            format!("a token is asked for with {} bytes; at most {MAX_REQUEST_BYTES} are taken", key.len());
        return Err(SecretError::Token(why));
    }
    if kept.len() >= MAX_TOKENS && !kept.contains_key(key) {
        kept.retain(|_, token| {
            let valid = token.is_valid(now);
            if !valid {
                permit.handles.withdraw(&token.handle);
            }
            valid
        });
    }
    if kept.len() >= MAX_TOKENS && !kept.contains_key(key) {
        let why = format!("an action has at most {MAX_TOKENS} different tokens at the same time");
        return Err(SecretError::Token(why));
    }
    Ok(())
}

/// Asks a token endpoint; returns the token and when to ask again.
async fn obtain(
    permit: &Permit,
    egress: &Egress,
    bounds: Bounds,
    request: &Request,
) -> Result<(Secret, Timestamp), TokenFault> {
    let response = egress.send(permit, request, bounds).await.map_err(|error| TokenFault {
        is_untrusted: error.contact() == Contact::Untrusted,
        denied: error.denied().map(|why| format!("the token endpoint: {why}")),
        error: SecretError::Token(format!("the token endpoint: {error}")),
    })?;
    let mut answer: Answer = serde_json::from_slice(&response.body).map_err(|_| {
        let why = match response.cut {
            None => "without JSON",
            Some(Cut::TooLong) => "with more than `limits.response_bytes`",
            Some(Cut::Early) => "and its body ended early",
            Some(Cut::Late) => "and its body did not end in time",
            Some(Cut::Packed) => "in a coding that was not asked for",
        };
        SecretError::Token(format!("the token endpoint answered {} {why}", response.status))
    })?;
    let is_success = (200..300).contains(&response.status);
    let Some(token) = answer.access_token.take().filter(|token| is_success && !token.is_empty()) else {
        // The answer was read as it came.
        let said = permit.handles.redact_text(answer.refusal());
        let why: String = one_line(&said).chars().take(MAX_SAID_CHARS).collect();
        let why = format!("the token endpoint answered {}: {why}", response.status);
        return Err(SecretError::Token(why).into());
    };
    Ok((Secret::new(token), egress.clock.now().plus(renewed_after(answer.life()))))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex as StdMutex},
        time::Instant,
    };

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::{
        bindings::aftercommit::action::secrets::{
            ClientAuthentication, ClientCredentials, ProviderToken, ServiceAccount, Signature,
        },
        calling::{
            compute_pool::ComputePool,
            cpu::CpuMeter,
            guest::{Call, Phase},
        },
        capability::{Effective, Need, Needs, Origin, PrivateNetwork},
        egress::{Clients, Services, Who},
        engine::ticker::Ticker,
        hostapi::{LogSink, ProviderTokens},
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
                let status = match answer {
                    _ if answer.contains("error") => "401 No",
                    _ if answer.contains("created") => "201 Created",
                    _ => "200 OK",
                };
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
        let who = Arc::<Who>::default();
        let permit = Arc::new(Permit { handles, ..Permit::new(Arc::clone(&who), effective, &clients) });
        let call = Call {
            phase: Phase::Run,
            permit,
            egress: Arc::new(Egress {
                clients,
                services: Services::default(),
                clock: clock.clone(),
                provider_tokens: ProviderTokens::default(),
            }),
            limits: Arc::new(Limits::default()),
            log: LogSink::new(who, String::new(), 1, 1),
            deadline: Instant::now() + Duration::from_secs(5),
            cpu: Arc::new(CpuMeter::new(
                Duration::from_secs(1),
                Ticker::start(&wasmtime::Engine::default(), Duration::from_millis(2)).unwrap(),
                ComputePool::new(1).unwrap(),
                Arc::default(),
            )),
            host_calls: 0,
            deliveries: 1,
            redirected_to: None,
            contacts: Arc::default(),
        };
        (call, handle)
    }

    async fn of_call(call: &Call, asked: &TokenRequest) -> Result<String, SecretError> {
        access_token(&call.permit, &call.egress, call.bounds(), asked).await.map_err(|fault| fault.error)
    }

    #[tokio::test]
    async fn client_credentials_are_asked_for_once_and_renewed() {
        let answers = vec![
            r#"{"access_token":"one","expires_in":3600}"#,
            r#"{"access_token":"two","expires_in":3600}"#,
            // Many give the same again as long as it is valid.
            r#"{"access_token":"two","expires_in":3600}"#,
            r#"{"error":"invalid_client","error_description":"no client\u0007 with pa:ss"}"#,
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
            authentication: ClientAuthentication::Basic,
        });
        let first = of_call(&call, &asked).await.unwrap();
        assert_eq!(call.permit.handles.whole(&first).unwrap().secret.expose(), "one");
        assert_eq!(of_call(&call, &asked).await.unwrap(), first);
        *clock.0.lock().unwrap() = Timestamp::from_micros(3_550_000_000);
        let told = |handle: &str| call.permit.handles.whole(handle).unwrap().secret.expose().to_owned();
        assert_eq!(of_call(&call, &asked).await.unwrap(), first, "who has the handle has the new token");
        assert_eq!(told(&first), "two");
        // A destination does not take it: asked for again, but not at once.
        call.permit.tokens.refused(&first, Timestamp::from_micros(3_560_000_000)).await;
        of_call(&call, &asked).await.unwrap();
        assert_eq!(seen.lock().unwrap().len(), 2);
        *clock.0.lock().unwrap() = Timestamp::from_micros(3_620_000_000);
        call.permit.tokens.refused(&first, Timestamp::from_micros(3_620_000_000)).await;
        of_call(&call, &asked).await.unwrap();
        assert_eq!((seen.lock().unwrap().len(), told(&first)), (3, "two".to_owned()));
        // The clock was set back: nobody knows any more when it expires.
        *clock.0.lock().unwrap() = Timestamp::from_micros(20_000_000);
        let failed = of_call(&call, &asked).await.unwrap_err();
        assert!(
            matches!(failed, SecretError::Token(ref why) if why.ends_with("401: invalid_client: no client\u{fffd} with [secret]")),
            "{failed:?}"
        );
        let requests = seen.lock().unwrap();
        assert!(requests[0].contains("authorization: Basic bWU6cGElM0Fzcw=="), "{}", requests[0]);
        assert!(requests[0].ends_with("grant_type=client_credentials&scope=a+b"), "{}", requests[0]);
    }

    #[tokio::test]
    async fn endpoints_are_understood_as_they_speak() {
        for (expires_in, secs) in [
            ("3600", 3540),
            ("\"3600\"", 3540),
            ("3599.99", 3539),
            ("\" 3600.0 \"", 3540),
            ("60", 30),
            ("0", 0),
            ("null", 240),
            ("-5", 240),
            ("\"soon\"", 240),
            ("1e300", 86_340),
        ] {
            let answer: Answer = serde_json::from_str(&format!(r#"{{"expires_in":{expires_in}}}"#)).unwrap();
            assert_eq!(renewed_after(answer.life()).as_secs(), secs, "{expires_in}");
        }
        let clock = Arc::new(Hand(StdMutex::new(Timestamp::from_micros(0))));
        let (origin, seen) = endpoint(vec![r#"{"access_token":"made","created":true}"#]).await;
        let (call, handle) = call(&origin.parse().unwrap(), "p&s s", &clock);
        let asked = |token_url: String| {
            TokenRequest::ClientCredentials(ClientCredentials {
                token_url,
                client_id: "me:1".into(),
                client_secret: handle.clone(),
                scope: None,
                audience: None,
                authentication: ClientAuthentication::Post,
            })
        };
        let elsewhere = of_call(&call, &asked("http://127.0.0.1:1/token".to_owned())).await;
        assert!(matches!(elsewhere, Err(SecretError::Denied(_))), "{elsewhere:?}");
        let token = of_call(&call, &asked(format!("{origin}/token"))).await.unwrap();
        assert_eq!(call.permit.handles.whole(&token).unwrap().secret.expose(), "made");
        let request = seen.lock().unwrap()[0].clone();
        let form = "grant_type=client_credentials&client_id=me%3A1&client_secret=p%26s+s";
        assert!(request.ends_with(form) && !request.contains("authorization"), "{request}");
    }

    /// Tokens that the host signs itself cost a guest no request.
    #[tokio::test]
    async fn a_guest_that_asks_for_ever_new_tokens_is_refused() {
        let clock = Arc::new(Hand(StdMutex::new(Timestamp::from_micros(0))));
        let random = ring::rand::SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
            STANDARD.encode(der.as_ref())
        );
        let (call, handle) = call(&"http://127.0.0.1:1".parse().unwrap(), &pem, &clock);
        let asked = |issuer: String| {
            TokenRequest::ProviderToken(ProviderToken {
                key: handle.clone(),
                algorithm: Signature::Es256,
                key_id: "ABC123DEFG".into(),
                issuer,
            })
        };
        let mut handles = Vec::new();
        for number in 0..MAX_TOKENS {
            handles.push(of_call(&call, &asked(number.to_string())).await.unwrap());
        }
        let refused =
            |error: SecretError| matches!(error, SecretError::Token(ref why) if why.contains("at most"));
        assert!(refused(of_call(&call, &asked("one more".into())).await.unwrap_err()));
        assert_eq!(of_call(&call, &asked("7".into())).await.unwrap(), handles[7]);
        assert!(refused(of_call(&call, &asked("x".repeat(20_000))).await.unwrap_err()));
        // When they are over, others have room.
        *clock.0.lock().unwrap() = Timestamp::from_micros(3_600_000_000);
        of_call(&call, &asked("one more".into())).await.unwrap();
        assert!(call.permit.handles.whole(&handles[7]).is_none());
    }

    #[tokio::test]
    async fn a_key_file_that_is_none_is_not_told() {
        let clock = Arc::new(Hand(StdMutex::new(Timestamp::from_micros(0))));
        let key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &ring::rand::SystemRandom::new())
                .unwrap();
        let pem = STANDARD.encode(key.as_ref());
        let file =
            json!({"client_email": "a", "private_key": pem, "token_uri": "http://127.0.0.1:1/"}).to_string();
        for text in ["{}", "hunter2", file.as_str()] {
            let (call, handle) = call(&"http://127.0.0.1:1".parse().unwrap(), text, &clock);
            let asked = TokenRequest::ServiceAccount(ServiceAccount {
                key_file: handle,
                scope: "s".into(),
                subject: None,
            });
            let error = of_call(&call, &asked).await.unwrap_err();
            assert!(matches!(error, SecretError::InvalidKey(_)), "{error:?}");
            assert!(!format!("{error:?}").contains("hunter2") && !format!("{error:?}").contains(&pem));
        }
    }
}

//! Why a request failed, in words: which side, what, and whether it was TLS or HTTP.

use std::{error::Error, io};

use hyper_util::client::legacy;
use rustls::CertificateError;

use super::{
    EgressError, Permit,
    certificates::SelfSigned,
    decision::private_reason,
    names::{OnlySpecial, Unresolved},
    request::Hop,
};

/// How rustls begins to tell of an alert. With TLS 1.3 a client certificate is refused after the handshake, and HTTP/2
/// hands on only the text of such an error.
const ALERT: &str = "received fatal alert: ";

/// What HTTP/2 says where HTTP/1.1 has an error of its own: a request came to a connection that was gone.
const GONE: &str = "stream closed because of a broken pipe";

/// What went wrong.
pub(super) fn of(permit: &Permit, hop: &Hop, error: &legacy::Error) -> EgressError {
    let connect = error.is_connect();
    let shown = match permit.client(&hop.origin).proxy_shown() {
        Some(proxy) if connect => format!("{} (over the proxy {proxy})", hop.shown),
        _ => hop.shown.to_string(),
    };
    let mut deepest = error.to_string();
    let (mut words, mut timeout) = (None, false);
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(special) = inner.downcast_ref::<OnlySpecial>() {
            return permit.denied(&hop.shown, &private_reason(special.range));
        }
        if inner.is::<Unresolved>() {
            return EgressError::Dns(format!("{shown}: {inner}"));
        }
        if let Some(tls) = tls_error(inner) {
            let text = format!("{shown}: {}", tls_words(tls));
            return if is_untrusted(tls) { EgressError::Certificate(text) } else { EgressError::Tls(text) };
        }
        if inner.downcast_ref::<hyper::Error>().is_some_and(|error| error.is_canceled() || error.is_closed())
        {
            return closed(hop);
        }
        timeout |= is_timeout(inner);
        deepest = inner.to_string();
        words = http_words(inner).or(words);
        cause = inner.source();
    }
    let text = match words {
        Some(words) => format!("{shown}: {words} ({deepest})"),
        None => format!("{shown}: {deepest}"),
    };
    if timeout && !connect {
        EgressError::Timeout
    } else if deepest == GONE {
        closed(hop)
    } else if deepest.starts_with(ALERT) {
        EgressError::Tls(text)
    } else if connect {
        EgressError::Connect(text)
    } else {
        EgressError::Protocol(text)
    }
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        || error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout)
}

/// A new connection was gone before the request was. Whoever reads it had no request to tell why: with TLS 1.3 it is a refusal,
/// for example of a client certificate, which comes after the handshake.
fn closed(hop: &Hop) -> EgressError {
    if hop.origin.is_https() {
        let why = "the receiver closed the connection right after the TLS handshake: it may want another client certificate";
        EgressError::Tls(format!("{}: {why}", hop.shown))
    } else {
        EgressError::Protocol(format!(
            "{}: the receiver closed the connection before it took the request",
            hop.shown
        ))
    }
}

/// Whether the peer's certificate is one that time alone does not make right.
pub(super) fn is_untrusted(error: &rustls::Error) -> bool {
    use CertificateError::{NotValidYet, NotValidYetContext};
    let rustls::Error::InvalidCertificate(why) = error else { return false };
    !matches!(why, NotValidYet | NotValidYetContext { .. })
}

/// TLS errors travel inside I/O errors, which do not name them as their source, sometimes two deep.
pub(super) fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    error.downcast_ref::<rustls::Error>().or_else(|| tls_error(error.downcast_ref::<io::Error>()?.get_ref()?))
}

/// Which side ended the exchange, and how, where the type of the error tells.
fn http_words(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return if error.is_incomplete_message() {
            Some("the receiver closed the connection without a whole HTTP answer")
        } else if error.is_parse() {
            Some("what the receiver answers is not HTTP/1.1")
        } else {
            None
        };
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return Some(if error.is_go_away() && error.is_remote() {
            "the receiver closed the HTTP/2 connection and did not process the request (GOAWAY)"
        } else if error.is_remote() {
            "the receiver ended the HTTP/2 stream"
        } else if error.is_library() {
            "what the receiver sent is not HTTP/2 as this host reads it"
        } else {
            return None;
        });
    }
    Some(match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => "nobody takes connections there",
        io::ErrorKind::ConnectionReset => "the receiver reset the connection",
        io::ErrorKind::ConnectionAborted => "the connection was aborted",
        io::ErrorKind::UnexpectedEof => "the receiver closed the connection in the middle",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "there is no way to it",
        _ => return None,
    })
}

/// How an authority becomes one that this host trusts.
const TRUST: &str = "if it is right, name a file of PEM in `ca_file` of the destination, or add its authority to the system's";

pub(super) fn tls_words(error: &rustls::Error) -> String {
    let words = match error {
        rustls::Error::InvalidCertificate(why) => return certificate_words(why, error),
        rustls::Error::InvalidMessage(_) => "the receiver answers without TLS; is its URL one of http?",
        rustls::Error::AlertReceived(_) => "the receiver ended TLS",
        rustls::Error::PeerIncompatible(_) => "the receiver speaks no TLS that this host does",
        rustls::Error::PeerMisbehaved(_) => "the receiver does not keep to TLS",
        _ => "TLS failed",
    };
    format!("{words} ({error})")
}

/// What is wrong with a certificate, and who can put it right. Only time that passes makes some of them right.
fn certificate_words(why: &CertificateError, error: &rustls::Error) -> String {
    let is_self_signed =
        matches!(why, CertificateError::Other(other) if other.0.downcast_ref::<SelfSigned>().is_some());
    let words = match why {
        _ if is_self_signed => return format!("the receiver's certificate is self-signed; {TRUST}"),
        CertificateError::UnknownIssuer => {
            let why = "is by an authority that this host does not trust, or the receiver leaves out a certificate between them";
            return format!("the receiver's certificate {why}; {TRUST} ({error})");
        }
        CertificateError::BadSignature => {
            let why = "is not signed by the authority of that name that this host trusts, which may have been made anew";
            return format!("the receiver's certificate {why}; {TRUST} ({error})");
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired: the receiver has to renew it"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet: its clock or this host's is wrong"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for other names than the one in the URL"
        }
        CertificateError::Revoked => "was revoked by its authority",
        _ => "is not one that this host takes",
    };
    format!("the receiver's certificate {words} ({error})")
}

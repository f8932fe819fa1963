//! Versions of HTTP: what a server over TLS negotiates is spoken.

use aftercommit_core::EventKind;
use aftercommit_tests::Receiver;
use http::Version;
use serde_json::json;

use super::{
    certificate::localhost,
    component::{configure, told},
};

#[tokio::test]
async fn a_webhook_speaks_what_its_receiver_speaks() {
    for (offered, expected) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["h2"], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        // No negotiation at all.
        (&[], Version::HTTP_11),
    ] {
        let (tls, authority) = localhost(offered);
        let server = Receiver::start_tls(tls).await;
        let url = format!("https://localhost:{}/hook", server.port());
        let written = json!({"url": url, "grants": {"private_network": true}});
        let action = configure("webhook", written, &[], vec![authority.into_bytes()]).await.unwrap();
        assert_eq!(told(&action.run(EventKind::Created, json!({})).await), "done", "{offered:?}");
        let received = server.received();
        assert_eq!(received[0].version, expected, "{offered:?}");
        assert!(received[0].path.ends_with("/hook") && !received[0].header("webhook-id").is_empty());
    }
}

//! Destinations with authorities or a proxy of their own.

use std::{collections::BTreeMap, fs, path::PathBuf};

use aftercommit_core::Failure;
use aftercommit_runtime::{
    ComponentSource, ConfiguredAction, Origin, ProxySettings, RouteSettings, Runtime, RuntimeSettings,
};
use aftercommit_tests::{Certificate, ConnectProxy, Receiver};
use serde_json::json;

use crate::{
    fixture::{component, configure, run, runtime_with, settings, try_configure},
    wire::{Say, Wire},
};

const PASSWORD: &str = "pr\u{f6}xy pass";
/// `shop:` and the password, in base64.
const LOGIN: &str = "Basic c2hvcDpwcsO2eHkgcGFzcw==";

/// A host with one way of its own.
fn host(origin: &str, route: RouteSettings) -> Runtime {
    let routes = BTreeMap::from([(origin.parse::<Origin>().unwrap(), route)]);
    runtime_with(RuntimeSettings { routes, ..settings() }, &[("PROXY_PASSWORD", PASSWORD)])
}

fn trusting(ca_file: PathBuf) -> RouteSettings {
    RouteSettings { ca_file: Some(ca_file), proxy: None }
}

async fn hook(runtime: &Runtime, origin: &str, private_network: bool) -> ConfiguredAction {
    let plugin = runtime.load("webhook", ComponentSource::File(component("webhook")), None).await.unwrap();
    configure(
        &plugin,
        json!({"url": format!("{origin}/hook"), "grants": {"private_network": private_network}}),
    )
    .await
}

async fn failure(action: &ConfiguredAction) -> Failure {
    run(action).await.result.unwrap_err()
}

#[tokio::test]
async fn an_authority_of_a_destination_is_trusted_there_only_and_followed() {
    let (own, other) = (Certificate::new(), Certificate::new());
    let receiver = Receiver::start_tls(own.server(&["h2", "http/1.1"])).await;
    let (named, elsewhere) =
        (format!("https://localhost:{}", receiver.port()), format!("https://127.0.0.1:{}", receiver.port()));
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    fs::copy(other.ca(), &ca_file).unwrap();
    let runtime = host(&named, trusting(ca_file.clone()));
    let (action, of_elsewhere) = (hook(&runtime, &named, true).await, hook(&runtime, &elsewhere, true).await);
    // Both authorities have the same name, as one that was made anew.
    let refused = failure(&action).await.problem.message;
    assert!(
        refused.contains("of that name that this host trusts") && refused.contains("ca_file"),
        "{refused}"
    );
    fs::copy(own.ca(), &ca_file).unwrap();
    runtime.changed_secrets();
    assert_eq!(run(&action).await.result.unwrap().status, Some(200));
    assert!(failure(&of_elsewhere).await.problem.message.contains("does not trust"));
    // Nor is it any more once it is taken out.
    fs::copy(other.ca(), &ca_file).unwrap();
    runtime.changed_secrets();
    failure(&action).await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_proxy_tunnels_to_names_that_only_it_knows() {
    const HOST: &str = "receiver.of-this-test.invalid";
    let certificate = Certificate::for_names(&[HOST]);
    let receiver = Receiver::start_tls(certificate.server(&["h2", "http/1.1"])).await;
    let authority = format!("{HOST}:{}", receiver.port());
    let proxy = ConnectProxy::start([(authority.clone(), receiver.port())]).await;
    let origin = format!("https://{authority}");
    let login = Some(("shop".to_owned(), "PROXY_PASSWORD".to_owned()));
    let over = |login| RouteSettings {
        proxy: Some(ProxySettings { url: proxy.url().parse().unwrap(), login }),
        ..trusting(certificate.ca())
    };
    // The proxy is on loopback; the operator wrote it, so no action needs a grant of such addresses.
    let action = hook(&host(&origin, over(login)), &origin, false).await;
    run(&action).await.result.unwrap();
    proxy.want_login(LOGIN);
    let anonymous = hook(&host(&origin, over(None)), &origin, false).await;
    let refused = failure(&anonymous).await;
    assert!(refused.is_transient(), "{refused}");
    let message = &refused.problem.message;
    assert!(message.contains(&format!("over the proxy {}", proxy.url())), "{message}");
    assert!(message.contains("proxy authorization required"), "{message}");
    let heads = proxy.heads();
    assert!(heads[0].starts_with(&format!("CONNECT {authority} HTTP/1.1\r\n")), "{heads:?}");
    assert!(heads[0].contains(LOGIN) && !heads[0].contains("/hook"), "{heads:?}");
    let requests = receiver.received();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].headers.get("proxy-authorization").is_none(), "{requests:?}");
}

#[tokio::test]
async fn what_a_proxy_does_not_reach_and_who_is_not_the_origin_is_told() {
    let certificate = Certificate::for_names(&["another.example"]);
    let receiver = Receiver::start_tls(certificate.server(&["http/1.1"])).await;
    let known = format!("known.invalid:{}", receiver.port());
    let proxy = ConnectProxy::start([(known.clone(), receiver.port())]).await;
    let over = || RouteSettings {
        proxy: Some(ProxySettings { url: proxy.url().parse().unwrap(), login: None }),
        ..trusting(certificate.ca())
    };
    let told =
        async |origin: &str| failure(&hook(&host(origin, over()), origin, false).await).await.problem.message;
    // The tunnel leads to somebody, who has to show the origin's certificate.
    let impostor = told(&format!("https://{known}")).await;
    assert!(impostor.contains("other names than the one in the URL"), "{impostor}");
    let unknown = told("https://unknown.invalid").await;
    assert!(unknown.contains("tunnel error: unsuccessful"), "{unknown}");
    // An address that is written out is in a range that is not granted, proxy or not.
    let runtime = host("https://10.1.2.3", over());
    let plugin = runtime.load("webhook", ComponentSource::File(component("webhook")), None).await.unwrap();
    let private =
        try_configure(&plugin, json!({"url": "https://10.1.2.3/hook"})).await.map(drop).unwrap_err();
    assert!(private.to_string().contains("special range"), "{private}");
    assert_eq!((proxy.heads().len(), receiver.count()), (2, 0));
}

/// A proxy that never lets through, however it says so.
#[tokio::test]
async fn a_proxy_whose_answer_does_not_end_is_given_up() {
    for (what, say) in [
        ("interim answers", Say::ForEver(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())),
        ("headers", Say::ForEver(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x-a: xxxxxxxxxxxxxxxx\r\n".to_vec())),
        ("one header", Say::ForEver(b"HTTP/1.1 200 OK\r\nx-a: ".to_vec(), vec![b'x'; 4096])),
    ] {
        let proxy = Wire::start(say).await;
        let settings = ProxySettings { url: proxy.origin().parse().unwrap(), login: None };
        let route = RouteSettings { ca_file: None, proxy: Some(settings) };
        let origin = "https://receiver.of-this-test.invalid";
        let refused = failure(&hook(&host(origin, route), origin, false).await).await;
        assert!(refused.problem.message.contains("tunnel error"), "{what}: {refused}");
        // Nobody goes on reading it.
        proxy.ended(1).await;
    }
}

#[test]
fn a_way_that_can_not_be_read_is_an_error_at_once() {
    let routes = BTreeMap::from([("https://a.example".parse().unwrap(), trusting("/nowhere/ca.pem".into()))]);
    let settings = RuntimeSettings { routes, ..settings() };
    let secrets = std::sync::Arc::new(aftercommit_runtime::EnvSecrets);
    let refused = Runtime::new(settings, secrets, std::sync::Arc::new(aftercommit_core::SystemClock));
    let told = refused.map(drop).unwrap_err().to_string();
    assert!(told.contains("https://a.example: `ca_file` /nowhere/ca.pem can not be read"), "{told}");
}

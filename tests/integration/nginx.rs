//! Webhooks to a real nginx, as people run it: what it closes, limits and reloads costs no attempt that can be spared, and nothing is lost.
//!
//! nginx writes down what it processed, so an attempt of ours that it did not process, or one too many, is seen.

use std::time::Duration;

use aftercommit_tests::{NginxServer, Processed};
use serde_json::json;

use crate::{
    delivery::cases,
    destinations::{IMPATIENT, order},
    host_process::HostProcess,
    shop::{Database, Shop, webhook},
};

const SOON: Duration = Duration::from_mins(2);

cases! {
    http2_connections_that_end_after_ten_requests: "",
    many_requests_with_the_defaults_of_nginx: "",
    many_requests_over_http2_with_the_defaults_of_nginx: "",
    two_streams_at_once_on_a_connection: "",
    a_graceful_reload_while_it_is_sent_to: "",
    a_graceful_reload_over_http1_while_it_is_sent_to: "",
    connections_that_are_closed_when_they_are_idle: "",
    a_rate_that_nginx_limits: "",
}

/// A host of a shop whose orders go to a server, which it trusts.
fn start_host_for<D: Database>(shop: &mut Shop<D>, server: &NginxServer) -> HostProcess {
    if let Some(ca) = server.ca() {
        shop.set_env("SSL_CERT_FILE", ca.display().to_string());
    }
    shop.observe(&webhook("orders", IMPATIENT, &server.url("/hook")));
    shop.start_host()
}

/// Sends so many orders to a server; returns what it processed.
async fn send<D: Database>(shop: &mut Shop<D>, server: &NginxServer, orders: u32) -> Vec<Processed> {
    let host = start_host_for(shop, server);
    order(shop, 0..orders).await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    server.processed()
}

/// Each order once, by one attempt.
async fn assert_each_once<D: Database>(shop: &Shop<D>, processed: &[Processed], orders: usize) {
    let attempts = shop.count("SELECT count(*) FROM tb_observer_log").await;
    let failed =
        shop.database.ask("SELECT max(message) FROM tb_observer_log WHERE status <> 'succeeded'").await;
    assert_eq!((usize::try_from(attempts).unwrap(), &failed), (orders, &Ok(None)), "one attempt each");
    assert_eq!(processed.len(), orders, "no more than that is processed");
    assert!(processed.iter().all(|it| it.status == 200));
}

async fn http2_connections_that_end_after_ten_requests<D: Database>(mut shop: Shop<D>) {
    let server = NginxServer::start_http2("keepalive_requests 10;", "");
    let processed = send(&mut shop, &server, 1500).await;
    assert_each_once(&shop, &processed, 1500).await;
    assert!(processed.iter().all(|it| it.protocol == "HTTP/2.0" && it.number_on_connection <= 10));
}

/// More than the 1,000 requests of a connection.
async fn many_requests_with_the_defaults_of_nginx<D: Database>(mut shop: Shop<D>) {
    let server = NginxServer::start("", "");
    let processed = send(&mut shop, &server, 2500).await;
    assert_each_once(&shop, &processed, 2500).await;
    assert!(processed.iter().all(|it| it.protocol == "HTTP/1.1"));
}

async fn many_requests_over_http2_with_the_defaults_of_nginx<D: Database>(mut shop: Shop<D>) {
    let server = NginxServer::start_http2("", "");
    let processed = send(&mut shop, &server, 2500).await;
    assert_each_once(&shop, &processed, 2500).await;
    assert!(processed.iter().all(|it| it.protocol == "HTTP/2.0"));
}

async fn two_streams_at_once_on_a_connection<D: Database>(mut shop: Shop<D>) {
    let server = NginxServer::start_http2("http2_max_concurrent_streams 2;", "");
    let processed = send(&mut shop, &server, 500).await;
    assert_each_once(&shop, &processed, 500).await;
}

async fn a_graceful_reload_while_it_is_sent_to<D: Database>(shop: Shop<D>) {
    reload_while_it_is_sent_to(shop, NginxServer::start_http2("", "")).await;
}

/// HTTP/1.1 has no word for what was not processed: the end of a connection is all that is seen.
async fn a_graceful_reload_over_http1_while_it_is_sent_to<D: Database>(shop: Shop<D>) {
    reload_while_it_is_sent_to(shop, NginxServer::start("", "")).await;
}

async fn reload_while_it_is_sent_to<D: Database>(mut shop: Shop<D>, server: NginxServer) {
    const ORDERS: u32 = 2000;
    let host = start_host_for(&mut shop, &server);
    order(&shop, 0..ORDERS).await;
    for part in 1..=4 {
        let wanted = part * ORDERS as usize / 5;
        shop.eventually(SOON, "some are sent", async |_| server.processed().len() >= wanted).await;
        server.reload();
    }
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_each_once(&shop, &server.processed(), ORDERS as usize).await;
}

/// A request may meet the end of its connection on the way. It is sent again, because it carries `webhook-id`; it arrives once, because nginx does
/// not process what comes to a connection that it has closed.
async fn connections_that_are_closed_when_they_are_idle<D: Database>(mut shop: Shop<D>) {
    const ORDERS: u32 = 300;
    let server = NginxServer::start("keepalive_timeout 5ms;", "");
    let host = start_host_for(&mut shop, &server);
    for key in 0..ORDERS {
        order(&shop, key..key + 1).await;
        let arrived = key as usize / 2;
        shop.eventually(SOON, "half of them arrive", async |_| server.processed().len() >= arrived).await;
    }
    shop.all_done(SOON).await;
    assert!(host.stop());
    let processed = server.processed();
    assert_each_once(&shop, &processed, ORDERS as usize).await;
    // How many requests share a connection depends on the machine.
    println!(
        "{} came on a kept connection",
        processed.iter().filter(|it| it.number_on_connection > 1).count()
    );
}

async fn a_rate_that_nginx_limits<D: Database>(mut shop: Shop<D>) {
    let zone = "limit_req_zone $binary_remote_addr zone=z:1m rate=50r/s; limit_req_status 429;";
    let server = NginxServer::start(zone, "limit_req zone=z burst=5;");
    let processed = send(&mut shop, &server, 1000).await;
    assert_eq!(processed.iter().filter(|it| it.status == 200).count(), 1000);
    // The rate is learned by then.
    let late = &processed[300..];
    let refused = late.iter().filter(|it| it.status == 429).count();
    let span_ms = late.last().unwrap().at_ms - late[0].at_ms;
    println!("{refused} of {} were refused, within {span_ms} ms", late.len());
    assert!(refused * 20 <= late.len(), "{refused} of {} requests were refused", late.len());
    let dead = shop.json(&["dlq", "list"]);
    assert_eq!(dead, json!([]));
}

//! `examples/actions/email.toml` with an SMTP server that wants TLS and a login.

use std::{fs, time::Duration};

use aftercommit_tests::{Certificate, Mail, SmtpServer, SmtpTls};
use serde_json::{Value, json};

use crate::{
    destinations::{IMPATIENT, listed, order},
    shop::Shop,
};

const EXAMPLE: &str = include_str!("../../../examples/actions/email.toml");
const SOON: Duration = Duration::from_mins(1);

/// The server as the shop's configuration has it, with the password in a file.
fn smtp(server: &SmtpServer, certificate: &Certificate) -> String {
    format!(
        "[secrets]\ndir = \"secrets\"\n[smtp]\nhost = \"localhost\"\nport = {}\nca_file = \"{}\"\nusername = \"shop\"\n\
         password_env = \"SMTP_PASSWORD\"\nfrom = \"Shop <shop@example.com>\"\n",
        server.port(),
        certificate.ca().display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_sends_mails_even_when_the_server_goes_away() {
    let certificate = Certificate::new();
    let mut server = SmtpServer::start_tls(SmtpTls::Starttls, &certificate, true);
    let shop = Shop::open(&smtp(&server, &certificate)).await;
    shop.run(&["observers", "validate", "observers.toml"]);
    shop.write("mails.toml", EXAMPLE);
    let refused = shop.output(&["observers", "validate", "mails.toml"]);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("there is no secret `SMTP_PASSWORD`"), "{told}");

    fs::create_dir(shop.path("secrets")).unwrap();
    shop.write("secrets/SMTP_PASSWORD", SmtpServer::PASSWORD);
    shop.observe(EXAMPLE);
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (7, 'pending', 150.50)").await;
    shop.all_done(SOON).await;
    let first = server.accepted();
    let mail = Mail::parse(&first[0].message);
    assert_eq!(mail.addresses("to"), ["admin@example.com"]);
    assert_eq!(
        (mail.header("subject"), mail.body("text/plain")),
        (Some("New Order"), Some("Order 7 has been placed"))
    );
    assert_eq!((&first[0].about["tls"], &first[0].about["login"]), (&json!(true), &json!("shop")));

    shop.sql("UPDATE orders SET status = 'shipped'").await;
    shop.all_done(SOON).await;
    let second = &server.accepted()[1];
    let mail = Mail::parse(&second.message);
    assert_eq!(mail.addresses("to"), ["Sales <sales@example.com>", "warehouse@example.com"]);
    assert_eq!(second.about["recipients"].as_array().map(Vec::len), Some(3));
    assert_eq!(mail.header("bcc"), None);
    assert!(mail.body("text/html").unwrap().contains("<b>7</b>"));
    assert_eq!(mail.attachments().next().unwrap().filename.as_deref(), Some("order-7.csv"));

    server.kill();
    shop.sql("INSERT INTO orders VALUES (8, 'pending', 1)").await;
    shop.eventually(SOON, "an attempt has failed", async |shop| {
        shop.count("SELECT count(*) FROM tb_observer_log WHERE code = 'connect' AND status = 'waiting'").await
            > 0
    })
    .await;
    server.start_again();
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(shop.json(&["dlq", "list"]), json!([]));
    let id: String = shop
        .value(
            "SELECT delivery_id FROM tb_observer_log WHERE status = 'succeeded' ORDER BY pk_log DESC LIMIT 1",
        )
        .await;
    let last = server.accepted().pop().unwrap();
    let expected = format!("<{id}@example.com>");
    assert_eq!(Mail::parse(&last.message).header("message-id"), Some(expected.as_str()));
    let log = shop.host_log();
    assert!(!log.contains(SmtpServer::PASSWORD), "the password is in the log");
    let shown: Value = shop.json(&["observers", "show", "new-order"]);
    assert!(!shown.to_string().contains(SmtpServer::PASSWORD), "{shown}");
}

/// It is the login of the host, for all observers: none of their mails can be sent, and none is at fault.
#[tokio::test(flavor = "multi_thread")]
async fn all_mail_waits_while_the_password_is_wrong_and_is_sent_once_it_is_mended() {
    const ORDERS: usize = 20;
    let certificate = Certificate::new();
    let server = SmtpServer::start_tls(SmtpTls::Starttls, &certificate, true);
    let soon = "[dispatch]\nbreaker_failures = 3\nbreaker_open_ms = 100\nbreaker_max_open_ms = 1000\n";
    let shop = Shop::open(&(smtp(&server, &certificate) + soon)).await;
    fs::create_dir(shop.path("secrets")).unwrap();
    shop.write("secrets/SMTP_PASSWORD", "not-it");
    let observers = ["sales", "warehouse"].map(|to| {
        format!(
            "[[observers]]\nname = \"{to}\"\nentity_type = \"Order\"\n{IMPATIENT}\n[[observers.actions]]\ntype = \"email\"\n\
             to = \"{to}@example.com\"\nsubject = \"Order\"\nbody_template = \"{{{{id}}}}\"\n"
        )
    });
    shop.observe(&observers.concat());
    let host = shop.start_host();
    order(&shop, 0..u32::try_from(ORDERS).unwrap()).await;
    let held =
        listed(&shop, "the server is left alone", |held| held[0]["openings"].as_u64() >= Some(2)).await;
    assert_eq!(held.as_array().unwrap().len(), 1, "one server, whoever uses it: {held}");
    assert_eq!((&held[0]["kind"], &held[0]["name"]), (&json!("destination"), &json!("smtp")));
    assert_eq!((&held[0]["code"], &held[0]["http_status"]), (&json!("smtp_auth"), &json!(535)));
    assert!(server.accepted().is_empty());

    shop.write("secrets/SMTP_PASSWORD", SmtpServer::PASSWORD);
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(server.accepted().len(), 2 * ORDERS);
    assert_eq!(shop.json(&["dlq", "list"]), json!([]));
    assert_eq!(shop.json(&["destinations", "list"]), json!([]));
}

//! Passwords and TLS.

use std::{path::Path, time::Duration};

use aftercommit_store::{
    Events as _, Holds as _, PostgresOptions, PostgresStore, StoreError, conformance::TestDatabase as _,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    database::{CLUSTER, Database, execute, server},
    network,
};

/// Long enough for any machine; what does not come fails.
const GUARD: Duration = Duration::from_secs(30);

/// Why it can not be opened; never with a password.
async fn refusal(url: &str) -> String {
    let error = PostgresStore::open(url, PostgresOptions::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "exit code 3: {error:?}");
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() {
    let guarded = network::GUARDED;
    execute(&mut server().await, &format!("CREATE ROLE {guarded} LOGIN PASSWORD 'right'")).await.unwrap();
    let folder = CLUSTER.folder().display();
    let url = |credentials: &str| format!("postgres://{credentials}@localhost/postgres?host={folder}");
    PostgresStore::open(&url(&format!("{guarded}:right")), PostgresOptions::default()).await.unwrap();
    let wrong = refusal(&url(&format!("{guarded}:s3cret"))).await;
    assert!(wrong.contains("password authentication failed for user \"guarded\""), "{wrong}");
    assert!(wrong.contains("look at the user and the password in the URL"), "{wrong}");
    assert!(wrong.contains("postgres://guarded@"), "{wrong}");
    let without = refusal(&url(guarded)).await;
    assert!(without.contains("look at the user and the password in the URL"), "{without}");
    execute(&mut server().await, &format!("DROP ROLE {guarded}")).await.unwrap();
}

fn url(database: &str, host: std::net::Ipv4Addr, mode: &str, authority: &Path) -> String {
    format!("postgres://postgres:s3cret@{host}/{database}?sslmode={mode}&sslrootcert={}", authority.display())
}

/// Also the connection that hears notifications.
#[tokio::test]
async fn every_connection_uses_the_tls_that_the_url_asks_for() {
    let database = Database::fresh().await;
    let url = url(&database.name, network::address(), "verify-full", &network::authority());
    let store = PostgresStore::open(&url, PostgresOptions::default()).await.unwrap();
    tokio::time::timeout(GUARD, store.holds_bell()).await.expect("the bell rings");
    store.inbox_len().await.unwrap();
    let of_host = "FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
        WHERE application_name = 'aftercommit' AND client_addr IS NOT NULL AND datname = current_database()";
    let listens = format!("SELECT string_agg(DISTINCT ssl::text, ',') {of_host} AND query LIKE 'LISTEN%'");
    assert_eq!(database.ask(&listens).await.as_deref(), Some("true"));
    let all = format!("SELECT string_agg(DISTINCT ssl::text, ',') || count(*) {of_host}");
    assert_eq!(database.ask(&all).await.as_deref(), Some("true2"));
    store.close().await;
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_said() {
    let (host, authority) = (network::address(), network::authority());
    let unknown = refusal(&url("postgres", host, "verify-full", &network::stranger())).await;
    assert!(unknown.contains("TLS failed") && unknown.contains("UnknownIssuer"), "{unknown}");
    assert!(unknown.contains("let `sslrootcert` in the URL name the certificate"), "{unknown}");
    let elsewhere = refusal(&url("postgres", network::other_address(), "verify-full", &authority)).await;
    assert!(elsewhere.contains("not valid for name") && elsewhere.contains(&host.to_string()), "{elsewhere}");
    assert!(
        elsewhere.contains("write the host in the URL as the server's certificate has it"),
        "{elsewhere}"
    );
    let nothing = refusal(&url("postgres", host, "verify-full", Path::new("/nowhere.crt"))).await;
    assert!(nothing.contains("`sslrootcert`"), "{nothing}");
    let none =
        refusal(&url("postgres", host, "verify-full", &CLUSTER.folder().join("data/server.key"))).await;
    assert!(none.contains("`sslrootcert`"), "{none}");
    let options = PostgresOptions::default();
    PostgresStore::open(&url("postgres", network::other_address(), "verify-ca", &authority), options)
        .await
        .unwrap();
}

/// A server that says no when it is asked for TLS.
#[tokio::test]
async fn a_server_without_tls_is_said() {
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut connection, _) = plain.accept().await.unwrap();
        let mut question = [0; 8];
        connection.read_exact(&mut question).await.unwrap();
        connection.write_all(b"N").await.unwrap();
        // Until the other side has read it.
        connection.read(&mut question).await.unwrap_or_default()
    });
    let error = refusal(&format!("postgres://me:s3cret@127.0.0.1:{port}/shop?sslmode=require")).await;
    assert!(error.contains("server does not support TLS") && error.contains("`sslmode`"), "{error}");
    server.await.unwrap();
}

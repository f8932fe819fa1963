//! Which server a database URL names, and how to name it in messages: never with its password.

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};

use crate::{Result, StoreError};

/// How to write one.
const FORM: &str = "write `postgres://user:password@host:5432/database`";

/// The parameters after `?` that the driver knows. Others would be passed over, with their values in the log.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// A server, and how to connect to it.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) options: PgConnectOptions,
}

impl Server {
    pub(super) fn parse(url: &str) -> Result<Self> {
        let bad = |why: String| StoreError::BadUrl { url: without_password(url), why };
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(bad(FORM.to_owned()));
        }
        if let Some(unknown) = parameters(url).find(|name| !PARAMETERS.contains(name)) {
            let known = PARAMETERS.join(", ");
            return Err(bad(format!("it has the parameter `{unknown}`; there are {known}")));
        }
        let options: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| match error {
            sqlx::Error::Configuration(why) => bad(format!("{why}; {FORM}")),
            other => bad(format!("{other}; {FORM}")),
        })?;
        // Captured rows are the application's data: they do not belong in our logs.
        // Poolers refuse a setting at the start of a session that the driver would make by itself.
        let mut options = options.disable_statement_logging().extra_float_digits(None);
        if options.get_application_name().is_none() {
            options = options.application_name("aftercommit");
        }
        Ok(Self { options })
    }

    /// As it appears in messages: `postgres://user@host:5432/database`.
    pub(super) fn name(&self) -> String {
        let options = &self.options;
        let host = options
            .get_socket()
            .map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
        let user = options.get_username();
        let database = options.get_database().unwrap_or(user);
        format!("postgres://{user}@{host}:{}/{database}", options.get_port())
    }
}

/// The names of the parameters after `?`.
fn parameters(url: &str) -> impl Iterator<Item = &str> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let names = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    // The driver knows `options[name]` too.
    names.filter(|name| !name.is_empty()).map(|name| name.split_once('[').map_or(name, |(name, _)| name))
}

/// The URL with what may be a secret left out: what stands between the user's name and the host, and all parameters.
fn without_password(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(before, _)| before);
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = match rest.rsplit_once('@') {
        Some((credentials, host)) => {
            let user = credentials.split_once(':').map_or(credentials, |(user, _)| user);
            format!("{user}@{host}")
        }
        None => rest.to_owned(),
    };
    if scheme.is_empty() { rest } else { format!("{scheme}://{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(url: &str) -> String {
        Server::parse(url).unwrap().name()
    }

    #[test]
    fn a_server_is_named_without_its_password() {
        assert_eq!(name("postgres://me:s3cret@db.example:6000/shop"), "postgres://me@db.example:6000/shop");
        assert_eq!(name("postgresql://me:p%40ss@[::1]/shop"), "postgres://me@[::1]:5432/shop");
        assert_eq!(
            name("postgres://me@localhost/shop?host=/run/postgresql"),
            "postgres://me@/run/postgresql:5432/shop"
        );
    }

    #[test]
    fn a_wrong_url_is_refused_with_the_reason_and_without_its_secrets() {
        for (url, reason) in [
            ("mysql://me:s3cret@db/shop", "write `postgres://"),
            ("postgres://me:s3cret@db:many/shop", "invalid port"),
            ("postgres://me:s3cret@db/shop?sslmode=perhaps", "perhaps"),
            ("postgres://me:s3cret@db/shop?sslmod=require", "`sslmod`"),
            ("postgres://db/shop?pasword=s3cret", "`pasword`"),
            ("me:s3cret@db", "write `postgres://"),
        ] {
            let message = Server::parse(url).map(|server| server.name()).unwrap_err().to_string();
            assert!(message.contains(reason), "{url}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }
}

//! The servers of the configuration (mail, Redis, Memcached) as the runtime takes them.

use std::path::Path;

use aftercommit_runtime::{MemcachedSettings, RedisSettings, ServiceSettings, files::read_file};

use crate::{
    config::Config,
    error::{Error, Result},
};

/// What actions may use when they are granted it. Connects to nothing.
pub(crate) fn settings(config: &Config) -> Result<ServiceSettings> {
    let mut services = ServiceSettings::default();
    if let Some(smtp) = &config.smtp {
        let mut settings = smtp.settings().map_err(|why| invalid("smtp.from", &why))?;
        settings.extra_ca_pem = certificates("smtp.ca_file", smtp.ca_file.as_deref())?;
        services.smtp = Some(settings);
    }
    for (name, redis) in &config.redis {
        let key = |key: &str| format!("redis.{name}.{key}");
        let mut settings = RedisSettings::from_url(&redis.url).map_err(|why| invalid(&key("url"), &why))?;
        settings.extra_ca_pem = certificates(&key("ca_file"), redis.ca_file.as_deref())?;
        settings.max_connections = redis.max_connections;
        services.redis.insert(name.clone(), settings);
    }
    for (name, memcached) in &config.memcached {
        let wrong = |why: String| invalid(&format!("memcached.{name}.url"), &why);
        let mut settings = MemcachedSettings::from_url(&memcached.url).map_err(wrong)?;
        settings.max_connections = memcached.max_connections;
        services.memcached.insert(name.clone(), settings);
    }
    Ok(services)
}

/// Those of all public authorities take a quarter of that.
const MAX_CERTIFICATES_BYTES: u64 = 1 << 20;

fn certificates(key: &str, file: Option<&Path>) -> Result<Option<Vec<u8>>> {
    let read = |file: &Path| {
        read_file(file, MAX_CERTIFICATES_BYTES)
            .map_err(|error| invalid(key, &format!("{} can not be read: {error}", file.display())))
    };
    file.map(read).transpose()
}

fn invalid(key: &str, why: &str) -> Error {
    Error::InvalidConfig { message: format!("{key}: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RedisConfig, SmtpConfig, SmtpTls};

    #[test]
    fn a_certificate_file_that_is_not_there_is_named() {
        let smtp = SmtpConfig {
            host: "mail.example.com".to_owned(),
            port: 587,
            tls: SmtpTls::Starttls,
            username: None,
            password_env: None,
            oauth2: None,
            from: None,
            ca_file: Some("/nowhere/ca.pem".into()),
            max_connections: 8,
        };
        let redis = RedisConfig { url: "redis://:hunter2@h".to_owned(), ca_file: None, max_connections: 3 };
        let mut config = Config::default();
        config.redis.insert("a".to_owned(), redis);
        let found = settings(&config).unwrap();
        assert_eq!((found.redis["a"].max_connections, found.smtp.is_some()), (3, false));
        config.smtp = Some(smtp);
        let told = settings(&config).unwrap_err().to_string();
        assert!(told.contains("smtp.ca_file: /nowhere/ca.pem can not be read"), "{told}");
    }
}

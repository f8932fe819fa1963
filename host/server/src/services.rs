//! The servers of the configuration (mail, Redis, Memcached) as the runtime takes them.

use aftercommit_runtime::{MemcachedSettings, RedisSettings, ServiceSettings};

use crate::{
    config::Config,
    error::{Error, Result},
};

/// What actions may use when they are granted it. Connects to nothing.
pub(crate) fn settings(config: &Config) -> Result<ServiceSettings> {
    let mut services = ServiceSettings::default();
    if let Some(smtp) = &config.smtp {
        let mut settings = smtp.settings().map_err(|why| invalid("smtp.from", &why))?;
        settings.ca_file.clone_from(&smtp.ca_file);
        services.smtp = Some(settings);
    }
    for (name, redis) in &config.redis {
        let wrong = |why: String| invalid(&format!("redis.{name}.url"), &why);
        let mut settings = RedisSettings::from_url(&redis.url).map_err(wrong)?;
        settings.ca_file.clone_from(&redis.ca_file);
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

fn invalid(key: &str, why: &str) -> Error {
    Error::InvalidConfig { message: format!("{key}: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RedisConfig;

    #[test]
    fn a_server_is_taken_as_it_is_written() {
        let redis = RedisConfig {
            url: "redis://:hunter2@h".to_owned(),
            ca_file: Some("ca.pem".into()),
            max_connections: 3,
        };
        let mut config = Config::default();
        config.redis.insert("a".to_owned(), redis);
        let found = settings(&config).unwrap();
        let redis = &found.redis["a"];
        assert_eq!((redis.max_connections, redis.ca_file.as_deref()), (3, Some("ca.pem".as_ref())));
        assert!(found.smtp.is_none());
    }
}

//! The servers that the operator configured, and the decision which action may use which: the same object as for HTTP
//! requests, so that there is one way out.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use super::{
    Bounds, Egress, EgressError, Permit,
    mail::{Letter, MailFault, MailServer, Sent},
    memcached::{MemcachedFault, MemcachedServer},
    redis::{RedisFault, RedisServer, Reply},
};
use crate::{
    capability::{Need, granted_connection},
    engine::EngineError,
    secrets::SecretProvider,
    settings::ServiceSettings,
};

/// The configured servers.
#[derive(Default)]
pub(crate) struct Services {
    mail: Option<MailServer>,
    redis: BTreeMap<String, RedisServer>,
    memcached: BTreeMap<String, MemcachedServer>,
}

impl Services {
    /// Connects to nothing yet.
    pub(crate) fn new(
        settings: &ServiceSettings,
        extra_ca_pem: &[Vec<u8>],
        secrets: &Arc<dyn SecretProvider>,
    ) -> Result<Self, EngineError> {
        let mail = settings.smtp.clone().map(|smtp| MailServer::new(smtp, extra_ca_pem, Arc::clone(secrets)));
        let redis = settings
            .redis
            .iter()
            .map(|(name, redis)| Ok((name.clone(), RedisServer::new(name, redis.clone(), extra_ca_pem)?)))
            .collect::<Result<_, EngineError>>()?;
        let memcached = settings
            .memcached
            .iter()
            .map(|(name, memcached)| (name.clone(), MemcachedServer::new(memcached.clone())))
            .collect();
        Ok(Self { mail: mail.transpose()?, redis, memcached })
    }

    /// Reads again the files that the servers' settings name.
    pub(crate) fn follow(&self) {
        self.mail.iter().for_each(MailServer::follow);
        self.redis.values().for_each(RedisServer::follow);
    }
}

const NOT_CONFIGURED: &str = "this host has no such connection any more";

impl Egress {
    /// Sends a mail for an action. `delivery` is the id of its delivery.
    pub(crate) async fn mail(
        &self,
        permit: &Permit,
        letter: &Letter,
        delivery: &str,
        bounds: Bounds,
    ) -> Result<Sent, MailFault> {
        permit.may(Need::Mail, "the mail server").map_err(MailFault::Denied)?;
        if !permit.effective.mail {
            let why = "`mail` is not granted; write `mail = true` into the action's `grants`";
            return Err(MailFault::Denied(permit.refuse("the mail server", why)));
        }
        let Some(server) = &self.services.mail else {
            return Err(MailFault::NotConfigured("this host has no SMTP server: `[smtp]`".to_owned()));
        };
        let now = u64::try_from(self.clock.now().as_millis()).unwrap_or_default();
        server.send(self, letter, delivery, UNIX_EPOCH + Duration::from_millis(now), bounds).await
    }

    /// Sends a command to a Redis server for an action.
    pub(crate) async fn redis(
        &self,
        permit: &Permit,
        connection: &str,
        command: &str,
        arguments: &[&[u8]],
        bounds: Bounds,
    ) -> Result<Vec<Reply>, RedisFault> {
        let name = permit
            .connection(Need::Redis, "redis", &permit.effective.redis, connection)
            .map_err(RedisFault::Denied)?;
        let server = self.services.redis.get(name);
        let server = server.ok_or_else(|| RedisFault::NotConfigured(NOT_CONFIGURED.to_owned()))?;
        let ended = server.execute(command, arguments, bounds).await;
        ended.map_err(|fault| match fault {
            RedisFault::Denied(why) => RedisFault::Denied(permit.refuse(&format!("redis.{name}"), &why)),
            other => other,
        })
    }

    /// Deletes a key of a Memcached server for an action; false when there was none.
    pub(crate) async fn memcached_delete(
        &self,
        permit: &Permit,
        connection: &str,
        key: &str,
        bounds: Bounds,
    ) -> Result<bool, MemcachedFault> {
        self.memcached(permit, connection)?.delete(key, bounds).await
    }

    /// Sets a key of a Memcached server for an action; `expiry_secs` 0 is for ever.
    pub(crate) async fn memcached_set(
        &self,
        permit: &Permit,
        connection: &str,
        key: &str,
        value: &[u8],
        expiry_secs: u32,
        bounds: Bounds,
    ) -> Result<(), MemcachedFault> {
        let now_secs = u64::try_from(self.clock.now().as_millis()).unwrap_or_default() / 1000;
        self.memcached(permit, connection)?.set(key, value, expiry_secs, now_secs, bounds).await
    }

    fn memcached(&self, permit: &Permit, connection: &str) -> Result<&MemcachedServer, MemcachedFault> {
        let name = permit
            .connection(Need::Memcached, "memcached", &permit.effective.memcached, connection)
            .map_err(MemcachedFault::Denied)?;
        let server = self.services.memcached.get(name);
        server.ok_or_else(|| MemcachedFault::NotConfigured(NOT_CONFIGURED.to_owned()))
    }
}

impl Permit {
    fn may(&self, need: Need, shown: &str) -> Result<(), String> {
        if self.effective.needs.has(need) {
            return Ok(());
        }
        Err(self.refuse(shown, &format!("the plugin does not declare that it needs `{}`", need.as_str())))
    }

    /// The granted connection that `asked` names.
    fn connection<'p>(
        &self,
        need: Need,
        kind: &str,
        granted: &'p [String],
        asked: &str,
    ) -> Result<&'p str, String> {
        let shown: String = format!("{kind}.{}", asked.escape_debug()).chars().take(80).collect();
        self.may(need, &shown)?;
        granted_connection(granted, asked).ok_or_else(|| {
            let names = if granted.is_empty() { "none is granted".to_owned() } else { granted.join(", ") };
            let why =
                format!("it is not granted; write it into the action's `grants.{kind}` (granted: {names})");
            self.refuse(&shown, &why)
        })
    }

    fn refuse(&self, shown: &str, why: &str) -> String {
        match self.denied(shown, why) {
            EgressError::Denied(told) => told,
            other => other.to_string(),
        }
    }
}

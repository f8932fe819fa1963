//! Hears that something was committed: one connection listens, for the whole process, and is made again when it ends.
//!
//! A notification says only that there is something; it may be missed while the connection is made again, so each new
//! connection rings too, and a poll stands behind every bell. Nobody listens before somebody asks.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use sqlx::{
    PgPool,
    pool::PoolOptions,
    postgres::{PgListener, PgNotification},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    PostgresStore,
    statement::{Statement, statements},
    url::Server,
};
use crate::Definitions as _;

const INBOX: &str = "observer_inbox";
const DEFINITIONS: &str = "observer_revision";
const HOLDS: &str = "observer_destinations";
const CHANNELS: [&str; 3] = [INBOX, DEFINITIONS, HOLDS];

/// Between two attempts to connect: from the first, doubling, to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// After so long a silence the connection is asked whether it still stands, and has so long to answer: a cut that
/// nobody told us of looks like silence.
const SILENCE: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(5);

statements! {
    STILL_THERE = "-- still_there
SELECT 1";
}

/// One for each channel.
#[derive(Default)]
struct Bells {
    inbox: Bell,
    definitions: Bell,
    holds: Bell,
}

#[derive(Default)]
struct Bell {
    /// How often it has rung.
    rings: watch::Sender<u64>,
    /// How often it had, when somebody who waited was told last.
    heard: tokio::sync::Mutex<u64>,
}

/// The bells of one process, and the task that listens.
pub(super) struct Doorbell {
    server: Option<Server>,
    bells: Arc<Bells>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl Doorbell {
    /// Bells that are rung by this server, or never.
    pub(super) fn at(server: Option<Server>) -> Self {
        Self { server, bells: Arc::default(), listening: Mutex::default() }
    }

    /// Whether anything rings.
    pub(super) const fn is_heard(&self) -> bool {
        self.server.is_some()
    }

    /// Returns when something may have come into the inbox since the last call.
    pub(super) async fn inbox(&self) {
        self.listen();
        self.bells.inbox.hear().await;
    }

    /// Returns when what is held back, or the hosts that share it, may have changed since the last call.
    pub(super) async fn holds(&self) {
        self.listen();
        self.bells.holds.hear().await;
    }

    /// Returns when the revision may no longer be `revision`.
    pub(super) async fn definitions(&self, store: &PostgresStore, revision: i64) {
        self.listen();
        let mut rings = self.bells.definitions.rings.subscribe();
        // Subscribed first, so that no change falls between this look and the bell.
        while store.revision().await.is_ok_and(|present| present == revision) {
            if rings.changed().await.is_err() {
                return;
            }
        }
    }

    /// Starts to listen, at the first call.
    fn listen(&self) {
        let Some(server) = &self.server else { return };
        let mut listening = self.listening.lock();
        if listening.as_ref().is_none_or(JoinHandle::is_finished) {
            *listening = Some(tokio::spawn(listen_for_ever(server.clone(), Arc::downgrade(&self.bells))));
        }
    }

    /// Hears nothing more.
    pub(super) fn close(&self) {
        let listening = self.listening.lock().take();
        if let Some(listening) = listening {
            listening.abort();
        }
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.close();
    }
}

impl Bells {
    /// Rings the bell of a channel.
    fn ring(&self, channel: &str) {
        match channel {
            INBOX => self.inbox.ring(),
            HOLDS => self.holds.ring(),
            _ => self.definitions.ring(),
        }
    }

    fn ring_all(&self) {
        for channel in CHANNELS {
            self.ring(channel);
        }
    }
}

impl Bell {
    fn ring(&self) {
        self.rings.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// Returns when it has rung since the last call.
    async fn hear(&self) {
        let mut heard = self.heard.lock().await;
        let mut rings = self.rings.subscribe();
        // The sender lives as long as this does.
        if let Ok(rings) = rings.wait_for(|rings| *rings != *heard).await {
            *heard = *rings;
        }
    }
}

/// Until there is nobody to ring for.
async fn listen_for_ever(server: Server, bells: Weak<Bells>) {
    let mut pause = FIRST_PAUSE;
    // A pool of one connection, because the driver's listener takes its connection from a pool.
    let pool = PoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ANSWER)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(server.options.clone());
    while bells.strong_count() > 0 {
        match connect(&pool).await {
            Ok(mut listener) => {
                pause = FIRST_PAUSE;
                tracing::debug!(database = server.name(), "listens");
                listen(&mut listener, &bells).await;
                tracing::warn!(
                    database = server.name(),
                    "does not hear commits, connects again; polling goes on"
                );
            }
            Err(error) => {
                tracing::warn!(database = server.name(), %error, "can not listen for commits; polling goes on");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn connect(pool: &PgPool) -> sqlx::Result<PgListener> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen_all(CHANNELS).await?;
    Ok(listener)
}

/// Rings until the connection ends.
async fn listen(listener: &mut PgListener, bells: &Weak<Bells>) {
    // Something may have been missed.
    if let Some(bells) = bells.upgrade() {
        bells.ring_all();
    }
    loop {
        let heard: Option<PgNotification> = match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => Some(notification),
            Ok(Ok(None) | Err(_)) => return,
            Err(_) => None,
        };
        if heard.is_none() && !is_there(listener).await {
            return;
        }
        let Some(bells) = bells.upgrade() else { return };
        if let Some(notification) = heard {
            bells.ring(notification.channel());
        }
    }
}

async fn is_there(listener: &mut PgListener) -> bool {
    let Statement(question) = STILL_THERE;
    let answer = sqlx::query(question).persistent(false).execute(listener);
    matches!(timeout(ANSWER, answer).await, Ok(Ok(_)))
}

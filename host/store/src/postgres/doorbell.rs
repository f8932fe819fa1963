//! Hears that something was committed: one connection listens, for the whole process, and is made again when it ends.
//!
//! A notification says only that there is something; it may be missed while the connection is made again, so each new
//! connection rings too, and a poll stands behind every bell. Nobody listens before somebody asks.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

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

/// How often each bell has rung.
struct Bells {
    inbox: watch::Sender<u64>,
    definitions: watch::Sender<u64>,
}

/// The bells of one process, and the task that listens.
pub(super) struct Doorbell {
    server: Option<Server>,
    bells: Arc<Bells>,
    listening: Mutex<Option<JoinHandle<()>>>,
    heard_of_inbox: tokio::sync::Mutex<u64>,
}

impl Doorbell {
    /// Bells that are rung by this server, or never.
    pub(super) fn at(server: Option<Server>) -> Self {
        let bells = Bells { inbox: watch::Sender::new(0), definitions: watch::Sender::new(0) };
        Self {
            server,
            bells: Arc::new(bells),
            listening: Mutex::default(),
            heard_of_inbox: tokio::sync::Mutex::default(),
        }
    }

    /// Returns when something may have come into the inbox since the last call.
    pub(super) async fn inbox(&self) {
        self.listen();
        let mut heard = self.heard_of_inbox.lock().await;
        let mut rings = self.bells.inbox.subscribe();
        // The sender lives as long as this does.
        if let Ok(rings) = rings.wait_for(|rings| *rings != *heard).await {
            *heard = *rings;
        }
    }

    /// Returns when the revision may no longer be `revision`.
    pub(super) async fn definitions(&self, store: &PostgresStore, revision: i64) {
        self.listen();
        let mut rings = self.bells.definitions.subscribe();
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
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if listening.as_ref().is_none_or(JoinHandle::is_finished) {
            *listening = Some(tokio::spawn(listen_for_ever(server.clone(), Arc::downgrade(&self.bells))));
        }
    }

    /// Hears nothing more.
    pub(super) fn close(&self) {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
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
    fn ring(&self, channel: &str) {
        let bell = if channel == INBOX { &self.inbox } else { &self.definitions };
        bell.send_modify(|rings| *rings = rings.wrapping_add(1));
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
    listener.listen_all([INBOX, DEFINITIONS]).await?;
    Ok(listener)
}

/// Rings until the connection ends.
async fn listen(listener: &mut PgListener, bells: &Weak<Bells>) {
    let ring = |channel: &str| {
        bells.upgrade().is_some_and(|bells| {
            bells.ring(channel);
            true
        })
    };
    if !(ring(INBOX) && ring(DEFINITIONS)) {
        return;
    }
    loop {
        let heard: Option<PgNotification> = match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => Some(notification),
            Ok(Ok(None) | Err(_)) => return,
            Err(_) => None,
        };
        let goes_on = match heard {
            Some(notification) => ring(notification.channel()),
            None => is_there(listener).await && bells.strong_count() > 0,
        };
        if !goes_on {
            return;
        }
    }
}

async fn is_there(listener: &mut PgListener) -> bool {
    let Statement(question) = STILL_THERE;
    let answer = sqlx::query(question).persistent(false).execute(listener);
    matches!(timeout(ANSWER, answer).await, Ok(Ok(_)))
}

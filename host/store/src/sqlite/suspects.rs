//! Suspects: claimed with care, and marked before they begin.

use aftercommit_core::{DeliveryId, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore, claimable,
    claims::{self, Found},
    connection::Sync,
    statement::statements,
};
use crate::{ClaimedDelivery, HostId, Lane, Result, Suspects, Trial};

statements! {
    BEGIN_DELIVERY = "-- begin_delivery
UPDATE observer_deliveries SET begun = 1 WHERE id = ?1 AND state = 'running' AND owner = ?2 AND attempts = ?3";
}

#[async_trait]
impl Suspects for SqliteStore {
    async fn has_suspects(&self) -> Result<bool> {
        self.inner.connections.read(claimable::has_suspects).await
    }

    async fn claim_suspects(
        &self,
        host: HostId,
        which: Trial,
        max_bytes: usize,
        except: &[Lane],
        now: Timestamp,
    ) -> Result<Vec<ClaimedDelivery>> {
        let except = except.to_vec();
        let find = move |moment: &Connection| {
            let (found, odd) = claims::part(claimable::suspects(moment, which, &except, now)?);
            let found = found.into_iter().map(|record| Found { record, behind: None });
            Ok((found.collect(), odd))
        };
        claims::claim("claim_suspects", &self.inner.connections, host, max_bytes, now, find).await
    }

    async fn begin(&self, host: HostId, id: DeliveryId, attempt: u32) -> Result<bool> {
        self.inner
            .connections
            .write("begin", Sync::Later, move |write| {
                let call = BEGIN_DELIVERY.call().bind(id.to_string()).bind(host.to_string()).bind(attempt);
                Ok(call.execute(write)? == 1)
            })
            .await
    }
}

//! Suspects: claimed with care, and marked before they begin.

use aftercommit_core::{DeliveryId, Timestamp};
use async_trait::async_trait;

use super::{
    PostgresStore, claimable, claims,
    connection::Sync,
    session::Session,
    statement::{int, statements},
};
use crate::{ClaimedDelivery, HostId, Lane, Result, Suspects, Trial};

statements! {
    BEGIN_DELIVERY = "-- begin_delivery
UPDATE observer_deliveries SET begun = true WHERE id = $1 AND state = 'running' AND owner = $2 AND attempts = $3";
}

#[async_trait]
impl Suspects for PostgresStore {
    async fn has_suspects(&self) -> Result<bool> {
        claimable::has_suspects(&mut self.inner.connections.read().await?).await
    }

    async fn claim_suspects(
        &self,
        host: HostId,
        which: Trial,
        max_bytes: usize,
        except: &[Lane],
        now: Timestamp,
    ) -> Result<Vec<ClaimedDelivery>> {
        self.inner
            .connections
            .write("claim_suspects", Sync::Later, |session| {
                Box::pin(claim(session, host, which, max_bytes, except, now))
            })
            .await
    }

    async fn begin(&self, host: HostId, id: DeliveryId, attempt: u32) -> Result<bool> {
        let marked = self.inner.connections.write("begin", Sync::Later, |session| {
            let call = BEGIN_DELIVERY.call().bind(id.0).bind(host.0).bind(int(attempt));
            Box::pin(call.execute(session))
        });
        Ok(marked.await? == 1)
    }
}

async fn claim(
    session: &mut Session<'_>,
    host: HostId,
    which: Trial,
    max_bytes: usize,
    except: &[Lane],
    now: Timestamp,
) -> Result<Vec<ClaimedDelivery>> {
    let claimed = claimable::claim_suspects(session, host, which, max_bytes, except, now).await?;
    let mut owned = claims::read_owned(session, &claimed, now).await?;
    owned.sort_by_key(|owned| (owned.losses(), owned.order()));
    claims::with_events(session, owned, now).await
}

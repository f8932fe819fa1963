//! Claims with the first of an ordering key those that follow it, for one host to run one after the other (`docs/design/runs.md`).
//!
//! While the first is owned, nobody else can claim any of its key: only the one that has the turn is not `blocked`, and it is
//! claimed in the same transaction. Those behind it stay `blocked` while they run.

use std::collections::HashMap;

use super::{
    claimable::{Room, names, owned},
    claims::{Owned, read_owned},
    session::Session,
    statement::{int, statements},
};
use crate::{ClaimRequest, Result};

statements! {
    /// All of a key belong to the observer of its head, which is not disabled. What is behind a row that can not be claimed, or that
    /// somebody has locked, stays. The next of each key goes first, so that a long key takes no room from a short one.
    CLAIM_RUNS = concat!("-- claim_runs
WITH head AS (
    SELECT * FROM unnest($4::text[], $5::bigint[], $6::integer[], $7::uuid[], $8::integer[]) WITH ORDINALITY
        AS h (ordering_key, event_seq, position, id, most, place)
), behind AS MATERIALIZED (
    SELECT next.id, next.n, head.place
    FROM head CROSS JOIN LATERAL (
        SELECT id, row_number() OVER (ORDER BY event_seq, position, id) AS n
        FROM (SELECT id, event_seq, position FROM observer_deliveries AS d
              WHERE d.ordering_key = head.ordering_key
                AND (d.event_seq, d.position, d.id) > (head.event_seq, head.position, head.id)
              ORDER BY d.event_seq, d.position, d.id LIMIT head.most) AS first) AS next
), locked AS MATERIALIZED (
    SELECT id, event_bytes FROM observer_deliveries
    WHERE id = ANY (ARRAY(SELECT id FROM behind)) AND state = 'ready' AND blocked AND losses = 0
      AND attempts = attempts_before + uncharged
      AND (observer, action) NOT IN (SELECT * FROM unnest($9::text[], $10::text[]))
    FOR UPDATE SKIP LOCKED
), whole AS (
    SELECT id, n, place, event_bytes, count(*) OVER (PARTITION BY place ORDER BY n) AS upto
    FROM behind JOIN locked USING (id)
), picked AS MATERIALIZED (
    SELECT id, NULL::timestamptz AS due
    FROM (SELECT id, sum(event_bytes) OVER w AS bytes, row_number() OVER w AS m
          FROM whole WHERE upto = n WINDOW w AS (ORDER BY n, place ROWS UNBOUNDED PRECEDING)) AS s
    WHERE m <= $1 AND bytes <= $3
)", owned!());
}

/// Claims those that follow the first of their key, as far as there is room.
pub(super) async fn own(
    session: &mut Session<'_>,
    first: &[Owned],
    room: Room,
    request: ClaimRequest<'_>,
) -> Result<Vec<Owned>> {
    let heads: Vec<_> = first
        .iter()
        .filter_map(|owned| Some((owned.key_to_lead()?, owned, request.runs.of(owned.observer()))))
        .filter(|(.., most)| *most > 0)
        .collect();
    if heads.is_empty() || room.rows == 0 {
        return Ok(Vec::new());
    }
    let places = || heads.iter().map(|(_, owned, _)| owned.place().1);
    let (observers, actions) = names(request.except);
    let records = CLAIM_RUNS
        .call()
        .bind_limit(room.rows)
        .bind(request.host.0)
        .bind_limit(room.bytes)
        .bind(heads.iter().map(|(key, ..)| &***key).collect::<Vec<_>>())
        .bind(places().map(|(event_seq, ..)| event_seq).collect::<Vec<_>>())
        .bind(places().map(|(_, position, _)| position).collect::<Vec<_>>())
        .bind(places().map(|(.., id)| id).collect::<Vec<_>>())
        .bind(heads.iter().map(|(.., most)| int((*most).min(room.rows))).collect::<Vec<_>>())
        .bind(observers)
        .bind(actions)
        .all(session)
        .await?;
    let keys: HashMap<&str, usize> =
        heads.iter().enumerate().map(|(place, (key, ..))| (&***key, place)).collect();
    Ok(in_turns(read_owned(session, &records, request.now).await?, &keys))
}

/// The next of each key first, and the keys in the order of their heads.
fn in_turns(mut owned: Vec<Owned>, keys: &HashMap<&str, usize>) -> Vec<Owned> {
    owned.sort_by(|one, other| one.place().cmp(&other.place()));
    let mut upto: HashMap<usize, usize> = HashMap::new();
    let mut placed: Vec<_> = owned
        .into_iter()
        .map(|owned| {
            let key = owned.place().0.and_then(|key| keys.get(key)).copied().unwrap_or(usize::MAX);
            let n = upto.entry(key).or_default();
            *n += 1;
            ((*n, key), owned)
        })
        .collect();
    placed.sort_by_key(|(turn, _)| *turn);
    placed.into_iter().map(|(_, owned)| owned).collect()
}

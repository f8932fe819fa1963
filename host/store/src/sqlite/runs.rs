//! Claims with the first of an ordering key those that follow it, for one host to run one after the other (`docs/design/runs.md`).
//!
//! While the first is owned, nobody else can claim any of its key: only the one that has the turn is not `blocked`. Those behind
//! it stay `blocked` while they run. They are found without the write lock, and owned only if the one before each was, and
//! while this host has the turn. All of a key belong to one observer, which was not disabled when the first was claimed.

use std::collections::HashSet;

use aftercommit_core::{Care, DeliveryId};
use rusqlite::Connection;

use super::{
    claimable::columns,
    claims::{Candidate, Found, ids},
    statement::{Record, rows_as_json, statements},
};
use crate::{
    ClaimRequest, ClaimedDelivery, HostId, Result, odd_delivery, row::Row as _, suspects::read_losses,
};

statements! {
    THOSE_BEHIND = concat!("-- those_behind
SELECT ", columns!(), ",
       d.state = 'ready' AND d.blocked = 1 AND d.losses = 0 AND d.attempts = d.attempts_before + d.uncharged AS can_follow
FROM observer_deliveries AS d
WHERE d.ordering_key = ?1 AND (d.event_seq, d.position, d.id) > (?2, ?3, ?4)
ORDER BY d.event_seq, d.position, d.id LIMIT ?5");
    STILL_BEHIND = "-- still_behind
SELECT d.id FROM json_each(?1) AS c CROSS JOIN observer_deliveries AS d ON d.id = c.value ->> 0
WHERE d.attempts = c.value ->> 1 AND d.state = 'ready' AND d.blocked = 1 AND d.losses = 0
  AND EXISTS (SELECT 1 FROM observer_deliveries AS turn
              WHERE turn.ordering_key = d.ordering_key AND turn.blocked = 0 AND turn.state = 'running' AND turn.owner = ?2)";
    OWN_BEHIND = "-- own_behind
UPDATE observer_deliveries SET state = 'running', owner = ?2, attempts = attempts + 1
WHERE id IN (SELECT value FROM json_each(?1))";
}

/// Adds those that follow the first of each key, as many as there is room for: the next of each key first, so that a long key takes no
/// room from a short one.
pub(super) fn with_those_behind(
    moment: &Connection,
    first: Vec<Record>,
    request: ClaimRequest<'_>,
) -> Result<Vec<Found>> {
    let left = request.limit - first.len();
    let mut behind = Vec::new();
    for (place, head) in first.iter().enumerate() {
        let followers = if left > 0 { behind_of(moment, head, left, request)? } else { Vec::new() };
        behind.extend(followers.into_iter().enumerate().map(|(n, found)| ((n, place), found)));
    }
    behind.sort_by_key(|(turn, _)| *turn);
    let mut found: Vec<_> = first.into_iter().map(|record| Found { record, behind: None }).collect();
    found.extend(behind.into_iter().map(|(_, found)| found).take(left));
    Ok(found)
}

/// Those that follow one, up to the first that can not be claimed.
fn behind_of(
    moment: &Connection,
    head: &Record,
    left: usize,
    request: ClaimRequest<'_>,
) -> Result<Vec<Found>> {
    let most = request.runs.of(head.text("observer")?).min(left);
    let losses = read_losses(head)?;
    let is_untried = head.count("attempts")? == head.count("attempts_before")? + losses.uncharged;
    let Some(key) = head.optional_text("ordering_key")?.filter(|_| most > 0 && is_untried) else {
        return Ok(Vec::new());
    };
    if losses.care() != Care::Ordinary {
        return Ok(Vec::new());
    }
    let call = THOSE_BEHIND.call().bind(key).bind(head.integer("event_seq")?);
    let call = call.bind(head.integer("position")?).bind(head.text("id")?).bind_limit(most);
    let mut before = DeliveryId(head.uuid("id")?);
    let mut found = Vec::new();
    for record in call.all(moment)? {
        // It is put aside when its turn comes.
        if odd_delivery::check(&record).is_err() {
            break;
        }
        let (observer, action) = (record.text("observer")?, record.text("action")?);
        let is_held =
            request.except.iter().any(|lane| &*lane.observer == observer && &*lane.action == action);
        if is_held || !record.flag("can_follow")? {
            break;
        }
        let id = DeliveryId(record.uuid("id")?);
        found.push(Found { record, behind: Some(before) });
        before = id;
    }
    Ok(found)
}

/// Owns these, each if the one before it is owned. One whose event can not be read is left where it is, with those behind it: it
/// is put aside when its turn comes.
pub(super) fn own(
    write: &Connection,
    host: HostId,
    candidates: Vec<Candidate>,
    is_owned: impl Fn(&DeliveryId) -> bool,
) -> Result<Vec<ClaimedDelivery>> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<_> = candidates.iter().map(|candidate| (candidate.id, candidate.attempts)).collect();
    let call = STILL_BEHIND.call().bind(rows_as_json(&rows)).bind(host.to_string());
    let still = ids(&call.all(write)?)?;
    let mut owned = Vec::new();
    let mut new = HashSet::new();
    for Candidate { id, behind, delivery, .. } in candidates {
        let follows = behind.is_some_and(|behind| new.contains(&behind) || is_owned(&behind));
        if let (Ok(delivery), true) = (delivery, follows && still.contains(&id)) {
            new.insert(id);
            owned.push(delivery);
        }
    }
    if !owned.is_empty() {
        let rows: Vec<_> = owned.iter().map(|delivery| delivery.id).collect();
        OWN_BEHIND.call().bind(rows_as_json(&rows)).bind(host.to_string()).execute(write)?;
    }
    Ok(owned)
}

//! One moment: the database, the hosts, and what is left of the faults.

use crate::{
    bounds::Faults,
    host::{Claim, Host},
    tables::{EVENTS, HOSTS, Heartbeat, NAMES, Tables},
};

/// One moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    pub(crate) tables: Tables,
    /// What of the tables is on the server's disk, once that is behind: what a crash of the server leaves.
    pub(crate) on_disk: Option<Tables>,
    pub(crate) hosts: [Host; HOSTS],
    pub(crate) faults: Faults,
    pub(crate) seen: Seen,
}

/// What properties ask for and the rest of the state does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Seen {
    /// An end, or a delivery handed back, counted that came from a claim that did not own the delivery any more.
    pub(crate) stale_applied: bool,
    /// A delivery was claimed before an earlier one of its entity had ended.
    pub(crate) out_of_order: bool,
    /// How often the effect of each event may have begun.
    pub(crate) runs: [u8; EVENTS],
    pub(crate) replays: [u8; EVENTS],
}

impl State {
    /// Whether intake of some host has the inbox row locked.
    pub(crate) fn is_picked(&self, event: usize) -> bool {
        self.hosts.iter().any(|host| host.intake.is_some_and(|picked| picked.events[event]))
    }

    /// Whether the delivery belongs to this claim.
    pub(crate) fn owns(&self, host: usize, claim: &Claim) -> bool {
        self.tables.owned(claim.event) == Some((host, claim.attempt))
    }

    /// Whether a host owns the delivery and has no claim for it.
    pub(crate) fn is_unknown(&self, host: usize, event: usize) -> bool {
        self.tables.owned(event).is_some_and(|(owner, attempt)| {
            owner == host
                && !self.hosts[host]
                    .claims
                    .iter()
                    .flatten()
                    .any(|claim| claim.event == event && claim.attempt == attempt)
        })
    }

    /// A run of a host is over: what the tables say of it they say of one that is gone. `None` if there are too many.
    pub(crate) fn name_of_gone(&self) -> Option<usize> {
        let is_free = |tables: &Tables, name: usize| tables.hosts[name].is_none() && !tables.is_owner(name);
        (HOSTS..NAMES).find(|name| {
            is_free(&self.tables, *name) && self.on_disk.is_none_or(|on_disk| is_free(&on_disk, *name))
        })
    }

    /// Whether the event is to be delivered and was never replayed: what comes behind it in its entity has to wait.
    pub(crate) fn is_due_before(&self, event: usize) -> bool {
        let is_live = self.tables.inbox[event] || self.tables.deliveries[event].is_some();
        is_live && self.seen.replays[event] == 0
    }

    /// A host made an attempt and does not write its end.
    pub(crate) fn give_up(&mut self, host: usize, place: usize) {
        if let Some(claim) = self.hosts[host].claims[place].take()
            && self.owns(host, &claim)
        {
            self.hosts[host].given_up[claim.event] = Some(claim.attempt);
        }
    }

    /// Ends a run of a host.
    pub(crate) fn end_run(&mut self, host: usize, gone: usize) {
        self.hosts[host] = Host::DOWN;
        self.tables.rename(host, gone);
        if let Some(on_disk) = &mut self.on_disk {
            on_disk.rename(host, gone);
        }
    }

    /// Brings what means the same into one form, and notes what properties ask for.
    pub(crate) fn settle(&mut self, stale_for_good: bool) {
        for name in HOSTS..NAMES {
            // A host that is gone and owns nothing: that its row is still to be removed changes nothing.
            if !self.tables.is_owner(name) && self.on_disk.is_none_or(|on_disk| !on_disk.is_owner(name)) {
                self.tables.hosts[name] = None;
                if let Some(on_disk) = &mut self.on_disk {
                    on_disk.hosts[name] = None;
                }
            }
        }
        let tables = self.tables;
        for (number, host) in self.hosts.iter_mut().enumerate() {
            let mut lost = false;
            for claim in host.claims.iter_mut().flatten() {
                let owns = tables.owned(claim.event) == Some((number, claim.attempt));
                claim.stale = !owns || (claim.stale && stale_for_good);
                lost |= claim.stale;
            }
            host.claims.sort_unstable();
            host.was_silent &= lost || tables.hosts[number] != Some(Heartbeat::Fresh);
        }
    }

    /// The hosts are alike: a moment and its mirror image count as one.
    pub(crate) fn fold(&mut self) {
        if self.hosts[1] < self.hosts[0] {
            self.hosts.swap(0, 1);
            self.tables.swap();
            if let Some(on_disk) = &mut self.on_disk {
                on_disk.swap();
            }
        }
    }
}

//! The database, as far as the protocol looks at it. Each function is what one statement does, or a trigger.

use aftercommit_core::{Care, DeliveryState, Losses, Move};

use crate::rules::Rules;

/// Events, each with one delivery, in the order of their sequence numbers.
pub(crate) const EVENTS: usize = 3;
/// Hosts that live or start again.
pub(crate) const HOSTS: usize = 2;
/// Names of hosts in the tables: those that live, and runs of them that are gone and still own something, now or in
/// what is on the server's disk.
pub(crate) const NAMES: usize = HOSTS + 2 * EVENTS;

/// A row of `observer_hosts`, in abstract time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Heartbeat {
    /// Younger than the lease.
    Fresh,
    /// Older.
    Old,
}

/// A row of `observer_deliveries`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Delivery {
    pub(crate) state: DeliveryState,
    pub(crate) owner: Option<usize>,
    pub(crate) attempts: u8,
    pub(crate) attempts_before: u8,
    pub(crate) losses: Losses,
    /// Marked as begun by its owner, which runs it alone.
    pub(crate) begun: bool,
    pub(crate) blocked: bool,
}

/// A row of `observer_dlq_items`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct DeadLetter {
    pub(crate) attempts: u8,
}

/// All tables.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Tables {
    pub(crate) committed: [bool; EVENTS],
    pub(crate) inbox: [bool; EVENTS],
    pub(crate) deliveries: [Option<Delivery>; EVENTS],
    pub(crate) dead: [Option<DeadLetter>; EVENTS],
    /// What the attempt log says of those that are in no other table: succeeded or failed.
    pub(crate) ended: [bool; EVENTS],
    pub(crate) hosts: [Option<Heartbeat>; NAMES],
}

impl Tables {
    pub(crate) const EMPTY: Self = Self {
        committed: [false; EVENTS],
        inbox: [false; EVENTS],
        deliveries: [None; EVENTS],
        dead: [None; EVENTS],
        ended: [false; EVENTS],
        hosts: [None; NAMES],
    };

    /// In how many places a delivery is: one, if all is well.
    pub(crate) fn places(&self, event: usize) -> usize {
        usize::from(self.inbox[event])
            + usize::from(self.deliveries[event].is_some())
            + usize::from(self.dead[event].is_some())
            + usize::from(self.ended[event])
    }

    /// Whether everything that was committed has ended.
    pub(crate) fn all_ended(&self) -> bool {
        (0..EVENTS).all(|event| self.committed[event] && (self.ended[event] || self.dead[event].is_some()))
    }

    pub(crate) fn owned(&self, event: usize) -> Option<(usize, u8)> {
        let row = self.deliveries[event]?;
        Some((row.owner?, row.attempts))
    }

    /// `insert_deliveries`, by intake.
    pub(crate) fn make(&mut self, event: usize, owner: Option<usize>, rules: &Rules) {
        let state = DeliveryState::Ready;
        let mut row = Delivery::waiting(state, 0);
        if let Some(owner) = owner {
            row.claim(owner, rules);
        }
        // One that exists already is left alone.
        self.deliveries[event].get_or_insert(row);
    }

    /// The trigger `observer_deliveries_came`: blocks those behind the new one, or the new one.
    pub(crate) fn came(&mut self, event: usize) {
        for later in event + 1..EVENTS {
            if let Some(row) = &mut self.deliveries[later]
                && row.state != DeliveryState::Running
            {
                row.blocked = true;
            }
        }
        let turn_is_taken = (0..EVENTS).filter(|other| *other != event).any(|other| {
            self.deliveries[other]
                .is_some_and(|row| !row.blocked && (row.state == DeliveryState::Running || other < event))
        });
        if let Some(row) = &mut self.deliveries[event] {
            row.blocked |= turn_is_taken;
        }
    }

    /// The trigger `observer_deliveries_next`, after one that had the turn ended or stopped: the first that runs has it, since
    /// the others of its run go on; else the first.
    pub(crate) fn next(&mut self, stopped: usize, rules: &Rules) {
        if let Some(row) = &mut self.deliveries[stopped] {
            row.blocked = true;
        }
        let runs = |row: &Option<Delivery>| row.is_some_and(|row| row.state == DeliveryState::Running);
        let running = self.deliveries.iter().position(runs).filter(|_| rules.turn_stays_in_run);
        let first = running.or_else(|| self.deliveries.iter().position(Option::is_some));
        if let Some(row) = first.and_then(|first| self.deliveries[first].as_mut()) {
            row.blocked = false;
        }
    }

    /// The next live delivery of the entity.
    pub(crate) fn behind(&self, event: usize) -> Option<usize> {
        (event + 1..EVENTS).find(|later| self.deliveries[*later].is_some())
    }

    /// Whether the delivery has the turn of its entity.
    pub(crate) fn has_turn(&self, event: usize) -> bool {
        self.deliveries[event].is_some_and(|row| !row.blocked)
    }

    /// `replay_deliveries` and `remove_dead_letters`.
    pub(crate) fn replay(&mut self, event: usize, ordered: bool) {
        let Some(letter) = self.dead[event].take() else { return };
        let state = moved(DeliveryState::Dead, Move::Replay);
        let attempts = letter.attempts;
        self.deliveries[event] = Some(Delivery::waiting(state, attempts));
        if ordered {
            self.came(event);
        }
    }

    /// What belongs to the living host `host` belongs to `gone` from now on: its process is another one now.
    pub(crate) fn rename(&mut self, host: usize, gone: usize) {
        self.hosts[gone] = self.hosts[host].take();
        for row in self.deliveries.iter_mut().flatten() {
            if row.owner == Some(host) {
                row.owner = Some(gone);
            }
        }
    }

    /// The two living hosts change names.
    pub(crate) fn swap(&mut self) {
        self.hosts.swap(0, 1);
        for row in self.deliveries.iter_mut().flatten() {
            row.owner = row.owner.map(|owner| if owner < HOSTS { HOSTS - 1 - owner } else { owner });
        }
    }

    /// Whether `host` owns anything.
    pub(crate) fn is_owner(&self, host: usize) -> bool {
        self.deliveries.iter().flatten().any(|row| row.owner == Some(host))
    }
}

impl Delivery {
    /// One that nobody owns, at the start of a round of attempts.
    fn waiting(state: DeliveryState, attempts: u8) -> Self {
        Self {
            state,
            owner: None,
            attempts,
            attempts_before: attempts,
            losses: Losses::default(),
            begun: false,
            blocked: false,
        }
    }

    /// One of the claims, or the claim within intake.
    pub(crate) fn claim(&mut self, owner: usize, rules: &Rules) {
        self.state = moved(self.state, Move::Claim);
        self.owner = Some(owner);
        self.attempts += u8::from(rules.numbered_at_claim);
    }

    /// Whether it can be claimed together with others of its entity: no attempt of it counted yet, and no host was lost with it.
    pub(crate) fn is_untried(&self) -> bool {
        let counted = u32::from(self.attempts - self.attempts_before) - self.losses.uncharged;
        self.state == DeliveryState::Ready && counted == 0 && self.losses.care() == Care::Ordinary
    }

    /// It is nobody's any more.
    pub(crate) fn stop(&mut self, step: Move) {
        self.state = moved(self.state, step);
        self.owner = None;
        self.begun = false;
    }
}

/// The product's own function of legal moves. That the model never makes another is checked with every step.
pub(crate) fn moved(from: DeliveryState, step: Move) -> DeliveryState {
    match from.after(step) {
        Ok(state) => state,
        Err(illegal) => panic!("{illegal}"),
    }
}

//! The transactions of hosts. Each is one step: the row locks and the locks of ordering keys keep what they read true
//! until they commit. Only intake is two, because what it locks first others pass over.

use aftercommit_core::{DeliveryState, Move};

use crate::{
    host::{Claim, End, Phase, Picked},
    protocol::Protocol,
    state::State,
    step::Answer,
    tables::{DeadLetter, EVENTS, Heartbeat, NAMES},
};

impl Protocol {
    /// `take_inbox`.
    pub(crate) fn pick(&self, state: &mut State, host: usize, rows: usize) {
        let mut picked = Picked { events: [false; EVENTS], free: [true; EVENTS] };
        let there = (0..EVENTS).filter(|event| state.tables.inbox[*event] && !state.is_picked(*event));
        for event in there.take(rows) {
            picked.events[event] = true;
        }
        for event in (0..EVENTS).filter(|event| picked.events[*event]) {
            state.tables.inbox[event] = self.rules.taken_at_once;
        }
        if !self.rules.keys_locked {
            picked.free = self.free_keys(state, picked.events);
        }
        state.hosts[host].intake = Some(picked);
    }

    /// The rest of `take`.
    pub(crate) fn take(&self, state: &mut State, host: usize, own: bool, answer: Answer) {
        let Some(picked) = state.hosts[host].intake.take() else { return };
        let free = if self.rules.keys_locked { self.free_keys(state, picked.events) } else { picked.free };
        let events = || (0..EVENTS).filter(|event| picked.events[*event]);
        for event in events() {
            state.tables.inbox[event] = false;
            let owner = (own && free[event]).then_some(host);
            state.tables.make(event, owner, &self.rules);
        }
        for event in events().filter(|_| self.bounds.ordered) {
            if self.rules.keys_locked {
                state.tables.came(event);
            } else if let Some(row) = &mut state.tables.deliveries[event] {
                row.blocked = !free[event];
            }
        }
        for event in events().filter(|event| own && free[*event]) {
            self.owned(state, host, event, answer);
        }
        if own {
            count_claim(state, host, answer);
        }
    }

    /// Which of the events no other of their entity holds up, as `assign` decides.
    fn free_keys(&self, state: &State, events: [bool; EVENTS]) -> [bool; EVENTS] {
        let is_live = state.tables.deliveries.iter().any(Option::is_some);
        let first = events.iter().position(|picked| *picked);
        std::array::from_fn(|event| !self.bounds.ordered || (!is_live && first == Some(event)))
    }

    /// `claim_due` and `claim_ready`, and `claim_runs`.
    pub(crate) fn claim(
        &self,
        state: &mut State,
        host: usize,
        event: usize,
        with_next: bool,
        answer: Answer,
    ) {
        let next = self.follower(state, event).filter(|_| with_next);
        for event in [Some(event), next].into_iter().flatten() {
            if let Some(row) = &mut state.tables.deliveries[event] {
                row.claim(host, &self.rules);
            }
            self.owned(state, host, event, answer);
        }
        count_claim(state, host, answer);
    }

    /// A host owns one more, and knows of it if the answer comes.
    fn owned(&self, state: &mut State, host: usize, event: usize, answer: Answer) {
        let Some(row) = state.tables.deliveries[event] else { return };
        let is_elsewhere = |earlier: usize| {
            let owner = state.tables.owned(earlier).map(|(owner, _)| owner);
            state.tables.inbox[earlier] || (state.tables.deliveries[earlier].is_some() && owner != Some(host))
        };
        state.seen.out_of_order |= self.bounds.ordered && (0..event).any(is_elsewhere);
        if answer == Answer::Comes {
            state.hosts[host].keep(Claim {
                event,
                attempt: row.attempts,
                attempts_before: row.attempts_before,
                losses: row.losses,
                phase: Phase::Held,
                broken: false,
                stale: false,
            });
        }
    }

    /// `complete_deliveries` with `bury_deliveries`, or `release_deliveries`.
    pub(crate) fn write(&self, state: &mut State, host: usize, place: usize, answer: Answer) {
        let Some(claim) = state.hosts[host].claims[place] else { return };
        let is_running =
            state.tables.deliveries[claim.event].is_some_and(|row| row.state == DeliveryState::Running);
        let is_refused = answer == Answer::Refused;
        if is_running && !is_refused && (!self.rules.fenced || state.owns(host, &claim)) {
            state.seen.stale_applied |= claim.stale;
            let had_turn = state.tables.has_turn(claim.event);
            match claim.phase {
                Phase::Ended(end) => {
                    let is_early = (0..claim.event).any(|earlier| state.is_due_before(earlier));
                    state.seen.out_of_order |= self.bounds.ordered && is_early;
                    self.end(state, host, claim.event, end);
                }
                _ => self.release(state, claim.event),
            }
            if self.bounds.ordered && had_turn {
                state.tables.next(claim.event, &self.rules);
            }
        }
        if is_refused {
            state.give_up(host, place);
            self.break_run(state, host, claim.event);
        }
        let is_hand_back = matches!(claim.phase, Phase::HandedBack | Phase::Unanswered);
        state.hosts[host].claims[place] = match answer {
            Answer::Comes | Answer::Refused => None,
            Answer::Lost if is_hand_back => Some(Claim { phase: Phase::Unanswered, ..claim }),
            Answer::Lost => Some(claim),
        };
        state.faults.lost_ends -= u8::from(answer == Answer::Lost);
        state.faults.refused_ends -= u8::from(is_refused);
    }

    fn end(&self, state: &mut State, host: usize, event: usize, end: End) {
        let tables = &mut state.tables;
        let Some(row) = &mut tables.deliveries[event] else { return };
        match end {
            End::Succeeded => row.stop(Move::Succeed),
            End::Failed => row.stop(Move::Fail),
            End::Dead => row.stop(Move::Die),
            End::Retry => {
                row.stop(Move::Retry);
                row.losses = row.losses.survived();
                row.attempts += u8::from(!self.rules.numbered_at_claim);
                return;
            }
        }
        let attempts = row.attempts;
        tables.deliveries[event] = None;
        match end {
            End::Dead if self.rules.buried_at_once => tables.dead[event] = Some(DeadLetter { attempts }),
            End::Dead => state.hosts[host].to_bury = Some((event, attempts)),
            End::Succeeded | End::Failed | End::Retry => tables.ended[event] = true,
        }
    }

    fn release(&self, state: &mut State, event: usize) {
        let Some(row) = &mut state.tables.deliveries[event] else { return };
        row.stop(Move::Release);
        row.attempts -= u8::from(self.rules.numbered_at_claim);
    }

    /// `remove_silent_hosts`, `orphans` and `free_deliveries`.
    pub(crate) fn take_over(&self, state: &mut State, host: usize) {
        for name in 0..NAMES {
            let is_old = state.tables.hosts[name] == Some(Heartbeat::Old);
            if is_old || (!self.rules.silent_only && name != host) {
                state.tables.hosts[name] = None;
            }
        }
        self.free_orphans(state);
    }

    /// `orphans` and `free_deliveries`.
    pub(crate) fn free_orphans(&self, state: &mut State) {
        for event in 0..EVENTS {
            if state.tables.owned(event).is_some_and(|(owner, _)| state.tables.hosts[owner].is_none()) {
                self.free(state, event, Loss::WithHost);
            }
        }
    }

    /// What a host that stops in order has abandoned: it ran, so it counts.
    pub(crate) fn free_owned(&self, state: &mut State, host: usize) {
        for event in 0..EVENTS {
            if state.tables.owned(event).is_some_and(|(owner, _)| owner == host) {
                self.free(state, event, Loss::ByLivingHost { began: true });
            }
        }
    }

    /// What the answer of a claim would have told, and what could not be ended. Only the latter has begun.
    pub(crate) fn free_unknown(&self, state: &mut State, host: usize) {
        let given_up = std::mem::take(&mut state.hosts[host].given_up);
        for (event, given_up) in given_up.into_iter().enumerate() {
            if state.is_unknown(host, event) {
                let attempt = state.tables.owned(event).map(|(_, attempt)| attempt);
                self.free(state, event, Loss::ByLivingHost { began: attempt == given_up });
            }
        }
    }

    fn free(&self, state: &mut State, event: usize, loss: Loss) {
        let had_turn = state.tables.has_turn(event);
        if let Some(row) = &mut state.tables.deliveries[event] {
            let began = row.begun || !self.rules.charged_if_begun;
            row.losses = match loss {
                Loss::WithHost => row.losses.with_host(began),
                Loss::ByLivingHost { began: known } => row.losses.by_living_host(began || known),
            };
            row.stop(Move::TakeOver);
        }
        if self.bounds.ordered && had_turn {
            state.tables.next(event, &self.rules);
        }
    }
}

/// How a delivery lost its owner.
#[derive(Clone, Copy)]
enum Loss {
    /// Its host died, or was taken for dead.
    WithHost,
    /// Its host lives, and may know that it began.
    ByLivingHost { began: bool },
}

fn count_claim(state: &mut State, host: usize, answer: Answer) {
    state.faults.claims_unentered -= u8::from(state.tables.hosts[host].is_none());
    state.faults.lost_claims -= u8::from(answer == Answer::Lost);
}

//! What can happen next. Every step that is named here changes something.

use aftercommit_core::DeliveryState;

use crate::{
    host::{Claim, Host, Phase},
    protocol::Protocol,
    state::State,
    step::{Answer, Step},
    tables::{EVENTS, HOSTS, Heartbeat, NAMES},
};

impl Protocol {
    pub(crate) fn enabled(&self, state: &State, steps: &mut Vec<Step>) {
        for event in 0..EVENTS {
            if !state.tables.committed[event] && (event == 0 || state.tables.committed[event - 1]) {
                steps.push(Step::Commit { event });
            }
            if state.faults.replays > 0 && state.tables.dead[event].is_some() {
                steps.push(Step::Replay { event });
            }
        }
        for name in 0..NAMES {
            let may_stall = name >= HOSTS || state.faults.stalls > 0;
            if may_stall && state.tables.hosts[name] == Some(Heartbeat::Fresh) {
                steps.push(Step::Expire { name });
            }
        }
        if state.faults.server_crashes > 0 {
            steps.push(if state.on_disk.is_none() { Step::FallBehind } else { Step::CrashServer });
        }
        for host in 0..HOSTS {
            if state.hosts[host].up {
                self.of_process(state, host, steps);
                self.of_intake(state, host, steps);
                self.of_claimer(state, host, steps);
                self.of_claims(state, host, steps);
            } else {
                steps.push(Step::Start { host });
            }
        }
    }

    fn of_process(&self, state: &State, host: usize, steps: &mut Vec<Step>) {
        let (memory, tables) = (&state.hosts[host], &state.tables);
        if state.faults.crashes > 0 && state.name_of_gone().is_some() {
            steps.push(Step::Crash { host });
        }
        if state.faults.stops > 0 && !memory.stopping {
            steps.push(Step::Stop { host });
        }
        // A batch that was begun is brought to its end first.
        if memory.stopping && memory.intake.is_none() && state.name_of_gone().is_some() {
            steps.push(Step::Retire { host });
        }
        if tables.hosts[host] != Some(Heartbeat::Fresh) {
            steps.push(Step::Beat { host });
        }
        let is_silent = |name: usize| match tables.hosts[name] {
            Some(Heartbeat::Old) => true,
            Some(Heartbeat::Fresh) => !self.rules.silent_only && name != host,
            None => tables.is_owner(name),
        };
        if !memory.stopping && (0..NAMES).any(is_silent) {
            steps.push(Step::TakeOver { host });
        }
        if self.rules.frees_unknown && (0..EVENTS).any(|event| state.is_unknown(host, event)) {
            steps.push(Step::FreeUnknown { host });
        }
        if memory.to_bury.is_some() {
            steps.push(Step::Bury { host });
        }
    }

    fn of_intake(&self, state: &State, host: usize, steps: &mut Vec<Step>) {
        let memory = &state.hosts[host];
        if memory.intake.is_some() {
            steps.push(Step::Take { host, own: false, answer: Answer::Comes });
            if may_own(state, host) {
                steps.push(Step::Take { host, own: true, answer: Answer::Comes });
                if state.faults.lost_claims > 0 {
                    steps.push(Step::Take { host, own: true, answer: Answer::Lost });
                }
            }
            return;
        }
        let waits_its_turn =
            self.rules.takes_in_turn && state.hosts.iter().any(|other| other.intake.is_some());
        if memory.stopping || waits_its_turn || self.may_not_claim(memory) {
            return;
        }
        let there =
            (0..EVENTS).filter(|event| state.tables.inbox[*event] && !state.is_picked(*event)).count();
        for rows in 1..=there.min(memory.room()) {
            steps.push(Step::Pick { host, rows });
        }
    }

    fn of_claimer(&self, state: &State, host: usize, steps: &mut Vec<Step>) {
        let memory = &state.hosts[host];
        // The places that intake has reserved are taken.
        let reserved =
            memory.intake.map_or(0, |picked| picked.events.iter().filter(|picked| **picked).count());
        let has_room = memory.room() > reserved;
        if memory.stopping || !has_room || !may_own(state, host) || self.may_not_claim(memory) {
            return;
        }
        for (event, row) in state.tables.deliveries.iter().enumerate() {
            let claimable = row.is_some_and(|row| {
                matches!(row.state, DeliveryState::Ready | DeliveryState::Waiting)
                    && !row.blocked
                    && (!self.rules.tried_apart || memory.has_care_for(row.losses))
            });
            if !claimable {
                continue;
            }
            let may_run = memory.room() - reserved > 1 && self.follower(state, event).is_some();
            for with_next in [false, true].into_iter().take(1 + usize::from(may_run)) {
                steps.push(Step::Claim { host, event, with_next, answer: Answer::Comes });
                if state.faults.lost_claims > 0 {
                    steps.push(Step::Claim { host, event, with_next, answer: Answer::Lost });
                }
            }
        }
    }

    /// Which delivery can be claimed together with this one, to run behind it.
    pub(crate) fn follower(&self, state: &State, event: usize) -> Option<usize> {
        let is_untried = |event: usize| state.tables.deliveries[event].is_some_and(|row| row.is_untried());
        let next = state.tables.behind(event).filter(|_| self.bounds.ordered && is_untried(event))?;
        is_untried(next).then_some(next)
    }

    /// Whether another of the same run goes first.
    fn has_to_wait(&self, memory: &Host, held: &Claim) -> bool {
        let before = |other: &&Claim| other.event < held.event && !other.stale;
        let mut before = memory.claims.iter().flatten().filter(before);
        self.bounds.ordered
            && match held.phase {
                Phase::Held => before.any(Claim::is_under_way),
                Phase::Ended(_) => {
                    self.rules.ends_in_order && before.any(|other| matches!(other.phase, Phase::Ended(_)))
                }
                _ => false,
            }
    }

    fn may_not_claim(&self, memory: &Host) -> bool {
        self.rules.waits_for_hand_backs && memory.waits_for_answer()
    }

    fn of_claims(&self, state: &State, host: usize, steps: &mut Vec<Step>) {
        let memory = &state.hosts[host];
        for (claim, held) in memory.claims.iter().enumerate() {
            let Some(held) = held else { continue };
            if self.has_to_wait(memory, held) {
                continue;
            }
            match held.phase {
                Phase::Marked => steps.push(Step::Begin { host, claim }),
                Phase::Held => {
                    steps.push(if self.is_to_be_marked(held) {
                        Step::Mark { host, claim }
                    } else {
                        Step::Begin { host, claim }
                    });
                    if (memory.stopping || state.faults.hand_backs > 0) && !self.is_exhausted(held) {
                        steps.push(Step::HandBack { host, claim });
                    }
                }
                Phase::Running => {
                    for attempt in self.bounds.results(held.event) {
                        steps.push(Step::Finish { host, claim, attempt: *attempt });
                    }
                }
                Phase::Ended(_) | Phase::HandedBack | Phase::Unanswered => {
                    steps.push(Step::Write { host, claim, answer: Answer::Comes });
                    if state.faults.lost_ends > 0 && state.owns(host, held) {
                        steps.push(Step::Write { host, claim, answer: Answer::Lost });
                    }
                    let is_end = matches!(held.phase, Phase::Ended(_));
                    if state.faults.refused_ends > 0 && is_end && state.owns(host, held) {
                        steps.push(Step::Write { host, claim, answer: Answer::Refused });
                    }
                }
            }
        }
    }
}

/// The heartbeat goes on while a host lives: it is bounded how much the host claims while it is not entered.
fn may_own(state: &State, host: usize) -> bool {
    state.tables.hosts[host].is_some() || state.faults.claims_unentered > 0
}

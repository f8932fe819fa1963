//! The protocol as a model: where it starts, what can happen, and what follows.

use aftercommit_core::Care;
use stateright::{Model, Property};

use crate::{
    bounds::{Attempt, Bounds},
    host::{Claim, End, Host, PLACES, Phase},
    properties,
    rules::Rules,
    state::{Seen, State},
    step::Step,
    tables::{EVENTS, HOSTS, Heartbeat, Tables},
};

/// The protocol, with these rules and within these bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) rules: Rules,
    pub(crate) bounds: Bounds,
    /// Whether a moment and its mirror image are one: half as many, but a host changes its number on the way.
    pub(crate) folded: bool,
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut tables = Tables::EMPTY;
        for event in 0..EVENTS {
            // Those that there are not count as ended.
            let is_there = event < self.bounds.events - usize::from(self.bounds.late_commit);
            tables.inbox[event] = is_there;
            tables.ended[event] = event >= self.bounds.events;
            tables.committed[event] = is_there || tables.ended[event];
        }
        let mut hosts = [Host::DOWN; HOSTS];
        for (host, heartbeat) in hosts.iter_mut().zip(&mut tables.hosts) {
            host.up = true;
            *heartbeat = Some(Heartbeat::Fresh);
        }
        vec![State { tables, on_disk: None, hosts, faults: self.bounds.faults, seen: Seen::default() }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        self.enabled(state, steps);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = *last;
        self.apply(&mut state, step);
        // After a crash of the server that lost a claim, the same host may claim again with the same number. Both
        // claims are its own then, and the end of either may count.
        state.settle(self.bounds.faults.server_crashes == 0);
        if self.folded {
            state.fold();
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(&self.bounds)
    }
}

impl Protocol {
    /// To be gone through as a whole.
    pub(crate) const fn folded(rules: Rules, bounds: Bounds) -> Self {
        Self { rules, bounds, folded: true }
    }

    /// To show a run of it to people.
    pub(crate) const fn unfolded(rules: Rules, bounds: Bounds) -> Self {
        Self { rules, bounds, folded: false }
    }

    /// Whether nothing can happen any more: also no fault, and nothing that a host could do.
    pub(crate) fn is_over(&self, state: &State) -> bool {
        // Nearly always a look at the hosts is enough.
        if state.hosts.iter().any(|host| !host.up || host.intake.is_some() || host.room() < PLACES) {
            return false;
        }
        let mut steps = Vec::new();
        self.enabled(state, &mut steps);
        steps.is_empty()
    }

    /// How often the effect of an event may be begun. Between two attempts that count, two may be lost with their hosts that
    /// do not: one as an ordinary delivery, and one together with others.
    pub(crate) fn most_runs(&self, state: &State, event: usize) -> u8 {
        3 * self.bounds.max_attempts * (1 + state.seen.replays[event])
    }

    /// What the retry policy counts.
    pub(crate) fn round_attempt(&self, claim: &Claim) -> u8 {
        let uncharged = u8::try_from(claim.losses.uncharged).expect("few");
        let numbered = claim.attempt - claim.attempts_before + u8::from(!self.rules.numbered_at_claim);
        numbered.saturating_sub(uncharged)
    }

    fn apply(&self, state: &mut State, step: Step) {
        match step {
            Step::Commit { event } => {
                state.tables.committed[event] = true;
                state.tables.inbox[event] = true;
                state.flush();
            }
            Step::Replay { event } => {
                state.faults.replays -= 1;
                state.seen.replays[event] += 1;
                state.tables.replay(event, self.bounds.ordered);
                state.flush();
            }
            Step::Pick { host, rows } => self.pick(state, host, rows),
            Step::Take { host, own, answer } => self.take(state, host, own, answer),
            Step::Claim { host, event, with_next, answer } => {
                self.claim(state, host, event, with_next, answer);
            }
            Step::Mark { host, claim } => self.mark(state, host, claim),
            Step::Begin { host, claim } => self.begin(state, host, claim),
            Step::Finish { host, claim, attempt } => self.finish(state, host, claim, attempt),
            Step::HandBack { host, claim } => self.hand_back(state, host, claim),
            Step::Write { host, claim, answer } => self.write(state, host, claim, answer),
            Step::TakeOver { host } => self.take_over(state, host),
            Step::FreeUnknown { host } => self.free_unknown(state, host),
            Step::Retire { host } => self.retire(state, host),
            Step::Start { .. }
            | Step::Crash { .. }
            | Step::Stop { .. }
            | Step::Expire { .. }
            | Step::Beat { .. }
            | Step::Bury { .. }
            | Step::FallBehind
            | Step::CrashServer => state.fate(step),
        }
    }

    /// Whether the delivery is to end without an attempt: its attempts are used up, or too many hosts died of it.
    pub(crate) fn is_exhausted(&self, claim: &Claim) -> bool {
        self.round_attempt(claim) > self.bounds.max_attempts || claim.losses.care() == Care::GivenUp
    }

    /// Whether the delivery has to be marked before it begins.
    pub(crate) fn is_to_be_marked(&self, claim: &Claim) -> bool {
        self.rules.marked && claim.losses.care() == Care::Alone && !self.is_exhausted(claim)
    }

    /// `begin`. What belongs to another by now is given up.
    fn mark(&self, state: &mut State, host: usize, place: usize) {
        let Some(claim) = state.hosts[host].claims[place] else { return };
        if !state.owns(host, &claim) {
            state.hosts[host].claims[place] = None;
            return;
        }
        state.hosts[host].claims[place] = Some(Claim { phase: Phase::Marked, ..claim });
        if let Some(row) = &mut state.tables.deliveries[claim.event] {
            row.begun = true;
        }
        self.count_run(state, claim.event);
    }

    /// An attempt beyond the last one is not made: its host was lost during the one before.
    fn begin(&self, state: &mut State, host: usize, place: usize) {
        let Some(mut claim) = state.hosts[host].claims[place] else { return };
        let round_attempt = self.round_attempt(&claim);
        let is_exhausted = self.is_exhausted(&claim);
        let is_counted = claim.phase == Phase::Marked;
        state.seen.out_of_order |= self.overtakes(state, host, &claim);
        claim.phase = if is_exhausted {
            Phase::Ended(self.bounds.judge(Attempt::FailsForNow, round_attempt.max(self.bounds.max_attempts)))
        } else {
            Phase::Running
        };
        state.hosts[host].claims[place] = Some(claim);
        if !is_exhausted && !is_counted {
            self.count_run(state, claim.event);
        }
    }

    /// From now on the effect may have begun.
    fn count_run(&self, state: &mut State, event: usize) {
        if self.bounds.counts_runs() {
            // One beyond the bound is as bad as many.
            let most = self.most_runs(state, event) + 1;
            state.seen.runs[event] = (state.seen.runs[event] + 1).min(most);
        }
    }

    fn finish(&self, state: &mut State, host: usize, place: usize, attempt: Attempt) {
        if attempt == Attempt::KillsItsHost {
            return state.crash(host);
        }
        let Some(claim) = state.hosts[host].claims[place] else { return };
        let end = self.bounds.judge(attempt, self.round_attempt(&claim));
        if claim.broken {
            state.give_up(host, place);
            return;
        }
        state.hosts[host].claims[place] = Some(Claim { phase: Phase::Ended(end), ..claim });
        if end == End::Retry {
            self.stop_run(state, host, claim.event);
        }
    }

    /// A delivery can not be run now, nor what follows in its run. A host that stops hands back whatever has not begun.
    fn hand_back(&self, state: &mut State, host: usize, place: usize) {
        let memory = &mut state.hosts[host];
        state.faults.hand_backs -= u8::from(!memory.stopping);
        let Some(claim) = &mut memory.claims[place] else { return };
        claim.phase = Phase::HandedBack;
        let event = claim.event;
        self.stop_run(state, host, event);
    }

    /// What follows in the run is handed back.
    fn stop_run(&self, state: &mut State, host: usize, event: usize) {
        let claims = state.hosts[host].claims.iter_mut().flatten();
        for claim in claims.filter(|claim| self.bounds.ordered && self.rules.run_stops && claim.event > event)
        {
            if claim.phase == Phase::Held && !claim.stale {
                claim.phase = Phase::HandedBack;
            }
        }
    }

    /// The end of one of a run can not be written: what follows is handed back, or its end is not written either.
    pub(crate) fn break_run(&self, state: &mut State, host: usize, event: usize) {
        if !self.bounds.ordered || !self.rules.ends_in_order {
            return;
        }
        self.stop_run(state, host, event);
        for place in 0..PLACES {
            let Some(claim) = &mut state.hosts[host].claims[place] else { continue };
            if claim.event <= event || claim.stale {
                continue;
            }
            match claim.phase {
                Phase::Running => claim.broken = true,
                Phase::Ended(_) => state.give_up(host, place),
                _ => {}
            }
        }
    }

    /// Whether an earlier event of the entity is live, and this host is not done with it. What was replayed waits for the run.
    fn overtakes(&self, state: &State, host: usize, claim: &Claim) -> bool {
        let is_done_with = |event: usize| {
            state.hosts[host].claims.iter().flatten().any(|other| {
                other.event == event
                    && matches!(other.phase, Phase::Ended(end) if end != End::Retry)
                    && state.owns(host, other)
            })
        };
        self.bounds.ordered
            && !claim.stale
            && (0..claim.event).any(|earlier| state.is_due_before(earlier) && !is_done_with(earlier))
    }

    fn retire(&self, state: &mut State, host: usize) {
        if state.tables.hosts[host].take().is_some() {
            self.free_owned(state, host);
        }
        state.crash(host);
    }
}

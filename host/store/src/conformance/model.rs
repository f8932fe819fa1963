//! A seeded run: the same random calls to the store and to a model of a few lines, which must agree after each.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use aftercommit_core::delivery::Move;
use aftercommit_core::{Care, DeliveryId, DeliveryState, Losses, Timestamp};

use super::fixture::{Fixture, Target, alive, at, completion, dead};
use crate::{
    ClaimFirst, ClaimRequest, ClaimShare, ClaimedDelivery, DeliveryFilter, End, HostId, Lane, RunLengths,
    Trial,
};

const RUNS: u64 = 10;
const STEPS: usize = 150;
const OBSERVERS: [(&str, bool, u16); 3] =
    [("plain", false, 100), ("urgent", true, 900), ("ordered", true, 100)];

/// The number of the event that comes as the `nth`: growing, and of two entities only, so that many wait for each other.
fn number(nth: u64) -> u64 {
    nth / 2 * 10 + nth % 2
}

/// A generator of the kind called xorshift*: the same numbers for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(mixed).unwrap() % bound
    }
}

/// A live delivery, as the model knows it.
#[derive(Clone, Debug)]
struct Known {
    observer: &'static str,
    state: DeliveryState,
    /// Place in the order of events and actions.
    place: (u64, usize),
    key: Option<(&'static str, u64)>,
    priority: u16,
    attempts: u32,
    attempts_before: u32,
    losses: Losses,
    due: Option<Timestamp>,
    owner: Option<HostId>,
}

impl Known {
    /// Whether it can be in a run.
    fn is_untried(&self) -> bool {
        let is_counted = self.attempts != self.attempts_before + self.losses.uncharged;
        self.state == DeliveryState::Ready && !is_counted && self.losses.care() == Care::Ordinary
    }

    fn step(&mut self, step: Move) {
        self.state = self.state.after(step).expect("the store made a legal move");
    }
}

#[derive(Default)]
struct Model {
    live: BTreeMap<DeliveryId, Known>,
    dead: BTreeMap<DeliveryId, Known>,
}

impl Model {
    /// Whether another delivery with the same key goes first.
    fn blocked(&self, id: DeliveryId, known: &Known) -> bool {
        known.key.is_some()
            && self.live.iter().any(|(other_id, other)| {
                *other_id != id
                    && other.key == known.key
                    && (other.state == DeliveryState::Running || other.place < known.place)
            })
    }

    /// What a claim must return, in order.
    fn claimable(
        &self,
        limit: usize,
        share: ClaimShare,
        except: Option<&str>,
        now: Timestamp,
    ) -> Vec<DeliveryId> {
        let mut due: Vec<_> = Vec::new();
        let mut ready: Vec<_> = Vec::new();
        for (&id, known) in self.live.iter().filter(|(id, known)| !self.blocked(**id, known)) {
            if except == Some(known.observer) || known.losses.care() != Care::Ordinary {
                continue;
            }
            match known.state {
                DeliveryState::Waiting if known.due <= Some(now) => due.push((known.due, id)),
                DeliveryState::Ready => ready.push((std::cmp::Reverse(known.priority), known.place, id)),
                _ => {}
            }
        }
        due.sort_unstable();
        ready.sort_unstable();
        let due: Vec<_> = due.into_iter().map(|(_, id)| id).collect();
        let ready: Vec<_> = ready.into_iter().map(|(.., id)| id).collect();
        divided(limit, share, &due, &ready)
    }

    /// What a claim must return behind the first of each key, up to `most` of each.
    fn behind(&self, heads: &[DeliveryId], most: usize) -> Vec<DeliveryId> {
        let mut behind = Vec::new();
        for (place, head) in heads.iter().enumerate() {
            let head = &self.live[head];
            if head.key.is_none() || !head.is_untried() {
                continue;
            }
            let mut later: Vec<_> =
                self.live.iter().filter(|(_, it)| it.key == head.key && it.place > head.place).collect();
            later.sort_by_key(|(_, known)| known.place);
            let later = later.into_iter().take(most).take_while(|(_, known)| known.is_untried());
            behind.extend(later.enumerate().map(|(n, (&id, _))| (n, place, id)));
        }
        behind.sort_unstable();
        behind.into_iter().map(|(.., id)| id).collect()
    }

    /// Which suspects a claim must return, in order.
    fn suspects(&self, which: Trial, now: Timestamp) -> Vec<DeliveryId> {
        let care = if which == Trial::Alone { Care::Alone } else { Care::Together };
        let mut suspects: Vec<_> = self
            .live
            .iter()
            .filter(|(id, known)| !self.blocked(**id, known) && known.losses.care() == care)
            .filter(|(_, known)| known.state != DeliveryState::Running && known.due <= Some(now))
            .map(|(&id, known)| (known.losses.in_a_row, std::cmp::Reverse(known.priority), known.place, id))
            .collect();
        suspects.sort_unstable();
        suspects.into_iter().map(|(.., id)| id).take(which.limit()).collect()
    }

    fn own(&mut self, host: HostId, claimed: &[ClaimedDelivery]) {
        for delivery in claimed {
            let known = self.live.get_mut(&delivery.id).expect("the model knows what was claimed");
            known.step(Move::Claim);
            known.attempts += 1;
            known.owner = Some(host);
            known.due = None;
            let seen = (delivery.attempt, delivery.attempts_before, delivery.losses);
            assert_eq!(seen, (known.attempts, known.attempts_before, known.losses));
        }
    }

    /// Ends an attempt, if it is still the owner's.
    fn end(&mut self, host: HostId, delivery: &ClaimedDelivery, end: &End) -> bool {
        let Some(known) = self.live.get_mut(&delivery.id) else { return false };
        if known.state != DeliveryState::Running
            || known.owner != Some(host)
            || known.attempts != delivery.attempt
        {
            return false;
        }
        known.owner = None;
        match end {
            End::Retry { at } => {
                known.step(Move::Retry);
                known.due = Some(*at);
                known.losses = known.losses.survived();
            }
            End::Succeeded | End::Failed => {
                self.live.remove(&delivery.id);
            }
            End::Dead { .. } => {
                known.step(Move::Die);
                let known = self.live.remove(&delivery.id).unwrap();
                self.dead.insert(delivery.id, known);
            }
        }
        true
    }

    /// Frees what the host owns; `lost` says what is on record of the losses of each from then on.
    fn free(&mut self, host: HostId, lost: impl Fn(Losses) -> Losses) -> usize {
        let owned = self.live.values_mut().filter(|known| known.owner == Some(host));
        owned
            .map(|known| {
                known.step(Move::TakeOver);
                known.owner = None;
                known.losses = lost(known.losses);
            })
            .count()
    }

    fn replay(&mut self, id: DeliveryId) {
        let mut known = self.dead.remove(&id).unwrap();
        known.step(Move::Replay);
        known.attempts_before = known.attempts;
        known.losses = Losses::default();
        self.live.insert(id, known);
    }
}

/// Retries have their share, and both what the other leaves; that comes last.
fn divided(limit: usize, share: ClaimShare, due: &[DeliveryId], ready: &[DeliveryId]) -> Vec<DeliveryId> {
    let kept = share.retries.min(limit);
    let retries = due.len().min(kept.max(limit.saturating_sub(ready.len())));
    let (due, ready) = (&due[..retries], &ready[..ready.len().min(limit - retries)]);
    let (due, more_due) = due.split_at(due.len().min(kept));
    let (ready, more_ready) = ready.split_at(ready.len().min(limit - kept));
    match share.first {
        ClaimFirst::Due => [due, ready, more_ready, more_due].concat(),
        ClaimFirst::Ready => [ready, due, more_due, more_ready].concat(),
    }
}

/// One run: the store, the model, and what each host believes to own (which may be out of date).
struct Run {
    fixture: Fixture,
    random: Random,
    model: Model,
    believed: Vec<(HostId, ClaimedDelivery)>,
    emitted: u64,
    now: u64,
}

pub(super) async fn behaves_like_the_model(fixture: Fixture) {
    let mut fixture = Some(fixture);
    for seed in 1..=RUNS {
        let fixture_of_run = fixture.take().expect("there is one for each run");
        let mut run = Run {
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            model: Model::default(),
            believed: Vec::new(),
            // The runs share a database and go on where the last one ended: with nothing live.
            emitted: seed * 1000,
            now: seed * 10_000,
            fixture: fixture_of_run,
        };
        for host in [run.fixture.host, run.fixture.other] {
            run.fixture.store.register(host, "model", at(run.now)).await.unwrap();
        }
        for step in 0..STEPS {
            let what = run.step().await;
            run.compare(&format!("seed {seed}, step {step}, {what}")).await;
        }
        run.finish().await;
        fixture = Some(run.fixture);
    }
}

impl Run {
    fn host(&mut self) -> HostId {
        if self.random.below(2) == 0 { self.fixture.host } else { self.fixture.other }
    }

    async fn step(&mut self) -> &'static str {
        self.now += self.random.below(3) as u64;
        // More is ended than made: in a backlog nothing would happen twice.
        match self.random.below(17) {
            0 | 1 => self.take().await,
            2..=5 => self.claim().await,
            6 => self.claim_suspects().await,
            7..=11 => self.complete().await,
            12 => self.release().await,
            13 => self.take_over().await,
            14 => self.free_unknown().await,
            _ => self.replay().await,
        }
    }

    async fn take(&mut self) -> &'static str {
        let count = 1 + self.random.below(3) as u64;
        let numbers: Vec<_> = (self.emitted..self.emitted + count).map(number).collect();
        self.fixture.emit(numbers.clone()).await;
        let targets: Vec<_> = OBSERVERS
            .iter()
            .map(|&(observer, ordered, priority)| Target { priority, ordered, ..Target::new(observer) })
            .collect();
        let own = self.random.below(6);
        let taken = self.fixture.take(own, &targets).await;
        for n in numbers {
            for (position, (observer, ordered, priority)) in OBSERVERS.into_iter().enumerate() {
                let known = Known {
                    observer,
                    state: DeliveryState::Ready,
                    place: (n, position),
                    key: ordered.then_some((observer, n % 10)),
                    priority,
                    attempts: 0,
                    attempts_before: 0,
                    losses: Losses::default(),
                    due: None,
                    owner: None,
                };
                self.model.live.insert(DeliveryId::of(super::fixture::event_id(n), observer, "hook"), known);
            }
        }
        self.emitted += count;
        for delivery in &taken.owned {
            assert!(!self.model.blocked(delivery.id, &self.model.live[&delivery.id]), "owned out of turn");
        }
        let host = self.fixture.host;
        self.model.own(host, &taken.owned);
        self.believed.extend(taken.owned.into_iter().map(|delivery| (host, delivery)));
        "take"
    }

    async fn claim(&mut self) -> &'static str {
        let (host, limit) = (self.host(), 1 + self.random.below(9));
        let except = OBSERVERS.get(self.random.below(2 * OBSERVERS.len())).map(|(observer, ..)| *observer);
        let lanes: Vec<_> = except
            .iter()
            .map(|&observer| Lane { observer: observer.into(), action: "hook".into() })
            .collect();
        let runs = RunLengths { others: self.random.below(4), ..RunLengths::default() };
        let request = ClaimRequest::new(host, limit, at(self.now));
        let first = if self.random.below(2) == 0 { ClaimFirst::Due } else { ClaimFirst::Ready };
        let share = ClaimShare { retries: self.random.below(limit + 2), first };
        let request = ClaimRequest { except: &lanes, share, runs: &runs, ..request };
        let claimed = self.fixture.store.claim(request).await.unwrap();
        let ids: Vec<_> = claimed.iter().map(|delivery| delivery.id).collect();
        let mut expected = self.model.claimable(limit, share, except, at(self.now));
        let behind = self.model.behind(&expected, runs.others);
        expected.extend(behind.into_iter().take(limit - expected.len()));
        assert_eq!(ids, expected, "what is claimed, in order");
        self.model.own(host, &claimed);
        self.believed.extend(claimed.into_iter().map(|delivery| (host, delivery)));
        "claim"
    }

    async fn claim_suspects(&mut self) -> &'static str {
        let host = self.host();
        let which =
            if self.random.below(2) == 0 { Trial::Together(1 + self.random.below(3)) } else { Trial::Alone };
        let claimed =
            self.fixture.store.claim_suspects(host, which, usize::MAX, &[], at(self.now)).await.unwrap();
        let ids: Vec<_> = claimed.iter().map(|delivery| delivery.id).collect();
        assert_eq!(ids, self.model.suspects(which, at(self.now)), "which suspects are claimed, in order");
        self.model.own(host, &claimed);
        self.believed.extend(claimed.into_iter().map(|delivery| (host, delivery)));
        "claim suspects"
    }

    /// Some of what one host believes to own; now and then it keeps its belief, and will be late the next time.
    fn believed_by(&mut self, host: HostId) -> Vec<ClaimedDelivery> {
        let mut chosen = Vec::new();
        for index in (0..self.believed.len()).rev() {
            if self.believed[index].0 == host && self.random.below(2) == 0 {
                let belief = if self.random.below(5) == 0 {
                    self.believed[index].clone()
                } else {
                    self.believed.remove(index)
                };
                chosen.push(belief.1);
            }
        }
        // One call ends one attempt of a delivery once.
        chosen.sort_by_key(|delivery| (delivery.id, delivery.attempt));
        chosen.dedup_by_key(|delivery| delivery.id);
        chosen
    }

    async fn complete(&mut self) -> &'static str {
        let host = self.host();
        let mut completions = Vec::new();
        let mut stale = Vec::new();
        for delivery in self.believed_by(host) {
            let end = match self.random.below(6) {
                0 | 1 => dead(),
                2 => End::Failed,
                // One time a microsecond each, so that the order of claims is known.
                3 => {
                    End::Retry { at: at(self.now).plus(Duration::from_micros(self.emitted + self.unique())) }
                }
                _ => End::Succeeded,
            };
            if !self.model.end(host, &delivery, &end) {
                stale.push(delivery.id);
            }
            completions.push(completion(&delivery, end));
        }
        let applied = completions.len() - stale.len();
        let report = self.fixture.store.complete(host, completions).await.unwrap();
        assert_eq!((report.applied, report.stale), (applied, stale));
        "complete"
    }

    fn unique(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    async fn release(&mut self) -> &'static str {
        let host = self.host();
        let beliefs = self.believed_by(host);
        let mut released = 0;
        for delivery in &beliefs {
            let Some(known) = self.model.live.get_mut(&delivery.id) else { continue };
            if known.owner == Some(host) && known.attempts == delivery.attempt {
                known.step(Move::Release);
                known.owner = None;
                known.attempts -= 1;
                released += 1;
            }
        }
        // A host forgets what it handed back.
        self.believed
            .retain(|(owner, belief)| *owner != host || beliefs.iter().all(|other| other.id != belief.id));
        let list = beliefs.iter().map(|delivery| (delivery.id, delivery.attempt)).collect();
        assert_eq!(self.fixture.store.release(host, list, None, at(0)).await.unwrap(), released);
        "release"
    }

    /// One host falls silent, the other takes over, and the first enters again.
    async fn take_over(&mut self) -> &'static str {
        let silent = self.host();
        let lively = if silent == self.fixture.host { self.fixture.other } else { self.fixture.host };
        self.now += 100;
        assert!(self.fixture.store.heartbeat(lively, at(self.now)).await.unwrap());
        let taken = self
            .fixture
            .store
            .take_over(at(self.now), alive(at(self.now), Duration::from_secs(50)))
            .await
            .unwrap();
        assert_eq!(
            (taken.hosts, taken.deliveries),
            (vec![silent], self.model.free(silent, |losses| losses.with_host(false)))
        );
        self.fixture.store.register(silent, "model", at(self.now)).await.unwrap();
        "take_over"
    }

    /// One host has lost track of some of what it owns.
    async fn free_unknown(&mut self) -> &'static str {
        let host = self.host();
        let mut known = HashSet::new();
        let mut freed = 0;
        for (id, delivery) in self.model.live.iter_mut().filter(|(_, known)| known.owner == Some(host)) {
            if self.random.below(2) == 0 {
                known.insert((*id, delivery.attempts));
            } else {
                delivery.step(Move::TakeOver);
                delivery.owner = None;
                delivery.losses = delivery.losses.by_living_host(false);
                freed += 1;
            }
        }
        assert_eq!(
            self.fixture.store.free_unknown(host, known, HashSet::new(), at(self.now)).await.unwrap(),
            freed
        );
        "free_unknown"
    }

    async fn replay(&mut self) -> &'static str {
        let ids: Vec<_> = self.model.dead.keys().copied().filter(|_| self.random.below(2) == 0).collect();
        self.fixture.store.replay(ids.clone(), at(self.now)).await.unwrap();
        for id in ids {
            self.model.replay(id);
        }
        "replay"
    }

    async fn compare(&self, when: &str) {
        let filter = DeliveryFilter { limit: 10_000, ..DeliveryFilter::default() };
        let rows = self.fixture.store.deliveries(filter).await.unwrap();
        let seen: BTreeMap<_, _> =
            rows.into_iter().map(|row| (row.id, (row.status, row.attempts, row.next_attempt_at))).collect();
        let expected: BTreeMap<_, _> = self
            .model
            .live
            .iter()
            .map(|(&id, known)| (id, (known.state, known.attempts, known.due)))
            .collect();
        assert_eq!(seen, expected, "{when}");
        let mut dead: Vec<_> =
            self.fixture.store.dead_letters(10_000).await.unwrap().iter().map(|item| item.id).collect();
        dead.sort();
        assert_eq!(dead, self.model.dead.keys().copied().collect::<Vec<_>>(), "{when}");
    }

    /// Everything ends: nothing is left that could never be claimed.
    async fn finish(&mut self) {
        for host in [self.fixture.host, self.fixture.other] {
            self.fixture.store.retire(host).await.unwrap();
            self.model.free(host, |losses| losses.by_living_host(true));
        }
        let late = at(self.now + 1_000_000);
        loop {
            let mut claimed = self.fixture.claim(1000, late).await;
            for which in [Trial::Together(1000), Trial::Alone] {
                let (store, host) = (&self.fixture.store, self.fixture.host);
                claimed.extend(store.claim_suspects(host, which, usize::MAX, &[], late).await.unwrap());
            }
            if claimed.is_empty() {
                break;
            }
            self.model.own(self.fixture.host, &claimed);
            self.fixture.complete(&claimed, &End::Succeeded).await;
            for delivery in &claimed {
                assert!(self.model.end(self.fixture.host, delivery, &End::Succeeded));
            }
        }
        self.compare("at the end").await;
        assert!(self.model.live.is_empty(), "left behind: {:?}", self.model.live);
        let dead: Vec<_> = self.model.dead.keys().copied().collect();
        self.fixture.store.discard(dead, late).await.unwrap();
    }
}

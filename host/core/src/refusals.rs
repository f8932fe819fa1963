//! Whose rate a refusal (429 without a time) is about: that of one address, or that of its server.
//!
//! A server's rate is refused to all addresses alike; a device's own limit is refused to that device again and again. The host learns
//! the server's rate from the first, and must not from the second: everybody would be sent less for the sake of one.

use std::{collections::VecDeque, time::Duration};

use crate::time::Timestamp;

/// Which part of the last calls was refused because of a rate. Each new call takes a part of the weight of those before it (an
/// exponentially weighted moving average).
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct RefusedShare {
    refused: f64,
    taken: f64,
    /// How many, so that one refusal is not taken for a habit.
    refusals: u32,
}

impl RefusedShare {
    /// The weight of all calls together approaches this.
    const CALLS: f64 = 16.0;
    /// An address of which at least this part is refused may have a limit of its own ..
    const MUCH: f64 = 0.25;
    /// .. if it is refused so many times as much as its server is as a whole.
    const TIMES: f64 = 3.0;

    /// One more call.
    pub fn add(&mut self, is_refused: bool) {
        let kept = 1.0 - 1.0 / Self::CALLS;
        self.refused *= kept;
        self.taken *= kept;
        if is_refused {
            self.refused += 1.0;
            self.refusals = self.refusals.saturating_add(1);
        } else {
            self.taken += 1.0;
        }
    }

    /// Whether an address is refused for its own sake, and not for that of its server, whose share of all calls is `server`.
    #[must_use]
    pub fn is_its_own(&self, server: &Self) -> bool {
        self.refusals >= 2 && self.share() >= Self::MUCH && self.share() > Self::TIMES * server.share()
    }

    fn share(&self) -> f64 {
        let calls = self.refused + self.taken;
        if calls > 0.0 { self.refused / calls } else { 0.0 }
    }
}

/// Different addresses of one server that were refused lately.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct RefusedAddresses(VecDeque<(u64, Timestamp)>);

impl RefusedAddresses {
    const SEVERAL: usize = 3;
    const LATELY: Duration = Duration::from_secs(10);

    /// The address with this hash was refused. Whether several different ones were, within some seconds.
    pub fn add(&mut self, address: u64, now: Timestamp) -> bool {
        self.0.retain(|(other, at)| *other != address && now.since(*at) < Self::LATELY);
        self.0.push_back((address, now));
        if self.0.len() > Self::SEVERAL {
            self.0.pop_front();
        }
        self.0.len() >= Self::SEVERAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(calls: impl IntoIterator<Item = bool>) -> RefusedShare {
        let mut share = RefusedShare::default();
        calls.into_iter().for_each(|is_refused| share.add(is_refused));
        share
    }

    #[test]
    fn an_address_that_is_refused_far_more_than_others_has_a_limit_of_its_own() {
        let one_in_twenty = share((0..100).map(|n| n % 20 == 0));
        let every_second = share((0..20).map(|n| n % 2 == 0));
        assert!(every_second.is_its_own(&one_in_twenty));
        assert!(!one_in_twenty.is_its_own(&one_in_twenty), "it shares what all are refused");
        assert!(!every_second.is_its_own(&every_second), "all are refused alike");
        assert!(!share([true]).is_its_own(&one_in_twenty), "once may be chance");
        assert!(share([true, true]).is_its_own(&RefusedShare::default()));
    }

    #[test]
    fn several_are_different_ones_within_some_seconds() {
        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        let mut refused = RefusedAddresses::default();
        assert!((0..50).all(|secs| !refused.add(7, at(secs))), "one of them, again and again");
        assert!(!refused.add(8, at(50)));
        assert!(refused.add(9, at(51)) && refused.add(7, at(52)));
        assert!(!refused.add(7, at(90)), "it is long ago");
    }
}

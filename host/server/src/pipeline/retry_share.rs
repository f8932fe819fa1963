//! How many deliveries of a claim are retries that are due, while fresh ones wait too.
//!
//! If all due retries were claimed first, a host whose slots are always full would be taken up by events that always fail: each comes
//! again some sixteen times, so at one event in five, two thirds of all attempts were retries, and good events had a third of the slots. So
//! retries have a bounded share. A retry waited already, and costs little if it waits longer; and there are no more of them than
//! deliveries times `max_attempts`. They do not starve: their share is theirs however many fresh deliveries wait, and what those leave
//! free is theirs too.

use aftercommit_store::{ClaimFirst, ClaimShare};

/// One of so many deliveries of a claim is a retry: as many as a destination has slots by default, as if one of them did nothing else.
/// At one event in five that fails, the good ones have 15/16 of the slots that they would have if the others failed once.
const ONE_IN: usize = 16;

/// The share of retries in a claim of up to `limit` deliveries. A destination with a rate is claimed for one delivery or a few at a time, by
/// itself: so chance rounds, and no destination's claims are always rounded the same way.
pub(super) fn of_claim(limit: usize) -> ClaimShare {
    share(limit, fastrand::usize(..ONE_IN))
}

/// `turn` is one of `0..ONE_IN`. Over all turns, the retries are exactly one in so many.
const fn share(limit: usize, turn: usize) -> ClaimShare {
    // Whoever is second may find no memory left: by this, memory is divided like the slots.
    let first = if turn == ONE_IN - 1 { ClaimFirst::Due } else { ClaimFirst::Ready };
    ClaimShare { retries: limit.saturating_add(turn) / ONE_IN, first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_have_their_share_of_claims_of_any_size() {
        for limit in [1, 2, 15, 16, 17, 500] {
            let shares: Vec<_> = (0..ONE_IN).map(|turn| share(limit, turn)).collect();
            assert_eq!(shares.iter().map(|share| share.retries).sum::<usize>(), limit);
            let (least, most) = (limit / ONE_IN, limit.div_ceil(ONE_IN));
            assert!(
                shares.iter().all(|share| (least..=most).contains(&share.retries)),
                "{limit}: {shares:?}"
            );
            assert_eq!(shares.iter().filter(|share| share.first == ClaimFirst::Due).count(), 1);
        }
    }
}

//! What it says of a delivery that its host died: how it is claimed from then on, and which attempts count.
//!
//! ```text
//!                     lost with its host          lost                         lost while it ran alone, for the
//!                     (not counted)               (not counted)                third time (each counted)
//! Ordinary ──────────────▶ Together ──────────────▶ Alone ─────────────────────────────▶ GivenUp
//!    ▲                        │                       │
//!    └────────────────────────┴───────────────────────┘ an attempt came to an end, whatever end
//! ```
//!
//! A host owns up to a thousand deliveries and runs a few of them, and writes nothing when one begins. So nobody knows
//! what a host that died had begun, and which delivery killed it, if one did. Such attempts do not count. The
//! deliveries are claimed with care instead: first a few at a time, then, if that host died too, one at a time, with a
//! durable mark before it begins. Only an attempt with that mark counts when its host dies.

/// Losses of a delivery that ran alone after which it is given up.
pub const MOST_ALONE: u32 = 3;

/// Losses in a row after which a delivery is given up even if it never began: its host may die of reading it.
pub const MOST_IN_A_ROW: u32 = 32;

/// The losses of a delivery, as its row records them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Losses {
    /// Attempts since the delivery was made or last replayed that do not count for its retry policy.
    pub uncharged: u32,
    /// Hosts that died in a row while they owned it. An attempt that ends sets this to 0.
    pub in_a_row: u32,
    /// Of these, those that died while it ran alone.
    pub alone: u32,
}

/// How a delivery is to be claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Care {
    /// With all others.
    Ordinary,
    /// With a few others that were lost once.
    Together,
    /// With no other that was lost, and marked before it begins.
    Alone,
    /// Like [`Alone`](Self::Alone), to be ended without another attempt.
    GivenUp,
}

impl Losses {
    /// How the delivery is to be claimed.
    #[must_use]
    pub const fn care(self) -> Care {
        match self {
            Self { alone: MOST_ALONE.., .. } | Self { in_a_row: MOST_IN_A_ROW.., .. } => Care::GivenUp,
            Self { in_a_row: 0, .. } => Care::Ordinary,
            Self { in_a_row: 1, .. } => Care::Together,
            Self { .. } => Care::Alone,
        }
    }

    /// After its host died. `began` is whether the attempt was marked as begun.
    #[must_use]
    pub const fn with_host(self, began: bool) -> Self {
        let Self { in_a_row, alone, .. } = self;
        let charged = self.by_living_host(began);
        Self { in_a_row: in_a_row.saturating_add(1), alone: alone.saturating_add(began as u32), ..charged }
    }

    /// After a living host lost track of an attempt, or gave it up. `began` is whether it may have begun.
    #[must_use]
    pub const fn by_living_host(self, began: bool) -> Self {
        let Self { uncharged, .. } = self;
        Self { uncharged: uncharged.saturating_add(!began as u32), ..self }
    }

    /// After an attempt came to an end that is not the delivery's: its host lives.
    #[must_use]
    pub const fn survived(self) -> Self {
        Self { in_a_row: 0, alone: 0, ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many hosts die of a delivery that kills each of them as soon as it begins.
    #[test]
    fn a_delivery_that_kills_its_host_is_given_up_after_five_of_them() {
        let mut losses = Losses::default();
        let mut hosts = Vec::new();
        while losses.care() != Care::GivenUp {
            hosts.push(losses.care());
            losses = losses.with_host(losses.care() == Care::Alone);
        }
        assert_eq!(hosts, [Care::Ordinary, Care::Together, Care::Alone, Care::Alone, Care::Alone]);
        assert_eq!(losses, Losses { uncharged: 2, in_a_row: 5, alone: 3 });
    }

    #[test]
    fn a_delivery_that_never_began_survives_twenty_crashes() {
        let losses = (0..20).fold(Losses::default(), |losses, _| losses.with_host(false));
        assert_eq!((losses.care(), losses.uncharged), (Care::Alone, 20));
        assert_eq!(losses.survived(), Losses { uncharged: 20, ..Losses::default() });
    }

    #[test]
    fn a_host_that_lives_is_no_reason_for_care() {
        let losses = Losses::default().by_living_host(false).by_living_host(true);
        assert_eq!((losses, losses.care()), (Losses { uncharged: 1, ..losses }, Care::Ordinary));
    }

    proptest! {
        #[test]
        fn each_loss_either_counts_or_does_not_and_all_come_to_an_end(began in prop::collection::vec(any::<bool>(), 0..40)) {
            let mut losses = Losses::default();
            for (n, began) in began.iter().enumerate() {
                if losses.care() == Care::GivenUp {
                    prop_assert!(losses.alone == MOST_ALONE || losses.in_a_row == MOST_IN_A_ROW);
                    return Ok(());
                }
                losses = losses.with_host(*began);
                prop_assert_eq!(losses.in_a_row as usize, n + 1);
                prop_assert_eq!(losses.uncharged + losses.alone, losses.in_a_row);
            }
        }
    }
}

//! How a claim is divided between retries that are due and deliveries that are ready.

/// The parts of one claim. What one side leaves free goes to the other, so that a claim is full as long as there is enough of either.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClaimShare {
    /// So many of the claimed deliveries are due retries, if there are as many, and all others are ready.
    pub retries: usize,
    /// Whose part comes first. Where the memory for events is scarce, the other part may find no room, so that
    /// neither may always be the second.
    pub first: ClaimFirst,
}

/// One of the two sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimFirst {
    /// Retries that are due.
    Due,
    /// What is ready.
    Ready,
}

impl ClaimShare {
    /// All retries that are due, and then what is ready.
    pub const DUE_FIRST: Self = Self { retries: usize::MAX, first: ClaimFirst::Due };

    /// All that is ready, and then retries that are due.
    pub const READY_FIRST: Self = Self { retries: 0, first: ClaimFirst::Ready };

    /// How many rows of a claim are kept for retries.
    pub(crate) fn retries_of(self, limit: usize) -> usize {
        self.retries.min(limit)
    }

    /// What is claimed, one part after the other: of which side, and at most how many. The second part also takes what the first left, and
    /// the third what the second left.
    pub(crate) fn parts(self, limit: usize) -> [(ClaimFirst, usize); 3] {
        let retries = self.retries_of(limit);
        match self.first {
            ClaimFirst::Due => {
                [(ClaimFirst::Due, retries), (ClaimFirst::Ready, limit), (ClaimFirst::Due, limit)]
            }
            ClaimFirst::Ready => {
                [(ClaimFirst::Ready, limit - retries), (ClaimFirst::Due, limit), (ClaimFirst::Ready, limit)]
            }
        }
    }
}

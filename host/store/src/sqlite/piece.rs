//! Work of many rows is parted into pieces, each a transaction, so that the write lock is held for some two milliseconds. What a piece
//! costs is its weight: one a row, and one for as many bytes of an image as cost about as much. A row that is heavier is a piece
//! alone.

use std::{ops::Range, time::Duration};

/// Rows without images in a piece.
pub(super) const MOST: usize = 60;

const BYTES_OF_ONE: usize = 8192;

/// The weight of a row with so many bytes of images.
pub(super) const fn weight(bytes: usize) -> usize {
    1 + bytes / BYTES_OF_ONE
}

/// How many of the rows with these weights are the first piece: none only if there are none.
pub(super) fn first(weights: impl IntoIterator<Item = usize>) -> usize {
    let mut sum = 0_usize;
    let fitting = weights.into_iter().enumerate().take_while(|(n, weight)| {
        sum = sum.saturating_add(*weight);
        *n == 0 || sum <= MOST
    });
    fitting.count()
}

/// Parts rows with these weights, in order.
pub(super) fn pieces(weights: &[usize]) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < weights.len() {
        let end = start + first(weights[start..].iter().copied());
        pieces.push(start..end);
        start = end;
    }
    pieces
}

/// How many rows a piece has whose weights nobody knows before: the lock was held for so long with so many.
#[derive(Debug)]
pub(super) struct Pace {
    rows: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rows: 8 }
    }
}

impl Pace {
    /// No more than these: each looks for its place among those that its statement has written.
    const MOST: usize = 64;
    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_millis(3);

    /// How many the next piece has.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// The lock was held for so long.
    pub(super) fn held(&mut self, held: Duration) {
        if held > Self::LONG {
            self.rows = self.rows.div_ceil(2);
        } else if held < Self::SHORT {
            self.rows = (self.rows * 2).min(Self::MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_follows_how_long_the_lock_was_held() {
        let mut pace = Pace::default();
        let mut after = |millis| {
            pace.held(Duration::from_millis(millis));
            pace.rows()
        };
        assert_eq!([500, 500, 500, 500].map(&mut after), [4, 2, 1, 1]);
        assert_eq!([0, 0, 2, 0, 0, 0, 0, 0].map(&mut after), [2, 4, 4, 8, 16, 32, 64, 64]);
    }

    #[test]
    fn pieces_have_a_bounded_weight_and_a_heavy_row_is_alone() {
        assert_eq!(pieces(&[]), []);
        assert_eq!(pieces(&[1; 2 * MOST + 1]), [0..MOST, MOST..2 * MOST, 2 * MOST..2 * MOST + 1]);
        assert_eq!(pieces(&[1, 10 * MOST, 1, MOST - 1, 1]), [0..1, 1..2, 2..4, 4..5]);
        assert_eq!((weight(0), weight(8191), weight(1 << 20)), (1, 1, 129));
    }
}

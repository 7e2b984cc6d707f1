//! A bounded queue that gives up its oldest when it overflows, and counts.

use std::collections::VecDeque;

#[derive(Debug)]
pub(crate) struct Ring<T> {
    items: VecDeque<T>,
    max: usize,
    dropped_total: u64,
}

impl<T> Ring<T> {
    /// A ring for at most `max` items (at least one).
    pub(crate) const fn new(max: usize) -> Self {
        Self { items: VecDeque::new(), max: if max == 0 { 1 } else { max }, dropped_total: 0 }
    }

    /// Adds the newest. Returns the oldest when it had to go for it.
    pub(crate) fn push(&mut self, item: T) -> Option<T> {
        let dropped = if self.items.len() >= self.max { self.items.pop_front() } else { None };
        self.dropped_total += u64::from(dropped.is_some());
        self.items.push_back(item);
        dropped
    }

    /// Takes the oldest `count`, oldest first.
    pub(crate) fn take(&mut self, count: usize) -> Vec<T> {
        self.items.drain(..count.min(self.items.len())).collect()
    }

    /// Puts back what [`take`](Self::take) gave, in its old place. What has no room any more is the oldest, and goes.
    /// Returns how many went.
    pub(crate) fn put_back(&mut self, taken: Vec<T>) -> usize {
        let room = self.max.saturating_sub(self.items.len());
        let gone = taken.len().saturating_sub(room);
        for item in taken.into_iter().skip(gone).rev() {
            self.items.push_front(item);
        }
        self.dropped_total += gone as u64;
        gone
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Items that went because there was no room, since the beginning.
    pub(crate) const fn dropped_total(&self) -> u64 {
        self.dropped_total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_oldest_goes_and_is_counted() {
        let mut ring = Ring::new(3);
        assert!((1..=3).all(|n| ring.push(n).is_none()));
        assert_eq!((ring.push(4), ring.dropped_total(), ring.len()), (Some(1), 1, 3));
        let taken = ring.take(2);
        assert_eq!(taken, [2, 3]);
        assert_eq!((ring.push(5), ring.push(6)), (None, None));
        assert_eq!(ring.put_back(taken), 2, "there is no room left for the two that were out");
        assert_eq!(ring.take(9), [4, 5, 6]);
        assert_eq!(ring.dropped_total(), 3);
    }

    proptest! {
        #[test]
        fn nothing_is_reordered_and_everything_is_accounted_for(steps in prop::collection::vec((0_u8..3, 1_usize..6), 1..80)) {
            let (mut ring, mut next, mut out) = (Ring::new(7), 0_u32, Vec::<u32>::new());
            for (what, count) in steps {
                match what {
                    0 => for _ in 0..count { ring.push(next); next += 1; },
                    1 => out.extend(ring.take(count)),
                    _ => { let taken = ring.take(count); for _ in 0..2 { ring.push(next); next += 1; } ring.put_back(taken); }
                }
            }
            out.extend(ring.take(usize::MAX));
            prop_assert!(out.windows(2).all(|pair| pair[0] < pair[1]), "reordered: {out:?}");
            prop_assert_eq!(out.len() as u64 + ring.dropped_total(), u64::from(next));
        }
    }
}

//! Sequence counters for cells of more than one word (C8).
//!
//! A reader loads key and elem of such a cell word by word, while the writer may be giving the cell to another key: it could
//! take one key's elem for another's. So the writer brackets the stores with two steps of a counter, and a reader that saw
//! a counter move, or an odd one, loads the cell anew. This is the one place where a reader waits for the writer, for the
//! few stores of a cell. (The counters of a seqlock: Boehm, *Can seqlocks get along with programming language memory
//! models?*, 2012.)
//!
//! Cells that no reader can see are written without: those of a bucket that an evacuation fills. Nor do removals step a
//! counter, since they leave the cell as it is.

use std::ops::Range;

use crate::format::bucket::{CELLS, Shape};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{spin_loop, yield_now};

/// How many counters an array has. A writer that is interrupted within a bracket holds up readers of one bucket in so many.
const STRIPES: usize = 64;

/// A reader that waits gives its core away each time that it has looked so often.
const TURNS_TO_A_YIELD: u32 = 64;

/// The counters of an array; each stands for all buckets whose numbers differ by a multiple of [`STRIPES`].
pub struct Sequences([Sequence; STRIPES]);

/// A counter on a cache line of its own: odd while the writer stores into a cell.
#[repr(align(64))]
pub struct Sequence(AtomicU64);

impl Sequences {
    /// The counters that cells of this shape need: none where a cell is one word, which is loaded and stored at once.
    pub fn for_cells_of(shape: Shape) -> Option<Box<Self>> {
        let one_word = (0..CELLS).all(|cell| lies_in_one_word(shape.key(cell)));
        let needed = !one_word || !shape.elem(0).is_empty();
        needed.then(|| Box::new(Sequences(std::array::from_fn(|_| Sequence(AtomicU64::new(0))))))
    }

    /// The counter of a bucket.
    #[inline]
    pub fn of(&self, bucket: u64) -> &Sequence {
        &self.0[bucket as usize % STRIPES]
    }
}

impl Sequence {
    /// Runs the stores of the one writer into a cell.
    #[inline]
    pub fn bracket(&self, stores: impl FnOnce()) {
        let before = self.0.load(Ordering::Relaxed);
        // The stores between are Release: a reader that loads what one of them wrote (Acquire) loads this step too.
        self.0.store(before.wrapping_add(1), Ordering::Relaxed);
        stores();
        // Release: a reader that loads this step (Acquire) loads all of the cell as it is then.
        self.0.store(before.wrapping_add(2), Ordering::Release);
    }

    /// What `loads` makes of a cell that was not stored to meanwhile. Its loads are Acquire, so that the second look at the
    /// counter comes behind them.
    #[inline]
    pub fn read<T>(&self, mut loads: impl FnMut() -> T) -> T {
        loop {
            let before = self.even();
            let loaded = loads();
            if self.is_still(before) {
                return loaded;
            }
        }
    }

    /// The first half of [`Sequence::read`]: the counter, as soon as no store is under way.
    #[inline]
    pub fn even(&self) -> u64 {
        let mut turn = 0u32;
        loop {
            let before = self.0.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                return before;
            }
            // A writer that lost its core in the middle of a cell needs one.
            turn = turn.wrapping_add(1);
            if turn.is_multiple_of(TURNS_TO_A_YIELD) { yield_now() } else { spin_loop() }
        }
    }

    /// The second half: whether none was begun since.
    #[inline]
    pub fn is_still(&self, before: u64) -> bool {
        self.0.load(Ordering::Relaxed) == before
    }
}

/// Whether these bytes of a bucket are loaded and stored at once.
#[inline]
pub fn lies_in_one_word(bytes: Range<usize>) -> bool {
    bytes.is_empty() || bytes.start / 8 == (bytes.end - 1) / 8
}

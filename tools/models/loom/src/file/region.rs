//! A region over loom's words, and the library's pointer to what is published.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use loom::sync::atomic::AtomicU64;

use crate::memory::Tracked;
use crate::seam::Words;
use crate::sync::atomic::Ordering;

#[path = "../../../../../src/file/region/published.rs"]
mod published;
pub(crate) use published::Published;

/// Index pages in memory, and the file behind them.
#[derive(Clone)]
pub(crate) struct Region {
    words: Arc<Vec<AtomicU64>>,
    /// Where a copy must not come beside a store: has loom report one that no ordering keeps apart from it. That a load
    /// comes after a later store is more than loom plays.
    copied: Option<Arc<Tracked<()>>>,
    pub(crate) file: Arc<Mutex<Vec<u64>>>,
}

impl Region {
    /// A fresh mapping of a file that holds these words.
    pub(crate) fn of(file: Vec<u64>) -> Self {
        let words = file.iter().map(|&word| AtomicU64::new(word)).collect();
        Region { words: Arc::new(words), copied: None, file: Arc::new(Mutex::new(file)) }
    }

    /// The same, where copies keep out of the way of stores.
    pub(crate) fn exclusive(self) -> Self {
        Region { copied: Some(Arc::new(Tracked::new(()))), ..self }
    }

    pub(crate) fn len(&self) -> usize {
        self.words.len() * 8
    }

    pub(crate) fn copy_out(&self, offset: usize, out: &mut [u8]) {
        self.copied.iter().for_each(|copied| copied.get());
        for (at, bytes) in out.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&self.load(offset / 8 + at, Ordering::Relaxed).to_le_bytes());
        }
    }

    pub(crate) fn copy_in(&self, offset: usize, bytes: &[u8]) {
        for (at, word) in bytes.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(std::array::from_fn(|i| word[i]));
            self.store(offset / 8 + at, word, Ordering::Relaxed);
        }
    }

    pub(crate) fn prefetch(&self, _: usize) {}

    pub(crate) fn populate_write(&self, _: usize, _: usize) {}

    pub(crate) fn fault_in(&self, _: usize, _: usize) {}

    pub(crate) fn prefer_large_pages(&self) {}

    /// The system interrupts every processor for this, so whoever reads afterwards reads the file.
    pub(crate) fn drop_copies(&self, runs: &[Range<usize>], _changed: impl Iterator<Item = usize>) {
        let file = self.file.lock().unwrap().clone();
        for run in runs {
            let (first, end) = (run.start / 8, run.end / 8);
            for (word, value) in self.words[first..end].iter().zip(&file[first..end]) {
                word.store(*value, Ordering::Release);
            }
        }
    }
}

impl Words for Region {
    fn load(&self, word: usize, order: Ordering) -> u64 {
        self.words[word].load(order)
    }

    fn store(&self, word: usize, value: u64, order: Ordering) {
        self.copied.iter().for_each(|copied| copied.set(()));
        self.words[word].store(value, order);
    }
}

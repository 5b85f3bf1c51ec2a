//! Plain heap memory behind the seams, for tests: pages that must be touched before they are loaded and
//! announced before they are stored to, arrays that can run out of space, and records in a list.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crate::error::{Error, Result};
use crate::format::bucket::{Hash, Position};
use crate::seam::{Arrays, Pages, Records, Words};

use super::geometry::{Geometry, Host};

const PAGE_WORDS: usize = 512;

/// A run of zeroed pages. Not touched yet, and loading from an untouched page is a test failure.
pub(super) struct HeapPages {
    words: Vec<AtomicU64>,
    touched: Vec<AtomicBool>,
    announced: AtomicUsize,
    carrying_out: Arc<AtomicBool>,
}

impl HeapPages {
    fn zeroed(bytes: u64, carrying_out: &Arc<AtomicBool>) -> Self {
        let words = bytes as usize / 8;
        HeapPages {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            touched: (0..words / PAGE_WORDS).map(|_| AtomicBool::new(false)).collect(),
            announced: AtomicUsize::new(usize::MAX),
            carrying_out: Arc::clone(carrying_out),
        }
    }

    /// The same words in pages that nobody has touched: what a reopened file has.
    pub(super) fn reopened(&self) -> Self {
        let copy = HeapPages::zeroed(self.words.len() as u64 * 8, &self.carrying_out);
        for (to, from) in copy.words.iter().zip(&self.words) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        copy
    }

    /// All words, to compare tables cell for cell.
    pub(super) fn words(&self) -> Vec<u64> {
        self.words.iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    /// Changes a word behind the table's back.
    pub(super) fn damage(&self, word: usize, value: u64) {
        self.words[word].store(value, Ordering::Relaxed);
    }
}

impl Words for HeapPages {
    fn load(&self, word: usize, order: Ordering) -> u64 {
        assert!(self.touched[word / PAGE_WORDS].load(Ordering::Relaxed), "word {word} was never touched");
        self.words[word].load(order)
    }

    fn store(&self, word: usize, value: u64, order: Ordering) {
        let announced = self.announced.swap(usize::MAX, Ordering::Relaxed);
        assert_eq!(announced, word, "before_write announces each store");
        self.words[word].store(value, order);
    }
}

impl Pages for HeapPages {
    fn touch(&self, word: usize, words: usize) -> Result<()> {
        for page in word / PAGE_WORDS..=(word + words - 1) / PAGE_WORDS {
            let before = self.touched[page].swap(true, Ordering::Relaxed);
            let first_in_phase_two = !before && self.carrying_out.load(Ordering::Relaxed);
            assert!(!first_in_phase_two, "the plan has touched all that it needs (C12)");
        }
        Ok(())
    }

    fn is_touched(&self, word: usize, words: usize) -> bool {
        (word / PAGE_WORDS..=(word + words - 1) / PAGE_WORDS)
            .all(|page| self.touched[page].load(Ordering::Relaxed))
    }

    fn before_write(&self, word: usize) {
        assert!(self.touched[word / PAGE_WORDS].load(Ordering::Relaxed), "word {word} was never touched");
        self.announced.store(word, Ordering::Relaxed);
    }

    fn offset(&self, word: usize) -> u64 {
        word as u64 * 8
    }
}

/// Gives out memory as long as there is some, and holds what was published.
pub(super) struct HeapHost {
    pub(super) bytes_left: AtomicU64,
    published: RwLock<Option<Arc<Geometry<HeapPages>>>>,
    pub(super) publications: AtomicUsize,
    /// Set while a plan is carried out: no page may be touched for the first time then.
    pub(super) carrying_out: Arc<AtomicBool>,
}

impl HeapHost {
    pub(super) fn new() -> Self {
        HeapHost {
            bytes_left: AtomicU64::new(u64::MAX),
            published: RwLock::new(None),
            publications: AtomicUsize::new(0),
            carrying_out: Arc::default(),
        }
    }

    /// Carries out a plan, which may not touch any page that was not touched before.
    pub(super) fn carry_out(&self, change: impl FnOnce()) {
        self.carrying_out.store(true, Ordering::Relaxed);
        change();
        self.carrying_out.store(false, Ordering::Relaxed);
    }

    /// What readers load.
    pub(super) fn published(&self) -> Arc<Geometry<HeapPages>> {
        Arc::clone(self.published.read().unwrap().as_ref().unwrap())
    }
}

impl Arrays for HeapHost {
    type Pages = HeapPages;

    fn reserve(&self, bytes: u64) -> Result<HeapPages> {
        assert!(bytes.is_multiple_of(4096));
        let left = self.bytes_left.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(bytes) else {
            return Err(Error::NoSpace { what: "a bucket array", needed_bytes: bytes });
        };
        self.bytes_left.store(left, Ordering::Relaxed);
        Ok(HeapPages::zeroed(bytes, &self.carrying_out))
    }
}

impl Host for HeapHost {
    fn publish(&self, geometry: &Arc<Geometry<HeapPages>>) {
        self.publications.fetch_add(1, Ordering::Relaxed);
        *self.published.write().unwrap() = Some(Arc::clone(geometry));
    }
}

/// A record: key, value, and the hash that the test gave its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct HeapRecord {
    pub(super) key: Vec<u8>,
    pub(super) value: u64,
    hash: Hash,
}

/// Records that are only ever added, as in a log; single ones can be made unreadable.
#[derive(Default)]
pub(super) struct HeapRecords {
    log: RwLock<Vec<HeapRecord>>,
    damaged: Mutex<HashMap<Position, ()>>,
    pub(super) reads: AtomicUsize,
}

impl HeapRecords {
    pub(super) fn append(&self, key: &[u8], value: u64, hash: Hash) -> Position {
        let mut log = self.log.write().unwrap();
        log.push(HeapRecord { key: key.to_vec(), value, hash });
        Position::from_offset(log.len() as u64 * 8).unwrap()
    }

    pub(super) fn damage(&self, position: Position) {
        self.damaged.lock().unwrap().insert(position, ());
    }

    fn at(&self, position: Position) -> Result<HeapRecord> {
        if self.damaged.lock().unwrap().contains_key(&position) {
            return Err(Error::corrupt("record", position.offset(), "a record", "damage"));
        }
        let log = self.log.read().unwrap();
        let number = (position.offset() / 8).checked_sub(1);
        let record = number.and_then(|number| log.get(number as usize));
        record.cloned().ok_or_else(|| Error::corrupt("record", position.offset(), "a record", "nothing"))
    }
}

impl Records for HeapRecords {
    type Record = HeapRecord;

    fn matching(&self, position: Position, key: &[u8]) -> Result<Option<HeapRecord>> {
        Ok(Some(self.at(position)?).filter(|record| record.key == key))
    }

    fn read(&self, position: Position) -> Result<HeapRecord> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.at(position)
    }

    fn key<'a>(&'a self, record: &'a HeapRecord) -> &'a [u8] {
        &record.key
    }

    fn hash(&self, record: &HeapRecord) -> Hash {
        record.hash
    }
}

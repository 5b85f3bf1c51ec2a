//! What the table stands on here: every access is a point where shuttle may let another thread go on.
//!
//! Shuttle knows one order of all accesses. A store that lacks its Release is played instead: the store before it
//! is held back until it is done.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::error::{Error, Result};
use crate::format::Part;
use crate::format::bucket::{Hash, Position, Shape, TophashWord};
use crate::seam::{Arrays, Pages, Records, Words};
use crate::table::{Geometry, Host};

/// What the stores of a table are, as the rules have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Store {
    Cell,
    Tophash,
    Removal,
    Mark,
    Link,
    Geometry,
}

impl Store {
    pub const ALL: [Store; 6] =
        [Store::Cell, Store::Tophash, Store::Removal, Store::Mark, Store::Link, Store::Geometry];
}

/// The stores of this process that overtake the one before them; none in a plain run.
pub static OVERTAKES: OnceLock<Store> = OnceLock::new();

shuttle::thread_local! {
    /// Whether this thread is the writer. It alone sees what is held back, and its loads of its own words need no
    /// turn: nobody else stores there.
    pub static WRITING: std::cell::Cell<bool> = std::cell::Cell::new(false);
}

/// The order of accesses.
struct Turns {
    /// Loaded before each access: there shuttle chooses who goes on.
    turn: shuttle::sync::atomic::AtomicUsize,
    /// While the table is filled nobody else runs, and nothing needs to be interrupted.
    alone: AtomicBool,
    held_back: Mutex<Option<HeldBack>>,
}

enum HeldBack {
    Word(Arc<[AtomicU64]>, usize, u64),
    Geometry(Arc<Published>, Arc<Geometry<ModelPages>>),
}

impl Turns {
    fn new() -> Arc<Self> {
        let turn = shuttle::sync::atomic::AtomicUsize::new(0);
        Arc::new(Turns { turn, alone: AtomicBool::new(true), held_back: Mutex::new(None) })
    }

    fn take(&self) {
        if !self.alone.load(Relaxed) {
            self.turn.load(Ordering::SeqCst);
        }
    }

    fn store(&self, kind: Store, store: HeldBack) {
        let Some(&overtakes) = OVERTAKES.get() else { return self.carry_out(store) };
        if kind == overtakes {
            self.carry_out(store);
            self.finish();
        } else {
            self.finish();
            *self.held_back.lock().unwrap() = Some(store);
        }
    }

    /// Does what was held back.
    fn finish(&self) {
        let store = self.held_back.lock().unwrap().take();
        if let Some(store) = store {
            self.carry_out(store);
        }
    }

    fn carry_out(&self, store: HeldBack) {
        self.take();
        match store {
            HeldBack::Word(words, word, value) => words[word].store(value, Relaxed),
            HeldBack::Geometry(published, geometry) => *published.0.lock().unwrap() = Some(geometry),
        }
    }

    /// The writer sees its own stores.
    fn own(&self, words: &Arc<[AtomicU64]>, word: usize) -> Option<u64> {
        match &*self.held_back.lock().unwrap() {
            Some(HeldBack::Word(at, held, value)) if *held == word && Arc::ptr_eq(at, words) => Some(*value),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Published(Mutex<Option<Arc<Geometry<ModelPages>>>>);

/// A run of zeroed index pages.
pub struct ModelPages {
    shape: Shape,
    words: Arc<[AtomicU64]>,
    turns: Arc<Turns>,
}

impl ModelPages {
    /// What a store into this word is.
    fn kind(&self, word: usize, value: u64) -> Store {
        let before = TophashWord(self.own(word));
        match Part::of(self.shape, word) {
            Part::Tophash if TophashWord(value).any_evacuated() => Store::Mark,
            Part::Tophash if TophashWord(value).filled().count() > before.filled().count() => Store::Tophash,
            Part::Tophash => Store::Removal,
            Part::Link => Store::Link,
            Part::Cell | Part::Key | Part::Elem => Store::Cell,
        }
    }

    /// What the writer sees.
    fn own(&self, word: usize) -> u64 {
        self.turns.own(&self.words, word).unwrap_or_else(|| self.words[word].load(Relaxed))
    }
}

impl Words for ModelPages {
    fn load(&self, word: usize, _: Ordering) -> u64 {
        if WRITING.with(std::cell::Cell::get) {
            return self.own(word);
        }
        self.turns.take();
        self.words[word].load(Relaxed)
    }

    fn store(&self, word: usize, value: u64, _: Ordering) {
        let kind = self.kind(word, value);
        self.turns.store(kind, HeldBack::Word(Arc::clone(&self.words), word, value));
    }
}

impl Pages for ModelPages {
    fn touch(&self, _: usize, _: usize) -> Result<()> {
        Ok(())
    }

    fn is_touched(&self, _: usize, _: usize) -> bool {
        true
    }

    fn before_write(&self, _: usize) {}

    fn offset(&self, word: usize) -> u64 {
        word as u64 * 8
    }
}

/// Gives out memory, and holds what was published.
pub struct ModelHost {
    shape: Shape,
    published: Arc<Published>,
    turns: Arc<Turns>,
}

impl ModelHost {
    /// For buckets of this shape.
    pub fn of(shape: Shape) -> Self {
        ModelHost { shape, published: Arc::default(), turns: Turns::new() }
    }

    /// What readers load.
    pub fn published(&self) -> Arc<Geometry<ModelPages>> {
        self.turns.take();
        Arc::clone(self.published.0.lock().unwrap().as_ref().unwrap())
    }

    /// The table is filled: from here on others run.
    pub fn begin(&self) {
        self.turns.finish();
        self.turns.alone.store(false, Relaxed);
    }

    /// An operation of the writer is over, and so is what was held back.
    pub fn finish(&self) {
        self.turns.finish();
    }
}

impl Arrays for ModelHost {
    type Pages = ModelPages;

    fn reserve(&self, bytes: u64) -> Result<ModelPages> {
        let words = (0..bytes / 8).map(|_| AtomicU64::new(0)).collect();
        Ok(ModelPages { shape: self.shape, words, turns: Arc::clone(&self.turns) })
    }
}

impl Host for ModelHost {
    fn publish(&self, geometry: &Arc<Geometry<ModelPages>>) {
        let geometry = HeldBack::Geometry(Arc::clone(&self.published), Arc::clone(geometry));
        self.turns.store(Store::Geometry, geometry);
    }
}

/// A record: a key and its value.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub key: u8,
    pub value: u64,
}

/// Records that are only ever added, as in a log.
#[derive(Default)]
pub struct ModelRecords(Mutex<Vec<Record>>);

impl ModelRecords {
    pub fn append(&self, key: u8, value: u64) -> Position {
        let mut records = self.0.lock().unwrap();
        records.push(Record { key, value });
        Position::from_offset(records.len() as u64 * 8).unwrap()
    }

    fn at(&self, position: Position) -> Result<Record> {
        let number = (position.offset() / 8).checked_sub(1);
        let record = number.and_then(|number| self.0.lock().unwrap().get(number as usize).copied());
        record.ok_or_else(|| Error::corrupt("record", position.offset(), "a record", "none"))
    }
}

impl Records for ModelRecords {
    type Record = Record;

    fn matching(&self, position: Position, key: &[u8]) -> Result<Option<Record>> {
        Ok(Some(self.at(position)?).filter(|record| [record.key] == key))
    }

    fn read(&self, position: Position) -> Result<Record> {
        self.at(position)
    }

    fn key<'a>(&'a self, record: &'a Record) -> &'a [u8] {
        std::slice::from_ref(&record.key)
    }

    fn hash(&self, record: &Record) -> Hash {
        hash(record.key)
    }
}

/// Half of the keys crowd into one bucket of a small table, the others spread.
pub fn hash(key: u8) -> Hash {
    let spread = u64::from(key).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Hash(if key.is_multiple_of(2) { spread & !0x7 } else { spread ^ spread >> 32 })
}

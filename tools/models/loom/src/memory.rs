//! What the table stands on, in a model: words, pages, records and the published geometry over loom's types.

use std::sync::atomic::AtomicU64 as Plain;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, AtomicUsize};

use crate::error::{Error, Result};
use crate::format::Part;
use crate::format::bucket::{Hash, Position, Shape, TophashWord};
use crate::seam::{Arrays, Pages, Records, Words};
use crate::table::{Geometry, Host};
use crate::{kernel, weaken};

/// Plain memory: loom reports a load and a store that no ordering keeps apart.
pub(crate) struct Tracked<T> {
    /// Only to tell loom. The lock satisfies the compiler, and nobody waits for it.
    access: Mutex<UnsafeCell<()>>,
    value: Mutex<T>,
}

impl<T: Copy> Tracked<T> {
    pub(crate) fn new(value: T) -> Self {
        Tracked { access: Mutex::new(UnsafeCell::new(())), value: Mutex::new(value) }
    }

    pub(crate) fn get(&self) -> T {
        kernel::interrupt();
        self.access.lock().unwrap().with(|_| ());
        *self.value.lock().unwrap()
    }

    pub(crate) fn set(&self, value: T) {
        self.access.lock().unwrap().with_mut(|_| ());
        *self.value.lock().unwrap() = value;
    }
}

/// A run of zeroed index pages.
pub(crate) struct ModelPages(Arc<Run>);

pub(crate) struct Run {
    shape: Shape,
    words: Vec<AtomicU64>,
    /// What the writer stored last, to tell what a store does.
    last: Vec<Plain>,
    /// Set when the run is given back; a reader that is still there races with that.
    gone: Tracked<bool>,
}

impl Run {
    fn zeroed(shape: Shape, words: usize) -> Self {
        Run {
            shape,
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            last: (0..words).map(|_| Plain::new(0)).collect(),
            gone: Tracked::new(false),
        }
    }

    /// What a store into this word is, as the rules have it.
    fn name_of_store(&self, word: usize, value: u64) -> &'static str {
        let before = TophashWord(self.last[word].swap(value, Ordering::Relaxed));
        let filled = |word: TophashWord| word.filled().count();
        match Part::of(self.shape, word) {
            Part::Tophash if TophashWord(value).any_evacuated() => "table: store of a mark",
            Part::Tophash if filled(TophashWord(value)) > filled(before) => "table: store of a tophash",
            Part::Tophash => "table: store of a removal",
            Part::Cell => "table: store of a cell",
            Part::Key => "table: store of a key",
            Part::Elem => "table: store of an elem",
            Part::Link => "table: store of a link",
        }
    }

    fn name_of_load(&self, word: usize) -> &'static str {
        match Part::of(self.shape, word) {
            Part::Tophash => "table: load of a tophash word",
            Part::Cell => "table: load of a cell",
            Part::Key => "table: load of a key",
            Part::Elem => "table: load of an elem",
            Part::Link => "table: load of a link",
        }
    }
}

impl Words for ModelPages {
    fn load(&self, word: usize, order: Ordering) -> u64 {
        let name = self.0.name_of_load(word);
        self.0.words[word].load(weaken::at(name, order))
    }

    fn store(&self, word: usize, value: u64, order: Ordering) {
        let name = self.0.name_of_store(word, value);
        self.0.words[word].store(value, weaken::at(name, order));
    }
}

impl Pages for ModelPages {
    fn touch(&self, _: usize, _: usize) -> Result<()> {
        assert!(!self.0.gone.get(), "an array was given back under its reader");
        Ok(())
    }

    fn is_touched(&self, word: usize, words: usize) -> bool {
        self.touch(word, words).is_ok()
    }

    fn before_write(&self, _: usize) {}

    fn offset(&self, word: usize) -> u64 {
        word as u64 * 8
    }
}

impl Drop for ModelPages {
    fn drop(&mut self) {
        self.0.gone.set(true);
    }
}

/// Gives out memory and keeps it to the end of the execution, so that a reader who was betrayed finds out instead of
/// crashing.
pub(crate) struct Memory {
    shape: Shape,
    runs: Mutex<Vec<Arc<Run>>>,
}

impl Memory {
    /// For buckets of this shape.
    pub(crate) fn of(shape: Shape) -> Self {
        Memory { shape, runs: Mutex::default() }
    }

    pub(crate) fn zeroed(&self, bytes: u64) -> ModelPages {
        let run = Arc::new(Run::zeroed(self.shape, bytes as usize / 8));
        self.runs.lock().unwrap().push(Arc::clone(&run));
        ModelPages(run)
    }
}

/// Where the table's geometries are published: the number of the last one.
pub(crate) struct ModelHost {
    memory: Memory,
    geometries: Mutex<Vec<Arc<Geometry<ModelPages>>>>,
    published: AtomicUsize,
}

impl ModelHost {
    /// For buckets of this shape.
    pub(crate) fn of(shape: Shape) -> Self {
        let geometries = Mutex::default();
        ModelHost { memory: Memory::of(shape), geometries, published: AtomicUsize::new(0) }
    }

    /// What readers load.
    pub(crate) fn published(&self) -> Arc<Geometry<ModelPages>> {
        let order = weaken::at("table: load of the geometry", Ordering::Acquire);
        let number = self.published.load(order);
        Arc::clone(&self.geometries.lock().unwrap()[number])
    }
}

impl Arrays for ModelHost {
    type Pages = ModelPages;

    fn reserve(&self, bytes: u64) -> Result<ModelPages> {
        Ok(self.memory.zeroed(bytes))
    }
}

impl Host for ModelHost {
    fn publish(&self, geometry: &Arc<Geometry<ModelPages>>) {
        let mut geometries = self.geometries.lock().unwrap();
        geometries.push(Arc::clone(geometry));
        let order = weaken::at("table: store of the geometry", Ordering::Release);
        let number = geometries.len() - 1;
        drop(geometries);
        self.published.store(number, order);
    }
}

/// A record: a key and its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Record {
    pub(crate) key: u8,
    pub(crate) value: u64,
}

/// More than any model writes.
const MAX_RECORDS: usize = 24;

/// Records below a watermark, like those of a log segment (`RecordMemory`).
pub(crate) struct ModelRecords {
    records: Vec<Tracked<Record>>,
    watermark: AtomicUsize,
}

impl Default for ModelRecords {
    fn default() -> Self {
        let records = (0..MAX_RECORDS).map(|_| Tracked::new(Record::default())).collect();
        ModelRecords { records, watermark: AtomicUsize::new(0) }
    }
}

impl ModelRecords {
    pub(crate) fn append(&self, key: u8, value: u64) -> Position {
        let number = self.watermark.load(Ordering::Relaxed);
        self.records[number].set(Record { key, value });
        let order = weaken::at("records: store of the watermark", Ordering::Release);
        self.watermark.store(number + 1, order);
        Position::from_offset((number as u64 + 1) * 8).unwrap()
    }

    fn at(&self, position: Position) -> Result<Record> {
        let number = (position.offset() / 8) as usize - 1;
        if number >= self.watermark.load(weaken::at("records: load of the watermark", Ordering::Acquire)) {
            return Err(Error::corrupt("record", position.offset(), "a published record", "none"));
        }
        Ok(self.records[number].get())
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

/// Even keys belong in the first bucket, odd ones in the last, however many there are. Keys that differ by 64 have the same
/// hash.
pub(crate) fn hash(key: u8) -> Hash {
    Hash((u64::from(key % 64 + 0x10) << 56) | (u64::from(key & 1) * 0xff))
}

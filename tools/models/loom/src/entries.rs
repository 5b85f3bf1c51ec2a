//! What a model keeps in the table, in either layout: small keys, each with a value. Both programs have it.

use std::array;
use std::ops::Deref;
use std::sync::LazyLock;

use crate::error::Result;
use crate::format::bucket::{Cell, Hash, Shape};
use crate::format::schema::Layout;
use crate::memory::{ModelRecords, Record, hash};
use crate::seam::Pages;
use crate::table::{
    Cells, Geometry, Growth, HashKind, Host, InlineCells, InlinePut, KeyHasher, Slot, Table, Trigger, Walk,
    lookup, peek,
};

/// How a layout stores entries.
pub trait Entries: Default + Send + Sync + 'static {
    type Cells: Cells;

    const SHAPE: Shape;

    fn cells(&self) -> &Self::Cells;

    fn hash(&self, key: u8) -> Hash;

    /// The value in a cell, if the cell is the key's.
    fn value<P: Pages>(&self, slot: Slot<'_, P>, key: u8) -> Result<Option<u64>>;

    /// Key and value of an entry that a walk came by.
    fn entry(&self, entry: &<Self::Cells as Cells>::Entry) -> (u8, u64);

    /// Puts a key as the store does; the growth that this began with.
    fn put<H: Host>(
        &self,
        host: &H,
        table: &mut Table<H::Pages>,
        entry: (u8, u64),
        trigger: Trigger,
    ) -> Option<Growth>;

    /// Removes a key that is there.
    fn remove<H: Host>(
        &self,
        host: &H,
        table: &mut Table<H::Pages>,
        key: u8,
        trigger: Trigger,
    ) -> Option<Growth>;

    /// A lookup as the store makes it: at the key's bucket, and where that does not decide, everywhere.
    fn look_up<P: Pages, G: Deref<Target = Geometry<P>>>(
        &self,
        published: impl Fn() -> G,
        key: u8,
    ) -> Option<u64> {
        let hash = self.hash(key);
        peek(&published(), hash, |slot| self.value(slot, key).ok())
            .unwrap_or_else(|| lookup(published, hash, |slot| self.value(slot, key)).unwrap())
    }

    /// Every entry of one iteration, as the store makes it: in the bucket where it is, and where that has no more,
    /// everywhere. It begins where the random number `start` says.
    fn walk<P: Pages, G: Deref<Target = Geometry<P>>>(
        &self,
        published: impl Fn() -> G,
        start: u64,
    ) -> Vec<(u8, u64)> {
        let mut walk = Walk::new(&published(), start);
        let step = || match walk.peek(&published(), self.cells()) {
            Some(slot) => Some(self.cells().read(slot).unwrap()),
            None => walk.next(&published, self.cells()).map(|entry| entry.unwrap()),
        };
        std::iter::from_fn(step).map(|entry| self.entry(&entry)).collect()
    }
}

impl Entries for ModelRecords {
    type Cells = Self;

    const SHAPE: Shape = Shape::RECORD;

    fn cells(&self) -> &Self {
        self
    }

    fn hash(&self, key: u8) -> Hash {
        hash(key)
    }

    fn value<P: Pages>(&self, slot: Slot<'_, P>, key: u8) -> Result<Option<u64>> {
        Ok(self.find(slot, hash(key), &[key])?.map(|record| record.value))
    }

    fn entry(&self, record: &Record) -> (u8, u64) {
        (record.key, record.value)
    }

    fn put<H: Host>(
        &self,
        host: &H,
        table: &mut Table<H::Pages>,
        (key, value): (u8, u64),
        trigger: Trigger,
    ) -> Option<Growth> {
        let hash = hash(key);
        let (spot, _) = table.locate(self, hash, &[key]).unwrap();
        let plan = table.prepare_put(host, self, hash, spot, trigger).unwrap();
        let (growth, position) = (plan.growth(), self.append(key, value));
        table.put(host, plan, hash, Cell::new(position, hash));
        growth
    }

    fn remove<H: Host>(
        &self,
        host: &H,
        table: &mut Table<H::Pages>,
        key: u8,
        trigger: Trigger,
    ) -> Option<Growth> {
        let hash = hash(key);
        let (spot, found) = table.locate(self, hash, &[key]).unwrap();
        assert_eq!(found.map(|record| record.key), Some(key), "present");
        let plan = table.prepare_remove(host, self, hash, spot, trigger).unwrap();
        let growth = plan.growth();
        table.remove(host, plan, hash);
        growth
    }
}

/// Cells with keys of 8 bytes and elems of so many words, each of which is the value.
pub struct InlineEntries<const WORDS: usize>(InlineCells<'static>);

/// Of a model's hashes as many low bits count as its tables have B.
const LOW_BITS: u8 = 6;

static HASHER: LazyLock<KeyHasher> = LazyLock::new(|| KeyHasher::new(HashKind::Sip13, &[0; 16]));

/// The cells' keys, by the model's: those whose hashes have the tophash and the low bits that the model asks for.
static KEYS: LazyLock<[[u8; 8]; 128]> = LazyLock::new(|| {
    let mut keys = (0u64..).map(u64::to_le_bytes);
    let parts = |hash: Hash| (hash.tophash(), hash.bucket(LOW_BITS));
    array::from_fn(|key| keys.find(|of| parts(HASHER.hash(of)) == parts(hash(key as u8))).unwrap())
});

impl<const WORDS: usize> InlineEntries<WORDS> {
    fn key(key: u8) -> &'static [u8; 8] {
        &KEYS[usize::from(key)]
    }
}

/// What all words of an elem say.
fn whole(elem: &[u8]) -> u64 {
    let mut words = elem.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let first = words.next().expect("an elem of some words");
    assert!(words.all(|word| word == first), "a torn elem: {elem:?}");
    first
}

impl<const WORDS: usize> Default for InlineEntries<WORDS> {
    fn default() -> Self {
        let layout = Layout::Inline { key_width: 8, elem_width: 8 * WORDS as u8 };
        InlineEntries(InlineCells::of(layout, &HASHER))
    }
}

impl<const WORDS: usize> Entries for InlineEntries<WORDS> {
    type Cells = InlineCells<'static>;

    const SHAPE: Shape = Shape::new(8, 8 * WORDS as u8);

    fn cells(&self) -> &InlineCells<'static> {
        &self.0
    }

    fn hash(&self, key: u8) -> Hash {
        HASHER.hash(Self::key(key))
    }

    fn value<P: Pages>(&self, slot: Slot<'_, P>, key: u8) -> Result<Option<u64>> {
        let mut elem = vec![0; 8 * WORDS];
        Ok(slot.read_if(Self::key(key), &mut elem).then(|| whole(&elem)))
    }

    fn entry(&self, entry: &<InlineCells<'static> as Cells>::Entry) -> (u8, u64) {
        let key = KEYS.iter().position(|key| key == entry.key());
        (key.expect("a key of the model") as u8, whole(entry.elem()))
    }

    fn put<H: Host>(
        &self,
        host: &H,
        table: &mut Table<H::Pages>,
        (key, value): (u8, u64),
        trigger: Trigger,
    ) -> Option<Growth> {
        let (hash, key) = (self.hash(key), Self::key(key));
        let mut elem = vec![0; 8 * WORDS];
        let spot = table.locate_inline(hash, key, &mut elem).unwrap();
        let plan = table.prepare_put(host, &self.0, hash, spot, trigger).unwrap();
        let growth = plan.growth();
        elem = value.to_le_bytes().repeat(WORDS);
        table.put(host, plan, hash, InlinePut { key, elem: &elem });
        growth
    }

    fn remove<H: Host>(
        &self,
        host: &H,
        table: &mut Table<H::Pages>,
        key: u8,
        trigger: Trigger,
    ) -> Option<Growth> {
        let (hash, key) = (self.hash(key), Self::key(key));
        let spot = table.locate_inline(hash, key, &mut vec![0; 8 * WORDS]).unwrap();
        assert!(spot.is_taken(), "present");
        let plan = table.prepare_remove(host, &self.0, hash, spot, trigger).unwrap();
        let growth = plan.growth();
        table.remove(host, plan, hash);
        growth
    }
}

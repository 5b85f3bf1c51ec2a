//! What cells hold: the one place where the layouts differ, by static dispatch.
//!
//! In the record layout a cell is one word, which points at a record and knows the low bits of its key's hash; the records
//! are the layer above's. In the inline layout a cell is a key and an elem, and whoever needs a key's hash computes it, as Go
//! does.

use crate::error::Result;
use crate::format::bucket::{Cell, Hash, Position};
use crate::format::schema::{Layout, MAX_INLINE_BYTES};
use crate::seam::{Pages, Records};

use super::hash::KeyHasher;
use super::plan::Spot;
use super::slot::Slot;

/// How entries are read from the cells of a layout.
pub trait Cells {
    /// An entry as it was read.
    type Entry;

    /// How many of the low bits of its key's hash a cell tells by itself.
    const HASH_BITS: u32;

    /// These bits.
    fn low_hash<P: Pages>(slot: Slot<'_, P>) -> u64;

    /// The entry in a filled cell, or in one that was evacuated.
    fn read<P: Pages>(&self, slot: Slot<'_, P>) -> Result<Self::Entry>;

    /// The entry in a cell, if this is its key.
    fn find<P: Pages>(&self, slot: Slot<'_, P>, hash: Hash, key: &[u8]) -> Result<Option<Self::Entry>>;

    /// An entry's key; an iteration follows an evacuated cell by it (C7).
    fn key<'a>(&'a self, entry: &'a Self::Entry) -> &'a [u8];

    /// The hash of an entry's key.
    fn hash(&self, entry: &Self::Entry) -> Hash;

    /// The hash of the key in a filled cell.
    fn hash_at<P: Pages>(&self, slot: Slot<'_, P>) -> Result<Hash>;

    /// Has the processor fetch what reading the entries of these cells needs beyond them; a hint.
    fn prefetch<'a, P: Pages + 'a>(&self, _slots: impl Iterator<Item = Slot<'a, P>>) {}
}

impl<R: Records> Cells for R {
    type Entry = R::Record;

    const HASH_BITS: u32 = Cell::HASH_BITS;

    fn low_hash<P: Pages>(slot: Slot<'_, P>) -> u64 {
        slot.cell().hash_low()
    }

    fn read<P: Pages>(&self, slot: Slot<'_, P>) -> Result<R::Record> {
        Records::read(self, slot.cell().position())
    }

    #[inline]
    fn find<P: Pages>(&self, slot: Slot<'_, P>, hash: Hash, key: &[u8]) -> Result<Option<R::Record>> {
        in_record(slot, hash, |position| self.matching(position, key))
    }

    fn key<'a>(&'a self, record: &'a R::Record) -> &'a [u8] {
        Records::key(self, record)
    }

    fn hash(&self, record: &R::Record) -> Hash {
        Records::hash(self, record)
    }

    fn hash_at<P: Pages>(&self, slot: Slot<'_, P>) -> Result<Hash> {
        Ok(Records::hash(self, &Records::read(self, slot.cell().position())?))
    }

    #[inline]
    fn prefetch<'a, P: Pages + 'a>(&self, slots: impl Iterator<Item = Slot<'a, P>>) {
        slots.for_each(|slot| Records::prefetch(self, slot.cell().position()));
    }
}

/// Bytes of the largest key and the largest elem.
const LARGEST_ENTRY: usize = 2 * MAX_INLINE_BYTES as usize;

/// The cells of the inline layout. Entries that are read from them take `BYTES` bytes, at least those of a key and an elem.
pub struct InlineCells<'a, const BYTES: usize = LARGEST_ENTRY> {
    hasher: &'a KeyHasher,
    key_width: usize,
    elem_width: usize,
}

/// Key and elem of a cell, copied.
#[derive(Clone, Copy)]
pub struct InlineEntry<const BYTES: usize = LARGEST_ENTRY> {
    bytes: [u8; BYTES],
    key_width: u8,
    elem_width: u8,
}

impl<const BYTES: usize> InlineEntry<BYTES> {
    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        &self.bytes[..usize::from(self.key_width)]
    }

    /// The elem.
    #[inline]
    pub fn elem(&self) -> &[u8] {
        let from = usize::from(self.key_width);
        &self.bytes[from..from + usize::from(self.elem_width)]
    }
}

impl<'a> InlineCells<'a> {
    /// The cells of a file with this layout.
    #[inline]
    pub fn of(layout: Layout, hasher: &'a KeyHasher) -> Self {
        let (key_width, elem_width) = (layout.key_width().into(), layout.elem_width().into());
        InlineCells { hasher, key_width, elem_width }
    }

    /// The same for small entries.
    #[inline]
    pub fn of_at_most<const BYTES: usize>(&self) -> InlineCells<'a, BYTES> {
        let InlineCells { hasher, key_width, elem_width } = *self;
        InlineCells { hasher, key_width, elem_width }
    }
}

impl<const BYTES: usize> InlineCells<'_, BYTES> {
    #[inline]
    fn hash_of<P: Pages>(&self, slot: Slot<'_, P>, key: &mut [u8]) -> Hash {
        slot.copy_key(key);
        self.hasher.hash(key)
    }

    #[inline]
    fn entry<P: Pages>(&self, slot: Slot<'_, P>) -> InlineEntry<BYTES> {
        let mut bytes = [0; BYTES];
        let (key, elem) = bytes.split_at_mut(self.key_width);
        slot.read(key, &mut elem[..self.elem_width]);
        InlineEntry { bytes, key_width: self.key_width as u8, elem_width: self.elem_width as u8 }
    }
}

impl<const BYTES: usize> Cells for InlineCells<'_, BYTES> {
    type Entry = InlineEntry<BYTES>;

    const HASH_BITS: u32 = 0;

    fn low_hash<P: Pages>(_: Slot<'_, P>) -> u64 {
        0
    }

    #[inline]
    fn read<P: Pages>(&self, slot: Slot<'_, P>) -> Result<InlineEntry<BYTES>> {
        Ok(self.entry(slot))
    }

    fn find<P: Pages>(&self, slot: Slot<'_, P>, _: Hash, key: &[u8]) -> Result<Option<InlineEntry<BYTES>>> {
        Ok(Some(self.entry(slot)).filter(|entry| entry.key() == key))
    }

    fn key<'a>(&'a self, entry: &'a InlineEntry<BYTES>) -> &'a [u8] {
        entry.key()
    }

    fn hash(&self, entry: &InlineEntry<BYTES>) -> Hash {
        self.hasher.hash(entry.key())
    }

    #[inline]
    fn hash_at<P: Pages>(&self, slot: Slot<'_, P>) -> Result<Hash> {
        Ok(match self.key_width {
            8 => self.hash_of(slot, &mut [0; 8]),
            width => self.hash_of(slot, &mut [0; MAX_INLINE_BYTES as usize][..width]),
        })
    }
}

/// What looks at a cell of the record layout, made of what looks at a record.
#[inline]
pub fn in_record<P: Pages, T>(
    slot: Slot<'_, P>,
    hash: Hash,
    look: impl FnOnce(Position) -> Result<Option<T>>,
) -> Result<Option<T>> {
    // The cell's 24 bits of hash spare the record of a false match its cache miss.
    match slot.position_for(hash) {
        Some(position) => look(position),
        None => Ok(None),
    }
}

/// Tells an entry's cell from all others of its chain; for the writer.
pub trait Name: Copy {
    /// Whether the cell is the one.
    fn is_at<P: Pages>(self, slot: Slot<'_, P>) -> bool;
}

impl Name for Cell {
    /// Positions are unique, so the word names the entry.
    #[inline]
    fn is_at<P: Pages>(self, slot: Slot<'_, P>) -> bool {
        slot.cell() == self
    }
}

/// A key of the inline layout; it is in one cell at most.
#[derive(Clone, Copy)]
pub struct InlineKey<'k>(pub &'k [u8]);

impl Name for InlineKey<'_> {
    #[inline]
    fn is_at<P: Pages>(self, slot: Slot<'_, P>) -> bool {
        slot.holds(self.0)
    }
}

/// What a put stores in a cell.
pub trait Content: Copy {
    /// Gives an empty cell to the key.
    fn fill<P: Pages>(self, slot: Slot<'_, P>);

    /// Changes what the key's cell says of it.
    fn replace<P: Pages>(self, slot: Slot<'_, P>);
}

impl Content for Cell {
    #[inline]
    fn fill<P: Pages>(self, slot: Slot<'_, P>) {
        slot.set_cell(self);
    }

    #[inline]
    fn replace<P: Pages>(self, slot: Slot<'_, P>) {
        slot.set_cell(self);
    }
}

/// An entry of the inline layout that is to be stored.
#[derive(Clone, Copy)]
pub struct InlinePut<'k> {
    /// The key.
    pub key: &'k [u8],
    /// The elem.
    pub elem: &'k [u8],
}

impl Content for InlinePut<'_> {
    #[inline]
    fn fill<P: Pages>(self, slot: Slot<'_, P>) {
        slot.fill(self.key, self.elem);
    }

    #[inline]
    fn replace<P: Pages>(self, slot: Slot<'_, P>) {
        slot.set_elem(self.key.len(), self.elem);
    }
}

/// How the writer finds the cells of keys, and what it stores there.
pub trait KeyedCells: Cells {
    /// What tells a key's cell from all others.
    type Name<'k>: Name;

    /// What is learned of an entry that was found.
    type Found;

    /// The cell's name, if this is its key; what is learned goes to `found`.
    fn locate<'k, P: Pages>(
        &self,
        slot: Slot<'_, P>,
        hash: Hash,
        key: &'k [u8],
        found: &mut Option<Self::Found>,
    ) -> Result<Option<Self::Name<'k>>>;

    /// What a put stores for a key; its record lies at `position`.
    fn content<'k>(hash: Hash, position: Position, key: &'k [u8], elem: &'k [u8]) -> impl Content;
}

/// Where a key is, and what was learned of its entry, if it has one.
pub type Located<'k, C> = (Spot<<C as KeyedCells>::Name<'k>>, Option<<C as KeyedCells>::Found>);

impl<R: Records> KeyedCells for R {
    type Name<'k> = Cell;
    type Found = R::Record;

    #[inline(always)]
    fn locate<P: Pages>(
        &self,
        slot: Slot<'_, P>,
        hash: Hash,
        key: &[u8],
        found: &mut Option<R::Record>,
    ) -> Result<Option<Cell>> {
        let cell = slot.cell();
        if cell.may_be(hash) {
            *found = self.matching(cell.position(), key)?;
        }
        Ok(found.is_some().then_some(cell))
    }

    #[inline]
    fn content<'k>(hash: Hash, position: Position, _: &'k [u8], _: &'k [u8]) -> impl Content {
        Cell::new(position, hash)
    }
}

impl KeyedCells for InlineCells<'_> {
    type Name<'k> = InlineKey<'k>;
    type Found = ();

    #[inline]
    fn locate<'k, P: Pages>(
        &self,
        slot: Slot<'_, P>,
        _: Hash,
        key: &'k [u8],
        found: &mut Option<()>,
    ) -> Result<Option<InlineKey<'k>>> {
        *found = slot.holds(key).then_some(());
        Ok(found.map(|()| InlineKey(key)))
    }

    #[inline]
    fn content<'k>(_: Hash, _: Position, key: &'k [u8], elem: &'k [u8]) -> impl Content {
        InlinePut { key, elem }
    }
}

//! What the rigs keep in the table, in either layout: keys of 8 bytes, each with a number.

use std::sync::LazyLock;

use super::*;
use crate::format::schema::Layout;
use crate::seam::Pages;
use crate::table::{Growth, HashKind, InlineCells, InlinePut, KeyHasher};

/// How a layout stores entries.
pub(super) trait Entries: Cells + Sync {
    fn shape(&self) -> Shape;

    /// The key and the number of an entry.
    fn parts(&self, entry: &Self::Entry) -> (Vec<u8>, u64);

    /// What is kept of a number.
    fn kept(&self, value: u64) -> u64;

    /// What is in the key's cell.
    fn in_cell<P: Pages>(&self, slot: Slot<'_, P>, hash: Hash, key: &[u8]) -> Result<Option<u64>>;

    /// Puts a key; the growth that this began with.
    fn put(
        &self,
        host: &HeapHost,
        table: &mut Table<HeapPages>,
        hash: Hash,
        entry: (&[u8], u64),
        trigger: Trigger,
    ) -> Result<Option<Growth>>;

    /// Removes a key: its number, and the growth that this began with.
    fn remove(
        &self,
        host: &HeapHost,
        table: &mut Table<HeapPages>,
        hash: Hash,
        key: &[u8],
        trigger: Trigger,
    ) -> Result<Option<(u64, Option<Growth>)>>;

    /// A lookup as the store makes it: at the key's bucket, and where that does not decide, everywhere.
    fn look_up(&self, host: &HeapHost, hash: Hash, key: &[u8]) -> Option<u64> {
        match peek(&host.published(), hash, |slot| self.in_cell(slot, hash, key).ok()) {
            Some(decided) => decided,
            None => lookup(|| host.published(), hash, |slot| self.in_cell(slot, hash, key)).unwrap(),
        }
    }
}

impl Entries for HeapRecords {
    fn shape(&self) -> Shape {
        Shape::RECORD
    }

    fn parts(&self, record: &HeapRecord) -> (Vec<u8>, u64) {
        (record.key.clone(), record.value)
    }

    fn kept(&self, value: u64) -> u64 {
        value
    }

    fn in_cell<P: Pages>(&self, slot: Slot<'_, P>, hash: Hash, key: &[u8]) -> Result<Option<u64>> {
        Ok(self.find(slot, hash, key)?.map(|record| record.value))
    }

    fn put(
        &self,
        host: &HeapHost,
        table: &mut Table<HeapPages>,
        hash: Hash,
        (key, value): (&[u8], u64),
        trigger: Trigger,
    ) -> Result<Option<Growth>> {
        let (spot, _) = table.locate(self, hash, key)?;
        let plan = table.prepare_put(host, self, hash, spot, trigger)?;
        let (growth, position) = (plan.growth(), self.append(key, value, hash));
        host.carry_out(|| table.put(host, plan, hash, Cell::new(position, hash)));
        Ok(growth)
    }

    fn remove(
        &self,
        host: &HeapHost,
        table: &mut Table<HeapPages>,
        hash: Hash,
        key: &[u8],
        trigger: Trigger,
    ) -> Result<Option<(u64, Option<Growth>)>> {
        let (spot, found) = table.locate(self, hash, key)?;
        let Some(found) = found else { return Ok(None) };
        let plan = table.prepare_remove(host, self, hash, spot, trigger)?;
        let growth = plan.growth();
        host.carry_out(|| table.remove(host, plan, hash));
        Ok(Some((found.value, growth)))
    }
}

type InlineEntry = <InlineCells<'static> as Cells>::Entry;

/// Cells of the inline layout: keys and numbers are cut off at their widths, or repeated up to them, so that a torn copy
/// shows.
pub(super) struct HeapCells {
    cells: InlineCells<'static>,
    key_width: usize,
    elem_width: usize,
    hash: fn(&[u8]) -> Hash,
}

impl HeapCells {
    pub(super) fn new(key_width: u8, elem_width: u8, hash: fn(&[u8]) -> Hash) -> Self {
        // Tests have hashes of their own, so this one goes unused.
        static HASHER: LazyLock<KeyHasher> = LazyLock::new(|| KeyHasher::new(HashKind::Sip13, &[0; 16]));
        let cells = InlineCells::of(Layout::Inline { key_width, elem_width }, &HASHER);
        HeapCells { cells, key_width: key_width.into(), elem_width: elem_width.into(), hash }
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        let fits = key[key.len().min(self.key_width)..].iter().all(|&byte| byte == 0);
        assert!(fits, "a key that does not fit {} bytes: {key:?}", self.key_width);
        widened(key, self.key_width)
    }

    fn elem(&self, value: u64) -> Vec<u8> {
        widened(&value.to_le_bytes(), self.elem_width)
    }
}

fn widened(bytes: &[u8], width: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(width).collect()
}

/// The number that was widened to these bytes.
fn number(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    let known = bytes.len().min(8);
    number[..known].copy_from_slice(&bytes[..known]);
    assert_eq!(bytes, widened(&number, bytes.len()), "all words say the same");
    u64::from_le_bytes(number)
}

impl Cells for HeapCells {
    type Entry = InlineEntry;

    const HASH_BITS: u32 = <InlineCells>::HASH_BITS;

    fn low_hash<P: Pages>(slot: Slot<'_, P>) -> u64 {
        <InlineCells>::low_hash(slot)
    }

    fn read<P: Pages>(&self, slot: Slot<'_, P>) -> Result<InlineEntry> {
        self.cells.read(slot)
    }

    fn find<P: Pages>(&self, slot: Slot<'_, P>, hash: Hash, key: &[u8]) -> Result<Option<InlineEntry>> {
        self.cells.find(slot, hash, key)
    }

    fn key<'a>(&'a self, entry: &'a InlineEntry) -> &'a [u8] {
        entry.key()
    }

    fn hash(&self, entry: &InlineEntry) -> Hash {
        (self.hash)(&number(entry.key()).to_le_bytes())
    }

    fn hash_at<P: Pages>(&self, slot: Slot<'_, P>) -> Result<Hash> {
        Ok(self.hash(&self.read(slot)?))
    }
}

impl Entries for HeapCells {
    fn shape(&self) -> Shape {
        Shape::new(self.key_width as u8, self.elem_width as u8)
    }

    fn parts(&self, entry: &InlineEntry) -> (Vec<u8>, u64) {
        (number(entry.key()).to_le_bytes().into(), number(entry.elem()))
    }

    fn kept(&self, value: u64) -> u64 {
        number(&self.elem(value))
    }

    fn in_cell<P: Pages>(&self, slot: Slot<'_, P>, _: Hash, key: &[u8]) -> Result<Option<u64>> {
        let mut elem = self.elem(0);
        Ok(slot.read_if(&self.key(key), &mut elem).then(|| number(&elem)))
    }

    fn put(
        &self,
        host: &HeapHost,
        table: &mut Table<HeapPages>,
        hash: Hash,
        (key, value): (&[u8], u64),
        trigger: Trigger,
    ) -> Result<Option<Growth>> {
        let (key, elem) = (&self.key(key), &self.elem(value));
        let spot = table.locate_inline(hash, key, &mut self.elem(0))?;
        let plan = table.prepare_put(host, self, hash, spot, trigger)?;
        let growth = plan.growth();
        host.carry_out(|| table.put(host, plan, hash, InlinePut { key, elem }));
        Ok(growth)
    }

    fn remove(
        &self,
        host: &HeapHost,
        table: &mut Table<HeapPages>,
        hash: Hash,
        key: &[u8],
        trigger: Trigger,
    ) -> Result<Option<(u64, Option<Growth>)>> {
        let (key, mut elem) = (&self.key(key), self.elem(0));
        let spot = table.locate_inline(hash, key, &mut elem)?;
        if !spot.is_taken() {
            return Ok(None);
        }
        let plan = table.prepare_remove(host, self, hash, spot, trigger)?;
        let growth = plan.growth();
        host.carry_out(|| table.remove(host, plan, hash));
        Ok(Some((number(&elem), growth)))
    }
}

//! One cell of a bucket, as the layouts read and write it.

use std::ops::Range;

use crate::format::bucket::{Cell, Hash, Position, Shape, Tophash};
use crate::format::schema::MAX_INLINE_BYTES;
use crate::seam::Pages;

use super::array::{Array, Bucket, BucketIndex};
use super::sequence::lies_in_one_word;

/// A cell of a bucket that has been touched.
pub struct Slot<'a, P> {
    array: &'a Array<P>,
    index: BucketIndex,
    bucket: Bucket<'a, P>,
    cell: usize,
}

impl<P> Clone for Slot<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Slot<'_, P> {}

impl<'a, P> Slot<'a, P> {
    #[inline]
    pub(super) fn new(array: &'a Array<P>, index: BucketIndex, bucket: Bucket<'a, P>, cell: usize) -> Self {
        Slot { array, index, bucket, cell }
    }
}

impl<P: Pages> Slot<'_, P> {
    /// In the record layout: the cell.
    #[inline]
    pub fn cell(self) -> Cell {
        self.bucket.cell(self.cell)
    }

    /// In the record layout: where the record lies, if its key can have this hash.
    #[inline]
    pub fn position_for(self, hash: Hash) -> Option<Position> {
        let cell = self.cell();
        cell.may_be(hash).then(|| cell.position())
    }

    /// In the record layout: points the cell at a record.
    #[inline]
    pub(super) fn set_cell(self, cell: Cell) {
        self.bucket.set_cell(self.cell, cell);
    }

    /// Shows the cell to readers, or hides it.
    #[inline]
    pub(super) fn set_tophash(self, tophash: Tophash) {
        self.bucket.set_tophash(self.bucket.tophash().with(self.cell, tophash));
    }

    /// In the inline layout: copies the elem if the key is this one. Both are of one moment.
    #[inline]
    pub fn read_if(self, key: &[u8], elem: &mut [u8]) -> bool {
        self.consistently(|| {
            let found = self.holds(key);
            if found {
                self.copy_out(self.elem_bytes(), elem);
            }
            found
        })
    }

    /// In the inline layout: copies key and elem, as they are together at one moment.
    #[inline]
    pub fn read(self, key: &mut [u8], elem: &mut [u8]) {
        self.consistently(|| {
            self.copy_out(self.key_bytes(), key);
            self.copy_out(self.elem_bytes(), elem);
        });
    }

    /// In the inline layout: copies the key; for the writer.
    #[inline]
    pub(super) fn copy_key(self, key: &mut [u8]) {
        self.copy_out(self.key_bytes(), key);
    }

    /// In the inline layout: whether the key is this one; for the writer, or under a bracket.
    #[inline]
    pub(super) fn holds(self, key: &[u8]) -> bool {
        let bytes = self.key_bytes();
        if let Ok(eight) = key.try_into()
            && bytes.len() == 8
        {
            return self.bucket.load(bytes.start / 8) == u64::from_le_bytes(eight);
        }
        let mut at = bytes.start;
        while at < bytes.end {
            let (word, part) = (self.bucket.load(at / 8).to_le_bytes(), part_of_word(at, bytes.end));
            let from = at - bytes.start;
            if key.get(from..from + part.len()) != Some(&word[part.clone()]) {
                return false;
            }
            at += part.len();
        }
        true
    }

    /// In the inline layout: gives an empty cell to a key.
    #[inline]
    pub(super) fn fill(self, key: &[u8], elem: &[u8]) {
        let stores = || {
            self.copy_in(self.key_bytes(), key);
            self.copy_in(self.elem_bytes(), elem);
        };
        match self.array.sequence(self.index) {
            Some(sequence) => sequence.bracket(stores),
            None => stores(),
        }
    }

    /// In the inline layout: changes the elem. One inside a word is changed at once, and needs no bracket (C8).
    #[inline]
    pub(super) fn set_elem(self, elem: &[u8]) {
        let bytes = self.elem_bytes();
        match self.array.sequence(self.index) {
            Some(sequence) if !lies_in_one_word(bytes.clone()) => {
                sequence.bracket(|| self.copy_in(bytes.clone(), elem));
            }
            _ => self.copy_in(bytes, elem),
        }
    }

    /// Copies what another cell holds, in whatever layout, to one that no reader can see.
    #[inline]
    pub(super) fn copy_from(self, other: Slot<'_, P>) {
        if self.bucket.shape() == Shape::RECORD {
            return self.set_cell(other.cell());
        }
        let mut bytes = [0; MAX_INLINE_BYTES as usize];
        for (from, to) in [(other.key_bytes(), self.key_bytes()), (other.elem_bytes(), self.elem_bytes())] {
            let copy = &mut bytes[..from.len()];
            other.copy_out(from, copy);
            self.copy_in(to, copy);
        }
    }

    #[inline]
    fn key_bytes(self) -> Range<usize> {
        self.bucket.shape().key(self.cell)
    }

    #[inline]
    fn elem_bytes(self) -> Range<usize> {
        self.bucket.shape().elem(self.cell)
    }

    #[inline]
    fn consistently<T>(self, loads: impl FnMut() -> T) -> T {
        let mut loads = loads;
        match self.array.sequence(self.index) {
            Some(sequence) => sequence.read(loads),
            None => loads(),
        }
    }

    /// Copies bytes of the bucket, whole words at a time.
    #[inline]
    fn copy_out(self, bytes: Range<usize>, out: &mut [u8]) {
        debug_assert_eq!(out.len(), bytes.len(), "buffers have the width of the layout");
        let mut at = bytes.start;
        while at < bytes.end {
            let (word, part) = (self.bucket.load(at / 8).to_le_bytes(), part_of_word(at, bytes.end));
            let from = at - bytes.start;
            if let Some(out) = out.get_mut(from..from + part.len()) {
                out.copy_from_slice(&word[part.clone()]);
            }
            at += part.len();
        }
    }

    /// Stores bytes of the bucket, whole words at a time; the rest of the first and the last word stays. Only the writer
    /// stores, so nothing comes between its load and its store.
    #[inline]
    fn copy_in(self, bytes: Range<usize>, from: &[u8]) {
        debug_assert_eq!(from.len(), bytes.len(), "what is stored has the width of the layout");
        let mut at = bytes.start;
        while at < bytes.end {
            let part = part_of_word(at, bytes.end);
            let mut word = self.bucket.load(at / 8).to_le_bytes();
            let start = at - bytes.start;
            if let Some(from) = from.get(start..start + part.len()) {
                word[part.clone()].copy_from_slice(from);
            }
            self.bucket.store(at / 8, u64::from_le_bytes(word));
            at += part.len();
        }
    }
}

/// The bytes of its word that lie from `at` on and before `end`.
#[inline]
fn part_of_word(at: usize, end: usize) -> Range<usize> {
    let from = at % 8;
    from..(from + end - at).min(8)
}

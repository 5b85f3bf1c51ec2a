//! One cell of a bucket, as the layouts read and write it.

use std::ops::Range;

use crate::format::bucket::{CELLS, Cell, FIRST_CELL_WORD, Hash, Position, Tophash};
use crate::format::schema::MAX_INLINE_BYTES;
use crate::seam::Pages;

use super::array::{Array, Bucket, BucketIndex};
use super::sequence::{Sequence, lies_in_one_word};

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

    /// Whether readers may go by what the cell holds: it has an entry, or had one when it was evacuated. For a reader that has
    /// found a key here. Had the cell been another's under the tophash that led it here, and is the key being put, then
    /// its store happened before (Acquire) and behind that of the empty tophash: the key is not there yet, and the next lookup
    /// would miss it.
    #[inline]
    pub(super) fn is_shown(self) -> bool {
        !self.bucket.tophash().get(self.cell).is_empty()
    }

    /// In the inline layout: copies the elem if the key is this one. Both are of one moment.
    #[inline]
    pub fn read_if(self, key: &[u8], elem: &mut [u8]) -> bool {
        let bytes = elem_bytes(key.len(), elem.len(), self.cell);
        self.consistently(|| {
            let found = self.holds(key);
            if found {
                self.copy_out(bytes.clone(), elem);
            }
            found
        })
    }

    /// In the inline layout: copies key and elem, as they are together at one moment; or one of them, where the other has no
    /// room. (A closure would be compiled once for all widths: this way each caller's are constants.)
    #[inline(always)]
    pub fn read(self, key: &mut [u8], elem: &mut [u8]) {
        let bytes = match key.len() {
            0 => self.bucket.shape().elem(self.cell),
            key_width => elem_bytes(key_width, elem.len(), self.cell),
        };
        let sequence = self.array.sequence(self.index);
        loop {
            let before = sequence.map_or(0, Sequence::even);
            self.copy_key(key);
            self.copy_out(bytes.clone(), elem);
            if sequence.is_none_or(|sequence| sequence.is_still(before)) {
                return;
            }
        }
    }

    /// In the inline layout: copies the key; for the writer, or under a bracket.
    #[inline(always)]
    pub(super) fn copy_key(self, key: &mut [u8]) {
        self.copy_out(key_bytes(key.len(), self.cell), key);
    }

    /// In the inline layout: whether the key is this one; for the writer, or under a bracket. Keys of 4 and of 8 bytes are
    /// compared as integers.
    #[inline]
    pub(super) fn holds(self, key: &[u8]) -> bool {
        let bytes = key_bytes(key.len(), self.cell);
        match *key {
            [a, b, c, d, e, f, g, h] => {
                self.bucket.load(bytes.start / 8) == u64::from_le_bytes([a, b, c, d, e, f, g, h])
            }
            [a, b, c, d] => self.load_half(bytes.start) == u32::from_le_bytes([a, b, c, d]),
            _ => self.parts(bytes, |word, part, at| word.to_le_bytes()[part] == key[at.clone()]),
        }
    }

    /// In the inline layout: gives an empty cell to a key.
    #[inline]
    pub(super) fn fill(self, key: &[u8], elem: &[u8]) {
        let stores = || {
            self.copy_in(key_bytes(key.len(), self.cell), key);
            self.copy_in(elem_bytes(key.len(), elem.len(), self.cell), elem);
        };
        match self.array.sequence(self.index) {
            Some(sequence) => sequence.bracket(stores),
            None => stores(),
        }
    }

    /// In the inline layout: changes the elem of a cell with keys of `key_width` bytes. One inside a word is changed at once,
    /// and needs no bracket (C8).
    #[inline]
    pub(super) fn set_elem(self, key_width: usize, elem: &[u8]) {
        let bytes = elem_bytes(key_width, elem.len(), self.cell);
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
        let shape = self.bucket.shape();
        let Some((key_words, elem_words)) = shape.words_of_cells() else {
            self.copy_part(shape.key(self.cell), other, shape.key(other.cell));
            return self.copy_part(shape.elem(self.cell), other, shape.elem(other.cell));
        };
        let copy_words = |first: usize, words: usize| {
            for word in 0..words {
                let (to, from) = (self.cell * words + word, other.cell * words + word);
                self.bucket.store(first + to, other.bucket.load(first + from));
            }
        };
        copy_words(FIRST_CELL_WORD, key_words);
        copy_words(FIRST_CELL_WORD + CELLS * key_words, elem_words);
    }

    fn copy_part(self, to: Range<usize>, other: Slot<'_, P>, from: Range<usize>) {
        let mut bytes = [0; MAX_INLINE_BYTES as usize];
        let bytes = &mut bytes[..to.len()];
        other.copy_out(from, bytes);
        self.copy_in(to, bytes);
    }

    #[inline]
    fn consistently<T>(self, mut loads: impl FnMut() -> T) -> T {
        match self.array.sequence(self.index) {
            Some(sequence) => sequence.read(loads),
            None => loads(),
        }
    }

    /// Half of a word, by the first of its bytes.
    #[inline]
    fn load_half(self, start: usize) -> u32 {
        (self.bucket.load(start / 8) >> (start % 8 * 8)) as u32
    }

    /// Copies bytes of the bucket.
    #[inline(always)]
    fn copy_out(self, bytes: Range<usize>, out: &mut [u8]) {
        match out.len() {
            len if len.is_multiple_of(8) => {
                for (at, word) in out.as_chunks_mut().0.iter_mut().enumerate() {
                    *word = self.bucket.load(bytes.start / 8 + at).to_le_bytes();
                }
            }
            4 => out.copy_from_slice(&self.load_half(bytes.start).to_le_bytes()),
            _ => {
                self.parts(bytes, |word, part, at| {
                    out[at].copy_from_slice(&word.to_le_bytes()[part]);
                    true
                });
            }
        }
    }

    /// Stores bytes of the bucket; the rest of the first word and of the last stays. Only the writer stores, so nothing comes
    /// between its load and its store.
    #[inline]
    fn copy_in(self, bytes: Range<usize>, from: &[u8]) {
        if let Ok(whole) = <[u8; 8]>::try_from(from) {
            return self.bucket.store(bytes.start / 8, u64::from_le_bytes(whole));
        }
        let mut number = bytes.start / 8;
        self.parts(bytes, |word, part, at| {
            let mut word = word.to_le_bytes();
            word[part].copy_from_slice(&from[at]);
            self.bucket.store(number, u64::from_le_bytes(word));
            number += 1;
            true
        });
    }

    /// Shows `each` word of a run of bytes of the bucket: the word, which of its bytes belong to the run, and where in the run
    /// they are. Goes on while `each` returns true; whether all did.
    #[inline]
    fn parts(
        self,
        bytes: Range<usize>,
        mut each: impl FnMut(u64, Range<usize>, Range<usize>) -> bool,
    ) -> bool {
        let mut at = bytes.start;
        while at < bytes.end {
            let from = at % 8;
            let part = from..(from + bytes.end - at).min(8);
            let place = at - bytes.start..at - bytes.start + part.len();
            at += part.len();
            if !each(self.bucket.load((at - 1) / 8), part, place) {
                return false;
            }
        }
        true
    }
}

/// The bytes of a cell's key, by the width of keys: that of the caller's buffer, which the compiler often knows.
#[inline]
fn key_bytes(key_width: usize, cell: usize) -> Range<usize> {
    let from = FIRST_CELL_WORD * 8 + cell * key_width;
    from..from + key_width
}

/// The bytes of a cell's elem; see [`key_bytes`].
#[inline]
fn elem_bytes(key_width: usize, elem_width: usize, cell: usize) -> Range<usize> {
    let from = (FIRST_CELL_WORD + key_width) * 8 + cell * elem_width;
    from..from + elem_width
}

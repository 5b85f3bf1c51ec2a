//! The bucket: eight cells with a tophash byte each, and a link to an overflow bucket.
//!
//! `tophash [8]u8 | keys 8 x key_width | elems 8 x elem_width | overflow u64`, as in Go's `bmap`: keys packed together, then
//! elems, so that nothing is padded. In the inline layout these are a map's own keys and values. In the record layout a key is
//! a [`Cell`] of 8 bytes, which points at a record of the log that holds key and value, and there are no elems.
//!
//! In memory a bucket is a row of 64-bit words that readers load while the writer stores (C1), so the eight
//! tophash bytes are always read and written together as one [`TophashWord`], and a [`Cell`] is one word.

use std::fmt;
use std::ops::Range;

/// Cells in a bucket (Go's `bucketCnt`).
pub const CELLS: usize = 8;

/// Words in a bucket of the record layout: tophash, eight cells, overflow.
pub const BUCKET_WORDS: usize = 1 + CELLS + 1;

/// Bytes in a bucket of the record layout.
pub const BUCKET_BYTES: u64 = BUCKET_WORDS as u64 * 8;

/// The word of a bucket that holds the tophash bytes.
pub const TOPHASH_WORD: usize = 0;

/// The word of a bucket at which the keys begin; in the record layout, of cell 0.
pub const FIRST_CELL_WORD: usize = 1;

/// The word of a bucket of the record layout that holds the index of its overflow bucket, 0 for none. (Bucket 0 is never
/// anyone's overflow bucket.)
pub const OVERFLOW_WORD: usize = 1 + CELLS;

const _: () = assert!(BUCKET_BYTES == 80 && OVERFLOW_WORD + 1 == BUCKET_WORDS);

/// Where the parts of a bucket lie, in words. Eight keys or elems of any width fill whole words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    key_width: u8,
    elem_width: u8,
}

impl Shape {
    /// The shape of the record layout's buckets.
    pub const RECORD: Shape = Shape { key_width: 8, elem_width: 0 };

    /// The shape of buckets with keys and elems of these widths in bytes, at most 128 each.
    pub const fn new(key_width: u8, elem_width: u8) -> Self {
        Shape { key_width, elem_width }
    }

    /// Words in a bucket.
    #[inline]
    pub fn words(self) -> usize {
        self.overflow_word() + 1
    }

    /// Bytes in a bucket.
    pub fn bytes(self) -> u64 {
        self.words() as u64 * 8
    }

    /// Bytes of one entry's key and elem.
    pub fn entry_bytes(self) -> u64 {
        u64::from(self.key_width) + u64::from(self.elem_width)
    }

    /// The words of a key and of an elem, where both are whole words.
    #[inline]
    pub fn words_of_cells(self) -> Option<(usize, usize)> {
        let (key, elem) = (usize::from(self.key_width), usize::from(self.elem_width));
        ((key | elem) % 8 == 0).then_some((key / 8, elem / 8))
    }

    /// The word that holds the index of the overflow bucket.
    #[inline]
    pub fn overflow_word(self) -> usize {
        FIRST_CELL_WORD + usize::from(self.key_width) + usize::from(self.elem_width)
    }

    /// The bytes of a cell's key, counted from the bucket's beginning.
    #[inline]
    pub fn key(self, cell: usize) -> Range<usize> {
        let (from, width) = (FIRST_CELL_WORD * 8, usize::from(self.key_width));
        from + cell * width..from + (cell + 1) * width
    }

    /// The bytes of a cell's elem, counted from the bucket's beginning.
    #[inline]
    pub fn elem(self, cell: usize) -> Range<usize> {
        let (from, width) =
            ((FIRST_CELL_WORD + usize::from(self.key_width)) * 8, usize::from(self.elem_width));
        from + cell * width..from + (cell + 1) * width
    }
}

/// A key's 64-bit hash. The low bits choose the bucket, the top byte becomes the tophash, the low 24 bits
/// are kept in the cell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hash(pub u64);

impl Hash {
    /// The bucket that the key belongs to in an array of 2^b buckets.
    #[inline]
    pub fn bucket(self, b: u8) -> u64 {
        self.0 & ((1 << b) - 1)
    }

    /// The byte that stands for the key in its bucket; never a state.
    #[inline]
    pub fn tophash(self) -> Tophash {
        let top = (self.0 >> 56) as u8;
        Tophash(if top < Tophash::MIN.0 { top + Tophash::MIN.0 } else { top })
    }
}

/// One tophash byte: the top byte of a key's hash, or one of the five states of a cell without one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tophash(pub u8);

impl Tophash {
    /// The cell is empty, and so is every cell behind it in the chain.
    pub const EMPTY_REST: Tophash = Tophash(0);
    /// The cell is empty.
    pub const EMPTY_ONE: Tophash = Tophash(1);
    /// The entry has moved to the first half of the new array.
    pub const EVACUATED_X: Tophash = Tophash(2);
    /// The entry has moved to the second half of the new array.
    pub const EVACUATED_Y: Tophash = Tophash(3);
    /// The cell was empty when its bucket was evacuated.
    pub const EVACUATED_EMPTY: Tophash = Tophash(4);
    /// The smallest tophash of a key (Go's `minTopHash`).
    pub const MIN: Tophash = Tophash(5);

    /// Whether the cell holds no entry in a bucket that is not evacuated.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 <= Self::EMPTY_ONE.0
    }

    /// Whether the cell's bucket has been evacuated.
    pub fn is_evacuated(self) -> bool {
        self.0 > Self::EMPTY_ONE.0 && self.0 < Self::MIN.0
    }

    /// Whether the cell holds an entry that has not moved.
    #[inline]
    pub fn is_filled(self) -> bool {
        self.0 >= Self::MIN.0
    }
}

impl fmt::Debug for Tophash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Tophash::EMPTY_REST => f.write_str("EMPTY_REST"),
            Tophash::EMPTY_ONE => f.write_str("EMPTY_ONE"),
            Tophash::EVACUATED_X => f.write_str("EVACUATED_X"),
            Tophash::EVACUATED_Y => f.write_str("EVACUATED_Y"),
            Tophash::EVACUATED_EMPTY => f.write_str("EVACUATED_EMPTY"),
            Tophash(top) => write!(f, "{top:#04x}"),
        }
    }
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const SEVEN_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// The tophash bytes of one bucket, cell 0 in the lowest byte.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct TophashWord(pub u64);

impl TophashWord {
    /// All eight cells in the same state.
    #[inline]
    pub fn splat(tophash: Tophash) -> Self {
        TophashWord(u64::from(tophash.0) * LOW_BITS)
    }

    /// The tophash of one cell.
    #[inline]
    pub fn get(self, cell: usize) -> Tophash {
        Tophash((self.0 >> (cell * 8)) as u8)
    }

    /// The same word with one cell changed.
    #[inline]
    #[must_use]
    pub fn with(self, cell: usize, tophash: Tophash) -> Self {
        let shift = cell * 8;
        TophashWord(self.0 & !(0xff << shift) | u64::from(tophash.0) << shift)
    }

    /// The cells whose tophash is this one; all eight are compared at once.
    #[inline]
    pub fn matching(self, tophash: Tophash) -> CellSet {
        let differences = self.0 ^ Self::splat(tophash).0;
        // Exact zero-byte detection: no carry leaves its byte, so there are no false matches.
        CellSet(!(((differences & SEVEN_BITS) + SEVEN_BITS) | differences | SEVEN_BITS))
    }

    /// The cells whose tophash is this one or larger, for one of at most 127; all eight are compared at once.
    #[inline]
    fn at_least(self, least: Tophash) -> CellSet {
        debug_assert!(least.0 > 0 && least.0 < 0x80);
        // Seven bits and 127 at most: no carry leaves its byte.
        let carries = (self.0 & SEVEN_BITS) + u64::from(0x80 - least.0) * LOW_BITS;
        CellSet((carries | self.0) & !SEVEN_BITS)
    }

    /// The cells that hold no entry (`EMPTY_REST` or `EMPTY_ONE`).
    #[inline]
    pub fn empty(self) -> CellSet {
        CellSet(!self.occupied().0 & !SEVEN_BITS)
    }

    /// The cells that hold an entry, or a mark that tells where it went.
    #[inline]
    pub fn occupied(self) -> CellSet {
        self.at_least(Tophash::EVACUATED_X)
    }

    /// The word of a bucket whose first cell is this one's `cell`, and whose last is the one before it.
    #[must_use]
    pub fn rotated_to(self, cell: usize) -> Self {
        TophashWord(self.0.rotate_right(cell as u32 * 8))
    }

    /// The cells that hold an entry of this array.
    #[inline]
    pub fn filled(self) -> CellSet {
        self.at_least(Tophash::MIN)
    }

    /// Whether any cell bears one of the three evacuation marks (C4).
    #[inline]
    pub fn any_evacuated(self) -> bool {
        self.occupied() != self.filled()
    }

    /// The marks of a bucket that is evacuated: entries in `to_y` have gone to the second half of the new array.
    #[must_use]
    pub fn evacuated(self, to_y: CellSet) -> Self {
        const { assert!(Tophash::EVACUATED_X.0 + 2 == Tophash::EVACUATED_EMPTY.0) };
        const { assert!(Tophash::EVACUATED_X.0 + 1 == Tophash::EVACUATED_Y.0) };
        let (filled, to_y) = (self.filled().0 >> 7, (to_y.0 & self.filled().0) >> 7);
        TophashWord(Self::splat(Tophash::EVACUATED_EMPTY).0 - 2 * filled + to_y)
    }

    /// Whether the walk of a chain can end here: some cell says that nothing lies behind it.
    #[inline]
    pub fn ends_chain(self) -> bool {
        !self.matching(Tophash::EMPTY_REST).is_empty()
    }
}

impl fmt::Debug for TophashWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..CELLS).map(|cell| self.get(cell))).finish()
    }
}

/// Some of a bucket's cells; iterates from the lowest.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CellSet(u64);

impl CellSet {
    /// All of them.
    pub const ALL: CellSet = CellSet(!SEVEN_BITS);

    /// Adds a cell if `belongs`.
    #[inline]
    pub fn add_if(&mut self, cell: usize, belongs: bool) {
        self.0 |= u64::from(belongs) << (cell * 8 + 7);
    }

    /// Whether the cell is among them.
    #[inline]
    pub fn contains(self, cell: usize) -> bool {
        self.0 >> (cell * 8 + 7) & 1 == 1
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in the other set too.
    #[inline]
    #[must_use]
    pub fn and(self, other: CellSet) -> Self {
        CellSet(self.0 & other.0)
    }

    /// The lowest cell.
    #[inline]
    pub fn first(self) -> Option<usize> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize / 8)
    }
}

impl Iterator for CellSet {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let cell = self.first()?;
        self.0 &= self.0 - 1;
        Some(cell)
    }

    /// Each cell is one bit, the highest of its byte; the product's highest byte is their sum.
    fn count(self) -> usize {
        ((self.0 >> 7).wrapping_mul(LOW_BITS) >> 56) as usize
    }
}

/// Where a record lies: its offset in the file, in units of 8 bytes (D19).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position(u64);

impl Position {
    /// Bits of a position in a cell: 2^40 units of 8 bytes are 8 TiB.
    pub const BITS: u32 = 40;

    /// The first file offset that no position can name.
    pub const END_OFFSET: u64 = 8 << Self::BITS;

    /// The position of a record at this file offset; `None` when it is not a multiple of 8 or beyond 8 TiB.
    #[inline]
    pub fn from_offset(offset: u64) -> Option<Self> {
        (offset.is_multiple_of(8) && offset < Self::END_OFFSET).then_some(Position(offset / 8))
    }

    /// The record's offset in the file, in bytes.
    #[inline]
    pub fn offset(self) -> u64 {
        self.0 * 8
    }
}

/// A cell of the record layout: 40 bits of record position and the low 24 bits of the key's hash, so that up
/// to B = 24 an evacuation splits a bucket without touching a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell(pub u64);

impl Cell {
    /// How many of the hash's low bits a cell keeps.
    pub const HASH_BITS: u32 = 24;

    const HASH_MASK: u64 = (1 << Self::HASH_BITS) - 1;

    /// The cell of a key with this hash whose record lies at `position`.
    #[inline]
    pub fn new(position: Position, hash: Hash) -> Self {
        Cell(position.0 << Self::HASH_BITS | hash.0 & Self::HASH_MASK)
    }

    /// Where the record lies.
    #[inline]
    pub fn position(self) -> Position {
        Position(self.0 >> Self::HASH_BITS)
    }

    /// The low 24 bits of the key's hash.
    #[inline]
    pub fn hash_low(self) -> u64 {
        self.0 & Self::HASH_MASK
    }

    /// Whether a key with this hash can be the cell's; wrong once in 2^24 at most.
    #[inline]
    pub fn may_be(self, hash: Hash) -> bool {
        (self.0 ^ hash.0) & Self::HASH_MASK == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes beside every border; under miri, which is slow, those beside the states.
    const INTERESTING: &[u8] = if cfg!(miri) {
        &[0, 1, 2, 4, 5, 0x80]
    } else {
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 0x7f, 0x80, 0x81, 0x84, 0xff]
    };

    #[test]
    fn tophash_is_never_a_state() {
        for top in 0..=255u64 {
            let tophash = Hash(top << 56).tophash();
            assert!(tophash.is_filled());
            assert_eq!(tophash.0, if top < 5 { top as u8 + 5 } else { top as u8 });
        }
    }

    #[test]
    fn words_agree_with_bytes() {
        for &a in INTERESTING {
            for &b in INTERESTING {
                for cell in 0..CELLS {
                    let word = TophashWord::splat(Tophash(a)).with(cell, Tophash(b));
                    let bytes = word.0.to_le_bytes();
                    let which = |f: &dyn Fn(Tophash) -> bool| -> Vec<usize> {
                        (0..CELLS).filter(|&i| f(Tophash(bytes[i]))).collect()
                    };
                    for &wanted in INTERESTING {
                        let matching: Vec<_> = word.matching(Tophash(wanted)).collect();
                        assert_eq!(matching, which(&|t| t.0 == wanted), "{word:?} against {wanted}");
                    }
                    assert_eq!(word.empty().collect::<Vec<_>>(), which(&Tophash::is_empty));
                    assert_eq!(word.filled().collect::<Vec<_>>(), which(&Tophash::is_filled));
                    assert_eq!(word.occupied().collect::<Vec<_>>(), which(&|t| !t.is_empty()));
                    assert_eq!(word.occupied().and(CellSet::ALL), word.occupied());
                    assert!(word.occupied().and(word.empty()).is_empty());
                    assert!((0..CELLS).all(|i| word.rotated_to(cell).get(i) == word.get((cell + i) % CELLS)));
                    assert_eq!(word.any_evacuated(), !which(&Tophash::is_evacuated).is_empty());
                    assert_eq!(word.ends_chain(), bytes.contains(&0));
                    let mut to_y = CellSet::default();
                    to_y.add_if(cell, true);
                    assert!((0..CELLS).all(|i| to_y.contains(i) == (i == cell)));
                    let mark = |i: usize| match word.get(i).is_filled() {
                        true if i == cell => Tophash::EVACUATED_Y,
                        true => Tophash::EVACUATED_X,
                        false => Tophash::EVACUATED_EMPTY,
                    };
                    assert!((0..CELLS).all(|i| word.evacuated(to_y).get(i) == mark(i)));
                    assert_eq!(word.get(cell), Tophash(b));
                }
            }
        }
    }

    #[test]
    fn cells_keep_position_and_low_hash() {
        let last = Position::from_offset(Position::END_OFFSET - 8).unwrap();
        let cell = Cell::new(last, Hash(0xdead_beef_1234_5678));
        assert_eq!(cell.position(), last);
        assert_eq!(cell.hash_low(), 0x34_5678);
        assert!(cell.may_be(Hash(0x34_5678)) && !cell.may_be(Hash(0x34_5679)));
        assert_eq!(Position::from_offset(Position::END_OFFSET), None);
        assert_eq!(Position::from_offset(12), None);
    }
}

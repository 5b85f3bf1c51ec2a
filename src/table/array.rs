//! One bucket array: where a bucket lies, how its words are read and written, how its chain is walked.
//!
//! The main run holds the 2^b buckets that hashes choose, and from b = 4 on some preallocated overflow
//! buckets behind them. Further overflow buckets lie in chunks, each twice the size of the one before, so
//! that a directory of a few entries is enough. Chunks are only ever added and nothing moves: a reader may
//! follow a link to a chunk that did not exist when its lookup began.

use std::sync::atomic::Ordering::{Acquire, Release};

use crate::error::{Error, Result};
use crate::format::PAGE_BYTES;
use crate::format::bucket::{Cell, FIRST_CELL_WORD, Hash, Shape, TOPHASH_WORD, TophashWord};
use crate::seam::Pages;
use crate::sync::OnceLock;

use super::sequence::{Sequence, Sequences};
use super::slot::Slot;

/// The largest B: 2^40 buckets are 80 TiB, ten times what positions can address.
pub const MAX_B: u8 = 40;

/// Chunks of overflow buckets that an array can have. The smallest array can so chain 2^31 of them, larger
/// ones 2^21 times their own size; a table grows long before.
const CHUNKS: usize = 26;

/// The smallest chunk has 2^6 buckets: two pages.
const MIN_CHUNK_BITS: u8 = 6;

/// An array of 2^PREALLOCATED_BITS or more buckets has 1/2^PREALLOCATED_BITS of them again for overflow.
const PREALLOCATED_BITS: u8 = 4;

/// A bucket's number in its array: below 2^b a main bucket, from there on an overflow bucket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BucketIndex(pub u64);

/// One bucket array: main run of 2^b buckets and preallocated overflow buckets, then overflow chunks.
pub struct Array<P> {
    b: u8,
    shape: Shape,
    main_capacity: u64,
    main: P,
    /// The writer sets the next empty one; readers that follow a link load it (Release and Acquire are
    /// `OnceLock`'s own).
    chunks: [OnceLock<P>; CHUNKS],
    /// What brackets stores into the cells of the inline layout (C8).
    sequences: Option<Box<Sequences>>,
}

impl<P> Array<P> {
    /// The size of the main run in bytes, whole pages.
    pub fn main_bytes(shape: Shape, b: u8) -> u64 {
        debug_assert!(b <= MAX_B);
        let preallocated = if b >= PREALLOCATED_BITS { 1 << (b - PREALLOCATED_BITS) } else { 0 };
        (((1 << b) + preallocated) * shape.bytes()).next_multiple_of(PAGE_BYTES)
    }

    /// The size of an overflow chunk in bytes, whole pages; chunk `chunk` has 2^(max(b-4, 6) + `chunk`)
    /// buckets.
    pub fn chunk_bytes(shape: Shape, b: u8, chunk: usize) -> u64 {
        let bits = first_chunk_bits(b) as usize + chunk;
        let bytes = 1u64.checked_shl(bits as u32).and_then(|buckets| buckets.checked_mul(shape.bytes()));
        // Too large to count means too large to reserve; the reservation refuses it.
        bytes.and_then(|bytes| bytes.checked_next_multiple_of(PAGE_BYTES)).unwrap_or(u64::MAX)
    }

    /// An array of 2^b buckets over a main run of at least [`main_bytes`](Self::main_bytes).
    pub fn new(shape: Shape, b: u8, main: P) -> Self {
        debug_assert!(b <= MAX_B);
        // Small arrays seldom overflow; what is left of their page stays blank, as in Go.
        let main_capacity = match b >= PREALLOCATED_BITS {
            true => Self::main_bytes(shape, b) / shape.bytes(),
            false => 1 << b,
        };
        let sequences = Sequences::for_cells_of(shape);
        Array { b, shape, main_capacity, main, chunks: std::array::from_fn(|_| OnceLock::new()), sequences }
    }

    /// An array as a file describes it.
    pub fn with_chunks(shape: Shape, b: u8, main: P, chunks: Vec<P>) -> Result<Self> {
        if b > MAX_B {
            return Err(Error::corrupt("size of the bucket array (B)", 0, u64::from(MAX_B), u64::from(b)));
        }
        if chunks.len() > CHUNKS {
            let what = "number of overflow chunks";
            return Err(Error::corrupt(what, 0, CHUNKS as u64, chunks.len() as u64));
        }
        let array = Array::new(shape, b, main);
        for (place, chunk) in array.chunks.iter().zip(chunks) {
            place.get_or_init(|| chunk);
        }
        Ok(array)
    }

    /// The array's B.
    pub fn b(&self) -> u8 {
        self.b
    }

    /// Where the parts of its buckets lie.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// How many main buckets there are: 2^b.
    pub fn buckets(&self) -> u64 {
        1 << self.b
    }

    /// The main run.
    pub fn main(&self) -> &P {
        &self.main
    }

    /// The main run and the overflow chunks, in order.
    pub fn parts(&self) -> impl Iterator<Item = &P> {
        std::iter::once(self.main()).chain(self.chunks())
    }

    /// The overflow chunks that exist now.
    pub fn chunks(&self) -> impl Iterator<Item = &P> {
        self.chunks.iter().map_while(OnceLock::get)
    }

    /// How many buckets exist now: main, preallocated and in chunks.
    pub fn capacity(&self) -> u64 {
        let first_chunk = 1u64 << first_chunk_bits(self.b);
        self.main_capacity + first_chunk * ((1 << self.chunks().count()) - 1)
    }

    /// Adds the next chunk, given what reserves it; called by the writer alone.
    pub(super) fn add_chunk(&self, reserve: impl FnOnce(u64) -> Result<P>) -> Result<()> {
        let next = self.chunks().count();
        let Some(place) = self.chunks.get(next) else {
            let what = "number of overflow chunks";
            return Err(Error::TooLarge { what, len: next as u64 + 1, limit: CHUNKS as u64 });
        };
        let chunk = reserve(Self::chunk_bytes(self.shape, self.b, next))?;
        place.get_or_init(|| chunk);
        Ok(())
    }

    /// The bucket, if there is one with this index. It is not touched yet.
    #[inline]
    pub(super) fn bucket(&self, index: BucketIndex) -> Option<Bucket<'_, P>> {
        if index.0 < self.main_capacity {
            return Some(Bucket::new(&self.main, self.shape, index.0));
        }
        self.chunk_bucket(index)
    }

    /// The bucket that a key belongs to, if it can be read at once.
    #[inline]
    pub(super) fn head(&self, hash: Hash) -> Option<Bucket<'_, P>>
    where
        P: Pages,
    {
        let bucket = Bucket::new(&self.main, self.shape, hash.bucket(self.b));
        bucket.prefetch_end();
        bucket.is_touched().then_some(bucket)
    }

    /// A cell of a bucket of this array.
    #[inline]
    pub(super) fn slot<'a>(&'a self, index: BucketIndex, bucket: Bucket<'a, P>, cell: usize) -> Slot<'a, P> {
        Slot::new(self, index, bucket, cell)
    }

    /// What brackets stores into the cells of a bucket, where they need that.
    #[inline]
    pub(super) fn sequence(&self, index: BucketIndex) -> Option<&Sequence> {
        self.sequences.as_ref().map(|sequences| sequences.of(index.0))
    }

    /// Has the processor fetch the bucket that a key belongs to.
    #[inline]
    pub(super) fn prefetch(&self, hash: Hash)
    where
        P: Pages,
    {
        Bucket::new(&self.main, self.shape, hash.bucket(self.b)).prefetch();
    }

    /// Before chunk k lie `first * (2^k - 1)` buckets of earlier ones, so the highest bit of
    /// `number + first` tells the chunk and the bits below it the place therein.
    fn chunk_bucket(&self, index: BucketIndex) -> Option<Bucket<'_, P>> {
        let first_bits = u32::from(first_chunk_bits(self.b));
        let shifted = (index.0 - self.main_capacity).checked_add(1 << first_bits)?;
        let chunk = self.chunks.get((shifted.ilog2() - first_bits) as usize)?.get()?;
        Some(Bucket::new(chunk, self.shape, shifted - (1 << shifted.ilog2())))
    }
}

fn first_chunk_bits(b: u8) -> u8 {
    b.saturating_sub(PREALLOCATED_BITS).max(MIN_CHUNK_BITS)
}

/// One bucket in memory. Loads are Acquire and pair with the writer's stores, which are Release (C4); the
/// writer's own loads need no ordering, but it costs them nothing on the machines we know.
pub(super) struct Bucket<'a, P> {
    pages: &'a P,
    word: usize,
    shape: Shape,
}

impl<P> Clone for Bucket<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Bucket<'_, P> {}

impl<'a, P> Bucket<'a, P> {
    #[inline]
    fn new(pages: &'a P, shape: Shape, index: u64) -> Self {
        Bucket { pages, word: index as usize * shape.words(), shape }
    }
}

impl<P: Pages> Bucket<'_, P> {
    /// Makes sure that the bucket can be read; everything below needs it.
    #[inline]
    pub(super) fn touch(self) -> Result<()> {
        self.pages.touch(self.word, self.shape.words())
    }

    /// Both cache lines, before anything of the bucket is needed; it may be one that is not touched yet.
    #[inline]
    pub(super) fn prefetch(self) {
        self.pages.prefetch(self.word + TOPHASH_WORD);
        self.prefetch_end();
    }

    /// A bucket lies in two cache lines, or in three or more in the inline layout, and which cell is wanted is known only when
    /// the first is there. Of a large one the middle is worth a try.
    #[inline]
    fn prefetch_end(self) {
        let end = self.shape.overflow_word();
        self.pages.prefetch(self.word + end);
        if end > Shape::RECORD.overflow_word() {
            self.pages.prefetch(self.word + end / 2 + 1);
        }
    }

    #[inline]
    pub(super) fn tophash(self) -> TophashWord {
        TophashWord(self.pages.load(self.word + TOPHASH_WORD, Acquire))
    }

    #[inline]
    pub(super) fn cell(self, cell: usize) -> Cell {
        Cell(self.pages.load(self.word + FIRST_CELL_WORD + cell, Acquire))
    }

    /// The overflow word: an index, or 0 for none.
    #[inline]
    pub(super) fn overflow(self) -> u64 {
        self.pages.load(self.word + self.shape.overflow_word(), Acquire)
    }

    pub(super) fn set_tophash(self, tophash: TophashWord) {
        self.store(TOPHASH_WORD, tophash.0);
    }

    pub(super) fn set_cell(self, cell: usize, value: Cell) {
        self.store(FIRST_CELL_WORD + cell, value.0);
    }

    pub(super) fn set_overflow(self, index: BucketIndex) {
        self.store(self.shape.overflow_word(), index.0);
    }

    /// Whether the bucket can be read.
    #[inline]
    pub(super) fn is_touched(&self) -> bool {
        self.pages.is_touched(self.word, self.shape.words())
    }

    /// Where the bucket lies, in bytes from the beginning of the file.
    pub(super) fn offset(self) -> u64 {
        self.pages.offset(self.word)
    }

    /// Where the parts of the bucket lie.
    #[inline]
    pub(super) fn shape(self) -> Shape {
        self.shape
    }

    /// A word of the bucket.
    #[inline]
    pub(super) fn load(self, word: usize) -> u64 {
        self.pages.load(self.word + word, Acquire)
    }

    /// A bucket may straddle two pages, so each store announces its own word.
    #[inline]
    pub(super) fn store(self, word: usize, value: u64) {
        self.pages.before_write(self.word + word);
        self.pages.store(self.word + word, value, Release);
    }
}

/// The walk of a chain, for lookups, changes and reports alike: stands at a touched bucket.
pub(super) struct Chain<'a, P> {
    array: &'a Array<P>,
    index: BucketIndex,
    bucket: Bucket<'a, P>,
}

impl<'a, P: Pages> Chain<'a, P> {
    /// Starts at a main bucket.
    #[inline]
    pub(super) fn at(array: &'a Array<P>, main: u64) -> Result<Self> {
        debug_assert!(main < array.buckets());
        let bucket = Bucket::new(&array.main, array.shape, main);
        bucket.prefetch_end();
        bucket.touch()?;
        Ok(Chain { array, index: BucketIndex(main), bucket })
    }

    /// Starts at a main bucket that can be read at once.
    #[inline]
    pub(super) fn peek(array: &'a Array<P>, main: u64) -> Option<Self> {
        let (index, bucket) = (BucketIndex(main), Bucket::new(&array.main, array.shape, main));
        bucket.is_touched().then_some(Chain { array, index, bucket })
    }

    /// Stands at a bucket that an earlier walk of the chain has come to.
    pub(super) fn resume(array: &'a Array<P>, index: BucketIndex) -> Result<Self> {
        let Some(bucket) = array.bucket(index) else {
            return Err(Error::corrupt("number of a bucket in use", 0, array.capacity(), index.0));
        };
        bucket.touch()?;
        Ok(Chain { array, index, bucket })
    }

    #[inline]
    pub(super) fn bucket(&self) -> Bucket<'a, P> {
        self.bucket
    }

    pub(super) fn index(&self) -> BucketIndex {
        self.index
    }

    /// A cell of the bucket.
    #[inline]
    pub(super) fn slot(&self, cell: usize) -> Slot<'a, P> {
        self.array.slot(self.index, self.bucket, cell)
    }

    /// The overflow bucket behind this one, for a prefetch: nobody has checked the link, or touched what it leads to.
    #[inline]
    pub(super) fn peek_next(&self) -> Option<(BucketIndex, Bucket<'a, P>)> {
        match self.bucket.overflow() {
            0 => None,
            link => Some((BucketIndex(link), self.array.bucket(BucketIndex(link))?)),
        }
    }

    /// The array that the chain is in.
    pub(super) fn array(&self) -> &'a Array<P> {
        self.array
    }

    /// Goes on to the overflow bucket; false at the end of the chain.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<bool> {
        match self.bucket.overflow() {
            0 => Ok(false),
            link => self.follow(BucketIndex(link)).map(|()| true),
        }
    }

    /// Overflow buckets are taken in rising order, so a link leads forward: that alone bounds every walk,
    /// whatever the file says.
    fn follow(&mut self, link: BucketIndex) -> Result<()> {
        let next =
            if link > self.index && link.0 >= self.array.buckets() { self.array.bucket(link) } else { None };
        let Some(next) = next else {
            let expected = "0, or a later overflow bucket of the array";
            return Err(Error::corrupt("bucket's overflow link", self.bucket.offset(), expected, link.0));
        };
        next.touch()?;
        (self.index, self.bucket) = (link, next);
        Ok(())
    }
}

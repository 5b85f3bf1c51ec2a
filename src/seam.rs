//! The seams between the table and the file, by static dispatch (C1, C2).
//!
//! [`table`](crate::table) is Go's map over anything that has words and pages; [`file`](crate::file) gives it
//! words and pages of a mapped file, tests give it plain heap memory or a model for a checker of orderings.

use std::sync::atomic::Ordering;

use crate::error::Result;
use crate::format::bucket::{Hash, Position};

/// Memory of atomic 64-bit words. The writer stores while readers load; every access names its ordering.
pub trait Words {
    /// Loads one word.
    fn load(&self, word: usize, order: Ordering) -> u64;

    /// Stores one word. Only the one writer stores.
    fn store(&self, word: usize, value: u64, order: Ordering);

    /// Has the processor fetch the word's cache line while something else goes on; a hint.
    fn prefetch(&self, _word: usize) {}
}

/// One contiguous run of index pages: the main part of a bucket array or one of its overflow chunks.
pub trait Pages: Words {
    /// Makes sure that the pages under `words` words from `word` on hold what the last checkpoint wrote there.
    /// Anyone may call it; every later call for the same pages costs one load. Words of pages that were never
    /// touched must not be loaded.
    fn touch(&self, word: usize, words: usize) -> Result<()>;

    /// Whether these pages have been touched.
    fn is_touched(&self, word: usize, words: usize) -> bool;

    /// Tells that the writer is about to store into the page under `word`: marks it dirty, and saves its old
    /// content first where a checkpoint has frozen it (D10). The page has been touched before.
    fn before_write(&self, word: usize);

    /// Where a word lies, in bytes from the beginning of the file; for errors and reports.
    fn offset(&self, word: usize) -> u64;
}

/// Where new arrays and overflow chunks come from.
pub trait Arrays {
    /// The memory they are made of.
    type Pages: Pages;

    /// A run of zeroed pages, at least `bytes` long. Dropping it gives the space back once no checkpoint names
    /// it (D8).
    fn reserve(&self, bytes: u64) -> Result<Self::Pages>;
}

/// The records that cells point at.
pub trait Records {
    /// A record whose key matched, ready to be read.
    type Record;

    /// The record at `position` if `key` is its key.
    fn matching(&self, position: Position, key: &[u8]) -> Result<Option<Self::Record>>;

    /// The record at `position`; for evacuation beyond B = 24, iteration and checks.
    fn read(&self, position: Position) -> Result<Self::Record>;

    /// Has the processor fetch the record at `position` while something else goes on; a hint.
    fn prefetch(&self, _position: Position) {}

    /// A record's key; an iteration follows an evacuated cell by it (C7).
    fn key<'a>(&'a self, record: &'a Self::Record) -> &'a [u8];

    /// The hash of a record's key. Linear in its length.
    fn hash(&self, record: &Self::Record) -> Hash;
}

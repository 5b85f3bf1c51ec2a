//! Bytes only: every structure of the file, encode beside decode, pure and safe.
//!
//! `format.md` draws each of them once, with offsets; the code here asserts those offsets. Nothing in
//! this module knows a file, a lock or a thread. What is decoded has been checked: a [`header::Header`] that
//! exists had the right checksum, a [`catalog::Catalog`] lists extents that lie within the file and do not
//! overlap.

pub mod bucket;
pub mod catalog;
pub mod header;
pub mod journal;
pub mod record;
pub mod schema;
pub mod segment;

/// Bytes in a page: the unit of extents, of checkpoints and of page checksums.
pub const PAGE_BYTES: u64 = 4096;

/// No counter of a file reaches this: one a nanosecond would take 146 years. Beyond it a file is forged, and adding
/// one more could overflow.
pub const COUNTER_LIMIT: u64 = 1 << 62;

/// `bytes` rounded up to whole pages, in bytes.
pub const fn page_round_up(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_BYTES) * PAGE_BYTES
}

/// The checksum of one page, as the page checksum tables keep it: never 0, which marks an absent page (D12).
pub fn page_crc(page: &[u8]) -> u32 {
    crc32fast::hash(page).max(1)
}

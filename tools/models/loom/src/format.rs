//! The library's bucket format, over pages of two words: a model of a page needs no more, and each word costs.

#[path = "../../../../src/format/bucket.rs"]
pub mod bucket;

pub const PAGE_BYTES: u64 = 16;

pub fn page_crc(page: &[u8]) -> u32 {
    crc32fast::hash(page).max(1)
}

pub mod catalog {
    pub const SUMS_PER_PAGE: u64 = super::PAGE_BYTES / 4;
}

//! The library's bucket format, over pages of two words: a model of a page needs no more, and each word costs.

#[allow(dead_code, reason = "the library's; no model needs all of it")]
#[path = "../../../../src/format/bucket.rs"]
pub mod bucket;
#[allow(dead_code, reason = "the library's; a table needs the layout alone")]
#[path = "../../../../src/format/schema.rs"]
pub mod schema;

pub const PAGE_BYTES: u64 = 16;

pub fn page_crc(page: &[u8]) -> u32 {
    crc32fast::hash(page).max(1)
}

pub mod catalog {
    pub const SUMS_PER_PAGE: u64 = super::PAGE_BYTES / 4;
}

/// What a word of a bucket is.
pub enum Part {
    Tophash,
    /// A cell of the record layout.
    Cell,
    Key,
    Elem,
    Link,
}

impl Part {
    /// What a word is, in a run of buckets of this shape.
    pub fn of(shape: bucket::Shape, word: usize) -> Self {
        match word % shape.words() {
            bucket::TOPHASH_WORD => Part::Tophash,
            word if word == shape.overflow_word() => Part::Link,
            _ if shape == bucket::Shape::RECORD => Part::Cell,
            word if word * 8 < shape.elem(0).start => Part::Key,
            _ => Part::Elem,
        }
    }
}

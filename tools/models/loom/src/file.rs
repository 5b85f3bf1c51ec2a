//! The library's kernels of the file, and what they stand on: a region of loom's words, a disk that can fail.

#![allow(dead_code, reason = "the library's; no model needs all of it")]

#[path = "../../../../src/file/barrier.rs"]
pub mod barrier;
#[path = "../../../../src/file/epoch.rs"]
pub mod epoch;
#[path = "../../../../src/file/pages.rs"]
pub mod pages;
#[path = "../../../../src/file/sums.rs"]
pub mod sums;
#[path = "../../../../src/file/sync.rs"]
pub mod sync;

pub mod media {
    pub(crate) trait Media: Send + Sync {
        fn sync(&self) -> std::io::Result<()>;
        fn read_at(&self, out: &mut [u8], offset: u64) -> std::io::Result<()>;
    }
}

pub mod space {
    /// Nobody asks for more of the extents behind pages.
    pub(crate) struct Extent;

    impl Extent {
        pub(crate) fn offset(&self) -> u64 {
            0
        }
    }
}

pub mod region;

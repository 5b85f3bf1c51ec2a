//! Go's map, in a file: an embedded key-value store for point lookups.
//!
//! A persistent, memory-mapped hash table: buckets of eight cells with tophash bytes, overflow buckets, and growth
//! that moves a bucket or two per write. The buckets, the overflow chunks and the progress of a growth live in the
//! file, so a growth that a crash cuts short goes on where it was.
//!
//! ```
//! # fn main() -> tophash::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("app.tophash");
//! let store = tophash::Store::open(&path)?;
//! store.insert("user:1", "Ada")?;
//! assert_eq!(store.get("user:1")?.as_deref(), Some(&b"Ada"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! Start at [`Store`], which keeps bytes, or at [`Map`] and [`Set`], which keep types; [`Options`] and [`Durability`] say how
//! they are opened and when a write is on disk.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("tophash needs 64-bit Linux: a shared page cache, fallocate and hole punching");

mod batch;
mod error;
mod file;
mod format;
mod map;
#[cfg(not(feature = "mutants"))]
mod mutants;
#[cfg(feature = "mutants")]
pub mod mutants;
mod options;
mod salvage;
mod seam;
mod store;
mod sync;
mod table;
mod upkeep;

pub use batch::Batch;
pub use error::{Detail, Error, Result};
pub use format::record::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
pub use format::schema::{DataType, Layout, Schema};
pub use map::{
    Codec, DynIter, DynMap, DynSnapshot, Entry, Fixed, Integer, Key, Map, MapBatch, MapGetMany, MapIter,
    MapKeys, MapSnapshot, MapSnapshotIter, MapValues, ModifiedEntry, Set,
};
#[cfg(feature = "serde")]
pub use map::{Named, Postcard};
pub use options::{Durability, Options};
pub use salvage::{Salvage, salvage};
pub use store::{
    Buckets, Compaction, CompactionProgress, Drain, GetMany, Iter, Keys, Scan, Snapshot, SnapshotIter, Store,
    Value, Values,
};
pub use table::HashKind;
/// For the traits that a [`Fixed`] struct derives.
pub use zerocopy;

/// What [`Store::stats`], [`Store::growth`], [`Store::info`], [`Store::buckets`], [`Store::verify`], [`Store::backup`] and
/// [`salvage()`] report.
pub mod report {
    pub use crate::salvage::report::{Damage, DamagedKey, Salvaged};
    pub use crate::upkeep::backup::Backup;
    pub use crate::upkeep::inspect::{
        Bucket, CellView, ChainLink, Extent, Growth, GrowthKind, Info, Stats, WhichArray,
    };
    pub use crate::upkeep::verify::{Fault, FaultPlace, Verification};
}

#[cfg(feature = "sim")]
pub use crate::file::sim;

/// The example in README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

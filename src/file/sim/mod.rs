//! A disk in memory that crashes and fails on purpose: for testing this store, and your own program on top of it.
//!
//! # What it knows
//!
//! A real file has two contents: the *cached* one, which every program sees, and the *durable* one, which is left
//! after a power cut. A [`SimDisk`] keeps both for every file.
//!
//! * **Content.** What calls write and what is stored into shared mappings is cached at once, and durable after a
//!   sync. A sync covers what was there when it began, and nothing that others write while it is under way (while its
//!   hook runs). A power cut leaves each unsynced sector (512 bytes) old, new, or torn between two 8-byte words. Any
//!   sector may also become durable before a sync asks for it, so that a version in between survives
//!   ([`SimDisk::write_back_one_in`]).
//! * **Length and space.** Each change of the length, each allocation and each hole survives a power cut or not, on
//!   its own, until a sync. Where a hole is lost, the old bytes are back; a hole may also come about sector by sector,
//!   as on a file system that has to write zeros.
//! * **Names.** A new, renamed or removed name survives or not, on its own and whatever becomes of the file, until
//!   its directory is synced.
//! * **Failed syncs.** A sync fails once. Some of what it should have written is durable; the other pages *look
//!   clean*: programs see their new content, but no later sync writes them, until they are written again by a
//!   call (even with the same bytes) or changed through a mapping. That is what Linux does.
//! * **Killed programs.** [`Crash::Kill`] leaves the cache as it was, and as unsynced: a power cut of the disk that it
//!   returns can still take it away. Pages that look clean may have been dropped from the cache.
//! * **A full disk.** Space is counted in pages of 4096 bytes. A store into a mapped hole on a full disk panics with
//!   a message that begins with `SIGBUS`, which is what the process would die of.
//! * **Locks** are advisory, those of `flock`: of an open file, gone when it is closed, and after any crash.
//!
//! Everything that happens by chance comes from the seeds of [`SimDisk::new`] and [`SimDisk::crash`]: the same seeds
//! and the same calls give the same bytes.
//!
//! # Crash-testing a program
//!
//! Run the program on a disk, take images at every call with [`SimDisk::on_call`], and see what a restart makes of
//! each. To be found: everything that was acknowledged as durable before the call, and nothing that never was.
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use tophash::sim::{Crash, SimDisk};
//!
//! static SYNCED: AtomicU64 = AtomicU64::new(0);
//!
//! let disk = SimDisk::new(42);
//! disk.on_call(|disk, call| {
//!     let moment = disk.freeze();
//!     for seed in 0..4 {
//!         let after = moment.crash(call.number * 4 + seed, Crash::Power);
//!         let promised = SYNCED.load(Ordering::Relaxed);
//!         // A program that was cut off before it made its store finds none.
//!         let store = tophash::Options::new().background(false).media(after).open("bank").unwrap();
//!         assert!(store.len() >= promised, "seed {seed} at call {}", call.number);
//!     }
//! });
//! let store = tophash::Options::new().background(false).media(disk.clone()).open("bank")?;
//! for account in 0..10u64 {
//!     store.insert(account.to_le_bytes(), "100")?;
//!     store.sync()?;
//!     SYNCED.store(account + 1, Ordering::Relaxed);
//! }
//! # Ok::<(), tophash::Error>(())
//! ```
//!
//! Then let calls fail, one after the other, with [`SimDisk::fail`]; the numbers to go through are those below
//! [`Counters::total`] of a run without failures.
//!
//! Making an image costs microseconds, whatever the size of the files: pages are shared until they change. Opening
//! one costs about 0.2 us per page that is not zero. One moment can give any number of images ([`SimDisk::freeze`]),
//! and an image is a disk like any other, so that recovery can be crashed as well.

mod calls;
mod crash;
mod disk;
mod file;
mod handle;
mod memory;
mod names;
mod pages;
mod random;
#[cfg(test)]
mod tests;

pub use calls::{Call, CallKind, Counters, Failure, Fault, When};
pub use crash::{Crash, Moment};
pub use disk::SimDisk;

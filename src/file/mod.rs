//! The file: media, mappings, space, the log, checkpoints and epochs. Knows no key and no bucket.
//!
//! * [`media`]: the seam for faults; the real file system and the simulated disk.
//! * [`region`]: memory that readers look at while the writer changes it; the one home of `unsafe`.
//! * [`epoch`]: what readers may still see is not taken away; [`barrier`]: and they need no fence; [`fork`]: what belongs to the parent process.
//! * [`space`]: free bytes and leases on the others.
//! * [`pages`], [`sums`], [`arrays`]: index pages, their checksums, and where bucket arrays come from.
//! * [`past`]: index pages as an earlier checkpoint left them.
//! * `log`: records.
//! * [`headers`], [`sync`], [`group`], [`checkpoint`], [`create`]: what is durable, and in which order.

pub(crate) mod arrays;
pub(crate) mod barrier;
pub(crate) mod checkpoint;
pub(crate) mod create;
pub(crate) mod epoch;
pub(crate) mod fork;
pub(crate) mod group;
pub(crate) mod headers;
pub(crate) mod log;
pub(crate) mod media;
pub(crate) mod pages;
pub(crate) mod past;
pub(crate) mod region;
#[cfg(any(feature = "sim", test))]
pub mod sim;
pub(crate) mod space;
pub(crate) mod sums;
pub(crate) mod sync;

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
//! # Crash-testing your own program
//!
//! A store that keeps what it promises does not make a program right that stands on it: a program can acknowledge too
//! early, or leave half of a change. Both show only when it dies at the wrong moment, and a simulated disk can try
//! every moment. `examples/bank.rs` of the repository is such a test in whole: of three banks it finds the two that
//! lose money, and says at which call.
//!
//! **1. Put the disk under the program.** Take [`Options`](crate::Options) from outside wherever the program opens its
//! store, and give it [`Options::media`](crate::Options::media) in the test. Without a background thread, and with a
//! [seed](crate::Options::seed) in place of random numbers, the same run makes the same calls with the same bytes.
//!
//! ```
//! use tophash::{Options, sim::SimDisk};
//!
//! fn on(disk: &SimDisk) -> Options {
//!     Options::new().background(false).seed(7).media(disk.clone())
//! }
//!
//! let disk = SimDisk::new(42);
//! on(&disk).open("orders")?.insert("order 1", "a book")?;
//! assert_eq!(on(&disk).open("orders")?.len(), 1);
//! # Ok::<(), tophash::Error>(())
//! ```
//!
//! **2. Note what is acknowledged,** at the place where the program tells somebody: where it returns, answers, sends a
//! message. And what is durable: that is what [`sync`](crate::Store::sync) has returned for, or all that is
//! acknowledged with [`Durability::Immediate`](crate::Durability::Immediate).
//!
//! **3. Crash it at every call.** A hook ([`SimDisk::on_call`]) runs before each call and before each store into mapped
//! memory. There, [`SimDisk::freeze`] keeps the moment, and [`Moment::crash`] makes as many disks of it as you like.
//! Restart the program on each, by the way that it restarts in earnest, with its own recovery. What must hold:
//!
//! * after [`Crash::Kill`]: everything that was acknowledged, and of what was under way all or nothing;
//! * after [`Crash::Power`]: everything that was durable, and a prefix of the rest: nothing without what was written
//!   before it.
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
//! use tophash::sim::{Crash, SimDisk};
//! # fn on(disk: &SimDisk) -> tophash::Options {
//! #     tophash::Options::new().background(false).seed(7).media(disk.clone())
//! # }
//!
//! static ACKNOWLEDGED: AtomicU64 = AtomicU64::new(0);
//! static DURABLE: AtomicU64 = AtomicU64::new(0);
//!
//! let disk = SimDisk::new(42);
//! disk.on_call(|disk, call| {
//!     let moment = disk.freeze();
//!     for seed in 0..4 {
//!         for (kind, promised) in [(Crash::Kill, &ACKNOWLEDGED), (Crash::Power, &DURABLE)] {
//!             // A program that was cut off before it made its store makes another.
//!             let found = on(&moment.crash(seed, kind)).open("orders").unwrap().len();
//!             assert!(found >= promised.load(Relaxed), "{kind:?} at call {}, seed {seed}", call.number);
//!             assert!(found <= ACKNOWLEDGED.load(Relaxed) + 1, "an order that nobody gave");
//!         }
//!     }
//! });
//! let store = on(&disk).open("orders")?;
//! for order in 1..=9u64 {
//!     store.insert(order.to_le_bytes(), "a book")?;
//!     ACKNOWLEDGED.store(order, Relaxed);
//!     if order % 3 == 0 {
//!         store.sync()?;
//!         DURABLE.store(order, Relaxed);
//!     }
//! }
//! # Ok::<(), tophash::Error>(())
//! ```
//!
//! **4. Crash the recovery too.** An image is a disk like any other: hook it before the program restarts, and crash it
//! there. A kill that a power cut follows is a case of its own, since what the restarted program reads may have been in
//! the page cache alone. All roads must end where recovery undisturbed ends.
//!
//! ```
//! use tophash::sim::{Crash, SimDisk};
//! # fn on(disk: &SimDisk) -> tophash::Options {
//! #     tophash::Options::new().background(false).seed(7).media(disk.clone())
//! # }
//!
//! let disk = SimDisk::new(42);
//! let store = on(&disk).open("orders")?;
//! store.insert("order 1", "a book")?;
//! store.sync()?;
//! let killed = disk.crash(0, Crash::Kill);
//! killed.on_call(|disk, call| {
//!     let again = disk.crash(call.number, Crash::Power);
//!     assert_eq!(on(&again).open("orders").unwrap().len(), 1, "at call {}", call.number);
//! });
//! on(&killed).open("orders")?;
//! # Ok::<(), tophash::Error>(())
//! ```
//!
//! **5. Let calls fail,** one after the other: run the program once undisturbed, and then once for each number below
//! [`Counters::total`], with a [`Fault`] at that call, for once or from then on. It may report the error; it must not
//! panic, and after a restart on a disk that is [healed](SimDisk::heal) the rules of step 3 hold. An operation that
//! failed may be there or not where the error was that of a sync.
//!
//! ```
//! use tophash::sim::{Failure, Fault, SimDisk, When};
//! # fn on(disk: &SimDisk) -> tophash::Options {
//! #     tophash::Options::new().background(false).seed(7).media(disk.clone())
//! # }
//! # fn orders(disk: &SimDisk, durable: &mut u64) -> tophash::Result<()> {
//! #     let store = on(disk).open("orders")?;
//! #     for order in 1..=5u64 {
//! #         store.insert(order.to_le_bytes(), "a book")?;
//! #         store.sync()?;
//! #         *durable = order;
//! #     }
//! #     store.close()
//! # }
//!
//! let undisturbed = SimDisk::new(42);
//! orders(&undisturbed, &mut 0)?; // takes five orders, and counts those that are durable
//! for number in 0..undisturbed.counters().total() {
//!     let (disk, mut durable) = (SimDisk::new(42), 0);
//!     disk.fail(Fault { when: When::From(number), kind: None, failure: Failure::Io });
//!     let outcome = orders(&disk, &mut durable);
//!     disk.heal();
//!     assert!(on(&disk).open("orders")?.len() >= durable, "call {number}: {outcome:?}");
//! }
//! # Ok::<(), tophash::Error>(())
//! ```
//!
//! **6. Fill the disk** in the midst of it. The program gets [`Error::NoSpace`](crate::Error::NoSpace), has lost
//! nothing, and goes on once there is room.
//!
//! ```
//! use tophash::{Error, sim::SimDisk};
//! # fn on(disk: &SimDisk) -> tophash::Options {
//! #     tophash::Options::new().background(false).seed(7).media(disk.clone())
//! # }
//!
//! let disk = SimDisk::with_capacity(42, 1 << 20);
//! let store = on(&disk).open("orders")?;
//! let full = (0..).find_map(|n: u64| store.insert(n.to_le_bytes(), [7; 9000]).err());
//! assert!(matches!(full, Some(Error::NoSpace { .. })), "{full:?}");
//! disk.set_capacity(2 << 20);
//! store.insert("order 1", "a book")?;
//! # Ok::<(), tophash::Error>(())
//! ```
//!
//! **7. See it again.** The seed of the disk, the number of the call, and the seed and the kind of the crash are all of
//! a violation: with the same ones the same bytes come back. Print them; to look closer, make that one image and open
//! it, or write [`SimDisk::contents`] to a file and show it to the `tophash` command.
//!
//! ```
//! use tophash::sim::{Crash, SimDisk};
//! # fn on(disk: &SimDisk) -> tophash::Options {
//! #     tophash::Options::new().background(false).seed(7).media(disk.clone())
//! # }
//!
//! let image = |number: u64, seed: u64| {
//!     let (disk, (kept, found)) = (SimDisk::new(42), std::sync::mpsc::channel());
//!     disk.on_call(move |disk, call| {
//!         if call.number == number {
//!             kept.send(disk.crash(seed, Crash::Power)).unwrap();
//!         }
//!     });
//!     on(&disk).open("orders").and_then(|store| store.insert("order 1", "a book").map(|_| ())).unwrap();
//!     found.recv().unwrap().contents("orders")
//! };
//! assert_eq!(image(20, 7), image(20, 7));
//! ```
//!
//! # What it costs
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

//! Group commit: whoever has the turn syncs for all who wait, and a failed sync acknowledges nothing (D5, C17).
//!
//! The turns and the poison are the library's; the twenty lines of `Core::sync_to` that use them are repeated here,
//! because the rest of a store can't be had in a model.

use std::io;
use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::AtomicU64;
use loom::thread;

use super::{Model, at_length, bounded};
use crate::error::{Error, Result};
use crate::file::media::Media;
use crate::file::sync::Syncer;
use crate::mutants::{Mutant, kept};
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::weaken;

pub(super) const MODELS: &[Model] =
    &[bounded("commit", 2, 3, commit), at_length("commit-fails", 2, commit_fails)];

/// A disk that keeps what was synced. Reading a word by `fetch_add(0)` gives its last value, as a disk would.
struct Disk {
    written: AtomicU64,
    /// Taken from the page cache by some sync.
    flushed: AtomicU64,
    durable: AtomicU64,
    /// The first sync fails: what it took looks clean and is lost.
    fails: bool,
}

impl Media for Disk {
    fn sync(&self) -> io::Result<()> {
        let end = self.written.fetch_add(0, AcqRel);
        let from = self.flushed.swap(end, AcqRel);
        if from >= end {
            return Ok(());
        }
        if self.fails && from == 0 {
            return Err(io::ErrorKind::Other.into());
        }
        self.durable.fetch_max(end, AcqRel);
        Ok(())
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

struct Store {
    disk: Arc<Disk>,
    syncer: Syncer,
    writer: Mutex<()>,
    appended: AtomicU64,
    synced: AtomicU64,
}

impl Store {
    fn new(fails: bool) -> Arc<Self> {
        let word = || AtomicU64::new(0);
        let disk = Arc::new(Disk { written: word(), flushed: word(), durable: word(), fails });
        let media: Arc<dyn Media> = Arc::clone(&disk) as _;
        let (appended, synced) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Store { disk, syncer: Syncer::new(media), writer: Mutex::new(()), appended, synced })
    }

    /// A write with `Durability::Immediate`.
    fn insert(&self) {
        let appended = {
            let _writer = self.writer.lock().unwrap();
            self.disk.written.fetch_add(1, Relaxed);
            let before = self.appended.load(Relaxed);
            self.appended.store(before + 1, weaken::at("commit: append", Release));
            self.appended.load(weaken::at("commit: load of what was appended", Acquire))
        };
        match self.sync_to(appended) {
            Ok(()) => self.expect_durable(appended),
            Err(error) => assert!(self.disk.fails, "{error}"),
        }
    }

    /// `Store::sync`, by a thread that wrote nothing.
    fn sync(&self) {
        let appended = self.appended.load(weaken::at("commit: load of what was appended", Acquire));
        if self.sync_to(appended).is_ok() {
            self.expect_durable(appended);
        }
    }

    fn expect_durable(&self, appended: u64) {
        let durable = self.disk.durable.fetch_add(0, AcqRel);
        assert!(durable >= appended, "{appended} acknowledged, {durable} durable");
    }

    /// `Core::sync_to`, without the marks, and without the wait for others (`Group`), which only saves syncs.
    fn sync_to(&self, appended: u64) -> Result<(), Error> {
        self.syncer.check()?;
        if self.synced.load(weaken::at("commit: load of what is synced", Acquire)) >= appended {
            return Ok(());
        }
        let turn = self.syncer.turn();
        self.syncer.check()?;
        let covered = {
            let _writer = self.writer.lock().unwrap();
            self.appended.load(weaken::at("commit: load of what was appended", Acquire))
        };
        turn.sync()?;
        let covered = if kept(Mutant::CoveredIsTakenBefore) {
            covered
        } else {
            self.appended.load(weaken::at("commit: load of what was appended", Acquire))
        };
        self.synced.store(covered, weaken::at("commit: store of what is synced", Release));
        Ok(())
    }
}

fn together(store: Arc<Store>) {
    let others = [Store::insert, Store::sync].map(|other| {
        let store = Arc::clone(&store);
        thread::spawn(move || other(&store))
    });
    store.insert();
    others.into_iter().for_each(|other| other.join().unwrap());
}

/// Two threads write and wait, a third syncs.
fn commit() {
    together(Store::new(false));
}

/// The same, and the first sync fails.
fn commit_fails() {
    together(Store::new(true));
}

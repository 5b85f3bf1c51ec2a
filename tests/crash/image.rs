//! Opens what a crash left and judges it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tophash::sim::{CallKind, Failure, Fault, SimDisk, When};
use tophash::{Error, Options, Store};

use crate::content::{Digest, Key, Payload};
use crate::life::{Life, Op, shape};
use crate::program::{PATH, options};
use crate::script::ORDINARY;

/// Which operations of a life an image may hold.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub life: &'a Life,
    pub least: usize,
    pub most: usize,
}

/// Opens an image and compares it with what it should hold. Returns the store and how many operations it holds.
pub fn judge(disk: &SimDisk, expected: Expected<'_>) -> Result<(Store, usize), String> {
    let store = options(disk).open(Path::new(PATH)).map_err(|error| format!("opening: {error}"))?;
    let at = judge_store(&store, expected)?;
    Ok((store, at))
}

/// The same for a store that is open.
pub fn judge_store(store: &Store, expected: Expected<'_>) -> Result<usize, String> {
    let Expected { life, least, most } = expected;
    let digest = Digest::of(store)?;
    let at = life.find(digest, least, most).ok_or_else(|| {
        let elsewhere = life.find(digest, 0, life.len());
        format!(
            "not what {least} to {most} operations leave; {} entries, those after {elsewhere:?}",
            digest.entries
        )
    })?;
    let verification = store.verify().map_err(|error| format!("verifying: {error}"))?;
    if let Some(fault) = verification.faults.first() {
        return Err(format!("after {at} operations of {least} to {most}: {fault}"));
    }
    if let Some(expected) = life.shape_after(at) {
        let found = shape(store).map_err(|error| format!("looking at the table: {error}"))?;
        if found != expected {
            return Err(format!("after {at} operations the table is not cell for cell what it was"));
        }
    }
    Ok(at)
}

/// Opens an image for reading alone: it must show what `judge` will find, and the disk must not change.
pub fn judge_read_only(disk: &SimDisk, expected: Expected<'_>) -> Result<usize, String> {
    let before = disk.contents(PATH);
    disk.set_capacity(0);
    let at = {
        let store = options(disk).read_only(true).open(Path::new(PATH));
        let store = store.map_err(|error| format!("opening for reading: {error}"))?;
        let at = judge_store(&store, expected)?;
        match store.insert("key", "value") {
            Err(Error::ReadOnly) => at,
            other => return Err(format!("writing to a read-only store: {other:?}")),
        }
    };
    disk.set_capacity(1 << 30);
    let counters = disk.counters();
    let writing = [
        CallKind::Create,
        CallKind::Publish,
        CallKind::Remove,
        CallKind::SyncDirectory,
        CallKind::SetLength,
        CallKind::Allocate,
        CallKind::Punch,
        CallKind::Write,
        CallKind::Sync,
        CallKind::Store,
    ];
    if let Some(kind) = writing.into_iter().find(|&kind| counters.calls(kind) > 0) {
        return Err(format!("a read-only open called {kind:?}"));
    }
    if disk.contents(PATH) != before {
        return Err("a read-only open changed the file".into());
    }
    Ok(at)
}

/// Drops a store that is not to be closed: it finds a disk that does nothing any more.
pub fn abandon(disk: &SimDisk, store: Store) {
    disk.fail(Fault { when: When::From(0), kind: None, failure: Failure::Io });
    drop(store);
}

/// Writes to a recovered store, closes it, opens it again: all is there.
pub fn goes_on(disk: &SimDisk, store: Store, life: &Life, at: usize) -> Result<(), String> {
    let mut life = life.fork(at);
    for op in further_ops(&life, at as u64, ORDINARY) {
        op.run(&store).map_err(|error| format!("{op:?} on the recovered store: {error}"))?;
        life.push(op);
    }
    let end = Expected { life: &life, least: life.len(), most: life.len() };
    judge_store(&store, end).map_err(|error| format!("written after recovery: {error}"))?;
    store.close().map_err(|error| format!("closing: {error}"))?;
    let (store, _) = judge(disk, end).map_err(|error| format!("reopened after recovery: {error}"))?;
    match store.stats().map_err(|error| error.to_string())?.recovered {
        true => Err("closed cleanly and yet recovered".into()),
        false => Ok(()),
    }
}

/// A few operations on what `life` leaves: new keys, a replacement, a removal. All records are of one size, so that
/// each stale record behind the tail is in reach of a walk.
pub fn further_ops(life: &Life, salt: u64, value_bytes: usize) -> Vec<Op> {
    let content = life.content_after(life.len());
    let first = 1_000_000 + salt * 1000 + life.len() as u64;
    let mut ops: Vec<Op> = (0..4)
        .map(|n| format!("n{:05}", (salt * 7 + n) % 100_000).into_bytes())
        .zip(first..)
        .map(|(key, id)| Op::Insert(key, Payload::new(id, value_bytes)))
        .collect();
    let some: Vec<&Key> = content.keys().take(2).collect();
    if let [replaced, removed] = some[..] {
        ops.push(Op::Insert(replaced.clone(), Payload::new(first + 10, value_bytes)));
        ops.push(Op::Remove(removed.clone()));
    }
    ops
}

/// So many wrong images are enough to know.
const ENOUGH: u64 = 24;

/// Counts images and keeps what was wrong with them.
pub struct Tally {
    name: &'static str,
    begun: Instant,
    images: AtomicU64,
    points: AtomicU64,
    wrong: AtomicU64,
    complaints: Mutex<Vec<String>>,
}

impl Tally {
    pub fn new(name: &'static str) -> Self {
        Tally {
            name,
            begun: Instant::now(),
            images: AtomicU64::new(0),
            points: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            complaints: Mutex::new(Vec::new()),
        }
    }

    pub fn point(&self) {
        self.points.fetch_add(1, Ordering::Relaxed);
    }

    /// Judges one image, unless more than enough were wrong. A panic is as bad as an error.
    pub fn image(&self, label: impl Fn() -> String, judge: impl FnOnce() -> Result<(), String>) {
        if self.wrong.load(Ordering::Relaxed) > ENOUGH {
            return;
        }
        self.images.fetch_add(1, Ordering::Relaxed);
        let verdict = catch_unwind(AssertUnwindSafe(judge)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(format!(
                "panic: {}",
                text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default()
            ))
        });
        if let Err(complaint) = verdict {
            self.wrong.fetch_add(1, Ordering::Relaxed);
            let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
            if complaints.len() < 12 {
                complaints.push(format!("{}: {complaint}", label()));
            }
        }
    }

    pub fn images(&self) -> u64 {
        self.images.load(Ordering::Relaxed)
    }

    /// Says how much was done, and panics if anything was wrong.
    #[track_caller]
    pub fn end(&self) {
        let wrong = self.wrong.load(Ordering::Relaxed);
        let (images, points) = (self.images(), self.points.load(Ordering::Relaxed));
        println!(
            "{}: {images} images of {points} moments in {:.1?}, {wrong} wrong",
            self.name,
            self.begun.elapsed()
        );
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(wrong == 0, "{wrong} of {images} images are wrong:\n{}", complaints.join("\n"));
    }
}

/// Options for a scratch store.
pub fn scratch() -> Options {
    options(&SimDisk::new(0)).capacity(30_000)
}

//! Opens what a crash left and judges it.

use std::path::Path;

use tophash::Error;
use tophash::sim::{CallKind, Failure, Fault, SimDisk, When};

use crate::content::{Digest, Key};
use crate::life::{Life, Op, shape};
use crate::program::{PATH, Setup};
use crate::script::ORDINARY;
use crate::subject::Subject;

/// Which operations of a life an image may hold.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub life: &'a Life,
    pub least: usize,
    pub most: usize,
}

fn open(disk: &SimDisk, life: &Life) -> tophash::Result<Subject> {
    Setup::ORDINARY.with(life.form()).open(disk)
}

/// Opens an image and compares it with what it should hold. Returns the store and how many operations it holds.
pub fn judge(disk: &SimDisk, expected: Expected<'_>) -> Result<(Subject, usize), String> {
    let store = open(disk, expected.life).map_err(|error| format!("opening: {error}"))?;
    let at = judge_store(&store, expected)?;
    Ok((store, at))
}

/// The same for a store that is open.
pub fn judge_store(store: &Subject, expected: Expected<'_>) -> Result<usize, String> {
    let Expected { life, least, most } = expected;
    let digest = Digest::of(store)?;
    let mut candidates = life.candidates(digest, least, most).peekable();
    let highest = *candidates.peek().ok_or_else(|| {
        let elsewhere = life.find(digest, 0, life.len());
        format!(
            "not what {least} to {most} operations leave; {} entries, those after {elsewhere:?}",
            digest.entries
        )
    })?;
    let verification = store.verify().map_err(|error| format!("verifying: {error}"))?;
    if let Some(fault) = verification.faults.first() {
        return Err(format!("after {highest} operations of {least} to {most}: {fault}"));
    }
    let found = shape(store).map_err(|error| format!("looking at the table: {error}"))?;
    let same_table = |&at: &usize| {
        life.shape_after(at).is_none_or(|expected| expected == found) || life.may_have_grown_after(at)
    };
    candidates
        .find(same_table)
        .ok_or_else(|| format!("after {highest} operations the table is not cell for cell what it was"))
}

/// Opens an image for reading alone: it must show what `judge` will find, and the disk must not change.
pub fn judge_read_only(disk: &SimDisk, expected: Expected<'_>) -> Result<usize, String> {
    let before = disk.contents(PATH);
    disk.set_capacity(0);
    let at = {
        let form = expected.life.form();
        let options = Setup::ORDINARY.options(disk).read_only(true);
        let store = Subject::open_existing(options, Path::new(PATH), form);
        let store = store.map_err(|error| format!("opening for reading: {error}"))?;
        let at = judge_store(&store, expected)?;
        match store.insert(&form.key("key"), form.payload(1, ORDINARY)) {
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
pub fn abandon(disk: &SimDisk, store: Subject) {
    disk.fail(Fault { when: When::From(0), kind: None, failure: Failure::Io });
    drop(store);
}

/// Writes to a recovered store, closes it, opens it again: all is there.
pub fn goes_on(disk: &SimDisk, store: Subject, life: &Life, at: usize) -> Result<(), String> {
    write_on(store, &mut life.fork(at), || open(disk, life))
}

/// The same with a store that has all of `life`, which goes on as well.
pub fn write_on(
    store: Subject,
    life: &mut Life,
    reopen: impl FnOnce() -> tophash::Result<Subject>,
) -> Result<(), String> {
    for op in further_ops(life, life.len() as u64, ORDINARY) {
        op.run(&store).map_err(|error| format!("{op:?} on the recovered store: {error}"))?;
        life.push(op);
    }
    let end = Expected { life, least: life.len(), most: life.len() };
    judge_store(&store, end).map_err(|error| format!("written after recovery: {error}"))?;
    store.close().map_err(|error| format!("closing: {error}"))?;
    let store = reopen().map_err(|error| format!("reopening after recovery: {error}"))?;
    judge_store(&store, end).map_err(|error| format!("reopened after recovery: {error}"))?;
    match store.stats().map_err(|error| error.to_string())?.recovered {
        true => Err("closed cleanly and yet recovered".into()),
        false => Ok(()),
    }
}

/// A few operations on what `life` leaves: new keys, a replacement, a removal. All records are of one size, so that
/// each stale record behind the tail is in reach of a walk.
pub fn further_ops(life: &Life, salt: u64, value_bytes: usize) -> Vec<Op> {
    let (form, content) = (life.form(), life.content_after(life.len()));
    let first = 1_000_000 + salt * 1000 + life.len() as u64;
    let mut ops: Vec<Op> = (0..4)
        .map(|n| form.key(format!("n{:05}", (salt * 7 + n) % 100_000)))
        .zip(first..)
        .map(|(key, id)| Op::Insert(key, form.payload(id, value_bytes)))
        .collect();
    let some: Vec<&Key> = content.keys().take(2).collect();
    if let [replaced, removed] = some[..] {
        ops.push(Op::Insert(replaced.clone(), form.payload(first + 10, value_bytes)));
        ops.push(Op::Remove(removed.clone()));
    }
    ops
}

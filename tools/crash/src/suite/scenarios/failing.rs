//! Disks that fail at the one call that matters, and full ones.

use std::sync::{Arc, Mutex, PoisonError};

use tophash::Error;
use tophash::sim::{CallKind, Crash, Failure, Fault, SimDisk, When};

use super::{Verdict, holds, insert, open, remove};
use crate::program::Setup;
use crate::script::ORDINARY;
use crate::subject::Form;
use crate::workload::Dice;

/// A write of a checkpoint fails, perhaps one of those in place: another checkpoint makes up for it.
pub fn in_place_writes(dice: &mut Dice, form: Form) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ROOMY.with(form))?;
    let told = |error: Error| error.to_string();
    (0..100).try_for_each(|n| insert(&store, n, ORDINARY)).map_err(told)?;
    store.checkpoint().map_err(told)?;
    (100..200).try_for_each(|n| insert(&store, n, ORDINARY)).map_err(told)?;
    let number = disk.counters().total() + dice.below(16);
    disk.fail(Fault { when: When::Once(number), kind: Some(CallKind::Write), failure: Failure::Io });
    let _ = store.checkpoint();
    disk.heal();
    insert(&store, 200, ORDINARY).map_err(told)?;
    store.checkpoint().map_err(|error| format!("a checkpoint after one that failed: {error}"))?;
    holds(&store, 201)?;
    store.close().map_err(told)?;
    holds(&open(&disk, Setup::ROOMY.with(form))?, 201)
}

/// Checkpoints fail, and memory is short: writes are refused before what is dirty has outgrown the limit.
pub fn checkpoints(dice: &mut Dice, form: Form) -> Verdict {
    const PAGES_OF_A_WRITE: u64 = 8;
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::TIGHT.with(form))?;
    insert(&store, 0, 8).map_err(|error| error.to_string())?;
    disk.fail(Fault { when: When::From(0), kind: Some(CallKind::Write), failure: Failure::NoSpace });
    for n in 1..400 {
        if insert(&store, n, 8).is_err() {
            return holds(&store, n);
        }
        let stats = store.stats().map_err(|error| error.to_string())?;
        if stats.dirty_bytes > stats.index_memory_limit + PAGES_OF_A_WRITE * 4096 {
            return Err(format!("{} bytes are dirty, of {}", stats.dirty_bytes, stats.index_memory_limit));
        }
    }
    Err("no write is refused".into())
}

/// A sync fails, and what it should have written looks clean from then on. Whatever is done next, on a disk that is
/// well, no power cut takes away what was durable before.
pub fn syncs(dice: &mut Dice, form: Form) -> Verdict {
    (0..6).try_for_each(|_| fail_a_sync(dice, form))
}

fn fail_a_sync(dice: &mut Dice, form: Form) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ROOMY.with(form))?;
    let told = |error: Error| error.to_string();
    let durable = dice.between(1, 60);
    (0..durable).try_for_each(|n| insert(&store, n, ORDINARY)).map_err(told)?;
    if dice.one_in(2) { store.checkpoint() } else { store.sync() }.map_err(told)?;
    let (store, mut next) = match dice.below(3) {
        0 => {
            store.close().map_err(told)?;
            (open(&disk, Setup::ROOMY.with(form))?, durable)
        }
        1 => (store, durable),
        _ => {
            insert(&store, durable, ORDINARY).map_err(told)?;
            (store, durable + 1)
        }
    };
    // Which of the next syncs fails is left to chance: of a session's beginning, a checkpoint, a close, a recovery.
    let number = disk.counters().total() + dice.below(40);
    disk.fail(Fault { when: When::Once(number), kind: Some(CallKind::Sync), failure: Failure::Io });
    let _ = insert(&store, next, ORDINARY);
    let _ = store.checkpoint();
    let _ = store.close();
    let wrong = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&wrong);
    let seed = dice.below(u64::MAX);
    disk.on_call(move |disk, call| {
        if ![CallKind::Sync, CallKind::Write].contains(&call.kind) {
            return;
        }
        for n in 0..3 {
            let after = disk.crash(seed ^ (call.number * 4 + n), Crash::Power);
            if let Err(complaint) =
                open(&after, Setup::ROOMY.with(form)).and_then(|store| holds(&store, durable))
            {
                let complaint = format!("at {call:?}: {complaint}");
                noted.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(complaint);
            }
        }
    });
    // The second opening comes after a recovery that may have failed.
    for _ in 0..3 {
        if let Ok(store) = open(&disk, Setup::ROOMY.with(form)) {
            next += 1;
            let _ = insert(&store, next, ORDINARY);
            if dice.one_in(2) {
                let _ = store.checkpoint();
            }
            let _ = store.close();
        }
    }
    disk.off_call();
    let wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner).take();
    wrong.map_or(Ok(()), Err)
}

/// A disk is full, and so is the log: what frees something has a reserve, for more removals than the rest of a segment
/// has room for. The table does not shrink at its cost.
pub fn removals_on_a_full_disk(dice: &mut Dice, form: Form) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::SMALLEST.with(form))?;
    let len = dice.between(16, 200) as usize;
    let first = dice.between(30, 60);
    (0..first).try_for_each(|n| insert(&store, n, len)).map_err(|error| error.to_string())?;
    disk.set_capacity(0);
    let mut stored = first;
    let error = loop {
        match insert(&store, stored, len) {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
    };
    if !matches!(error, Error::NoSpace { .. }) {
        return Err(format!("a full disk, but {error:?}"));
    }
    (0..stored)
        .try_for_each(|n| remove(&store, n))
        .map_err(|error| format!("removing {stored} entries: {error}"))
}

//! Backups that are cut off, and snapshots of what is freed meanwhile.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tophash::sim::{Crash, SimDisk};

use super::{Verdict, insert, open};
use crate::content::Digest;
use crate::held::{Held, judge_copy};
use crate::program::{PATH, Setup};
use crate::script::{ORDINARY, ROLLING};
use crate::subject::{Form, Subject};
use crate::workload::Dice;

const COPY: &str = "copy";

/// Wherever a backup is cut off, its target is whole or absent, a file with another name is whole or no store, and the
/// original is as it was.
pub fn backup_that_is_cut_off(dice: &mut Dice, form: Form) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup { capacity: dice.below(300), form, ..Setup::ORDINARY })?;
    let told = |error: tophash::Error| error.to_string();
    let entries = dice.between(1, 60);
    let len = if dice.one_in(4) { ROLLING } else { ORDINARY };
    (0..entries).try_for_each(|n| insert(&store, n, len)).map_err(told)?;
    store.sync().map_err(told)?;
    let content = Digest::of(&store)?;
    let wrong = Arc::new(Mutex::new(None));
    let (noted, seed) = (Arc::clone(&wrong), dice.below(u64::MAX));
    disk.on_call(move |disk, call| {
        for (n, kind) in [Crash::Power, Crash::Power, Crash::Kill].into_iter().enumerate() {
            let after = disk.crash(seed ^ (call.number * 4 + n as u64), kind);
            if let Err(complaint) = whole_or_absent(&after, form, content) {
                let complaint = format!("at {call:?}, {kind:?}: {complaint}");
                noted.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(complaint);
            }
        }
    });
    let made = store.backup(Path::new(COPY));
    disk.off_call();
    made.map_err(told)?;
    let wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner).take();
    wrong.map_or(Ok(()), Err)?;
    judge_copy(&disk.crash(seed, Crash::Power), Path::new(COPY), form, content)
}

fn whole_or_absent(disk: &SimDisk, form: Form, content: Digest) -> Verdict {
    for path in disk.paths() {
        let is_whole = path == Path::new(COPY) || path == Path::new(PATH);
        let options = Setup::ORDINARY.options(disk).read_only(true);
        if is_whole || Subject::open_existing(options, &path, form).is_ok() {
            judge_copy(disk, &path, form, content)?;
        }
    }
    Ok(())
}

/// Arrays that a snapshot looks at are replaced, twice, and so are the records, before it does.
pub fn snapshots_of_what_is_freed(dice: &mut Dice, form: Form) -> Verdict {
    (0..6).try_for_each(|_| hold_what_is_freed(dice, form))
}

fn hold_what_is_freed(dice: &mut Dice, form: Form) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY.with(form))?;
    let told = |error: tophash::Error| error.to_string();
    let mut held = Held::default();
    let mut next = 0;
    for _ in 0..dice.between(2, 5) {
        for _ in 0..dice.between(1, 120) {
            insert(&store, next, ORDINARY).map_err(told)?;
            next += 1;
        }
        store.checkpoint().map_err(told)?;
        held.take(&store, Digest::of(&store)?).map_err(told)?;
        if dice.one_in(2) {
            store.clear().map_err(told)?;
        }
    }
    store.checkpoint().map_err(told)?;
    held.look()
}

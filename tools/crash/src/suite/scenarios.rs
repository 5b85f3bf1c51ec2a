//! Cycles that aim at one rule each, where random programs hardly ever meet what breaks it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tophash::sim::{CallKind, Crash, SimDisk};
use tophash::{Error, Store};

use crate::content::Payload;
use crate::damage::disk_with;
use crate::program::{PATH, Setup, options};
use crate::script::ORDINARY;
use crate::tally::Tally;
use crate::workload::Dice;

type Verdict = Result<(), String>;
type Scenario = fn(&mut Dice) -> Verdict;

/// One image of each scenario.
pub fn scenarios(seed: u64, tally: &Arc<Tally>) -> Verdict {
    let mut dice = Dice::new(seed);
    let all: [(&str, Scenario); 6] = [
        ("two threads that sync (D5)", two_threads_that_sync),
        ("a growth on a full disk (D18)", growth_on_a_full_disk),
        ("a growth at the end of a segment (D18)", growth_at_the_end_of_a_segment),
        ("a file that is replaced between open and lock (D22)", replaced_before_the_lock),
        ("a mark in a value (D4)", mark_in_a_value),
        ("a record in the place of another (D1)", record_in_the_place_of_another),
    ];
    tally.moment();
    for (name, scenario) in all {
        tally.image(|| name.to_owned(), || scenario(&mut dice));
    }
    Ok(())
}

fn open(disk: &SimDisk, setup: Setup) -> Result<Store, String> {
    setup.options(disk).open(Path::new(PATH)).map_err(|error| format!("opening: {error}"))
}

fn key(n: u64) -> Vec<u8> {
    format!("s{n:05}").into_bytes()
}

fn insert(store: &Store, n: u64, len: usize) -> tophash::Result<()> {
    store.insert(key(n), Payload::new(n, len).bytes()).map(drop)
}

/// Where records begin in a segment.
const FIRST_RECORD: usize = 2048;

/// Offset of the first log segment.
fn log_segment(store: &Store) -> Result<u64, String> {
    let extents = store.info().map_err(|error| error.to_string())?.extents;
    let log = extents.iter().find(|extent| extent.what.contains("log segment"));
    Ok(log.ok_or("no log segment")?.offset)
}

/// All of the first `count` keys are there.
fn holds(store: &Store, count: u64) -> Verdict {
    for n in 0..count {
        match store.get(key(n)) {
            Ok(Some(value)) if Payload::recognise(&value).is_some() => {}
            other => return Err(format!("key {n} of {count}: {:?}", other.map(|value| value.is_some()))),
        }
    }
    Ok(())
}

/// How long a thread is given to begin a sync beside another one's.
const HEAD_START: Duration = Duration::from_millis(5);

/// While one thread syncs, another one would like to.
fn two_threads_that_sync(dice: &mut Dice) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY)?;
    insert(&store, 0, ORDINARY).map_err(|error| error.to_string())?;
    let (ask, asked) = channel();
    let other = store.clone();
    let thread = thread::spawn(move || {
        let _ = asked.recv();
        insert(&other, 1, ORDINARY)?;
        other.sync()
    });
    let (inside, both) = (AtomicBool::new(false), Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&both);
    disk.on_call(move |_, call| {
        if call.kind == CallKind::Sync {
            if inside.swap(true, Ordering::SeqCst) {
                seen.store(true, Ordering::SeqCst);
                return;
            }
            let _ = ask.send(());
            thread::sleep(HEAD_START);
            inside.store(false, Ordering::SeqCst);
        }
    });
    let synced = store.sync();
    let other = thread.join().map_err(|_| "the other thread panicked")?;
    disk.off_call();
    synced.and(other).map_err(|error| error.to_string())?;
    match both.load(Ordering::SeqCst) {
        true => Err("two syncs are in flight".into()),
        false => Ok(()),
    }
}

/// Entries at which a table that is made for so many doubles.
fn full_table(store: &Store) -> Result<u64, String> {
    let b = store.growth().map_err(|error| error.to_string())?.b;
    Ok((1 << b) * 13 / 2)
}

/// A growth that can't be afforded is put off, and the entry is stored; it comes when there is room.
fn growth_on_a_full_disk(dice: &mut Dice) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup { capacity: dice.between(60, 200), ..Setup::ORDINARY })?;
    let full = full_table(&store)?;
    for n in 0..full {
        insert(&store, n, 8).map_err(|error| error.to_string())?;
    }
    disk.set_capacity(0);
    // An entry may need an overflow bucket that is not there; four don't.
    let more: Vec<_> = (full..full + 4).map(|n| insert(&store, n, 8)).collect();
    if more.iter().all(Result::is_err) {
        return Err(format!("nothing can be stored while a growth can't be had: {:?}", more[0]));
    }
    disk.set_capacity(1 << 30);
    for n in full..full + 5 {
        insert(&store, n, 8).map_err(|error| format!("with room: {error}"))?;
    }
    let growing = store.growth().map_err(|error| error.to_string())?.kind.is_some();
    if !growing {
        return Err("the growth that was put off does not come".into());
    }
    holds(&store, full + 5)
}

/// The record of a growth and that of the entry that starts it, where a segment has room for hardly one of them.
fn growth_at_the_end_of_a_segment(dice: &mut Dice) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup { capacity: 50, ..Setup::ORDINARY })?;
    let full = full_table(&store)?;
    let io = |error: tophash::Error| error.to_string();
    let log = || -> Result<(u64, u64), String> {
        let extents = store.info().map_err(io)?.extents;
        let log =
            extents.iter().find(|extent| extent.what.contains("log segment")).ok_or("no log segment")?;
        Ok((log.used_bytes, log.bytes))
    };
    (0..full - 2).try_for_each(|n| insert(&store, n, ORDINARY)).map_err(io)?;
    const PROBE: u64 = 304;
    let before = log()?.0;
    insert(&store, full - 2, PROBE as usize).map_err(io)?;
    let (used, bytes) = log()?;
    let overhead = used - before - PROBE;
    let left = dice.between(1, 14) * 8;
    insert(&store, full - 1, (bytes - used - left - overhead) as usize).map_err(io)?;
    insert(&store, full, ORDINARY).map_err(io)?;
    holds(&store, full + 1)?;
    let after = disk.crash(dice.below(u64::MAX), Crash::Kill);
    drop(store);
    holds(&open(&after, Setup::ORDINARY)?, full + 1)
}

/// Between opening and locking, the path comes to name another file: that one must be written.
fn replaced_before_the_lock(dice: &mut Dice) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    open(&disk, Setup::ORDINARY)?.close().map_err(|error| error.to_string())?;
    let replacement = disk.contents(PATH).ok_or("no file")?;
    let replaced = AtomicBool::new(false);
    disk.on_call(move |disk, call| {
        if call.kind == CallKind::Lock && !replaced.swap(true, Ordering::SeqCst) {
            disk.put(PATH, &replacement);
        }
    });
    let store = open(&disk, Setup::ORDINARY)?;
    disk.off_call();
    insert(&store, 0, ORDINARY).map_err(|error| error.to_string())?;
    store.close().map_err(|error| error.to_string())?;
    holds(&open(&disk, Setup::ORDINARY)?, 1)
}

/// A record was written to where another one should be: its key is not found there, and that is no answer.
fn record_in_the_place_of_another(dice: &mut Dice) -> Verdict {
    const RECORD: usize = 64;
    const VALUE: usize = RECORD - 14;
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY)?;
    let count = dice.between(4, 30);
    (0..count).try_for_each(|n| insert(&store, n, VALUE)).map_err(|error| error.to_string())?;
    let first = log_segment(&store)? as usize + FIRST_RECORD;
    store.close().map_err(|error| error.to_string())?;
    let mut file = disk.contents(PATH).ok_or("no file")?;
    let from = dice.below(count);
    let to = (from + dice.between(1, count - 1)) % count;
    let place = |n: u64| first + n as usize * RECORD;
    file.copy_within(place(from)..place(from) + RECORD, place(to));
    let store = open(&disk_with(&file), Setup::ORDINARY)?;
    match store.get(key(to)) {
        Err(Error::Corrupt { .. }) => Ok(()),
        other => {
            Err(format!("key {to}, whose record is that of {from}: {:?}", other.map(|value| value.is_some())))
        }
    }
}

/// A value holds what looks like a mark with the right checksum, and the record before it is torn: the log ends
/// there, nothing was synced.
fn mark_in_a_value(dice: &mut Dice) -> Verdict {
    const VALUE_BYTES: usize = 2048;
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY)?;
    let file = disk.contents(PATH).ok_or("no file")?;
    let first = log_segment(&store)? + FIRST_RECORD as u64;
    // The first record has 40 bytes, the header and the key of the second one 14.
    insert(&store, 0, ORDINARY).map_err(|error| error.to_string())?;
    let value_at = first + 40 + 14;
    let mark_at = (value_at + 600 + dice.below(800)).next_multiple_of(8);
    let mut value = vec![0; VALUE_BYTES];
    let mark = forged_mark(&file, mark_at, mark_at);
    let within = (mark_at - value_at) as usize;
    value[within..within + mark.len()].copy_from_slice(&mark);
    store.insert(key(1), &value).map_err(|error| error.to_string())?;

    let mut left = disk.crash(0, Crash::Kill).contents(PATH).ok_or("no file")?;
    left[first as usize..first as usize + 40].fill(0);
    let store = options(&disk_with(&left)).open(Path::new(PATH));
    match store.map(|store| store.len()) {
        Ok(0) => Ok(()),
        Ok(len) => Err(format!("{len} entries behind a torn record")),
        Err(error @ Error::Corrupt { .. }) => Err(format!("a value passes for a mark: {error}")),
        Err(error) => Err(format!("opening: {error}")),
    }
}

/// A mark of the first segment that says everything before `end` is durable, at this file offset; all of it as in
/// format.md, but for the check that only the file's secret makes.
fn forged_mark(file: &[u8], at: u64, end: u64) -> [u8; 32] {
    const SYNC_MARK: u8 = 5;
    const SALT_STEP: u32 = 0x9e37_79b1;
    let (epoch, sequence) = (0u64, 1u64);
    let salt = [&file[24..40], &epoch.to_le_bytes(), &sequence.to_le_bytes()].concat();
    let salt = crc32fast::hash(&salt).wrapping_add(((at >> 3) as u32).wrapping_mul(SALT_STEP));
    let mut mark = [0; 32];
    mark[4] = SYNC_MARK;
    mark[6] = 24;
    mark[8..16].copy_from_slice(&sequence.to_le_bytes());
    mark[16..24].copy_from_slice(&end.to_le_bytes());
    let mut crc = crc32fast::Hasher::new_with_initial(salt);
    crc.update(&mark[4..]);
    mark[..4].copy_from_slice(&crc.finalize().to_le_bytes());
    mark
}

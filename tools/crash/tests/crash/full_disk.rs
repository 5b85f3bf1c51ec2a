//! A full disk: what adds is refused and changes nothing, what frees works a while, and room brings all of it back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tophash::sim::{Crash, SimDisk};
use tophash::{Error, Store};

use tophash_crash::content::{Digest, Payload, mix_all};
use tophash_crash::image::{Expected, goes_on, judge, judge_read_only, judge_store};
use tophash_crash::life::{Life, Op};
use tophash_crash::program::{PATH, Program, Progress, Step, options};
use tophash_crash::script::unlucky_life;
use tophash_crash::tally::Tally;

const ROOMY: u64 = 1 << 30;
/// Steps that the disk stays full for.
const FULL_FOR: usize = 14;

/// Runs a script on a disk that is full from call number `full_from` on, for some steps.
fn run_while_full(script: &[Step], full_from: u64) -> Result<(), String> {
    let disk = SimDisk::new(9);
    let (calls, filled_at) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(u64::MAX)));
    let (count, filled) = (Arc::clone(&calls), Arc::clone(&filled_at));
    disk.on_call(move |disk, call| {
        count.store(call.number, Ordering::Relaxed);
        if call.number >= full_from && filled.load(Ordering::Relaxed) == u64::MAX {
            filled.store(call.number, Ordering::Relaxed);
            disk.set_capacity(0);
        }
    });
    let mut life = Life::new();
    let mut full_for = 0;
    let mut store = match options(&disk).open(Path::new(PATH)) {
        Ok(store) => store,
        Err(error) => {
            expect_no_space(&error)?;
            disk.set_capacity(ROOMY);
            full_for = FULL_FOR;
            options(&disk).open(Path::new(PATH)).map_err(|error| format!("opening with room: {error}"))?
        }
    };
    for (number, step) in script.iter().enumerate() {
        let complain = |complaint: String| format!("step {number}, {step:?}: {complaint}");
        let done = match step {
            Step::Do(op) => op.run(&store).inspect(|()| life.push(op.clone())),
            Step::Sync => store.sync(),
            Step::Checkpoint => {
                let before = store.info().map_err(|error| error.to_string())?.checkpoint_seq;
                let done = store.checkpoint();
                let after = store.info().map_err(|error| error.to_string())?.checkpoint_seq;
                if done.is_err() && after != before {
                    return Err(complain("no space for a checkpoint that counts all the same (D9)".into()));
                }
                done
            }
            Step::Reopen => {
                let closed = store.close();
                // On a full disk the file stays unclean, and opens all the same.
                let opened = options(&disk).open(Path::new(PATH));
                store = opened.map_err(|error| complain(format!("opening a full disk: {error}")))?;
                closed
            }
            Step::SyncBeside(_) | Step::CheckpointBeside(_) | Step::Kill | Step::PowerCut(_) => {
                return Err("no part of this script".into());
            }
        };
        let full = filled_at.load(Ordering::Relaxed) != u64::MAX && full_for < FULL_FOR;
        if let Err(error) = done {
            if matches!(step, Step::Sync) || !full {
                return Err(complain(error.to_string()));
            }
            expect_no_space(&error).map_err(complain)?;
            let shown = Expected { life: &life, least: life.len(), most: life.len() };
            judge_store(&store, shown).map_err(complain)?;
        }
        if full {
            full_for += 1;
            if full_for == FULL_FOR {
                crash_full(&disk, &life)?;
                disk.set_capacity(ROOMY);
            }
        }
    }
    disk.set_capacity(ROOMY);
    disk.off_call();
    let digest = Digest::of(&store)?;
    goes_on(&disk, store, &life, life.find(digest, life.len(), life.len()).ok_or("something is missing")?)
}

/// What a crash leaves on a full disk can be read there, and written once there is room.
fn crash_full(disk: &SimDisk, life: &Life) -> Result<(), String> {
    for kind in [Crash::Power, Crash::Kill] {
        let seed = mix_all(&[life.len() as u64, kind as u64]);
        let least = if kind == Crash::Kill { life.len() } else { 0 };
        let expected = Expected { life, least, most: life.len() };
        let at = judge_read_only(&disk.crash(seed, kind), expected)?;
        let after = disk.crash(seed, kind);
        let (store, found) =
            judge(&after, expected).map_err(|complaint| format!("{kind:?}, full: {complaint}"))?;
        if found != at {
            return Err(format!("{kind:?}: {at} operations to a reader, {found} to a writer"));
        }
        after.set_capacity(ROOMY);
        goes_on(&after, store, life, at)?;
    }
    Ok(())
}

fn expect_no_space(error: &Error) -> Result<(), String> {
    match error {
        Error::NoSpace { .. } => Ok(()),
        other => Err(format!("a full disk, but {other:?}")),
    }
}

#[test]
fn the_disk_is_full_from_each_call_on() {
    let script = unlucky_life();
    let tally = Tally::new("full disk");
    let mut number = 0;
    let calls = {
        let disk = SimDisk::new(9);
        Program::new(disk.clone(), Life::new(), Progress::default()).run_whole(&script);
        disk.counters().total()
    };
    while number < calls {
        tally.moment();
        tally.image(|| format!("full from call {number} on"), || run_while_full(&script, number));
        number += 1;
    }
    tally.end();
}

#[test]
fn a_full_store_refuses_to_grow_and_can_be_emptied() {
    let disk = SimDisk::with_capacity(1, 600 << 10);
    let store = options(&disk).open(Path::new(PATH)).unwrap();
    let key = |n: u64| format!("k{n:05}");
    let mut life = Life::new();
    let insert = |store: &Store, n: u64| {
        let payload = Payload::new(n, 500);
        (store.insert(key(n), payload.bytes()).map(|_| ()), Op::Insert(key(n).into_bytes(), payload))
    };
    let mut stored = 0;
    let error = loop {
        match insert(&store, stored) {
            (Ok(()), op) => life.push(op),
            (Err(error), _) => break error,
        }
        stored += 1;
    };
    assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
    assert!(stored > 300, "{stored} entries of 500 bytes fill 600 KiB");
    let exactly = |life: &Life| judge_store(&store, Expected { life, least: life.len(), most: life.len() });
    exactly(&life).unwrap();
    store.sync().expect("what is there can be synced");

    for n in 0..stored {
        store.remove(key(n)).unwrap_or_else(|error| panic!("removing {n} of {stored}: {error}"));
        life.push(Op::Remove(key(n).into_bytes()));
    }
    exactly(&life).unwrap();

    disk.set_capacity(ROOMY);
    for n in stored..stored + 50 {
        let (done, op) = insert(&store, n);
        done.unwrap();
        life.push(op);
    }
    exactly(&life).unwrap();
    store.checkpoint().unwrap();
    goes_on(&disk, store, &life, life.len()).unwrap();
}

//! What fails in the background thread, and whom it reaches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tophash::sim::{CallKind, Crash, Failure, Fault, SimDisk, When};
use tophash::{Durability, Error, Options};

use tophash_crash::illness::ROOMY;
use tophash_crash::image::{Expected, goes_on, judge};
use tophash_crash::life::{Life, Op};
use tophash_crash::program::{PATH, Setup};
use tophash_crash::subject::{Form, Subject};

const FORMS: [Form; 2] = [Form::Records, Form::Wide];

/// So many writes wait for the background thread, a little each, before it is given up.
const PATIENCE: u64 = 20_000;

fn in_background(disk: &SimDisk) -> Options {
    Setup::ORDINARY.options(disk).background(true).checkpoint_bytes(4 << 10)
}

/// So many keys that what is live alone fills a small disk.
fn insert(form: Form, n: u64) -> Op {
    Op::Insert(form.key(format!("k{:05}", n % 3000)), form.payload(n, 300))
}

/// Writes until `enough`; returns the first error.
fn write_until(store: &Subject, life: &mut Life, mut enough: impl FnMut(&Subject) -> bool) -> Option<Error> {
    for n in 0..PATIENCE {
        let op = insert(life.form(), life.len() as u64);
        match op.run(store) {
            Ok(()) => life.push(op),
            Err(error) => return Some(error),
        }
        if enough(store) {
            return None;
        }
        if n % 32 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    panic!("the background thread does nothing: {:?}", store.stats());
}

fn failed_checkpoints(store: &Subject) -> u64 {
    store.stats().unwrap().failed_checkpoints
}

/// Nobody waits for a sync in the background, so its failure reaches whoever writes next (D5).
#[test]
fn a_sync_that_fails_in_the_background_poisons_every_write() {
    for form in FORMS {
        let disk = SimDisk::new(21);
        let interval = Durability::Interval(Duration::from_millis(1));
        let store = Subject::open(in_background(&disk).durability(interval), PATH.as_ref(), form).unwrap();
        let mut life = Life::new(form);
        let mut writes = 0;
        write_until(&store, &mut life, |_| {
            writes += 1;
            writes == 50
        });
        store.sync().unwrap();
        let durable = life.len();

        disk.fail(Fault { when: When::Once(0), kind: Some(CallKind::Sync), failure: Failure::Io });
        let error = write_until(&store, &mut life, |_| false);
        assert!(matches!(error, Some(Error::Poisoned)), "{error:?}");
        for refused in
            [store.remove(&form.key("k00001")).map(drop), store.clear(), store.sync(), store.checkpoint()]
        {
            assert!(matches!(refused, Err(Error::Poisoned)), "{refused:?}");
        }
        assert_eq!(store.len(), life.content_after(life.len()).digest().entries, "reads go on");
        assert_eq!(store.entries().filter(Result::is_ok).count() as u64, store.len());

        for kind in [Crash::Power, Crash::Kill] {
            let image = disk.crash(3, kind);
            let (store, at) =
                judge(&image, Expected { life: &life, least: durable, most: life.len() }).unwrap();
            goes_on(&image, store, &life, at).unwrap();
        }
        assert!(matches!(store.close(), Err(Error::Poisoned)));
        let (store, at) = judge(&disk, Expected { life: &life, least: durable, most: life.len() }).unwrap();
        goes_on(&disk, store, &life, at).unwrap();
    }
}

/// Without a checkpoint the store goes on with its log alone, says so, and makes up for it later.
#[test]
fn checkpoints_that_fail_in_the_background_are_counted_and_come_again() {
    for form in FORMS {
        let disk = SimDisk::new(22);
        let store = Subject::open(in_background(&disk), PATH.as_ref(), form).unwrap();
        let mut life = Life::new(form);
        write_until(&store, &mut life, |store| store.stats().unwrap().checkpoint_seq > 1);
        assert_eq!(failed_checkpoints(&store), 0);

        disk.fail(Fault { when: When::From(0), kind: Some(CallKind::Write), failure: Failure::Io });
        let error = write_until(&store, &mut life, |store| failed_checkpoints(store) > 0);
        assert!(error.is_none(), "a failed checkpoint is no failed write: {error:?}");
        store.sync().expect("a sync needs no write");
        disk.heal();

        // The next one waits for a megabyte of log.
        let before = store.stats().unwrap().checkpoint_seq;
        write_until(&store, &mut life, |store| store.stats().unwrap().checkpoint_seq > before);
        goes_on(&disk, store, &life, life.len()).unwrap();
    }
}

/// A full disk meets the thread that makes spare segments first, and the writer when they are used up.
#[test]
fn a_disk_that_fills_up_in_the_background_refuses_writes_and_loses_nothing() {
    for form in FORMS {
        let disk = SimDisk::with_capacity(23, 500 << 10);
        let store = Subject::open(in_background(&disk), PATH.as_ref(), form).unwrap();
        let mut life = Life::new(form);
        let error = write_until(&store, &mut life, |_| false);
        assert!(matches!(error, Some(Error::NoSpace { .. })), "{error:?}");
        store.sync().expect("what is there can be synced");
        assert_eq!(store.len(), life.content_after(life.len()).digest().entries);

        disk.set_capacity(ROOMY);
        let before = life.len();
        assert!(write_until(&store, &mut life, |_| true).is_none());
        assert_eq!(life.len(), before + 1);
        store.checkpoint().unwrap();
        goes_on(&disk, store, &life, life.len()).unwrap();
    }
}

/// Calls of every kind fail now and then, in whichever thread; an error is always one of those that may come.
#[test]
fn calls_fail_now_and_then_in_whichever_thread() {
    for form in FORMS {
        for seed in 0..12 {
            let disk = SimDisk::new(seed);
            let next = Arc::new(AtomicU64::new(200 + seed * 37));
            let due = Arc::clone(&next);
            disk.on_call(move |disk, call| {
                if call.number >= due.load(Ordering::Relaxed) && call.kind != CallKind::Sync {
                    due.store(call.number + 90 + seed, Ordering::Relaxed);
                    let failure = Failure::ALL[(call.number % 4) as usize];
                    disk.fail(Fault { when: When::Once(call.number), kind: Some(call.kind), failure });
                }
            });
            let store = Subject::open(in_background(&disk), PATH.as_ref(), form).unwrap();
            let mut life = Life::new(form);
            for n in 0..600 {
                let op = insert(form, n);
                match op.run(&store) {
                    Ok(()) => life.push(op),
                    Err(Error::Io { .. } | Error::NoSpace { .. }) => {}
                    Err(error) => panic!("seed {seed}, {n}: {error:?}"),
                }
            }
            disk.off_call();
            disk.heal();
            assert_eq!(store.len(), life.content_after(life.len()).digest().entries);
            goes_on(&disk, store, &life, life.len()).unwrap();
        }
    }
}

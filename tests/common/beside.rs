//! Reading beside a writer: a store whose values tell their keys' numbers, and a thread that changes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use tophash::{Options, Store, Value};

use super::{Place, Random, check_verified, key};

/// A store without a thread that holds keys 0 to `entries`, each with a value that tells its number.
pub fn filled(place: &Place, entries: u64) -> Store {
    let store = Options::new().background(false).open(place.file("a.tophash")).unwrap();
    (0..entries).for_each(|n| insert(&store, n));
    store
}

pub fn insert(store: &Store, n: u64) {
    store.insert(key(n), n.to_le_bytes()).unwrap();
}

/// The number of an entry, by its value; the key must be its own.
#[track_caller]
pub fn number((found, value): (Value<'_>, Value<'_>)) -> u64 {
    let n = u64::from_le_bytes((*value).try_into().unwrap());
    assert!(found == key(n), "the value of another key");
    n
}

/// Tells the readers to stop, also when the writer panics.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One thread writes, again and again until two others have read a few times; they read what is there throughout.
pub fn beside_a_writer(store: &Store, reader: impl Fn(u64) + Sync, write: impl Fn()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let start_reader = |first: u64| {
            let (stop, reader) = (&stop, &reader);
            let (tell, told) = mpsc::channel();
            scope.spawn(move || {
                for round in (first..).step_by(2) {
                    reader(round);
                    if round > 4 {
                        let _ = tell.send(());
                    }
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            told
        };
        let mut waiting = vec![start_reader(0), start_reader(1)];
        let _stop = StopAtTheEnd(&stop);
        while !waiting.is_empty() {
            write();
            // A reader that has panicked tells nothing more; the scope reports it.
            waiting.retain(|told| matches!(told.try_recv(), Err(mpsc::TryRecvError::Empty)));
        }
    });
    check_verified(store);
}

/// Grows the table over and over: inserts, removes, overwrites, and checkpoints, of keys from `STABLE` on.
pub fn write_much(store: &Store) {
    let mut random = Random(5);
    for n in 0..60_000 {
        let n = STABLE + n % 20_000 + random.below(100);
        match random.below(8) {
            0 => drop(store.remove(key(n)).unwrap()),
            // Those that are there throughout get new values too.
            1 => drop(store.insert(key(random.below(STABLE)), random.next().to_le_bytes()).unwrap()),
            _ => insert(store, n),
        }
        if random.once_in(6_000) {
            store.checkpoint().unwrap();
        }
    }
}

/// Keys below this one are never removed.
pub const STABLE: u64 = 300;

//! Threads that read, write, remove, clear, iterate, sync and checkpoint at the same time, while the table grows and
//! shrinks: the operations on each key can be put in one order that each of them fits in.
//!
//! `TOPHASH_LINEARIZABLE_ROUNDS` says for how many stores in turn; each is a second's work or less.

mod common;
#[path = "linearizable/history.rs"]
mod history;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{Place, Random};
use history::{Action, History, Operation, is_linearizable};
use tophash::report::GrowthKind;
use tophash::{Options, Store, Value};

/// Keys that every thread works on.
const HOT: u64 = 6;
/// Operations of each writer in a round.
const WRITES: u64 = 12_000;
/// Other keys that a writer keeps in the table at most. They come and go, so that it grows to the same size now and then.
const FILLERS: u64 = 100;
/// The last byte of their names; that of hot keys is 0.
const FILLER: u8 = 0x80;

/// Two that write, two that read.
const THREADS: usize = 4;
/// Rounds at the most.
const MOST_ROUNDS: u64 = 60;

/// One store and what was done to it.
struct Round {
    store: Store,
    /// Every operation takes a number before it begins and one after it has ended. SeqCst: the numbers must not be ordered
    /// otherwise than what they stand around.
    time: AtomicU64,
    /// Values are never used twice.
    values: AtomicU64,
    done: AtomicBool,
    histories: Mutex<Vec<History>>,
}

/// One thread's operations on each hot key.
struct Log<'r> {
    round: &'r Round,
    thread: usize,
    keys: Vec<Vec<Operation>>,
}

impl Round {
    fn new(place: &Place) -> Self {
        let options = Options::new().checkpoint_bytes(64 << 10);
        let histories = vec![vec![Vec::new(); THREADS]; HOT as usize];
        Round {
            store: options.open(place.file("a.tophash")).unwrap(),
            time: AtomicU64::new(0),
            values: AtomicU64::new(0),
            done: AtomicBool::new(false),
            histories: Mutex::new(histories),
        }
    }

    fn now(&self) -> u64 {
        self.time.fetch_add(1, Ordering::SeqCst)
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }

    fn log(&self, thread: usize) -> Log<'_> {
        Log { round: self, thread, keys: vec![Vec::new(); HOT as usize] }
    }
}

impl Log<'_> {
    fn note(&mut self, key: u64, action: impl FnOnce(&Store) -> Action) {
        let begin = self.round.now();
        let action = action(&self.round.store);
        let end = self.round.now();
        self.keys[key as usize].push(Operation { begin, end, action });
    }

    fn get(&mut self, key: u64) {
        self.note(key, |store| Action::Get(number(store.get(name(key)).unwrap())));
    }

    fn put(&mut self, key: u64) {
        let value = self.round.values.fetch_add(1, Ordering::Relaxed);
        let put = |store: &Store| number(store.insert(name(key), value.to_le_bytes()).unwrap());
        self.note(key, |store| Action::Put(value, put(store)));
    }

    fn remove(&mut self, key: u64) {
        self.note(key, |store| Action::Remove(number(store.remove(name(key)).unwrap())));
    }

    fn clear(&mut self) {
        let begin = self.round.now();
        self.round.store.clear().unwrap();
        let end = self.round.now();
        self.keys.iter_mut().for_each(|key| key.push(Operation { begin, end, action: Action::Clear }));
    }
}

impl Drop for Log<'_> {
    fn drop(&mut self) {
        let mut histories = self.round.histories.lock().unwrap();
        for (key, operations) in self.keys.drain(..).enumerate() {
            histories[key][self.thread] = operations;
        }
    }
}

fn name(key: u64) -> [u8; 8] {
    key.to_le_bytes()
}

fn number(value: Option<Value<'_>>) -> Option<u64> {
    value.map(|value| u64::from_le_bytes((*value).try_into().expect("a value of this test")))
}

/// Changes the hot keys, with fillers in between. Returns how often it saw the table in a growth of each kind.
fn write(round: &Round, thread: usize, seed: u64) -> [u64; 3] {
    let (mut log, mut random) = (round.log(thread), Random(seed));
    let filler = |n: u64| (n << 8 | u64::from(FILLER) | thread as u64).to_be_bytes();
    let (mut fillers, mut removed, mut growths) = (0, 0, [0; 3]);
    for write in 0..WRITES {
        // Now and then they all go but a few, and the table shrinks.
        let most = if write % 6_000 < 5_500 { FILLERS } else { 4 };
        if random.once_in(WRITES / 2) {
            log.clear();
        }
        match random.below(8) {
            0..3 => log.put(random.below(HOT)),
            3 => log.remove(random.below(HOT)),
            _ => {
                round.store.insert(filler(fillers), []).unwrap();
                fillers += 1;
                while fillers - removed > most {
                    round.store.remove(filler(removed)).unwrap();
                    removed += 1;
                    note(&mut growths, &round.store);
                }
                note(&mut growths, &round.store);
            }
        }
    }
    growths
}

fn note(growths: &mut [u64; 3], store: &Store) {
    let kinds = [GrowthKind::Double, GrowthKind::SameSize, GrowthKind::Shrink];
    let kind = store.growth().unwrap().kind;
    kinds.iter().zip(growths).for_each(|(&of, seen)| *seen += u64::from(kind == Some(of)));
}

fn read(round: &Round, thread: usize, seed: u64) {
    let (mut log, mut random) = (round.log(thread), Random(seed));
    while !round.is_done() {
        let key = random.below(HOT);
        (0..=random.below(2)).for_each(|_| log.get(key));
        if random.once_in(2_000) {
            // Hot keys may be removed and inserted again meanwhile; fillers are inserted once.
            let keys = round.store.keys().map(|key| key.unwrap().to_vec());
            let mut keys: Vec<_> = keys.filter(|key| key[7] >= FILLER).collect();
            keys.sort();
            assert!(keys.is_sorted_by(|a, b| a < b), "an iteration yielded a key twice");
        }
    }
}

fn sync_and_checkpoint(round: &Round, seed: u64) {
    let mut random = Random(seed);
    while !round.is_done() {
        match random.below(4) {
            0 => round.store.checkpoint().unwrap(),
            1 => round.store.sync().unwrap(),
            _ => std::thread::sleep(std::time::Duration::from_millis(1)),
        }
    }
}

#[test]
fn histories_of_single_keys_are_linearizable() {
    let rounds = std::env::var("TOPHASH_LINEARIZABLE_ROUNDS").map_or(4, |text| text.parse().unwrap());
    let (mut operations, mut growths, mut checkpoints) = (0, [0; 3], 0);
    // What the threads come by depends on how they are scheduled: more rounds, if need be.
    let all_seen = |growths: &[u64; 3]| growths.iter().all(|&seen| seen > 0);
    for seed in 0..MOST_ROUNDS.max(rounds) {
        if seed >= rounds && all_seen(&growths) {
            break;
        }
        let place = Place::in_memory();
        let round = Round::new(&place);
        let random = |thread: u64| seed << 8 | thread;
        let seen = std::thread::scope(|scope| {
            let round = &round;
            (2..4).for_each(|thread| drop(scope.spawn(move || read(round, thread, random(thread as u64)))));
            scope.spawn(move || sync_and_checkpoint(round, random(4)));
            let writers =
                [0, 1].map(|thread| scope.spawn(move || write(round, thread, random(thread as u64))));
            let written = writers.map(|writer| writer.join());
            round.done.store(true, Ordering::Relaxed);
            written.map(|written| written.unwrap())
        });
        for (key, history) in round.histories.lock().unwrap().iter().enumerate() {
            assert!(is_linearizable(history, None), "seed {seed}, key {key}");
            operations += history.iter().map(Vec::len).sum::<usize>();
        }
        seen.iter().for_each(|seen| (0..3).for_each(|kind| growths[kind] += seen[kind]));
        checkpoints += round.store.stats().unwrap().checkpoint_seq;
        assert!(round.store.verify().unwrap().is_clean());
    }
    println!("{operations} operations on hot keys, growths seen {growths:?}, {checkpoints} checkpoints");
    assert!(all_seen(&growths) && checkpoints > 0, "{growths:?} growths, {checkpoints} checkpoints");
}

#[test]
fn what_is_not_linearizable_is_refused() {
    let at = |begin, end, action| Operation { begin, end, action };
    let put = |begin, end, value, before| at(begin, end, Action::Put(value, before));
    let get = |begin, end, found| at(begin, end, Action::Get(found));
    let holds = |history: &[&[Operation]]| {
        is_linearizable(&history.iter().map(|thread| thread.to_vec()).collect(), None)
    };
    let one = put(0, 9, 1, None);
    assert!(holds(&[&[one], &[get(2, 3, None), get(4, 5, Some(1))]]));
    assert!(!holds(&[&[one], &[get(2, 3, Some(1)), get(4, 5, None)]]), "it came and went");
    assert!(!holds(&[&[one], &[get(2, 3, Some(1))], &[get(4, 5, None)]]), "the same, seen by two");
    assert!(!holds(&[&[one], &[get(10, 11, None)]]), "missed after the end of the put");
    assert!(!holds(&[&[one, put(10, 11, 2, Some(1))], &[get(12, 13, Some(1))]]), "a stale value");
    assert!(!holds(&[&[one, put(10, 11, 2, None)]]), "the wrong value before");
    assert!(holds(&[&[one], &[at(1, 8, Action::Clear)], &[get(2, 3, Some(1)), get(4, 5, None)]]));
    assert!(!holds(&[&[one], &[at(1, 3, Action::Clear)], &[get(4, 5, Some(1)), get(6, 7, None)]]));
    assert!(!holds(&[&[one], &[at(1, 8, Action::Remove(Some(2)))]]), "removed what was never there");
}

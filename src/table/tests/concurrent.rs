//! Readers beside the writer: what is present throughout is never missed, and what is read is whole.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::table::{Growth, Walk};

/// Keys below this one stay; the writer replaces them, and inserts and removes others around them.
const STAYING: u64 = 64;

/// Raised when the writer ends or panics: the readers end in any case.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `read` on two threads while `write` works, which is shown how often it ran. `read` is given a number that differs
/// each time, and a memory of its thread.
fn beside<E: Entries, M: Default>(
    rig: Rig<E>,
    read: impl Fn(&HeapHost, &E, u64, &mut M) + Sync,
    write: impl FnOnce(&HeapHost, &E, &mut Table<HeapPages>, &AtomicU64),
) {
    let Rig { host, records, mut table, .. } = rig;
    let done = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (host, records, done, rounds, read) = (&host, &records, &done, &rounds, &read);
            scope.spawn(move || {
                let (mut round, mut memory) = (reader, M::default());
                while !done.load(Ordering::Relaxed) {
                    read(host, records, round, &mut memory);
                    round += 2;
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _raise = Raise(&done);
        write(&host, &records, &mut table, &rounds);
    });
    let mut faults = Vec::new();
    check(table.geometry(), &table.counters(), &records, &mut faults).unwrap();
    assert_eq!(faults, []);
}

/// Runs `read` beside a writer under which the table grows far, then shrinks to a few entries, again and again in a fresh
/// range of keys.
fn beside_a_writer<E: Entries, M: Default>(
    entries: E,
    hash: fn(&[u8]) -> Hash,
    steps: u64,
    read: impl Fn(&HeapHost, &E, u64, &mut M) + Sync,
) {
    let mut rig = Rig::of(entries, LoadFactor::default(), 0, hash);
    for number in 0..STAYING {
        rig.insert(&key(number), value(0, number));
    }
    beside(rig, read, |host, records, table, rounds| {
        let mut random = Random(7);
        let mut step = 0;
        let steps = if cfg!(miri) { steps / 100 } else { steps };
        // Longer where the readers hardly had a turn; but not for ever, where they have failed.
        while step < steps || rounds.load(Ordering::Relaxed) < 20 && step < 20 * steps {
            let range = STAYING + 1500;
            let replace = random.below(4) == 0;
            let number = if replace { random.below(STAYING) } else { STAYING + random.below(range) };
            let (key, hash) = (key(number), hash(&key(number)));
            let emptying = !replace && step / 2000 % 2 == 1;
            if !(emptying && records.remove(host, table, hash, &key, Trigger::Live).unwrap().is_some()) {
                records.put(host, table, hash, (&key, value(step, number)), Trigger::Live).unwrap();
            }
            if step % 300 == 299 && !table.growing() {
                let growth = if step % 600 == 299 { Growth::SameSize } else { Growth::Shrink };
                table.replay_growth(host, growth).unwrap();
            }
            step += 1;
        }
    });
}

/// What is put under a key in a step: it rises, and tells the key.
fn value(step: u64, number: u64) -> u64 {
    step << 16 | number
}

/// The values that a reader has seen of each key.
type Seen = HashMap<u64, u64>;

/// What was read of a key is a value of this key, and none older than the one before.
fn note(seen: &mut Seen, number: u64, found: u64) {
    assert_eq!(found & 0xffff, number, "another key's value");
    let before = seen.insert(number, found).unwrap_or(0);
    assert!(found >= before, "key {number} had {before} and has {found}");
}

fn lookups_never_miss<E: Entries>(entries: E, hash: fn(&[u8]) -> Hash) {
    beside_a_writer(entries, hash, 12_000, |host, records, round, seen: &mut Seen| {
        let number = round % STAYING;
        let found = records.look_up(host, hash(&key(number)), &key(number));
        note(seen, number, found.unwrap_or_else(|| panic!("key {number} is missed")));
    });
}

/// Each entry of an iteration.
fn walk<E: Entries>(host: &HeapHost, entries: &E, start: u64, mut each: impl FnMut(u64, u64)) {
    let mut walk = Walk::new(&host.published(), start);
    while let Some(entry) = walk.next(|| host.published(), entries) {
        let (key, found) = entries.parts(&entry.unwrap());
        each(u64::from_le_bytes(key.try_into().unwrap()), found);
    }
}

fn iterations_yield_once<E: Entries>(entries: E) {
    beside_a_writer(entries, spread, 8000, |host, records, round, seen: &mut Seen| {
        let mut times = [0; STAYING as usize];
        walk(host, records, spread(&key(round)).0, |number, found| {
            note(seen, number, found);
            if number < STAYING {
                times[number as usize] += 1;
            }
        });
        assert_eq!(times, [1; STAYING as usize]);
    });
}

/// Widths of cells that a counter brackets: two words, words that cells share, many words.
const BRACKETED: [(u8, u8); 3] = [(8, 8), (3, 12), (16, 40)];

#[test]
fn lookups_never_miss_what_is_present_throughout() {
    for hash in [spread, crowded] {
        lookups_never_miss(HeapRecords::default(), hash);
        for (key_width, elem_width) in BRACKETED {
            lookups_never_miss(HeapCells::new(key_width, elem_width, hash), hash);
        }
    }
}

#[test]
fn lookups_never_find_what_was_never_there() {
    beside_a_writer(HeapRecords::default(), crowded, 6000, |host, records, round, _: &mut ()| {
        let key = key(1_000_000 + round);
        assert!(records.look_up(host, crowded(&key), &key).is_none());
    });
}

#[test]
fn iterations_yield_what_is_present_throughout_exactly_once() {
    iterations_yield_once(HeapRecords::default());
    for (key_width, elem_width) in BRACKETED {
        iterations_yield_once(HeapCells::new(key_width, elem_width, spread));
    }
}

/// Three keys with the same hash are replaced, and give their cells to each other all the time.
#[test]
fn cells_that_change_hands_are_read_whole() {
    const KEYS: u64 = 3;
    const HASH: Hash = Hash(0x77 << 56);
    for (key_width, elem_width) in BRACKETED {
        let rig = Rig::inline(key_width, elem_width, |_| HASH);
        let read = |host: &HeapHost, cells: &HeapCells, round: u64, seen: &mut Seen| {
            let number = round / 2 % KEYS;
            if let Some(found) = cells.look_up(host, HASH, &key(number)) {
                note(seen, number, found);
            }
            if round % 64 < 2 {
                walk(host, cells, round, |number, found| note(seen, number, found));
            }
        };
        beside(rig, read, |host, cells, table, _| {
            let mut random = Random(7);
            for step in 0..if cfg!(miri) { 300 } else { 400_000 } {
                let number = random.below(KEYS);
                let key = &key(number);
                let replace = random.below(4) == 0;
                if replace || cells.remove(host, table, HASH, key, Trigger::Live).unwrap().is_none() {
                    cells.put(host, table, HASH, (key, value(step, number)), Trigger::Live).unwrap();
                }
            }
        });
    }
}

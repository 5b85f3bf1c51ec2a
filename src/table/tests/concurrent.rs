//! Readers beside the writer: what is present throughout is never missed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::table::{Growth, Walk};

/// Keys below this one stay; the writer replaces them, and inserts and removes others around them.
const STAYING: u64 = 64;

/// Runs `read` on two threads while the writer works, and tells how often it ran beside it.
fn beside_a_writer(hash: fn(&[u8]) -> Hash, steps: u64, read: impl Fn(&HeapHost, &HeapRecords, u64) + Sync) {
    let mut rig = Rig::with(LoadFactor::default(), 0, hash);
    for number in 0..STAYING {
        rig.insert(&key(number), number);
    }
    let Rig { host, records, mut table, .. } = rig;
    let done = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (host, records, done, rounds, read) = (&host, &records, &done, &rounds, &read);
            scope.spawn(move || {
                let mut round = reader;
                while !done.load(Ordering::Relaxed) {
                    read(host, records, round);
                    round += 2;
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Raised when the writer ends or panics: the readers end in any case.
        struct Raise<'a>(&'a AtomicBool);
        impl Drop for Raise<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _raise = Raise(&done);
        let mut random = Random(7);
        let mut step = 0;
        let steps = if cfg!(miri) { steps / 100 } else { steps };
        // Longer where the readers hardly had a turn; but not for ever, where they have failed.
        while step < steps || rounds.load(Ordering::Relaxed) < 20 && step < 20 * steps {
            // Grows far, then shrinks to a few entries, again and again in a fresh range of keys.
            let range = STAYING + 1500;
            let replace = random.below(4) == 0;
            let key = key(if replace { random.below(STAYING) } else { STAYING + random.below(range) });
            let hash = hash(&key);
            let (spot, found) = table.locate(&records, hash, &key).unwrap();
            match found {
                Some(_) if !replace && step / 2000 % 2 == 1 => {
                    let plan = table.prepare_remove(&host, &records, hash, spot, Trigger::Live).unwrap();
                    table.remove(&host, plan, hash);
                }
                _ => {
                    let plan = table.prepare_put(&host, &records, hash, spot, Trigger::Live).unwrap();
                    let position = records.append(&key, step, hash);
                    table.put(&host, plan, hash, Cell::new(position, hash));
                }
            }
            if step % 300 == 299 && !table.growing() {
                let growth = if step % 600 == 299 { Growth::SameSize } else { Growth::Shrink };
                table.replay_growth(&host, growth).unwrap();
            }
            step += 1;
        }
    });
    let mut faults = Vec::new();
    check(table.geometry(), &table.counters(), &records, &mut faults).unwrap();
    assert_eq!(faults, []);
}

#[test]
fn lookups_never_miss_what_is_present_throughout() {
    for hash in [spread, crowded] {
        beside_a_writer(hash, 12_000, |host, records, round| {
            let key = key(round % STAYING);
            let found = look_up(host, records, hash(&key), &key);
            assert!(found.is_some_and(|(_, record)| record.key == key), "key {}", round % STAYING);
        });
    }
}

#[test]
fn lookups_never_find_what_was_never_there() {
    beside_a_writer(crowded, 6000, |host, records, round| {
        let key = key(1_000_000 + round);
        assert!(look_up(host, records, crowded(&key), &key).is_none());
    });
}

#[test]
fn iterations_yield_what_is_present_throughout_exactly_once() {
    beside_a_writer(spread, 8000, |host, records, round| {
        let mut walk = Walk::new(&host.published(), spread(&key(round)).0);
        let mut seen = [0; STAYING as usize];
        while let Some(record) = walk.next(|| host.published(), records) {
            let number = u64::from_le_bytes(record.unwrap().key.try_into().unwrap());
            if number < STAYING {
                seen[number as usize] += 1;
            }
        }
        assert_eq!(seen, [1; STAYING as usize]);
    });
}

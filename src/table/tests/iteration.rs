//! What an iteration yields while the table changes under it (C7).

use std::collections::HashMap;

use super::*;
use crate::error::Error;
use crate::format::bucket::{BUCKET_WORDS, CELLS, OVERFLOW_WORD};
use crate::table::Walk;

/// How many moments, sizes and beginnings are tried: all, or under miri, which is slow, a few.
const MOMENTS: u64 = if cfg!(miri) { 60 } else { 240 };
const SIZES_APART: usize = if cfg!(miri) { 40 } else { 3 };
const BEGINNINGS_APART: usize = if cfg!(miri) { 20 } else { 1 };

impl<E: Entries> Rig<E> {
    /// The next entry of a walk, as the store goes: to the next cell, and where that is not all, everywhere.
    pub(super) fn step(&self, walk: &mut Walk<HeapPages>) -> Option<Result<E::Entry>> {
        match walk.peek(&self.host.published(), &self.records) {
            Some(slot) => Some(self.records.read(slot)),
            None => walk.next(|| self.host.published(), &self.records),
        }
    }
}

/// Walks to the end; `between` changes the table before each step. How often each key appeared.
fn walk(rig: &mut Rig, start: u64, mut between: impl FnMut(&mut Rig, u64)) -> HashMap<Vec<u8>, u64> {
    let mut walk = Walk::new(rig.table.geometry(), start);
    let mut seen = HashMap::new();
    for step in 0.. {
        between(rig, step);
        match rig.step(&mut walk) {
            Some(record) => *seen.entry(record.unwrap().key).or_default() += 1,
            None => break,
        }
    }
    assert!(rig.step(&mut walk).is_none(), "the end is the end");
    seen
}

fn filled(entries: u64, hash: fn(&[u8]) -> Hash) -> Rig {
    let mut rig = Rig::with(LoadFactor::default(), 0, hash);
    for number in 0..entries {
        rig.insert(&key(number), number);
    }
    rig
}

#[test]
fn yields_everything_once_at_any_moment_of_a_growth() {
    for hash in [spread, crowded] {
        let mut rig = filled(0, hash);
        for number in 0..MOMENTS {
            rig.insert(&key(number), number);
            let seen = walk(&mut rig, number.wrapping_mul(0x9e37_79b9_7f4a_7c15), |_, _| {});
            assert_eq!(seen.len() as u64, number + 1);
            assert!(seen.values().all(|&times| times == 1));
        }
        // And of a shrink.
        for number in (0..MOMENTS).rev() {
            rig.remove(&key(number));
            let seen = walk(&mut rig, number.wrapping_mul(0x9e37_79b9_7f4a_7c15), |_, _| {});
            assert_eq!(seen.len() as u64, number);
            assert!(seen.values().all(|&times| times == 1));
        }
        assert!(rig.table.geometry().array.b() <= 1);
    }
}

#[test]
fn begins_at_random_places() {
    let rig = filled(100, spread);
    let mut first = std::collections::HashSet::new();
    for start in 0..200 {
        let mut walk = Walk::new(rig.table.geometry(), spread(&key(start)).0);
        first.insert(rig.step(&mut walk).unwrap().unwrap().key);
    }
    assert!(first.len() > 20, "{} different beginnings", first.len());
}

#[test]
fn what_is_present_throughout_appears_exactly_once() {
    // From every stage of a growth on, through later growths of both kinds.
    for hash in [spread, crowded] {
        for entries in (40..130).step_by(SIZES_APART) {
            let mut rig = filled(entries, hash);
            let mut random = Random(entries + 1);
            let mut ever: Vec<u64> = (0..entries).collect();
            let seen = walk(&mut rig, random.next(), |rig, step| {
                // Even keys stay (some are replaced), odd ones go, new ones come and some go again.
                for _ in 0..3 {
                    let new = 1_000_000 + step * 8 + random.below(8);
                    rig.insert(&key(new), step);
                    ever.push(new);
                }
                rig.remove(&key(random.below(entries) | 1));
                rig.insert(&key(random.below(entries) / 2 * 2), 1_000 + step);
                let gone = 1_000_000 + random.below(step * 8 + 8);
                rig.remove(&key(gone));
            });
            rig.verify();
            for number in (0..entries).step_by(2) {
                assert_eq!(seen.get(&key(number)[..]), Some(&1), "key {number} of {entries}");
            }
            for number in (1..entries).step_by(2) {
                assert!(seen.get(&key(number)[..]).is_none_or(|&times| times == 1));
            }
            assert!(seen.keys().all(|seen| ever.iter().any(|&number| key(number) == seen[..])));
        }
    }
}

#[test]
fn what_is_present_throughout_appears_exactly_once_in_growths_of_every_kind() {
    for hash in [spread, crowded] {
        let mut kinds = std::collections::HashSet::new();
        for before in (0..60).step_by(BEGINNINGS_APART) {
            // From every stage of a shrink on, through growths of any kind one after the other.
            let mut rig = filled(200, hash);
            let mut random = Random(before + 1);
            rig.table.replay_growth(&rig.host, super::super::Growth::Shrink).ok();
            (0..before).for_each(|number| rig.insert(&key(number), 1));
            let seen = walk(&mut rig, random.next(), |rig, step| {
                // Even keys stay, odd ones go, new ones come and go.
                for _ in 0..random.below(12) {
                    rig.grow_at_random(&mut random);
                    kinds.extend(rig.table.geometry().old.as_ref().map(|old| old.growth as u8));
                    match random.below(4) {
                        0 => rig.remove(&key(random.below(200) | 1)),
                        1 => rig.insert(&key(random.below(100) * 2), 1_000 + step),
                        2 => rig.insert(&key(1_000_000 + random.below(50)), step),
                        _ => rig.remove(&key(1_000_000 + random.below(50))),
                    }
                }
            });
            rig.verify();
            for number in 0..200 {
                let times = seen.get(&key(number)[..]).copied().unwrap_or(0);
                assert!(times == 1 || number % 2 == 1 && times == 0, "key {number}: {times} times");
            }
        }
        assert_eq!(kinds.len(), 3);
    }
}

#[test]
fn a_broken_chain_of_a_pair_hides_only_itself() {
    for broken in [0, 1] {
        let mut rig = filled(200, spread);
        while rig.table.growing() {
            rig.insert(&key(0), 0);
        }
        let array = rig.table.geometry().array.clone();
        rig.table.replay_growth(&rig.host, super::super::Growth::Shrink).unwrap();
        // All eight cells in use, so that the walk wants to go on behind them.
        let chain = |main| buckets_of(&array, main);
        let is_full =
            |main: &u64| chain(*main).len() == 1 && chain(*main)[0].tophash.filled().count() == CELLS;
        let half = array.buckets() / 2;
        let main = (broken * half..(broken + 1) * half).find(is_full).unwrap();
        array.main().damage(main as usize * BUCKET_WORDS + OVERFLOW_WORD, 1 << 30);
        let mut walk = Walk::new(rig.table.geometry(), 0);
        let steps = std::iter::from_fn(|| rig.step(&mut walk));
        let (entries, errors): (Vec<_>, Vec<_>) = steps.partition(Result::is_ok);
        assert_eq!((entries.len(), errors.len()), (200, 1), "bucket {main}");
    }
}

#[test]
fn survives_a_growth_to_the_same_size() {
    for before in (0..40).step_by(BEGINNINGS_APART) {
        let mut rig = filled(300, spread);
        rig.table.replay_growth(&rig.host, super::super::Growth::SameSize).ok();
        for number in 0..before {
            rig.insert(&key(number), 1);
        }
        let seen = walk(&mut rig, before << 3, |rig, step| {
            if !rig.table.growing() && step < 200 {
                rig.table.replay_growth(&rig.host, super::super::Growth::SameSize).unwrap();
            }
            rig.insert(&key(step % 300), step);
        });
        assert_eq!((seen.len(), seen.values().max()), (300, Some(&1)));
    }
}

#[test]
fn shows_the_value_as_it_is_now() {
    let mut rig = filled(200, spread);
    let mut walk = Walk::new(rig.table.geometry(), 0);
    for number in 200..600 {
        rig.insert(&key(number), 0);
    }
    // The old cells still point at the old records.
    for number in 0..200 {
        rig.insert(&key(number), 1_000 + number);
    }
    let mut seen = 0;
    while let Some(record) = rig.step(&mut walk) {
        let record = record.unwrap();
        assert_eq!(rig.model[&record.key], record.value);
        seen += 1;
    }
    assert!(seen >= 200);
}

#[test]
fn skips_what_is_removed_before_its_turn() {
    let mut rig = filled(200, spread);
    let mut walk = Walk::new(rig.table.geometry(), 77);
    let first = rig.step(&mut walk).unwrap().unwrap();
    for number in 0..200 {
        rig.remove(&key(number));
    }
    assert!(!rig.model.contains_key(&first.key));
    assert!(rig.step(&mut walk).is_none());
}

/// A table of one bucket, a walk that has come to its first entry, and the numbers of the others.
fn in_a_bucket() -> (Rig, Walk<HeapPages>, Vec<u64>) {
    let rig = filled(CELLS as u64, spread);
    assert_eq!(rig.table.geometry().array.buckets(), 1);
    let mut walk = Walk::new(rig.table.geometry(), 5 << 1);
    let first = rig.step(&mut walk).unwrap().unwrap();
    let left = (0..CELLS as u64).filter(|&number| key(number)[..] != first.key).collect();
    (rig, walk, left)
}

/// Walks on to the end: the number under each key, which appears once.
fn rest(rig: &Rig, walk: &mut Walk<HeapPages>) -> HashMap<Vec<u8>, u64> {
    let mut rest = HashMap::new();
    while let Some(record) = rig.step(walk) {
        let record = record.unwrap();
        assert_eq!(rest.insert(record.key, record.value), None, "an entry twice");
    }
    rest
}

fn entries(numbers: &[u64], value: impl Fn(u64) -> u64) -> HashMap<Vec<u8>, u64> {
    numbers.iter().map(|&number| (key(number).to_vec(), value(number))).collect()
}

#[test]
fn what_is_removed_from_the_bucket_of_the_walk_does_not_appear() {
    for gone in 1..CELLS {
        let (mut rig, mut walk, left) = in_a_bucket();
        left[..gone].iter().for_each(|&number| rig.remove(&key(number)));
        assert_eq!(rest(&rig, &mut walk), entries(&left[gone..], |number| number), "{gone} removed");
    }
}

#[test]
fn a_cell_of_the_bucket_that_another_key_gets_shows_nothing_of_the_first() {
    let (mut rig, mut walk, left) = in_a_bucket();
    for &number in &left {
        rig.remove(&key(number));
        rig.insert(&key(100 + number), number);
    }
    let new: Vec<_> = left.iter().map(|number| 100 + number).collect();
    let known = entries(&new, |number| number - 100);
    assert!(rest(&rig, &mut walk).iter().all(|(key, value)| known.get(key) == Some(value)));
}

#[test]
fn what_is_replaced_in_the_bucket_of_the_walk_appears_with_its_new_value() {
    let (mut rig, mut walk, left) = in_a_bucket();
    left.iter().for_each(|&number| rig.insert(&key(number), 100 + number));
    assert_eq!(rest(&rig, &mut walk), entries(&left, |number| 100 + number));
}

#[test]
fn what_is_evacuated_from_the_bucket_of_the_walk_appears_as_it_is_now() {
    let (mut rig, mut walk, left) = in_a_bucket();
    rig.insert(&key(100), 0);
    rig.remove(&key(left[0]));
    rig.insert(&key(left[1]), 1_000);
    let old = rig.table.geometry().old.as_ref().map(|old| old.array.buckets());
    assert!(old.is_none() && rig.table.geometry().array.buckets() == 2, "evacuated, and done");
    let value = |number| if number == left[1] { 1_000 } else { number };
    assert_eq!(rest(&rig, &mut walk), entries(&left[1..], value));
}

#[test]
fn a_clear_ends_a_walk_within_a_bucket() {
    let (mut rig, mut walk, _) = in_a_bucket();
    let plan = rig.table.prepare_clear(&rig.host).unwrap();
    rig.table.clear(&rig.host, plan);
    rig.model.clear();
    assert_eq!(rest(&rig, &mut walk), HashMap::new());
}

#[test]
fn long_chains_appear_whole_whatever_their_buckets_lose() {
    for seed in 1..if cfg!(miri) { 3 } else { 100 } {
        let mut rig = filled(50, one_bucket);
        let (mut random, mut walk) = (Random(seed), Walk::new(rig.table.geometry(), seed << 32));
        let (mut gone, mut seen) = (HashMap::new(), HashMap::new());
        while let Some(record) = rig.step(&mut walk) {
            let record = record.unwrap();
            assert!(!gone.contains_key(&record.key), "it was removed before");
            assert_eq!(seen.insert(record.key, record.value), None, "an entry twice");
            let number = random.below(50);
            if rig.model.contains_key(&key(number)[..]) {
                rig.remove(&key(number));
                gone.insert(key(number).to_vec(), ());
            }
        }
        assert!(rig.model.keys().all(|key| seen.contains_key(key)), "an entry was missed");
    }
}

#[test]
fn ends_when_the_table_is_cleared() {
    let mut rig = filled(200, spread);
    let seen = walk(&mut rig, 0, |rig, step| {
        if step == 10 {
            let plan = rig.table.prepare_clear(&rig.host).unwrap();
            rig.table.clear(&rig.host, plan);
            rig.model.clear();
            for number in 1000..1100 {
                rig.insert(&key(number), 0);
            }
        }
    });
    assert_eq!(seen.len(), 10);
}

#[test]
fn yields_an_error_once_and_goes_on_behind_it() {
    let rig = filled(200, spread);
    let (cell, _) = rig.locate(&key(17)).unwrap();
    rig.records.damage(cell.position());
    let mut walk = Walk::new(rig.table.geometry(), 3);
    let (mut entries, mut errors) = (0, 0);
    while let Some(step) = rig.step(&mut walk) {
        match step {
            Ok(_) => entries += 1,
            Err(error) => {
                assert!(matches!(error, Error::Corrupt { what: "record", .. }));
                errors += 1;
            }
        }
    }
    assert_eq!((entries, errors), (199, 1));
}

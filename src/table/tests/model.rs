//! Random operations against `std`'s map.

use super::*;
use crate::table::Growth;

/// Under miri, which is slow, there are fewer steps.
const FEWER: u64 = if cfg!(miri) { 20 } else { 1 };

fn random_operations(hash: fn(&[u8]) -> Hash, keys: u64, steps: u64, seed: u64, every: u64) -> Rig {
    let mut rig = Rig::with(LoadFactor::default(), 0, hash);
    operate(&mut rig, keys, steps, seed, |rig, step| {
        // Each evacuation step is checked, the times between now and then.
        if rig.table.growing() || step.is_multiple_of(every) {
            assert_eq!(rig.faults(), [], "seed {seed}, step {step}");
        }
    });
    rig.verify();
    rig
}

/// Phases of mostly inserting, mostly removing, and removing alone take turns, so that the table grows, empties, fills
/// and shrinks.
pub(super) fn operate<E: Entries>(
    rig: &mut Rig<E>,
    keys: u64,
    steps: u64,
    seed: u64,
    mut after: impl FnMut(&mut Rig<E>, u64),
) {
    let mut random = Random(seed);
    for step in 0..steps / FEWER {
        let phase = step / (2 * keys) % 4;
        let key = key(random.below(keys));
        if random.below(10) < [8, 3, 8, 0][phase as usize] {
            rig.insert(&key, step);
        } else {
            rig.remove(&key);
        }
        after(rig, step);
    }
}

#[test]
fn agrees_with_a_model_at_every_evacuation_step() {
    for seed in 1..=if cfg!(miri) { 2 } else { 8 } {
        random_operations(spread, 700, 6000, seed, 50);
    }
}

#[test]
fn agrees_with_a_model_through_growths_of_every_kind() {
    for (hash, keys) in [(spread as fn(&[u8]) -> Hash, 500), (crowded, 200), (one_bucket, 60)] {
        let mut rig = Rig::with(LoadFactor::default(), 0, hash);
        let mut choices = Random(keys);
        operate(&mut rig, keys, 5000, keys, |rig, step| {
            rig.grow_at_random(&mut choices);
            assert_eq!(rig.faults(), [], "step {step} of {keys} keys");
        });
        rig.verify();
    }
}

#[test]
fn agrees_with_a_model_when_hashes_collide() {
    for seed in 1..=if cfg!(miri) { 2 } else { 6 } {
        random_operations(crowded, 300, 4000, seed, 20);
        random_operations(one_bucket, 100, 1500, seed, 20);
        random_operations(|_| Hash(5), 60, 1000, seed, 20);
    }
}

#[test]
fn absent_keys_are_not_found() {
    let rig = random_operations(spread, 500, 3000, 9, 100);
    for number in 500..2000 {
        assert_eq!(rig.get(&key(number)), None);
    }
}

#[test]
fn the_same_operations_make_the_same_table_cell_for_cell() {
    for hash in [spread, crowded] {
        let mut images = Vec::new();
        for _ in 0..2 {
            let mut rig = Rig::with(LoadFactor::default(), 0, hash);
            operate(&mut rig, 900, 5000, 77, |_, _| {});
            images.push(rig.image());
        }
        assert!(images[0] == images[1]);
    }
}

#[test]
fn a_table_reopened_after_every_step_is_cell_for_cell_the_same() {
    let mut stays = Rig::new();
    let mut reopens = Rig::new();
    operate(&mut stays, 300, 1500, 3, |_, _| {});
    operate(&mut reopens, 300, 1500, 3, |rig, _| rig.reopen());
    reopens.verify();
    assert!(stays.image() == reopens.image());
}

#[test]
fn a_removal_needs_no_page_that_its_plan_has_not_touched() {
    // Chains that go from one page to another; the rig fails at a first touch in phase two.
    for least_b in [7, 0] {
        let mut rig = Rig::with(LoadFactor::default(), 832, spread);
        for number in 0..832 {
            rig.insert(&key(number), number);
        }
        rig.table.least_b = least_b;
        for number in (0..832).step_by(if cfg!(miri) { 64 } else { 1 }) {
            rig.reopen();
            rig.remove(&key(number));
        }
        rig.verify();
    }
}

#[test]
fn a_replay_that_obeys_the_log_repeats_the_table_cell_for_cell() {
    enum Logged {
        Grow(Growth),
        Put([u8; 8], u64),
        Remove([u8; 8]),
    }
    let mut live = Rig::new();
    let mut random = Random(11);
    let mut log = Vec::new();
    for value in 0..6000 / FEWER {
        let key = key(random.below(800));
        let emptying = value * FEWER / 1500 % 2 == 1;
        if !emptying && random.below(3) > 0 {
            log.extend(live.try_insert(&key, value, Trigger::Live).unwrap().map(Logged::Grow));
            live.model.insert(key.to_vec(), value);
            log.push(Logged::Put(key, value));
        } else {
            let removed = live.try_remove(&key, Trigger::Live).unwrap();
            assert_eq!(removed.map(|(value, _)| value), live.model.remove(&key[..]));
            if let Some((_, growth)) = removed {
                log.extend(growth.map(Logged::Grow));
                log.push(Logged::Remove(key));
            }
        }
    }
    let shrinks = log.iter().filter(|logged| matches!(logged, Logged::Grow(Growth::Shrink))).count();
    assert!(shrinks > 1, "{shrinks} shrinks");
    // Another load factor would grow at other times, if the replay asked it.
    let mut replayed = Rig::with(LoadFactor::new(4.0).unwrap(), 0, spread);
    for record in log {
        match record {
            Logged::Grow(growth) => replayed.table.replay_growth(&replayed.host, growth).unwrap(),
            Logged::Put(key, value) => {
                assert_eq!(replayed.try_insert(&key, value, Trigger::Replay).unwrap(), None);
                replayed.model.insert(key.to_vec(), value);
            }
            Logged::Remove(key) => {
                let removed = replayed.try_remove(&key, Trigger::Replay).unwrap();
                assert_eq!(removed, Some((replayed.model.remove(&key[..]).unwrap(), None)));
            }
        }
    }
    assert!(live.image() == replayed.image());
}

#[test]
fn removing_everything_leaves_blank_tophashes() {
    let mut rig = Rig::with(LoadFactor::default(), 0, one_bucket);
    let mut random = Random(5);
    for number in 0..60 {
        rig.insert(&key(number), number);
    }
    let mut left: Vec<u64> = (0..60).collect();
    while !left.is_empty() {
        let number = left.swap_remove(random.below(left.len() as u64) as usize);
        rig.remove(&key(number));
        rig.verify();
    }
    let array = &rig.table.geometry().array;
    for main in 0..array.buckets() {
        for bucket in buckets_of(array, main) {
            assert_eq!(bucket.tophash.0, 0);
        }
    }
}

#[test]
fn clear_empties_the_table_and_keeps_its_size() {
    let mut rig = Rig::new();
    for round in 1..=3 {
        for number in 0..500 {
            rig.insert(&key(number), number);
        }
        let b = rig.table.geometry().array.b();
        let plan = rig.table.prepare_clear(&rig.host).unwrap();
        rig.table.clear(&rig.host, plan);
        rig.model.clear();
        rig.verify();
        assert_eq!(rig.get(&key(1)), None);
        assert_eq!(rig.table.geometry().array.b(), b);
        let expected = Counters { next_overflow: 1 << b, clears: round, ..Counters::default() };
        assert_eq!(rig.table.counters(), expected);
    }
}

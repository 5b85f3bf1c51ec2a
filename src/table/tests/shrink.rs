//! When the table shrinks, how far each operation takes it, and that it does not flap.

use super::*;
use crate::error::Error;
use crate::table::{Growth, shape};

/// The B at which shrinks begin that are followed step by step; small under miri, which is slow.
const B: u8 = if cfg!(miri) { 5 } else { 9 };
/// An eighth of what 2^B buckets take before they double.
const BOUND: u64 = (13 << B) / 16;

/// A table of 2^B buckets with as few entries as it may have, from number 0 on.
fn sparse(hash: fn(&[u8]) -> Hash) -> Rig {
    let mut rig = Rig::with(LoadFactor::default(), 8 * BOUND, hash);
    (0..BOUND).for_each(|number| rig.insert(&key(number), number));
    rig.table.least_b = 0;
    assert_eq!((rig.table.geometry().array.b(), rig.table.growing()), (B, false));
    rig
}

/// One that shrinks since a moment ago.
fn shrinking(hash: fn(&[u8]) -> Hash) -> Rig {
    let mut rig = sparse(hash);
    assert_eq!(begun_by_removing(&mut rig, BOUND - 1), Some(Growth::Shrink));
    rig
}

fn begun_by_removing(rig: &mut Rig, number: u64) -> Option<Growth> {
    rig.model.remove(&key(number)[..]);
    rig.try_remove(&key(number), Trigger::Live).unwrap().expect("a key that is there").1
}

fn begun_by_inserting(rig: &mut Rig, number: u64) -> Option<Growth> {
    rig.model.insert(key(number).to_vec(), number);
    rig.try_insert(&key(number), number, Trigger::Live).unwrap()
}

#[test]
fn a_removal_that_leaves_less_than_an_eighth_begins_to_shrink() {
    let mut rig = sparse(spread);
    rig.insert(&key(BOUND), 0);
    assert_eq!(begun_by_removing(&mut rig, 0), None, "an eighth is left");
    assert_eq!(begun_by_removing(&mut rig, 1), Some(Growth::Shrink));
    assert_eq!(rig.table.geometry().array.b(), B - 1);
    rig.verify();
    // Only one at a time.
    assert_eq!(begun_by_removing(&mut rig, 2), None);
    rig.verify();
}

#[test]
fn a_put_begins_no_shrink() {
    let mut rig = Rig::with(LoadFactor::default(), 1000, spread);
    rig.table.least_b = 0;
    assert_eq!(begun_by_inserting(&mut rig, 0), None);
    assert_eq!(begun_by_inserting(&mut rig, 0), None);
    assert!(!rig.table.growing());
}

#[test]
fn the_capacity_is_a_floor() {
    let mut rig = Rig::with(LoadFactor::default(), 100, spread);
    (0..1000).for_each(|number| rig.insert(&key(number), number));
    (0..1000).for_each(|number| rig.remove(&key(number)));
    assert_eq!((rig.table.geometry().array.b(), rig.table.growing()), (4, false));
    rig.verify();
}

#[test]
fn a_table_that_is_emptied_gets_small() {
    let mut rig = Rig::new();
    let entries = 8 * BOUND;
    (0..entries).for_each(|number| rig.insert(&key(number), number));
    for number in 0..entries {
        rig.remove(&key(number));
        let (b, count) = (rig.table.geometry().array.b(), rig.table.counters().count);
        // A shrink ends before the next one is due.
        assert!(b == 0 || count * 800 >= 650 << b, "{count} entries in 2^{b} buckets");
    }
    assert!(rig.table.geometry().array.b() <= 1);
    rig.verify();
}

#[test]
fn each_operation_evacuates_at_most_two_pairs() {
    for insert in [true, false] {
        let mut rig = shrinking(spread);
        let published = rig.host.publications.load(Relaxed);
        let evacuated = |rig: &Rig| {
            let old = rig.table.geometry().old.as_ref().unwrap();
            (0..old.units()).filter(|&unit| old.waiting(unit).unwrap().is_none()).count()
        };
        let mut before = evacuated(&rig);
        assert!((1..=2).contains(&before));
        let mut steps = 1;
        loop {
            match insert {
                true => rig.insert(&key(1_000_000 + steps), 0),
                false => rig.insert(&key(steps % (BOUND - 1)), 1),
            }
            steps += 1;
            if !rig.table.growing() {
                break;
            }
            let now = evacuated(&rig);
            assert!(now > before && now <= before + 2);
            before = now;
        }
        let pairs = 1 << (B - 1);
        assert!((pairs / 2..=pairs).contains(&steps), "{steps} puts for {pairs} pairs");
        assert_eq!(rig.host.publications.load(Relaxed), published + 1, "the end, and nothing in between");
        rig.verify();
    }
}

#[test]
fn a_table_that_is_filled_while_it_shrinks_is_at_most_half_full_at_the_end() {
    for load in [4.0, 6.5, 8.0] {
        let load_factor = LoadFactor::new(load).unwrap();
        let most = (load * f64::from(1 << B)) as u64;
        let mut rig = Rig::with(load_factor, most, spread);
        rig.table.least_b = 0;
        (0..most / 8).for_each(|number| rig.insert(&key(number), number));
        assert_eq!(begun_by_removing(&mut rig, 0), Some(Growth::Shrink));
        let mut number = most;
        while rig.table.growing() {
            assert_eq!(begun_by_inserting(&mut rig, number), None);
            number += 1;
        }
        assert!(rig.table.counters().count <= most / 4, "{} entries", rig.table.counters().count);
        rig.verify();
    }
}

#[test]
fn growing_and_shrinking_do_not_take_turns() {
    // Entries come and go around either bound, by as much as an operation and as a quarter of them all.
    for (bound, swing) in [(BOUND, 1), (BOUND, BOUND / 4), (8 * BOUND, 1), (8 * BOUND, 2 * BOUND)] {
        let mut rig = Rig::with(LoadFactor::default(), 0, spread);
        let mut begun = Vec::new();
        (0..8 * BOUND).for_each(|number| rig.insert(&key(number), number));
        (bound..8 * BOUND).for_each(|number| rig.remove(&key(number)));
        for _ in 0..if cfg!(miri) { 2 } else { 20_000 / swing } {
            (bound..bound + swing).for_each(|number| begun.extend(begun_by_inserting(&mut rig, number)));
            (bound - swing..bound + swing)
                .for_each(|number| begun.extend(begun_by_removing(&mut rig, number)));
            (bound - swing..bound).for_each(|number| begun.extend(begun_by_inserting(&mut rig, number)));
        }
        begun.retain(|growth| *growth != Growth::SameSize);
        assert!(begun.len() <= 1, "{begun:?} around {bound}");
        rig.verify();
    }
}

#[test]
fn a_shrink_without_space_is_put_off() {
    let mut rig = sparse(spread);
    let mut never = sparse(spread);
    never.table.least_b = B;
    rig.host.bytes_left = 0.into();
    for number in 0..10 {
        assert_eq!(begun_by_removing(&mut rig, number), None);
        begun_by_removing(&mut never, number);
    }
    rig.verify();
    assert!(rig.image() == never.image());
    rig.host.bytes_left = u64::MAX.into();
    assert_eq!(begun_by_removing(&mut rig, 10), Some(Growth::Shrink), "it comes when there is room");
    rig.verify();
}

#[test]
fn a_shrink_goes_on_after_a_reopen_at_every_step() {
    let (mut stays, mut reopens) = (shrinking(spread), shrinking(spread));
    for step in 0.. {
        reopens.reopen();
        for rig in [&mut stays, &mut reopens] {
            let number = step % (BOUND - 1);
            if step % 3 == 0 {
                rig.insert(&key(number), step)
            } else {
                rig.remove(&key(number))
            };
        }
        reopens.verify();
        assert!(stays.image() == reopens.image(), "step {step}");
        if !stays.table.growing() {
            break;
        }
    }
}

#[test]
fn long_chains_are_merged_in_order() {
    // All keys in one bucket of each half: both chains have overflow buckets, and so has the one that they become.
    let halves = |key: &[u8]| Hash(spread(key).0 & !0xff | u64::from(key[0] & 1) << 3);
    let mut rig = Rig::with(LoadFactor::default(), 100, halves);
    rig.table.least_b = 0;
    (0..70).for_each(|number| rig.insert(&key(number), number));
    let chain_of = |rig: &Rig, main| buckets_of(&rig.table.geometry().array, main).len();
    assert_eq!((chain_of(&rig, 0), chain_of(&rig, 8)), (5, 5));
    rig.table.replay_growth(&rig.host, Growth::Shrink).unwrap();
    rig.verify();
    rig.insert(&key(5), 5);
    rig.verify();
    assert_eq!(chain_of(&rig, 0), 9, "70 entries in 9 buckets");
}

#[test]
fn the_shape_of_a_shrinking_table_counts_both_arrays() {
    let mut rig = sparse(spread);
    let before = shape(rig.table.geometry()).unwrap();
    rig.remove(&key(0));
    let shrinking = shape(rig.table.geometry()).unwrap();
    assert_eq!(shrinking.filled, before.filled - 1);
    assert_eq!(shrinking.chain_lengths.iter().sum::<u64>(), 1 << (B - 1));
    // An old chain stands for half a bucket, so shrinking has hardly changed a lookup yet.
    assert!((shrinking.miss_probe - before.miss_probe).abs() < 0.1, "{shrinking:?} after {before:?}");
}

#[test]
fn a_pair_that_is_evacuated_by_half_is_an_error() {
    let mut rig = shrinking(spread);
    let geometry = rig.table.geometry().clone();
    let old = geometry.old.as_ref().unwrap();
    let unit = (0..old.units()).find(|&unit| old.waiting(unit).unwrap().is_some()).unwrap();
    let pair = unit + old.units();
    old.array.main().damage(pair as usize * crate::format::bucket::BUCKET_WORDS, 0x0404_0404_0404_0404);
    let faults = rig.faults();
    assert!(
        faults.iter().any(|f| f.what == "old bucket of a pair" && f.place.is_some_and(|p| p.bucket == pair)),
        "{faults:?}"
    );
    let of_unit = (1_000_000..).map(key).find(|key| spread(key).bucket(B - 1) == unit).unwrap();
    let image = rig.image();
    let refused = rig.try_insert(&of_unit, 0, Trigger::Live);
    assert!(matches!(refused, Err(Error::Corrupt { what: "bucket's tophash", .. })));
    assert!(rig.image() == image);
}

//! When the table grows, how far each operation takes it, and how full it gets.

use super::*;
use crate::error::Error;
use crate::table::{Growth, shape};

/// Fills a table until the next key would make it double.
fn filled_to(load: f64, b: u8) -> Rig {
    let mut rig = Rig::with(LoadFactor::new(load).unwrap(), 0, spread);
    let most = (load * f64::from(1u32 << b)) as u64;
    for number in 0..most {
        rig.insert(&key(number), number);
    }
    assert_eq!((rig.table.geometry().array.b(), rig.table.growing()), (b, false));
    rig
}

#[test]
fn maximally_loaded_tables_have_the_shape_that_go_measured() {
    // Load factor and %overflow from the head of Go's map.go; hit probe is 1 + load/2, miss probe the load.
    let measured_by_go = [
        (4.0, 2.13),
        (4.5, 4.05),
        (5.0, 6.85),
        (5.5, 10.55),
        (6.0, 15.27),
        (6.5, 20.90),
        (7.0, 27.14),
        (7.5, 34.03),
        (8.0, 41.10),
    ];
    for (load, overflow_percent) in measured_by_go {
        let rig = filled_to(load, 14);
        let shape = shape(rig.table.geometry()).unwrap();
        assert!((shape.overflow_percent - overflow_percent).abs() < 1.0, "{load}: {shape:?}");
        assert!((shape.hit_probe - (1.0 + load / 2.0)).abs() < 0.1, "{load}: {shape:?}");
        assert!((shape.miss_probe - load).abs() < 0.15, "{load}: {shape:?}");
        assert_eq!(shape.chain_lengths.iter().sum::<u64>(), 1 << 14);
        assert_eq!(shape.filled, rig.table.counters().count);
        assert_eq!(shape.overflow_buckets, u64::from(rig.table.counters().noverflow));
    }
}

#[test]
fn the_shape_of_a_growing_table_counts_both_arrays() {
    let mut rig = filled_to(6.5, 8);
    let full = shape(rig.table.geometry()).unwrap();
    for number in 0..10 {
        rig.insert(&key(1_000_000 + number), 0);
    }
    let growing = shape(rig.table.geometry()).unwrap();
    assert!(rig.table.growing());
    assert_eq!(growing.filled, full.filled + 10);
    assert_eq!(growing.chain_lengths.iter().sum::<u64>(), 1 << 9);
    assert!(growing.old_overflow_buckets > 0);
    // Old chains stand for two buckets each, so growing has hardly changed a lookup yet.
    assert!((growing.miss_probe - full.miss_probe).abs() < 0.5, "{growing:?} after {full:?}");
}

#[test]
fn a_capacity_is_room_enough() {
    for (capacity, b) in [(0, 0), (8, 0), (9, 1), (13, 1), (14, 2), (1000, 8), (1 << 20, 18)] {
        let mut rig = Rig::with(LoadFactor::default(), capacity, spread);
        assert_eq!(rig.table.geometry().array.b(), b);
        if capacity <= 1000 {
            for number in 0..capacity {
                rig.insert(&key(number), number);
            }
            assert_eq!((rig.table.geometry().array.b(), rig.table.growing()), (b, false));
        }
    }
    let refused = Table::new(&HeapHost::new(), LoadFactor::default(), u64::MAX);
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
}

#[test]
fn each_put_evacuates_at_most_two_old_buckets() {
    let mut rig = filled_to(6.5, 9);
    let mut number = 1_000_000;
    let evacuated = |rig: &Rig| {
        let old = &rig.table.geometry().old.as_ref().unwrap().array;
        let marked = |&main: &u64| super::super::chain(old, main).unwrap()[0].tophash.any_evacuated();
        (0..old.buckets()).filter(marked).count()
    };
    rig.insert(&key(number), 0);
    let mut before = evacuated(&rig);
    assert!((1..=2).contains(&before));
    let mut steps = 1;
    loop {
        number += 1;
        rig.insert(&key(number), 0);
        steps += 1;
        if !rig.table.growing() {
            break;
        }
        let now = evacuated(&rig);
        assert!(now > before && now <= before + 2);
        before = now;
    }
    assert!((256..=512).contains(&steps), "{steps} puts for 512 old buckets");
    // The start and the end of each growth are published, and nothing in between.
    assert_eq!(rig.host.publications.load(std::sync::atomic::Ordering::Relaxed), 1 + 2 * 10);
}

#[test]
fn many_sparse_overflow_buckets_make_the_table_grow_to_the_same_size() {
    // Filled anew and emptied many times, with other keys each time: chains get long and hollow.
    let mut rig = Rig::with(LoadFactor::default(), 200, spread);
    let b = rig.table.geometry().array.b();
    let mut random = Random(1);
    let mut same_size_growths = 0;
    let mut held = std::collections::VecDeque::new();
    for step in 0..60_000u64 {
        let key = key(random.next());
        let hash = spread(&key);
        let noverflow = rig.table.counters().noverflow;
        let was_growing = rig.table.growing();
        match rig.try_insert(&key, step, Trigger::Live).unwrap() {
            Some(Growth::SameSize) => {
                assert!(noverflow >= 1 << b);
                same_size_growths += 1;
            }
            Some(Growth::Double) => unreachable!("never more than 200 entries"),
            None => assert!(was_growing || noverflow < 1 << b),
        }
        rig.model.insert(key.to_vec(), step);
        held.push_back(key);
        // Removing from the fullest bucket's keys first would be worse; the oldest are hollow enough.
        if held.len() > 190 {
            let oldest = held.pop_front().unwrap();
            rig.remove(&oldest);
        }
        let _ = hash;
        if same_size_growths == 3 && !rig.table.growing() {
            break;
        }
    }
    assert_eq!((same_size_growths, rig.table.geometry().array.b()), (3, b));
    rig.verify();
}

#[test]
fn a_growth_without_space_is_put_off() {
    let mut rig = filled_to(6.5, 5);
    rig.host.bytes_left = 0.into();
    let mut number = 1_000_000;
    // Goes on in the preallocated overflow buckets, until those are full too.
    let refused = loop {
        let image = rig.image();
        match rig.try_insert(&key(number), 0, Trigger::Live) {
            Ok(growth) => assert_eq!(growth, None),
            Err(error) => {
                assert!(rig.image() == image, "an error has changed nothing");
                break error;
            }
        }
        rig.model.insert(key(number).to_vec(), 0);
        number += 1;
    };
    assert!(matches!(refused, Error::NoSpace { .. }));
    assert!(number > 1_000_010 && !rig.table.growing());
    rig.verify();
    assert!(rig.table.replay_growth(&rig.host, Growth::Double).is_err(), "a replay can't put it off");
    rig.host.bytes_left = u64::MAX.into();
    assert_eq!(rig.try_insert(&key(number), 0, Trigger::Live).unwrap(), Some(Growth::Double));
    rig.model.insert(key(number).to_vec(), 0);
    rig.verify();
}

#[test]
fn a_growth_stopped_midway_goes_on_after_a_reopen() {
    let mut rig = filled_to(6.5, 11);
    let mut stays = filled_to(6.5, 11);
    // The last old buckets first, so that the mark has far to jump over heads that nobody has touched.
    for number in 0..3000u64 {
        let bytes = key(number);
        if spread(&bytes).bucket(11) > 0 || number == 0 {
            rig.insert(&bytes, number + 1);
            stays.insert(&bytes, number + 1);
        }
        let new = key(1_000_000 + number);
        rig.insert(&new, number);
        stays.insert(&new, number);
        if number % 37 == 0 {
            rig.reopen();
        }
    }
    rig.verify();
    assert!(rig.image() == stays.image());
}

#[test]
fn the_mark_jumps_at_most_1024_evacuated_buckets() {
    let mut rig = filled_to(6.5, 12);
    // One key for each old bucket.
    let mut by_bucket: Vec<Option<u64>> = vec![None; 1 << 12];
    for number in 0..rig.table.counters().count {
        by_bucket[spread(&key(number)).bucket(12) as usize] = Some(number);
    }
    let mut new = 1_000_000;
    while spread(&key(new)).bucket(12) != 4000 {
        new += 1;
    }
    rig.insert(&key(new), 0);
    assert_eq!(rig.table.counters().nevacuate, 1, "its own bucket and bucket 0");
    // From behind: every put evacuates its own bucket and the one at the mark; put them together.
    for main in (2..1800).rev() {
        if let Some(number) = by_bucket[main] {
            rig.insert(&key(number), 7);
        }
    }
    assert!(rig.table.growing());
    let mut before = rig.table.counters().nevacuate;
    assert!(before >= 899, "one step a put: {before}");
    let mut jumps = Vec::new();
    for _ in 0..20 {
        new += 1;
        rig.insert(&key(new), 0);
        jumps.push(rig.table.counters().nevacuate.saturating_sub(before));
        before = rig.table.counters().nevacuate;
        rig.reopen();
    }
    assert!(jumps.iter().all(|&jump| jump <= 2 * 1025), "{jumps:?}");
    rig.verify();
}

#[test]
fn cells_with_too_few_bits_are_split_by_their_records() {
    // As from B = 25 on, but with two bits in place of 24.
    let mut by_record = Rig::new();
    by_record.table.split_bits = 2;
    let mut by_cell = Rig::new();
    for number in 0..3000 {
        by_record.insert(&key(number), number);
        by_cell.insert(&key(number), number);
    }
    let reads = |rig: &Rig| rig.records.reads.load(std::sync::atomic::Ordering::Relaxed);
    assert!(reads(&by_record) > 3000 && reads(&by_cell) == 0);
    by_record.verify();
    assert!(by_record.image() == by_cell.image());
}

#[test]
fn a_put_whose_grow_work_needs_an_unreadable_record_changes_nothing() {
    let mut rig = filled_to(6.5, 6);
    rig.table.split_bits = 2;
    let (cell, _) = rig.locate(&key(5)).unwrap();
    rig.records.damage(cell.position());
    let mut refused = 0;
    for number in 1_000_000..1_000_200 {
        let image = rig.image();
        match rig.try_insert(&key(number), 0, Trigger::Live) {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error, Error::Corrupt { what: "record", .. }));
                assert!(rig.image() == image);
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

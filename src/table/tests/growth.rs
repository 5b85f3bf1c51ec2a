//! When the table grows, how far each operation takes it, and how full it gets.

use super::*;
use crate::error::Error;
use crate::table::{Growth, shape};

/// A large capacity, and its B; under miri, which zeroes memory word by word, one of 100 KiB.
const MOST_CAPACITY: (u64, u8) = if cfg!(miri) { (1 << 12, 10) } else { (1 << 20, 18) };
/// The B at which the growths begin that are followed put by put; small under miri, which is slow.
const FOLLOWED_B: u8 = if cfg!(miri) { 6 } else { 9 };
const STOPPED_B: u8 = if cfg!(miri) { 7 } else { 11 };
/// Entries, for growths enough.
const ENTRIES: u64 = if cfg!(miri) { 500 } else { 3000 };

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
#[cfg_attr(miri, ignore = "a million inserts, for the sake of statistics")]
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
    for (capacity, b) in [(0, 0), (8, 0), (9, 1), (13, 1), (14, 2), (1000, 8), MOST_CAPACITY] {
        let mut rig = Rig::with(LoadFactor::default(), capacity, spread);
        assert_eq!(rig.table.geometry().array.b(), b);
        if capacity <= 1000 {
            for number in 0..capacity {
                rig.insert(&key(number), number);
            }
            assert_eq!((rig.table.geometry().array.b(), rig.table.growing()), (b, false));
        }
    }
    let refused = LoadFactor::default().b_for(u64::MAX);
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
}

#[test]
fn each_put_evacuates_at_most_two_old_buckets() {
    let mut rig = filled_to(6.5, FOLLOWED_B);
    let mut number = 1_000_000;
    let evacuated = |rig: &Rig| {
        let old = &rig.table.geometry().old.as_ref().unwrap().array;
        let marked = |&main: &u64| buckets_of(old, main)[0].tophash.any_evacuated();
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
    let old = 1 << FOLLOWED_B;
    assert!((old / 2..=old).contains(&steps), "{steps} puts for {old} old buckets");
    // The start and the end of each growth are published, and nothing in between.
    assert_eq!(rig.host.publications.load(Relaxed), 1 + 2 * (usize::from(FOLLOWED_B) + 1));
}

#[test]
#[cfg_attr(miri, ignore = "60,000 inserts")]
fn many_sparse_overflow_buckets_make_the_table_grow_to_the_same_size() {
    // Filled anew and emptied many times, with other keys each time: chains get long and hollow.
    let mut rig = Rig::with(LoadFactor::default(), 200, spread);
    let b = rig.table.geometry().array.b();
    let mut random = Random(1);
    let mut same_size_growths = 0;
    let mut held = std::collections::VecDeque::new();
    for step in 0..60_000u64 {
        let key = key(random.next());
        let noverflow = rig.table.counters().noverflow;
        let was_growing = rig.table.growing();
        match rig.try_insert(&key, step, Trigger::Live).unwrap() {
            Some(Growth::SameSize) => {
                assert!(noverflow >= 1 << b);
                same_size_growths += 1;
            }
            Some(growth) => unreachable!("{growth:?} with 190 to 200 entries"),
            None => assert!(was_growing || noverflow < 1 << b),
        }
        rig.model.insert(key.to_vec(), step);
        held.push_back(key);
        if held.len() > 190 {
            let oldest = held.pop_front().unwrap();
            rig.remove(&oldest);
        }
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
#[cfg_attr(miri, ignore = "15,000 inserts")]
fn a_growth_that_was_put_off_for_long_ends_before_the_next_begins() {
    let mut rig = filled_to(6.5, 10);
    // Enough for five chunks of overflow buckets, not for an array of twice the size.
    rig.host.bytes_left = 170_000.into();
    let mut numbers = 1_000_000..;
    while rig.try_insert(&key(numbers.next().unwrap()), 0, Trigger::Live).is_ok() {}
    rig.host.bytes_left = u64::MAX.into();
    assert!(rig.table.counters().count > 2 * 6656, "too many for twice the size, too");
    let mut insert = || rig.try_insert(&key(numbers.next().unwrap()), 0, Trigger::Live).unwrap();
    assert_eq!(insert(), Some(Growth::Double));
    let puts = 1 + (0..).take_while(|_| insert().is_none()).count();
    assert!((512..=1024).contains(&puts), "{puts} puts for 1024 old buckets");
    assert_eq!(rig.table.geometry().array.b(), 12);
    assert_eq!(rig.faults(), []);
}

#[test]
fn a_replacement_begins_no_growth() {
    let mut rig = filled_to(6.5, 6);
    assert_eq!(rig.try_insert(&key(3), 1, Trigger::Live).unwrap(), None);
    assert!(!rig.table.growing());
    assert_eq!(rig.try_insert(&key(1_000_000), 1, Trigger::Live).unwrap(), Some(Growth::Double));
}

#[test]
fn a_growth_stopped_midway_goes_on_after_a_reopen() {
    let mut rig = filled_to(6.5, STOPPED_B);
    let mut stays = filled_to(6.5, STOPPED_B);
    for number in 0..if cfg!(miri) { 190 } else { 3000 } {
        for rig in [&mut rig, &mut stays] {
            rig.insert(&key(1_000_000 + number), number);
            rig.insert(&key(number), number + 1);
        }
        // The mark then jumps over heads on pages that nobody has touched yet.
        if number % 37 == 0 {
            rig.reopen();
        }
    }
    rig.verify();
    assert!(rig.image() == stays.image());
}

#[test]
#[cfg_attr(miri, ignore = "60,000 inserts")]
fn the_mark_jumps_at_most_1024_evacuated_buckets() {
    let mut rig = filled_to(6.5, 13);
    let mut key_of_bucket = HashMap::new();
    for number in 0..rig.table.counters().count {
        key_of_bucket.insert(spread(&key(number)).bucket(13), number);
    }
    let far = (1_000_000..).find(|&number| spread(&key(number)).bucket(13) > 6000).unwrap();
    rig.insert(&key(far), 0);
    // Each put evacuates its own bucket and the one at the mark; the two meet after 3000 puts, and behind
    // the mark all is evacuated up to bucket 6000.
    let mut before = rig.table.counters().nevacuate;
    let mut jumps = Vec::new();
    for main in (1..6000).rev() {
        let Some(&number) = key_of_bucket.get(&main) else { continue };
        rig.insert(&key(number), 7);
        jumps.push(rig.table.counters().nevacuate - before);
        before += jumps[jumps.len() - 1];
        if before >= 6000 {
            break;
        }
    }
    assert!(jumps[..2900].iter().all(|&jump| jump == 1), "one step a put until they meet");
    // Where the mark stands at the key's own bucket it advances twice.
    assert_eq!(jumps.iter().max(), Some(&(2 * (1 + 1024))));
    rig.verify();
}

#[test]
fn cells_with_too_few_bits_are_split_by_their_records() {
    // As from B = 25 on, but with two bits in place of 24.
    let mut by_record = Rig::new();
    by_record.table.split_bits = 2;
    let mut by_cell = Rig::new();
    for number in 0..ENTRIES {
        by_record.insert(&key(number), number);
        by_cell.insert(&key(number), number);
    }
    let reads = |rig: &Rig| rig.records.reads.load(Relaxed) as u64;
    assert!(reads(&by_record) > ENTRIES && reads(&by_cell) == 0);
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

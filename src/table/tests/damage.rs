//! Whatever the words of a file say: an error, in bounded time, and nothing changed.

use super::*;
use crate::error::Error;
use crate::format::bucket::{BUCKET_WORDS, OVERFLOW_WORD, TOPHASH_WORD};
use crate::seam::Records;
use crate::table::{BucketIndex, Growth, Walk, WhichArray};

/// Every key is looked up and put; under miri, where the pictures before and after a put take long, one in 15.
const KEYS_APART: usize = if cfg!(miri) { 15 } else { 1 };
/// Rounds of random damage; under miri fewer.
const ROUNDS: u64 = if cfg!(miri) { 4 } else { 300 };

/// A table in the middle of a growth, with chains.
fn growing() -> Rig {
    let mut rig = Rig::with(LoadFactor::default(), 0, crowded);
    let mut number = 0;
    while !(rig.table.growing() && number > 100 && rig.table.counters().nevacuate < 3) {
        rig.insert(&key(number), number);
        number += 1;
    }
    assert_eq!(rig.faults(), []);
    rig
}

/// A table in the middle of a shrink, with chains.
fn shrinking() -> Rig {
    let mut rig = Rig::with(LoadFactor::default(), 50, crowded);
    (0..110).for_each(|number| rig.insert(&key(number), number));
    while rig.table.growing() {
        rig.insert(&key(0), 0);
    }
    rig.table.replay_growth(&rig.host, Growth::Shrink).unwrap();
    rig.insert(&key(0), 0);
    assert!(rig.table.growing());
    assert_eq!(rig.faults(), []);
    rig
}

/// Looks at everything and changes something; only the kind of the errors matters.
fn exercise(rig: &mut Rig) -> usize {
    let mut errors = 0;
    let mut note = |error: Error| {
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        errors += 1;
    };
    for number in (0..150).step_by(KEYS_APART) {
        let key = key(number);
        let (published, hash) = (|| rig.host.published(), crowded(&key));
        lookup(published, hash, |slot| rig.records.find(slot, hash, &key)).err().map(&mut note);
    }
    let mut walk = Walk::new(rig.table.geometry(), 1);
    let mut steps = 0;
    while let Some(step) = rig.step(&mut walk) {
        step.err().map(&mut note);
        steps += 1;
        assert!(steps < 100_000, "the walk is bounded");
    }
    super::super::shape(rig.table.geometry()).err().map(&mut note);
    for number in (0..150).step_by(KEYS_APART) {
        let image = rig.image();
        if let Err(error) = rig.try_insert(&key(number), 1, Trigger::Live) {
            note(error);
            assert!(rig.image() == image, "an error has changed nothing");
        }
        if let Err(error) = rig.try_remove(&key(number / 2), Trigger::Live) {
            note(error);
        }
    }
    errors
}

#[test]
fn links_that_lead_anywhere_are_errors() {
    for link in [1, 15, 16, 17, 60, 1_000, 1 << 20, 1 << 40, u64::MAX - 1, u64::MAX] {
        for make in [growing, shrinking] {
            let mut rig = make();
            let geometry = rig.table.geometry().clone();
            let arrays = geometry.old.iter().map(|old| &old.array).chain([&geometry.array]);
            // Every bucket of the page leads there: to a main bucket, to itself, in circles, out of bounds.
            for array in arrays {
                for bucket in 0..array.buckets() as usize + 4 {
                    array.main().damage(bucket * BUCKET_WORDS + OVERFLOW_WORD, link);
                }
            }
            assert!(!rig.faults().is_empty(), "link {link}");
            assert!(exercise(&mut rig) > 0, "link {link}");
        }
    }
}

#[test]
fn marks_that_nobody_set_are_errors() {
    let mut rig = growing();
    let array = rig.table.geometry().array.clone();
    for bucket in 0..array.buckets() as usize {
        array.main().damage(bucket * BUCKET_WORDS + TOPHASH_WORD, 0x0202_0202_0202_0202);
    }
    assert!(!rig.faults().is_empty());
    assert!(exercise(&mut rig) > 0);
}

#[test]
fn a_mark_behind_an_unmarked_head_is_an_error() {
    let mut rig = growing();
    let old = rig.table.geometry().old.as_ref().unwrap().array.clone();
    let mut chains = (0..old.buckets()).map(|main| buckets_of(&old, main));
    let chain = chains.find(|chain| chain.len() > 1 && !chain[0].tophash.any_evacuated()).unwrap();
    let second = BucketIndex(chain[1].index);
    assert!(second.0 < Array::<HeapPages>::main_bytes(Shape::RECORD, old.b()) / 80, "preallocated");
    old.main().damage(second.0 as usize * BUCKET_WORDS, 0x0404_0404_0404_0404);
    let fault = rig.faults()[0];
    assert_eq!(fault.place.unwrap().array, WhichArray::Old);
    assert_eq!(fault.place.unwrap().bucket, second.0);
    // An entry behind the unmarked head is nowhere else: an error, not a miss.
    let record = Records::read(&rig.records, chain[1].cells[0].position()).unwrap();
    let hash = Records::hash(&rig.records, &record);
    let published = || rig.host.published();
    assert!(lookup(published, hash, |slot| rig.records.find(slot, hash, &record.key)).is_err());
    // Nor does the growth pass over the chain, whichever key asks for it.
    let elsewhere = (1_000..).map(key).filter(|key| crowded(key).bucket(old.b()) != chain[0].index);
    let refused = elsewhere.take(40).filter(|key| rig.try_insert(key, 0, Trigger::Live).is_err()).count();
    assert!(refused > 0 && rig.table.counters().nevacuate == chain[0].index);
}

#[test]
fn buckets_in_use_before_their_time_are_errors() {
    let mut rig = growing();
    let geometry = rig.table.geometry().clone();
    let old = geometry.old.as_ref().unwrap();
    let is_blank = |main: &u64| !buckets_of(&old.array, *main)[0].tophash.any_evacuated();
    let main = (0..old.array.buckets()).find(is_blank).unwrap();
    let next = rig.table.counters().next_overflow;
    for (bucket, word) in [(main, TOPHASH_WORD), (main, OVERFLOW_WORD), (next, TOPHASH_WORD)] {
        let word = bucket as usize * BUCKET_WORDS + word;
        geometry.array.main().damage(word, 77);
        let image = rig.image();
        let key = (1_000..).map(key).find(|key| crowded(key).bucket(old.array.b()) == main).unwrap();
        let refused = rig.try_insert(&key, 0, Trigger::Live);
        assert!(matches!(refused, Err(Error::Corrupt { what: "bucket not yet in use", .. })));
        assert!(rig.image() == image);
        geometry.array.main().damage(word, 0);
    }
}

#[test]
fn chains_that_share_their_buckets_end_the_walk() {
    let rig = Rig::with(LoadFactor::default(), 1600, spread);
    let array = &rig.table.geometry().array;
    let (buckets, capacity) = (array.buckets(), array.capacity());
    let hash = spread(b"key");
    let cell = crate::format::bucket::Cell::new(rig.records.append(b"key", 0, hash), hash);
    for bucket in 0..capacity {
        let word = bucket as usize * BUCKET_WORDS;
        array.main().damage(word + TOPHASH_WORD, 0x7777_7777_7777_7777);
        (1..9).for_each(|i| array.main().damage(word + i, cell.0));
        let link = if bucket < buckets { buckets } else { (bucket + 1) % capacity };
        array.main().damage(word + OVERFLOW_WORD, link);
    }
    let mut walk = Walk::new(rig.table.geometry(), 1);
    let steps = std::iter::from_fn(|| rig.step(&mut walk)).take(100_000);
    let errors: Vec<bool> = steps.map(|step| step.is_err()).collect();
    assert!((errors.len() as u64) < 8 * (buckets + capacity), "{} steps", errors.len());
    assert_eq!(errors.iter().filter(|&&error| error).count(), 1);
    assert!(rig.faults().iter().any(|fault| fault.found == crate::Detail::Text("linked from two")));
}

#[test]
fn random_damage_is_found_or_harmless() {
    let mut random = Random(99);
    for round in 0..ROUNDS {
        let mut rig = if round % 2 == 0 { growing() } else { shrinking() };
        let geometry = rig.table.geometry().clone();
        let array =
            if random.below(2) == 0 { &geometry.array } else { &geometry.old.as_ref().unwrap().array };
        for _ in 0..1 + random.below(4) {
            let word = random.below(array.capacity().min(50) * BUCKET_WORDS as u64);
            let value = if random.below(2) == 0 { random.next() } else { random.below(64) };
            array.main().damage(word as usize, value);
        }
        rig.faults();
        exercise(&mut rig);
    }
}

#[test]
fn counters_that_do_not_fit_the_arrays_are_refused() {
    let rig = growing();
    let good = rig.table.counters();
    let refused = |change: fn(&mut Counters)| {
        let mut counters = good;
        change(&mut counters);
        let geometry = rig.table.geometry();
        let old = geometry.old.as_ref().unwrap();
        let parts = Geometry {
            array: geometry.array.clone(),
            old: Some(Old { array: old.array.clone(), growth: old.growth }),
            clears: geometry.clears,
        };
        Table::from_parts(parts, counters, LoadFactor::default()).is_err()
    };
    assert!(!refused(|_| {}));
    assert!(refused(|counters| counters.next_overflow = 0));
    assert!(refused(|counters| counters.next_overflow = u64::MAX));
    assert!(refused(|counters| counters.nevacuate = 1 << 20));
    assert!(refused(|counters| counters.old_next_overflow = 0));
    assert!(refused(|counters| counters.clears += 1));
    assert!(refused(|counters| counters.count = 1 << 60));
}

#[test]
fn arrays_that_do_not_fit_their_growth_are_refused() {
    for (rig, fits) in [(growing(), Growth::Double), (shrinking(), Growth::Shrink)] {
        for growth in [Growth::Double, Growth::SameSize, Growth::Shrink] {
            let (geometry, counters) = (rig.table.geometry(), rig.table.counters());
            let old = &geometry.old.as_ref().unwrap().array;
            let old = Some(Old { array: old.clone(), growth });
            let parts = Geometry { array: geometry.array.clone(), old, clears: geometry.clears };
            let taken = Table::from_parts(parts, counters, LoadFactor::default()).is_ok();
            assert_eq!(taken, growth == fits, "{growth:?}");
        }
    }
}

#[test]
fn the_check_names_what_is_wrong() {
    let mut rig = Rig::new();
    for number in 0..100 {
        rig.insert(&key(number), number);
    }
    while rig.table.growing() {
        rig.insert(&key(0), 0);
    }
    let (cell, _) = rig.locate(&key(7)).unwrap();
    let array = rig.table.geometry().array.clone();
    let words = array.main().words();
    let word = words.iter().position(|&word| word == cell.0).unwrap();
    let bucket = word / BUCKET_WORDS * BUCKET_WORDS;
    let damages: [(usize, u64, &str); 5] = [
        (bucket, words[bucket] ^ 0x10 << (8 * (word - bucket - 1)), "tophash"),
        (word, cell.0 ^ 0x80_0000, "low bits of the hash in a cell"),
        (word, cell.0 ^ 1 << 63, "record"),
        (bucket, 0, "number of entries"),
        (bucket + OVERFLOW_WORD, 1 << 30, "bucket's overflow link"),
    ];
    for (word, value, what) in damages {
        array.main().damage(word, value);
        assert!(rig.faults().iter().any(|fault| fault.what == what), "{what}: {:?}", rig.faults());
        array.main().damage(word, words[word]);
        assert_eq!(rig.faults(), []);
    }
    rig.records.damage(cell.position());
    assert_eq!(rig.faults().len(), 1);
}

/// Words to be changed: the run of words, the word, its new value.
type Damages = Vec<(usize, u64)>;

/// Damages an array, and expects a fault of this name at this bucket; undoes it.
#[track_caller]
fn assert_named(rig: &Rig, array: &Array<HeapPages>, damages: &Damages, what: &str, bucket: u64) {
    let words = array.main().words();
    damages.iter().for_each(|&(word, value)| array.main().damage(word, value));
    let faults = rig.faults();
    let named =
        faults.iter().any(|fault| fault.what == what && fault.place.is_some_and(|p| p.bucket == bucket));
    assert!(named, "{what} in bucket {bucket}: {faults:?}");
    damages.iter().for_each(|&(word, _)| array.main().damage(word, words[word]));
    assert_eq!(rig.faults(), []);
}

/// A tophash word with another byte in cell `i`.
fn with_byte(word: u64, i: usize, byte: u8) -> u64 {
    word & !(0xff << (8 * i)) | u64::from(byte) << (8 * i)
}

#[test]
fn every_invariant_of_a_chain_has_its_fault() {
    let mut rig = Rig::new();
    (0..100).for_each(|number| rig.insert(&key(number), number));
    while rig.table.growing() {
        rig.insert(&key(0), 0);
    }
    let array = rig.table.geometry().array.clone();
    let words = array.main().words();
    // A bucket with two entries and room, and a cell of another bucket.
    let filled = |main: u64| buckets_of(&array, main)[0].tophash.filled().count();
    let main = (0..array.buckets()).find(|&main| (2..7).contains(&filled(main))).unwrap();
    let other = (0..array.buckets()).find(|&other| other != main && filled(other) > 0).unwrap();
    let (at, entries) = (main as usize * BUCKET_WORDS, filled(main));
    let (tophash, elsewhere) = (words[at + TOPHASH_WORD], other as usize * BUCKET_WORDS);
    let foreign = (words[elsewhere + TOPHASH_WORD] & 0xff) as u8;

    let gap = with_byte(tophash, 0, 0);
    assert_named(&rig, &array, &vec![(at, gap)], "cell behind EMPTY_REST", main);
    let last = with_byte(tophash, entries, 1);
    assert_named(&rig, &array, &vec![(at, last)], "last cell of a chain in use", main);
    let mark = with_byte(tophash, 0, 2);
    assert_named(&rig, &array, &vec![(at, mark)], "cell of a chain not evacuated", main);
    let twice = vec![(at, with_byte(tophash, entries, tophash as u8)), (at + 1 + entries, words[at + 1])];
    assert_named(&rig, &array, &twice, "key of an entry", main);
    let misplaced =
        vec![(at, with_byte(tophash, entries, foreign)), (at + 1 + entries, words[elsewhere + 1])];
    assert_named(&rig, &array, &misplaced, "bucket of an entry", main);
}

#[test]
fn every_mark_of_a_growth_has_its_fault() {
    let rig = growing();
    let geometry = rig.table.geometry().clone();
    let (array, old) = (&geometry.array, &geometry.old.as_ref().unwrap().array);
    let words = old.main().words();
    let head = |main: u64| words[main as usize * BUCKET_WORDS];
    let evacuated = (0..old.buckets()).find(|&main| [2, 3].contains(&(head(main) & 0xff))).unwrap();
    let at = evacuated as usize * BUCKET_WORDS;
    let swapped = vec![(at, head(evacuated) ^ 1)];
    assert_named(&rig, old, &swapped, "evacuation mark", evacuated);
    let unmarked = vec![(at, with_byte(head(evacuated), 7, 77))];
    assert_named(&rig, old, &unmarked, "cell of an evacuated chain", evacuated);
    let below = (0..rig.table.counters().nevacuate).next().unwrap();
    let not_evacuated = vec![(below as usize * BUCKET_WORDS, 0)];
    assert_named(&rig, old, &not_evacuated, "old bucket below the evacuation mark", below);
    let waiting = (0..old.buckets()).find(|&main| head(main) & 0xff > 4).unwrap();
    let early = vec![(waiting as usize * BUCKET_WORDS, 0x77)];
    assert_named(&rig, array, &early, "bucket whose old bucket is not evacuated", waiting);
}

#[test]
fn every_counter_has_its_fault() {
    let rig = growing();
    let mut still = Rig::new();
    (0..5).for_each(|number| still.insert(&key(number), number));
    let faults = |rig: &Rig, change: fn(&mut Counters)| {
        let (mut counters, mut faults) = (rig.table.counters(), Vec::new());
        change(&mut counters);
        check(rig.table.geometry(), &counters, &rig.records, &mut faults).unwrap();
        faults.iter().map(|fault| fault.what).collect::<Vec<_>>()
    };
    assert!(faults(&rig, |_| {}).is_empty());
    for (change, what) in [
        ((|c| c.count += 1) as fn(&mut Counters), "number of entries"),
        (|c| c.noverflow += 1, "noverflow"),
        (|c| c.nevacuate = 1 << 40, "evacuation mark"),
        (|c| c.next_overflow += 1, "overflow bucket behind the highest linked one"),
        (|c| c.old_next_overflow += 1, "number of linked overflow buckets"),
        (|c| c.clears += 1, "number of clears"),
    ] {
        assert!(faults(&rig, change).contains(&what), "{what}: {:?}", faults(&rig, change));
    }
    assert_eq!(faults(&still, |c| c.old_next_overflow = 9), ["old overflow buckets without a growth"]);
}

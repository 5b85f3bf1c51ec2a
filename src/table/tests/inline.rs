//! The inline layout: what the record layout's tests show, for cells that hold keys and elems themselves.

use super::model::operate;
use super::*;
use crate::table::Walk;

/// Widths of keys and elems: one word and parts of one, words that cells share, cells of many words, sets. Under miri, which
/// is slow, some of them.
const WIDTHS: &[(u8, u8)] = if cfg!(miri) {
    &[(8, 8), (3, 5), (16, 40)]
} else {
    &[(8, 8), (4, 4), (3, 5), (2, 1), (8, 0), (16, 40), (5, 12), (2, 128), (128, 128)]
};

const STEPS: u64 = 4000;

/// One walk over a table at rest: every entry once.
fn verify_walk(rig: &Rig<HeapCells>, start: u64) {
    let mut walk = Walk::new(rig.table.geometry(), start);
    let mut seen = HashMap::new();
    while let Some(entry) = rig.step(&mut walk) {
        let (key, value) = rig.records.parts(&entry.unwrap());
        assert_eq!(seen.insert(key, value), None, "an entry twice");
    }
    assert!(seen == rig.model);
}

#[test]
fn agrees_with_a_model_at_every_evacuation_step() {
    for &(key_width, elem_width) in WIDTHS {
        let mut rig = Rig::inline(key_width, elem_width, spread);
        operate(&mut rig, 500, STEPS, 1, |rig, step| {
            if rig.table.growing() || step.is_multiple_of(50) {
                assert_eq!(rig.faults(), [], "widths {key_width} and {elem_width}, step {step}");
                verify_walk(rig, step);
            }
        });
        rig.verify();
    }
}

#[test]
fn agrees_with_a_model_through_growths_of_every_kind() {
    for &(key_width, elem_width) in WIDTHS {
        for (hash, keys) in [(spread as fn(&[u8]) -> Hash, 300), (crowded, 120), (one_bucket, 50)] {
            let mut rig = Rig::inline(key_width, elem_width, hash);
            let mut choices = Random(keys);
            operate(&mut rig, keys, STEPS / 2, keys, |rig, step| {
                rig.grow_at_random(&mut choices);
                if step.is_multiple_of(4) {
                    assert_eq!(rig.faults(), [], "widths {key_width} and {elem_width}, step {step}");
                    verify_walk(rig, choices.next());
                }
            });
            rig.verify();
        }
    }
}

#[test]
fn a_table_reopened_after_every_step_is_cell_for_cell_the_same() {
    for (key_width, elem_width) in [(8, 8), (3, 5), (16, 40)] {
        let mut stays = Rig::inline(key_width, elem_width, spread);
        let mut reopens = Rig::inline(key_width, elem_width, spread);
        operate(&mut stays, 200, STEPS / 4, 3, |_, _| {});
        operate(&mut reopens, 200, STEPS / 4, 3, |rig, _| rig.reopen());
        reopens.verify();
        assert!(stays.image() == reopens.image());
    }
}

#[test]
fn the_check_names_what_is_wrong() {
    for (key_width, elem_width) in [(8, 8), (8, 0), (16, 40)] {
        let mut rig = Rig::inline(key_width, elem_width, spread);
        (0..100).for_each(|number| rig.insert(&key(number), number));
        while rig.table.growing() {
            rig.insert(&key(0), 0);
        }
        let array = rig.table.geometry().array.clone();
        let (words, shape) = (array.main().words(), array.shape());
        let main = (0..array.buckets()).find(|main| words[*main as usize * shape.words()] != 0).unwrap();
        let bucket = main as usize * shape.words();
        let (first, second) = (bucket + shape.key(0).start / 8, bucket + shape.key(1).start / 8);
        let widened = |word: usize, value| {
            (word..word + shape.key(0).len() / 8).map(|at| (at, value)).collect::<Vec<_>>()
        };
        // Keys that are hashed otherwise than the one that was there: to another tophash, to another bucket.
        let part = |of: fn(Hash, u8) -> u64| {
            let old = of(spread(&key(words[first])), array.b());
            (1_000..).find(|&number| of(spread(&key(number)), array.b()) != old).unwrap()
        };
        let damages = [
            (widened(first, part(|hash, _| hash.tophash().0.into())), "tophash"),
            (widened(first, part(|hash, b| hash.bucket(b))), "bucket of an entry"),
            (widened(second, words[first]), "key of an entry"),
            (vec![(bucket, 0)], "number of entries"),
        ];
        for (damage, what) in damages {
            damage.iter().for_each(|&(word, value)| array.main().damage(word, value));
            assert!(rig.faults().iter().any(|fault| fault.what == what), "{what}: {:?}", rig.faults());
            damage.iter().for_each(|&(word, _)| array.main().damage(word, words[word]));
            assert_eq!(rig.faults(), []);
        }
    }
}

//! Many keys at once: what `get_many` says is what `get` says of each.

mod common;

use std::cell::Cell;

use common::beside::{STABLE, beside_a_writer, filled, insert, write_much};
use common::{Model, Place, Random, damage, insert_to_be_damaged, key};
use tophash::{Error, HashKind, Options};

#[test]
fn the_answers_are_those_of_single_gets() {
    let place = Place::new();
    for hash in [HashKind::Sip13, HashKind::Colliding] {
        let store = Options::new().background(false).hash(hash).open(place.file(hash.name())).unwrap();
        let (mut model, mut random) = (Model::new(), Random(1));
        // Before, in and after growths.
        for n in 0..if hash == HashKind::Sip13 { 1_200 } else { 200 } {
            let value = random.bytes((n % 90) as usize);
            store.insert(key(n), &value).unwrap();
            model.insert(key(n), value);
            if random.once_in(5) {
                let gone = key(random.below(n + 1));
                assert_eq!(store.remove(&gone).unwrap().is_some(), model.remove(&gone).is_some());
            }
            let keys: Vec<_> = (0..random.below(40)).map(|_| key(random.below(2 * n + 1))).collect();
            let answers: Vec<_> =
                store.get_many(&keys).map(|answer| answer.unwrap().map(|value| value.to_vec())).collect();
            assert!(answers.into_iter().eq(keys.iter().map(|key| model.get(key).cloned())), "{n} entries");
        }
    }
}

#[test]
fn a_key_may_come_twice_and_large_values_come_whole() {
    let place = Place::new();
    let store = filled(&place, 100);
    let large = Random(2).bytes(200_000);
    store.insert("large", &large).unwrap();
    let keys: Vec<_> = (0..100).flat_map(|n| [key(n), key(n), b"large".to_vec(), key(1_000 + n)]).collect();
    for (n, answers) in
        (0..100u64).zip(store.get_many(&keys).map(Result::unwrap).collect::<Vec<_>>().chunks(4))
    {
        let number = n.to_le_bytes();
        let expected = [Some(&number[..]), Some(&number[..]), Some(&large[..]), None];
        assert!(answers.iter().map(Option::as_deref).eq(expected), "key {n}");
    }
}

#[test]
fn it_says_how_many_answers_are_left() {
    let place = Place::new();
    let store = filled(&place, 10);
    for keys in [0, 1, 15, 16, 17, 100] {
        let mut answers = store.get_many((0..keys as u64).map(key).collect::<Vec<_>>());
        for left in (0..keys).rev() {
            answers.next().unwrap().unwrap();
            assert_eq!((answers.len(), answers.size_hint()), (left, (left, Some(left))));
        }
        assert!(answers.next().is_none() && answers.next().is_none(), "the end is the end");
    }
    assert!(store.get_many([""; 0]).next().is_none());
    let of_unknown_length = store.get_many((0..).map(key).filter(|key| key.len() < 256));
    assert_eq!(of_unknown_length.size_hint().1, None);
    assert_eq!(of_unknown_length.take(50).filter(|answer| answer.as_ref().unwrap().is_some()).count(), 9);
}

/// A key that says how often it was looked at.
struct Counted<'a>(&'a Cell<u32>);

impl AsRef<[u8]> for Counted<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.set(self.0.get() + 1);
        b"key"
    }
}

#[test]
fn a_key_is_looked_at_once() {
    let place = Place::new();
    let store = filled(&place, 10);
    store.insert("key", "value").unwrap();
    let looks = Cell::new(0);
    let keys = (0..40).map(|_| Counted(&looks));
    assert!(store.get_many(keys).all(|answer| answer.unwrap().unwrap() == "value"));
    assert_eq!(looks.get(), 40);
}

#[test]
fn damage_concerns_its_key_alone() {
    let place = Place::new();
    let store = filled(&place, 0);
    let values = insert_to_be_damaged(store);
    let path = place.file("a.tophash");
    for n in [7, 8, 30, 59] {
        damage(&path, &values[n][..32]);
    }
    let store = Options::new().open(&path).unwrap();
    for (n, answer) in store.get_many((0..60).map(key)).enumerate() {
        match answer {
            Ok(value) => assert!(value.unwrap() == values[n] && ![7, 8, 30, 59].contains(&n), "key {n}"),
            Err(error) => {
                assert!(
                    [7, 8, 30, 59].contains(&n) && matches!(error, Error::Corrupt { .. }),
                    "key {n}: {error}"
                );
            }
        }
    }
}

#[test]
fn a_reopened_store_answers_before_its_pages_were_looked_at() {
    let place = Place::new();
    filled(&place, 5_000).close().unwrap();
    let store = Options::new().read_only(true).open(place.file("a.tophash")).unwrap();
    let mut keys = 0..5_000u64;
    for answer in store.get_many((0..5_000).map(key)) {
        assert_eq!(*answer.unwrap().unwrap(), keys.next().unwrap().to_le_bytes());
    }
}

#[test]
fn what_was_written_before_the_call_is_seen() {
    let place = Place::new();
    let store = filled(&place, 100);
    for n in 0..100u64 {
        store.insert(key(n), (n + 1_000).to_le_bytes()).unwrap();
        let values: Vec<_> = store.get_many((0..100).map(key)).map(|value| value.unwrap().unwrap()).collect();
        let expected = (0..100).map(|m| if m <= n { m + 1_000 } else { m });
        assert!(values.iter().map(|value| value.to_vec()).eq(expected.map(|m| m.to_le_bytes().to_vec())));
    }
}

#[test]
fn keys_that_are_there_throughout_are_found_beside_a_writer() {
    let place = Place::new();
    let store = Options::new().checkpoint_bytes(200_000).open(place.file("a.tophash")).unwrap();
    (0..STABLE).for_each(|n| insert(&store, n));
    let reader = |round: u64| {
        let keys = (0..40).map(|n| if n % 4 == 3 { key(1_000_000 + n) } else { key((round + n) % STABLE) });
        for (n, answer) in (0..40).zip(store.get_many(keys)) {
            assert_eq!(answer.unwrap().map(|value| value.len()), (n % 4 != 3).then_some(8));
        }
    };
    beside_a_writer(&store, reader, || write_much(&store));
}

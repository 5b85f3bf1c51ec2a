//! The table: a cell is published, a chain evacuated, a geometry switched beside readers (C3, C4, C5, C7).
//!
//! Values only rise, so a reader that looks twice must not see the older state last.

use loom::thread;

use super::rig::{Reader, Rig};
use super::{Model, at_length, bounded, exhaustive};
use crate::entries::Entries;
use crate::memory::ModelRecords as Records;
use crate::table::Growth;

pub(super) const MODELS: &[Model] = &[
    exhaustive("publish", publish::<Records>),
    exhaustive("replace", replace::<Records>),
    at_length("reuse", 2, reuse::<Records>),
    at_length("reinsert", 3, reinsert::<Records>),
    at_length("twin", 3, twin::<Records>),
    at_length("remove", 2, remove::<Records>),
    exhaustive("overflow", overflow),
    exhaustive("chunk", chunk),
    at_length("evacuate", 2, evacuate::<Records>),
    bounded("evacuate-chain", 2, 3, evacuate_chain),
    bounded("evacuate-walk", 2, 3, evacuate_walk::<Records>),
    at_length("shrink", 2, shrink),
    bounded("shrink-walk", 2, 3, shrink_walk),
    bounded("switch", 2, 3, switch),
    at_length("clear", 2, clear),
];

/// Runs a writer beside readers.
pub(super) fn beside<E: Entries, const N: usize>(
    mut rig: Rig<E>,
    read: [fn(&Reader<E>); N],
    write: fn(&mut Rig<E>),
) {
    let readers = read.map(|read| {
        let reader = rig.reader();
        thread::spawn(move || read(&reader))
    });
    write(&mut rig);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

/// Looks twice at a key whose value only rises; never less than it was.
pub(super) fn rises<E: Entries>(reader: &Reader<E>, key: u8, least: Option<u64>) {
    let first = reader.get(key);
    assert!(first >= least, "{first:?} after {least:?}");
    let second = reader.get(key);
    assert!(second >= first, "{second:?} after {first:?}");
}

pub(super) fn holds<E: Entries>(entries: &[(u8, u64)]) -> Rig<E> {
    let mut rig = Rig::new(0);
    entries.iter().for_each(|&(key, value)| rig.put(key, value));
    rig
}

/// A key is inserted.
pub(super) fn publish<E: Entries>() {
    beside(holds::<E>(&[]), [|r| rises(r, 0, None), |r| assert!(r.get(0) <= Some(1))], |rig| rig.put(0, 1));
}

/// A value is replaced.
pub(super) fn replace<E: Entries>() {
    beside(holds::<E>(&[(0, 1)]), [|r| rises(r, 0, Some(1)), |r| assert!(r.get(0) >= Some(1))], |rig| {
        rig.put(0, 2)
    });
}

/// A key goes, and another comes into its cell.
pub(super) fn reuse<E: Entries>() {
    let old = |r: &Reader<E>| {
        let (first, second) = (r.get(0), r.get(0));
        assert!(first.is_none_or(|value| value == 1) && second.is_none_or(|value| value == 1));
        assert!(first.is_some() || second.is_none(), "it came back");
    };
    let new = |r: &Reader<E>| {
        if r.get(2) == Some(2) {
            assert_eq!(r.get(0), None, "removed before the other was inserted");
        }
    };
    beside(holds::<E>(&[(0, 1)]), [old, new], |rig| {
        rig.remove(0);
        rig.put(2, 2);
    });
}

/// A key goes and comes back into its cell.
pub(super) fn reinsert<E: Entries>() {
    let read = |r: &Reader<E>| {
        let (first, second) = (r.get(0), r.get(0));
        // In the order of time: 1, nothing, 2.
        let time = |value: Option<u64>| value.map_or(1, |value| 2 * (value - 1));
        assert!(time(second) >= time(first), "{second:?} after {first:?}");
    };
    beside(holds::<E>(&[(0, 1)]), [read], |rig| {
        rig.remove(0);
        rig.put(0, 2);
    });
}

/// A key with the same hash as key 0: whoever looks for one of the two takes the other's cell for it until it sees the key.
pub(super) const TWIN: u8 = 64;

/// A key comes into the cell that one with the same hash had.
pub(super) fn twin<E: Entries>() {
    let come = |r: &Reader<E>| {
        let first = r.get(TWIN);
        assert!(matches!(first, None | Some(2)), "another key's value: {first:?}");
        rises(r, TWIN, first);
    };
    beside(holds::<E>(&[(0, 1)]), [come], |rig| {
        rig.remove(0);
        rig.put(TWIN, 2);
    });
}

/// A key goes beside one that came just before: their tophashes share a word.
pub(super) fn remove<E: Entries>() {
    let removed = |r: &Reader<E>| {
        let (first, second) = (r.get(0), r.get(0));
        assert!(first.is_some() || second.is_none(), "it came back");
    };
    beside(holds::<E>(&[(0, 1)]), [|r| rises(r, 2, None), removed], |rig| {
        rig.put(2, 1);
        rig.remove(0);
    });
}

/// The ninth key of a bucket takes an overflow bucket.
fn overflow() {
    let mut rig = Rig::<Records>::new(4);
    (0..8).for_each(|n| rig.put(2 * n, 1));
    beside(rig, [|r| rises(r, 16, None), |r| assert_eq!(r.get(14), Some(1))], |rig| rig.put(16, 1));
}

/// The same where the overflow bucket lies in a chunk that is new too.
fn chunk() {
    let mut rig = Rig::<Records>::new(0);
    (0..8).for_each(|n| rig.put(2 * n, 1));
    beside(rig, [|r| rises(r, 16, None), |r| assert!(r.get(16) <= Some(1))], |rig| rig.put(16, 1));
}

/// A bucket is split while its keys are looked up; one of them is replaced behind it.
pub(super) fn evacuate<E: Entries>() {
    let mut rig = holds::<E>(&[(0, 1), (1, 1)]);
    rig.grow(Growth::Double);
    beside(rig, [|r| rises(r, 0, Some(1)), |r| assert_eq!(r.get(1), Some(1))], |rig| rig.put(0, 2));
}

/// A chain of two buckets moves while keys of both are looked up. The marks are set head first.
fn evacuate_chain() {
    let mut rig = Rig::<Records>::new(4);
    (0..9).for_each(|n| rig.put(2 * n, 1));
    rig.grow(Growth::SameSize);
    beside(rig, [|r| assert!(r.get(16) >= Some(1)), |r| rises(r, 16, Some(1))], |rig| rig.put(16, 2));
}

/// An iteration goes on while the bucket under it moves.
pub(super) fn evacuate_walk<E: Entries>() {
    let mut rig = holds::<E>(&[(0, 1), (1, 1)]);
    rig.grow(Growth::Double);
    let walk = |r: &Reader<E>| {
        let mut keys: Vec<_> = r.walk().into_iter().map(|(key, _)| key).collect();
        keys.sort();
        assert_eq!(keys, [0, 1], "what is present throughout appears exactly once");
    };
    beside(rig, [walk, |r| assert!(r.get(0) >= Some(1))], |rig| rig.put(0, 2));
}

/// Two buckets, a key in each, of a table that shrinks to one.
fn pair() -> Rig {
    let mut rig = Rig::<Records>::new(1);
    rig.put(0, 1);
    rig.put(1, 1);
    rig.grow(Growth::Shrink);
    rig
}

/// A pair of buckets is merged while the keys of both are looked up; one of them is replaced behind it.
fn shrink() {
    beside(pair(), [|r| rises(r, 0, Some(1)), |r| assert_eq!(r.get(1), Some(1))], |rig| rig.put(0, 2));
}

/// An iteration goes on while the pair under it is merged.
fn shrink_walk() {
    let walk = |r: &Reader| {
        let mut keys: Vec<_> = r.walk().into_iter().map(|(key, _)| key).collect();
        keys.sort();
        assert_eq!(keys, [0, 1], "what is present throughout appears exactly once");
    };
    beside(pair(), [walk, |r| assert_eq!(r.get(1), Some(1))], |rig| rig.put(0, 2));
}

/// A growth begins, moves its only bucket and ends.
fn switch() {
    beside(
        holds::<Records>(&[(0, 1)]),
        [|r| rises(r, 0, Some(1)), |r| assert!(r.get(0) >= Some(1))],
        |rig| {
            rig.grow(Growth::SameSize);
            rig.put(0, 2);
        },
    );
}

/// The table is cleared, and a key inserted anew.
fn clear() {
    let read = |r: &Reader| {
        let (first, second) = (r.get(0), r.get(0));
        // In the order of time: 1, nothing, 2.
        let time = |value: Option<u64>| value.map_or(1, |value| 2 * (value - 1));
        assert!(time(second) >= time(first), "{second:?} after {first:?}");
    };
    let walk = |r: &Reader| assert!(r.walk().len() <= 1);
    beside(holds(&[(0, 1)]), [read, walk], |rig| {
        rig.clear();
        rig.put(0, 2);
    });
}

//! The table of load factors in Go's `map.go`, measured here.

mod common;

use common::Place;
use tophash::report::{GrowthKind, Stats};
use tophash::{HashKind, Options};

/// Buckets of the tables that are measured: 2^14. Larger ones come nearer to Go's figures, and take longer.
const B: u8 = 14;

/// Go's columns: load factor, percentage of buckets with an overflow bucket, entries to look at on average for a key
/// that is there and for one that is not.
const GO: [(f64, f64, f64, f64); 9] = [
    (4.00, 2.13, 3.00, 4.00),
    (4.50, 4.05, 3.25, 4.50),
    (5.00, 6.85, 3.50, 5.00),
    (5.50, 10.55, 3.75, 5.50),
    (6.00, 15.27, 4.00, 6.00),
    (6.50, 20.90, 4.25, 6.50),
    (7.00, 27.14, 4.50, 7.00),
    (7.50, 34.03, 4.75, 7.50),
    (8.00, 41.10, 5.00, 8.00),
];

/// A table with as many entries as its load factor allows, with room for `capacity` of them from the beginning.
fn at_maximal_load(load_factor: f64, capacity: u64, hash: HashKind) -> Stats {
    let place = Place::in_memory();
    let options = Options::new().load_factor(load_factor).capacity(capacity).hash(hash);
    let store = options.seed(1).background(false).open(place.file("a.tophash")).unwrap();
    let most = (load_factor * f64::from(1u32 << B)) as u64;
    for n in 0..most {
        store.insert(n.to_le_bytes(), []).unwrap();
    }
    let stats = store.stats().unwrap();
    assert_eq!((stats.b, stats.count, stats.growing), (B, most, false));
    stats
}

#[track_caller]
fn assert_like_go(
    stats: &Stats,
    (load_factor, overflow_percent, hit_probe, miss_probe): (f64, f64, f64, f64),
) {
    let near = |what: &str, found: f64, go: f64, distance: f64| {
        assert!((found - go).abs() <= distance, "{what} at {load_factor}: {found}, in Go {go}");
    };
    near("%overflow", stats.overflow_percent, overflow_percent, 1.0);
    near("hitprobe", stats.hit_probe, hit_probe, 0.1);
    near("missprobe", stats.miss_probe, miss_probe, 0.15);
    // By Go's definition: the bytes of the buckets per entry, those of its cell left out. A bucket has 80 bytes here.
    let bytes_per_entry = 80.0 * (1.0 + overflow_percent / 100.0) / load_factor - 8.0;
    near("bytes/entry", stats.bytes_per_entry, bytes_per_entry, 0.3);
}

#[test]
fn the_table_of_load_factors_is_that_of_go() {
    for go in GO {
        let most = (go.0 * f64::from(1u32 << B)) as u64;
        assert_like_go(&at_maximal_load(go.0, most, HashKind::Sip13), go);
    }
}

#[test]
fn rapidhash_spreads_as_well() {
    for go in [GO[0], GO[5], GO[8]] {
        let most = (go.0 * f64::from(1u32 << B)) as u64;
        assert_like_go(&at_maximal_load(go.0, most, HashKind::Rapid), go);
    }
}

#[test]
fn a_table_that_has_grown_is_as_good_as_one_that_was_made_so() {
    assert_like_go(&at_maximal_load(6.5, 0, HashKind::Sip13), GO[5]);
}

#[test]
fn one_key_more_than_the_load_factor_allows_begins_a_growth() {
    let place = Place::in_memory();
    for (load_factor, most) in [(4.0, 64), (6.5, 104), (8.0, 128)] {
        let options = Options::new().load_factor(load_factor).capacity(most);
        let store = options.open(place.file(&format!("{most}.tophash"))).unwrap();
        (0..most).for_each(|n| drop(store.insert(n.to_le_bytes(), []).unwrap()));
        assert_eq!(store.growth().unwrap().kind, None);
        store.insert(0u64.to_le_bytes(), "replaced").unwrap();
        assert_eq!(store.growth().unwrap().kind, None, "no new key");
        store.insert(most.to_le_bytes(), []).unwrap();
        assert_eq!(store.growth().unwrap().kind, Some(GrowthKind::Double));
    }
}

//! The table of load factors in Go's `map.go`, measured here.

mod common;

use common::Place;
use tophash::report::{GrowthKind, Stats};
use tophash::{HashKind, Options};

/// Buckets of the tables that are measured: 2^14. Larger ones come nearer to Go's figures, and take longer.
const B: u8 = 14;

/// Go's columns: load factor, percentage of buckets with an overflow bucket, bytes of the buckets per entry beyond the
/// entry's own, entries to look at on average for a key that is there and for one that is not.
type Columns = (f64, f64, f64, f64, f64);

/// For buckets of eight 8-byte keys and eight 8-byte elems.
const GO: [Columns; 9] = [
    (4.00, 2.13, 20.77, 3.00, 4.00),
    (4.50, 4.05, 17.30, 3.25, 4.50),
    (5.00, 6.85, 14.77, 3.50, 5.00),
    (5.50, 10.55, 12.94, 3.75, 5.50),
    (6.00, 15.27, 11.67, 4.00, 6.00),
    (6.50, 20.90, 10.79, 4.25, 6.50),
    (7.00, 27.14, 10.15, 4.50, 7.00),
    (7.50, 34.03, 9.73, 4.75, 7.50),
    (8.00, 41.10, 9.40, 5.00, 8.00),
];

/// As many entries as 2^B buckets take.
fn most(load_factor: f64) -> u64 {
    (load_factor * f64::from(1u32 << B)) as u64
}

fn options(load_factor: f64, capacity: u64, hash: HashKind) -> Options {
    Options::new().load_factor(load_factor).capacity(capacity).hash(hash).seed(1).background(false)
}

/// A table of records with as many entries as its load factor allows, with room for `capacity` of them from the
/// beginning.
fn records_at_maximal_load(load_factor: f64, capacity: u64, hash: HashKind) -> Stats {
    let place = Place::in_memory();
    let store = options(load_factor, capacity, hash).open(place.file("a.tophash")).unwrap();
    for n in 0..most(load_factor) {
        store.insert(n.to_le_bytes(), []).unwrap();
    }
    store.stats().unwrap()
}

/// The same of numbers that the cells hold themselves, as in Go.
fn numbers_at_maximal_load(load_factor: f64, capacity: u64, hash: HashKind) -> Stats {
    let place = Place::in_memory();
    let options = options(load_factor, capacity, hash);
    let map = options.open_map::<u64, u64>(place.file("a.tophash")).unwrap();
    for n in 0..most(load_factor) {
        map.insert(n, n).unwrap();
    }
    map.stats().unwrap()
}

#[track_caller]
fn assert_like_go(
    stats: &Stats,
    (load_factor, overflow_percent, bytes_per_entry, hit_probe, miss_probe): Columns,
) {
    assert_eq!((stats.b, stats.count, stats.growing), (B, most(load_factor), false));
    let near = |what: &str, found: f64, go: f64, distance: f64| {
        assert!((found - go).abs() <= distance, "{what} at {load_factor}: {found}, in Go {go}");
    };
    near("%overflow", stats.overflow_percent, overflow_percent, 1.0);
    near("bytes/entry", stats.bytes_per_entry, bytes_per_entry, 0.3);
    near("hitprobe", stats.hit_probe, hit_probe, 0.1);
    near("missprobe", stats.miss_probe, miss_probe, 0.15);
}

/// By Go's definition, but with a bucket of 80 bytes, of which a cell takes 8.
fn for_records((load_factor, overflow_percent, _, hit_probe, miss_probe): Columns) -> Columns {
    let bytes_per_entry = 80.0 * (1.0 + overflow_percent / 100.0) / load_factor - 8.0;
    (load_factor, overflow_percent, bytes_per_entry, hit_probe, miss_probe)
}

#[test]
fn the_table_of_load_factors_is_that_of_go() {
    for go in GO {
        assert_like_go(&numbers_at_maximal_load(go.0, most(go.0), HashKind::Sip13), go);
    }
}

#[test]
fn a_table_of_records_is_as_full() {
    for go in GO {
        assert_like_go(&records_at_maximal_load(go.0, most(go.0), HashKind::Sip13), for_records(go));
    }
}

#[test]
fn rapidhash_spreads_as_well() {
    for go in [GO[0], GO[5], GO[8]] {
        assert_like_go(&numbers_at_maximal_load(go.0, most(go.0), HashKind::Rapid), go);
        assert_like_go(&records_at_maximal_load(go.0, most(go.0), HashKind::Rapid), for_records(go));
    }
}

#[test]
fn a_table_that_has_grown_is_as_good_as_one_that_was_made_so() {
    assert_like_go(&numbers_at_maximal_load(6.5, 0, HashKind::Sip13), GO[5]);
    assert_like_go(&records_at_maximal_load(6.5, 0, HashKind::Sip13), for_records(GO[5]));
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

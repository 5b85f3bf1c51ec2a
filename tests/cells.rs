//! After a recovery the table is, cell for cell, the one that was lost (D15): a store that is killed, closed and
//! checkpointed at random moments stays the same as one that runs the same changes undisturbed.

mod common;

use common::cells::Cells;
use common::{Change, Place, Random, check_verified, copy_as_if_killed, key};
use tophash::report::GrowthKind;
use tophash::{HashKind, Options, Store};

/// Changes that keep about `present` of `keys` keys in the table, so that it doubles up to there, and then grows to
/// the same size every now and then. Where `least` is less, they remove all but so many whenever it is full, and the
/// table shrinks.
struct Changes {
    random: Random,
    keys: u64,
    present: u64,
    least: u64,
    emptying: bool,
    clear_once_in: u64,
    made: Vec<Vec<u8>>,
}

impl Changes {
    fn next(&mut self) -> Change {
        if self.random.once_in(self.clear_once_in) {
            self.made.clear();
            return Change::Clear;
        }
        let made = self.made.len() as u64;
        self.emptying = made >= self.present || self.emptying && made > self.least;
        if !self.made.is_empty() && (self.emptying || self.random.once_in(4)) {
            let index = self.random.below(self.made.len() as u64) as usize;
            return Change::Remove(self.made.swap_remove(index));
        }
        let key = key(self.random.below(self.keys));
        if !self.made.contains(&key) {
            self.made.push(key.clone());
        }
        let len = self.random.below(60) as usize;
        Change::Insert(key, self.random.bytes(len))
    }
}

/// What happened while a store was disturbed.
#[derive(Debug, Default)]
struct Seen {
    kills: u32,
    kills_in_doubling: u32,
    kills_in_same_size_growth: u32,
    kills_in_shrink: u32,
    kills_in_growth_of_a_checkpoint: u32,
    kills_in_shrink_of_a_checkpoint: u32,
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        self.kills += other.kills;
        self.kills_in_doubling += other.kills_in_doubling;
        self.kills_in_same_size_growth += other.kills_in_same_size_growth;
        self.kills_in_shrink += other.kills_in_shrink;
        self.kills_in_growth_of_a_checkpoint += other.kills_in_growth_of_a_checkpoint;
        self.kills_in_shrink_of_a_checkpoint += other.kills_in_shrink_of_a_checkpoint;
    }
}

/// A store that is disturbed.
struct Disturbed {
    place: Place,
    options: Options,
    generation: u32,
    store: Option<Store>,
    seen: Seen,
}

impl Disturbed {
    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn kill(&mut self) {
        let (from, to) = (self.path(), self.place.file(&format!("{}.tophash", self.generation + 1)));
        let growth = self.store().growth().unwrap();
        // An array has a place in a checkpoint once its growth is older than that.
        let checkpointed = self.store().stats().unwrap().log_bytes_since_checkpoint < 2_000;
        copy_as_if_killed(self.store(), &from, &to);
        self.store = None;
        std::fs::remove_file(from).unwrap();
        self.generation += 1;
        self.store = Some(self.options.clone().open(to).unwrap());

        self.seen.kills += 1;
        self.seen.kills_in_doubling += u32::from(growth.kind == Some(GrowthKind::Double));
        self.seen.kills_in_same_size_growth += u32::from(growth.kind == Some(GrowthKind::SameSize));
        let shrink = growth.kind == Some(GrowthKind::Shrink);
        self.seen.kills_in_shrink += u32::from(shrink);
        self.seen.kills_in_growth_of_a_checkpoint += u32::from(growth.kind.is_some() && checkpointed);
        self.seen.kills_in_shrink_of_a_checkpoint += u32::from(shrink && checkpointed);
    }

    fn close(&mut self) {
        self.store.take().unwrap().close().unwrap();
        self.store = Some(self.options.clone().open(self.path()).unwrap());
    }

    fn path(&self) -> std::path::PathBuf {
        self.place.file(&format!("{}.tophash", self.generation))
    }
}

/// Makes the same changes in two stores of the same seed, one of which is disturbed once in `disturb_once_in` changes,
/// and at least once in 4 while it grows. Compares them whenever it was.
fn run(options: &Options, mut changes: Changes, count: u64, disturb_once_in: u64) -> Seen {
    let place = Place::in_memory();
    let options = options.clone().background(false).seed(42);
    let undisturbed = options.clone().open(place.file("undisturbed.tophash")).unwrap();
    let store = Some(options.clone().open(place.file("0.tophash")).unwrap());
    let mut disturbed = Disturbed { place, options, generation: 0, store, seen: Seen::default() };
    for _ in 0..count {
        let change = changes.next();
        change.make(&undisturbed);
        change.make(disturbed.store());
        let growing = undisturbed.growth().unwrap().kind.is_some();
        if !changes.random.once_in(if growing { disturb_once_in.min(4) } else { disturb_once_in }) {
            continue;
        }
        match changes.random.below(4) {
            0 => disturbed.store().checkpoint().unwrap(),
            1 => disturbed.close(),
            _ => disturbed.kill(),
        }
        Cells::of(disturbed.store()).assert_same_as(&Cells::of(&undisturbed));
        check_verified(disturbed.store());
    }
    Cells::of(disturbed.store()).assert_same_as(&Cells::of(&undisturbed));
    disturbed.seen
}

fn changes(keys: u64, present: u64, clear_once_in: u64) -> Changes {
    let random = Random(keys + present);
    Changes { random, keys, present, least: present, emptying: false, clear_once_in, made: Vec::new() }
}

#[test]
fn a_table_comes_back_cell_for_cell() {
    let mut total = Seen::default();
    for present in [95, 190, 200, 390, 395, 400, 800] {
        total.add(&run(&Options::new(), changes(100_000, present, u64::MAX), 12_000, 200));
    }
    assert!(total.kills_in_doubling > 10 && total.kills_in_same_size_growth > 10, "{total:?}");
    assert!(total.kills_in_growth_of_a_checkpoint > 10, "{total:?}");
}

#[test]
fn a_table_that_shrinks_comes_back_cell_for_cell() {
    let mut total = Seen::default();
    for (present, least) in [(100, 0), (200, 3), (400, 10), (1_500, 60)] {
        total.add(&run(
            &Options::new(),
            Changes { least, ..changes(100_000, present, u64::MAX) },
            6_000,
            200,
        ));
    }
    assert!(total.kills_in_shrink > 10 && total.kills_in_shrink_of_a_checkpoint > 3, "{total:?}");
    assert!(total.kills_in_doubling > 10, "{total:?}");
}

#[test]
fn a_table_of_colliding_keys_comes_back_cell_for_cell() {
    let options = Options::new().hash(HashKind::Colliding);
    let seen = run(&options, changes(1_000, 200, u64::MAX), 600, 3);
    assert!(seen.kills_in_doubling > 0, "{seen:?}");
}

#[test]
fn a_table_that_is_cleared_comes_back_cell_for_cell() {
    let seen = run(&Options::new(), changes(10_000, 3_000, 2_000), 20_000, 100);
    assert!(seen.kills_in_doubling > 0, "{seen:?}");
}

#[test]
fn a_growth_that_is_disturbed_at_every_step_comes_back_cell_for_cell() {
    let seen = run(&Options::new(), changes(10_000, 2_000, u64::MAX), 300, 1);
    assert!(seen.kills_in_doubling > 5, "{seen:?}");
}

/// From B = 16 on `noverflow` is a sample; its random numbers must be the same in a replay.
#[test]
fn the_sampled_number_of_overflow_buckets_comes_back() {
    let place = Place::in_memory();
    let path = place.file("a.tophash");
    let options = Options::new().background(false).seed(3).capacity(300_000).load_factor(8.0);
    let store = options.open(&path).unwrap();
    for n in 0..300_000u32 {
        store.insert(n.to_le_bytes(), []).unwrap();
    }
    let stats = store.stats().unwrap();
    assert_eq!(stats.b, 16);
    assert!(
        stats.noverflow > 100 && u64::from(stats.noverflow) < stats.overflow_buckets,
        "a sample: {stats:?}"
    );
    let killed = place.file("killed.tophash");
    copy_as_if_killed(&store, &path, &killed);
    let again = Options::new().read_only(true).open(killed).unwrap();
    assert_eq!(again.stats().unwrap().noverflow, stats.noverflow);
}

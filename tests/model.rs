//! Random operations beside a `HashMap`, with reopening, clean and as after a kill, at random moments and at every
//! step of an evacuation. More than a million operations in all.

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::cells::Cells;
use common::{Change, Model, Place, Random, check_equal, copy_as_if_killed, key};
use tophash::report::GrowthKind;
use tophash::{Durability, HashKind, Options, Store};

/// A store, its model, and the keys that are drawn from.
struct Pair {
    place: Place,
    options: Options,
    /// The number in the store's file name; it moves on when the store is killed.
    generation: u32,
    /// `None` only while the store is reopened.
    store: Option<Store>,
    model: Model,
    keys: u64,
    random: Random,
    kills: u32,
    kills_in_growth: u32,
    kills_in_shrink: u32,
}

impl Pair {
    fn new(options: &Options, keys: u64, seed: u64) -> Self {
        let mut pair = Pair {
            place: Place::in_memory(),
            options: options.clone(),
            generation: 0,
            store: None,
            model: Model::new(),
            keys,
            random: Random(seed),
            kills: 0,
            kills_in_growth: 0,
            kills_in_shrink: 0,
        };
        pair.open();
        pair
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn path(&self) -> PathBuf {
        self.place.file(&format!("{}.tophash", self.generation))
    }

    fn open(&mut self) {
        self.store = Some(self.options.clone().open(self.path()).unwrap());
    }

    #[track_caller]
    fn check(&self) {
        check_equal(self.store(), &self.model, (0..self.keys).map(key));
    }

    #[track_caller]
    fn reopen_after_close(&mut self) {
        self.store.take().unwrap().close().unwrap();
        self.open();
        assert!(!self.store().stats().unwrap().recovered, "a clean close leaves nothing to replay");
        self.check();
    }

    /// Goes on in a copy of the file as a kill would have left it.
    #[track_caller]
    fn reopen_after_kill(&mut self) {
        let killed = self.path();
        self.generation += 1;
        self.kills += 1;
        let growth = self.store().growth().unwrap().kind;
        self.kills_in_growth += u32::from(growth.is_some());
        self.kills_in_shrink += u32::from(growth == Some(GrowthKind::Shrink));
        copy_as_if_killed(self.store(), &killed, &self.path());
        if self.random.once_in(4) {
            let store = Options::new().read_only(true).open(self.path()).unwrap();
            check_equal(&store, &self.model, (0..self.keys).map(key));
        }
        self.store = None;
        std::fs::remove_file(killed).unwrap();
        self.open();
        self.check();
    }

    /// One random operation, checked by what it returns.
    fn step(&mut self) {
        let key = key(self.random.below(self.keys));
        match self.random.below(100) {
            0..50 => {
                let value = random_value(&mut self.random);
                Change::Insert(key, value).make_in_both(self.store.as_ref().unwrap(), &mut self.model);
            }
            50..75 => Change::Remove(key).make_in_both(self.store.as_ref().unwrap(), &mut self.model),
            75..90 => {
                let found = self.store().get(&key).unwrap();
                let expected = self.model.get(&key);
                assert!(found.as_deref() == expected.map(Vec::as_slice), "get {key:.20?}");
            }
            90..95 => {
                let found = self.store().get_key_value(&key).unwrap();
                let found = found.map(|(key, value)| (key.to_vec(), value.to_vec()));
                let expected = self.model.get_key_value(&key).map(|(k, v)| (k.clone(), v.clone()));
                assert!(found == expected, "get_key_value {key:.20?}");
            }
            _ => {
                let expected = self.model.contains_key(&key);
                assert_eq!(self.store().contains_key(&key).unwrap(), expected, "contains_key {key:.20?}");
            }
        }
        assert_eq!(self.store().len(), self.model.len() as u64);
    }

    /// Now and then something larger.
    fn seldom(&mut self) {
        // More often while the table grows, which it does only at first.
        let growing = self.store().growth().unwrap().kind.is_some();
        match self.random.below(if growing { 200 } else { 5_000 }) {
            0 => Change::Clear.make_in_both(self.store.as_ref().unwrap(), &mut self.model),
            1..3 => self.store().sync().unwrap(),
            3..6 => self.store().checkpoint().unwrap(),
            6..8 => self.check(),
            8..10 => self.reopen_after_close(),
            10..13 => self.reopen_after_kill(),
            13..15 => self.empty(),
            _ => {}
        }
    }

    /// Removes nearly everything, so that the table shrinks.
    fn empty(&mut self) {
        let mut keys: Vec<_> = self.model.keys().cloned().collect();
        keys.sort();
        keys.retain(|_| !self.random.once_in(20));
        for key in keys {
            Change::Remove(key).make_in_both(self.store.as_ref().unwrap(), &mut self.model);
            if self.store().growth().unwrap().kind == Some(GrowthKind::Shrink) && self.random.once_in(50) {
                self.reopen_after_kill();
            }
        }
    }
}

/// Mostly small, up to 100 KB.
fn random_value(random: &mut Random) -> Vec<u8> {
    let longest = match random.below(2_000) {
        0..1_700 => 64,
        1_700..1_950 => 1_000,
        1_950..1_997 => 4_000,
        _ => 100_000,
    };
    let len = random.below(longest + 1);
    random.bytes(len as usize)
}

/// Stores that begin small and grow to a few thousand entries, one after another.
fn run(options: Options, operations: u64, keys: &[u64]) {
    let (mut kills, mut kills_in_growth, mut kills_in_shrink) = (0, 0, 0);
    for (nth, &keys) in keys.iter().enumerate() {
        let mut pair = Pair::new(&options, keys, 1 + nth as u64);
        for _ in 0..operations {
            pair.step();
            pair.seldom();
        }
        pair.check();
        pair.reopen_after_kill();
        pair.reopen_after_close();
        kills += pair.kills;
        kills_in_growth += pair.kills_in_growth;
        kills_in_shrink += pair.kills_in_shrink;
    }
    assert!(kills > 10 && kills_in_growth > 1, "{kills_in_growth} of {kills} kills in a growth");
    assert!(kills_in_shrink > 1, "{kills_in_shrink} of {kills} kills in a shrink");
}

const KEYS: [u64; 12] = [1, 3, 9, 30, 100, 200, 400, 900, 1_500, 3_000, 6_000, 12_000];

#[test]
fn a_store_without_a_thread_is_the_model() {
    run(Options::new().background(false), 40_000, &KEYS);
}

#[test]
fn a_store_with_a_thread_that_is_always_busy_is_the_model() {
    let options = Options::new()
        .hash(HashKind::Rapid)
        .durability(Durability::Interval(Duration::from_millis(1)))
        .checkpoint_bytes(50_000);
    run(options, 40_000, &KEYS);
}

#[test]
fn a_dense_store_that_checkpoints_all_the_time_is_the_model() {
    let options = Options::new()
        .load_factor(8.0)
        .background(false)
        .durability(Durability::Buffered)
        .verify_reads(false)
        .checkpoint_bytes(100_000)
        .index_memory_limit(64 << 10);
    run(options, 20_000, &KEYS);
}

#[test]
fn a_sparse_store_is_the_model() {
    run(Options::new().load_factor(4.0).capacity(500), 20_000, &KEYS);
}

#[test]
fn a_store_of_colliding_keys_is_the_model() {
    let options = Options::new().hash(HashKind::Colliding).background(false).checkpoint_bytes(200_000);
    run(options, 12_000, &KEYS[..7]);
}

/// Copies the file at every step of a growth, as a kill there would leave it: the copy holds everything, and its
/// growth goes on to the end.
fn kill_at_every_step(
    pair: &mut Pair,
    kind: GrowthKind,
    mut change: impl FnMut(&mut Random) -> Change,
) -> u64 {
    let mut steps = 0;
    loop {
        let drawn = change(&mut pair.random);
        drawn.make_in_both(pair.store.as_ref().unwrap(), &mut pair.model);
        let growth = pair.store().growth().unwrap();
        if growth.kind != Some(kind) {
            if steps > 0 {
                return steps;
            }
            continue;
        }
        steps += 1;
        let killed = pair.place.file("killed.tophash");
        copy_as_if_killed(pair.store(), &pair.path(), &killed);
        check_resumed(pair, &killed, growth.nevacuate);
        std::fs::remove_file(&killed).unwrap();
    }
}

/// The file of a store that was killed while its table grew.
fn check_resumed(pair: &Pair, killed: &std::path::Path, nevacuate: u64) {
    let before = Cells::of(pair.store());
    let reader = Options::new().read_only(true).open(killed).unwrap();
    Cells::of(&reader).assert_same_as(&before);
    drop(reader);

    let store = pair.options.clone().open(killed).unwrap();
    assert!(store.stats().unwrap().recovered);
    assert_eq!(store.growth().unwrap().nevacuate, nevacuate, "the growth is where it was");
    check_equal(&store, &pair.model, (0..pair.keys).map(key));
    Cells::of(&store).assert_same_as(&before);
    // Replacing what is there moves the growth on and adds nothing.
    let mut model = pair.model.clone();
    let keys: Vec<_> = model.keys().cloned().collect();
    for key in keys.into_iter().cycle() {
        if store.growth().unwrap().kind.is_none() {
            break;
        }
        Change::Insert(key, b"later".to_vec()).make_in_both(&store, &mut model);
    }
    check_equal(&store, &model, (0..pair.keys).map(key));
    store.close().unwrap();
}

/// Inserts key after key.
fn next_key(next: &mut u64) -> impl FnMut(&mut Random) -> Change {
    |random| {
        *next += 1;
        let len = random.below(40) as usize;
        Change::Insert(key(*next - 1), random.bytes(len))
    }
}

#[test]
fn a_kill_at_any_step_of_a_doubling_loses_nothing() {
    for hash in [HashKind::Sip13, HashKind::Colliding] {
        let mut pair = Pair::new(&Options::new().hash(hash).background(false), 500, 7);
        let mut next = 0;
        let mut steps = 0;
        while pair.store().growth().unwrap().b < 6 || pair.store().growth().unwrap().kind.is_some() {
            steps += kill_at_every_step(&mut pair, GrowthKind::Double, next_key(&mut next));
        }
        assert!(steps >= 20, "{steps} steps");
    }
}

#[test]
fn a_kill_at_any_step_of_a_doubling_that_a_checkpoint_has_seen_loses_nothing() {
    // A checkpoint in the middle of every growth, so that the replay begins there.
    let options = Options::new().background(false).checkpoint_bytes(400);
    let mut pair = Pair::new(&options, 500, 8);
    let (mut next, mut steps) = (0, 0);
    while pair.store().growth().unwrap().b < 6 || pair.store().growth().unwrap().kind.is_some() {
        steps += kill_at_every_step(&mut pair, GrowthKind::Double, next_key(&mut next));
    }
    assert!(steps >= 20, "{steps} steps");
    assert!(pair.store().info().unwrap().checkpoint_seq >= 20);
}

#[test]
fn a_kill_at_any_step_of_a_growth_to_the_same_size_loses_nothing() {
    for checkpoint_bytes in [u64::MAX, 3_000] {
        let options = Options::new().background(false).checkpoint_bytes(checkpoint_bytes);
        let mut pair = Pair::new(&options, 5_000, 9);
        // A table that is always nearly full, of keys that come and go: its chains grow, each at another time.
        let steps = kill_at_every_step(&mut pair, GrowthKind::SameSize, come_and_go(200, 5_000));
        assert!(steps >= 10, "{steps} steps");
    }
}

#[test]
fn a_kill_at_any_step_of_a_shrink_loses_nothing() {
    for (hash, checkpoint_bytes) in
        [(HashKind::Sip13, u64::MAX), (HashKind::Sip13, 400), (HashKind::Colliding, 400)]
    {
        let options = Options::new().hash(hash).background(false).checkpoint_bytes(checkpoint_bytes);
        let mut pair = Pair::new(&options, 500, 10);
        let (mut next, mut first, mut steps) = (0, 0, 0);
        for _ in 0..220 {
            let insert = next_key(&mut next)(&mut pair.random);
            insert.make_in_both(pair.store.as_ref().unwrap(), &mut pair.model);
        }
        while pair.store().growth().unwrap().b > 2 || pair.store().growth().unwrap().kind.is_some() {
            steps += kill_at_every_step(&mut pair, GrowthKind::Shrink, |random| {
                first += 1;
                // A shrink may begin with the last of the keys, or begin again behind it: one key comes and goes then.
                match first {
                    ..=220 => Change::Remove(key(first - 1)),
                    _ if first % 2 == 0 => Change::Insert(key(0), random.bytes(8)),
                    _ => Change::Remove(key(0)),
                }
            });
        }
        assert!(steps >= 15, "{steps} steps");
    }
}

/// `present` keys of a circle of `keys` are there at any time: the next one is inserted, then the oldest removed.
fn come_and_go(present: u64, keys: u64) -> impl FnMut(&mut Random) -> Change {
    let (mut newest, mut removing) = (0, false);
    move |random| {
        if removing {
            removing = false;
            return Change::Remove(key((newest - present) % keys));
        }
        newest += 1;
        removing = newest > present;
        let len = random.below(40) as usize;
        Change::Insert(key(newest % keys), random.bytes(len))
    }
}

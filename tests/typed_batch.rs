//! Batches of typed maps, in both layouts: on disk whole or not at all, and the table the same cell for cell after a
//! recovery.

mod common;

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use common::cells::Cells;
use common::{Place, Random, copy_beside_headers};
use tophash::sim::{CallKind, Crash, SimDisk};
use tophash::zerocopy::little_endian::U64;
use tophash::zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};
use tophash::{Codec, Durability, Error, Fixed, Key, Map, MapBatch, Options, Set};

/// A type of which tests make as many values as they like.
trait Numbered: Codec<Owned: Eq + Hash + Clone + Debug + Send + Sync> {
    fn number(n: u64) -> Self::Owned;
}

impl Numbered for u64 {
    fn number(n: u64) -> u64 {
        Random(n).next()
    }
}

impl Numbered for () {
    fn number(_: u64) {}
}

impl Numbered for str {
    fn number(n: u64) -> String {
        n.to_string().repeat(n as usize % 7 + 1)
    }
}

impl<const N: usize> Numbered for [u8; N] {
    fn number(n: u64) -> [u8; N] {
        Random(n).bytes(N).try_into().unwrap()
    }
}

/// A value whose halves a reader may not see of two moments.
#[derive(FromBytes, IntoBytes, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct Twice {
    word: U64,
    negated: U64,
}

impl Fixed for Twice {
    const NAME: &str = "twice";
}

type Model<K, V> = HashMap<<K as Codec>::Owned, <V as Codec>::Owned>;

fn content<K: Key + Numbered + ?Sized, V: Numbered + ?Sized>(map: &Map<K, V>) -> Model<K, V> {
    let report = map.verify().unwrap();
    assert!(report.is_clean(), "{:?}", report.faults);
    let content: Model<K, V> = map.iter().map(Result::unwrap).collect();
    assert_eq!(content.len() as u64, map.len(), "no entry appears twice");
    content
}

/// A batch, and the model as it leaves that.
struct Change<K: Key + Numbered + ?Sized, V: Numbered + ?Sized> {
    batch: MapBatch<K, V>,
    model: Model<K, V>,
}

impl<K: Key + Numbered + ?Sized, V: Numbered + ?Sized> Change<K, V> {
    fn of(model: &Model<K, V>) -> Self {
        Change { batch: MapBatch::new(), model: model.clone() }
    }

    fn put(&mut self, n: u64, value: u64) {
        self.batch.put(K::number(n), V::number(value)).unwrap();
        self.model.insert(K::number(n), V::number(value));
    }

    fn remove(&mut self, n: u64) {
        self.batch.remove(std::borrow::Borrow::borrow(&K::number(n))).unwrap();
        self.model.remove::<K::Owned>(&K::number(n));
    }

    fn clear(&mut self) {
        self.batch.clear();
        self.model.clear();
    }
}

/// At every call of the disk, and at some of the stores into its mapped memory.
fn crash_at_any_step<K, V>()
where
    K: Key + Numbered + ?Sized + 'static,
    V: Numbered + ?Sized + 'static,
{
    let options = |disk: &SimDisk| Options::new().media(disk.clone()).background(false).seed(1);
    for (first, len, clears) in
        [(0, 5, false), (20, 40, false), (52, 3, false), (0, 300, false), (30, 9, true)]
    {
        let disk = SimDisk::new(7);
        let map = options(&disk).open_map::<K, V>("a.tophash").unwrap();
        let mut before = Change::<K, V>::of(&Model::<K, V>::new());
        (0..first).for_each(|n| before.put(n, n));
        before.model.iter().for_each(|(key, value)| drop(map.insert(key.clone(), value.clone()).unwrap()));
        map.sync().unwrap();
        let before = before.model;
        let mut change = Change::of(&before);
        if clears {
            change.clear();
        }
        (0..first / 4).for_each(|n| change.remove(n));
        (first / 2..first + len).for_each(|n| change.put(n, n + 1_000));

        let models = Arc::new([before, change.model.clone()]);
        let seen = Arc::new([const { AtomicU32::new(0) }; 2]);
        let (expected, counted) = (Arc::clone(&models), Arc::clone(&seen));
        disk.on_call(move |disk, call| {
            if call.kind == CallKind::Store && call.number % 7 > 1 {
                return;
            }
            for crash in [Crash::Kill, Crash::Power] {
                let left = disk.crash(call.number, crash);
                let found = content(&options(&left).read_only(true).open_map::<K, V>("a.tophash").unwrap());
                let which = expected.iter().position(|model| *model == found);
                let which = which.unwrap_or_else(|| panic!("{} entries at {call:?}, {crash:?}", found.len()));
                counted[which].fetch_add(1, Ordering::Relaxed);
            }
        });
        map.apply(&change.batch).unwrap();
        map.sync().unwrap();
        disk.off_call();
        let seen = seen.each_ref().map(|count| count.load(Ordering::Relaxed));
        assert!(seen[0] > 0 && seen[1] > 0, "without the batch, and with it: {seen:?}");
        let again = options(&disk.crash(3, Crash::Kill)).open_map::<K, V>("a.tophash").unwrap();
        assert_eq!(content(&again), change.model);
        Cells::of(&again).assert_same_as(&Cells::of(&map));
    }
}

#[test]
fn a_crash_leaves_all_of_a_batch_of_words_or_nothing() {
    crash_at_any_step::<u64, u64>();
}

#[test]
fn a_crash_leaves_all_of_a_batch_of_odd_cells_or_nothing() {
    crash_at_any_step::<[u8; 20], [u8; 40]>();
}

#[test]
fn a_crash_leaves_all_of_a_batch_of_a_set_or_nothing() {
    crash_at_any_step::<[u8; 7], ()>();
}

#[test]
fn a_crash_leaves_all_of_a_batch_in_records_or_nothing() {
    crash_at_any_step::<str, u64>();
}

/// Batches and single writes, of few changes and of many, at every step of growths and shrinks.
fn tables_come_back<K: Key + Numbered + ?Sized, V: Numbered + ?Sized>() {
    let place = Place::in_memory();
    let (path, killed) = (place.file("a.tophash"), place.file("killed.tophash"));
    let map = Options::new().background(false).seed(3).open_map::<K, V>(&path).unwrap();
    let (mut model, mut random, mut next) = (Model::<K, V>::new(), Random(5), 0);
    let (mut begun_by_batch, mut in_growth) = (0, 0);
    for round in 0..700 {
        let growing = || map.growth().unwrap().kind.is_some();
        let before = growing();
        let mut change = Change::of(&model);
        // The table is filled and emptied in turns.
        let removals = if round % 350 < 200 { 6 } else { 1 };
        let most = if random.once_in(20) { 120 } else { 9 };
        for _ in 0..random.below(most) + 1 {
            next += 1;
            match random.below(7) {
                _ if random.once_in(6_000) => change.clear(),
                kind if kind >= removals => {
                    (0..3).for_each(|_| change.remove(random.below(next)));
                }
                0 => change.put(random.below(next), next),
                _ => change.put(next, next),
            }
        }
        if random.once_in(2) {
            map.apply(&change.batch).unwrap();
            begun_by_batch += u32::from(!before && growing());
            model = change.model;
        } else {
            next += 1;
            map.insert(K::number(next), V::number(next)).unwrap();
            model.insert(K::number(next), V::number(next));
        }
        if random.once_in(40) {
            map.checkpoint().unwrap();
        }
        if random.once_in(if before { 3 } else { 20 }) {
            in_growth += u32::from(before);
            copy_beside_headers(|| map.info().unwrap().sequence, &path, &killed);
            let again = Options::new().read_only(true).open_map::<K, V>(&killed).unwrap();
            Cells::of(&again).assert_same_as(&Cells::of(&map));
            assert_eq!(content(&again), model);
        }
    }
    assert_eq!(content(&map), model);
    assert!(begun_by_batch > 2 && in_growth > 5, "{begun_by_batch} begun, {in_growth} while growing");
}

#[test]
fn tables_of_words_come_back_cell_for_cell() {
    tables_come_back::<u64, u64>();
}

#[test]
fn tables_of_odd_cells_come_back_cell_for_cell() {
    tables_come_back::<[u8; 5], [u8; 33]>();
}

#[test]
fn tables_of_sets_come_back_cell_for_cell() {
    tables_come_back::<[u8; 16], ()>();
}

#[test]
fn a_thousand_entries_take_one_sync_and_one_frame() {
    let disk = SimDisk::new(1);
    let options = Options::new().media(disk.clone()).background(false).durability(Durability::Immediate);
    let map = options.capacity(2_000).open_map::<u32, [u8; 20]>("a.tophash").unwrap();
    map.insert(u32::MAX, [0; 20]).unwrap();
    let (syncs, bytes) =
        (disk.counters().calls(CallKind::Sync), map.stats().unwrap().log_bytes_since_checkpoint);
    map.insert_many((0..1000).map(|n| (n, [7; 20]))).unwrap();
    assert_eq!(disk.counters().calls(CallKind::Sync), syncs + 1);
    let appended = map.stats().unwrap().log_bytes_since_checkpoint - bytes;
    assert_eq!(appended, 24 + 1000 * (8 + 4 + 20), "a batch record, and a record for each change");
}

#[test]
fn a_batch_that_is_cut_off_in_the_log_is_not_there() {
    let place = Place::in_memory();
    let (path, copy) = (place.file("a.tophash"), place.file("copy.tophash"));
    let map = Options::new().background(false).seed(4).open_map::<u64, u64>(&path).unwrap();
    map.insert_many((0..5).map(|n| (n, n))).unwrap();
    let read = || {
        copy_beside_headers(|| map.info().unwrap().sequence, &path, &copy);
        std::fs::read(&copy).unwrap()
    };
    let before = read();
    let mut batch = map.batch();
    batch.put(0, 10).unwrap().remove(&1).unwrap().put(7, 70).unwrap();
    map.apply(&batch).unwrap();
    let after = read();
    let differs: Vec<_> = (0..after.len()).filter(|&at| before[at] != after[at]).collect();
    for &at in &differs {
        let mut torn = after.clone();
        torn[at..=differs[differs.len() - 1]].copy_from_slice(&before[at..=differs[differs.len() - 1]]);
        std::fs::write(&copy, torn).unwrap();
        let map = Options::new().read_only(true).open_map::<u64, u64>(&copy).unwrap();
        assert_eq!(content(&map), (0..5).map(|n| (n, n)).collect(), "cut off at {at}");
    }
    assert_eq!(content(&map), HashMap::from([(0, 10), (2, 2), (3, 3), (4, 4), (7, 70)]));
}

#[test]
fn readers_find_what_a_batch_leaves_alone_and_old_values_or_new_ones_of_the_rest() {
    let place = Place::new();
    let map = Map::<u64, Twice>::open(place.file("a.tophash")).unwrap();
    let value = |n: u64| Twice { word: n.into(), negated: (!n).into() };
    map.insert_many((0..2_000).map(|n| (n, value(0)))).unwrap();
    let done = Mutex::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..60 {
                let mut batch = map.batch();
                (0..1_000).for_each(|n| _ = batch.put(n, value(round)).unwrap());
                (round * 500..round * 500 + 500).for_each(|n| _ = batch.put(10_000 + n, value(n)).unwrap());
                (round * 500 - 500..round * 500).for_each(|n| _ = batch.remove(&(10_000 + n)).unwrap());
                map.apply(&batch).unwrap();
            }
            *done.lock().unwrap() = true;
        });
        let mut last = 0;
        while !*done.lock().unwrap() {
            for (n, found) in (0..2_000).zip(map.get_many(0..2_000)) {
                let Twice { word, negated } = found.unwrap().expect("it is there throughout");
                assert_eq!(word.get(), !negated.get(), "halves of two values");
                assert!(n < 1_000 || word.get() == 0);
                assert!(n > 0 || word.get() >= std::mem::replace(&mut last, word.get()), "time goes back");
            }
        }
    });
}

#[test]
fn what_a_codec_refuses_changes_neither_batch_nor_map() {
    struct Short;
    impl Codec for Short {
        type Ref = u8;
        type Owned = u8;
        const WIDTH: Option<u32> = Some(2);
        fn type_name() -> std::borrow::Cow<'static, str> {
            "short".into()
        }
        fn encode(value: &u8) -> tophash::Result<impl AsRef<[u8]>> {
            Ok(vec![*value; usize::from(*value)])
        }
        fn decode(bytes: &[u8]) -> tophash::Result<u8> {
            Ok(bytes[0])
        }
    }
    let place = Place::new();
    let map = Map::<u64, Short>::open(place.file("a.tophash")).unwrap();
    let mut batch = map.batch();
    batch.put(1, 2).unwrap();
    assert!(matches!(batch.put(2, 3), Err(Error::Width { expected: 2, found: 3, .. })));
    assert_eq!(batch.len(), 1);
    assert!(matches!(map.insert_many([(3, 2), (4, 1)]), Err(Error::Width { .. })));
    assert!(map.is_empty());
    map.apply(&batch).unwrap();
    assert_eq!(map.get(&1).unwrap(), Some(2));
}

#[test]
fn a_set_changes_together() {
    let place = Place::new();
    let set = Set::<u64>::open(place.file("a.tophash")).unwrap();
    set.insert_many([1, 2, 3]).unwrap();
    let mut batch = set.batch();
    batch.insert(4).unwrap().remove(&1).unwrap().remove(&9).unwrap();
    set.apply(&batch).unwrap();
    let mut keys = set.iter().collect::<tophash::Result<Vec<_>>>().unwrap();
    keys.sort_unstable();
    assert_eq!(keys, [2, 3, 4]);
    batch.clear().insert(7).unwrap();
    set.apply(&batch).unwrap();
    assert_eq!(set.iter().collect::<tophash::Result<Vec<_>>>().unwrap(), [7]);
}

#[test]
fn what_is_not_for_writing_takes_no_batch() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let map = Map::<u64, u64>::open(&path).unwrap();
    map.insert(1, 1).unwrap();
    map.close().unwrap();
    let map = Options::new().read_only(true).open_map::<u64, u64>(&path).unwrap();
    assert!(matches!(map.insert_many([(2, 2)]), Err(Error::ReadOnly)));
    assert_eq!(map.get_many([1, 2]).map(Result::unwrap).collect::<Vec<_>>(), [Some(1), None]);
}

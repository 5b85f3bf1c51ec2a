//! Batches: on disk whole or not at all, the table the same cell for cell after a recovery, nothing changed by one that
//! fails.

mod common;

use std::ops::Range;
use std::path::Path;

use common::cells::Cells;
use common::{Change, Model, Place, Random, check_equal, copy_as_if_killed, key};
use tophash::report::GrowthKind;
use tophash::sim::{CallKind, Crash, Failure, Fault, SimDisk, When};
use tophash::{Batch, Durability, Error, HashKind, Options, Result, Store};

fn add(batch: &mut Batch, change: &Change) {
    match change {
        Change::Insert(key, value) => batch.put(key, value),
        Change::Remove(key) => batch.remove(key),
        Change::Clear => batch.clear(),
    };
}

/// Makes the changes in both, in the store as one batch.
fn apply(store: &Store, model: &mut Model, changes: &[Change]) -> Result<()> {
    let mut batch = Batch::new();
    changes.iter().for_each(|change| add(&mut batch, change));
    store.apply(&batch)?;
    changes.iter().for_each(|change| drop(change.apply_to(model)));
    Ok(())
}

fn put(n: u64, len: usize) -> Change {
    Change::Insert(key(n), Random(n).bytes(len))
}

#[track_caller]
fn check_cells_after_kill(store: &Store, place: &Place, path: &Path) {
    let killed = place.file("killed.tophash");
    copy_as_if_killed(store, path, &killed);
    let again = Options::new().read_only(true).open(&killed).unwrap();
    Cells::of(&again).assert_same_as(&Cells::of(store));
    let live = |store: &Store| store.stats().unwrap().log_live_bytes;
    assert_eq!(live(&again), live(store), "live bytes");
}

#[test]
fn the_last_change_of_a_key_counts() {
    let place = Place::new();
    let store = Store::open(place.file("a.tophash")).unwrap();
    store.insert("removed", "before").unwrap();
    store.insert("replaced", "before").unwrap();
    let mut batch = Batch::new();
    batch.put("twice", "1").put("twice", "2").put("gone", "1").remove("gone");
    batch.remove("back").put("back", "1").remove("removed").remove("never there").put("replaced", "1");
    for _ in 0..2 {
        store.apply(&batch).unwrap();
        let model = [("twice", "2"), ("back", "1"), ("replaced", "1")];
        let model = model.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        check_equal(&store, &model, [b"gone".to_vec(), b"removed".to_vec(), b"never there".to_vec()]);
    }
    batch.clear().put("alone", "1").remove("alone").put("alone", "2");
    assert_eq!(batch.len(), 4);
    store.apply(&batch).unwrap();
    check_equal(&store, &Model::from([(b"alone".to_vec(), b"2".to_vec())]), [b"twice".to_vec()]);
}

#[test]
fn what_changes_nothing_appends_nothing() {
    let place = Place::new();
    let store = Options::new().background(false).open(place.file("a.tophash")).unwrap();
    store.insert("key", "value").unwrap();
    let before = store.stats().unwrap().log_bytes_since_checkpoint;
    store.apply(&Batch::new()).unwrap();
    store.apply(Batch::new().remove("absent").remove("as well")).unwrap();
    assert_eq!(store.stats().unwrap().log_bytes_since_checkpoint, before);
}

#[test]
fn a_thousand_changes_take_one_sync_and_one_frame() {
    let disk = SimDisk::new(1);
    let options = Options::new().media(disk.clone()).background(false).durability(Durability::Immediate);
    let store = options.capacity(2_000).open("a.tophash").unwrap();
    store.insert("the session has begun", "").unwrap();
    let (syncs, bytes) =
        (disk.counters().calls(CallKind::Sync), store.stats().unwrap().log_bytes_since_checkpoint);
    store.insert_many((0..1000u32).map(|n| (n.to_le_bytes(), [7; 20]))).unwrap();
    assert_eq!(disk.counters().calls(CallKind::Sync), syncs + 1);
    let appended = store.stats().unwrap().log_bytes_since_checkpoint - bytes;
    assert_eq!(appended, 24 + 1000 * (8 + 4 + 20), "a batch record, and a record for each change");
}

/// Random batches, sizes, ends of sessions.
fn run(options: &Options, keys: u64, batches: u64, most: u64, clear_once_in: u64) {
    let place = Place::in_memory();
    let options = options.clone().background(false).seed(9);
    let (mut random, mut model, mut generation) = (Random(keys), Model::new(), 0);
    let path = |generation: u32| place.file(&format!("{generation}.tophash"));
    let mut store = options.clone().open(path(0)).unwrap();
    let mut kills = 0;
    for _ in 0..batches {
        let len = random.below(most) + 1;
        let removals = random.below(100);
        let change = |random: &mut Random| match random.below(100) {
            _ if random.once_in(clear_once_in) => Change::Clear,
            n if n < removals => Change::Remove(key(random.below(keys))),
            99 => put(random.below(keys), 70_000),
            _ => put(random.below(keys), random.below(50) as usize),
        };
        let changes: Vec<_> = (0..len).map(|_| change(&mut random)).collect();
        apply(&store, &mut model, &changes).unwrap();
        for _ in 0..random.below(3) {
            change(&mut random).make_in_both(&store, &mut model);
        }
        match random.below(8) {
            0 => store.checkpoint().unwrap(),
            1 => {
                store.close().unwrap();
                store = options.clone().open(path(generation)).unwrap();
            }
            2 | 3 => {
                kills += 1;
                check_cells_after_kill(&store, &place, &path(generation));
                copy_as_if_killed(&store, &path(generation), &path(generation + 1));
                drop(store);
                std::fs::remove_file(path(generation)).unwrap();
                generation += 1;
                store = options.clone().open(path(generation)).unwrap();
            }
            _ => continue,
        }
        check_equal(&store, &model, (0..keys.min(200)).map(key));
    }
    check_equal(&store, &model, (0..keys).map(key));
    assert!(kills > 0);
}

#[test]
fn batches_and_their_model_agree_about_few_keys() {
    run(&Options::new(), 60, 600, 30, 200);
}

#[test]
fn batches_and_their_model_agree_about_many_keys() {
    run(&Options::new(), 3_000, 300, 200, 4_000);
}

#[test]
fn batches_and_their_model_agree_about_large_batches() {
    run(&Options::new(), 100_000, 25, 8_000, 50_000);
}

#[test]
fn batches_of_colliding_keys_agree_with_their_model() {
    run(&Options::new().hash(HashKind::Colliding), 250, 120, 40, 500);
}

/// Batches of a few changes at every step of growths that single writes or batches began.
#[test]
fn batches_while_a_growth_is_under_way_come_back_cell_for_cell() {
    let place = Place::in_memory();
    let path = place.file("a.tophash");
    let store = Options::new().background(false).seed(3).open(&path).unwrap();
    let (mut model, mut random, mut next) = (Model::new(), Random(5), 0);
    let (mut begun_by_batch, mut in_growth) = (0, 0);
    for _ in 0..2_500 {
        let changes: Vec<_> = (0..random.below(7) + 1)
            .map(|_| {
                next += u64::from(!random.once_in(4));
                if random.once_in(5) { Change::Remove(key(random.below(next))) } else { put(next, 9) }
            })
            .collect();
        let growing = |store: &Store| store.growth().unwrap().kind.is_some();
        let before = growing(&store);
        if random.once_in(2) {
            apply(&store, &mut model, &changes).unwrap();
            begun_by_batch += u32::from(!before && growing(&store));
        } else {
            changes.iter().for_each(|change| change.make_in_both(&store, &mut model));
        }
        if before && random.once_in(3) {
            in_growth += 1;
            check_cells_after_kill(&store, &place, &path);
        }
    }
    check_equal(&store, &model, []);
    assert!(begun_by_batch > 2 && in_growth > 50, "{begun_by_batch} begun, {in_growth} while growing");
}

/// Chains that were long, and most of whose cells are empty: the table grows to the same size.
#[test]
fn a_batch_begins_a_growth_to_the_same_size() {
    let place = Place::in_memory();
    let path = place.file("a.tophash");
    let options = Options::new().background(false).seed(3).capacity(4_000);
    let store = options.load_factor(8.0).open(&path).unwrap();
    let (mut model, mut next) = (Model::new(), 0);
    while store.growth().unwrap().kind.is_none() {
        assert!(next < 200_000, "no growth in {next} entries");
        let mut changes: Vec<_> = (next..next + 100).map(|n| put(n, 3)).collect();
        changes
            .extend((next.saturating_sub(3_900)..next.saturating_sub(3_800)).map(|n| Change::Remove(key(n))));
        apply(&store, &mut model, &changes).unwrap();
        next += 100;
    }
    assert_eq!(store.growth().unwrap().kind, Some(tophash::report::GrowthKind::SameSize));
    check_cells_after_kill(&store, &place, &path);
    apply(&store, &mut model, &[put(next, 3)]).unwrap();
    check_cells_after_kill(&store, &place, &path);
    check_equal(&store, &model, []);
}

#[test]
fn batches_that_remove_shrink_the_table() {
    let (place, mut model) = (Place::new(), Model::new());
    let path = place.file("a.tophash");
    let store = Options::new().background(false).open(&path).unwrap();
    apply(&store, &mut model, &(0..3000).map(|n| put(n, 8)).collect::<Vec<_>>()).unwrap();
    let (full, mut shrinks) = (store.growth().unwrap().b, 0);
    for first in (0..2960).step_by(20) {
        let removals: Vec<_> = (first..first + 20).map(|n| Change::Remove(key(n))).collect();
        apply(&store, &mut model, &removals).unwrap();
        if store.growth().unwrap().kind == Some(GrowthKind::Shrink) {
            shrinks += 1;
            check_cells_after_kill(&store, &place, &path);
        }
    }
    // Batches go on with a shrink, be it with puts and removals in one.
    for n in 0..300 {
        apply(&store, &mut model, &[put(n % 20, 8), Change::Remove(key(n % 20 + 20))]).unwrap();
        apply(&store, &mut model, &[Change::Remove(key(n % 20))]).unwrap();
    }
    let b = store.growth().unwrap().b;
    assert!(shrinks > 0 && b + 3 <= full, "from B = {full} to {b}, {shrinks} times in a shrink");
    check_cells_after_kill(&store, &place, &path);
    check_equal(&store, &model, (0..3000).map(key));
    assert!(store.verify().unwrap().is_clean());
}

#[test]
fn a_batch_larger_than_a_segment_has_one_of_its_own() {
    let place = Place::in_memory();
    let path = place.file("a.tophash");
    let store = Options::new().background(false).open(&path).unwrap();
    let mut model = Model::new();
    apply(&store, &mut model, &(0..10).map(|n| put(n, 100)).collect::<Vec<_>>()).unwrap();
    // Values of all sizes, six MiB in all, where segments have 64 KiB.
    let changes: Vec<_> =
        (0..60_000).map(|n| put(n, 40 + (n % 80) as usize)).chain([put(0, 1 << 20)]).collect();
    apply(&store, &mut model, &changes).unwrap();
    check_cells_after_kill(&store, &place, &path);
    apply(&store, &mut model, &(0..10).map(|n| put(n, 100)).collect::<Vec<_>>()).unwrap();
    store.close().unwrap();
    check_equal(&Store::open(&path).unwrap(), &model, []);
}

/// A store as it was before a batch and after it, and where in its file the batch lies.
struct Batched {
    place: Place,
    before: Vec<u8>,
    after: Vec<u8>,
    bytes: Range<usize>,
    model: Model,
    model_after: Model,
}

impl Batched {
    fn new(changes: &[Change], synced: bool) -> Self {
        let place = Place::in_memory();
        let (path, copy) = (place.file("a.tophash"), place.file("copy.tophash"));
        let store = Options::new().background(false).seed(4).open(&path).unwrap();
        let mut model = Model::new();
        (0..5).for_each(|n| put(n, 20).make_in_both(&store, &mut model));
        let read = || {
            copy_as_if_killed(&store, &path, &copy);
            std::fs::read(&copy).unwrap()
        };
        let before = read();
        let mut model_after = model.clone();
        apply(&store, &mut model_after, changes).unwrap();
        let without_mark = read();
        if synced {
            store.sync().unwrap();
        }
        let after = read();
        let differs = |at: &usize| before.get(*at) != without_mark.get(*at);
        let first = (0..without_mark.len()).find(differs).unwrap();
        let last = (0..without_mark.len()).rev().find(differs).unwrap();
        Batched { place, before, after, bytes: first - first % 8..last + 1, model, model_after }
    }

    fn open(&self, bytes: &[u8], read_only: bool) -> Result<Store> {
        let path = self.place.file("b.tophash");
        std::fs::write(&path, bytes).unwrap();
        Options::new().background(false).read_only(read_only).open(path)
    }
}

#[test]
fn a_batch_torn_at_any_byte_is_not_there() {
    let long = Change::Insert(key(11), Random(11).bytes(66_000));
    let changes = [put(1, 30), Change::Remove(key(2)), put(9, 0), put(3, 5), long];
    let batched = Batched::new(&changes[..4], false);
    for at in batched.bytes.clone() {
        let mut torn = batched.after.clone();
        torn[at..batched.bytes.end].copy_from_slice(&batched.before[at..batched.bytes.end]);
        let writable = at.is_multiple_of(5);
        let store = batched.open(&torn, !writable).unwrap();
        let whole = torn == batched.after;
        check_equal(&store, if whole { &batched.model_after } else { &batched.model }, [key(9)]);
        if writable {
            // It goes on behind the torn batch, and nothing of that comes back.
            store.insert("later", "1").unwrap();
            store.apply(Batch::new().put("together", "2")).unwrap();
            drop(store);
            let mut model = if whole { batched.model_after.clone() } else { batched.model.clone() };
            model.extend([(b"later".to_vec(), b"1".to_vec()), (b"together".to_vec(), b"2".to_vec())]);
            check_equal(&Store::open(batched.place.file("b.tophash")).unwrap(), &model, [key(9)]);
        }
    }
    // In a segment of its own, behind what was the file.
    let batched = Batched::new(&changes, false);
    for at in (batched.before.len()..batched.bytes.end).step_by(997) {
        let mut torn = batched.after.clone();
        torn[at..].fill(0);
        let model = if torn == batched.after { &batched.model_after } else { &batched.model };
        check_equal(&batched.open(&torn, true).unwrap(), model, [key(9)]);
    }
}

#[test]
fn damage_in_a_synced_batch_is_no_torn_tail() {
    let batched = Batched::new(&[put(1, 30), Change::Remove(key(2)), put(9, 3), put(3, 5)], true);
    check_equal(&batched.open(&batched.after, true).unwrap(), &batched.model_after, []);
    for at in batched.bytes.clone() {
        // Padding means nothing.
        if batched.after[at] == 0 {
            continue;
        }
        let mut damaged = batched.after.clone();
        damaged[at] ^= 0x10;
        match batched.open(&damaged, true) {
            Err(Error::Corrupt { what: "log", offset, .. }) => assert_eq!(offset, batched.bytes.start as u64),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

/// At every call of the disk, and between two stores into its mapped memory.
#[test]
fn a_crash_at_any_step_leaves_all_of_a_batch_or_nothing() {
    let options = |disk: &SimDisk| Options::new().media(disk.clone()).background(false).seed(1);
    for (first, len) in [(0, 5), (20, 40), (24, 3), (0, 300)] {
        let disk = SimDisk::new(7);
        let store = options(&disk).open("a.tophash").unwrap();
        let mut before = Model::new();
        (0..first).for_each(|n| put(n, 20).make_in_both(&store, &mut before));
        store.sync().unwrap();
        let removals = (0..first / 4).map(|n| Change::Remove(key(n)));
        let changes: Vec<_> = removals.chain((first..first + len).map(|n| put(n, 300))).collect();
        let mut after = before.clone();
        changes.iter().for_each(|change| drop(change.apply_to(&mut after)));
        let (its_before, its_after) = (before.clone(), after.clone());
        let cells = std::sync::Mutex::new(0);
        disk.on_call(move |disk, call| {
            if call.kind == CallKind::Store && call.number % 7 > 1 {
                return;
            }
            for crash in [Crash::Kill, Crash::Power] {
                let left = disk.crash(call.number, crash);
                let store = options(&left).read_only(true).open("a.tophash").unwrap();
                let model = if store.len() == its_before.len() as u64 { &its_before } else { &its_after };
                check_equal(&store, model, []);
            }
            *cells.lock().unwrap() += 1;
        });
        apply(&store, &mut before, &changes).unwrap();
        disk.off_call();
        assert!(before == after);
        check_equal(&options(&disk.crash(3, Crash::Kill)).open("a.tophash").unwrap(), &after, []);
    }
}

/// Whatever is refused, the batch is not there, also not in the log; and once there is room, it is.
#[test]
fn a_batch_without_room_changes_nothing() {
    let mut refused = 0;
    for number in 0..12 {
        for kind in [CallKind::Allocate, CallKind::Map, CallKind::SetLength] {
            let disk = SimDisk::new(7);
            let options = || Options::new().media(disk.clone()).background(false).seed(1);
            let store = options().open("a.tophash").unwrap();
            let mut model = Model::new();
            (0..50).for_each(|n| put(n, 200).make_in_both(&store, &mut model));
            let changes: Vec<_> =
                (0..25).map(|n| Change::Remove(key(n))).chain((50..900).map(|n| put(n, 150))).collect();
            let before = model.clone();
            disk.fail(Fault { when: When::From(number), kind: Some(kind), failure: Failure::NoSpace });
            let applied = apply(&store, &mut model, &changes);
            refused += u32::from(applied.is_err());
            if let Err(error) = applied {
                assert!(matches!(error, Error::NoSpace { .. }), "{error}");
                assert!(model == before);
            }
            disk.heal();
            check_equal(&store, &model, []);
            let killed =
                Options::new().media(disk.crash(1, Crash::Kill)).read_only(true).open("a.tophash").unwrap();
            Cells::of(&killed).assert_same_as(&Cells::of(&store));
            apply(&store, &mut model, &changes).unwrap();
            check_equal(&store, &model, []);
        }
    }
    assert!(refused > 3, "{refused}");
}

#[test]
fn a_batch_with_something_too_large_changes_nothing() {
    let place = Place::new();
    let store = Store::open(place.file("a.tophash")).unwrap();
    let mut batch = Batch::new();
    batch.put("fits", "value").put(vec![7; (16 << 20) + 1], "value");
    assert!(matches!(store.apply(&batch), Err(Error::TooLarge { what: "a key", .. })));
    assert!(store.is_empty());
}

#[test]
fn a_batch_over_a_damaged_record_changes_nothing() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let values = common::insert_to_be_damaged(Options::new().background(false).seed(5).open(&path).unwrap());
    common::damage(&path, &values[20]);
    common::damage(&path, &values[30]);
    let store = Options::new().background(false).open(&path).unwrap();
    let batch = |n| Batch::from_iter([(key(90), &b"new"[..]), (key(n), b"other")]);
    let error = store.apply(&batch(20)).expect_err("its key can't be read");
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(!store.contains_key(key(90)).unwrap());
    // Of the large value the key is whole, and nobody asks for the value.
    store.apply(&batch(30)).unwrap();
    assert_eq!(store.get(key(30)).unwrap().as_deref(), Some(&b"other"[..]));
}

#[test]
fn what_is_not_for_writing_takes_no_batch() {
    let place = Place::new();
    let path = place.file("a.tophash");
    Store::open(&path).unwrap().insert("key", "value").unwrap();
    let store = Options::new().read_only(true).open(&path).unwrap();
    assert!(matches!(store.apply(Batch::new().put("key", "other")), Err(Error::ReadOnly)));
    assert!(matches!(store.insert_many([("key", "other")]), Err(Error::ReadOnly)));
}

#[test]
fn try_extend_goes_on_in_batches() {
    let place = Place::new();
    let store = Store::open(place.file("a.tophash")).unwrap();
    let entries = |count: u64| (0..count).map(|n| (key(n), Random(n).bytes(10)));
    for count in [0, 1, 1000, 1001, 2500] {
        store.clear().unwrap();
        assert_eq!(store.try_extend(entries(count)).unwrap(), count);
        check_equal(&store, &entries(count).collect(), []);
    }
    // The third batch is refused: the two before it stay.
    store.clear().unwrap();
    let too_large = (vec![0; (16 << 20) + 1], Vec::new());
    let entries = entries(2_500).chain([too_large]);
    assert!(matches!(store.try_extend(entries), Err(Error::TooLarge { .. })));
    assert_eq!(store.len(), 2000);
}

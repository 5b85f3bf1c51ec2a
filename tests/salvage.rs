//! Salvage: what comes out of a damaged file was once stored under its key, the newest of it that is whole; and the
//! damaged file stays as it was.

mod common;

use std::collections::{HashMap, HashSet};

use common::{Model, Place, Random};
use tophash::report::{Extent, Salvaged};
use tophash::sim::SimDisk;
use tophash::{Error, Options, Result, Salvage, Store};

const OLD: &str = "damaged.tophash";
const NEW: &str = "new.tophash";
const SLOTS: [usize; 2] = [0, 4096];

/// A closed store's file, what is in it, and what ever was.
struct Sample {
    bytes: Vec<u8>,
    model: Model,
    ever: HashMap<Vec<u8>, HashSet<Vec<u8>>>,
    extents: Vec<Extent>,
}

/// Old versions stay where they are, unless all of their segment is dead.
fn on(disk: &SimDisk) -> Options {
    Options::new().media(disk.clone()).background(false).max_dead_ratio(1.0)
}

impl Sample {
    /// Several segments, replaced and removed keys, large values, a clear early on, and a growth under way. In each
    /// segment something is live, so that none is given up.
    fn new() -> Self {
        let disk = SimDisk::new(1);
        let store = on(&disk).checkpoint_bytes(100_000).open(OLD).unwrap();
        let mut sample =
            Sample { bytes: Vec::new(), model: Model::new(), ever: HashMap::new(), extents: Vec::new() };
        let mut random = Random(5);
        for n in 0..3_000u64 {
            if n % 20 == 6 {
                let (key, value) = (format!("resident {n}").into_bytes(), random.bytes(30));
                store.insert(&key, &value).unwrap();
                sample.ever.entry(key.clone()).or_default().insert(value.clone());
                sample.model.insert(key, value);
            }
            let key = format!("key {}", random.below(900)).into_bytes();
            let len = if n % 300 == 7 { 70_000 } else { random.below(200) as usize };
            let value = random.bytes(len);
            match n {
                5 => {
                    store.clear().unwrap();
                    sample.model.clear();
                }
                _ if random.once_in(6) => {
                    store.remove(&key).unwrap();
                    sample.model.remove(&key);
                }
                _ => {
                    store.insert(&key, &value).unwrap();
                    sample.ever.entry(key.clone()).or_default().insert(value.clone());
                    sample.model.insert(key, value);
                }
            }
        }
        store.close().unwrap();
        sample.bytes = disk.contents(OLD).unwrap();
        sample.extents = on(&disk).read_only(true).open(OLD).unwrap().info().unwrap().extents;
        sample
    }

    fn extents(&self, what: &str) -> impl Iterator<Item = &Extent> {
        self.extents.iter().filter(move |extent| extent.what == what)
    }

    /// Salvages these bytes; what is in the new store, and the report.
    fn salvage(&self, bytes: &[u8]) -> Result<(Model, Salvaged)> {
        salvage(bytes, |salvage| salvage)
    }

    /// Everything that was salvaged was once stored.
    #[track_caller]
    fn assert_genuine(&self, found: &Model) {
        for (key, value) in found {
            assert!(self.ever.get(key).is_some_and(|values| values.contains(value)), "{key:?}");
        }
    }
}

/// Salvages these bytes on a disk of their own.
#[track_caller]
fn salvage(bytes: &[u8], how: impl FnOnce(Salvage<'_>) -> Salvage<'_>) -> Result<(Model, Salvaged)> {
    let disk = SimDisk::new(2);
    disk.put(OLD, bytes);
    let result = how(Salvage::new(OLD, NEW).options(on(&disk))).run();
    assert!(disk.contents(OLD).unwrap() == bytes, "the damaged file has changed");
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            assert!(disk.contents(NEW).is_none(), "{error}, and a new file");
            return Err(error);
        }
    };
    let store = on(&disk).create(false).open(NEW).unwrap();
    assert!(store.verify().unwrap().is_clean());
    assert_eq!(report.entries, store.len());
    Ok((entries(&store), report))
}

fn entries(store: &Store) -> Model {
    store.iter().map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
}

/// The bytes with a part of them destroyed.
fn without(bytes: &[u8], offset: usize, len: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[offset..offset + len].iter_mut().for_each(|byte| *byte ^= 0x5a);
    bytes
}

fn position(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).rposition(|window| window == what).unwrap()
}

#[test]
fn an_undamaged_file_is_copied_exactly() {
    let sample = Sample::new();
    let (found, report) = sample.salvage(&sample.bytes).unwrap();
    assert!(found == sample.model);
    assert!(report.is_complete() && report.damage.is_empty() && report.doubtful == 0, "{report:?}");
    assert_eq!((report.table_entries, report.confirmed), (Some(report.entries), report.entries));
    assert!(report.segments > 5 && report.stale > 500, "{report:?}");
}

#[test]
fn without_headers_and_catalog_the_log_tells_all() {
    let sample = Sample::new();
    let both = without(&without(&sample.bytes, SLOTS[0], 512), SLOTS[1], 512);
    let catalog = sample.extents("catalog").next().unwrap();
    let catalog = without(&sample.bytes, catalog.offset as usize, 30);
    let mut everything = both.clone();
    for extent in sample.extents.iter().filter(|extent| extent.what != "log segment") {
        everything[extent.offset as usize..][..extent.bytes as usize].fill(0xff);
    }
    for (bytes, what) in [(both, "header slot"), (catalog, "catalog"), (everything, "header slot")] {
        let (found, report) = sample.salvage(&bytes).unwrap();
        assert!(found == sample.model, "{what}: {} entries, {report:?}", found.len());
        assert!(report.is_complete() && report.table_entries.is_none(), "{what}: {report:?}");
        assert!(report.damage.iter().any(|damage| damage.what == what), "{report:?}");
    }
}

/// A removal is gone with its segment, and the removed value is still there: where no table is left it comes back, and
/// counts as doubtful.
#[test]
fn entries_before_a_segment_that_was_given_up_are_doubtful() {
    let disk = SimDisk::new(3);
    let store = on(&disk).open(OLD).unwrap();
    let put = |key: &str, len| drop(store.insert(key, vec![7; len]).unwrap());
    put("gone", 10);
    put("resident", 10);
    (0..4).for_each(|_| put("large", 20_000));
    store.remove("gone").unwrap();
    (0..9).for_each(|_| put("large", 20_000));
    let buckets = store.info().unwrap().extents.into_iter().find(|extent| extent.what == "buckets").unwrap();
    let segments = store.stats().unwrap().log_segments;
    store.checkpoint().unwrap();
    assert!(store.stats().unwrap().log_segments < segments - 1, "segments were given up");
    store.close().unwrap();

    let bytes = disk.contents(OLD).unwrap();
    let mut no_table = bytes.clone();
    no_table[buckets.offset as usize..][..buckets.bytes as usize].fill(0x77);
    let no_slots = without(&without(&bytes, SLOTS[0], 512), SLOTS[1], 512);
    for (bytes, entries, whole) in [(bytes, 2, true), (no_table, 3, true), (no_slots, 3, false)] {
        let (found, report) = salvage(&bytes, |salvage| salvage).unwrap();
        assert_eq!((found.len(), found.contains_key(&b"gone"[..])), (entries, entries == 3), "{report:?}");
        assert_eq!(report.doubtful, if entries == 3 { 2 } else { 0 }, "{report:?}");
        assert_eq!(report.is_complete(), whole, "{report:?}");
    }
}

#[test]
fn without_pages_of_the_table_the_log_tells_all() {
    let sample = Sample::new();
    let mut bytes = sample.bytes.clone();
    for extent in sample.extents.iter().filter(|extent| extent.what.contains("buckets")) {
        bytes[extent.offset as usize..][..extent.bytes as usize].fill(0x77);
    }
    let (found, report) = sample.salvage(&bytes).unwrap();
    assert!(found == sample.model && report.is_complete(), "{report:?}");
    assert_eq!((report.confirmed, report.doubtful), (0, 0));
}

#[test]
fn heads_of_segments_are_found_through_links_and_catalog() {
    let sample = Sample::new();
    let slots_too = [false, true];
    for (slots, segment) in
        slots_too.into_iter().flat_map(|s| sample.extents("log segment").map(move |e| (s, e)))
    {
        let head = segment.offset as usize;
        let mut bytes = without(&without(&sample.bytes, head, 72), head + 1536, 72);
        if slots {
            bytes = without(&without(&bytes, SLOTS[0], 512), SLOTS[1], 512);
        }
        let (found, report) = sample.salvage(&bytes).unwrap();
        // The first segment of a file is linked to by none.
        let lost = slots && segment.offset == sample.extents("log segment").next().unwrap().offset;
        assert!(
            lost || found == sample.model,
            "segment at {head}: {} of {}, {report:?}",
            found.len(),
            sample.model.len()
        );
        sample.assert_genuine(&found);
    }
}

#[test]
fn a_damaged_record_leaves_the_version_before_or_a_loss_by_name() {
    for value_bytes in [40, 70_000] {
        let disk = SimDisk::new(3);
        let store = on(&disk).open(OLD).unwrap();
        let value = |n: u8| [n; 70_000][..value_bytes].to_vec();
        store.insert("twice", value(1)).unwrap();
        store.insert("other", "value").unwrap();
        store.insert("twice", value(2)).unwrap();
        store.insert("once", value(3)).unwrap();
        store.close().unwrap();
        let bytes = disk.contents(OLD).unwrap();
        let is_large = value_bytes > 65_535;

        let damaged = without(&bytes, position(&bytes, &value(2)) + 20, 1);
        let (found, report) = salvage(&damaged, |s| s).unwrap();
        assert_eq!((found.len(), &found[&b"twice"[..]]), (3, &value(1)));
        assert_eq!((report.doubtful, report.lost(), report.is_complete()), (1, 0, false), "{report:?}");
        assert_eq!(report.keys.first().map(|key| key.older.is_some()), is_large.then_some(true));

        let damaged = without(&bytes, position(&bytes, &value(3)) + 20, 1);
        let (found, report) = salvage(&damaged, |s| s).unwrap();
        assert!(found.len() == 2 && found[&b"twice"[..]] == value(2));
        assert_eq!((report.doubtful, report.lost(), report.is_complete()), (0, 1, false), "{report:?}");
        assert_eq!(report.keys.first().map(|key| &key.key[..]), is_large.then_some(&b"once"[..]));
        assert_eq!(report.damage.len(), 1);
    }
}

#[test]
fn what_was_removed_stays_removed_if_the_table_says_so() {
    let disk = SimDisk::new(4);
    let store = on(&disk).open(OLD).unwrap();
    store.insert("gone", "value").unwrap();
    store.insert("here", "value").unwrap();
    store.remove("gone").unwrap();
    store.insert("last", "value").unwrap();
    store.close().unwrap();
    let bytes = disk.contents(OLD).unwrap();
    let damaged = without(&bytes, position(&bytes, b"gone"), 1);
    let (found, report) = salvage(&damaged, |s| s).unwrap();
    assert!(found.len() == 2 && report.is_complete() && report.doubtful == 0, "{report:?}");
    // Without the table it comes back, and the report says that it may.
    let damaged = without(&without(&damaged, SLOTS[0], 512), SLOTS[1], 512);
    let (found, report) = salvage(&damaged, |s| s).unwrap();
    assert_eq!((found.len(), report.doubtful, report.is_complete()), (3, 2, false), "{report:?}");
    // So it does if every record is asked for: no removal is known any more.
    assert_eq!(salvage(&damaged, |s| s.all(true)).unwrap().0.len(), 3);
}

#[test]
fn a_missing_segment_is_told_of_also_where_all_is_asked_for() {
    let sample = Sample::new();
    let mut bytes = without(&without(&sample.bytes, SLOTS[0], 512), SLOTS[1], 512);
    let segments: Vec<_> = sample.extents("log segment").collect();
    for segment in &segments {
        bytes = without(&bytes, segment.offset as usize + 512, 1024); // the links to the next one
    }
    let lost = segments[segments.len() - 2];
    let bytes = without(&bytes, lost.offset as usize, lost.bytes as usize);
    for all in [false, true] {
        let (_, report) = salvage(&bytes, |s| s.all(all)).unwrap();
        let told = report.damage.iter().filter(|damage| damage.what == "missing log segment").count();
        assert_eq!((told, report.is_complete()), (1, false), "all: {all}, {report:?}");
    }
}

#[test]
fn what_a_crash_left_behind_the_end_is_left_unless_all_is_asked_for() {
    let disk = SimDisk::new(5);
    let store = on(&disk).open(OLD).unwrap();
    (0..20).for_each(|n| drop(store.insert(format!("key {n}"), "value").unwrap()));
    let killed = disk.crash(1, tophash::sim::Crash::Kill).contents(OLD).unwrap();
    drop(store);
    let torn = without(&killed, position(&killed, b"key 12value"), 3);
    let (found, report) = salvage(&torn, |s| s).unwrap();
    assert_eq!((found.len(), report.behind_the_end), (12, 7), "{report:?}");
    let (found, report) = salvage(&torn, |s| s.all(true)).unwrap();
    assert_eq!((found.len(), report.is_complete()), (19, false), "{report:?}");
}

#[test]
fn random_damage_never_makes_a_value_up() {
    let sample = Sample::new();
    let mut random = Random(77);
    let (mut complete, mut refused, mut kept) = (0, 0, 0);
    for round in 0..400 {
        let mut bytes = sample.bytes.clone();
        for _ in 0..1 + random.below(12) {
            let at = random.below(bytes.len() as u64) as usize;
            let len = (1 << random.below(14)).min(bytes.len() - at);
            let from = random.below((bytes.len() - len + 1) as u64) as usize;
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at..at + len].fill(0),
                2 => bytes[at..at + len].copy_from_slice(&random.bytes(len)),
                _ => bytes.copy_within(from..from + len, at),
            }
        }
        // The headers, every so often, so that the log alone is asked.
        if round % 3 == 0 {
            SLOTS.iter().for_each(|&slot| bytes[slot..slot + 512].fill(1));
        }
        match sample.salvage(&bytes) {
            Ok((found, report)) => {
                sample.assert_genuine(&found);
                kept += found.len();
                complete += usize::from(report.is_complete());
                assert!(!report.is_complete() || found == sample.model, "round {round}: {report:?}");
            }
            Err(error) => {
                assert!(matches!(error, Error::Corrupt { .. } | Error::NotTophash { .. }), "{error}");
                refused += 1;
            }
        }
    }
    println!("{complete} complete, {refused} refused, {kept} entries kept of {}", 400 * sample.model.len());
    assert!(complete > 20 && refused < 20 && kept > 200 * sample.model.len());
}

#[test]
fn files_that_were_cut_off_give_what_they_hold() {
    let sample = Sample::new();
    let mut kept = Vec::new();
    for len in (0..=sample.bytes.len()).step_by(7_919).chain([8191, 8192, 65_536, 67_600]) {
        match sample.salvage(&sample.bytes[..len]) {
            Ok((found, report)) => {
                sample.assert_genuine(&found);
                assert!(!report.is_complete() || found == sample.model, "{len} bytes: {report:?}");
                kept.push(found.len());
            }
            Err(Error::Corrupt { .. } | Error::NotTophash { .. }) => assert!(len <= 70_000, "{len} bytes"),
            Err(error) => panic!("{len} bytes: {error}"),
        }
    }
    assert!(kept.len() > 20 && kept.iter().any(|&n| n > sample.model.len() / 2), "{kept:?}");
}

#[test]
fn files_that_are_not_ours_are_refused() {
    let letter = b"This is a letter.".repeat(10_000);
    for bytes in [&b""[..], b"short", &letter, &[0; 200_000]] {
        let refused = salvage(bytes, |s| s);
        assert!(matches!(refused, Err(Error::NotTophash { .. })), "{} bytes: {refused:?}", bytes.len());
    }
    let sample = Sample::new();
    let mut newer = sample.bytes.clone();
    newer[8] = 2;
    let crc = crc32fast::hash(&newer[..508]);
    newer[508..512].copy_from_slice(&crc.to_le_bytes());
    assert!(matches!(sample.salvage(&newer), Err(Error::Version { .. })));
}

#[test]
fn real_files_and_locks_and_what_is_there_already() {
    let place = Place::new();
    let (old, new) = (place.file("old.tophash"), place.file("new.tophash"));
    let missing = tophash::salvage(&old, &new);
    assert!(matches!(missing, Err(Error::Io { .. })) && !new.exists());
    let store = Store::open(&old).unwrap();
    (0..1000).for_each(|n| drop(store.insert(format!("key {n}"), format!("value {n}")).unwrap()));
    assert!(matches!(tophash::salvage(&old, &new), Err(Error::Locked { .. })));
    store.close().unwrap();
    let mut told = Vec::new();
    let report = Salvage::new(&old, &new).progress(|done, total| told.push((done, total))).run().unwrap();
    assert!(report.is_complete() && report.entries == 1000);
    assert!(told.is_sorted() && told.last().is_some_and(|(done, total)| done == total));
    assert_eq!(entries(&Store::open(&new).unwrap()).len(), 1000);
    for to in [&new, &old] {
        let refused = tophash::salvage(&old, to);
        let exists = |source: &std::io::Error| source.kind() == std::io::ErrorKind::AlreadyExists;
        assert!(matches!(&refused, Err(Error::Io { source, .. }) if exists(source)), "{refused:?}");
    }
    assert_eq!(Store::open(&old).unwrap().len(), 1000);
}

#[test]
fn pages_that_cannot_be_read_cost_what_lies_in_them() {
    use tophash::sim::{CallKind, Failure, Fault, When};

    let disk = SimDisk::new(6);
    let store = on(&disk).open(OLD).unwrap();
    (0..1000).for_each(|n| drop(store.insert(format!("key {n}"), [n as u8; 40]).unwrap()));
    let info = store.info().unwrap();
    let bad = info.extents.iter().find(|extent| extent.what == "log segment").unwrap().offset + 8192;
    store.close().unwrap();
    disk.on_call(move |disk, call| {
        if call.kind == CallKind::Read && (call.offset..call.offset + call.len).contains(&bad) {
            disk.fail(Fault { when: When::Once(call.number), kind: Some(call.kind), failure: Failure::Io });
        }
    });
    let report = Salvage::new(OLD, NEW).options(on(&disk)).run().unwrap();
    disk.off_call();
    assert!(!report.is_complete() && report.table_entries.is_none(), "{report:?}");
    assert!(report.damage.iter().any(|damage| (damage.what, damage.offset) == ("unreadable pages", bad)));
    let found = entries(&on(&disk).open(NEW).unwrap());
    // 56 bytes a record.
    assert!((900..950).contains(&found.len()), "{}", found.len());
    assert!(
        (0..1000)
            .all(|n| found.get(format!("key {n}").as_bytes()).is_none_or(|value| *value == [n as u8; 40]))
    );
}

#[test]
fn a_file_without_headers_is_salvaged_with_the_types_that_one_knows() {
    let disk = SimDisk::new(1);
    let map = on(&disk).open_map::<str, u64>(OLD).unwrap();
    map.insert("one", 1).unwrap();
    let schema = map.schema();
    map.close().unwrap();
    SLOTS.iter().for_each(|&slot| disk.overwrite(OLD, slot as u64, &[0xff; 512]));
    Salvage::new(OLD, NEW).options(on(&disk)).schema(schema).run().unwrap();
    assert_eq!(on(&disk).open_map::<str, u64>(NEW).unwrap().get("one").unwrap(), Some(1));
}

//! `verify` names what is wrong with a file, once and with its place. (The invariants of the table have their tests in
//! `src/table/tests/damage.rs`.)

mod common;

use tophash::report::{FaultPlace, Verification};
use tophash::sim::SimDisk;
use tophash::{Error, Options, Store};

const PATH: &str = "a.tophash";

fn on(disk: &SimDisk) -> Options {
    Options::new().media(disk.clone()).background(false)
}

fn filled() -> (SimDisk, Store) {
    let disk = SimDisk::new(1);
    let store = on(&disk).open(PATH).unwrap();
    (0..500u64).for_each(|n| drop(store.insert(format!("key {n}"), format!("value {n}")).unwrap()));
    store.insert("large", [7; 70_000]).unwrap();
    (disk, store)
}

fn closed() -> (Vec<u8>, Vec<tophash::report::Extent>) {
    let (disk, store) = filled();
    store.insert("key 3", "another value").unwrap();
    store.close().unwrap();
    let extents = on(&disk).read_only(true).open(PATH).unwrap().info().unwrap().extents;
    (disk.contents(PATH).unwrap(), extents)
}

/// What verify finds in a file with these bytes, the same for readers and writers.
#[track_caller]
fn verified(bytes: &[u8]) -> Verification {
    let disk = SimDisk::new(2);
    disk.put(PATH, bytes);
    let reader = on(&disk).read_only(true).open(PATH).unwrap().verify().unwrap();
    let writer = on(&disk).open(PATH).unwrap().verify().unwrap();
    assert_eq!(reader.faults, writer.faults);
    reader
}

fn position(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).unwrap()
}

#[test]
fn a_damaged_record_is_one_fault_at_its_cell() {
    let (bytes, _) = closed();
    for (what, name) in [(&b"value 77"[..], "record"), (&[7; 60_000][..], "value of a record")] {
        let mut damaged = bytes.clone();
        let at = position(&bytes, what);
        damaged[at] ^= 1;
        let faults = verified(&damaged).faults;
        assert!(faults.iter().filter(|fault| fault.what == name).count() == 1, "{faults:?}");
        let place = faults.iter().find(|fault| fault.what == name).unwrap().place;
        let FaultPlace::Bucket { cell: Some(_), offset: Some(offset), .. } = place else {
            panic!("{place:?}")
        };
        assert!(offset < at as u64 && at as u64 - offset < 40, "{offset}, {at}");
        assert_eq!(faults.len(), 1, "{faults:?}");
    }
}

#[test]
fn a_damaged_record_that_was_replaced_is_one_fault_in_the_log() {
    let (mut bytes, _) = closed();
    let at = position(&bytes, b"key 3value 3");
    // The lengths, so that the way to the next record is lost.
    bytes[at - 3] = 0xff;
    let faults = verified(&bytes).faults;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].place, FaultPlace::Offset(at as u64 - 8));
}

#[test]
fn a_damaged_page_and_a_damaged_checksum_page_are_named() {
    let (bytes, extents) = closed();
    let buckets = extents.iter().find(|extent| extent.what == "buckets").unwrap().offset;
    let mut damaged = bytes.clone();
    damaged[buckets as usize + 4096 + 9] ^= 1;
    let faults = verified(&damaged).faults;
    let at_page = faults.iter().filter(|fault| fault.place == FaultPlace::Offset(buckets + 4096));
    assert_eq!(at_page.count(), 1, "{faults:?}");

    let covered: u64 = extents.iter().filter(|e| e.what == "buckets").map(|e| e.bytes / 4096).sum();
    let crc = crc32fast::hash(&bytes[buckets as usize..][..4096]).to_le_bytes();
    let sums = position(&bytes, &crc);
    assert!(covered > 1 && sums.is_multiple_of(4096));
    let mut damaged = bytes.clone();
    damaged[sums] ^= 1;
    let faults = verified(&damaged).faults;
    assert!(faults.iter().any(|fault| fault.place == FaultPlace::Offset(sums as u64)), "{faults:?}");
}

/// A catalog that says so, with its checksum and the header's.
fn with_catalog(bytes: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for slot in [0, 4096] {
        let word =
            |at: usize| u64::from_le_bytes(bytes[slot + at..slot + at + 8].try_into().unwrap()) as usize;
        let (offset, len) = (word(192), word(200));
        if slot == 0 {
            change(&mut bytes[offset..offset + len]);
        }
        let crc = crc32fast::hash(&bytes[offset..offset + len]);
        bytes[slot + 232..slot + 236].copy_from_slice(&crc.to_le_bytes());
        seal(&mut bytes, slot);
    }
    bytes
}

fn seal(bytes: &mut [u8], slot: usize) {
    let crc = crc32fast::hash(&bytes[slot..slot + 508]);
    bytes[slot + 508..slot + 512].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn live_bytes_that_are_wrong_are_named() {
    let (bytes, _) = closed();
    let damaged = with_catalog(&bytes, |catalog| {
        let live = catalog.len() - 8;
        catalog[live] ^= 8;
    });
    let faults = verified(&damaged).faults;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].what, "live bytes of a log segment");
}

#[test]
fn a_catalog_inside_a_log_segment_is_an_overlap() {
    let (mut bytes, extents) = closed();
    let segment = extents.iter().find(|extent| extent.what == "log segment").unwrap();
    let inside = (segment.offset + segment.bytes - 4096) as usize;
    let catalog = extents.iter().find(|extent| extent.what == "catalog").unwrap();
    let (from, len) = (catalog.offset as usize, catalog.bytes as usize);
    bytes.copy_within(from..from + len, inside);
    for slot in [0, 4096] {
        bytes[slot + 192..slot + 200].copy_from_slice(&(inside as u64).to_le_bytes());
        seal(&mut bytes, slot);
    }
    let disk = SimDisk::new(3);
    disk.put(PATH, &bytes);
    let faults = on(&disk).read_only(true).open(PATH).unwrap().verify().unwrap().faults;
    let text: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let expected =
        format!("offset {inside}: catalog: expected space that nothing else uses, found log segment");
    assert_eq!(text, [expected]);
    // A writer would write there.
    assert!(matches!(on(&disk).open(PATH), Err(Error::Corrupt { what: "extent", .. })));
}

#[test]
fn extents_add_up_whatever_readers_hold() {
    let (_disk, store) = filled();
    let held = store.iter();
    let value = store.get("key 1").unwrap();
    for n in 500..3_000u64 {
        store.insert(format!("key {n}"), "value").unwrap();
        if n % 250 == 0 {
            store.checkpoint().unwrap();
            assert!(store.verify().unwrap().is_clean(), "while a reader holds on to arrays");
        }
    }
    store.clear().unwrap();
    assert!(store.verify().unwrap().is_clean());
    drop((held, value));
    store.checkpoint().unwrap();
    let report = store.verify().unwrap();
    assert!(report.is_clean() && report.extents > 5, "{report:?}");
}

#[test]
fn a_key_with_a_damaged_value_can_be_forgotten() {
    let (mut bytes, _) = closed();
    let at = position(&bytes, &[7; 60_000]);
    bytes[at] ^= 1;
    let disk = SimDisk::new(4);
    disk.put(PATH, &bytes);
    let store = on(&disk).open(PATH).unwrap();
    assert!(matches!(store.insert("large", "new"), Err(Error::Corrupt { .. })));
    assert!(matches!(store.remove("large"), Err(Error::Corrupt { .. })));
    assert!(store.forget("large").unwrap() && !store.forget("large").unwrap());
    assert!(store.insert("large", "new").unwrap().is_none());
    store.close().unwrap();
    let store = on(&disk).open(PATH).unwrap();
    assert_eq!(store.get("large").unwrap().unwrap(), "new");
    assert_eq!(store.len(), 501);
}

//! Opening what may be no store, and reading all of it.

use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};
use tophash::report::WhichArray;
use tophash::sim::{CallKind, SimDisk};
use tophash::{Error, Result, Store};

use crate::content::{KEYS, Stamp, key, recognise_key};
use crate::edit::{Damage, Harm};
use crate::samples::{Content, PATH, new_disk, options};

/// How many keys that are not there are looked for.
const ABSENT_KEYS: usize = 24;

/// The first byte says what the rest is: a file, or damage to a sample.
pub fn open(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    if choice < 16 {
        return examine(rest, &Content::new(), Harm::Forgery);
    }
    let Ok(damage) = Damage::arbitrary(&mut Unstructured::new(rest)) else { return };
    let damaged = damage.apply();
    let harm = match damaged.harm {
        // What a crash left behind the last sync may be a torn tail.
        Harm::OneBit if !damaged.sample.closed => Harm::Damage,
        harm => harm,
    };
    examine(&damaged.bytes, &damaged.sample.content, harm);
}

/// What an input does, for people.
pub fn describe_open(data: &[u8]) -> String {
    match data.split_first().map(|(_, rest)| Damage::arbitrary(&mut Unstructured::new(rest))) {
        Some(Ok(damage)) if data[0] >= 16 => damage.describe(),
        _ => format!("a file of {} bytes", data.len().saturating_sub(1)),
    }
}

/// Reads a file in every way, read-only, then writable, then once more.
fn examine(bytes: &[u8], content: &Content, harm: Harm) {
    let disk = new_disk();
    disk.put(PATH, bytes);
    let reader = options(&disk).read_only(true).open(Path::new(PATH));
    if let Some(store) = check(reader, harm) {
        read_all(&store, content, harm);
    }
    let counters = disk.counters();
    let changes =
        [CallKind::Write, CallKind::SetLength, CallKind::Allocate, CallKind::Punch, CallKind::Store];
    assert!(changes.iter().all(|&kind| counters.calls(kind) == 0), "a read-only open wrote");
    let writer = options(&disk).create(false).open(Path::new(PATH));
    let Some(store) = check(writer, harm) else { return };
    read_all(&store, content, harm);
    check(store.close(), harm);
    let again = options(&disk).read_only(true).open(Path::new(PATH));
    if let Some(store) = check(again, harm) {
        read_all(&store, content, harm);
    }
}

/// The result unless it is an error; one that such a file must not give is a finding.
pub fn check<T>(result: Result<T>, harm: Harm) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let fits = match error {
                Error::Corrupt { .. } | Error::NotTophash { .. } | Error::Version { .. } => {
                    harm != Harm::None
                }
                // A growth that a forged counter asks for may be larger than any disk.
                Error::NoSpace { .. } | Error::TooLarge { .. } => harm == Harm::Forgery,
                _ => false,
            };
            assert!(fits, "{harm:?} gives {error:?}");
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// Every key, every entry, every report.
fn read_all(store: &Store, content: &Content, harm: Harm) {
    let absent = (0..KEYS).filter(|n| !content.contains_key(n)).take(ABSENT_KEYS);
    for n in content.keys().copied().chain(absent) {
        let Some(found) = check(store.get(key(n)), harm) else { continue };
        let stamp = found.as_deref().map(|value| stamp_of(n, value, harm));
        if matches!(harm, Harm::None | Harm::OneBit) {
            assert!(stamp == content.get(&n).copied(), "key {n} is {stamp:?}, not {:?}", content.get(&n));
        }
    }
    let entries = iterate(store, harm);
    if harm == Harm::None {
        assert_eq!((entries, store.len()), (content.len() as u64, content.len() as u64));
    }
    reports(store, harm);
}

/// What a value says it is; only a forgery may say something else.
pub fn stamp_of(n: u16, value: &[u8], harm: Harm) -> Stamp {
    let stamp = Stamp::recognise(n, value);
    assert!(stamp.is_some() || harm == Harm::Forgery, "key {n} has a value that was never stored");
    stamp.unwrap_or(Stamp::new(0, 0))
}

/// Counts the entries.
pub fn iterate(store: &Store, harm: Harm) -> u64 {
    let mut entries = 0;
    for entry in store.iter() {
        let Some((key, value)) = check(entry, harm) else { continue };
        entries += 1;
        match recognise_key(&key) {
            Some(n) => drop(stamp_of(n, &value, harm)),
            None => assert!(harm == Harm::Forgery, "a key that was never stored"),
        }
    }
    entries
}

/// Everything that a store tells about itself.
pub fn reports(store: &Store, harm: Harm) {
    check(store.stats(), harm);
    check(store.info(), harm);
    check(store.growth(), harm);
    for array in [WhichArray::Current, WhichArray::Old] {
        store.buckets(array).for_each(|bucket| drop(check(bucket, harm)));
        check(store.bucket(array, u64::MAX), harm);
    }
    let verified = check(store.verify(), harm);
    if let Some(verification) = verified
        && harm == Harm::None
    {
        assert!(verification.is_clean(), "{:?}", verification.faults);
    }
}

/// A disk with this file.
pub fn disk_with(bytes: &[u8]) -> SimDisk {
    let disk = new_disk();
    disk.put(PATH, bytes);
    disk
}

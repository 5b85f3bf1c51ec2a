//! Files that are not ours, or not whole: the right error each, and the file as it was.

mod common;

use std::io::ErrorKind;
use std::path::Path;

use common::{Model, Place, Random, check_equal, copy_as_if_killed, key};
use tophash::{Error, Options, Result, Store};

/// Opens a file with these bytes, in every way there is; the file must be as it was. The errors.
#[track_caller]
fn refused(bytes: &[u8]) -> Vec<Error> {
    let place = Place::in_memory();
    let path = place.file("a.tophash");
    let ways = [
        Options::new(),
        Options::new().create(false),
        Options::new().background(false),
        Options::new().read_only(true),
    ];
    let errors = ways.into_iter().map(|options| {
        std::fs::write(&path, bytes).unwrap();
        let error = options.open(&path).map(drop).expect_err("this file is not to be opened");
        assert!(std::fs::read(&path).unwrap() == bytes, "the file was changed, after {error}");
        error
    });
    let errors = errors.collect();
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "another file is left behind");
    errors
}

#[track_caller]
fn refused_as_foreign(bytes: &[u8]) {
    for error in refused(bytes) {
        assert!(matches!(error, Error::NotTophash { .. }), "{error}");
    }
}

#[track_caller]
fn refused_as_corrupt(bytes: &[u8]) {
    for error in refused(bytes) {
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
}

/// A store with a growth under way, closed; and its model.
fn sample(place: &Place) -> (Vec<u8>, Model) {
    let path = place.file("sample.tophash");
    let (store, model) = fill(&path);
    store.close().unwrap();
    (std::fs::read(path).unwrap(), model)
}

/// The same, as a kill would leave it: half of it after the last checkpoint, in more than one segment of the log.
fn sample_killed(place: &Place) -> (Vec<u8>, Model) {
    let (path, killed) = (place.file("sample.tophash"), place.file("killed.tophash"));
    let (store, model) = fill(&path);
    copy_as_if_killed(&store, &path, &killed);
    (std::fs::read(killed).unwrap(), model)
}

fn fill(path: &Path) -> (Store, Model) {
    let store = Options::new().background(false).seed(1).open(path).unwrap();
    let (mut model, mut random) = (Model::new(), Random(1));
    for n in 0..220 {
        let value = random.bytes(if n % 20 == 0 { 9_000 } else { n as usize });
        store.insert(key(n), &value).unwrap();
        model.insert(key(n), value);
        if n == 110 {
            store.checkpoint().unwrap();
        }
    }
    assert!(
        store.growth().unwrap().kind.is_some() && store.stats().unwrap().log_bytes_since_checkpoint > 60_000
    );
    (store, model)
}

#[test]
fn files_of_others_are_refused() {
    refused_as_foreign(b"");
    refused_as_foreign(b"t");
    refused_as_foreign(b"tophash");
    refused_as_foreign(b"root:x:0:0:root:/root:/bin/bash\n");
    refused_as_foreign(&b"A text, quite a long one. ".repeat(10_000));
    refused_as_foreign(&[0; 100_000]);
    refused_as_foreign(&Random(2).bytes(100_000));
    refused_as_foreign(b"SQLite format 3\0");
}

#[test]
fn a_header_alone_is_corrupt() {
    refused_as_corrupt(b"tophash\x1a");
    refused_as_corrupt(&[b"tophash\x1a", &[0; 100_000][..]].concat());
}

#[test]
fn another_major_version_is_refused() {
    for change in [set_major_version as fn(&mut [u8]), set_incompatible_feature] {
        let (bytes, _) = sample(&Place::in_memory());
        for slots in [&SLOTS[..], &SLOTS[..1], &SLOTS[1..]] {
            let mut newer = bytes.clone();
            slots.iter().for_each(|&slot| change_slot(&mut newer, slot, change));
            for error in refused(&newer) {
                let Error::Version { found, incompatible, supported } = error else { panic!("{error}") };
                assert!((found, incompatible) == ((2, 0), 0) || (found, incompatible) == ((1, 0), 1 << 3));
                assert_eq!(supported, 1);
            }
        }
    }
}

/// File offsets of the header slots.
const SLOTS: [usize; 2] = [0, 4096];

fn change_slot(file: &mut [u8], slot: usize, change: fn(&mut [u8])) {
    let header = &mut file[slot..slot + 512];
    change(header);
    let crc = crc32fast::hash(&header[..508]);
    header[508..].copy_from_slice(&crc.to_le_bytes());
}

fn set_major_version(header: &mut [u8]) {
    header[8] = 2;
}

fn set_incompatible_feature(header: &mut [u8]) {
    header[16] = 1 << 3;
}

/// What the compatible bits and the minor version say is nothing that one must know to read the file or write it.
#[test]
fn a_newer_minor_version_and_compatible_features_are_accepted() {
    let place = Place::in_memory();
    let (mut bytes, model) = sample(&place);
    for slot in SLOTS {
        change_slot(&mut bytes, slot, |header| (header[10], header[12]) = (7, 1));
    }
    let path = place.file("newer.tophash");
    std::fs::write(&path, bytes).unwrap();
    for read_only in [true, false] {
        check_equal(&Options::new().read_only(read_only).open(&path).unwrap(), &model, []);
    }
}

#[test]
fn one_damaged_header_slot_is_no_loss_but_two_are() {
    let place = Place::in_memory();
    let (bytes, model) = sample(&place);
    let path = place.file("damaged.tophash");
    for slot in SLOTS {
        let mut damaged = bytes.clone();
        damaged[slot + 100] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        // The older header is that of the checkpoint's commit, with a journal that says the same.
        match Store::open(&path) {
            Ok(store) => check_equal(&store, &model, []),
            Err(error) => assert!(matches!(error, Error::Corrupt { .. }), "{error}"),
        }
    }
    let mut damaged = bytes;
    SLOTS.iter().for_each(|&slot| damaged[slot + 100] ^= 1);
    refused_as_corrupt(&damaged);
}

#[test]
fn a_truncated_file_is_refused() {
    let (bytes, _) = sample(&Place::in_memory());
    refused_as_foreign(&bytes[..0]);
    refused_as_foreign(&bytes[..7]);
    let odd = [8, 9, 511, 513, 4095, 4097, 8191, 8193, 12_289, bytes.len() - 1, bytes.len() - 4095];
    for len in (512..bytes.len()).step_by(512).chain(odd) {
        refused_as_corrupt(&bytes[..len]);
    }
}

/// What a kill leaves may lose its end and still be a store: of the writes since the last checkpoint the first ones.
#[test]
fn a_truncated_file_of_a_killed_store_is_refused_or_holds_a_prefix() {
    let place = Place::in_memory();
    let (bytes, model) = sample_killed(&place);
    let (reading, writing) = (place.file("reading.tophash"), place.file("writing.tophash"));
    let mut held = 0;
    let odd = [9, 513, 4097, 8191, 8193, 65_537, bytes.len() - 1];
    for len in (512..=bytes.len()).step_by(512).chain(odd) {
        std::fs::write(&reading, &bytes[..len]).unwrap();
        std::fs::write(&writing, &bytes[..len]).unwrap();
        let reader = Options::new().read_only(true).open(&reading);
        let writer = Options::new().background(false).open(&writing);
        assert_eq!(reader.is_ok(), writer.is_ok(), "{len} bytes");
        assert!(std::fs::read(&reading).unwrap() == bytes[..len], "a read-only open changed {len} bytes");
        match (reader, writer) {
            (Ok(reader), Ok(writer)) => {
                held += 1;
                let prefix = (0..reader.len()).map(|n| (key(n), model[&key(n)].clone())).collect();
                check_equal(&reader, &prefix, []);
                check_equal(&writer, &prefix, []);
                assert!(reader.len() > 110, "what the checkpoint holds is there");
            }
            (Err(error), Err(same)) => {
                assert!(matches!(error, Error::Corrupt { .. }) && matches!(same, Error::Corrupt { .. }));
                assert!(std::fs::read(&writing).unwrap() == bytes[..len], "{len} bytes were changed");
            }
            _ => unreachable!(),
        }
    }
    assert!(held > 1, "some truncations take only what no checkpoint covers");
}

/// A flipped bit, once in every sector: whatever the store then says is right, or an error; and an open that fails
/// leaves the file as it was.
#[test]
fn a_damaged_file_says_nothing_wrong_and_is_left_as_it_was() {
    let place = Place::in_memory();
    let mut errors = 0;
    for (bytes, model) in [sample(&place), sample_killed(&Place::in_memory())] {
        for sector in (0..bytes.len()).step_by(512) {
            let mut damaged = bytes.clone();
            let mut random = Random(sector as u64);
            damaged[sector + random.below(512) as usize] ^= 1 << random.below(8);
            for read_only in [true, false] {
                let path = place.file("damaged.tophash");
                std::fs::write(&path, &damaged).unwrap();
                let options = Options::new().read_only(read_only).background(false);
                match options.open(&path) {
                    Ok(store) => check_honest(&store, &model),
                    Err(error) => {
                        errors += 1;
                        assert!(matches!(error, Error::Corrupt { .. }), "sector {sector}: {error}");
                        let same = std::fs::read(&path).unwrap() == damaged;
                        assert!(same, "sector {sector}: changed by an open that said {error}");
                    }
                }
            }
        }
    }
    assert!(errors > 0);
}

/// Each key has its value, or is lost with the end of the log (a torn tail can't be told from damage there), or gives
/// an error.
fn check_honest(store: &Store, model: &Model) {
    for (n, key) in (0..model.len() as u64).map(|n| (n, key(n))) {
        match store.get(&key) {
            Ok(Some(value)) => assert!(value == model[&key]),
            Ok(None) => assert!(n >= store.len(), "entry {n} of {} is missing", store.len()),
            Err(error) => assert!(matches!(error, Error::Corrupt { .. }), "{error}"),
        }
    }
    let good = store.iter().filter_map(Result::ok);
    assert!(good.map(|(key, value)| (key.to_vec(), value.to_vec())).all(|(key, value)| model[&key] == value));
}

#[test]
fn a_directory_is_refused() {
    let place = Place::new();
    for read_only in [false, true] {
        let error = Options::new().read_only(read_only).open(place.path()).unwrap_err();
        let Error::Io { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.kind(), ErrorKind::IsADirectory);
    }
}

#[test]
fn a_missing_file_is_missed_and_not_made() {
    let place = Place::new();
    for options in [Options::new().create(false), Options::new().read_only(true)] {
        let error = options.open(place.file("missing.tophash")).unwrap_err();
        let Error::Io { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.kind(), ErrorKind::NotFound);
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn no_file_is_made_in_a_missing_directory() {
    let error = Store::open(Place::new().file("missing/a.tophash")).unwrap_err();
    let Error::Io { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), ErrorKind::NotFound);
}

#[test]
fn options_beyond_their_limits_are_refused_and_make_no_file() {
    let place = Place::new();
    let options = [
        Options::new().load_factor(3.9),
        Options::new().load_factor(8.1),
        Options::new().load_factor(f64::NAN),
        Options::new().capacity(u64::MAX),
    ];
    for options in options {
        let error = options.open(place.file("a.tophash")).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

//! What a running program sees: locks, mappings, hooks, counters.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::*;
use crate::seam::Words;

#[test]
fn locks_are_those_of_handles() {
    let (disk, first) = disk_with(&[1]);
    let second = open(&disk, Access::Read);
    assert!(first.lock_holder().is_none());
    assert!(first.try_lock(Access::Write).unwrap());
    assert!(!second.try_lock(Access::Read).unwrap());
    assert_eq!(second.lock_holder(), Some(std::process::id()));
    assert!(first.try_lock(Access::Read).unwrap(), "a handle can change its lock");
    assert!(second.try_lock(Access::Read).unwrap());
    assert!(!first.try_lock(Access::Write).unwrap());
    assert!(open(&disk.crash(1, Crash::Kill), Access::Write).try_lock(Access::Write).unwrap());
    drop(second);
    assert!(first.try_lock(Access::Write).unwrap());
}

#[test]
fn the_hook_sees_every_call_before_it_takes_effect() {
    let (disk, file) = disk_with(&[1; 4096]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    disk.on_call(move |disk, call| {
        let image = disk.crash(call.number, Crash::Kill);
        log.lock().unwrap().push((*call, image.contents(PATH).unwrap()[100]));
    });
    file.write_at(&[2; 50], 100).unwrap();
    file.read_at(&mut [0; 1], 7).unwrap();
    file.sync().unwrap();
    disk.off_call();
    file.length().unwrap();
    let first = disk.counters().total() - 4;
    let call = |after, kind, offset, len| Call { number: first + after, kind, offset, len };
    let expected = [
        (call(0, CallKind::Write, 100, 50), 1),
        (call(1, CallKind::Read, 7, 1), 2),
        (call(2, CallKind::Sync, 0, 0), 2),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn the_hook_runs_between_stores_into_mapped_memory() {
    let (disk, file) = disk_with(&[1; 8192]);
    let mut appender = appender(&file, 4096, 4096);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    disk.on_call(move |disk, call| {
        assert_eq!(call.kind, CallKind::Store);
        let now = disk.contents(PATH).unwrap();
        log.lock().unwrap().push((call.offset, call.len, now[4096], now[4099]));
    });
    write(&mut appender, 0, &[2; 3]);
    write(&mut appender, 3, &[3; 13]);
    assert_eq!(*seen.lock().unwrap(), [(4096, 3, 1, 1), (4099, 8, 2, 1), (4107, 5, 2, 3)]);
    disk.off_call();
    let mut bytes = [0; 17];
    file.read_at(&mut bytes, 4096).unwrap();
    assert_eq!(bytes, [2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 1]);
    assert_eq!(disk.counters().bytes_stored, 16);
}

#[test]
fn mapped_stores_are_unsynced_until_a_sync_even_when_unmapped() {
    let (disk, file) = disk_with(&[1; 8192]);
    let map = file.map(Mapping::Shared, 4096, 4096).unwrap();
    map.store(1, 2, Ordering::Relaxed);
    assert_eq!(disk.freeze().unsynced_sectors(), 1);
    assert_eq!(outcomes(&disk, |image| image[4096 + 8]), BTreeSet::from([1, 2]));
    map.store(2, 2, Ordering::Relaxed);
    drop(map);
    disk.freeze();
    assert_eq!(disk.freeze().unsynced_sectors(), 1);
    file.sync().unwrap();
    assert!(power_cuts(&disk).into_iter().all(|image| image[4096 + 8] == 2 && image[4096 + 16] == 2));
}

#[test]
fn a_mapped_store_can_be_written_back_at_any_time() {
    let (disk, file) = disk_with(&[1; 4096]);
    disk.write_back_one_in(1);
    let mut appender = appender(&file, 0, 4096);
    for version in 2..50 {
        write(&mut appender, 0, &[version; 8]);
    }
    assert!(disk.counters().early_sectors > 0);
    assert!(!outcomes(&disk, |image| image[0]).contains(&1));
}

#[test]
fn private_stores_stay_private_until_they_are_dropped() {
    let (disk, file) = disk_with(&[1; 8000]);
    let map = file.map(Mapping::Private, 4096, 8000 - 4096).unwrap();
    map.store(0, 7, Ordering::Relaxed);
    map.store(1, 7, Ordering::Relaxed);
    file.sync().unwrap();
    assert!(disk.contents(PATH).unwrap() == [1; 8000]);
    file.write_at(&[9; 8], 4096).unwrap();
    assert_eq!(map.load(0, Ordering::Relaxed), 7);
    map.drop_copies(std::slice::from_ref(&(0..map.len())), std::iter::empty());
    assert_eq!(map.load(0, Ordering::Relaxed), 0x0909_0909_0909_0909);
    assert_eq!(map.load(1, Ordering::Relaxed), 0x0101_0101_0101_0101);
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        disk.write_back_one_in(2);
        disk.put(PATH, &[1; 20_000]);
        let file = open(&disk, Access::Write);
        for at in 0..40 {
            file.write_at(&[at as u8; 700], at * 450).unwrap();
        }
        file.punch(4096, 4096).unwrap();
        disk.fail(Fault { when: When::Once(0), kind: Some(CallKind::Sync), failure: Failure::Io });
        file.sync().unwrap_err();
        file.set_length(30_000).unwrap();
        let images = (0..20).map(|seed| disk.crash(seed, Crash::Power));
        let nested =
            images.map(|image| image.crash(1, Crash::Kill).crash(2, Crash::Power).contents(PATH).unwrap());
        (nested.collect::<Vec<_>>(), disk.counters())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// Memory is recycled between disks (of all tests, so this looks often).
#[test]
fn fresh_files_and_mappings_hold_zeros_whatever_was_there_before() {
    for round in 0..100 {
        let (_disk, file) = disk();
        file.set_length(16_384).unwrap();
        let shared = file.map(Mapping::Shared, 0, 8192).unwrap();
        let private = file.map(Mapping::Private, 8192, 8192).unwrap();
        for map in [&shared, &private] {
            for word in 0..1024 {
                assert_eq!(map.load(word, Ordering::Relaxed), 0, "round {round}");
                map.store(word, u64::MAX, Ordering::Relaxed);
            }
        }
    }
}

#[test]
fn a_mapping_outlives_its_file() {
    let (disk, file) = disk_with(&[7; 4096]);
    let map = file.map(Mapping::Shared, 0, 4096).unwrap();
    disk.remove(Path::new(PATH)).unwrap();
    disk.sync_directory(Path::new(PATH)).unwrap();
    drop(file);
    let others: Vec<_> = (0..20).map(|_| disk_with(&[8; 4096])).collect();
    assert_eq!(map.load(0, Ordering::Relaxed), 0x0707_0707_0707_0707);
    map.store(0, 1, Ordering::Relaxed);
    assert!(others.iter().all(|(disk, _)| disk.contents(PATH).unwrap() == [8; 4096]));
}

#[test]
fn images_can_be_made_while_a_program_runs() {
    let (disk, file) = disk_with(&[1; 65_536]);
    let mut appender = appender(&file, 0, 65_536);
    std::thread::scope(|scope| {
        scope.spawn(move || (0..8000).for_each(|at| write(&mut appender, at * 8, &[2; 8])));
        for seed in 0..50 {
            file.sync().unwrap();
            let image = disk.crash(seed, Crash::Power).contents(PATH).unwrap();
            assert!(image.chunks(8).all(|word| word == [1; 8] || word == [2; 8]));
        }
    });
    file.sync().unwrap();
    assert!(power_cuts(&disk).into_iter().all(|image| image[..64_000] == [2; 64_000]));
}

#[test]
fn counters_add_up_and_print() {
    let (disk, _file) = disk_with(&[1; 100]);
    let mut sum = Counters::default();
    sum += disk.counters();
    sum += disk.counters();
    assert_eq!(sum.calls(CallKind::Write), 2);
    assert_eq!(sum.total(), 2 * disk.counters().total());
    assert!(
        sum.to_string()
            .starts_with("Create 2, Publish 2, SyncDirectory 2, Write 2, Sync 2, 200 bytes written")
    );
}

#[test]
fn what_is_overwritten_is_seen_and_durable_and_no_call() {
    let (disk, file) = disk_with(&[1; 8192]);
    let calls = disk.counters().total();
    for disk in [disk.crash(1, Crash::Power), disk.clone()] {
        disk.overwrite(PATH, 4093, &[7; 6]);
        assert_eq!(disk.freeze().unsynced_sectors(), 0);
        let mut expected = vec![1; 8192];
        expected[4093..4099].fill(7);
        assert!(power_cuts(&disk).into_iter().all(|image| image == expected));
        assert_eq!(disk.contents(PATH).unwrap(), expected);
    }
    assert_eq!(disk.counters().total(), calls);
    let mut seen = [0; 3];
    file.read_at(&mut seen, 4092).unwrap();
    assert_eq!(seen, [1, 7, 7]);
}

//! Calls that fail, full disks, and what a failed sync leaves.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::*;
use crate::seam::Words;

fn failing_sync(failure: Failure) -> Fault {
    Fault { when: When::From(0), kind: Some(CallKind::Sync), failure }
}

#[test]
fn pages_look_clean_after_a_failed_sync() {
    for seed in 0..15 {
        let disk = SimDisk::new(seed);
        disk.write_back_one_in(0);
        disk.put(PATH, &[1; 4096]);
        let file = open(&disk, Access::Write);
        file.write_at(&[2; 4096], 0).unwrap();
        disk.fail(failing_sync(Failure::Io));
        assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
        disk.heal();
        file.sync().unwrap();
        assert!(disk.contents(PATH).unwrap() == [2; 4096], "programs see what they wrote");
        assert_eq!(disk.freeze().unsynced_sectors(), 0, "it looks clean");
        let left = outcomes(&disk, |image| image);
        assert_eq!(left.len(), 1);
        assert!(left.iter().all(|image| image.contains(&1)), "it is lost");
    }
}

#[test]
fn writing_the_same_bytes_mends_what_a_failed_sync_lost() {
    let (disk, file) = disk_with(&[1; 8192]);
    file.write_at(&[2; 8192], 0).unwrap();
    disk.fail(failing_sync(Failure::NoSpace));
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(28));
    disk.heal();
    file.write_at(&[2; 1], 0).unwrap();
    file.write_at(&[2; 1], 4096).unwrap();
    file.sync().unwrap();
    assert!(power_cuts(&disk).into_iter().all(|image| image == [2; 8192]));
}

#[test]
fn a_changing_mapped_store_mends_what_a_failed_sync_lost() {
    let (disk, file) = disk_with(&[1; 4096]);
    let map = file.map(Mapping::Shared, 0, 4096).unwrap();
    map.store(0, 2, Ordering::Relaxed);
    disk.fail(failing_sync(Failure::Io));
    file.sync().unwrap_err();
    disk.heal();
    file.sync().unwrap();
    assert!(power_cuts(&disk).into_iter().all(|image| image == [1; 4096]));
    map.store(8, 3, Ordering::Relaxed);
    file.sync().unwrap();
    assert!(power_cuts(&disk).into_iter().all(|image| image[0] == 2 && image[64] == 3));
}

#[test]
fn a_kill_after_a_failed_sync_can_show_either_content() {
    let (disk, file) = disk_with(&[1; 512]);
    file.write_at(&[2; 512], 0).unwrap();
    disk.fail(failing_sync(Failure::Io));
    file.sync().unwrap_err();
    let moment = disk.freeze();
    let seen = SEEDS.map(|seed| moment.crash(seed, Crash::Kill).contents(PATH).unwrap()[0]);
    assert_eq!(seen.collect::<BTreeSet<_>>(), BTreeSet::from([1, 2]));
}

#[test]
fn an_interrupted_sync_leaves_everything_to_the_next() {
    let (disk, file) = disk_with(&[1; 4096]);
    file.write_at(&[2; 4096], 0).unwrap();
    disk.fail(Fault { when: When::Once(0), kind: Some(CallKind::Sync), failure: Failure::Interrupted });
    assert_eq!(file.sync().unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(disk.freeze().unsynced_sectors(), 8);
    file.sync().unwrap();
    assert!(power_cuts(&disk).into_iter().all(|image| image == [2; 4096]));
}

#[test]
fn a_full_disk_is_enospc_and_room_helps() {
    let disk = SimDisk::with_capacity(1, 4 * 4096);
    disk.put(PATH, &[1; 4096]);
    let file = open(&disk, Access::Write);
    file.allocate(4096, 4 * 4096).unwrap_err();
    file.punch(4096, 4 * 4096).unwrap();
    assert_eq!(disk.free_bytes(), 3 * 4096);
    assert_eq!(file.write_at(&[2; 5 * 4096], 0).unwrap_err().raw_os_error(), Some(28));
    assert_eq!(disk.free_bytes(), 0);
    assert_eq!(file.length().unwrap(), 4 * 4096, "a part was written");
    file.write_at(&[3; 4 * 4096], 0).unwrap();
    assert_eq!(file.allocate(0, 5 * 4096).unwrap_err().raw_os_error(), Some(28));
    disk.set_capacity(5 * 4096);
    file.allocate(0, 5 * 4096).unwrap();
    assert_eq!(file.length().unwrap(), 5 * 4096);
}

#[test]
fn a_store_into_a_hole_on_a_full_disk_is_a_sigbus() {
    let disk = SimDisk::with_capacity(1, 4096);
    disk.put(PATH, &[1; 8192]);
    let file = open(&disk, Access::Write);
    file.punch(4096, 4096).unwrap();
    let mut appender = appender(&file, 0, 8192);
    write(&mut appender, 0, &[2; 8]);
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| write(&mut appender, 4096, &[2; 8])));
    assert!(died.unwrap_err().downcast_ref::<String>().unwrap().starts_with("SIGBUS"));
    assert!(disk.contents(PATH).unwrap()[4096..] == [0; 4096]);
}

#[test]
fn faults_strike_the_calls_they_name() {
    let (disk, file) = disk_with(&[1; 4096]);
    let next = disk.counters().total();
    disk.fail(Fault { when: When::Once(next + 1), kind: None, failure: Failure::Io });
    file.length().unwrap();
    assert_eq!(file.length().unwrap_err().raw_os_error(), Some(5));
    file.length().unwrap();
    disk.fail(Fault { when: When::From(0), kind: Some(CallKind::Read), failure: Failure::Short });
    file.length().unwrap();
    for _ in 0..3 {
        assert_eq!(file.read_at(&mut [0; 8], 0).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
    disk.heal();
    file.read_at(&mut [0; 8], 0).unwrap();
    assert_eq!(disk.counters().failures, 4);
}

#[test]
fn a_short_write_writes_a_part() {
    let written = |seed| {
        let disk = SimDisk::new(seed);
        disk.put(PATH, &[1; 4096]);
        let file = open(&disk, Access::Write);
        disk.fail(Fault { when: When::Once(0), kind: Some(CallKind::Write), failure: Failure::Short });
        assert_eq!(file.write_at(&[2; 4096], 0).unwrap_err().kind(), ErrorKind::WriteZero);
        let bytes = disk.contents(PATH).unwrap();
        let written = bytes.iter().take_while(|byte| **byte == 2).count();
        assert!(bytes[written..].iter().all(|byte| *byte == 1) && written < 4096);
        written
    };
    assert!(SEEDS.map(written).collect::<BTreeSet<_>>().len() > SEEDS.count() / 3);
}

#[test]
fn every_kind_of_call_can_fail() {
    let (disk, file) = disk_with(&[1; 4096]);
    let temporary = disk.create_temporary(Path::new(PATH)).unwrap().0;
    let path = Path::new(PATH);
    disk.fail(Fault { when: When::From(0), kind: None, failure: Failure::Io });
    let before = disk.contents(PATH);
    assert!(disk.open(path, Access::Read).is_err() && disk.create_temporary(path).is_err());
    assert!(disk.publish(&temporary, path).is_err() && disk.remove(&temporary).is_err());
    assert!(disk.sync_directory(path).is_err() && file.length().is_err() && file.set_length(9).is_err());
    assert!(file.allocate(0, 9000).is_err() && file.punch(0, 4096).is_err() && file.sync().is_err());
    assert!(file.read_at(&mut [0; 1], 0).is_err() && file.map(Mapping::Private, 0, 4096).is_err());
    assert!(file.try_lock(Access::Read).is_err() && file.is_at(path).is_err() && file.allocated().is_err());
    assert_eq!(disk.contents(PATH), before);
    assert!(file.write_at(&[2; 1], 0).is_err());
    let kinds = CallKind::ALL.into_iter().filter(|kind| kind.can_fail()).count() as u64;
    assert_eq!(disk.counters().failures, kinds);
}

#[test]
#[cfg_attr(miri, ignore = "files end at 1 MiB there")]
fn no_file_is_longer_than_a_gibibyte() {
    let (disk, file) = disk_with(&[1; 10]);
    let limit = 1 << 30;
    for refused in [file.set_length(limit + 1), file.allocate(limit, 1), file.write_at(&[1; 2], limit - 1)] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
    assert_eq!(disk.contents(PATH).unwrap(), [1; 10]);
    file.set_length(limit).unwrap();
    assert_eq!(file.allocated().unwrap(), 4096, "sparse");
}

#[test]
fn a_handle_for_reading_cannot_write() {
    let (disk, _file) = disk_with(&[1; 4096]);
    let reader = open(&disk, Access::Read);
    assert_eq!(reader.write_at(&[2], 0).unwrap_err().raw_os_error(), Some(9));
    assert_eq!(reader.set_length(0).unwrap_err().raw_os_error(), Some(9));
    assert_eq!(reader.map(Mapping::Shared, 0, 4096).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(reader.map(Mapping::Private, 0, 8192).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(disk.contents(PATH).unwrap(), [1; 4096]);
}

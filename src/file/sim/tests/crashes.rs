//! What survives a power cut or a kill.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;

#[test]
fn synced_bytes_survive_every_power_cut() {
    let (disk, file) = disk_with(&[1; 10_000]);
    file.write_at(&[2; 700], 5_000).unwrap();
    file.sync().unwrap();
    let expected = disk.contents(PATH).unwrap();
    assert!(expected[5_000..5_700] == [2; 700]);
    assert!(power_cuts(&disk).into_iter().all(|image| image == expected));
}

#[test]
fn a_sync_covers_nothing_that_is_written_while_it_is_under_way() {
    let (disk, file) = disk_with(&[1; 4096]);
    file.write_at(&[2], 0).unwrap();
    let other = open(&disk, Access::Write);
    disk.on_call(move |disk, call| {
        if call.kind == CallKind::Sync {
            disk.off_call();
            other.write_at(&[3], 0).unwrap();
            other.write_at(&[3], 512).unwrap();
        }
    });
    file.sync().unwrap();
    let both = outcomes(&disk, |image| (image[0], image[512]));
    assert_eq!(both, BTreeSet::from([(2, 1), (2, 3), (3, 1), (3, 3)]));
    file.sync().unwrap();
    assert_eq!(outcomes(&disk, |image| (image[0], image[512])), BTreeSet::from([(3, 3)]));
}

#[test]
fn unsynced_sectors_are_old_or_new_or_torn_at_a_word() {
    let (disk, file) = disk_with(&[1; 8192]);
    file.write_at(&[2; 4096], 2048).unwrap();
    assert_eq!(disk.freeze().unsynced_sectors(), 8);
    let mut torn = 0;
    for image in power_cuts(&disk) {
        assert!(image[..2048] == [1; 2048] && image[6144..] == [1; 2048]);
        for sector in image[2048..6144].chunks(512) {
            let words: Vec<bool> = sector
                .chunks(8)
                .map(|word| {
                    assert!(word == [1; 8] || word == [2; 8], "a word is whole");
                    word[0] == 2
                })
                .collect();
            let boundaries = words.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(boundaries <= 1);
            torn += boundaries;
        }
    }
    assert!(torn > SEEDS.count() / 3, "{torn} torn sectors");
    for sector in (2048..6144).step_by(512) {
        let whole = |image: Vec<u8>| (image[sector], image[sector + 511]);
        assert_eq!(outcomes(&disk, whole), BTreeSet::from([(1, 1), (1, 2), (2, 1), (2, 2)]));
    }
}

#[test]
fn sectors_survive_on_their_own() {
    let (disk, file) = disk_with(&[1; 4096]);
    file.write_at(&[2], 0).unwrap();
    file.write_at(&[2], 512).unwrap();
    let both = outcomes(&disk, |image| (image[0], image[512]));
    assert_eq!(both, BTreeSet::from([(1, 1), (1, 2), (2, 1), (2, 2)]));
}

#[test]
fn an_early_write_back_lets_a_version_in_between_survive() {
    let seen = |one_in| -> BTreeSet<u8> {
        SEEDS
            .map(|seed| {
                let disk = SimDisk::new(seed);
                disk.write_back_one_in(one_in);
                disk.put(PATH, &[1; 512]);
                let file = open(&disk, Access::Write);
                file.write_at(&[2; 512], 0).unwrap();
                file.write_at(&[3; 512], 0).unwrap();
                disk.crash(seed, Crash::Power).contents(PATH).unwrap()[0]
            })
            .collect()
    };
    assert_eq!(seen(0), BTreeSet::from([1, 3]));
    assert_eq!(seen(1), BTreeSet::from([1, 2, 3]));
}

#[test]
fn a_length_survives_or_not_whatever_the_bytes_do() {
    let (disk, file) = disk_with(&[1; 512]);
    file.write_at(&[2; 512], 512).unwrap();
    file.set_length(2048).unwrap();
    let lengths = outcomes(&disk, |image| (image.len(), image.get(512).copied()));
    let bytes = |length| [(length, Some(0)), (length, Some(2))];
    let expected = [(512, None)].into_iter().chain(bytes(1024)).chain(bytes(2048));
    assert_eq!(lengths, expected.collect());
}

#[test]
fn bytes_behind_a_lost_length_do_not_come_back() {
    let (disk, file) = disk_with(&[1; 512]);
    file.write_at(&[2; 9000], 512).unwrap();
    for seed in SEEDS {
        let after = disk.crash(seed, Crash::Power);
        let length = after.contents(PATH).unwrap().len();
        open(&after, Access::Write).set_length(9512).unwrap();
        let regrown = after.contents(PATH).unwrap();
        assert!(regrown[length..].iter().all(|byte| *byte == 0), "seed {seed}");
    }
}

#[test]
fn a_lost_truncation_brings_the_old_bytes_back() {
    let (disk, file) = disk_with(&[1; 12_288]);
    file.set_length(5000).unwrap();
    file.set_length(12_288).unwrap();
    assert!(disk.contents(PATH).unwrap()[5000..].iter().all(|byte| *byte == 0));
    let bytes = outcomes(&disk, |image| (image.len(), image.get(8192).copied()));
    assert!(bytes.contains(&(12_288, Some(1))) && bytes.contains(&(12_288, Some(0))));
    assert!(bytes.contains(&(5000, None)));
}

#[test]
fn a_lost_punch_brings_the_old_bytes_back() {
    let (disk, file) = disk_with(&[1; 12_288]);
    file.punch(4096, 4096).unwrap();
    assert_eq!(file.allocated().unwrap(), 8192);
    let bytes = outcomes(&disk, |image| (image[4095], image[4096], image[4096 + 512], image[8192]));
    assert!(bytes.contains(&(1, 1, 1, 1)) && bytes.contains(&(1, 0, 0, 1)));
    file.sync().unwrap();
    assert_eq!(outcomes(&disk, |image| image[4096..8192].to_vec()), BTreeSet::from([vec![0; 4096]]));
}

#[test]
fn a_punch_survives_or_not_as_a_whole_or_sector_by_sector() {
    let (disk, file) = disk_with(&[1; 12_288]);
    file.write_at(&[2; 4096], 0).unwrap();
    file.punch(4096, 8192).unwrap();
    let alike = |bytes: &[u8]| bytes.iter().all(|byte| *byte == bytes[0]).then_some(bytes[0]);
    let seen = outcomes(&disk, |image| (alike(&image[..4096]), alike(&image[4096..])));
    // Coins for each of the 24 sectors would not come to these.
    assert!(seen.contains(&(Some(2), Some(1))) && seen.contains(&(Some(1), Some(0))));
    assert!(seen.contains(&(Some(2), None)) || seen.contains(&(None, None)));
}

#[test]
fn a_punch_does_not_take_away_what_was_written_into_the_hole() {
    let (disk, file) = disk_with(&[1; 8192]);
    file.punch(0, 4096).unwrap();
    file.write_at(&[3; 512], 0).unwrap();
    let bytes = outcomes(&disk, |image| (image[0], image[1024]));
    assert_eq!(bytes, BTreeSet::from([(0, 0), (1, 0), (1, 1), (3, 0), (3, 1)]));
    disk.write_back_one_in(1);
    while disk.freeze().unsynced_sectors() > 0 {
        file.length().unwrap();
    }
    assert_eq!(outcomes(&disk, |image| (image[0], image[1024])), BTreeSet::from([(3, 0)]));
}

#[test]
fn partial_pages_of_a_punch_are_zeroed_in_place() {
    let (disk, file) = disk_with(&[1; 12_288]);
    file.punch(100, 8200).unwrap();
    let bytes = disk.contents(PATH).unwrap();
    assert!(bytes[..100] == [1; 100] && bytes[100..8300] == [0; 8200] && bytes[8300..] == [1; 3988]);
    assert_eq!(file.allocated().unwrap(), 8192);
}

#[test]
fn an_allocation_can_be_lost() {
    let (disk, file) = disk_with(&[1; 4096]);
    file.allocate(4096, 8192).unwrap();
    assert_eq!(file.allocated().unwrap(), 12_288);
    let moment = disk.freeze();
    let allocated = |seed| {
        let after = moment.crash(seed, Crash::Power);
        let allocated = open(&after, Access::Read).allocated().unwrap();
        (after.contents(PATH).unwrap().len(), allocated)
    };
    let expected = [(4096, 4096), (4096, 12_288), (12_288, 4096), (12_288, 12_288)];
    assert_eq!(SEEDS.map(allocated).collect::<BTreeSet<_>>(), expected.into());
}

#[test]
fn names_are_durable_after_the_directory_is() {
    let disk = SimDisk::new(1);
    let (temporary, file) = disk.create_temporary(Path::new(PATH)).unwrap();
    file.write_at(&[1; 10], 0).unwrap();
    file.sync().unwrap();
    let paths =
        || -> BTreeSet<Vec<PathBuf>> { SEEDS.map(|seed| disk.crash(seed, Crash::Power).paths()).collect() };
    assert_eq!(paths(), BTreeSet::from([vec![], vec![temporary.clone()]]));
    assert!(disk.publish(&temporary, Path::new(PATH)).unwrap());
    assert_eq!(paths(), BTreeSet::from([vec![], vec![temporary], vec![PATH.into()]]));
    disk.sync_directory(Path::new("elsewhere/file")).unwrap();
    assert_eq!(paths().len(), 3);
    disk.sync_directory(Path::new(PATH)).unwrap();
    assert_eq!(paths(), BTreeSet::from([vec![PATH.into()]]));
}

#[test]
fn content_survives_apart_from_the_name() {
    let disk = SimDisk::new(1);
    let (temporary, file) = disk.create_temporary(Path::new(PATH)).unwrap();
    file.write_at(&[1; 10], 0).unwrap();
    disk.publish(&temporary, Path::new(PATH)).unwrap();
    disk.sync_directory(Path::new(PATH)).unwrap();
    assert!(power_cuts(&disk).contains(&Vec::new()), "a name without its bytes");
}

#[test]
fn publishing_replaces_nothing() {
    let (disk, _file) = disk_with(&[1; 10]);
    let (temporary, loser) = disk.create_temporary(Path::new(PATH)).unwrap();
    assert!(!disk.publish(&temporary, Path::new(PATH)).unwrap());
    assert!(!loser.is_at(Path::new(PATH)).unwrap());
    disk.remove(&temporary).unwrap();
    assert_eq!(disk.paths(), [PathBuf::from(PATH)]);
}

#[test]
fn a_removed_name_comes_back_until_the_directory_is_synced() {
    let (disk, _file) = disk_with(&[1; 10]);
    disk.remove(Path::new(PATH)).unwrap();
    let back = || SEEDS.filter(|seed| !disk.crash(*seed, Crash::Power).paths().is_empty()).count();
    assert!(back() > SEEDS.count() / 6);
    disk.sync_directory(Path::new(PATH)).unwrap();
    assert_eq!(back(), 0);
}

#[test]
fn a_kill_keeps_the_cache_and_a_power_cut_then_loses_it() {
    let (disk, file) = disk_with(&[1; 4096]);
    file.write_at(&[2; 4096], 0).unwrap();
    file.set_length(9000).unwrap();
    let killed = disk.crash(1, Crash::Kill);
    assert_eq!(killed.contents(PATH), disk.contents(PATH));
    assert_eq!(killed.freeze().unsynced_sectors(), 8);
    let kept = open(&killed, Access::Write);
    let lost = outcomes(&killed, |image| (image.len(), image[0]));
    assert_eq!(lost, BTreeSet::from([(4096, 1), (4096, 2), (9000, 1), (9000, 2)]));
    kept.sync().unwrap();
    assert_eq!(outcomes(&killed, |image| (image.len(), image[0])), BTreeSet::from([(9000, 2)]));
}

#[test]
fn a_crash_leaves_the_disk_as_it_is() {
    let (disk, file) = disk_with(&[1; 4096]);
    file.write_at(&[2; 4096], 0).unwrap();
    let after = disk.crash(3, Crash::Kill);
    open(&after, Access::Write).write_at(&[3; 4096], 0).unwrap();
    assert!(disk.contents(PATH).unwrap() == [2; 4096]);
    file.sync().unwrap();
    assert!(after.contents(PATH).unwrap() == [3; 4096]);
    assert!(outcomes(&after, |image| image[0]).contains(&1), "the image has a disk of its own");
}

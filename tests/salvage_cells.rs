//! Salvage of files whose cells hold keys and values: the log says what came last, the cells all else.

use std::collections::HashMap;

use tophash::sim::{Crash, SimDisk};
use tophash::{Options, Salvage};

const OLD: &str = "damaged.tophash";
const NEW: &str = "new.tophash";

fn on(disk: &SimDisk) -> Options {
    Options::new().media(disk.clone()).background(false)
}

/// A file of the inline layout: the log says what came last, the cells all else.
#[test]
fn what_a_map_of_cells_still_holds_is_kept() {
    const ENTRIES: u64 = 20_000;
    let disk = SimDisk::new(1);
    let squares = on(&disk).open_map::<u64, u64>(OLD).unwrap();
    for n in 0..ENTRIES {
        squares.insert(n, n * n).unwrap();
    }
    squares.remove(&7).unwrap();
    squares.checkpoint().unwrap();
    let buckets =
        squares.info().unwrap().extents.into_iter().find(|extent| extent.what == "buckets").unwrap();
    squares.insert(5, 1).unwrap();
    drop(squares);
    let whole = disk.contents(OLD).unwrap();
    // A page of the array in the middle, and one bit.
    for damaged_pages in [0, 1] {
        let mut bytes = whole.clone();
        if damaged_pages > 0 {
            bytes[(buckets.offset + buckets.bytes / 2) as usize / 4096 * 4096 + 100] ^= 0x10;
        }
        let disk = SimDisk::new(2);
        disk.put(OLD, &bytes);
        let report = Salvage::new(OLD, NEW).options(on(&disk)).run().unwrap();
        let kept = on(&disk).open_map::<u64, u64>(NEW).unwrap();
        for entry in &kept {
            let (key, value) = entry.unwrap();
            assert_eq!(value, if key == 5 { 1 } else { key * key });
        }
        assert_eq!(kept.get(&7).unwrap(), None);
        // A page has some 28 buckets.
        let lost = ENTRIES - 1 - kept.len();
        assert!(lost <= damaged_pages * 29 * 16, "{lost} entries are lost");
        assert_eq!(lost > 0, damaged_pages > 0);
        assert_eq!(report.entries, kept.len());
        assert_eq!(report.is_complete(), damaged_pages == 0);
        assert_eq!(report.damage.is_empty(), damaged_pages == 0);
    }
}

/// An unclean file that does not open: the cells of its last checkpoint, and the log behind it.
#[test]
fn cells_of_a_checkpoint_are_kept_where_the_file_does_not_open() {
    const ENTRIES: u64 = 3_000;
    let disk = SimDisk::new(1);
    let map = on(&disk).open_map::<u64, u64>(OLD).unwrap();
    (0..ENTRIES).for_each(|n| assert_eq!(map.insert(n, n).unwrap(), None));
    map.checkpoint().unwrap();
    // A removal, a new value and a new key that the log alone tells of.
    map.remove(&7).unwrap();
    map.insert(8, 1).unwrap();
    map.insert(ENTRIES, ENTRIES).unwrap();
    map.sync().unwrap();
    let buckets = map.info().unwrap().extents.into_iter().find(|extent| extent.what == "buckets").unwrap();
    let whole = disk.crash(1, Crash::Kill).contents(OLD).unwrap();
    let salvaged = |bytes: &[u8], all| {
        let disk = SimDisk::new(2);
        disk.put(OLD, bytes);
        let opens = on(&disk).read_only(true).open_map::<u64, u64>(OLD).is_ok();
        let report = Salvage::new(OLD, NEW).options(on(&disk)).all(all).run().unwrap();
        let kept = on(&disk).open_map::<u64, u64>(NEW).unwrap();
        let kept: HashMap<u64, u64> = kept.iter().map(Result::unwrap).collect();
        (opens, report, kept)
    };
    let mut did_not_open = 0;
    for page in (buckets.offset..buckets.offset + buckets.bytes).step_by(4096) {
        let mut bytes = whole.clone();
        bytes[page as usize + 100] ^= 0x10;
        let (opens, report, kept) = salvaged(&bytes, false);
        if opens {
            continue;
        }
        did_not_open += 1;
        assert!(!report.is_complete() && !report.damage.is_empty());
        let lost = ENTRIES - kept.len() as u64;
        assert!((1..=29 * 16).contains(&lost), "{lost} entries are lost");
        let value = |key| if key == 8 { 1 } else { key };
        assert!(kept.iter().all(|(&key, &found)| key != 7 && found == value(key)));
    }
    assert!(did_not_open > 0);
    // What is asked for all has the cells too.
    let (_, _, kept) = salvaged(&whole, true);
    assert!((0..ENTRIES).all(|key| key == 7 || kept.contains_key(&key)));
}

use std::path::Path;

use crate::{left, run, scratch};

/// `None` where power can't be cut, which it says.
fn cut(arguments: &str, dir: &Path) -> Option<(i32, String)> {
    let (code, printed) = run(&format!("powercut {arguments}"), dir);
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(dir.to_str().unwrap()), "{mounts}");
    if printed.contains(": skipped, because ") {
        println!("{printed}");
        assert_eq!(code, 0, "{printed}");
        return None;
    }
    Some((code, printed))
}

#[test]
fn a_power_cut_takes_nothing_that_was_synced() {
    let scratch = scratch("test-powercut");
    let arguments = "--fs ext4 --seed 3 --cycles 2 --cuts 3 --threads 1";
    let Some((code, printed)) = cut(arguments, scratch.path()) else { return };
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains(" in 2 cycles from seed 3 on, "), "{printed}");
    assert!(printed.contains(" cuts took a tail that was not synced, "), "{printed}");
    assert!(printed.contains("no violation"), "{printed}");
    assert_eq!(left(scratch.path()), 0);
}

#[test]
fn a_sync_that_was_acknowledged_and_not_done_is_a_violation() {
    let scratch = scratch("test-powercut-lie");
    let arguments = "--fs ext4 --seed 3 --cycles 3 --threads 1 --lie syncs";
    let Some((code, printed)) = cut(arguments, scratch.path()) else { return };
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("\nviolation, seed "), "{printed}");
    assert!(printed.contains("again: tophash-crash powercut --fs ext4 --cuts 5 --seed "), "{printed}");
    assert_eq!(left(scratch.path()), 1, "the file system that is wrong is kept");
}

//! The exit codes, one by one.

use std::sync::atomic::{AtomicBool, Ordering};

use tophash::Options;

use crate::support::{Dir, damage};

/// Every report, and what else opens the file.
const REPORTS: [&[&str]; 9] = [
    &["get", "a.tophash", "key"],
    &["info", "a.tophash"],
    &["stats", "a.tophash"],
    &["buckets", "a.tophash"],
    &["growth", "a.tophash"],
    &["verify", "a.tophash"],
    &["dump", "a.tophash"],
    &["export", "a.tophash"],
    &["backup", "a.tophash", "copy.tophash"],
];
const WRITERS: [&[&str]; 7] = [
    &["set", "a.tophash", "key", "value"],
    &["del", "a.tophash", "key"],
    &["clear", "a.tophash", "--yes"],
    &["checkpoint", "a.tophash"],
    &["compact", "a.tophash"],
    &["import", "a.tophash", "-"],
    &["add", "a.tophash", "key"],
];

fn every_verb() -> impl Iterator<Item = &'static [&'static str]> {
    REPORTS.into_iter().chain(WRITERS)
}

#[test]
fn a_missing_key_or_bucket_is_1() {
    let dir = Dir::with_unicode();
    let message = dir.run(["get", "unicode.tophash", "no\tsuch"]).fails(1);
    assert_eq!(message, "tophash: no key 'no\\tsuch' in unicode.tophash\n");
    dir.run(["get", "unicode.tophash", "no such", "--json"]).fails(1);
    let message = dir.run(["buckets", "unicode.tophash", "--bucket", "8192"]).fails(1);
    assert_eq!(message, "tophash: no bucket 8192: the array has 8,192 buckets\n");
    dir.run(["buckets", "unicode.tophash", "--old", "--bucket", "0"]).fails(1);
}

#[test]
fn wrong_usage_is_2() {
    let dir = Dir::with_unicode();
    for arguments in [
        &["stats"][..],
        &["frobnicate", "unicode.tophash"],
        &["import", "unicode.tophash", "-", "--load-factor", "9"],
        &["import", "unicode.tophash", "-", "--delimiter", ""],
        &["import", "unicode.tophash", "-", "--delimiter", ";", "--format", "tsv"],
        &["set", "unicode.tophash", "key without a value"],
        &["man", "frobnicate"],
    ] {
        let run = dir.run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}");
        assert!(!run.stderr.is_empty() && run.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_file_that_is_not_ours_is_2_and_stays_as_it_was() {
    let dir = Dir::new();
    let text = "This is a letter.\n".repeat(1000);
    for content in [text.as_str(), "short", ""] {
        dir.write("a.tophash", content);
        for arguments in every_verb() {
            let message = dir.run(arguments).fails(2);
            assert!(message.contains("a.tophash is not a tophash file"), "{arguments:?}: {message}");
            assert_eq!(dir.read("a.tophash"), content.as_bytes());
        }
    }
}

#[test]
fn a_damaged_value_is_3() {
    let dir = Dir::with_unicode();
    damage(&dir.path("unicode.tophash"), b"GRINNING FACE;");
    let message = dir.run(["get", "unicode.tophash", "1F600"]).fails(3);
    assert!(message.contains("corrupt") && message.contains("offset"), "{message}");
    // Other entries are as well as ever.
    dir.run(["get", "unicode.tophash", "1F601"]).ok();

    let run = dir.run(["verify", "unicode.tophash"]);
    let report = String::from_utf8(run.stdout).unwrap();
    assert_eq!((run.code, run.stderr.as_str()), (3, ""));
    assert!(report.contains("record: expected checksum") && report.contains(" fault"), "{report}");
    let run = dir.run(["verify", "unicode.tophash", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((run.code, &report["clean"]), (3, &false.into()));
    assert!(report["faults"].to_string().contains("\"offset\":"), "{report}");

    let run = dir.run(["dump", "unicode.tophash"]);
    assert_eq!(run.code, 3);
}

#[test]
fn damage_that_keeps_the_store_from_opening_is_3_and_a_finding() {
    let dir = Dir::with_unicode();
    let path = dir.path("unicode.tophash");
    let info = dir.run(["info", "unicode.tophash", "--json"]).ok_json();
    let catalog =
        info["extents"].as_array().unwrap().iter().find(|extent| extent["what"] == "catalog").unwrap();
    let mut file = dir.read("unicode.tophash");
    file[catalog["offset"].as_u64().unwrap() as usize + 40] ^= 1;
    std::fs::write(&path, file).unwrap();
    dir.run(["stats", "unicode.tophash"]).fails(3);
    let run = dir.run(["verify", "unicode.tophash", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((run.code, report["faults"].as_array().unwrap().len()), (3, 1));
}

#[test]
fn a_file_that_another_process_writes_is_4() {
    let dir = Dir::new();
    let store = dir.store("a.tophash");
    for arguments in every_verb() {
        let message = dir.run(arguments).fails(4);
        assert!(message.contains("a.tophash is locked"), "{arguments:?}: {message}");
    }
    drop(store);
    assert!(!dir.path("copy.tophash").exists());
    // Readers share it among themselves, and keep writers out.
    let _reader = Options::new().read_only(true).open(dir.path("a.tophash")).unwrap();
    dir.run(["stats", "a.tophash"]).ok();
    dir.run(["set", "a.tophash", "key", "value"]).fails(4);
}

/// Nothing of a store that is being written is shown, and who asks is told what there is instead.
#[test]
fn reports_on_a_live_store_show_nothing_and_say_what_to_do() {
    let dir = Dir::new();
    let (store, stop) = (dir.store("a.tophash"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0u64..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                store.insert((n % 5_000).to_le_bytes(), n.to_le_bytes()).unwrap();
            }
        });
        for arguments in REPORTS {
            let message = dir.run(arguments).fails(4);
            let pid = std::process::id();
            assert!(message.contains(&format!("locked by process {pid} for writing")), "{message}");
            assert!(message.contains("Store::backup") && message.contains("Store::snapshot"), "{message}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_file_that_is_not_there_is_5_and_is_not_made() {
    let dir = Dir::new();
    let makes_none = REPORTS.into_iter().chain([WRITERS[1], WRITERS[2], WRITERS[3], WRITERS[6]]);
    for arguments in makes_none {
        let message = dir.run(arguments).fails(5);
        assert!(message.starts_with("tophash: a.tophash: "), "{arguments:?}: {message}");
    }
    assert!(!dir.path("a.tophash").exists());
}

#[test]
fn a_full_disk_under_the_output_is_5() {
    let full = std::path::Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let dir = Dir::with_unicode();
    for arguments in [["dump", "unicode.tophash"], ["stats", "unicode.tophash"]] {
        let mut command = dir.command(arguments);
        let run = crate::support::run_into(&mut command, std::fs::File::create(full).unwrap());
        assert!(run.fails(5).starts_with("tophash: standard output: "));
    }
    let message = dir.run(["export", "unicode.tophash", "/dev/full", "--force"]).fails(5);
    assert!(message.contains("/dev/full is incomplete"), "{message}");
}

#[test]
fn a_newer_format_is_6_and_stays_as_it_was() {
    let dir = Dir::new();
    drop(dir.store("a.tophash"));
    let mut file = dir.read("a.tophash");
    // format.md: two header slots of 512 bytes at pages 0 and 1, the major version at 8, a CRC-32 at the end.
    for slot in [0, 4096] {
        file[slot + 8] = 2;
        let crc = crc32fast::hash(&file[slot..slot + 508]);
        file[slot + 508..slot + 512].copy_from_slice(&crc.to_le_bytes());
    }
    dir.write("a.tophash", &file);
    for arguments in every_verb() {
        let message = dir.run(arguments).fails(6);
        assert!(message.contains("version 2."), "{arguments:?}: {message}");
    }
    assert!(dir.read("a.tophash") == file);
}

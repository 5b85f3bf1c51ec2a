//! `salvage`: what it says, and its exit codes.

use serde_json::Value;

use crate::support::{Dir, UNICODE_ENTRIES, damage};

#[test]
fn a_file_without_headers_comes_back_whole() {
    let dir = Dir::with_unicode();
    let mut file = dir.read("unicode.tophash");
    file[..8192].fill(0);
    dir.write("unicode.tophash", &file);
    dir.run(["stats", "unicode.tophash"]).fails(2);
    let report = dir.run(["salvage", "unicode.tophash", "new.tophash", "--json"]).ok_json();
    assert_eq!((&report["complete"], &report["entries"]), (&true.into(), &UNICODE_ENTRIES.into()));
    assert_eq!(report["table_entries"], Value::Null);
    assert!(dir.read("unicode.tophash") == file);
    assert_eq!(dir.run(["get", "new.tophash", "1F600"]).ok_text(), "GRINNING FACE;So;0;ON;;;;;N;;;;;\n");
    dir.run(["verify", "new.tophash"]).ok();
}

#[test]
fn a_lost_value_is_3_and_the_rest_is_kept() {
    let dir = Dir::with_unicode();
    damage(&dir.path("unicode.tophash"), b"GRINNING FACE;");
    let before = dir.read("unicode.tophash");
    let run = dir.run(["salvage", "unicode.tophash", "new.tophash"]);
    let text = String::from_utf8(run.stdout).unwrap();
    assert_eq!((run.code, run.stderr.as_str()), (3, ""));
    assert!(text.contains("something may be lost") && text.contains("offset "), "{text}");
    assert!(text.contains("34,923") && text.contains("34,924 in the damaged table"), "{text}");
    dir.run(["get", "new.tophash", "1F600"]).fails(1);
    dir.run(["get", "new.tophash", "1F601"]).ok();
    assert!(dir.read("unicode.tophash") == before);
}

#[test]
fn a_damaged_large_value_is_named_and_can_be_deleted() {
    let dir = Dir::new();
    let store = dir.store("a.tophash");
    store.insert("large", [7; 70_000]).unwrap();
    store.insert("small", "value").unwrap();
    drop(store);
    damage(&dir.path("a.tophash"), &[7; 60_000]);
    let run = dir.run(["salvage", "a.tophash", "new.tophash", "--json"]);
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((run.code, &report["lost"], &report["keys"][0]["key"]), (3, &1.into(), &"large".into()));
    dir.run(["set", "a.tophash", "large", "new"]).fails(3);
    dir.run(["del", "a.tophash", "large"]).ok();
    dir.run(["set", "a.tophash", "large", "new"]).ok();
}

#[test]
fn a_new_file_that_is_there_is_2_and_stays() {
    let dir = Dir::with_unicode();
    dir.write("new.tophash", "a letter");
    let message = dir.run(["salvage", "unicode.tophash", "new.tophash"]).fails(2);
    assert!(message.contains("new.tophash is there already"), "{message}");
    assert_eq!(dir.read("new.tophash"), b"a letter");
    dir.run(["salvage", "unicode.tophash", "unicode.tophash"]).fails(2);
}

#[test]
fn what_can_not_be_salvaged_makes_no_file() {
    let dir = Dir::new();
    dir.write("letter", "This is a letter.");
    dir.run(["salvage", "letter", "new.tophash"]).fails(2);
    dir.run(["salvage", "missing", "new.tophash"]).fails(5);
    let store = dir.store("a.tophash");
    dir.run(["salvage", "a.tophash", "new.tophash"]).fails(4);
    drop(store);
    assert!(!dir.path("new.tophash").exists());
}

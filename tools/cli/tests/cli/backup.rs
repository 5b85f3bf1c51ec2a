//! `tophash backup`.

use tophash::Options;

use crate::support::{Dir, UNICODE_ENTRIES, crashed_in_growth};

#[test]
fn the_copy_has_everything_and_the_original_is_not_written() {
    let dir = Dir::with_unicode();
    let before = dir.read("unicode.tophash");
    let text = dir.run(["backup", "unicode.tophash", "copy.tophash"]).ok_text();
    assert!(text.starts_with("copy.tophash: 34,924 entries, "), "{text}");
    assert!(dir.read("unicode.tophash") == before);
    dir.run(["verify", "copy.tophash"]).ok();
    let sorted = |name: &str| {
        let mut lines: Vec<_> = dir.run(["dump", name]).ok_text().lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert!(sorted("copy.tophash") == sorted("unicode.tophash"));

    let report = dir.run(["backup", "copy.tophash", "second.tophash", "--json"]).ok_json();
    assert_eq!(report["entries"], UNICODE_ENTRIES);
    let length = dir.read("second.tophash").len();
    assert_eq!(report["file_bytes"], length);
    assert!(report["bytes"].as_u64().unwrap() <= length as u64);
}

#[test]
fn a_file_that_was_not_closed_is_copied_as_it_is() {
    let dir = Dir::new();
    let entries = crashed_in_growth(&dir, "crashed.tophash");
    let before = dir.read("crashed.tophash");
    let report = dir.run(["backup", "crashed.tophash", "copy.tophash", "--json"]).ok_json();
    assert_eq!(report["entries"], entries);
    assert!(dir.read("crashed.tophash") == before);
    dir.run(["verify", "copy.tophash"]).ok();
    let copy = Options::new().open(dir.path("copy.tophash")).unwrap();
    assert_eq!((copy.len(), copy.stats().unwrap().recovered), (entries, true));
}

#[test]
fn a_target_that_exists_is_2_and_stays() {
    let dir = Dir::with_unicode();
    dir.write("letter", "a letter");
    for target in ["letter", "unicode.tophash"] {
        let before = dir.read(target);
        let message = dir.run(["backup", "unicode.tophash", target]).fails(2);
        assert_eq!(message, format!("tophash: {target} is there already; backup makes a new file\n"));
        assert!(dir.read(target) == before);
    }
}

#[test]
fn a_target_without_a_directory_is_5() {
    let dir = Dir::with_unicode();
    dir.run(["backup", "unicode.tophash", "nowhere/copy.tophash"]).fails(5);
}

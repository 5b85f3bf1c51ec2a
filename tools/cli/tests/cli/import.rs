//! `import`: lines in, entries in the store, and a summary of it.

use crate::support::{Dir, UNICODE_ENTRIES, unicode_data};

#[test]
fn the_shipped_data_comes_in_and_is_found() {
    let dir = Dir::new();
    let summary = dir.run(["import", "u.tophash", unicode_data(), "--delimiter", ";", "--json"]).ok_json();
    assert_eq!(summary["entries"], UNICODE_ENTRIES);
    assert_eq!(summary["new"], UNICODE_ENTRIES);
    assert_eq!(summary["replaced"], 0);
    assert_eq!(summary["file_bytes"], dir.read("u.tophash").len());
    assert!(summary["seconds"].as_f64().unwrap() > 0.0);
    let value = dir.run(["get", "u.tophash", "1F600"]).ok_text();
    assert_eq!(value, "GRINNING FACE;So;0;ON;;;;;N;;;;;\n");
}

#[test]
fn a_second_import_replaces() {
    let dir = Dir::with_unicode();
    let arguments = ["import", "unicode.tophash", unicode_data(), "--delimiter", ";", "--json"];
    let summary = dir.run(arguments).ok_json();
    assert_eq!(summary["new"], 0);
    assert_eq!(summary["replaced"], UNICODE_ENTRIES);
    assert_eq!(summary["growths"], 0);
    assert_eq!(summary["count"], UNICODE_ENTRIES);
}

#[test]
fn every_growth_is_counted() {
    let dir = Dir::new();
    let lines: String = (0..1000).map(|i| format!("{i}\tx\n")).collect();
    let summary = dir.run_with_input(lines.as_bytes(), ["import", "a.tophash", "-", "--json"]).ok_json();
    // From one bucket on, every doubling adds one to B, and the first of them begin and end in one insert.
    assert_eq!(summary["growths"], summary["b"]);
    assert_eq!(summary["b"], 8);

    let arguments = ["import", "b.tophash", "-", "--json", "--capacity", "1000"];
    let summary = dir.run_with_input(lines.as_bytes(), arguments).ok_json();
    assert_eq!((&summary["growths"], &summary["b"]), (&0.into(), &8.into()));
}

#[test]
fn a_growth_to_the_same_size_is_counted() {
    // 16 buckets hold 100 entries without doubling. Filling and emptying them leaves overflow buckets behind, until
    // there are so many that the table packs its chains; `noverflow` falls then, and only then.
    let dir = Dir::new();
    let mut noverflow = 0;
    for round in 0..1000 {
        let lines: String = (0..100).map(|i| format!("{round} {i}\t\n")).collect();
        // Line by line: a batch could begin and end it, and then it would not show.
        let arguments = ["import", "a.tophash", "-", "--json", "--capacity", "100", "--batch", "1"];
        let summary = dir.run_with_input(lines.as_bytes(), arguments).ok_json();
        // Opened without the capacity, the store would shrink when it is emptied.
        let store = tophash::Options::new().capacity(100).open(dir.path("a.tophash")).unwrap();
        let stats = store.stats().unwrap();
        assert_eq!(stats.b, 4);
        let grown = stats.noverflow < noverflow;
        assert_eq!(summary["growths"], u64::from(grown));
        if grown {
            return;
        }
        noverflow = stats.noverflow;
        (0..100).for_each(|i| drop(store.remove(format!("{round} {i}")).unwrap()));
    }
    panic!("no growth to the same size");
}

#[test]
fn the_summary_for_people_names_what_happened() {
    let dir = Dir::new();
    let summary = dir.run_with_input(b"a\t1\nb\t2\na\t3\n", ["import", "a.tophash", "-"]).ok_text();
    for expected in ["entries   ", "new  ", "2 in the store now", "replaced  ", "growths", "entries/s", "KiB"]
    {
        assert!(summary.contains(expected), "{expected} in\n{summary}");
    }
}

#[test]
fn a_line_is_split_at_the_first_delimiter_and_taken_byte_for_byte() {
    let dir = Dir::new();
    let lines =
        b"plain\tone\ttwo\n\tempty key\nempty value\t\n\\t\t\\n\xff\nwindows\tline\r\nlast\tno newline";
    dir.run_with_input(lines, ["import", "a.tophash", "-"]).ok();
    let store = dir.store("a.tophash");
    assert_eq!(store.len(), 6);
    for (key, value) in [
        (&b"plain"[..], &b"one\ttwo"[..]),
        (b"", b"empty key"),
        (b"empty value", b""),
        (b"\\t", b"\\n\xff"),
        (b"windows", b"line"),
        (b"last", b"no newline"),
    ] {
        assert_eq!(store.get(key).unwrap().as_deref(), Some(value), "{}", key.escape_ascii());
    }
}

#[test]
fn a_delimiter_may_be_long_and_have_escapes() {
    let dir = Dir::new();
    dir.run_with_input(b"a -> b", ["import", "a.tophash", "-", "--delimiter", " -> "]).ok();
    dir.run_with_input(b"c\x01d", ["import", "a.tophash", "-", "--delimiter", r"\x01"]).ok();
    assert_eq!(dir.run(["get", "a.tophash", "a"]).ok(), b"b\n");
    assert_eq!(dir.run(["get", "a.tophash", "c"]).ok(), b"d\n");
}

#[test]
fn a_malformed_line_is_named_and_what_stands_before_it_is_kept() {
    let dir = Dir::new();
    for (format, lines, expected) in [
        ("lines", "k\tv\n\nx\ty\n", "expected KEY\\tVALUE, found an empty line"),
        ("tsv", "k\tv\nk\\q\tv\n", "expected an escape"),
        ("jsonl", "{\"key\":\"k\",\"value\":\"v\"}\n{\"key\":1}\n", "line 2"),
    ] {
        let file = format!("{format}.tophash");
        let run = dir.run_with_input(lines.as_bytes(), ["import", &file, "-", "--format", format]);
        let message = run.fails(2);
        assert!(message.contains("standard input, line 2:"), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("the line before it was imported"), "{message}");
        assert_eq!(dir.run(["get", &file, "k"]).ok(), b"v\n");
    }
}

#[test]
fn the_options_of_a_new_file_are_obeyed() {
    let dir = Dir::new();
    let options = ["--load-factor", "4.5", "--hash", "rapidhash", "--durability", "buffered"];
    dir.run_with_input(b"a\tb\n", ["import", "a.tophash", "-"].iter().chain(&options)).ok();
    let info = dir.run(["info", "a.tophash", "--json"]).ok_json();
    assert_eq!(info["hash"], "rapidhash-v3");
    assert_eq!(info["max_load_factor"], 4.5);
}

#[test]
fn a_missing_input_makes_no_store() {
    let dir = Dir::new();
    let message = dir.run(["import", "a.tophash", "missing.txt"]).fails(5);
    assert!(message.contains("missing.txt"), "{message}");
    assert!(!dir.path("a.tophash").exists());
}

#[test]
fn a_store_is_no_input_of_itself() {
    let dir = Dir::with_unicode();
    let before = dir.read("unicode.tophash");
    dir.run(["import", "unicode.tophash", "./unicode.tophash"]).fails(2);
    assert!(dir.read("unicode.tophash") == before);
}

#[test]
fn entries_come_in_batches_of_any_size() {
    let dir = Dir::new();
    let lines: String = (0..2_500).map(|i| format!("{}\t{i}\n", i % 2_400)).collect();
    for batch in ["1", "7", "1000", "2500", "1000000"] {
        let file = format!("{batch}.tophash");
        let arguments = ["import", &file, "-", "--json", "--batch", batch];
        let summary = dir.run_with_input(lines.as_bytes(), arguments).ok_json();
        assert_eq!((&summary["new"], &summary["replaced"]), (&2_400.into(), &100.into()), "{batch}");
        assert_eq!(dir.run(["get", &file, "99"]).ok(), b"2499\n");
        assert_eq!(dir.run(["get", &file, "100"]).ok(), b"100\n");
    }
    assert_eq!(dir.run_with_input(b"", ["import", "a.tophash", "-", "--batch", "0"]).code, 2);
}

#[test]
fn a_key_that_is_too_large_is_named_by_its_line() {
    let dir = Dir::new();
    let lines = [b"k\tv\n".to_vec(), vec![b'x'; (16 << 20) + 1], b"\tv\n".to_vec()].concat();
    let message = dir.run_with_input(&lines, ["import", "a.tophash", "-"]).fails(2);
    assert!(message.contains("line 2: a key of 16777217 is too large"), "{message}");
    assert_eq!(dir.run(["get", "a.tophash", "k"]).ok(), b"v\n");
}

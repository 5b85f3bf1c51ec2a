//! Files that know the types of their keys and values: `create`, and what every verb makes of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tophash::{DataType, Options, Schema};

use crate::support::{Dir, damage};

/// Pairs of types and entries of them as a TSV file.
const FILES: [(&str, &str, &str); 6] = [
    ("u64", "u64", "1\t2\n18446744073709551615\t0\n9007199254740992\t9007199254740991\n"),
    ("str", "u32", "\t0\nmoon\t7\nschlüssel\\t\t4294967295\n"),
    ("i128", "f64", "-170141183460469231731687303715884105728\t0.1\n-1\tinf\n0\t-1e-300\n5\tNaN\n"),
    ("bytes:2", "bool", "ab\ttrue\nhex:00ff\tfalse\n"),
    ("u8", "str", "0\t\n255\ta\\nb\n"),
    ("bytes:20", "()", "hex:0000000000000000000000000000000000000000\ntwenty characters of\n"),
];

/// A directory with a file of these types and entries in `a.tophash`.
fn filled(key: &str, value: &str, entries: &str) -> Dir {
    let dir = Dir::new();
    assert_eq!(dir.run(["create", "a.tophash", "--key", key, "--value", value]).ok_text(), "");
    dir.run_with_input(entries.as_bytes(), ["import", "a.tophash", "-", "--format", "tsv"]).ok();
    dir
}

fn sorted(lines: &str) -> Vec<&str> {
    let mut lines: Vec<_> = lines.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn what_is_imported_is_dumped_and_found_and_reads_back_in_both_formats() {
    for (key_type, value_type, entries) in FILES {
        let dir = filled(key_type, value_type, entries);
        assert_eq!(sorted(&dir.run(["dump", "a.tophash"]).ok_text()), sorted(entries), "{key_type}");
        for entry in entries.lines() {
            let (key, value) = entry.split_once('\t').unwrap_or((entry, ""));
            let found = dir.run(["get", "a.tophash", key, "--escaped"]).ok_text();
            assert_eq!(found.trim_end().replace('\n', "\\n"), value, "{key_type} {key}");
        }
        for format in ["tsv", "jsonl"] {
            dir.run(["export", "a.tophash", format, "--format", format]).ok();
            let copy = format!("{format}.tophash");
            let types = ["--key", key_type, "--value", value_type, "--format", format];
            dir.run(["import", &copy, format].iter().chain(&types)).ok();
            assert_eq!(sorted(&dir.run(["dump", &copy]).ok_text()), sorted(entries), "{key_type} {format}");
            dir.run(["verify", &copy]).ok();
        }
    }
}

#[test]
fn json_has_numbers_where_every_reader_has_the_same_and_strings_elsewhere() {
    let dir = filled("u64", "i64", "7\t-49\n9007199254740992\t9007199254740991\n");
    let entry = |key: &str| dir.run(["get", "a.tophash", key, "--json"]).ok_text();
    assert_eq!(entry("7"), "{\"key\":7,\"value\":-49}\n");
    assert_eq!(entry("9007199254740992"), "{\"key\":\"9007199254740992\",\"value\":9007199254740991}\n");

    let dir = filled("str", "f64", "tenth\t0.1\nbig\t1e300\nnone\tNaN\n");
    let entry = |key: &str| dir.run(["get", "a.tophash", key, "--json"]).ok_text();
    assert_eq!(entry("tenth"), "{\"key\":\"tenth\",\"value\":0.1}\n");
    assert_eq!(entry("big"), "{\"key\":\"big\",\"value\":1e300}\n");
    assert_eq!(entry("none"), "{\"key\":\"none\",\"value\":\"NaN\"}\n");

    let dir = filled("bytes:2", "bool", "hex:00ff\ttrue\n");
    let entry = dir.run(["get", "a.tophash", "hex:00ff", "--json"]).ok_text();
    assert_eq!(entry, "{\"key_base64\":\"AP8=\",\"value\":true}\n");

    let dir = filled("u8", "()", "1\n");
    assert_eq!(dir.run(["dump", "a.tophash", "--json"]).ok_text(), "{\"key\":1}\n");
}

#[test]
fn json_lines_may_have_numbers_as_strings_too() {
    let dir = filled("u64", "f32", "");
    let lines = "{\"key\":1,\"value\":2}\n{\"key\":\"2\",\"value\":\"-0.5\"}\n{\"key\":18446744073709551615,\"value\":1e2}\n";
    dir.run_with_input(lines.as_bytes(), ["import", "a.tophash", "-", "--format", "jsonl"]).ok();
    let dump = dir.run(["dump", "a.tophash"]).ok_text();
    assert_eq!(sorted(&dump), ["1\t2.0", "18446744073709551615\t100.0", "2\t-0.5"]);
    for (line, expected) in [
        ("{\"key\":1.5,\"value\":2}", "expected u64 (0 to 18446744073709551615), found '1.5'"),
        ("{\"key\":true,\"value\":2}", "expected u64 (0 to 18446744073709551615), found 'true'"),
        ("{\"key\":1}", "expected a field \"value\""),
        (
            "{\"key_base64\":\"AAAAAAAAAAA=\",\"value\":2}",
            "expected u64 (0 to 18446744073709551615), found 8 bytes",
        ),
    ] {
        let run = dir.run_with_input(line.as_bytes(), ["import", "a.tophash", "-", "--format", "jsonl"]);
        let message = run.fails(2);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_wrong_type_is_2_and_says_what_was_expected_and_found() {
    let dir = filled("u64", "i8", "1\t1\n");
    let before = dir.read("a.tophash");
    for (arguments, expected) in [
        (&["get", "a.tophash", "one"][..], "the key: expected u64 (0 to 18446744073709551615), found 'one'"),
        (&["get", "a.tophash", "-1"], "the key: expected u64 (0 to 18446744073709551615), found '-1'"),
        (&["set", "a.tophash", "1", "128"], "the value: expected i8 (-128 to 127), found '128'"),
        (&["set", "a.tophash", "1"], "expected KEY and VALUE: a.tophash maps u64 to i8"),
        (&["del", "a.tophash", "1", "1x"], "the key: expected u64 (0 to 18446744073709551615), found '1x'"),
        (&["import", "a.tophash", "-", "--key", "u64"], "a.tophash: the file maps u64 to i8"),
    ] {
        let message = dir.run(arguments).fails(2);
        assert!(message.contains(expected), "{message}");
        assert!(dir.read("a.tophash") == before || arguments[0] == "import", "{arguments:?} wrote");
    }
    let message = dir.run_with_input(b"2\t2\n3\tx\n", ["import", "a.tophash", "-"]).fails(2);
    assert!(message.contains("line 2: expected i8 (-128 to 127), found 'x'; the line before"), "{message}");
    let message = dir.run_with_input(b"4\t4\n5\n", ["set", "a.tophash"]).fails(2);
    assert!(message.contains("line 2: expected KEY\\tVALUE, found '5'; nothing was changed"), "{message}");
    assert_eq!(sorted(&dir.run(["dump", "a.tophash"]).ok_text()), ["1\t1", "2\t2"]);
}

#[test]
fn set_get_add_and_del_of_numbers() {
    let dir = filled("i32", "u8", "");
    dir.run(["set", "a.tophash", "-5", "250"]).ok();
    assert_eq!(dir.run(["get", "a.tophash", "-5"]).ok_text(), "250\n");
    assert_eq!(dir.run(["get", "a.tophash", "-5", "--raw"]).ok(), [250]);
    assert_eq!(dir.run(["add", "a.tophash", "-5"]).ok_text(), "251\n");
    assert_eq!(dir.run(["add", "a.tophash", "-5", "-51"]).ok_text(), "200\n");
    assert_eq!(dir.run(["add", "a.tophash", "7", "3"]).ok_text(), "3\n");
    let message = dir.run(["add", "a.tophash", "-5", "56"]).fails(2);
    assert!(message.contains("beyond what a u8 can hold; the value stays as it was"), "{message}");
    assert_eq!(dir.run(["get", "a.tophash", "-5"]).ok_text(), "200\n");
    assert_eq!(dir.run(["del", "a.tophash", "-5", "-6"]).fails(1), "tophash: no key '-6' in a.tophash\n");
    assert_eq!(dir.run(["dump", "a.tophash"]).ok_text(), "7\t3\n");

    let words = filled("str", "str", "a\tb\n");
    let message = words.run(["add", "a.tophash", "a"]).fails(2);
    assert!(message.contains("expected integers for values: a.tophash maps str to str"), "{message}");
}

#[test]
fn a_set_takes_keys_alone() {
    let dir = Dir::new();
    dir.run(["create", "a.tophash", "--key", "u32"]).ok();
    dir.run(["set", "a.tophash", "1"]).ok();
    dir.run_with_input(b"2\n3\n", ["import", "a.tophash", "-"]).ok();
    dir.run_with_input(b"4\n", ["set", "a.tophash"]).ok();
    dir.run_with_input(b"3\n", ["del", "a.tophash"]).ok();
    assert_eq!(sorted(&dir.run(["dump", "a.tophash"]).ok_text()), ["1", "2", "4"]);
    assert_eq!(dir.run(["get", "a.tophash", "4"]).ok_text(), "\n");
    dir.run(["get", "a.tophash", "3"]).fails(1);
    let message = dir.run(["set", "a.tophash", "1", "x"]).fails(2);
    assert!(message.contains("expected no value (the file is a set), found 'x'"), "{message}");
    assert!(!dir.run(["buckets", "a.tophash"]).ok_text().contains("value"));
}

#[test]
fn create_makes_a_new_file_and_replaces_none() {
    let dir = Dir::with_unicode();
    let before = dir.read("unicode.tophash");
    let message = dir.run(["create", "unicode.tophash", "--key", "u64"]).fails(2);
    assert_eq!(message, "tophash: unicode.tophash is there already; create makes a new file\n");
    assert!(dir.read("unicode.tophash") == before);

    dir.run(["create", "a.tophash", "--key", "u64", "--capacity", "1000", "--hash", "rapidhash"]).ok();
    assert_eq!(dir.run(["info", "a.tophash", "--json"]).ok_json()["hash"], "rapidhash-v3");
    assert_eq!(dir.run(["growth", "a.tophash", "--json"]).ok_json()["b"], 8);
    dir.run(["create", "nowhere/a.tophash", "--key", "u64"]).fails(5);

    for (types, expected) in [
        (&["--key", "u63"][..], "expected one of u8 u16 u32 u64 u128 i8"),
        (&["--key", "u64", "--value", "U64"], "bytes:N str bytes and ()"),
        (&["--key", "f64"], "values can have this type, keys can not"),
        (&["--key", "()"], "values can have this type, keys can not"),
        (&["--key", "bytes:16777217"], "a key has at most 16777216 bytes"),
        (&["--value", "u64"], "--key <TYPE>"),
        (&[], "--key <TYPE>"),
    ] {
        let run = dir.run(["create", "new.tophash"].iter().chain(types));
        assert!(run.code == 2 && run.stderr.contains(expected), "{}", run.stderr);
    }
    assert!(!dir.path("new.tophash").exists());
}

#[test]
fn a_file_of_bytes_is_a_plain_store_and_a_typed_one_is_not() {
    let dir = Dir::new();
    dir.run(["create", "a.tophash", "--key", "bytes", "--value", "bytes"]).ok();
    dir.run(["set", "a.tophash", "key", "value"]).ok();
    assert_eq!(dir.store("a.tophash").get("key").unwrap().as_deref(), Some(&b"value"[..]));
    let plain = dir.run(["info", "a.tophash", "--json"]).ok_json();
    assert_eq!((&plain["key_type"], &plain["layout"]), (&"bytes".into(), &"record".into()));
    assert_eq!(plain["key_width"], Value::Null);
    assert!(!dir.run(["stats", "a.tophash"]).ok_text().contains("types"));

    dir.run(["create", "b.tophash", "--key", "str", "--value", "bytes"]).ok();
    let refused = Options::new().open(dir.path("b.tophash"));
    assert!(matches!(refused, Err(tophash::Error::Schema { .. })));
}

#[test]
fn import_without_types_makes_a_plain_store() {
    let dir = Dir::new();
    dir.run_with_input(b"1\t2\n", ["import", "a.tophash", "-"]).ok();
    assert_eq!(dir.store("a.tophash").get("1").unwrap().as_deref(), Some(&b"2"[..]));
    dir.run_with_input(b"3\t4\n", ["import", "a.tophash", "-", "--key", "bytes", "--value", "bytes"]).ok();
    assert_eq!(dir.store("a.tophash").len(), 2);
    assert_eq!(dir.run_with_input(b"", ["import", "b.tophash", "-", "--value", "u64"]).code, 2);
    assert!(!dir.path("b.tophash").exists());
}

#[test]
fn reports_name_the_types_and_show_typed_entries() {
    let dir = filled("u64", "i64", "1\t-1\n2\t-4\n3\t-9\n");
    let info = dir.run(["info", "a.tophash", "--json"]).ok_json();
    assert_eq!((&info["key_type"], &info["value_type"]), (&"u64".into(), &"i64".into()));
    assert_eq!((&info["key_width"], &info["value_width"]), (&8.into(), &8.into()));
    let text = dir.run(["info", "a.tophash"]).ok_text();
    assert!(text.contains("inline, 8 and 8 bytes in a cell"), "{text}");
    let stats = dir.run(["stats", "a.tophash", "--json"]).ok_json();
    assert_eq!((&stats["count"], &stats["layout"]), (&3.into(), &"inline".into()));
    assert_eq!((&stats["key_type"], &stats["value_type"]), (&"u64".into(), &"i64".into()));
    assert!(dir.run(["stats", "a.tophash"]).ok_text().contains("u64 to i64  inline"));

    let buckets = dir.run(["buckets", "a.tophash", "--json"]).ok_json();
    let cells = buckets[0]["chain"][0]["cells"].as_array().unwrap();
    let entries: BTreeMap<_, _> = cells
        .iter()
        .filter(|cell| cell["state"] == "filled")
        .map(|cell| (cell["key"].as_u64().unwrap(), cell["value"].as_i64().unwrap()))
        .collect();
    assert_eq!(entries, [(1, -1), (2, -4), (3, -9)].into());
    let text = dir.run(["buckets", "a.tophash"]).ok_text();
    assert!(text.lines().any(|line| line.ends_with("filled     3    -9")), "{text}");
    assert!(!text.contains("record at"));

    let dir = filled("str", "u32", "moon\t7\n");
    let text = dir.run(["buckets", "a.tophash"]).ok_text();
    assert!(text.contains("record at") && text.contains("moon"), "{text}");
    let info = dir.run(["info", "a.tophash", "--json"]).ok_json();
    assert_eq!((&info["layout"], &info["key_width"]), (&"record".into(), &Value::Null));
}

#[test]
fn whole_file_verbs_work_on_typed_files() {
    for (key_type, value_type, entries) in FILES {
        let dir = filled(key_type, value_type, entries);
        let expected = dir.run(["dump", "a.tophash"]).ok_text();
        dir.run(["backup", "a.tophash", "b.tophash"]).ok();
        dir.run(["compact", "b.tophash"]).ok();
        dir.run(["checkpoint", "b.tophash"]).ok();
        dir.run(["verify", "b.tophash"]).ok();
        dir.run(["growth", "b.tophash"]).ok();
        assert_eq!(sorted(&dir.run(["dump", "b.tophash"]).ok_text()), sorted(&expected), "{key_type}");
        dir.run(["clear", "b.tophash", "--yes"]).ok();
        assert_eq!(dir.run(["dump", "b.tophash"]).ok_text(), "");
    }
}

#[test]
fn a_typed_file_is_salvaged_with_its_types() {
    for (key_type, value_type, entries) in FILES {
        let dir = filled(key_type, value_type, entries);
        let expected = dir.run(["dump", "a.tophash"]).ok_text();
        dir.run(["salvage", "a.tophash", "b.tophash"]).ok();
        assert_eq!(sorted(&dir.run(["dump", "b.tophash"]).ok_text()), sorted(&expected), "{key_type}");
    }
}

#[test]
fn a_lost_key_is_named_by_its_type() {
    let dir = filled("u64", "str", &format!("42\t{}\n", "x".repeat(70_000)));
    damage(&dir.path("a.tophash"), &[b'x'; 60_000]);
    let run = dir.run(["salvage", "a.tophash", "b.tophash", "--json"]);
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((run.code, &report["keys"][0]["key"]), (3, &"42".into()));
}

#[test]
fn no_report_writes_to_a_typed_file_that_was_not_closed() {
    let dir = filled("u64", "str", "");
    dir.run(["create", "cells.tophash", "--key", "u64", "--value", "u64"]).ok();
    for (file, value) in [("a.tophash", &b"text"[..]), ("cells.tophash", &[7; 8])] {
        let map = Options::new().background(false).open_dyn(dir.path(file)).unwrap();
        (0..100u64).for_each(|key| drop(map.insert(key.to_le_bytes(), value).unwrap()));
        std::fs::copy(dir.path(file), dir.path("crashed.tophash")).unwrap();
        let before = dir.read("crashed.tophash");
        for report in ["info", "stats", "buckets", "growth", "verify", "dump", "export"] {
            dir.run([report, "crashed.tophash"]).ok();
            assert!(dir.read("crashed.tophash") == before, "{report} wrote");
        }
        let found = dir.run(["get", "crashed.tophash", "99", "--raw"]).ok();
        assert!(found == value && dir.read("crashed.tophash") == before);
        assert_eq!(dir.run(["dump", "crashed.tophash"]).ok_text().lines().count(), 100);
    }
}

/// Types that the command does not know are the business of the program that made the file.
#[test]
fn a_type_of_a_program_is_hexadecimal() {
    let dir = Dir::new();
    let point = DataType::fixed("point", 3).unwrap();
    let schema = Schema::new(point, DataType::built_in("u16").unwrap());
    let map = Options::new().create_dyn(dir.path("a.tophash"), schema).unwrap();
    map.insert([1, 2, 255], [7, 0]).unwrap();
    map.close().unwrap();
    assert_eq!(dir.run(["dump", "a.tophash"]).ok_text(), "hex:0102ff\t7\n");
    assert_eq!(dir.run(["get", "a.tophash", "hex:0102ff"]).ok_text(), "7\n");
    let entry = dir.run(["get", "a.tophash", "hex:0102FF", "--json"]).ok_json();
    assert_eq!(entry, json!({ "key": "hex:0102ff", "value": 7 }));
    dir.run(["set", "a.tophash", "hex:000000", "8"]).ok();
    let message = dir.run(["get", "a.tophash", "abc"]).fails(2);
    assert!(message.contains("expected hex: and 6 digits"), "{message}");
    assert_eq!(dir.run(["info", "a.tophash", "--json"]).ok_json()["key_type"], "point");
    dir.run(["export", "a.tophash", "a.jsonl", "--format", "jsonl"]).ok();
    dir.run(["clear", "a.tophash", "--yes"]).ok();
    dir.run(["import", "a.tophash", "a.jsonl", "--format", "jsonl"]).ok();
    assert_eq!(sorted(&dir.run(["dump", "a.tophash"]).ok_text()), ["hex:000000\t8", "hex:0102ff\t7"]);
}

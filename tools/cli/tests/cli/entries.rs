//! Entries in and out: `dump`, `export`, `get`, `set`, `del`, and the way back through `import`.

use std::collections::BTreeMap;
use std::process::Stdio;

use crate::support::{Dir, UNICODE_ENTRIES};

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Every byte in keys and values, and both of them empty.
fn awkward_entries() -> Entries {
    let mut entries: Entries =
        (0..=255).map(|byte| (vec![b'k', byte], vec![byte, b'v', 255 - byte])).collect();
    entries.insert(Vec::new(), b"empty key".to_vec());
    entries.insert(b"empty value".to_vec(), Vec::new());
    entries.insert("schlüssel 😀\u{9b}".into(), "tab\tnewline\nquote\"backslash\\".into());
    entries.insert(b"\\x41".to_vec(), b"\\n is no newline\r".to_vec());
    entries.insert(b"large".to_vec(), (0..300_000u32).map(|i| (i % 251) as u8).collect());
    entries
}

fn fill(dir: &Dir, file: &str, entries: &Entries) {
    let store = dir.store(file);
    for (key, value) in entries {
        store.insert(key, value).unwrap();
    }
}

fn content(dir: &Dir, file: &str) -> Entries {
    let store = dir.store(file);
    store.iter().map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
}

#[test]
fn dump_reads_back_exactly_in_both_formats() {
    let dir = Dir::new();
    let entries = awkward_entries();
    fill(&dir, "a.tophash", &entries);
    for format in ["tsv", "jsonl"] {
        let dump = dir.run(["dump", "a.tophash", "--format", format]).ok();
        let lines = std::str::from_utf8(&dump).expect("what is not text is escaped").lines().count();
        assert_eq!(lines, entries.len());
        let copy = format!("{format}.tophash");
        dir.run_with_input(&dump, ["import", &copy, "-", "--format", format]).ok();
        assert!(content(&dir, &copy) == entries, "{format}");
    }
}

#[test]
fn an_empty_store_dumps_nothing() {
    let dir = Dir::new();
    drop(dir.store("a.tophash"));
    assert_eq!(dir.run(["dump", "a.tophash"]).ok(), b"");
}

#[test]
fn export_writes_a_file_that_reads_back() {
    let dir = Dir::new();
    let entries = awkward_entries();
    fill(&dir, "a.tophash", &entries);
    dir.run(["export", "a.tophash", "a.jsonl", "--format", "jsonl"]).ok();
    dir.run(["import", "b.tophash", "a.jsonl", "--format", "jsonl"]).ok();
    assert!(content(&dir, "b.tophash") == entries);
}

#[test]
fn export_writes_over_a_file_only_when_told_to_and_never_over_the_store() {
    let dir = Dir::new();
    fill(&dir, "a.tophash", &awkward_entries());
    dir.write("there.tsv", "precious");
    assert!(dir.run(["export", "a.tophash", "there.tsv"]).fails(2).contains("--force"));
    assert_eq!(dir.read("there.tsv"), b"precious");
    let before = dir.read("a.tophash");
    dir.run(["export", "a.tophash", "./a.tophash", "--force"]).fails(2);
    assert!(dir.read("a.tophash") == before);
    dir.run(["export", "a.tophash", "there.tsv", "--force"]).ok();
    assert_ne!(dir.read("there.tsv"), b"precious");
}

#[test]
fn export_to_standard_output_is_a_dump() {
    let dir = Dir::with_unicode();
    let exported = dir.run(["export", "unicode.tophash"]).ok_text();
    assert_eq!(exported.lines().count() as u64, UNICODE_ENTRIES);
    assert!(exported.contains("1F600\tGRINNING FACE;"));
}

#[test]
fn set_get_del() {
    let dir = Dir::new();
    assert_eq!(dir.run(["set", "new.tophash", "user:1", "Ada"]).ok(), b"");
    assert_eq!(dir.run(["get", "new.tophash", "user:1"]).ok(), b"Ada\n");
    assert_eq!(dir.run(["get", "new.tophash", "user:1", "--raw"]).ok(), b"Ada");
    let entry = dir.run(["get", "new.tophash", "user:1", "--json"]).ok_json();
    assert_eq!(entry, serde_json::json!({ "key": "user:1", "value": "Ada" }));

    dir.run(["set", "new.tophash", "user:2", "Grace"]).ok();
    let message = dir.run(["del", "new.tophash", "user:1", "user:3", "user:2"]).fails(1);
    assert!(message.contains("no key 'user:3' in new.tophash"), "{message}");
    assert!(dir.store("new.tophash").is_empty());
}

#[test]
fn get_prints_the_bytes_as_they_are() {
    let dir = Dir::new();
    // A value that looks like colours is a value all the same.
    let value: Vec<u8> = b"\x1b[31mred\x1b[0m\0".iter().copied().chain(128..=255).collect();
    dir.store("a.tophash").insert("k", &value).unwrap();
    assert_eq!(dir.run(["get", "a.tophash", "k", "--raw"]).ok(), value);
    assert_eq!(dir.run(["--color", "never", "get", "a.tophash", "k", "--raw"]).ok(), value);
}

#[test]
fn a_key_from_a_dump_is_found_with_its_escapes() {
    let dir = Dir::new();
    dir.run(["set", "a.tophash", r"\x00\xff", r"a\tb", "--escaped"]).ok();
    assert_eq!(dir.run(["dump", "a.tophash"]).ok_text(), "\\x00\\xff\ta\\tb\n");
    assert_eq!(dir.run(["get", "a.tophash", r"\x00\xff", "--escaped"]).ok(), b"a\tb\n");
    assert_eq!(dir.store("a.tophash").get([0, 0xff]).unwrap().as_deref(), Some(&b"a\tb"[..]));
    dir.run(["del", "a.tophash", r"\x00\xff", "-e"]).ok();
    assert!(dir.run(["get", "a.tophash", r"\q", "-e"]).fails(2).contains("expected an escape"));
}

#[cfg(unix)]
#[test]
fn a_key_that_is_not_text_is_an_argument_like_any_other() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = Dir::new();
    let key = OsStr::from_bytes(b"\xff\xfe");
    dir.run([OsStr::new("set"), OsStr::new("a.tophash"), key, OsStr::new("v")]).ok();
    assert_eq!(dir.store("a.tophash").get(b"\xff\xfe").unwrap().as_deref(), Some(&b"v"[..]));
}

#[test]
fn set_and_del_read_standard_input() {
    let dir = Dir::new();
    let entries = awkward_entries();
    fill(&dir, "a.tophash", &entries);
    let dump = dir.run(["dump", "a.tophash"]).ok();
    dir.run_with_input(&dump, ["set", "b.tophash", "--format", "tsv"]).ok();
    assert!(content(&dir, "b.tophash") == entries);

    let keys: Vec<_> =
        dump.split(|&byte| byte == b'\n').filter_map(|line| line.split(|&b| b == b'\t').next()).collect();
    let most = keys[..keys.len() - 10].join(&b'\n');
    dir.run_with_input(&most, ["del", "b.tophash", "--escaped"]).ok();
    assert!(content(&dir, "b.tophash").len() < 11);
    // Plain lines are taken as they are.
    dir.run_with_input(b"\\t\tvalue\nplain\t\n", ["set", "b.tophash"]).ok();
    assert_eq!(dir.run(["get", "b.tophash", "\\t"]).ok(), b"value\n");
    let message = dir.run_with_input(b"absent\n\\t\nplain", ["del", "b.tophash"]).fails(1);
    assert_eq!(message, "tophash: no key 'absent' in b.tophash\n");
    dir.run(["get", "b.tophash", "plain"]).fails(1);
}

#[test]
fn a_line_that_is_wrong_sets_and_removes_nothing() {
    let dir = Dir::new();
    dir.run(["set", "a.tophash", "key", "value"]).ok();
    let message = dir.run_with_input(b"new\tvalue\nwrong\n", ["set", "a.tophash"]).fails(2);
    assert!(message.contains("standard input, line 2:"), "{message}");
    assert!(message.ends_with("nothing was changed\n"), "{message}");
    let message = dir.run_with_input(b"key\nwrong\\q\n", ["del", "a.tophash", "-e"]).fails(2);
    assert!(message.ends_with("nothing was changed\n"), "{message}");
    assert_eq!(dir.run(["dump", "a.tophash"]).ok(), b"key\tvalue\n");
}

/// What they read may come from a program that looks at the same file.
#[test]
fn set_and_del_hold_no_lock_while_they_read() {
    let dir = Dir::new();
    dir.run(["set", "a.tophash", "key", "value"]).ok();
    for verb in ["set", "del"] {
        let mut child = dir.command([verb, "a.tophash"]).stdin(Stdio::piped()).spawn().unwrap();
        for _ in 0..20 {
            assert_eq!(dir.run(["dump", "a.tophash"]).ok(), b"key\tvalue\n", "while {verb} waits");
        }
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn many_keys_that_are_not_there_are_counted() {
    let dir = Dir::new();
    dir.run(["set", "a.tophash", "key", "value"]).ok();
    let keys: String = (0..1_500).map(|n| format!("{n}\n")).collect();
    let message = dir.run_with_input(keys.as_bytes(), ["del", "a.tophash"]).fails(1);
    assert!(message.contains("'9' and 1,490 more in a.tophash"), "{message}");
}

#[test]
fn clear_asks_for_a_yes() {
    let dir = Dir::with_unicode();
    let before = dir.read("unicode.tophash");
    let message = dir.run(["clear", "unicode.tophash"]).fails(2);
    assert!(message.contains("all 34,924 entries of unicode.tophash; to do it, say --yes"), "{message}");
    assert!(dir.read("unicode.tophash") == before);
    dir.run(["clear", "unicode.tophash", "--yes"]).ok();
    assert_eq!(dir.store("unicode.tophash").len(), 0);
}

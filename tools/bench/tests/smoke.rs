//! The whole way: children, rounds, table, targets, files.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tophash-bench")).args(arguments).output().expect("the program starts")
}

#[test]
fn two_engines_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (json, svg) = (dir.path().join("figures.json"), dir.path().join("figures.svg"));
    let output = bench(&[
        "--engines=tophash,lmdb",
        "--entries=2000",
        "--rounds=2",
        "--window-ms=20",
        "--dir",
        dir.path().to_str().unwrap(),
        "--json",
        json.to_str().unwrap(),
        "--svg",
        svg.to_str().unwrap(),
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for part in
        ["tophash", "LMDB", "get, hit", "open after SIGKILL, ms", "targets", "9. file after fill: raw bytes"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let survived = text.lines().find(|line| line.starts_with("writes that survived")).unwrap();
    assert!(survived.ends_with("100"), "{survived}");

    let figures: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let figures = figures["figures"].as_array().unwrap();
    assert!(figures.iter().all(|figure| figure["rounds"].as_array().unwrap().len() == 2));
    assert!(std::fs::read_to_string(&svg).unwrap().ends_with("</svg>\n"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "the stores are removed");
}

#[test]
fn only_what_was_asked_for_is_measured() {
    let output = bench(&["--engines=tophash", "--workloads=get", "--entries=1000", "--rounds=1"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("get, hit"), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("fill") || line.starts_with("remove")), "{text}");
}

#[test]
fn numbers_are_compared() {
    let output =
        bench(&["ids", "--engines=tophash-map,tophash,lmdb,hashbrown", "--entries=2000", "--rounds=1"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for part in [
        "2,000 entries of 8 + 8 bytes",
        "tophash map against",
        "add 1 to a number",
        "file after ten overwrites, MB",
        "1. get hit: best disk peer",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn a_backup_is_measured_beside_a_writer() {
    let output = bench(&["backup", "--entries=2000", "--rounds=1", "--window-ms=20"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("the writer keeps"), "{text}");
}

/// RocksDB fails where it is not built in.
#[cfg(not(feature = "rocksdb"))]
#[test]
fn an_engine_that_fails_is_named_and_the_others_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let output = bench(&[
        "--engines=rocksdb,tophash",
        "--workloads=get",
        "--entries=1000",
        "--rounds=1",
        "--dir",
        dir,
    ]);
    assert!(!output.status.success());
    let (told, measured) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(told.contains("1 of the stages failed") && told.contains("RocksDB, points"), "{told}");
    assert!(measured.contains("get, hit"), "{measured}");
}

//! The reports: what they say, and that they never write.

use serde_json::Value;

use crate::support::{Dir, UNICODE_ENTRIES, crashed_in_growth, crashed_in_shrink};

fn assert_keys(report: &Value, keys: &[&str]) {
    for key in keys {
        assert!(report.get(key).is_some(), "no {key} in {report}");
    }
}

#[test]
fn stats_has_the_keys_of_the_design() {
    let dir = Dir::with_unicode();
    let stats = dir.run(["stats", "unicode.tophash", "--json"]).ok_json();
    assert_keys(
        &stats,
        &[
            "count",
            "b",
            "buckets",
            "overflow_buckets",
            "noverflow",
            "load_factor",
            "overflow_percent",
            "bytes_per_entry",
            "hit_probe",
            "miss_probe",
            "growing",
            "same_size_grow",
            "shrinking",
            "old_buckets",
            "nevacuate",
            "chain_lengths",
            "file_bytes",
            "allocated_bytes",
            "log_live_bytes",
            "log_dead_bytes",
            "log_segments",
            "log_segments_pinned",
            "log_segments_left_alone",
            "moved_bytes",
            "max_dead_ratio",
            "checkpoint_seq",
            "log_bytes_since_checkpoint",
            "recovered",
        ],
    );
    assert_eq!(stats["count"], UNICODE_ENTRIES);
    assert_eq!(stats["buckets"], 8192);
    assert_eq!(stats["b"], 13);
    assert_eq!(stats["file_bytes"], dir.read("unicode.tophash").len());
    let chains: u64 = stats["chain_lengths"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(chains, 8192);
}

#[test]
fn stats_for_people_has_the_same_figures() {
    let dir = Dir::with_unicode();
    let stats = dir.run(["stats", "unicode.tophash"]).ok_text();
    for expected in
        ["34,924", "8,192", "2^13", "hitprobe", "missprobe", "%overflow", "bytes/entry", "MiB", "4.26"]
    {
        assert!(stats.contains(expected), "{expected} in\n{stats}");
    }
}

#[test]
fn info_names_the_format_and_every_extent() {
    let dir = Dir::with_unicode();
    let info = dir.run(["info", "unicode.tophash", "--json"]).ok_json();
    assert_keys(
        &info,
        &["file_id", "sequence", "epoch", "checkpointed_count", "checkpoint_seq", "file_bytes"],
    );
    assert_eq!(info["format_version"], "1.0");
    assert_eq!(info["hash"], "siphash-1-3");
    assert_eq!(info["max_load_factor"], 6.5);
    assert_eq!(info["writing"], false);
    let extents = info["extents"].as_array().unwrap();
    extents.iter().for_each(|extent| assert_keys(extent, &["offset", "bytes", "what", "used_bytes"]));
    let names: Vec<_> = extents.iter().map(|extent| extent["what"].as_str().unwrap()).collect();
    for what in ["header slots", "catalog", "buckets", "log segment"] {
        assert!(names.contains(&what), "{what} in {names:?}");
    }
    assert!(dir.run(["info", "unicode.tophash"]).ok_text().contains("log segment"));
}

#[test]
fn buckets_shows_every_key_once() {
    let dir = Dir::with_unicode();
    let buckets = dir.run(["buckets", "unicode.tophash", "--json"]).ok_json();
    let mut keys = Vec::new();
    for (index, bucket) in buckets.as_array().unwrap().iter().enumerate() {
        assert_eq!(bucket["bucket"], index);
        for link in bucket["chain"].as_array().unwrap() {
            let cells = link["cells"].as_array().unwrap();
            assert_eq!(cells.len(), 8);
            for cell in cells.iter().filter(|cell| cell["state"] == "filled") {
                assert_keys(cell, &["tophash", "value_bytes", "record_offset"]);
                keys.push(cell["key"].as_str().unwrap().to_owned());
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len() as u64, UNICODE_ENTRIES);
    assert!(keys.contains(&"1F600".to_owned()));
}

#[test]
fn buckets_shows_the_ones_asked_for() {
    let dir = Dir::with_unicode();
    let indices = |arguments: &[&str]| -> Vec<u64> {
        let all = ["buckets", "unicode.tophash", "--json"].iter().chain(arguments);
        let report = dir.run(all).ok_json();
        report.as_array().unwrap().iter().map(|bucket| bucket["bucket"].as_u64().unwrap()).collect()
    };
    assert_eq!(indices(&["--bucket", "7"]), [7]);
    assert_eq!(indices(&["--limit", "3"]), [0, 1, 2]);
    assert_eq!(indices(&["--bucket", "8190", "--limit", "3"]), [8190, 8191]);
    assert!(indices(&["--old"]).is_empty());
    let text = dir.run(["buckets", "unicode.tophash"]).ok_text();
    assert!(text.contains("emptyRest") && text.contains("8 of 8,192 buckets"), "{text}");
}

#[test]
fn long_and_strange_keys_are_cut_and_escaped() {
    let dir = Dir::new();
    let store = dir.store("a.tophash");
    store.insert("x".repeat(1000), "").unwrap();
    store.insert(b"\x1b[2J\xff", "").unwrap();
    drop(store);
    let text = dir.run(["buckets", "a.tophash"]).ok_text();
    assert!(text.contains(&format!(" {}… ", "x".repeat(31))), "{text}");
    assert!(text.contains(r"\x1b[2J\xff"), "{text}");
    let json = dir.run(["buckets", "a.tophash", "--json"]).ok_text();
    assert!(json.contains("\"key_base64\":\"G1sySv8=\""), "{json}");
}

#[test]
fn a_growth_that_was_cut_short_shows() {
    let dir = Dir::new();
    let entries = crashed_in_growth(&dir, "crashed.tophash");
    let growth = dir.run(["growth", "crashed.tophash", "--json"]).ok_json();
    assert_keys(&growth, &["b", "buckets", "buckets_offset", "kind", "oldbuckets_offset", "same_size_grow"]);
    assert_eq!(growth["growing"], true);
    let (done, of) = (growth["nevacuate"].as_u64().unwrap(), growth["old_buckets"].as_u64().unwrap());
    assert!(0 < done && done < of, "{growth}");
    assert_eq!(growth["buckets"], 2 * of);

    let text = dir.run(["growth", "crashed.tophash"]).ok_text();
    for expected in ["doubling", "old buckets", "█", "░", "nevacuate"] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    let old = dir.run(["buckets", "crashed.tophash", "--old", "--json"]).ok_json();
    assert_eq!(old.as_array().unwrap().len() as u64, of);
    let states = old.to_string();
    assert!(states.contains("evacuatedX") && states.contains("evacuatedY") && states.contains("filled"));

    let stats = dir.run(["stats", "crashed.tophash", "--json"]).ok_json();
    assert_eq!((&stats["count"], &stats["recovered"]), (&entries.into(), &true.into()));
    assert_eq!(dir.run(["info", "crashed.tophash", "--json"]).ok_json()["writing"], true);
}

#[test]
fn a_shrink_that_was_cut_short_shows() {
    let dir = Dir::new();
    crashed_in_shrink(&dir, "crashed.tophash");
    let growth = dir.run(["growth", "crashed.tophash", "--json"]).ok_json();
    assert_eq!((&growth["kind"], &growth["shrinking"]), (&"shrink".into(), &true.into()));
    let (done, of) = (growth["nevacuate"].as_u64().unwrap(), growth["old_buckets"].as_u64().unwrap());
    assert!(0 < done && 2 * done < of, "{growth}");
    assert_eq!(growth["old_buckets"].as_u64().unwrap(), 2 * growth["buckets"].as_u64().unwrap());
    let text = dir.run(["growth", "crashed.tophash"]).ok_text();
    for expected in ["shrinking", "two old buckets become one", &format!("{} of {of} old buckets", 2 * done)]
    {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    let stats = dir.run(["stats", "crashed.tophash", "--json"]).ok_json();
    assert_eq!((&stats["shrinking"], &stats["same_size_grow"]), (&true.into(), &false.into()));
    assert!(dir.run(["stats", "crashed.tophash"]).ok_text().contains("shrinking"));
    dir.run(["verify", "crashed.tophash"]).ok();
}

#[test]
fn no_report_writes_a_byte_not_even_to_a_file_that_was_not_closed() {
    let dir = Dir::with_unicode();
    crashed_in_growth(&dir, "crashed.tophash");
    for (file, key) in [("unicode.tophash", "1F600"), ("crashed.tophash", "key 7")] {
        let before = dir.read(file);
        let modified = std::fs::metadata(dir.path(file)).unwrap().modified().unwrap();
        for arguments in [
            &["get", file, key][..],
            &["info", file],
            &["stats", file],
            &["buckets", file],
            &["buckets", file, "--old"],
            &["growth", file],
            &["verify", file],
            &["dump", file],
            &["export", file],
        ] {
            dir.run(arguments).ok();
            assert!(dir.read(file) == before, "{arguments:?} wrote");
            assert_eq!(std::fs::metadata(dir.path(file)).unwrap().modified().unwrap(), modified);
        }
    }
}

#[test]
fn checkpoint_leaves_nothing_to_replay() {
    let dir = Dir::new();
    let entries = crashed_in_growth(&dir, "crashed.tophash");
    let report = dir.run(["checkpoint", "crashed.tophash", "--json"]).ok_json();
    assert!(report["checkpoint_seq"].as_u64().unwrap() > 0);
    let stats = dir.run(["stats", "crashed.tophash", "--json"]).ok_json();
    assert_eq!(stats["count"], entries);
    assert_eq!(stats["recovered"], false);
    assert_eq!(stats["growing"], true);
    assert_eq!(stats["log_bytes_since_checkpoint"], 0);
}

#[test]
fn verify_of_a_sound_store_says_what_it_checked() {
    let dir = Dir::with_unicode();
    let report = dir.run(["verify", "unicode.tophash", "--json"]).ok_json();
    assert_eq!((&report["clean"], &report["faults"]), (&true.into(), &Value::Array(Vec::new())));
    assert_eq!(report["entries"], UNICODE_ENTRIES);
    assert!(report["records"].as_u64().unwrap() >= UNICODE_ENTRIES);
    assert!(report["pages"].as_u64().unwrap() > 0);
    assert!(dir.run(["verify", "unicode.tophash"]).ok_text().contains("unicode.tophash: clean"));
}

#[test]
fn compact_makes_the_file_smaller_and_keeps_what_is_in_it() {
    let dir = Dir::new();
    let store = tophash::Options::new().max_dead_ratio(1.0).open(dir.path("a.tophash")).unwrap();
    for n in 0..30_000 {
        store.insert(format!("key {}", n % 500), format!("value {n}")).unwrap();
    }
    store.insert("stays", "here").unwrap();
    store.close().unwrap();
    let before = dir.read("a.tophash").len();
    let report = dir.run(["compact", "a.tophash", "--json"]).ok_json();
    let after = dir.read("a.tophash").len();
    assert_eq!((&report["file_bytes_before"], &report["file_bytes"]), (&before.into(), &after.into()));
    assert!(after < before && report["moved_records"].as_u64().unwrap() > 0, "{report}");
    assert_keys(&report, &["allocated_bytes_before", "allocated_bytes", "moved_bytes", "seconds"]);
    dir.run(["verify", "a.tophash"]).ok();
    assert_eq!(dir.run(["get", "a.tophash", "stays"]).ok_text(), "here\n");
    let text = dir.run(["compact", "a.tophash"]).ok_text();
    assert!(text.contains("length before") && text.contains("on disk"), "{text}");
    dir.run(["compact", "missing.tophash"]).fails(5);
}

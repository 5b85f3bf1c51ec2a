//! A store is exported and copied while a writer goes on: one moment of it, not parts of many.
//!
//! The writer keeps a promise that holds between any two of its writes: the numbers that are there follow each other. An
//! export of a snapshot shows that, however long it takes, and so does the copy.
//!
//! `cargo run --release --example export_while_writing`

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tophash::{Result, Snapshot, Store};

const NUMBERS: u64 = 50_000;

fn main() -> Result<()> {
    let dir = std::env::temp_dir();
    let [path, copy, export] =
        ["live.tophash", "copy.tophash", "export.tsv"].map(|name| dir.join(format!("export-{name}")));
    let _ = (std::fs::remove_file(&path), std::fs::remove_file(&copy));
    let store = Store::open(&path)?;
    for n in 0..NUMBERS {
        store.insert(n.to_string(), "a number")?;
    }

    let stop = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<u64> {
            let mut next = NUMBERS;
            while !stop.load(Ordering::Relaxed) {
                store.insert(next.to_string(), "a number")?;
                store.remove((next - NUMBERS).to_string())?;
                next += 1;
            }
            Ok(next - NUMBERS)
        });
        let shown = export_now(&store, &export).and_then(|numbers| Ok((numbers, store.backup(&copy)?)));
        stop.store(true, Ordering::Relaxed);
        let written = writer.join().expect("the writer does not panic")?;
        let ((first, last), made) = shown?;
        println!("exported: {first} to {last}, none missing");
        println!("copied:   {} entries, {} bytes", made.entries, made.bytes);
        Ok::<u64, tophash::Error>(written)
    })?;
    println!("meanwhile {written} numbers were replaced");
    store.close()?;

    let copy = Store::open(&copy)?;
    assert!(copy.verify()?.is_clean());
    copy.close()
}

/// Writes one moment of a store to a file; its first and its last number.
fn export_now(store: &Store, export: &std::path::Path) -> Result<(u64, u64)> {
    store.checkpoint()?;
    let snapshot: Snapshot = store.snapshot()?;
    let mut file = std::io::BufWriter::new(std::fs::File::create(export).expect("a file to export to"));
    let mut numbers = Vec::new();
    for entry in &snapshot {
        let (key, value) = entry?;
        let (key, value) = (String::from_utf8_lossy(&key), String::from_utf8_lossy(&value));
        writeln!(file, "{key}\t{value}").expect("writing the export");
        numbers.push(key.parse::<u64>().expect("a number"));
    }
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "parts of different moments");
    Ok((numbers[0], numbers[numbers.len() - 1]))
}

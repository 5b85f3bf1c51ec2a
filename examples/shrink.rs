//! A table that gives back what it does not need: filled, emptied but for a twentieth, what is left replaced, filled
//! again. Prints how large it is and the longest write of each part.
//!
//! `cargo run --release --example shrink -- 1000000`; another number of entries may be given.

use std::time::{Duration, Instant};

use tophash::{Result, Store};

fn main() -> Result<()> {
    let entries: u64 = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::tempdir().expect("a directory for the store");
    let store = Store::open(dir.path().join("shrink.tophash"))?;
    println!("{:<10}{:>12}{:>12}{:>14}{:>16}", "", "entries", "buckets", "index bytes", "longest write");
    let put = |n: u64| store.insert(format!("key {n}"), n.to_le_bytes()).map(drop);
    let remove = |n: u64| store.remove(format!("key {n}")).map(drop);

    report("filled", &store, longest(0..entries, put)?)?;
    report("emptied", &store, longest((0..entries).filter(|n| n % 20 != 0), remove)?)?;
    // A shrink under way goes on with every write.
    report("replaced", &store, longest((0..entries).step_by(20), put)?)?;
    report("filled", &store, longest(0..entries, put)?)?;
    store.close()
}

/// Writes each number; the longest that one of them took.
fn longest(numbers: impl Iterator<Item = u64>, write: impl Fn(u64) -> Result<()>) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    for number in numbers {
        let begin = Instant::now();
        write(number)?;
        longest = longest.max(begin.elapsed());
    }
    Ok(longest)
}

/// The bytes are those of the bucket arrays and their checksums, as the file has them.
fn report(what: &str, store: &Store, longest: Duration) -> Result<()> {
    store.checkpoint()?;
    let info = store.info()?;
    let index = info.extents.iter().filter(|e| e.what.contains("buckets") || e.what == "page checksums");
    let bytes: u64 = index.map(|extent| extent.bytes).sum();
    let (count, buckets) = (store.len(), store.growth()?.buckets);
    println!("{what:<10}{count:>12}{buckets:>12}{bytes:>14}{:>13.2} ms", longest.as_secs_f64() * 1e3);
    Ok(())
}

//! Go's `map.go` justifies its load factor of 6.5 with a table. This prints that table next to what `tophash` measures
//! for its own buckets: each table is filled to the brim, so that one more key would make it grow.
//!
//! `cargo run --release --example load_factor`

use tophash::Options;
use tophash::report::Stats;

/// Buckets of each table: 2^16.
const B: u32 = 16;

/// Load factor, %overflow, bytes/entry, hitprobe and missprobe as Go has them, for buckets of eight 8-byte keys and
/// eight 8-byte values.
const GO: [[f64; 5]; 9] = [
    [4.00, 2.13, 20.77, 3.00, 4.00],
    [4.50, 4.05, 17.30, 3.25, 4.50],
    [5.00, 6.85, 14.77, 3.50, 5.00],
    [5.50, 10.55, 12.94, 3.75, 5.50],
    [6.00, 15.27, 11.67, 4.00, 6.00],
    [6.50, 20.90, 10.79, 4.25, 6.50],
    [7.00, 27.14, 10.15, 4.50, 7.00],
    [7.50, 34.03, 9.73, 4.75, 7.50],
    [8.00, 41.10, 9.40, 5.00, 8.00],
];

fn main() -> tophash::Result<()> {
    println!("              %overflow           bytes/entry           hitprobe        missprobe");
    println!("load        Go   tophash     Go   tophash  records     Go   tophash     Go   tophash");
    for [load_factor, overflow_percent, bytes_per_entry, hit_probe, miss_probe] in GO {
        let (stats, records) = (numbers(load_factor)?, records(load_factor)?);
        print!("{load_factor:.2}  ");
        print!("{overflow_percent:8.2} {:9.2}", stats.overflow_percent);
        print!("{bytes_per_entry:7.2} {:9.2} {:8.2}", stats.bytes_per_entry, records.bytes_per_entry);
        print!("{hit_probe:7.2} {:9.2}", stats.hit_probe);
        println!("{miss_probe:7.2} {:9.2}", stats.miss_probe);
    }
    println!();
    println!(
        "bytes/entry: what the buckets take beyond the entries, overflow buckets included. A bucket has 144 bytes, of"
    );
    println!(
        "which an entry takes 16, in Go and in a `Map<u64, u64>`; in a store of records 80, of which a cell takes 8."
    );
    Ok(())
}

/// A table of numbers, which its cells hold, with as many entries as its load factor allows.
fn numbers(load_factor: f64) -> tophash::Result<Stats> {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let options = Options::new().load_factor(load_factor).capacity(most(load_factor));
    let map = options.open_map::<u64, u64>(dir.path().join("a.tophash"))?;
    for n in 0..most(load_factor) {
        map.insert(n, n)?;
    }
    map.stats()
}

/// The same of bytes, which are in records.
fn records(load_factor: f64) -> tophash::Result<Stats> {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let options = Options::new().load_factor(load_factor).capacity(most(load_factor));
    let store = options.open(dir.path().join("a.tophash"))?;
    for n in 0..most(load_factor) {
        store.insert(n.to_le_bytes(), [])?;
    }
    store.stats()
}

fn most(load_factor: f64) -> u64 {
    (load_factor * f64::from(1u32 << B)) as u64
}

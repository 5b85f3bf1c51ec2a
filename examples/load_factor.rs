//! Go's `map.go` justifies its load factor of 6.5 with a table. This prints that table next to what `tophash` measures
//! for its own buckets: each store is filled to the brim, so that one more key would make it grow.
//!
//! `cargo run --release --example load_factor`

use tophash::Options;

/// Buckets of each store: 2^16.
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
    println!("              %overflow       bytes/entry         hitprobe        missprobe");
    println!("load        Go   tophash     Go   tophash     Go   tophash     Go   tophash");
    for [load_factor, overflow_percent, bytes_per_entry, hit_probe, miss_probe] in GO {
        let stats = measure(load_factor)?;
        print!("{load_factor:.2}  ");
        print!("{overflow_percent:8.2} {:9.2}", stats.overflow_percent);
        print!("{bytes_per_entry:8.2} {:8.2}", stats.bytes_per_entry);
        print!("{hit_probe:8.2} {:8.2}", stats.hit_probe);
        println!("{miss_probe:8.2} {:8.2}", stats.miss_probe);
    }
    println!();
    println!(
        "bytes/entry: what the buckets take beyond the entries. A bucket has 144 bytes in Go, of which an entry"
    );
    println!("takes 16, and 80 here, of which a cell takes 8; overflow buckets included.");
    Ok(())
}

/// A table with as many entries as its load factor allows.
fn measure(load_factor: f64) -> tophash::Result<tophash::report::Stats> {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let most = (load_factor * f64::from(1u32 << B)) as u64;
    let store = Options::new().load_factor(load_factor).capacity(most).open(dir.path().join("a.tophash"))?;
    for n in 0..most {
        store.insert(n.to_le_bytes(), [])?;
    }
    store.stats()
}

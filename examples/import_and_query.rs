//! Import a real data set and look things up: the Unicode character database, code point to properties.
//!
//! `cargo run --release --example import_and_query`

use std::fs;
use std::time::Instant;

use tophash::{Durability, Options, Result};

fn main() -> Result<()> {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/UnicodeData.txt");
    let data = fs::read_to_string(data).expect("the data set is part of the repository");
    let path = std::env::temp_dir().join("unicode-example.tophash");
    let _ = fs::remove_file(&path);

    // One sync at the end is enough here: if the import is cut short, it is simply run again.
    let store = Options::new().durability(Durability::Buffered).open(&path)?;
    let begin = Instant::now();
    for line in data.lines() {
        let (code_point, properties) = line.split_once(';').expect("every line has a `;`");
        store.insert(code_point, properties)?;
    }
    store.sync()?;
    println!("{} code points in {:.0?}", store.len(), begin.elapsed());

    for code_point in ["0041", "1F600", "D7FF", "10FFFF"] {
        match store.get(code_point)? {
            Some(properties) => {
                let properties = String::from_utf8_lossy(&properties);
                println!("U+{code_point} is {}", properties.split(';').next().unwrap_or("unnamed"));
            }
            None => println!("U+{code_point} is not assigned"),
        }
    }

    let stats = store.stats()?;
    println!(
        "2^{} buckets, {:.2} entries a bucket, {} overflow buckets; a lookup compares {:.2} entries to find a key",
        stats.b, stats.load_factor, stats.overflow_buckets, stats.hit_probe
    );
    store.close()
}

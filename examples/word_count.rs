//! Counts words in a file that keeps the counts: `Map<str, u64>`, each word one `add`. The text is the names of all
//! Unicode characters.
//!
//! `cargo run --release --example word_count`

use std::fs;
use std::time::Instant;

use tophash::{Map, Result};

fn main() -> Result<()> {
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/UnicodeData.txt");
    let text = fs::read_to_string(text).expect("the text is part of the repository");
    let path = std::env::temp_dir().join("word-count.tophash");
    let _ = fs::remove_file(&path);

    let counts = Map::<str, u64>::open(&path)?;
    let begin = Instant::now();
    let mut words = 0;
    for name in text.lines().filter_map(|line| line.split(';').nth(1)) {
        for word in name.split_whitespace() {
            counts.add(word, 1)?;
            words += 1;
        }
    }
    println!("{words} words, {} different ones, counted in {:.0?}\n", counts.len(), begin.elapsed());

    let mut most: Vec<(String, u64)> = counts.iter().collect::<Result<_>>()?;
    most.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    for (word, count) in most.iter().take(10) {
        println!("{count:>8}  {word}");
    }
    println!("\nSNOWMAN: {:?}, SNOWWOMAN: {:?}", counts.get("SNOWMAN")?, counts.get("SNOWWOMAN")?);
    counts.close()
}

//! What was seen stays seen: a `Set<u128>` of content hashes finds the blocks of a text that are new, in this run and
//! in the next.
//!
//! `cargo run --release --example seen_hashes`

use std::fs;

use tophash::{Result, Set};

fn main() -> Result<()> {
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/UnicodeData.txt");
    let text = fs::read_to_string(text).expect("the text is part of the repository");
    let path = std::env::temp_dir().join("seen-hashes.tophash");
    let _ = fs::remove_file(&path);

    // A block is what the database says of a character, without its number and its name: much of it is said again.
    let blocks: Vec<&str> = text.lines().filter_map(|line| line.splitn(3, ';').nth(2)).collect();
    let (half, _) = blocks.split_at(blocks.len() / 2);

    let seen = Set::<u128>::open(&path)?;
    println!("first half:   {}", only_new(&seen, half)?);
    seen.close()?;

    // Another process, another day: the set is in the file.
    let seen = Set::<u128>::open(&path)?;
    println!("all of it:    {}", only_new(&seen, &blocks)?);
    println!("once again:   {}", only_new(&seen, &blocks)?);

    let known = seen.contains(&hash(blocks[0].as_bytes()))?;
    println!("\n{} hashes of 16 bytes; the first block is among them: {known}", seen.len());
    seen.close()
}

/// Takes blocks in, and says how many of them nobody had seen before.
fn only_new(seen: &Set<u128>, blocks: &[&str]) -> Result<String> {
    let (mut new, mut bytes) = (0, 0);
    for block in blocks {
        if seen.insert(hash(block.as_bytes()))? {
            new += 1;
            bytes += block.len();
        }
    }
    Ok(format!("{:>6} blocks, {new:>5} of them new, {bytes:>6} bytes to keep", blocks.len()))
}

/// FNV-1a of 128 bits: short, and the same for ever. Use a cryptographic hash where blocks come from strangers.
fn hash(block: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    block.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

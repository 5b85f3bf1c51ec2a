//! What the file takes while a store is overwritten, emptied and compacted, and how long its writes wait.
//!
//! `cargo run --release --example space 1000000` does it with a million entries of 16-byte keys and 100-byte values. Sizes
//! of the file, as far as it occupies the disk, are in multiples of the bytes of the keys and values in it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tophash::{Durability, Options, Result, Store};

const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 100;
/// Operations between two looks at the file.
const LOOK_EVERY: u64 = 20_000;
/// Long enough for a store to come to rest, and for what it does then.
const REST: Duration = Duration::from_millis(1500);

/// Looks at a stretch of operations.
struct Phase<'s> {
    store: &'s Store,
    path: &'s Path,
    longest: Duration,
    highest_bytes: u64,
}

impl Phase<'_> {
    fn run(&mut self, name: &str, count: u64, mut op: impl FnMut(u64) -> Result<()>) -> Result<()> {
        (self.longest, self.highest_bytes) = (Duration::ZERO, 0);
        let begin = Instant::now();
        for n in 0..count {
            let before = Instant::now();
            op(n)?;
            self.longest = self.longest.max(before.elapsed());
            if n % LOOK_EVERY == 0 {
                self.look();
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        self.look();
        self.tell(name, count as f64 / seconds)
    }

    fn look(&mut self) {
        let blocks = std::fs::metadata(self.path).map_or(0, |file| file.blocks());
        self.highest_bytes = self.highest_bytes.max(blocks * 512);
    }

    fn tell(&self, name: &str, rate: f64) -> Result<()> {
        let stats = self.store.stats()?;
        let raw_bytes = (stats.count * (KEY_BYTES + VALUE_BYTES) as u64) as f64;
        println!(
            "{name:<12}  {:>8.0} /s  longest {:>9.2?}  now {:>5.2}  highest {:>5.2}  log live {:>6.1} dead {:>6.1} MB  \
             moved {:>6.1} MB  file {:>6.1} MB",
            rate,
            self.longest,
            stats.allocated_bytes as f64 / raw_bytes,
            self.highest_bytes as f64 / raw_bytes,
            stats.log_live_bytes as f64 / 1e6,
            stats.log_dead_bytes as f64 / 1e6,
            stats.moved_bytes as f64 / 1e6,
            stats.file_bytes as f64 / 1e6,
        );
        Ok(())
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn key(n: u64) -> [u8; KEY_BYTES] {
    (u128::from(mix(n)) << 64 | u128::from(n)).to_le_bytes()
}

fn value(n: u64) -> [u8; VALUE_BYTES] {
    std::array::from_fn(|at| (n >> (at % 8 * 8)) as u8)
}

fn put(store: &Store, key_number: u64, n: u64) -> Result<()> {
    store.insert(key(key_number), value(n)).map(drop)
}

fn run(path: &Path, entries: u64) -> Result<()> {
    let store = Options::new().durability(Durability::Buffered).open(path)?;
    let mut phase = Phase { store: &store, path, longest: Duration::ZERO, highest_bytes: 0 };
    phase.run("fill", entries, |n| put(&store, n, n))?;
    for round in 0..10 {
        let random = |n| mix(round * entries + n) % entries;
        phase.run("overwrite", entries, |n| put(&store, random(n), n))?;
    }
    let nine_in_ten = (0..entries).filter(|n| n % 10 != 0).collect::<Vec<_>>();
    phase.run("remove 90 %", nine_in_ten.len() as u64, |n| {
        store.forget(key(nine_in_ten[n as usize])).map(drop)
    })?;
    let left = |n| mix(n) % (entries / 10) * 10;
    phase.run("overwrite", entries, |n| put(&store, left(n), n))?;
    std::thread::sleep(REST);
    phase.run("rest", 0, |_| Ok(()))?;
    let begin = Instant::now();
    let done = store.compact()?;
    println!("compact took {:.2?} for {} records", begin.elapsed(), done.moved_records);
    phase.run("compacted", 0, |_| Ok(()))?;
    store.close()
}

fn main() -> Result<()> {
    let entries = std::env::args().nth(1).and_then(|number| number.parse().ok()).unwrap_or(100_000);
    let path = std::env::temp_dir().join(format!("space-{}.tophash", std::process::id()));
    let done = run(&path, entries);
    let _ = std::fs::remove_file(&path);
    done
}

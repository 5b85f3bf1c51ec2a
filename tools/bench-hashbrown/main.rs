//! `cargo bench`: this store beside the standard hash table in memory, as ratios within one run.
//!
//! Random 16-byte keys, 100-byte values, one thread, both behind SipHash-1-3; rounds interleaved, medians. Times
//! on a shared machine mean little by themselves; the ratios are what to look at. `cargo bench -- 10000000` takes
//! another number of entries. Where `valgrind` is installed, instructions per operation follow, those of `Map<u64, u64>`
//! too; `cargo bench -- instructions` counts those alone.

mod instructions;
mod keys;

use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;
use tophash::{Durability, Error, Options, Result};

use keys::{Key, key, shuffle};

const ROUNDS: usize = 3;
const VALUE: [u8; 100] = [7; 100];

type InMemory = hashbrown::HashMap<Box<[u8]>, Box<[u8]>, Sip>;

/// SipHash-1-3 over the key's bytes alone, as the store hashes them.
#[derive(Clone, Default)]
struct Sip;

struct SipBytes(SipHasher13);

impl BuildHasher for Sip {
    type Hasher = SipBytes;

    fn build_hasher(&self) -> SipBytes {
        SipBytes(SipHasher13::new_with_key(&[1; 16]))
    }
}

impl Hasher for SipBytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    // The length that a slice hashes before its bytes is no part of the store's hash.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

/// Operations a second of one round, and its longest insert.
#[derive(Default, Clone)]
struct Round {
    insert: f64,
    longest_insert: Duration,
    get: f64,
    miss: f64,
    get_many: f64,
    scan: f64,
    overwrite: f64,
    iterate: f64,
    remove: f64,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, subject, entries, dir] = &arguments[..]
        && flag == instructions::CHILD
    {
        return instructions::run_child(
            subject,
            entries.parse().expect("a number of entries"),
            Path::new(dir),
        );
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    if arguments.iter().any(|arg| arg == "instructions") {
        return instructions::report(dir.path());
    }
    let entries = arguments.iter().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let keys: Vec<Key> = (0..2 * entries).map(key).collect();
    let (present, absent) = keys.split_at(entries as usize);
    let shuffled = shuffle(present);

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        theirs.push(measure_in_memory(present, absent, &shuffled));
        ours.push(measure_store(&dir.path().join(format!("{round}.tophash")), present, absent, &shuffled)?);
    }
    print_table(entries, &ours, &theirs);
    println!();
    instructions::report(dir.path())
}

fn print_table(entries: u64, ours: &[Round], theirs: &[Round]) {
    println!("{entries} entries, 16-byte keys, 100-byte values, medians of {ROUNDS} interleaved rounds\n");
    println!("{:<12}{:>16}{:>16}{:>24}", "", "tophash k/s", "hashbrown k/s", "tophash / hashbrown");
    type Figure = fn(&Round) -> f64;
    let rows: [(&str, Figure); 8] = [
        ("insert", |round| round.insert),
        ("get", |round| round.get),
        ("miss", |round| round.miss),
        ("get_many", |round| round.get_many),
        ("scan", |round| round.scan),
        ("overwrite", |round| round.overwrite),
        ("iterate", |round| round.iterate),
        ("remove", |round| round.remove),
    ];
    for (name, figure) in rows {
        let (a, b) = (median(ours, figure), median(theirs, figure));
        println!("{name:<12}{:>16.0}{:>16.0}{:>24.2}", a / 1e3, b / 1e3, a / b);
    }
    let longest = |rounds: &[Round]| median(rounds, |round| round.longest_insert.as_secs_f64() * 1e3);
    println!("\nlongest insert, ms: tophash {:.2}, hashbrown {:.2}", longest(ours), longest(theirs));
}

fn median(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> f64 {
    let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Runs `work` for each item and says how many a second that were.
fn rate<T>(items: &[T], mut work: impl FnMut(&T)) -> f64 {
    let begin = Instant::now();
    items.iter().for_each(&mut work);
    items.len() as f64 / begin.elapsed().as_secs_f64()
}

fn longest<T>(items: &[T], mut work: impl FnMut(&T)) -> (f64, Duration) {
    let mut longest = Duration::ZERO;
    let rate = rate(items, |item| {
        let begin = Instant::now();
        work(item);
        longest = longest.max(begin.elapsed());
    });
    (rate, longest)
}

fn measure_store(path: &Path, present: &[Key], absent: &[Key], shuffled: &[Key]) -> Result<Round> {
    let store = Options::new().durability(Durability::Buffered).open(path)?;
    let insert = |key: &Key| drop(store.insert(key, VALUE).expect("insert"));
    let (insert_rate, longest_insert) = longest(present, insert);
    // The checkpoint of the fill is not part of the lookups.
    store.checkpoint()?;
    let round = Round {
        insert: insert_rate,
        longest_insert,
        get: rate(shuffled, |key| assert_eq!(store.get(key).expect("get").expect("present").to_vec(), VALUE)),
        miss: rate(absent, |key| assert!(store.get(key).expect("get").is_none())),
        get_many: total(
            present.len(),
            store.get_many(shuffled).map(|value| value.expect("get").expect("present")),
        ),
        scan: total(present.len(), store.scan().map(|entry| entry.expect("scan").1)),
        overwrite: rate(shuffled, insert),
        iterate: total(present.len(), store.values().map(|value| value.expect("iterate"))),
        remove: rate(shuffled, |key| drop(store.remove(key).expect("remove"))),
    };
    store.close()?;
    std::fs::remove_file(path).map_err(io_error)?;
    Ok(round)
}

fn io_error(source: std::io::Error) -> Error {
    Error::Io { action: "preparing and cleaning up", source }
}

/// How many values a second come out of an iterator that has one for each entry.
fn total<V: AsRef<[u8]>>(entries: usize, values: impl Iterator<Item = V>) -> f64 {
    let begin = Instant::now();
    let bytes: usize = values.map(|value| value.as_ref().len()).sum();
    assert_eq!(bytes, entries * VALUE.len());
    entries as f64 / begin.elapsed().as_secs_f64()
}

fn measure_in_memory(present: &[Key], absent: &[Key], shuffled: &[Key]) -> Round {
    let mut map = InMemory::with_hasher(Sip);
    let (insert, longest_insert) =
        longest(present, |key| drop(map.insert(Box::from(&key[..]), Box::from(&VALUE[..]))));
    let get = rate(shuffled, |key| assert_eq!(map.get(&key[..]).expect("present").to_vec(), VALUE));
    let miss = rate(absent, |key| assert!(!map.contains_key(&key[..])));
    let overwrite = rate(shuffled, |key| drop(map.insert(Box::from(&key[..]), Box::from(&VALUE[..]))));
    let get_many = total(present.len(), shuffled.iter().map(|key| map.get(&key[..]).expect("present")));
    let iterate = total(present.len(), map.values());
    let remove = rate(shuffled, |key| drop(map.remove(&key[..])));
    // A map in memory has no faster way to many values, and no log.
    Round { insert, longest_insert, get, miss, get_many, scan: iterate, overwrite, iterate, remove }
}

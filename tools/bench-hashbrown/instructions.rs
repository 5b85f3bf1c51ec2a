//! Instructions per operation, counted by callgrind: repeatable on a busy machine, unlike time.
//!
//! For each subject and number of entries this program is started again under `valgrind`. Callgrind counts only inside of
//! [`counted`], and writes what it counted into a file of its own whenever that function returns. The store's
//! background thread is not counted: these are the instructions of the thread that asks.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

use tophash::{Durability, Map, Options, Result, Store};

use crate::keys::{key, number, shuffle};
use crate::{VALUE, io_error};

/// The first argument of a child, before its subject, the number of entries and the directory.
pub const CHILD: &str = "--under-callgrind";

const ENTRIES: [u64; 3] = [10_000, 100_000, 1_000_000];
/// In the order in which the child runs them.
const OPERATIONS: [&str; 5] = ["insert, amortised", "get", "miss", "overwrite", "remove"];
/// As many of the others, at most; every insert is counted.
const MOST_OPERATIONS: usize = 100_000;

type Counts = [f64; OPERATIONS.len()];

/// What is counted: its name for a child, and what the table calls it.
const SUBJECTS: [(&str, &str); 3] = [
    ("records", "Store, keys of 16 bytes, values of 100"),
    ("numbers", "Store, keys and values of 8 bytes"),
    ("map", "Map<u64, u64>"),
];

/// Prints a table for each subject, or why there is none.
pub fn report(dir: &Path) -> Result<()> {
    print!("instructions per operation: ");
    if !valgrind_is_installed() {
        println!("skipped, because valgrind is not installed");
        return Ok(());
    }
    println!("counted by callgrind");
    for (subject, title) in SUBJECTS {
        print!("\n{title}\n{:<20}", "entries");
        ENTRIES.iter().for_each(|entries| print!("{entries:>12}"));
        println!("{:>20}", "largest / smallest");
        let mut columns = Vec::new();
        for entries in ENTRIES {
            match count(subject, entries, dir)? {
                Ok(counts) => columns.push(counts),
                Err(why) => {
                    println!("skipped, because {why}");
                    return Ok(());
                }
            }
        }
        print_rows(&columns);
    }
    Ok(())
}

fn print_rows(columns: &[Counts]) {
    for (operation, name) in OPERATIONS.iter().enumerate() {
        let counts: Vec<f64> = columns.iter().map(|counts| counts[operation]).collect();
        let smallest = counts.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = counts.iter().copied().fold(0.0, f64::max);
        print!("{name:<20}");
        counts.iter().for_each(|count| print!("{count:>12.0}"));
        println!("{:>20.2}", largest / smallest);
    }
}

/// What a child does; its first argument was [`CHILD`].
pub fn run_child(subject: &str, entries: u64, dir: &Path) -> Result<()> {
    let (options, path) = (Options::new().durability(Durability::Buffered), dir.join("counted.tophash"));
    match subject {
        "records" => count_all(&Records { store: options.open(path)?, value: &VALUE }, entries, key),
        "numbers" => {
            let numbers = Records { store: options.open(path)?, value: &VALUE[..8] };
            count_all(&numbers, entries, |place| number(place).to_le_bytes())
        }
        "map" => count_all(&options.open_map::<u64, u64>(path)?, entries, number),
        unknown => panic!("no subject is called {unknown}"),
    }
}

/// Runs each of [`OPERATIONS`], counted.
fn count_all<K: Copy>(subject: &impl Subject<K>, entries: u64, key: impl Fn(u64) -> K) -> Result<()> {
    let keys: Vec<K> = (0..entries).map(&key).collect();
    let absent: Vec<K> = (entries..2 * entries).take(MOST_OPERATIONS).map(&key).collect();
    let mut some = shuffle(&keys);
    some.truncate(MOST_OPERATIONS);

    counted(&mut || keys.iter().for_each(|key| subject.insert(key)));
    subject.checkpoint()?;
    counted(&mut || some.iter().for_each(|key| assert!(subject.get(key))));
    counted(&mut || absent.iter().for_each(|key| assert!(!subject.get(key))));
    counted(&mut || some.iter().for_each(|key| subject.insert(key)));
    counted(&mut || some.iter().for_each(|key| assert!(subject.remove(key))));
    Ok(())
}

/// What operations are counted of. A value that is got is looked at.
trait Subject<K> {
    fn insert(&self, key: &K);
    fn get(&self, key: &K) -> bool;
    fn remove(&self, key: &K) -> bool;
    fn checkpoint(&self) -> Result<()>;
}

struct Records {
    store: Store,
    value: &'static [u8],
}

impl<K: AsRef<[u8]>> Subject<K> for Records {
    fn insert(&self, key: &K) {
        self.store.insert(key, self.value).expect("insert");
    }

    fn get(&self, key: &K) -> bool {
        self.store.get(key).expect("get").is_some_and(|value| *value == *self.value)
    }

    fn remove(&self, key: &K) -> bool {
        self.store.remove(key).expect("remove").is_some()
    }

    fn checkpoint(&self) -> Result<()> {
        self.store.checkpoint()
    }
}

impl Subject<u64> for Map<u64, u64> {
    fn insert(&self, key: &u64) {
        Map::insert(self, key, key).expect("insert");
    }

    fn get(&self, key: &u64) -> bool {
        Map::get(self, key).expect("get") == Some(*key)
    }

    fn remove(&self, key: &u64) -> bool {
        Map::remove(self, key).expect("remove").is_some()
    }

    fn checkpoint(&self) -> Result<()> {
        Map::checkpoint(self)
    }
}

/// Callgrind finds this function by its name. What follows the work keeps the call from becoming a jump.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
    black_box(());
}

/// Instructions of each operation, or why they can't be counted here.
fn count(subject: &str, entries: u64, dir: &Path) -> Result<std::result::Result<Counts, String>> {
    let dir = dir.join(format!("callgrind-{subject}-{entries}"));
    fs::create_dir(&dir).map_err(io_error)?;
    let program = std::env::current_exe().map_err(io_error)?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        // Callgrind keeps one option for each pattern: the same one twice would lose the first.
        .args(["--toggle-collect=*instructions::counted*", "--dump-after=*::counted*"])
        .arg(format!("--callgrind-out-file={}", dir.join("counts").display()))
        .arg(program)
        .args([CHILD, subject, &entries.to_string()])
        .arg(&dir)
        .output();
    let counts = match output {
        Ok(output) if output.status.success() => read_counts(&dir, entries),
        Ok(output) => Err(format!("valgrind failed: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("valgrind did not start: {error}")),
    };
    fs::remove_dir_all(&dir).map_err(io_error)?;
    Ok(counts)
}

/// One file for each operation, numbered from one.
fn read_counts(dir: &Path, entries: u64) -> std::result::Result<Counts, String> {
    let mut counts = [0.0; OPERATIONS.len()];
    for (operation, count) in counts.iter_mut().enumerate() {
        let path = dir.join(format!("counts.{}", operation + 1));
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let total = text
            .lines()
            .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))
            .and_then(|total| total.trim().parse::<f64>().ok())
            .ok_or_else(|| format!("{} has no total", path.display()))?;
        let operations = if operation == 0 { entries } else { entries.min(MOST_OPERATIONS as u64) };
        *count = total / operations as f64;
    }
    Ok(counts)
}

fn valgrind_is_installed() -> bool {
    let mut version = Command::new("valgrind");
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

//! Kills a child of its own in the middle of a growth, looks into the file that it left, and lets the growth go on
//! where it was.
//!
//! `cargo run --release --example crash_and_resume`

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use tophash::report::Growth;
use tophash::{Durability, Options, Result, Store};

/// Enough for a table of 2^14 buckets that doubles.
const ENTRIES: u32 = 110_000;

fn main() -> Result<()> {
    if let Some(path) = std::env::args().nth(1) {
        return fill_until_killed(Path::new(&path));
    }
    let path = std::env::temp_dir().join("crash-and-resume.tophash");
    let _ = std::fs::remove_file(&path);

    let acknowledged = kill_a_child_in_growth(&path);
    println!("killed a process that had inserted {acknowledged} entries");

    // A read-only open recovers in memory and does not touch the file.
    let crashed = Options::new().read_only(true).open(&path)?;
    let found = crashed.growth()?;
    print_growth("the crashed file:  ", &found);
    assert!(found.kind.is_some(), "the child was killed in the middle of a growth");
    assert!(crashed.len() >= u64::from(acknowledged));
    drop(crashed);

    let store = Store::open(&path)?;
    print_growth("reopened:          ", &store.growth()?);
    let mut more = 0;
    while store.growth()?.kind.is_some() {
        store.insert(format!("more {more}"), "")?;
        more += 1;
    }
    print_growth("some inserts later:", &store.growth()?);

    let missing = (0..acknowledged).filter(|n| !store.contains_key(n.to_be_bytes()).unwrap_or(false)).count();
    let report = store.verify()?;
    println!("{missing} of {acknowledged} acknowledged entries are missing, {} faults", report.faults.len());
    assert!(missing == 0 && report.is_clean());
    store.close()
}

fn print_growth(when: &str, growth: &Growth) {
    match growth.kind {
        Some(kind) => println!(
            "{when} {kind:?}: {} of {} old buckets evacuated into {}",
            growth.nevacuate, growth.old_buckets, growth.buckets
        ),
        None => println!("{when} {} buckets, no growth under way", growth.buckets),
    }
}

/// Runs this program again as the child, and kills it when it says that a large growth is half done.
fn kill_a_child_in_growth(path: &Path) -> u32 {
    let this_program = std::env::current_exe().expect("a running program has a path");
    let mut child = Command::new(this_program)
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be run again");
    let mut acknowledged = 0;
    let output = BufReader::new(child.stdout.take().expect("its output is piped"));
    for line in output.lines().map_while(std::result::Result::ok) {
        acknowledged = line.parse().expect("the child prints numbers");
    }
    child.wait().expect("the child ends");
    acknowledged
}

/// The child: inserts, acknowledges, and dies by its own hand as hard as by any other, without closing anything.
fn fill_until_killed(path: &Path) -> Result<()> {
    let store = Options::new().durability(Durability::Buffered).open(path)?;
    for n in 0..ENTRIES {
        store.insert(n.to_be_bytes(), format!("value {n}"))?;
        let growth = store.growth()?;
        if growth.old_buckets == 1 << 13 && growth.nevacuate > 1 << 12 {
            println!("{}", n + 1);
            let this_process = std::process::id().to_string();
            let _ = Command::new("kill").args(["-KILL", &this_process]).status();
        }
    }
    unreachable!("the table grows before that");
}

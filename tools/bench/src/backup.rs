//! `backup`: what a writer loses while its store is copied.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tophash::{Durability, Options, Store};

use crate::args::Backup;
use crate::compare::scratch;
use crate::data::{Random, key, value};

/// The project's target: a writer keeps so much of its rate.
const TARGET: f64 = 0.8;

/// One round: writes a second alone, before and after, and beside the copy.
struct Round {
    alone: f64,
    beside: f64,
    seconds: f64,
    megabytes: f64,
}

pub fn run(backup: &Backup) -> Result<()> {
    let dir = scratch(backup.dir.as_deref())?;
    let store = Options::new().durability(Durability::Buffered).open(dir.path().join("store.tophash"))?;
    for number in 0..backup.entries {
        let key = key(number);
        store.insert(key, value(&key, 0))?;
    }
    store.checkpoint()?;
    let (writes, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut rounds = thread::scope(|scope| {
        let writer = scope.spawn(|| overwrite(&store, backup.entries, &writes, &ended));
        let rounds: Result<Vec<Round>> = (0..backup.rounds)
            .map(|round| {
                let target = dir.path().join(format!("copy-{round}.tophash"));
                let alone = || {
                    rate(&writes, || {
                        thread::sleep(Duration::from_millis(backup.window_ms));
                        Ok(())
                    })
                };
                let before = alone()?.0;
                let mut bytes = 0;
                let (beside, seconds) = rate(&writes, || {
                    bytes = store.backup(&target)?.bytes;
                    Ok(())
                })?;
                let after = alone()?.0;
                std::fs::remove_file(&target)?;
                Ok(Round { alone: (before + after) / 2.0, beside, seconds, megabytes: bytes as f64 / 1e6 })
            })
            .collect();
        // Relaxed: it ends the loop and publishes nothing.
        ended.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| anyhow!("the writer panicked"))??;
        rounds
    })?;
    println!("a backup of {} entries beside a writer that replaces them at random\n", backup.entries);
    println!("  MB copied    seconds   writes/s alone  beside the copy   share");
    for Round { alone, beside, seconds, megabytes } in &rounds {
        println!("{megabytes:11.1} {seconds:10.2} {alone:16.0} {beside:16.0} {:7.2}", beside / alone);
    }
    rounds.sort_by(|a, b| (a.beside / a.alone).total_cmp(&(b.beside / b.alone)));
    let median = &rounds[rounds.len() / 2];
    let share = median.beside / median.alone;
    let verdict = if share >= TARGET { "met" } else { "missed" };
    println!(
        "\nthe writer keeps {:.0} % of its rate (median); target {:.0} %: {verdict}",
        share * 1e2,
        TARGET * 1e2
    );
    Ok(())
}

fn overwrite(store: &Store, entries: u64, writes: &AtomicU64, ended: &AtomicBool) -> Result<()> {
    let mut random = Random::new(8);
    // Relaxed, both: counts and an end, nothing is read because of them.
    while !ended.load(Ordering::Relaxed) {
        let key = key(random.below(entries));
        store.insert(key, value(&key, 1))?;
        writes.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Writes a second while something is done, and how long that takes.
fn rate(writes: &AtomicU64, work: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
    let (begin, before) = (Instant::now(), writes.load(Ordering::Relaxed));
    work()?;
    let seconds = begin.elapsed().as_secs_f64();
    Ok(((writes.load(Ordering::Relaxed) - before) as f64 / seconds, seconds))
}

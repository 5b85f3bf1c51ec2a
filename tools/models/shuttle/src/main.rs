//! The table of tophash beside readers, under many random schedules.
//!
//!     tophash-shuttle [SCHEDULES] [SEED]       of each layout, half of them random, half by priorities (PCT)
//!     tophash-shuttle --overtake STORE         a kind of store overtakes the one before it: must be noticed
//!
//! See `../README.md`.

mod memory;
mod program;

#[path = "../../loom/src/entries.rs"]
mod entries;
#[allow(dead_code, reason = "the library's; not all of it is used here")]
#[path = "../../../../src/error.rs"]
mod error;
#[allow(dead_code, reason = "shared with the models for loom")]
#[path = "../../loom/src/format.rs"]
mod format;
#[path = "../../../../tests/linearizable/history.rs"]
mod history;
#[path = "../../loom/src/mutants.rs"]
mod mutants;
#[path = "../../../../src/seam.rs"]
mod seam;
#[allow(dead_code, unused_imports, reason = "the library's; not all of it is used here")]
#[path = "../../../../src/table/mod.rs"]
mod table;

/// What the table takes from `std`.
mod sync {
    pub(crate) use shuttle::hint::spin_loop;
    pub(crate) use shuttle::thread::yield_now;
    pub(crate) use std::sync::OnceLock;

    pub(crate) mod atomic {
        pub(crate) use shuttle::sync::atomic::{AtomicU64, Ordering};
    }
}

use std::sync::atomic::{AtomicU64, Ordering};

use entries::InlineEntries;
use memory::ModelRecords;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, Runner};

/// Changes of priority in one schedule of PCT.
const DEPTH: usize = 4;

static SCHEDULES: AtomicU64 = AtomicU64::new(0);

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq("--overtake").is_some() {
        let name = arguments.next().unwrap_or_default();
        let kinds = memory::Store::ALL;
        let kind = kinds.into_iter().find(|kind| format!("{kind:?}").eq_ignore_ascii_case(&name));
        memory::OVERTAKES.set(kind.expect("one of the kinds of stores")).expect("one a process");
    }
    let schedules = arguments.next().map_or(10_000, |text| text.parse().expect("a number of schedules"));
    let seed = arguments.next().map_or(1, |text| text.parse().expect("a seed"));

    // A failed execution can't be unwound: its threads stand in the middle of things.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        eprintln!("after {} schedules, seed {seed}", SCHEDULES.load(Ordering::Relaxed));
        std::process::exit(1);
    }));
    let started = std::time::Instant::now();
    run(program::run::<ModelRecords>, schedules, seed);
    // What is held back does not know of the counters, which are no words.
    if memory::OVERTAKES.get().is_none() {
        run(program::run::<InlineEntries<2>>, schedules, seed);
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "shuttle: {} schedules in {seconds:.1} s; {}",
        SCHEDULES.load(Ordering::Relaxed),
        program::tally()
    );
}

/// Runs the program of one layout.
fn run(program: fn(), schedules: usize, seed: u64) {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::None;
    // It says that it knows one order of all accesses.
    config.silence_warnings = true;
    let program = move || {
        SCHEDULES.fetch_add(1, Ordering::Relaxed);
        program();
    };
    Runner::new(RandomScheduler::new_from_seed(seed, schedules / 2), config.clone()).run(program);
    Runner::new(PctScheduler::new_from_seed(seed, DEPTH, schedules - schedules / 2), config).run(program);
}

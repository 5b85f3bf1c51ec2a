//! Many cycles, each with a seed of its own: the first that finds a violation ends the run.

use std::fmt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::content::mix;
use crate::tally::{Tally, keep_panics, without_panic};

/// Where a run begins and how long it goes on.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Span {
    /// Seed of the first cycle; each further one has the next number. By the clock unless given
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Cycles to run
    #[arg(long, value_name = "N")]
    pub cycles: Option<u64>,

    /// Begin no more cycles after so many seconds
    #[arg(long, value_name = "S")]
    pub seconds: Option<u64>,

    /// Cycles to run at a time; the processors' number unless given
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

impl Span {
    fn first_seed(&self) -> u64 {
        let by_the_clock = || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            mix(now.map_or(0, |now| now.as_nanos() as u64)) % 1_000_000_000
        };
        self.seed.unwrap_or_else(by_the_clock)
    }

    /// How many cycles run at a time.
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

/// What was found wrong, and the seed that shows it again.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The cycle's seed.
    pub seed: u64,
    /// What is wrong.
    pub what: String,
}

/// What a run did.
#[derive(Debug)]
pub struct Summary {
    /// What the tool was told to do.
    name: String,
    /// How the moments and images of this run are called.
    units: Units,
    first_seed: u64,
    /// Cycles that ended.
    pub cycles: u64,
    /// Moments that were looked at.
    pub moments: u64,
    /// Images that were judged.
    pub images: u64,
    time: Duration,
    /// The violation with the lowest seed.
    pub violation: Option<Violation>,
}

/// What a run counts.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    /// What [`Tally::image`] counts.
    pub images: &'static str,
    /// What [`Tally::moment`] counts.
    pub moments: &'static str,
}

impl Default for Units {
    fn default() -> Self {
        Units { images: "images", moments: "moments" }
    }
}

/// Runs cycles, several at a time, until they are done, time is up, or one finds a violation. A panic is one.
pub fn run(
    name: impl Into<String>,
    units: Units,
    span: &Span,
    default_cycles: u64,
    cycle: impl Fn(u64, &Arc<Tally>) -> Result<(), String> + Sync,
) -> Summary {
    keep_panics();
    let begun = Instant::now();
    let (first_seed, cycles) = (span.first_seed(), span.cycles.unwrap_or(default_cycles));
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let (moments, images, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let violation: Mutex<Option<Violation>> = Mutex::new(None);
    let bar = bar(cycles);
    let work = || {
        loop {
            let late = span.seconds.is_some_and(|seconds| begun.elapsed() >= Duration::from_secs(seconds));
            let number = next.fetch_add(1, Ordering::Relaxed);
            if late || number >= cycles || stop.load(Ordering::Relaxed) {
                return;
            }
            let seed = first_seed.wrapping_add(number);
            let tally = Arc::new(Tally::new("a cycle"));
            let verdict = without_panic(|| cycle(seed, &tally));
            let wrong = tally.first_complaint().or(verdict.err());
            if let Some(what) = wrong {
                stop.store(true, Ordering::Relaxed);
                let mut violation = violation.lock().unwrap_or_else(PoisonError::into_inner);
                if violation.as_ref().is_none_or(|earlier| seed < earlier.seed) {
                    *violation = Some(Violation { seed, what });
                }
            }
            moments.fetch_add(tally.moments(), Ordering::Relaxed);
            let images = tally.images() + images.fetch_add(tally.images(), Ordering::Relaxed);
            done.fetch_add(1, Ordering::Relaxed);
            bar.set_message(format!("{} {}", grouped(images), units.images));
            bar.inc(1);
        }
    };
    thread::scope(|scope| {
        (1..span.threads()).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    bar.finish_and_clear();
    Summary {
        name: name.into(),
        units,
        first_seed,
        cycles: done.into_inner(),
        moments: moments.into_inner(),
        images: images.into_inner(),
        time: begun.elapsed(),
        violation: violation.into_inner().unwrap_or_else(PoisonError::into_inner),
    }
}

impl Summary {
    /// Prints what was done and found; 1 if anything was found, 2 if nothing was tried.
    pub fn report(&self) -> ExitCode {
        println!("{self}");
        match &self.violation {
            None if self.images == 0 => {
                println!("nothing was tried: give it more --cycles or --seconds");
                ExitCode::from(2)
            }
            None => ExitCode::SUCCESS,
            Some(Violation { seed, what }) => {
                println!("violation, seed {seed}: {what}");
                println!("again: tophash-crash {} --seed {seed} --cycles 1", self.name);
                ExitCode::FAILURE
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { name, units, first_seed, cycles, moments, images, time, violation } = self;
        write!(
            f,
            "{name}: {} {} of {} {} in {} cycles from seed {first_seed} on, in {:.1} s: {}",
            grouped(*images),
            units.images,
            grouped(*moments),
            units.moments,
            grouped(*cycles),
            time.as_secs_f64(),
            if violation.is_none() { "no violation" } else { "a violation" },
        )
    }
}

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let group = |(at, digit): (usize, char)| {
        let comma = at > 0 && (digits.len() - at).is_multiple_of(3);
        comma.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(group).collect()
}

fn bar(cycles: u64) -> ProgressBar {
    let template = "{wide_bar} {human_pos}/{human_len} cycles {msg} {elapsed} {eta} left";
    let style = ProgressStyle::with_template(template).expect("a well-formed template");
    ProgressBar::new(cycles).with_style(style.progress_chars("██░"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(cycles: u64) -> Span {
        Span { seed: Some(7), cycles: Some(cycles), seconds: None, threads: Some(2) }
    }

    #[test]
    fn the_first_violation_ends_a_run_and_names_its_seed() {
        let summary = run("test", Units::default(), &span(1000), 1, |seed, tally| {
            tally.image(|| "here".into(), || if seed == 9 { Err("wrong".into()) } else { Ok(()) });
            Ok(())
        });
        let violation = summary.violation.unwrap();
        assert_eq!((violation.seed, violation.what.as_str()), (9, "here: wrong"));
        assert!(summary.cycles < 10);
    }

    #[test]
    fn a_panic_is_a_violation() {
        let summary = run("test", Units::default(), &span(3), 1, |_, _| panic!("out of order"));
        assert!(summary.violation.unwrap().what.contains("out of order"));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}

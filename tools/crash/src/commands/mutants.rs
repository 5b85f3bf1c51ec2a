//! `tophash-crash sim --mutants`: leaves steps of the store out, one after the other, and sees whether the kit notices.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tophash::mutants::{ALL, Mutant, switch_on};
use tophash_crash::campaign::{self, Span, Units};
use tophash_crash::subject::Layouts;
use tophash_crash::suite;
use tophash_crash::tally::Tally;

/// A mutant must be caught within so many seeds.
const SEEDS: u64 = 1000;
/// A mutant that makes a cycle hang is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(600);
const FIRST_SEED: u64 = 1;
/// SIGABRT, SIGBUS, SIGSEGV: what a broken store may do to its process.
const OWN_DOING: [i32; 3] = [6, 7, 11];
/// The name of the store itself, with nothing left out: the control.
const NOTHING: &str = "nothing";

/// What became of a mutant.
enum Verdict {
    Caught {
        seed: u64,
        what: String,
    },
    /// The whole process ended by a signal of its own doing: an abort, a stack overflow, a SIGBUS.
    Died,
    /// The process ended in a way that says nothing about the mutant.
    NotTried(String),
    Survived,
    Hung,
}

/// Runs every kind of cycle with one step left out; 1 if that is noticed.
pub fn run_one(name: &str, layouts: Layouts, span: &Span) -> ExitCode {
    let mutant = Mutant::from_name(name);
    if mutant.is_none() && name != NOTHING {
        eprintln!("tophash-crash: no mutant is called {name:?}; `sim --mutants` lists them");
        return ExitCode::from(2);
    }
    switch_on(mutant);
    let told = layouts.name(&format!("sim --mutant {name}"));
    let cycle = |seed: u64, tally: &Arc<Tally>| suite::anything(seed, layouts.form(seed), tally);
    campaign::run(told, Units::default(), span, SEEDS, cycle).report()
}

/// Tries all mutants; 1 if any of them survives.
pub fn run_all(layouts: Layouts, span: &Span) -> ExitCode {
    let begun = Instant::now();
    let threads = span.threads();
    match verdict(NOTHING, layouts, span, threads) {
        Verdict::Survived => println!("{NOTHING}: as it must be, no violation"),
        wrong => {
            println!("{NOTHING} is left out, and yet: {}", told_of(&wrong));
            return ExitCode::FAILURE;
        }
    }
    let next = AtomicUsize::new(0);
    let verdicts: Mutex<Vec<(Mutant, Verdict)>> = Mutex::new(Vec::new());
    let work = || {
        while let Some(&mutant) = ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            let verdict = verdict(mutant.name(), layouts, span, 1);
            println!("{}", line(mutant, &verdict));
            verdicts.lock().unwrap_or_else(PoisonError::into_inner).push((mutant, verdict));
        }
    };
    thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
    let caught = |verdict: &Verdict| matches!(verdict, Verdict::Caught { .. } | Verdict::Died);
    let survivors: Vec<_> =
        verdicts.iter().filter(|(_, verdict)| !caught(verdict)).map(|(mutant, _)| mutant.name()).collect();
    println!(
        "sim --mutants: {} of {} mutants caught, in {:.1} s{}{}",
        verdicts.len() - survivors.len(),
        verdicts.len(),
        begun.elapsed().as_secs_f64(),
        if survivors.is_empty() { "" } else { "; survived: " },
        survivors.join(", ")
    );
    if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A process of its own for each mutant: what a store without a rule does may end the process.
fn verdict(name: &str, layouts: Layouts, span: &Span, threads: usize) -> Verdict {
    let (seed, cycles) = (span.seed.unwrap_or(FIRST_SEED), span.cycles.unwrap_or(SEEDS));
    let program = std::env::current_exe().expect("the program knows where it is");
    let mut child = Command::new(program)
        .args(layouts.name(&format!("sim --mutant {name} --threads {threads}")).split(' '))
        .args(["--seed", &seed.to_string(), "--cycles", &cycles.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts itself");
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().expect("waiting for a child") {
            Some(status) => break status,
            None if begun.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Verdict::Hung;
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    let mut said = String::new();
    let _ = child.stdout.take().map(|mut stdout| stdout.read_to_string(&mut said));
    match (status.code(), status.signal()) {
        (Some(0), _) => Verdict::Survived,
        (Some(1), _) => told(&said).unwrap_or_else(|| Verdict::NotTried("no violation is named".into())),
        (_, Some(signal)) if OWN_DOING.contains(&signal) => Verdict::Died,
        _ => Verdict::NotTried(status.to_string()),
    }
}

/// The violation that a child tells of.
fn told(said: &str) -> Option<Verdict> {
    let (_, violation) = said.split_once("violation, seed ")?;
    let (seed, what) = violation.split_once(": ")?;
    let what = what.lines().next()?.to_owned();
    Some(Verdict::Caught { seed: seed.parse().ok()?, what })
}

fn line(mutant: Mutant, verdict: &Verdict) -> String {
    let line = format!("{} ({}): {}", mutant.name(), mutant.rules().join(" "), told_of(verdict));
    match verdict {
        Verdict::Caught { .. } | Verdict::Died => line,
        Verdict::Survived | Verdict::Hung | Verdict::NotTried(_) => format!("{line}: {}", mutant.what()),
    }
}

fn told_of(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Caught { seed, what } => format!("seed {seed}: {what}"),
        Verdict::Died => "the process died".into(),
        Verdict::Survived => "SURVIVED".into(),
        Verdict::Hung => "HUNG".into(),
        Verdict::NotTried(why) => format!("NOT TRIED, {why}"),
    }
}

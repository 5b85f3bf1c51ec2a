//! All models and all weakenings, each in a process of its own, and the table of what noticed what.

use std::collections::BTreeSet;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::models::{self, Model};
use crate::rules::{Outcome, RULES, Rule};

/// What a model came to.
struct Checked {
    noticed: bool,
    output: String,
}

impl Checked {
    fn field<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.output.lines().filter_map(move |line| line.strip_prefix(name)).map(str::trim)
    }
}

/// Checks everything; `long` is for a machine that has the time.
pub(crate) fn run(long: bool) -> ExitCode {
    let mut wrong = Vec::new();
    let mut has: Vec<(Model, BTreeSet<String>)> = Vec::new();
    let models: Vec<Model> = models::all().collect();
    println!("{:15} {:>10} {:>9}  bound", "model", "executions", "time");
    for (model, checked, seconds) in in_parallel(&models, |model| {
        let started = Instant::now();
        let bound = if long { model.long } else { model.short };
        let checked = check(model, bound, "");
        (*model, checked, started.elapsed().as_secs_f64())
    }) {
        let bound = if long { model.long } else { model.short };
        let bound = bound.map_or("exhaustive".to_owned(), |bound| format!("{bound} preemptions"));
        let executions = checked.field("executions").next().unwrap_or("failed");
        println!("{:15} {executions:>10} {seconds:>7.1} s  {bound}", model.name);
        has.push((model, checked.field("weakening").map(str::to_owned).collect()));
        if checked.noticed {
            wrong.push(format!("{}: {}", model.name, checked.output));
        }
    }
    wrong.extend(unlisted(&has.iter().flat_map(|(_, names)| names).cloned().collect()));
    println!("\n{:4} {:20} weakened", "rule", "noticed by");
    for (rule, noticed) in in_parallel(RULES, |rule| (rule, noticed_by(rule, &has, long))) {
        let expected = match rule.outcome {
            Outcome::Noticed(model) => noticed.contains(&model),
            Outcome::Covered(_) => noticed.is_empty(),
        };
        let by = match rule.outcome {
            Outcome::Covered(why) if expected => format!("- ({why})"),
            _ => noticed.join(", "),
        };
        println!("{:4} {by:20} {}", rule.rule, rule.weakened);
        if !expected {
            wrong.push(format!("{} {}: noticed by {noticed:?}", rule.rule, rule.weakened));
        }
    }
    wrong.iter().for_each(|wrong| println!("WRONG: {wrong}"));
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The models that notice a weakening: of the one that must, or of all that have it. What another ordering covers is
/// tried in long runs.
fn noticed_by(rule: &Rule, models: &[(Model, BTreeSet<String>)], long: bool) -> Vec<&'static str> {
    let has = |names: &BTreeSet<String>| rule.names().any(|name| names.contains(name));
    let tried = models
        .iter()
        .filter(|(model, names)| rule.outcome == Outcome::Noticed(model.name) || long && has(names));
    let noticed = tried.filter(|(model, _)| check(model, model.short, rule.weakened).noticed);
    noticed.map(|(model, _)| model.name).collect()
}

/// Orderings of the code that no rule weakens, and rules whose line is not in the code any more.
fn unlisted(seen: &BTreeSet<String>) -> Vec<String> {
    let listed: BTreeSet<String> = RULES
        .iter()
        .flat_map(|rule| rule.names())
        .filter(|name| !name.starts_with("without "))
        .map(str::to_owned)
        .collect();
    let missing = seen.difference(&listed).map(|name| format!("no rule weakens `{name}`"));
    let stale = listed.difference(seen).map(|name| format!("no model has `{name}`"));
    missing.chain(stale).collect()
}

/// Runs this program for one model.
fn check(model: &Model, bound: Option<usize>, weakened: &str) -> Checked {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(model.name);
    command.args(bound.map(|bound| ["--bound".to_owned(), bound.to_string()]).into_iter().flatten());
    for name in weakened.split(" + ").filter(|name| !name.is_empty()) {
        match name.strip_prefix("without ") {
            Some(mutant) => command.args(["--leave-out", mutant]),
            None => command.args(["--weaken", name]),
        };
    }
    let output = command.output().expect("running this program");
    Checked {
        noticed: !output.status.success(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}

/// Does `work` for each of `items` on all processors; the results are in the order of the items.
fn in_parallel<'a, T: Sync, R: Send>(items: &'a [T], work: impl Fn(&'a T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let one = || {
        let taken = || items.get(next.fetch_add(1, Ordering::Relaxed));
        let place = |item: &'a T| (std::ptr::from_ref(item).addr(), work(item));
        std::iter::from_fn(taken).map(place).collect::<Vec<_>>()
    };
    let mut results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

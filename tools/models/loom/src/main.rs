//! Models of what readers and writers of a store share, checked by loom: the library's own files, over loom's types.
//!
//!     tophash-loom              every model, and every weakening against the model that must notice it
//!     tophash-loom --long       every model at length, and every weakening against every model
//!     tophash-loom MODEL [--bound N] [--weaken NAME]...
//!
//! See `../README.md`.

mod entries;
mod file;
mod format;
mod kernel;
mod memory;
mod models;
mod mutants;
mod report;
mod rules;
mod sync;
mod weaken;

#[allow(dead_code, reason = "the library's; no model needs all of it")]
#[path = "../../../../src/error.rs"]
mod error;
#[path = "../../../../src/seam.rs"]
mod seam;
#[allow(dead_code, unused_imports, reason = "the library's; no model needs all of it")]
#[path = "../../../../src/table/mod.rs"]
mod table;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use models::Model;

/// The library's source.
const LIBRARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../src");

/// More accesses than an execution of any model has; loom wants a limit.
const MAX_BRANCHES: usize = 100_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        None => report::run(false),
        Some("--long") => report::run(true),
        Some(name) => {
            let model = models::all().find(|model| model.name == name).expect("the name of a model");
            let (mut bound, mut weakened) = (None, Vec::new());
            while let (Some(option), Some(value)) = (arguments.next(), arguments.next()) {
                match option.as_str() {
                    "--bound" => bound = Some(value.parse().expect("a number")),
                    "--weaken" => weakened.push(value),
                    "--leave-out" => mutants::leave_out(&value),
                    other => panic!("unknown option {other}"),
                }
            }
            weaken::choose(weakened);
            check(model, bound);
            ExitCode::SUCCESS
        }
    }
}

/// Runs one model and prints how many executions it has, and which orderings could be weakened in it. A failure ends
/// the process: the threads of a failed execution can't be unwound.
fn check(model: Model, bound: Option<usize>) {
    static EXECUTIONS: AtomicU64 = AtomicU64::new(0);
    std::panic::set_hook(Box::new(|info| {
        println!("failed in execution {}: {info}", EXECUTIONS.load(Ordering::Relaxed));
        std::process::exit(1);
    }));
    let mut builder = loom::model::Builder::new();
    (builder.max_branches, builder.preemption_bound) = (MAX_BRANCHES, bound);
    builder.check(move || {
        EXECUTIONS.fetch_add(1, Ordering::Relaxed);
        (model.run)();
    });
    println!("executions {}", EXECUTIONS.load(Ordering::Relaxed));
    weaken::seen().iter().for_each(|name| println!("weakening {name}"));
}

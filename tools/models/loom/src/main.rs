//! Models of what readers and writers of a store share, checked by loom: the library's own files, over loom's types.
//!
//! See `../README.md`.

mod file;
mod format;
mod memory;
mod models;
mod mutants;
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

/// The library's source.
const LIBRARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../src");

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let model = models::all().into_iter().find(|m| m.name == arguments[0]).expect("a model");
    if let Some(w) = arguments.get(1) { weaken::choose(w.clone()); }
    let started = std::time::Instant::now();
    static RUNS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.preemption_bound = std::env::var("B").ok().map(|b| b.parse().unwrap()).or(model.preemptions);
    std::panic::set_hook(Box::new(|info| { println!("failed: {info}"); println!("after {}", RUNS.load(std::sync::atomic::Ordering::Relaxed)); std::process::exit(1) }));
    builder.check(move || { RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed); (model.run)() });
    println!("{} {:?}", RUNS.load(std::sync::atomic::Ordering::Relaxed), started.elapsed());
    for s in weaken::seen() { println!("  {s}"); }
}

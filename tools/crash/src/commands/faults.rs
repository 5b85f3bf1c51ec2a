//! `tophash-crash faults`: each call of a long trace fails, and calls of random workloads.

use std::process::ExitCode;
use std::sync::Arc;

use tophash::sim::Failure;
use tophash_crash::campaign::{self, Span, Units, grouped};
use tophash_crash::every_call::Trace;
use tophash_crash::program::Setup;
use tophash_crash::script::{long_life, unlucky_life};
use tophash_crash::subject::{Form, Layouts};
use tophash_crash::suite;
use tophash_crash::tally::Tally;

/// Steps that a long program goes on for when the disk is well again.
const AFTERMATH: usize = 20;
/// The recovery from a crash at one call in so many fails, at each of its own calls.
const RECOVERIES_ONE_IN: u64 = 48;

/// Have every call fail: with EIO, ENOSPC, EINTR or half done, once or from then on; and the disk be full.
///
/// A cycle is one call of a fixed trace (its seed is the call's number), in each of these ways. With --random,
/// a cycle is a random workload with several failures, a disk that is full for a while or is filled and emptied, and a
/// file that is being made by two programs or on a failing disk.
#[derive(clap::Args)]
pub struct Faults {
    /// Random failures of random workloads, until --cycles or --seconds are over
    #[arg(long)]
    random: bool,

    /// The layouts of the stores; of random workloads a seed says which it is about
    #[arg(long, value_enum, default_value_t)]
    layout: Layouts,

    #[command(flatten)]
    span: Span,
}

impl Faults {
    pub fn run(&self) -> ExitCode {
        let units = Units { images: "stores", moments: "failing disks" };
        if self.random {
            let cycle = |seed: u64, tally: &Arc<Tally>| random(seed, self.layout.form(seed), tally);
            return campaign::run(self.layout.name("faults --random"), units, &self.span, 500, cycle)
                .report();
        }
        let forms: &[Form] = match self.layout {
            Layouts::Record => &[Form::Records],
            Layouts::Inline => &[Form::Words],
            Layouts::Both => &[Form::Records, Form::Words],
        };
        let traces: Vec<Trace> = forms.iter().flat_map(|&form| traces(form)).collect();
        let calls = traces.iter().map(|trace| trace.calls() as u64).sum::<u64>();
        let first = self.span.seed.unwrap_or(0);
        let span = Span { seed: Some(first), ..self.span.clone() };
        let left = calls.saturating_sub(first);
        let cycle = |number: u64, tally: &Arc<Tally>| fail_one(&traces, number, tally);
        campaign::run(self.layout.name("faults"), units, &span, left, cycle).report()
    }
}

/// Long programs whose calls are to fail; says how many calls that are.
fn traces(form: Form) -> [Trace; 3] {
    let trace = |script, setup: Setup| Trace::new(script, setup.with(form), Some(AFTERMATH));
    let traces = [
        trace(long_life(form), Setup::ORDINARY),
        trace(unlucky_life(form), Setup::IMMEDIATE),
        trace(unlucky_life(form), Setup::CRAMPED),
    ];
    let [long, immediate, cramped] = traces.each_ref().map(|trace| grouped(trace.calls() as u64));
    println!(
        "faults: {}: traces of {long} calls, {immediate} with each write durable at once, {cramped} with little \
         memory",
        form.name()
    );
    traces
}

/// Fails the call with this number, counted through all traces.
fn fail_one(traces: &[Trace], number: u64, tally: &Arc<Tally>) -> Result<(), String> {
    let mut index = number as usize;
    for trace in traces {
        if index < trace.calls() {
            trace.fail_call(index, &Failure::ALL, tally);
            trace.fill_disk(index, tally);
            if number.is_multiple_of(RECOVERIES_ONE_IN) {
                trace.fail_recovery(index, tally);
            }
            return Ok(());
        }
        index -= trace.calls();
    }
    Err("there are not so many calls".into())
}

fn random(seed: u64, form: Form, tally: &Arc<Tally>) -> Result<(), String> {
    suite::faults(seed, form, tally)?;
    suite::full_disk(seed, form, tally)?;
    suite::creation(seed, form, tally)
}

//! Each call in turn fails, once or from then on.

use std::sync::Arc;

use tophash::sim::Failure;
use tophash_crash::every_call::Trace;
use tophash_crash::program::Setup;
use tophash_crash::script::{long_life, unlucky_life};
use tophash_crash::subject::{Form, Layouts};
use tophash_crash::suite;
use tophash_crash::tally::Tally;

fn fail_everywhere(name: &'static str, setup: Setup, failures: &[Failure], one_in: usize) {
    let tally = Arc::new(Tally::new(name));
    let trace = Trace::new(unlucky_life(setup.form), setup, None);
    (0..trace.calls()).step_by(one_in).for_each(|index| trace.fail_call(index, failures, &tally));
    tally.end();
}

#[test]
fn each_call_fails_with_eio_or_is_short() {
    fail_everywhere("EIO and short", Setup::ORDINARY, &[Failure::Io, Failure::Short], 1);
}

#[test]
fn each_call_fails_with_enospc_or_eintr() {
    fail_everywhere("ENOSPC and EINTR", Setup::ORDINARY, &[Failure::NoSpace, Failure::Interrupted], 1);
}

#[test]
fn calls_fail_where_each_write_is_durable_at_once() {
    fail_everywhere("immediate", Setup::IMMEDIATE, &[Failure::Io, Failure::NoSpace], 3);
}

#[test]
fn calls_fail_where_memory_is_short() {
    fail_everywhere("cramped memory", Setup::CRAMPED, &[Failure::Io, Failure::NoSpace], 2);
}

#[test]
fn calls_fail_where_cells_hold_the_entries() {
    fail_everywhere("words", Setup::ORDINARY.with(Form::Words), &[Failure::Io, Failure::NoSpace], 7);
    fail_everywhere("wide cells", Setup::ORDINARY.with(Form::Wide), &[Failure::Io, Failure::NoSpace], 37);
}

#[test]
fn calls_fail_at_random() {
    let tally = Arc::new(Tally::new("random failures"));
    (0..60).for_each(|seed| suite::faults(seed, Layouts::Both.form(seed), &tally).unwrap());
    tally.end();
}

#[test]
fn the_long_life_makes_two_thousand_calls() {
    assert!(Trace::new(long_life(Form::Records), Setup::ORDINARY, None).calls() >= 2000);
}

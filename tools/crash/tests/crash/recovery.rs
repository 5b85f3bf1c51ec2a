//! Crash inside a recovery, and in the first writes behind it, again and again; and have it fail.

use std::sync::Arc;

use tophash_crash::program::{Setup, Step};
use tophash_crash::recovery::{Plan, crash_recoveries, fail_recoveries};
use tophash_crash::script::{ORDINARY, ROLLING, rolling_log, short_life, tiny_life, whole_life};
use tophash_crash::subject::Form;
use tophash_crash::tally::Tally;

fn crash(name: &'static str, script: fn(Form) -> Vec<Step>, form: Form, plan: Plan) {
    let tally = Arc::new(Tally::new(name));
    crash_recoveries(&script(form), Setup::ORDINARY.with(form), plan, &tally);
    tally.end();
}

#[test]
fn recoveries_of_a_whole_life_can_be_cut_short() {
    let plan = Plan { disk_seed: 4, every: 60, cuts: 1, depth: 1, deeper: 41, value_bytes: ORDINARY };
    crash("recoveries of a whole life", whole_life, Form::Records, plan);
}

#[test]
fn recoveries_of_a_short_life_can_be_cut_short_again_and_again() {
    let plan = Plan { disk_seed: 5, every: 12, cuts: 1, depth: 2, deeper: 61, value_bytes: ORDINARY };
    crash("recoveries of a short life", short_life, Form::Records, plan);
}

#[test]
fn recoveries_of_a_tiny_life_can_be_cut_short_anywhere() {
    let plan = Plan { disk_seed: 6, every: 1, cuts: 3, depth: 1, deeper: 41, value_bytes: ORDINARY };
    crash("recoveries of a tiny life", tiny_life, Form::Records, plan);
}

#[test]
fn recoveries_of_cells_can_be_cut_short() {
    let plan = Plan { disk_seed: 5, every: 160, cuts: 1, depth: 2, deeper: 61, value_bytes: ORDINARY };
    crash("recoveries of words", short_life, Form::Words, plan);
    crash("recoveries of odd cells", short_life, Form::Odd, plan);
    crash("recoveries of a set", tiny_life, Form::Set, Plan { every: 5, depth: 1, ..plan });
    crash("recoveries of wide cells", rolling_log, Form::Wide, Plan { every: 300, depth: 1, ..plan });
}

/// Each session takes segments where the one before had some that were lost.
#[test]
fn recoveries_of_a_rolling_log_can_be_cut_short() {
    let plan = Plan { disk_seed: 8, every: 3, cuts: 4, depth: 1, deeper: 41, value_bytes: ROLLING };
    crash("recoveries of a rolling log", rolling_log, Form::Records, plan);
}

#[test]
fn recoveries_can_fail_at_each_call() {
    let tally = Arc::new(Tally::new("failing recoveries"));
    fail_recoveries(&short_life(Form::Records), Setup::ORDINARY, 7, 12, &tally);
    fail_recoveries(&short_life(Form::Words), Setup::ORDINARY.with(Form::Words), 7, 60, &tally);
    tally.end();
}

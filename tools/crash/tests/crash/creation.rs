//! Making a file: several programs at once, and none that finds half a file (D22).

use tophash::sim::{Failure, Fault, When};
use tophash_crash::creation::{Other, calls_to_create, fail, race};

#[test]
fn whoever_is_second_opens_what_the_first_has_made() {
    for at in 0..calls_to_create() {
        let refused = race(at, Other::Closes).unwrap_or_else(|complaint| panic!("at call {at}: {complaint}"));
        assert!(!refused, "at call {at}");
    }
}

#[test]
fn whoever_is_second_is_refused_while_the_first_has_it_open() {
    let refused = |at| race(at, Other::Holds).unwrap_or_else(|complaint| panic!("at call {at}: {complaint}"));
    let refused = (0..calls_to_create()).filter(|&at| refused(at)).count();
    assert!(refused > 10, "{refused}");
}

#[test]
fn a_creation_that_fails_can_be_repeated() {
    for number in 0..calls_to_create() {
        for failure in Failure::ALL {
            for when in [When::Once(number), When::From(number)] {
                let fault = Fault { when, kind: None, failure };
                fail(fault).unwrap_or_else(|complaint| panic!("{fault:?}: {complaint}"));
            }
        }
    }
}

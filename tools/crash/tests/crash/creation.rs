//! Making a file: several programs at once, and none that finds half a file (D22).

use tophash::sim::{Failure, Fault, When};
use tophash_crash::creation::{Other, calls_to_create, fail, race};
use tophash_crash::subject::Form;

const FORMS: [Form; 2] = [Form::Records, Form::Words];

#[test]
fn whoever_is_second_opens_what_the_first_has_made() {
    for form in FORMS {
        for at in 0..calls_to_create(form) {
            let refused = race(form, at, Other::Closes);
            let refused = refused.unwrap_or_else(|complaint| panic!("{form:?}, at call {at}: {complaint}"));
            assert!(!refused, "{form:?}, at call {at}");
        }
    }
}

#[test]
fn whoever_is_second_is_refused_while_the_first_has_it_open() {
    for form in FORMS {
        let refused = |at| {
            let refused = race(form, at, Other::Holds);
            refused.unwrap_or_else(|complaint| panic!("{form:?}, at call {at}: {complaint}"))
        };
        let refused = (0..calls_to_create(form)).filter(|&at| refused(at)).count();
        assert!(refused > 10, "{form:?}: {refused}");
    }
}

#[test]
fn a_creation_that_fails_can_be_repeated() {
    for form in FORMS {
        for number in 0..calls_to_create(form) {
            for failure in Failure::ALL {
                for when in [When::Once(number), When::From(number)] {
                    let fault = Fault { when, kind: None, failure };
                    fail(form, fault).unwrap_or_else(|complaint| panic!("{form:?}, {fault:?}: {complaint}"));
                }
            }
        }
    }
}

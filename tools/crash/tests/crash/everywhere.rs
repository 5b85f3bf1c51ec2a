//! Crash at every call of a whole life, and of shorter ones under other options.

use std::sync::Arc;

use tophash_crash::crashes::{Attack, Look};
use tophash_crash::life::Life;
use tophash_crash::program::Setup;
use tophash_crash::script::{short_life, shrinking_life, whole_life};
use tophash_crash::subject::Form;
use tophash_crash::tally::Tally;

fn attack_on_a_whole_life(form: Form) -> Attack {
    Attack {
        script: whole_life(form),
        setup: Setup::ORDINARY.with(form),
        disk_seed: 3,
        close: Look { cuts: 52, kills: 4 },
        passing: Look { cuts: 6, kills: 1 },
        close_stores_one_in: 6,
        part: (0, 2),
    }
}

fn crash_everywhere(name: &'static str, attack: Attack) {
    let tally = Arc::new(Tally::new(name));
    attack.run(&tally);
    tally.end();
}

#[test]
fn the_script_shows_what_it_should() {
    let (lives, sights) = attack_on_a_whole_life(Form::Records).undisturbed();
    println!("{sights:?}, {} operations", lives.iter().map(Life::len).sum::<usize>());
    assert!(sights.doublings >= 3 && sights.same_size_growths >= 1, "{sights:?}");
    assert!(sights.in_doubling >= 2 && sights.in_same_size_growth >= 1, "{sights:?}");
    assert!(sights.overflow_chunks >= 1 && sights.log_segments >= 4 && sights.recovered >= 2, "{sights:?}");
    assert!(sights.moved_bytes > 0 && sights.given_back >= 3, "{sights:?}");
    assert_eq!(lives.len(), 3, "two power cuts");
}

#[test]
fn crashes_at_every_call_first_half() {
    crash_everywhere("whole life, first half", attack_on_a_whole_life(Form::Records));
}

#[test]
fn crashes_at_every_call_second_half() {
    let attack = Attack { part: (1, 2), ..attack_on_a_whole_life(Form::Records) };
    crash_everywhere("whole life, second half", attack);
}

#[test]
fn the_script_shows_as_much_of_cells() {
    for form in Form::CELLS {
        let (lives, sights) = attack_on_a_whole_life(form).undisturbed();
        println!("{form:?}: {sights:?}, {} operations", lives.iter().map(Life::len).sum::<usize>());
        assert!(sights.doublings >= 3 && sights.same_size_growths >= 1, "{form:?}: {sights:?}");
        assert!(sights.in_doubling >= 1 && sights.in_same_size_growth >= 1, "{form:?}: {sights:?}");
        assert!(sights.overflow_chunks >= 1 && sights.recovered >= 2, "{form:?}: {sights:?}");
        assert_eq!(sights.moved_bytes, 0, "{form:?}: no record is worth moving");
        if form == Form::Wide {
            assert!(sights.given_back >= 3, "{form:?}: {sights:?}");
        }
    }
}

#[test]
fn crashes_at_calls_of_a_whole_life_in_cells() {
    for (form, part) in
        [(Form::Words, (0, 13)), (Form::Odd, (1, 31)), (Form::Set, (2, 31)), (Form::Wide, (3, 71))]
    {
        crash_everywhere(form.name(), Attack { part, ..attack_on_a_whole_life(form) });
    }
}

fn attack_on_a_short_life(setup: Setup, part: (u64, u64)) -> Attack {
    let close = Look { cuts: 12, kills: 4 };
    Attack { script: short_life(setup.form), setup, close, part, ..attack_on_a_whole_life(setup.form) }
}

fn attack_on_a_shrinking_life(form: Form, part: (u64, u64)) -> Attack {
    let close = Look { cuts: 12, kills: 4 };
    let script = shrinking_life(form);
    Attack { script, setup: Setup::SMALLEST.with(form), close, part, ..attack_on_a_whole_life(form) }
}

#[test]
fn crashes_at_every_call_of_a_shrinking_life() {
    for (form, part) in [(Form::Records, (0, 1)), (Form::Words, (0, 11))] {
        let attack = attack_on_a_shrinking_life(form, part);
        let (_, sights) = attack.undisturbed();
        assert!(sights.shrinks >= 3 && sights.in_shrink >= 2, "{form:?}: {sights:?}");
        crash_everywhere("shrinking life", attack);
    }
}

#[test]
fn what_is_acknowledged_as_immediate_is_durable() {
    crash_everywhere("immediate", attack_on_a_short_life(Setup::IMMEDIATE, (0, 1)));
    crash_everywhere("immediate", attack_on_a_short_life(Setup::IMMEDIATE.with(Form::Words), (0, 5)));
}

#[test]
fn copies_of_index_pages_are_dropped_when_their_place_is_durable() {
    crash_everywhere("cramped memory", attack_on_a_short_life(Setup::CRAMPED, (0, 3)));
    crash_everywhere("cramped memory", attack_on_a_short_life(Setup::CRAMPED.with(Form::Odd), (0, 11)));
}

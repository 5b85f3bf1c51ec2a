//! A full disk: what adds is refused and changes nothing, what frees works a while, and room brings all of it back.

use std::sync::Arc;

use tophash_crash::every_call::Trace;
use tophash_crash::full_disk::{Emptying, Filling};
use tophash_crash::program::Setup;
use tophash_crash::script::unlucky_life;
use tophash_crash::subject::{Form, Layouts};
use tophash_crash::suite;
use tophash_crash::tally::Tally;

#[test]
fn the_disk_is_full_from_each_call_on() {
    let tally = Arc::new(Tally::new("full disk"));
    let trace = Trace::new(unlucky_life(Form::Records), Setup::ORDINARY, None);
    (0..trace.calls()).for_each(|index| trace.fill_disk(index, &tally));
    let trace = Trace::new(unlucky_life(Form::Words), Setup::ORDINARY.with(Form::Words), None);
    (0..trace.calls()).step_by(5).for_each(|index| trace.fill_disk(index, &tally));
    tally.end();
}

#[test]
fn the_disk_is_full_at_random() {
    let tally = Arc::new(Tally::new("full at random"));
    (0..30).for_each(|seed| suite::full_disk(seed, Layouts::Both.form(seed), &tally).unwrap());
    tally.end();
}

#[test]
fn a_full_store_refuses_to_grow_and_can_be_emptied() {
    // The reserve is one segment: it has room for the removal of 3968 keys of 8 bytes, more than this disk takes.
    let disks = [(Form::Records, 600 << 10), (Form::Words, 200 << 10)];
    for ((form, bytes), emptying) in
        disks.into_iter().flat_map(|disk| [(disk, Emptying::Remove), (disk, Emptying::Clear)])
    {
        let filling = Filling {
            form,
            disk_seed: 1,
            bytes,
            value_bytes: 500,
            sync_one_in: 50,
            checkpoint_one_in: 1000,
            emptying,
        };
        let emptied = filling.run().unwrap();
        println!("{form:?}: {emptied:?}");
        assert!(emptied.stored > 300, "{emptied:?}");
        assert!(emptying == Emptying::Clear || emptied.removed == emptied.stored, "{emptied:?}");
    }
}

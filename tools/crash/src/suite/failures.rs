//! Cycles with disks that fail or are full.

use std::sync::Arc;

use tophash::sim::{CallKind, Failure, Fault, When};

use crate::creation::{self, Other, calls_to_create};
use crate::full_disk::{Emptying, Filling};
use crate::illness::Illness;
use crate::patient::Patient;
use crate::program::{Setup, Step};
use crate::recovery::fail_recoveries_where;
use crate::subject::Form;
use crate::tally::Tally;
use crate::workload::{Dice, Ends, Workload};

/// A random workload on disks that fail at random, one of them also in the recovery from a crash.
pub fn faults(seed: u64, form: Form, tally: &Arc<Tally>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let Workload { setup, script } = Workload::random(seed, form, dice.between(4, 14), Ends::Any);
    let calls = calls(seed, setup, &script, tally)?;
    for _ in 0..6 {
        let faults = (0..dice.between(1, 4)).map(|_| random_fault(&mut dice, calls)).collect();
        let full = dice.one_in(5).then(|| (dice.below(calls), dice.below(30) << 12));
        let steps = dice.between(1, 12) as usize;
        let illness = Illness { faults, full, steps, aftermath: None, crash_one_in: 24 };
        suffer(seed, setup, &script, illness, tally);
    }
    if dice.one_in(4) {
        let Workload { setup, script } = Workload::random(seed, form, dice.between(1, 4), Ends::Clean);
        let number = dice.below(calls);
        let chosen = move |call: &tophash::sim::Call, _| call.number == number;
        fail_recoveries_where(&script, setup, seed, chosen, 24, tally);
    }
    Ok(())
}

/// A random workload on disks that are full for a while, and a disk that is filled and emptied.
pub fn full_disk(seed: u64, form: Form, tally: &Arc<Tally>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let Workload { setup, script } = Workload::random(seed, form, dice.between(6, 20), Ends::Any);
    let calls = calls(seed, setup, &script, tally)?;
    for _ in 0..6 {
        let room = if dice.one_in(3) { 0 } else { dice.below(40) << 12 };
        let full = Some((dice.below(calls), room));
        let steps = dice.between(1, 16) as usize;
        let illness = Illness { full, steps, crash_one_in: 24, ..Illness::NONE };
        suffer(seed, setup, &script, illness, tally);
    }
    let filling = Filling {
        form,
        disk_seed: seed,
        bytes: dice.between(120, 260) << 12,
        value_bytes: dice.between(0, 3000) as usize,
        sync_one_in: dice.between(1, 40),
        checkpoint_one_in: dice.between(20, 400),
        emptying: if dice.one_in(2) { Emptying::Remove } else { Emptying::Clear },
    };
    tally.moment();
    tally.image(|| format!("{filling:?}"), || filling.run().map(drop));
    Ok(())
}

/// Two programs make the same store, or one does on a disk that fails.
pub fn creation(seed: u64, form: Form, tally: &Arc<Tally>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let calls = calls_to_create(form);
    for _ in 0..8 {
        let (at, other) = (dice.below(calls), if dice.one_in(2) { Other::Closes } else { Other::Holds });
        tally.moment();
        tally.image(|| format!("{other:?} at call {at}"), || creation::race(form, at, other).map(drop));
        let fault = random_fault(&mut dice, calls);
        tally.image(|| format!("{fault:?}"), || creation::fail(form, fault));
    }
    Ok(())
}

/// How many calls the workload makes on a disk that is well, where nothing may go wrong.
fn calls(seed: u64, setup: Setup, script: &[Step], tally: &Arc<Tally>) -> Result<u64, String> {
    let mut patient = Patient::new(seed, setup, Illness::NONE, tally);
    patient.run(script).map_err(|complaint| format!("on a disk that is well: {complaint}"))?;
    Ok(patient.calls())
}

fn suffer(seed: u64, setup: Setup, script: &[Step], illness: Illness, tally: &Arc<Tally>) {
    tally.moment();
    let told = format!("{illness:?}");
    tally.image(|| told.clone(), || Patient::new(seed, setup, illness, tally).with_shapes().run(script));
}

/// Syncs are few, and where they fail most is at stake.
fn random_fault(dice: &mut Dice, calls: u64) -> Fault {
    let number = dice.below(calls);
    let kinds = [CallKind::Sync, CallKind::Write, CallKind::Allocate, CallKind::SetLength];
    Fault {
        when: if dice.one_in(3) { When::From(number) } else { When::Once(number) },
        kind: dice.one_in(2).then(|| kinds[dice.below(4) as usize]),
        failure: Failure::ALL[dice.below(4) as usize],
    }
}

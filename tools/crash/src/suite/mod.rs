//! Cycles that a seed decides about.

mod damage;
mod failures;
mod scenarios;

use std::sync::Arc;

use crate::crashes::{Attack, Look};
use crate::program::{Setup, Step};
use crate::recovery::{Plan, crash_recoveries};
use crate::script::{ORDINARY, ROLLING};
use crate::subject::Form;
use crate::tally::Tally;
use crate::workload::{self, Dice, Ends, Workload};

pub use damage::damage;
pub use failures::{creation, faults, full_disk};
pub use scenarios::scenarios;

/// One moment in so many of this script is looked at: each of one that has no more than so many steps, of one that fills
/// segments with small records as many as of that.
fn parts(script: &[Step], steps: u64) -> u64 {
    1 + script.len() as u64 / steps
}

/// A random workload, crashed at each call and between stores.
pub fn crashes(seed: u64, form: Form, tally: &Arc<Tally>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let Workload { setup, script } = Workload::random(seed, form, dice.between(6, 24), Ends::Any);
    let parts = parts(&script, 400);
    let attack = Attack {
        script,
        setup,
        disk_seed: seed,
        close: Look { cuts: 3, kills: 1 },
        passing: Look { cuts: 1, kills: 0 },
        close_stores_one_in: 16,
        part: (seed % parts, parts),
    };
    attack.run(tally);
    Ok(())
}

/// A short random workload, whose recoveries are crashed, and the recoveries from that, three deep.
pub fn nested(seed: u64, form: Form, tally: &Arc<Tally>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let Workload { setup, script } = Workload::random(seed, form, dice.between(2, 6), Ends::Any);
    let plan = Plan {
        disk_seed: seed,
        every: 40 * parts(&script, 400),
        cuts: 1,
        depth: 2,
        deeper: 41,
        value_bytes: if dice.one_in(4) { ROLLING } else { ORDINARY },
    };
    crash_recoveries(&script, setup, plan, tally);
    Ok(())
}

/// A short random workload, whose recoveries are crashed here and there.
pub fn recoveries(seed: u64, form: Form, tally: &Arc<Tally>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let Workload { setup, script } = Workload::random(seed, form, dice.between(2, 6), Ends::Any);
    let plan = Plan {
        disk_seed: seed,
        every: 60 * parts(&script, 400),
        cuts: 1,
        depth: 1,
        deeper: 41,
        value_bytes: if dice.one_in(3) { ROLLING } else { ORDINARY },
    };
    crash_recoveries(&script, setup, plan, tally);
    Ok(())
}

/// Sessions that are cut off before they sync, one after the other, all of whose records are of one size: what one
/// has lost lies where the next one writes.
pub fn rolling(seed: u64, form: Form, tally: &Arc<Tally>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    // Large ones roll the log on to the next segment.
    let (every, cuts, value_bytes) = if dice.one_in(2) { (4, 5, ROLLING) } else { (11, 2, ORDINARY) };
    let script = workload::rolling(&mut dice, form, value_bytes);
    let every = every * parts(&script, 60);
    let plan = Plan { disk_seed: seed, every, cuts, depth: 1, deeper: 31, value_bytes };
    crash_recoveries(&script, Setup::ORDINARY.with(form), plan, tally);
    Ok(())
}

/// A cycle of any kind.
pub fn anything(seed: u64, form: Form, tally: &Arc<Tally>) -> Result<(), String> {
    type Cycle = fn(u64, Form, &Arc<Tally>) -> Result<(), String>;
    const KINDS: [(&str, Cycle); 10] = [
        ("sim", crashes),
        ("scenarios", scenarios),
        ("recoveries", recoveries),
        ("faults", faults),
        ("rolling", rolling),
        ("damage", damage),
        ("full disk", full_disk),
        ("creation", creation),
        ("faults", faults),
        ("damage", damage),
    ];
    let (name, cycle) = KINDS[(seed % KINDS.len() as u64) as usize];
    cycle(seed, form, tally).map_err(|what| format!("{name}: {what}"))
}

//! Cycles that a seed decides about.

mod damage;
mod failures;
mod scenarios;

use std::sync::Arc;

use crate::crashes::{Attack, Look};
use crate::program::Setup;
use crate::recovery::{Plan, crash_recoveries};
use crate::script::{ORDINARY, ROLLING};
use crate::tally::Tally;
use crate::workload::{self, Dice, Ends, Workload};

pub use damage::damage;
pub use failures::{creation, faults, full_disk};
pub use scenarios::scenarios;

/// A random workload, crashed at each call and between stores.
pub fn crashes(seed: u64, tally: &Arc<Tally>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let Workload { setup, script } = Workload::random(seed, dice.between(6, 24), Ends::Any);
    let attack = Attack {
        script,
        setup,
        disk_seed: seed,
        close: Look { cuts: 3, kills: 1 },
        passing: Look { cuts: 1, kills: 0 },
        close_stores_one_in: 16,
        part: (0, 1),
    };
    attack.run(tally);
    Ok(())
}

/// A short random workload, whose recoveries are crashed, and the recoveries from that, three deep.
pub fn nested(seed: u64, tally: &Arc<Tally>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let Workload { setup, script } = Workload::random(seed, dice.between(2, 6), Ends::Any);
    let plan = Plan {
        disk_seed: seed,
        every: 40,
        cuts: 1,
        depth: 2,
        deeper: 41,
        value_bytes: if dice.one_in(4) { ROLLING } else { ORDINARY },
    };
    crash_recoveries(&script, setup, plan, tally);
    Ok(())
}

/// A short random workload, whose recoveries are crashed here and there.
pub fn recoveries(seed: u64, tally: &Arc<Tally>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let Workload { setup, script } = Workload::random(seed, dice.between(2, 6), Ends::Any);
    let plan = Plan {
        disk_seed: seed,
        every: 60,
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
pub fn rolling(seed: u64, tally: &Arc<Tally>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    // Large ones roll the log on to the next segment.
    let plan = match dice.one_in(2) {
        true => Plan { disk_seed: seed, every: 4, cuts: 5, depth: 1, deeper: 31, value_bytes: ROLLING },
        false => Plan { disk_seed: seed, every: 11, cuts: 2, depth: 1, deeper: 31, value_bytes: ORDINARY },
    };
    let script = workload::rolling(&mut dice, plan.value_bytes);
    crash_recoveries(&script, Setup::ORDINARY, plan, tally);
    Ok(())
}

/// A cycle of any kind.
pub fn anything(seed: u64, tally: &Arc<Tally>) -> Result<(), String> {
    type Cycle = fn(u64, &Arc<Tally>) -> Result<(), String>;
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
    cycle(seed, tally).map_err(|what| format!("{name}: {what}"))
}

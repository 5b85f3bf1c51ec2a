//! Real processes, killed again and again: a store loses nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::campaign::grouped;
use crate::history::{History, Moment};
use crate::subject::Form;
use crate::tally::{Tally, without_panic};
use crate::worker::Lie;
use crate::workload::Dice;

/// How many sessions were ended at which moment.
#[derive(Default, Debug)]
pub struct Moments(Mutex<BTreeMap<Moment, u64>>);

impl Moments {
    pub fn count(&self, moment: Moment) {
        *self.lock().entry(moment).or_default() += 1;
    }

    /// Percent of them that were in a growth or a recovery, of how many.
    pub fn share_in_growth_or_recovery(&self) -> (f64, u64) {
        let moments = self.lock();
        let of = |moment| moments.get(&moment).copied().unwrap_or(0);
        let hard = of(Moment::Growing) + of(Moment::Recovering);
        let all: u64 = moments.values().sum();
        (if all == 0 { 0.0 } else { hard as f64 * 100.0 / all as f64 }, all)
    }

    /// All of them in one line.
    pub fn told(&self) -> String {
        let moments = self.lock();
        let told = moments.iter().map(|(moment, &times)| format!("{moment:?} {}", grouped(times)));
        told.collect::<Vec<_>>().join(", ").to_lowercase()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Moment, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One file, whose writers are killed several times, in a directory of its own below `dir`.
pub fn cycle(
    seed: u64,
    form: Form,
    dir: &Path,
    lie: Option<Lie>,
    moments: &Moments,
    tally: &Tally,
) -> Result<(), String> {
    let dir = dir.join(format!("seed-{seed}"));
    fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut history = History::new(seed, form, dir.join("a.tophash"), lie);
    let mut dice = Dice::new(seed);
    for _ in 0..dice.between(4, 10) {
        let mut told = String::new();
        without_panic(|| kill(&mut history, &mut dice, moments, tally, &mut told))
            .map_err(|error| format!("{told}: {error}"))?;
    }
    history.write_on()?;
    fs::remove_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))
}

/// One session and its end, and what is left.
pub fn kill(
    history: &mut History,
    dice: &mut Dice,
    moments: &Moments,
    tally: &Tally,
    told: &mut String,
) -> Result<(), String> {
    let aim = history.aim(dice);
    tally.moment();
    let mut worker = history.start()?;
    *told = format!("{}, aimed at {aim:?}", history.place());
    worker.watch(aim)?;
    let ended = worker.kill()?;
    ended.as_expected()?;
    let (ops, moment) = history.end_session(&ended.progress, &ended.progress);
    *told = format!("{told}, ended after {ops} more ({moment:?})");
    if moment != Moment::Closed {
        moments.count(moment);
        tally.image(String::new, || Ok(()));
    }
    history.judge_kill()?;
    if dice.one_in(6) { history.write_on() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growths_and_recoveries_are_a_share_of_all_moments() {
        let moments = Moments::default();
        assert_eq!(moments.share_in_growth_or_recovery(), (0.0, 0));
        for moment in [Moment::Writing, Moment::Growing, Moment::Writing, Moment::Recovering, Moment::Growing]
        {
            moments.count(moment);
        }
        assert_eq!(moments.share_in_growth_or_recovery(), (60.0, 5));
        assert_eq!(moments.told(), "recovering 1, growing 2, writing 2");
    }
}

//! Real file systems cut off under real processes: a store keeps a prefix with everything that was synced.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{Advice, fadvise};

use crate::campaign::grouped;
use crate::history::History;
use crate::kills::{Moments, kill};
use crate::process::pause;
use crate::session::below_a_power_of_two;
use crate::subject::Layouts;
use crate::tally::{Tally, without_panic};
use crate::volume::{Kind, Switch, Volume};
use crate::worker::Lie;
use crate::workload::Dice;

/// What cuts did.
#[derive(Default, Debug)]
pub struct Figures {
    cuts: Moments,
    kills: Moments,
    lossy: AtomicU64,
    lost: AtomicU64,
    most_lost: AtomicU64,
    /// File systems that could not be mounted any more: what was in them is not judged.
    broken: AtomicU64,
}

impl Figures {
    fn note_lost(&self, ops: usize) {
        let ops = ops as u64;
        self.lossy.fetch_add(u64::from(ops > 0), Ordering::Relaxed);
        self.lost.fetch_add(ops, Ordering::Relaxed);
        self.most_lost.fetch_max(ops, Ordering::Relaxed);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = [&self.lossy, &self.lost, &self.most_lost, &self.broken];
        let [lossy, lost, most, broken] = figures.map(|figure| grouped(figure.load(Ordering::Relaxed)));
        write!(
            f,
            "{lossy} cuts took a tail that was not synced, {lost} operations in all and up to {most} at once; \
             {broken} file systems could not be mounted again; cuts: {}; kills before them: {}",
            self.cuts.told(),
            self.kills.told()
        )
    }
}

/// How a cycle goes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub kind: Kind,
    /// Cuts of one file system.
    pub cuts: u64,
    pub lie: Option<Lie>,
    /// What the stores hold.
    pub layouts: Layouts,
}

/// One file system, cut off several times, in a directory of its own below `dir`.
pub fn cycle(seed: u64, dir: &Path, plan: Plan, figures: &Figures, tally: &Tally) -> Result<(), String> {
    let volume = Volume::make(plan.kind, &dir.join(format!("seed-{seed}")))?;
    let history = History::new(seed, plan.layouts.form(seed), volume.path().join("a.tophash"), plan.lie);
    let mut cuts = Cuts { kind: plan.kind, volume, history, dice: Dice::new(seed), figures, tally };
    for _ in 0..plan.cuts {
        let mut told = String::new();
        let mut survived = true;
        without_panic(|| cuts.next(&mut told).map(|it| survived = it))
            .map_err(|error| format!("{told}: {error}"))?;
        if !survived {
            figures.broken.fetch_add(1, Ordering::Relaxed);
            return cuts.volume.remove();
        }
    }
    cuts.history.write_on()?;
    cuts.volume.remove()
}

struct Cuts<'c> {
    kind: Kind,
    volume: Volume,
    history: History,
    dice: Dice,
    figures: &'c Figures,
    tally: &'c Tally,
}

impl Cuts<'_> {
    /// A cut, often with a kill before it, and what is left; false if the file system did not survive it.
    fn next(&mut self, told: &mut String) -> Result<bool, String> {
        let Cuts { history, dice, figures, tally, .. } = self;
        if dice.one_in(4) {
            kill(history, dice, &figures.kills, tally, told)?;
        }
        self.cut(told)?;
        if !self.volume.mount_again()? {
            return Ok(false);
        }
        self.figures.note_lost(self.history.judge_power_cut()?);
        if self.dice.one_in(6) {
            self.history.write_on()?;
        }
        Ok(true)
    }

    /// One session, cut off.
    fn cut(&mut self, told: &mut String) -> Result<(), String> {
        let Cuts { kind, volume, history, dice, figures, tally } = self;
        let aim = history.aim(dice);
        // So long the process goes on without a disk.
        let deaf = if dice.one_in(2) { below_a_power_of_two(dice, 12) } else { 0 };
        tally.moment();
        let switch = Switch::ready(volume.path())?;
        let mut worker = history.start()?;
        *told = format!("{}, cut aimed at {aim:?}", history.place());
        worker.watch(aim)?;
        if dice.one_in(2) {
            write_back_some(history.path(), dice);
        }
        let before = worker.progress()?.clone();
        let running = worker.is_running();
        switch.cut()?;
        pause(Duration::from_micros(deaf));
        let ended = worker.kill()?;
        // Once the disk is gone it may fail, but not panic.
        if running { ended.without_panic() } else { ended.as_expected() }?;
        let promised = if kind.admits_lost_syncs() { &ended.progress } else { &before };
        let (ops, moment) = history.end_session(&ended.progress, promised);
        *told = format!("{told}, after {ops} more ({moment:?})");
        figures.cuts.count(moment);
        tally.image(String::new, || Ok(()));
        Ok(())
    }
}

/// Has the system begin to write some parts of the file, as it does by itself when a file is left alone for longer.
fn write_back_some(path: &Path, dice: &mut Dice) {
    let Ok(file) = File::open(path) else { return };
    let bytes = file.metadata().map_or(0, |file| file.len());
    for _ in 0..dice.between(1, 6) {
        let from = dice.below(bytes / 4096 + 1) * 4096;
        let len = 4096 * below_a_power_of_two(dice, 10);
        // Advice may be ignored.
        let _ = fadvise(&file, from, std::num::NonZeroU64::new(len), Advice::DontNeed);
    }
}

//! The file of a store whose processes are killed and whose disk loses its power, and what it must hold.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tophash::Options;

use crate::image::{Expected, judge_store, write_on};
use crate::life::{Life, Op};
use crate::process::{Aim, Progress, Worker};
use crate::session::{Session, below_a_power_of_two};
use crate::subject::{Form, Subject};
use crate::worker::{Lie, Said, Task};
use crate::workload::Dice;

/// Where a session was when it ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Moment {
    Creating,
    /// Opening a store that has nothing to recover.
    Opening,
    Recovering,
    Growing,
    Checkpointing,
    Syncing,
    Closing,
    Writing,
    Closed,
}

/// The file of a store over several sessions.
pub struct History {
    task: Task,
    life: Life,
    /// Operations of the life that are durable.
    durable: usize,
    /// The operation that may have been under way.
    in_doubt: Option<Op>,
    /// The file is there, also after a power cut.
    published: bool,
    /// The next one to open it has to recover it.
    unclean: bool,
    /// How long the last opening for reading took.
    opening: Duration,
}

impl History {
    pub fn new(seed: u64, form: Form, path: PathBuf, lie: Option<Lie>) -> Self {
        History {
            task: Task { path, form, seed, session: 0, lie },
            life: Life::new(form),
            durable: 0,
            in_doubt: None,
            published: false,
            unclean: false,
            opening: Duration::from_millis(1),
        }
    }

    /// The store's file.
    pub fn path(&self) -> &Path {
        &self.task.path
    }

    fn session(&self, number: u64) -> Session {
        Session::new(self.task.seed, self.task.form, number)
    }

    /// Starts the next session.
    pub fn start(&mut self) -> Result<Worker, String> {
        self.task.session += 1;
        Worker::start(&self.task)
    }

    /// The number of the session, and how many operations came before it.
    pub fn place(&self) -> String {
        format!("session {} after {} operations", self.task.session, self.life.len())
    }

    /// When the next session is to end.
    pub fn aim(&self, dice: &mut Dice) -> Aim {
        let closes = self.session(self.task.session + 1).closes();
        let micros = |dice: &mut Dice, bits| Duration::from_micros(below_a_power_of_two(dice, bits));
        match dice.below(if closes { 20 } else { 16 }) {
            0..=4 => Aim::Growth(below_a_power_of_two(dice, 9)),
            5..=8 => Aim::Opening(self.opening.mul_f64(dice.below(1300) as f64 / 1000.0)),
            9 | 10 => Aim::Time(micros(dice, 16)),
            11 | 12 => Aim::Checkpoint(micros(dice, 10)),
            13 => Aim::Sync(micros(dice, 8)),
            16 | 17 => Aim::Closing(micros(dice, 10)),
            18 | 19 => Aim::End,
            _ => Aim::Acks(below_a_power_of_two(dice, 14)),
        }
    }

    /// Takes note of what the session has done, and of what is promised to survive a power cut. Returns how many
    /// operations that were, and where it was.
    pub fn end_session(&mut self, progress: &Progress, promised: &Progress) -> (usize, Moment) {
        let session = self.session(self.task.session);
        let start = self.life.len();
        let mut ops = session.ops();
        ops.by_ref().take(progress.acked as usize).for_each(|op| self.life.push(op));
        self.in_doubt = if progress.in_operation() { ops.next() } else { None };
        let moment = self.moment(progress);
        if promised.opened {
            // What an open store shows is durable.
            self.published = true;
            let durable = if session.is_immediate() { promised.acked } else { promised.durable };
            self.durable = start + durable as usize;
        }
        (self.life.len() - start, moment)
    }

    fn moment(&self, progress: &Progress) -> Moment {
        match progress.last {
            None | Some(Said::Opening) if !self.published => Moment::Creating,
            Some(Said::Opening) if self.unclean => Moment::Recovering,
            None | Some(Said::Opening) => Moment::Opening,
            Some(Said::Closed) => Moment::Closed,
            _ if progress.growing => Moment::Growing,
            Some(Said::Checkpointing) => Moment::Checkpointing,
            Some(Said::Syncing) => Moment::Syncing,
            Some(Said::Closing) => Moment::Closing,
            Some(Said::Opened | Said::Acked | Said::Synced | Said::Checkpointed) => Moment::Writing,
        }
    }

    /// After a kill: the file holds every acknowledged operation, and at most one more.
    pub fn judge_kill(&mut self) -> Result<(), String> {
        self.judge(self.life.len())
    }

    /// After a power cut: it holds a prefix of them with everything that is durable. Returns how many were lost.
    pub fn judge_power_cut(&mut self) -> Result<usize, String> {
        let acked = self.life.len();
        self.judge(self.durable)?;
        self.durable = self.life.len();
        Ok(acked.saturating_sub(self.life.len()))
    }

    /// Opens the file for reading, which leaves it as it is.
    fn judge(&mut self, least: usize) -> Result<(), String> {
        if !self.published && !self.task.path.exists() {
            return Ok(());
        }
        let begun = Instant::now();
        let options = Options::new().read_only(true);
        let store = Subject::open_existing(options, &self.task.path, self.task.form);
        let store = store.map_err(|error| format!("opening for reading: {error}"))?;
        self.opening = begun.elapsed();
        self.unclean = store.stats().map_err(|error| format!("stats: {error}"))?.recovered;
        let at = self.find(&store, least)?;
        self.life.truncate(at);
        Ok(())
    }

    /// How many operations the store holds; those that were acknowledged, where it can be these.
    fn find(&mut self, store: &Subject, least: usize) -> Result<usize, String> {
        let acked = Expected { life: &self.life, least, most: self.life.len() };
        let verdict = judge_store(store, acked);
        let (Err(_), Some(op)) = (&verdict, self.in_doubt.take()) else { return verdict };
        self.life.push(op);
        judge_store(store, Expected { life: &self.life, least, most: self.life.len() })
    }

    /// Opens the file for writing, which recovers it, writes to it, closes it, and looks at it again.
    pub fn write_on(&mut self) -> Result<(), String> {
        let Task { path, form, seed, .. } = &self.task;
        let open = || Subject::open(Options::new().seed(*seed).background(false), path, *form);
        let store = open().map_err(|error| format!("opening: {error}"))?;
        let all = Expected { life: &self.life, least: self.life.len(), most: self.life.len() };
        judge_store(&store, all).map_err(|error| format!("opened for writing: {error}"))?;
        write_on(store, &mut self.life, open)?;
        (self.durable, self.published, self.unclean) = (self.life.len(), true, false);
        Ok(())
    }
}

//! A program on a disk that fails or is full.
//!
//! Whatever fails, and however: a typed error, never a panic; an operation that returned an error has changed nothing;
//! reads go on; nothing fails once the disk is well. After a failed sync every write is refused until the store is
//! opened again, which finds a prefix with everything that was synced before (D5). If no sync failed, it finds every
//! acknowledged operation. What a crash leaves meanwhile keeps the same promises.

mod disk;
mod held;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tophash::Error;
use tophash::sim::{Crash, SimDisk};

use crate::beside::Assistant;
use crate::chart::Chart;
use crate::content::Digest;
use crate::held::Held;
use crate::illness::{Illness, is_typed};
use crate::image::{Expected, abandon, judge_store};
use crate::life::{Op, shape};
use crate::program::{PATH, Setup, Step};
use crate::subject::Subject;
use crate::tally::Tally;

/// A poisoned store is opened again after so many steps.
const POISONED_FOR: usize = 4;

type Verdict = Result<(), String>;

/// A program on a disk that fails.
pub struct Patient {
    disk: SimDisk,
    setup: Setup,
    illness: Illness,
    store: Option<Subject>,
    chart: Arc<Mutex<Chart>>,
    tally: Arc<Tally>,
    /// Calls of earlier disks.
    calls_before: u64,
    /// Steps since something went wrong, and since the store was poisoned.
    ill_for: Option<usize>,
    poisoned_for: usize,
    /// An insertion has succeeded since the store was opened: the session has begun, and has its segment.
    writing: bool,
    with_shapes: bool,
    held: Held,
}

impl Patient {
    /// A program on a disk of this seed that has this illness.
    pub fn new(disk_seed: u64, setup: Setup, illness: Illness, tally: &Arc<Tally>) -> Self {
        let patient = Patient {
            disk: SimDisk::new(disk_seed),
            setup,
            illness,
            store: None,
            chart: Arc::new(Mutex::new(Chart::new(setup.form))),
            tally: Arc::clone(tally),
            calls_before: 0,
            ill_for: None,
            poisoned_for: 0,
            writing: false,
            with_shapes: false,
            held: Held::default(),
        };
        patient.set_faults();
        patient
    }

    /// Compares tables cell by cell too.
    pub fn with_shapes(mut self) -> Self {
        self.with_shapes = true;
        self
    }

    /// Runs the script, and says what it found wrong.
    pub fn run(&mut self, script: &[Step]) -> Verdict {
        self.open()?;
        for (number, step) in script.iter().enumerate() {
            self.step(step).map_err(|complaint| format!("step {number}, {step:?}: {complaint}"))?;
            if self.grow_older() {
                break;
            }
        }
        self.heal();
        self.reopen()?;
        self.show()
    }

    /// Calls made so far, on all disks.
    pub fn calls(&self) -> u64 {
        self.calls_before + self.disk.counters().total()
    }

    fn step(&mut self, step: &Step) -> Verdict {
        match step {
            Step::Do(op) => self.op(op)?,
            Step::Sync => self.make_durable(Subject::sync)?,
            Step::Checkpoint => self.checkpoint(Subject::checkpoint)?,
            Step::Snapshot => self.snapshot()?,
            Step::Look => self.look()?,
            Step::BackUp => self.back_up()?,
            // One of its checkpoints may count, and what comes after it find no space.
            Step::Compact => {
                self.chart().life.forget_shape();
                self.make_durable(Subject::compact)?;
            }
            Step::SyncBeside(ops) => self.beside(ops, Subject::sync)?,
            Step::CheckpointBeside(ops) => self.beside(ops, Subject::checkpoint)?,
            Step::CloseHandle => self.make_durable(|store| store.clone().close())?,
            Step::Reopen => self.reopen()?,
            Step::Kill => self.crash(0, Crash::Kill)?,
            Step::PowerCut(seed) => self.crash(*seed, Crash::Power)?,
        }
        self.poisoned_for = if self.poisoned() { self.poisoned_for + 1 } else { 0 };
        if self.poisoned_for == POISONED_FOR { self.reopen() } else { Ok(()) }
    }

    fn op(&mut self, op: &Op) -> Verdict {
        self.chart().under_way = Some(op.clone());
        let before = self.failures_and_poison();
        let done = op.run(self.store()?);
        let poisoned = self.poisoned();
        self.chart().under_way = None;
        match done {
            Ok(()) if before.1 => Err("a write that succeeds after a failed sync".into()),
            // A checkpoint that is due after it may fail: that is counted, and the write has succeeded.
            Ok(()) => {
                self.writing |= matches!(op, Op::Insert(..) | Op::Batch(_));
                let shape = if self.with_shapes { shape(self.store()?).ok() } else { None };
                let mut chart = self.chart();
                chart.life.push(op.clone());
                shape.into_iter().for_each(|shape| chart.life.set_shape(shape));
                if self.setup.immediate {
                    chart.durable = chart.life.len();
                }
                drop(chart);
                // What frees something goes on where a checkpoint can't be had.
                if matches!(op, Op::Insert(..)) { self.memory_is_bounded() } else { Ok(()) }
            }
            Err(error) => {
                self.expect(error, before)?;
                if matches!(op, Op::Batch(_)) {
                    self.chart().life.forget_shape();
                }
                if self.setup.immediate && poisoned && !before.1 {
                    self.see_whether_done(op)?;
                }
                self.show()
            }
        }
    }

    /// Whatever becomes of checkpoints, what is dirty stays within the limit, but for the pages of a write (D11).
    fn memory_is_bounded(&self) -> Verdict {
        const PAGES_OF_A_WRITE: u64 = 8;
        // Where calls fail, so may those for the figures.
        let Ok(stats) = self.store()?.stats() else { return Ok(()) };
        match stats.dirty_bytes <= stats.index_memory_limit + PAGES_OF_A_WRITE * 4096 {
            true => Ok(()),
            false => Err(format!("{} bytes are dirty, of {}", stats.dirty_bytes, stats.index_memory_limit)),
        }
    }

    /// The sync that an operation has waited for failed: it happened, or it did not.
    fn see_whether_done(&mut self, op: &Op) -> Verdict {
        let digest = match Digest::of(self.store()?) {
            Ok(digest) => digest,
            Err(_) => {
                self.make_well();
                let digest = Digest::of(self.store()?)?;
                self.set_faults();
                digest
            }
        };
        let mut chart = self.chart();
        let len = chart.life.len();
        if chart.life.find(digest, len, len).is_none() {
            chart.life.push(op.clone());
        }
        Ok(())
    }

    fn checkpoint(&mut self, task: impl FnOnce(&Subject) -> tophash::Result<()>) -> Verdict {
        let checkpoints = |store: &Subject| store.info().map(|info| info.checkpoint_seq);
        let counted = checkpoints(self.store()?);
        let mut lacked_space = false;
        self.make_durable(|store| {
            task(store).inspect_err(|error| lacked_space = matches!(error, Error::NoSpace { .. }))
        })?;
        match (counted, checkpoints(self.store()?)) {
            (Ok(before), Ok(after)) if lacked_space && before != after => {
                Err("no space for a checkpoint that counts all the same (D9)".into())
            }
            _ => Ok(()),
        }
    }

    /// Runs what makes everything durable that was there before.
    fn make_durable(&mut self, task: impl FnOnce(&Subject) -> tophash::Result<()>) -> Verdict {
        let (before, covered) = (self.failures_and_poison(), self.chart().life.len());
        match task(self.store()?) {
            Ok(()) if self.poisoned() => Err("after a failed sync it says that all is well".into()),
            Ok(()) => {
                let mut chart = self.chart();
                chart.durable = chart.durable.max(covered);
                Ok(())
            }
            Err(error) => {
                self.expect(error, before)?;
                self.show()
            }
        }
    }

    /// Runs `task`, a sync or a checkpoint, while another thread writes; what that can't do is done afterwards.
    fn beside(&mut self, ops: &[Op], task: fn(&Subject) -> tophash::Result<()>) -> Verdict {
        let left = if self.writing {
            let store = self.store()?.clone();
            let (chart, disk, may_lack_space) =
                (Arc::clone(&self.chart), self.disk.clone(), self.illness.may_lack_space());
            let full = self.illness.full.is_some();
            let assistant = Arc::new(Assistant::start(&store, ops, move |store, op| {
                run_beside(&chart, &disk, store, op, may_lack_space || full);
            }));
            self.watch(Some(Arc::clone(&assistant)));
            let verdict = self.checkpoint(task);
            self.watch(None);
            let assistant = Arc::into_inner(assistant).ok_or("the hook is still there")?;
            let left = assistant.end();
            verdict?;
            left
        } else {
            self.checkpoint(task)?;
            ops.iter().cloned().collect()
        };
        let complaint = self.chart().complaint.take();
        complaint.map_or(Ok(()), Err)?;
        self.show()?;
        left.iter().try_for_each(|op| self.op(op))
    }

    fn reopen(&mut self) -> Verdict {
        let before = self.failures_and_poison();
        match self.store.take().ok_or("no store")?.close() {
            Ok(()) => {
                let poisoned = self.poisoned();
                let mut chart = self.chart();
                // Where there was nothing to make durable, a sync that failed did no harm.
                if poisoned && chart.durable < chart.life.len() {
                    return Err("closed well after a failed sync".into());
                }
                chart.durable = chart.life.len();
            }
            Err(error) => self.expect(error, before)?,
        }
        // Until then the file stays locked.
        self.look()?;
        self.open()
    }

    /// Goes on with what a crash leaves; the old store runs into the void.
    fn crash(&mut self, seed: u64, kind: Crash) -> Verdict {
        self.look()?;
        let after = self.disk.crash(seed, kind);
        self.poisoned();
        self.disk.off_call();
        if let Some(store) = self.store.take() {
            abandon(&self.disk, store);
        }
        self.calls_before += self.disk.counters().total();
        self.disk = after;
        self.set_faults();
        {
            let mut chart = self.chart();
            chart.begin_handle();
            chart.cache_lies |= kind == Crash::Power;
        }
        self.open()
    }

    /// Opens the store; again on a healthy disk if that fails.
    fn open(&mut self) -> Verdict {
        self.chart().begin_handle();
        self.writing = false;
        self.watch(None);
        let exists = self.disk.paths().iter().any(|path| path == Path::new(PATH));
        let before = self.failures_and_poison();
        let store = match self.setup.open(&self.disk) {
            Ok(_) if self.poisoned() => return Err("it opens although a sync has failed".into()),
            Ok(store) => store,
            Err(error) => {
                if exists && before.0 == self.disk.counters().failures {
                    return Err(format!("opening, and no call has failed: {error:?}"));
                }
                self.expect(error, before)?;
                self.make_well();
                self.chart().begin_handle();
                let opened = self.setup.open(&self.disk);
                self.set_faults();
                opened.map_err(|error| format!("opening, healed: {error}"))?
            }
        };
        let digest = self.read(&store)?;
        self.store = Some(store);
        let mut chart = self.chart();
        let (least, most) = (chart.least(Crash::Kill), chart.life.len());
        let found = chart.life.find(digest, least, most);
        // What a recovery has shown is durable (D13); what it found after a clean close is too.
        chart.found(found.ok_or_else(|| format!("opened: not what {least} to {most} leave"))?);
        Ok(())
    }

    /// Reads everything; on a healthy disk if that fails because a call does.
    fn read(&mut self, store: &Subject) -> Result<Digest, String> {
        let failures = self.disk.counters().failures;
        Digest::of(store).or_else(|complaint| {
            if self.disk.counters().failures == failures {
                return Err(complaint);
            }
            self.make_well();
            let digest = Digest::of(store);
            self.set_faults();
            digest
        })
    }

    /// The open store shows every acknowledged operation, and no other.
    fn show(&self) -> Verdict {
        let Some(store) = &self.store else { return Ok(()) };
        let failures = self.disk.counters().failures;
        // Not under the lock of the chart: reading makes calls, at which the hook takes it.
        let life = self.chart().life.clone();
        let (least, most) = (life.len(), life.len());
        let shown = judge_store(store, Expected { life: &life, least, most });
        // Page checksums are read when they are first needed.
        let excused = self.disk.counters().failures > failures;
        shown.map(drop).or_else(|complaint| if excused { Ok(()) } else { Err(complaint) })
    }

    /// An error is one of those that it may be, after so many failures, on a handle that was poisoned or not.
    fn expect(&mut self, error: Error, (failures, was_poisoned): (u64, bool)) -> Verdict {
        self.ill_for.get_or_insert(0);
        let (poisoned, failed) = (self.poisoned(), self.disk.counters().failures > failures);
        let lacks_space = self.is_full() || (failed && self.illness.may_lack_space());
        match is_typed(&error, (was_poisoned, poisoned), failed, lacks_space) {
            true => Ok(()),
            false => Err(format!("not the error to expect: {error:?}")),
        }
    }

    fn store(&self) -> Result<&Subject, String> {
        self.store.as_ref().ok_or_else(|| "no store".into())
    }

    fn chart(&self) -> MutexGuard<'_, Chart> {
        lock(&self.chart)
    }
}

/// An operation beside a sync or a checkpoint; complains in the chart.
fn run_beside(chart: &Mutex<Chart>, disk: &SimDisk, store: &Subject, op: Op, may_lack_space: bool) {
    let (failures, was_poisoned) = {
        let mut chart = lock(chart);
        let failures = disk.counters().failures;
        chart.note_failures(failures);
        chart.under_way = Some(op.clone());
        (failures, chart.poisoned)
    };
    let done = op.run(store);
    let mut chart = lock(chart);
    chart.under_way = None;
    let failed = disk.counters().failures > failures;
    match done {
        Ok(()) if was_poisoned => {
            chart.complaint = Some("a write beside succeeds after a failed sync".into())
        }
        Ok(()) => chart.life.push(op),
        Err(error) if is_typed(&error, (was_poisoned, was_poisoned), failed, may_lack_space) => {}
        Err(error) => chart.complaint = Some(format!("beside: not the error to expect: {error:?}")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

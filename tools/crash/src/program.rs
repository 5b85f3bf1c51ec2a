//! Runs a script on a simulated disk and says how far it is.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tophash::report::GrowthKind;
use tophash::sim::{Call, Crash, SimDisk};
use tophash::{Durability, Options};

use crate::beside::Assistant;
use crate::content::Digest;
use crate::held::Held;
use crate::life::{Life, Op, shape};
use crate::subject::{Form, Subject};

/// The name of the store.
pub const PATH: &str = "store.tophash";
const SEED: u64 = 20;

/// One step of a script.
#[derive(Clone, Debug)]
pub enum Step {
    Do(Op),
    Sync,
    Checkpoint,
    /// Everything live moves together.
    Compact,
    /// A sync at each of whose calls another thread does one of these operations; it does the rest afterwards.
    SyncBeside(Vec<Op>),
    /// The same with a checkpoint.
    CheckpointBeside(Vec<Op>),
    /// A checkpoint, of which the program holds a snapshot from then on.
    Snapshot,
    /// The program looks at its snapshots, and lets go of them.
    Look,
    /// A copy, at which it looks.
    BackUp,
    /// Close one of two handles of the store.
    CloseHandle,
    /// Close and open again.
    Reopen,
    /// The process is killed and started again.
    Kill,
    /// The power is cut; the number is the seed of what that leaves.
    PowerCut(u64),
}

/// How far a program is; what a crash may leave follows from it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Which life of the store this is: each power cut begins another.
    pub life: usize,
    /// Operations acknowledged.
    pub acked: usize,
    /// Operations begun; one more than acknowledged while one is under way.
    pub begun: usize,
    /// Operations that are durable.
    pub durable: usize,
    /// Counts the disks: each crash makes another.
    pub disk: usize,
}

impl Progress {
    /// After the first `durable` of `acked` operations, which are durable.
    pub fn at(acked: usize, durable: usize) -> Self {
        Progress { acked, begun: acked, durable, ..Progress::default() }
    }
}

/// Is told about every call before it takes effect.
pub type Watch = Arc<dyn Fn(&SimDisk, &Call, Progress) + Send + Sync>;

/// What a script must have done to be worth its name.
#[derive(Clone, Debug, Default)]
pub struct Sights {
    pub doublings: usize,
    pub same_size_growths: usize,
    pub shrinks: usize,
    pub checkpoints: usize,
    /// Checkpoints while a growth was under way, by its kind.
    pub in_doubling: usize,
    pub in_same_size_growth: usize,
    pub in_shrink: usize,
    pub overflow_chunks: usize,
    pub log_segments: usize,
    /// Bytes that compaction moved in a session, and segments that were given back.
    pub moved_bytes: u64,
    pub given_back: usize,
    pub recovered: usize,
}

/// How a program opens its store.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Entries that the store is made for.
    pub capacity: u64,
    /// Memory for its arrays, where it is to be short.
    pub index_memory_limit: Option<u64>,
    /// What is acknowledged is durable.
    pub immediate: bool,
    /// What its keys and values are.
    pub form: Form,
}

impl Setup {
    /// A table that shrinks as far as one can.
    pub const SMALLEST: Setup = Setup { capacity: 0, ..Setup::ORDINARY };
    /// A table that grows soon.
    pub const ORDINARY: Setup =
        Setup { capacity: 30, index_memory_limit: None, immediate: false, form: Form::Records };
    /// What is acknowledged is durable.
    pub const IMMEDIATE: Setup = Setup { immediate: true, ..Setup::ORDINARY };
    /// A table of several pages.
    pub const ROOMY: Setup = Setup { capacity: 1200, ..Setup::ORDINARY };
    /// A table of several pages, and room for hardly one of them in memory: writes checkpoint, and copies are dropped.
    pub const CRAMPED: Setup = Setup { capacity: 800, index_memory_limit: Some(4096), ..Setup::ORDINARY };

    /// A table of many pages, and memory for some of them: copies are dropped, and writes go on meanwhile.
    pub const TIGHT: Setup = Setup { capacity: 8000, index_memory_limit: Some(64 << 10), ..Setup::ORDINARY };

    /// The same for a store of this form.
    pub fn with(self, form: Form) -> Setup {
        Setup { form, ..self }
    }

    /// Opens the store on `disk`, or makes it.
    pub fn open(&self, disk: &SimDisk) -> tophash::Result<Subject> {
        Subject::open(self.options(disk), Path::new(PATH), self.form)
    }

    /// The options for a store on `disk`.
    pub fn options(&self, disk: &SimDisk) -> Options {
        let durability = if self.immediate { Durability::Immediate } else { Durability::Buffered };
        let options = Options::new().background(false).durability(durability).seed(SEED);
        let options = options.capacity(self.form.capacity_of_as_many_pages(self.capacity));
        let options = match self.index_memory_limit {
            Some(bytes) => options.index_memory_limit(bytes),
            None => options,
        };
        options.media(disk.clone())
    }
}

/// A running program.
pub struct Program {
    pub disk: SimDisk,
    setup: Setup,
    store: Option<Subject>,
    progress: Arc<Mutex<Progress>>,
    watch: Option<Watch>,
    lives: Vec<Life>,
    held: Held,
    with_shapes: bool,
    pub sights: Sights,
    last_growth: Option<GrowthKind>,
}

impl Program {
    /// A program that goes on with `life` on `disk`.
    pub fn new(disk: SimDisk, life: Life, progress: Progress) -> Self {
        Program {
            disk,
            setup: Setup::ORDINARY.with(life.form()),
            store: None,
            progress: Arc::new(Mutex::new(progress)),
            watch: None,
            lives: vec![life],
            held: Held::default(),
            with_shapes: false,
            sights: Sights::default(),
            last_growth: None,
        }
    }

    /// Opens its store like this.
    pub fn with_setup(mut self, setup: Setup) -> Self {
        self.setup = setup.with(self.setup.form);
        self
    }

    /// Has `watch` called before each call of the disk.
    pub fn with_watch(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Looks at the table cell by cell after each operation.
    pub fn with_shapes(mut self) -> Self {
        self.with_shapes = true;
        self
    }

    pub fn store(&self) -> &Subject {
        self.store.as_ref().expect("the program has opened its store")
    }

    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn life(&self) -> &Life {
        &self.lives[self.lives.len() - 1]
    }

    /// All lives of the store, once the program is over. The store is closed.
    pub fn end(mut self) -> (Vec<Life>, Sights) {
        self.close();
        (std::mem::take(&mut self.lives), std::mem::take(&mut self.sights))
    }

    /// Closes the store, if it is open.
    pub fn close(&mut self) {
        if let Some(store) = self.store.take() {
            store.close().expect("closing");
        }
        self.look();
    }

    /// Opens the store, runs the script, closes the store.
    pub fn run_whole(mut self, script: &[Step]) -> (Vec<Life>, Sights) {
        self.open();
        self.run(script);
        self.end()
    }

    pub fn run(&mut self, script: &[Step]) {
        for step in script {
            self.step(step);
        }
    }

    /// Opens the store; everything that it shows then is durable.
    pub fn open(&mut self) {
        self.watch_disk();
        let store = self.setup.open(&self.disk).expect("opening");
        self.sights.recovered += usize::from(store.stats().is_ok_and(|stats| stats.recovered));
        self.store = Some(store);
        let mut progress = self.progress();
        progress.durable = progress.acked;
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Do(op) => self.run_op(op),
            Step::Sync => {
                self.store().sync().expect("syncing");
                self.all_is_durable();
            }
            Step::Checkpoint => {
                match self.store().growth().expect("growth").kind {
                    Some(GrowthKind::Double) => self.sights.in_doubling += 1,
                    Some(GrowthKind::SameSize) => self.sights.in_same_size_growth += 1,
                    Some(GrowthKind::Shrink) => self.sights.in_shrink += 1,
                    None => {}
                }
                let segments = self.store().stats().expect("stats").log_segments as usize;
                self.store().checkpoint().expect("checkpoint");
                self.all_is_durable();
                self.sights.checkpoints += 1;
                self.look_at_file(segments);
            }
            Step::Compact => {
                self.lives.last_mut().expect("a life").forget_shape();
                self.store().compact().expect("compacting");
                self.all_is_durable();
            }
            Step::Snapshot => {
                self.step(&Step::Checkpoint);
                let store = self.store.as_ref().expect("an open store");
                self.held.take(store, self.content()).expect("a snapshot");
            }
            Step::Look => self.look(),
            Step::BackUp => {
                let store = self.store.as_ref().expect("an open store");
                let judged = self.held.back_up(&self.disk, store, self.content()).expect("a backup");
                judged.expect("the whole copy");
                self.all_is_durable();
            }
            Step::SyncBeside(ops) => self.beside(ops, Subject::sync),
            Step::CheckpointBeside(ops) => self.beside(ops, Subject::checkpoint),
            Step::CloseHandle => {
                self.store().clone().close().expect("closing one of two handles");
                self.all_is_durable();
            }
            Step::Reopen => {
                self.store.take().expect("an open store").close().expect("closing");
                self.all_is_durable();
                // Until then the file stays locked.
                self.look();
                self.open();
            }
            Step::Kill => {
                self.crash(0, Crash::Kill);
                self.open();
                let found = self.find(self.progress().acked);
                assert_eq!(found, self.progress().acked, "a kill lost something");
            }
            Step::PowerCut(seed) => {
                self.crash(*seed, Crash::Power);
                self.lose_what_was_lost();
            }
        }
    }

    fn run_op(&mut self, op: &Op) {
        // The life may be longer than the program is: it is known beforehand then.
        self.lives.last_mut().expect("a life").push(op.clone());
        self.progress().begun += 1;
        op.run(self.store()).expect("an operation");
        self.progress().acked += 1;
        if self.setup.immediate {
            self.all_is_durable();
        }
        let growth = self.store().growth().expect("growth").kind;
        if growth != self.last_growth {
            self.sights.doublings += usize::from(growth == Some(GrowthKind::Double));
            self.sights.same_size_growths += usize::from(growth == Some(GrowthKind::SameSize));
            self.sights.shrinks += usize::from(growth == Some(GrowthKind::Shrink));
            self.last_growth = growth;
        }
        self.note_shape();
    }

    /// Runs `task`, a sync or a checkpoint, while another thread does operations.
    fn beside(&mut self, ops: &[Op], task: fn(&Subject) -> tophash::Result<()>) {
        let covered = self.progress().acked;
        ops.iter().for_each(|op| self.lives.last_mut().expect("a life").push(op.clone()));
        let its_progress = Arc::clone(&self.progress);
        let assistant = Arc::new(Assistant::start(self.store(), ops, move |store, op| {
            let progress = || its_progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress().begun += 1;
            op.run(store).expect("a write beside a sync or a checkpoint");
            progress().acked += 1;
        }));
        let (its_assistant, watch, progress) =
            (Arc::clone(&assistant), self.watch.clone(), Arc::clone(&self.progress));
        self.disk.on_call(move |disk, call| {
            its_assistant.work_at(call.kind);
            if let Some(watch) = &watch {
                let now = *progress.lock().unwrap_or_else(PoisonError::into_inner);
                watch(disk, call, now);
            }
        });
        task(self.store()).expect("a sync or a checkpoint beside writes");
        self.disk.off_call();
        self.watch_disk();
        self.progress().durable = covered;
        let assistant = Arc::into_inner(assistant).expect("the hook is gone");
        for op in assistant.end() {
            self.progress().begun += 1;
            op.run(self.store()).expect("an operation");
            self.progress().acked += 1;
        }
        let acked = self.progress().acked;
        assert_eq!(self.find(acked), acked, "what was written beside is not there");
        self.note_shape();
    }

    fn note_shape(&mut self) {
        if self.with_shapes {
            let shape = shape(self.store()).expect("shape");
            self.lives.last_mut().expect("a life").set_shape(shape);
        }
    }

    fn look_at_file(&mut self, segments_before: usize) {
        let stats = self.store().stats().expect("stats");
        let extents = self.store().info().expect("info").extents;
        let count = |what: &str| extents.iter().filter(|extent| extent.what.contains(what)).count();
        let log_segments = count("log segment");
        self.sights.overflow_chunks = self.sights.overflow_chunks.max(count("overflow buckets"));
        self.sights.log_segments = self.sights.log_segments.max(log_segments);
        self.sights.given_back += segments_before.saturating_sub(log_segments);
        self.sights.moved_bytes = self.sights.moved_bytes.max(stats.moved_bytes);
    }

    fn all_is_durable(&self) {
        let mut progress = self.progress();
        progress.durable = progress.acked;
    }

    /// What the store holds now.
    fn content(&self) -> Digest {
        self.life().digest_after(self.progress().acked)
    }

    fn look(&mut self) {
        self.held.look().expect("snapshots that show what they showed");
    }

    /// Goes on with what a crash leaves; the old store runs into the void.
    fn crash(&mut self, seed: u64, kind: Crash) {
        self.look();
        let after = self.disk.crash(seed, kind);
        self.disk.off_call();
        self.disk = after;
        self.progress().disk += 1;
        drop(self.store.take());
    }

    /// After a power cut: the store begins another life where the last one was cut off.
    fn lose_what_was_lost(&mut self) {
        let kept = {
            // Seen without the watch, on a copy: which life it is must be clear before the watch is asked.
            let copy = self.disk.crash(0, Crash::Kill);
            let store = Setup::ORDINARY.with(self.setup.form).open(&copy).expect("opening");
            let Progress { acked, durable, .. } = *self.progress();
            let digest = Digest::of(&store).expect("content");
            self.life().find(digest, durable, acked).expect("a prefix")
        };
        let life = self.life().fork(kept);
        self.lives.push(life);
        {
            let mut progress = self.progress();
            progress.life += 1;
            (progress.acked, progress.begun, progress.durable) = (kept, kept, kept);
        }
        self.open();
    }

    /// How many operations the store holds.
    fn find(&self, most: usize) -> usize {
        let digest = Digest::of(self.store()).expect("content");
        self.life().find(digest, 0, most).expect("a prefix")
    }

    fn watch_disk(&self) {
        let Some(watch) = self.watch.clone() else { return };
        let progress = Arc::clone(&self.progress);
        self.disk.on_call(move |disk, call| {
            let now = *progress.lock().unwrap_or_else(PoisonError::into_inner);
            watch(disk, call, now);
        });
    }
}

//! Each call in turn fails, once or from then on.
//!
//! Whatever fails, and however: a typed error, never a panic; an operation that returned an error has changed nothing;
//! reads go on. After a failed sync every write is refused until the store is opened again, which finds a prefix with
//! everything that was synced before (D5). If no sync failed, it finds every acknowledged operation.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tophash::sim::{Call, CallKind, Crash, Failure, Fault, SimDisk, When};
use tophash::{Error, Store};

use tophash_crash::content::{Digest, mix_all};
use tophash_crash::image::{Expected, goes_on, judge};
use tophash_crash::life::Life;
use tophash_crash::program::{PATH, Step, options};
use tophash_crash::script::unlucky_life;
use tophash_crash::tally::Tally;

/// Steps after the first error until the disk is healthy again.
const ILL_FOR: usize = 9;

/// Whether a sync of the file has failed since the store was opened.
#[derive(Default)]
struct Syncs {
    /// The last call, and how many calls had failed before it.
    last: Option<(CallKind, u64)>,
    failed: bool,
}

impl Syncs {
    /// So many calls have failed until now.
    fn note(&mut self, failures: u64) {
        self.failed |= self.last.is_some_and(|(kind, before)| kind == CallKind::Sync && failures > before);
    }
}

/// A program on a disk that fails.
struct Patient {
    disk: SimDisk,
    store: Option<Store>,
    life: Life,
    durable: usize,
    syncs: Arc<Mutex<Syncs>>,
    /// It has failed at some time, so that the page cache may lie.
    ever_failed: bool,
    fault: Fault,
    /// Steps since the first error.
    ill_for: Option<usize>,
}

type Verdict = Result<(), String>;

impl Patient {
    fn new(seed: u64, fault: Fault) -> Self {
        let disk = SimDisk::new(seed);
        disk.fail(fault);
        Patient {
            disk,
            store: None,
            life: Life::new(),
            durable: 0,
            syncs: Arc::default(),
            ever_failed: false,
            fault,
            ill_for: None,
        }
    }

    fn run(&mut self, script: &[Step]) -> Verdict {
        self.open()?;
        for (number, step) in script.iter().enumerate() {
            self.step(step).map_err(|complaint| format!("step {number}, {step:?}: {complaint}"))?;
            if let Some(steps) = &mut self.ill_for {
                *steps += 1;
                if *steps == ILL_FOR {
                    self.disk.heal();
                }
                if mix_all(&[number as u64, self.disk.counters().total()]).is_multiple_of(8) {
                    self.crash(number as u64)?;
                }
            }
        }
        self.reopen()?;
        if self.poisoned() { Ok(()) } else { self.show(self.life.len(), self.life.len()) }
    }

    fn step(&mut self, step: &Step) -> Verdict {
        let store = self.store.as_ref().ok_or("no store")?;
        match step {
            Step::Do(op) => {
                let done = op.run(store);
                if done.is_ok() {
                    if self.poisoned() {
                        return Err("a write after a failed sync".into());
                    }
                    self.life.push(op.clone());
                }
                self.outcome(done)
            }
            Step::Sync => {
                let done = store.sync();
                self.durable_if(done)
            }
            Step::Checkpoint => {
                let before = store.info().map(|info| info.checkpoint_seq);
                let done = store.checkpoint();
                let after = store.info().map(|info| info.checkpoint_seq);
                if let (Ok(before), Ok(after), Err(Error::NoSpace { .. })) = (before, after, &done)
                    && after != before
                {
                    return Err("no space for a checkpoint that counts all the same (D9)".into());
                }
                self.durable_if(done)
            }
            Step::Reopen => self.reopen(),
            Step::SyncBeside(_) | Step::CheckpointBeside(_) | Step::Kill | Step::PowerCut(_) => {
                Err("no part of this script".into())
            }
        }
    }

    fn durable_if(&mut self, done: tophash::Result<()>) -> Verdict {
        if done.is_ok() {
            if self.poisoned() {
                return Err("a sync after a failed sync says that all is well".into());
            }
            self.durable = self.life.len();
        }
        self.outcome(done)
    }

    /// An error is one of those that it may be, and has changed nothing.
    fn outcome(&mut self, done: tophash::Result<()>) -> Verdict {
        let Err(error) = done else { return Ok(()) };
        self.ill_for.get_or_insert(0);
        let poisoned = self.poisoned();
        let typed = match &error {
            Error::Poisoned => poisoned,
            Error::NoSpace { .. } => {
                self.fault.failure == Failure::NoSpace || self.fault.failure == Failure::Short
            }
            Error::Io { source, .. } => source.kind() != std::io::ErrorKind::ResourceBusy,
            _ => false,
        };
        if !typed {
            return Err(format!("not the error to expect: {error:?}"));
        }
        self.show(self.life.len(), self.life.len())
    }

    /// The open store shows `least` to `most` operations.
    fn show(&self, least: usize, most: usize) -> Verdict {
        let Some(store) = &self.store else { return Ok(()) };
        let healthy =
            self.ill_for.is_none_or(|steps| steps >= ILL_FOR) || matches!(self.fault.when, When::Once(_));
        match Digest::of(store) {
            Ok(digest) => match self.life.find(digest, least, most) {
                Some(_) => Ok(()),
                None => {
                    Err(format!("the open store shows {} entries, not those after {most}", digest.entries))
                }
            },
            // Page checksums are read when they are first needed.
            Err(complaint) if !healthy && complaint.contains("failed") => Ok(()),
            Err(complaint) => Err(complaint),
        }
    }

    fn poisoned(&self) -> bool {
        let mut syncs = self.syncs.lock().unwrap();
        syncs.note(self.disk.counters().failures);
        syncs.failed
    }

    /// Opens the store; again on a healthy disk if that fails.
    fn open(&mut self) -> Verdict {
        self.watch_syncs();
        let opened = options(&self.disk).open(Path::new(PATH));
        let store = match opened {
            Ok(store) => store,
            Err(error) => {
                self.outcome(Err(error))?;
                self.ever_failed |= self.poisoned();
                self.disk.heal();
                options(&self.disk)
                    .open(Path::new(PATH))
                    .map_err(|error| format!("opening, healed: {error}"))?
            }
        };
        self.ever_failed |= self.poisoned();
        *self.syncs.lock().unwrap() = Syncs::default();
        let least = if self.ever_failed { self.durable } else { self.life.len() };
        let digest = Digest::of(&store).or_else(|complaint| {
            self.disk.heal();
            if complaint.contains("failed") { Digest::of(&store) } else { Err(complaint) }
        })?;
        let found = self.life.find(digest, least, self.life.len());
        let found = found.ok_or_else(|| format!("opened: not what {least} to {} leave", self.life.len()))?;
        self.life = self.life.fork(found);
        // What a recovery has shown is durable; what it found after a clean close is too.
        self.durable = found;
        self.store = Some(store);
        Ok(())
    }

    fn reopen(&mut self) -> Verdict {
        let closed = self.store.take().ok_or("no store")?.close();
        if closed.is_ok() && self.durable == self.life.len() {
            // There was nothing to make durable, so that a sync that failed did no harm.
            self.ever_failed |= self.poisoned();
            return self.open();
        }
        self.durable_if(closed)?;
        self.open()
    }

    /// Looks at what a crash would leave now.
    fn crash(&self, place: u64) -> Verdict {
        let acked = self.life.len();
        let kept = if self.ever_failed || self.poisoned() { self.durable } else { acked };
        let moment = self.disk.freeze();
        for (kind, least) in [(Crash::Power, self.durable), (Crash::Kill, kept)] {
            let disk = moment.crash(mix_all(&[place, acked as u64]), kind);
            let expected = Expected { life: &self.life, least, most: acked };
            let judged = judge(&disk, expected).and_then(|(store, at)| match place % 4 {
                0 => goes_on(&disk, store, &self.life, at),
                _ => Ok(()),
            });
            judged.map_err(|complaint| format!("{kind:?}: {complaint}"))?;
        }
        Ok(())
    }

    /// Notes each failed sync of the file.
    fn watch_syncs(&self) {
        let syncs = Arc::clone(&self.syncs);
        self.disk.on_call(move |disk, call: &Call| {
            let failures = disk.counters().failures;
            let mut syncs = syncs.lock().unwrap();
            syncs.note(failures);
            syncs.last = Some((call.kind, failures));
        });
    }
}

/// How many calls the script makes.
fn calls(script: &[Step], seed: u64) -> u64 {
    let never = Fault { when: When::Once(u64::MAX), kind: None, failure: Failure::Io };
    let mut patient = Patient::new(seed, never);
    patient.run(script).unwrap();
    patient.disk.counters().total()
}

fn fail_everywhere(name: &'static str, failures: [Failure; 2]) {
    const DISK_SEED: u64 = 8;
    let script = unlucky_life();
    let tally = Tally::new(name);
    for number in 0..calls(&script, DISK_SEED) {
        tally.moment();
        for failure in failures {
            for when in [When::Once(number), When::From(number)] {
                let fault = Fault { when, kind: None, failure };
                tally.image(|| format!("{fault:?}"), || Patient::new(DISK_SEED, fault).run(&script));
            }
        }
    }
    tally.end();
}

#[test]
fn each_call_fails_with_eio_or_is_short() {
    fail_everywhere("EIO and short", [Failure::Io, Failure::Short]);
}

#[test]
fn each_call_fails_with_enospc_or_eintr() {
    fail_everywhere("ENOSPC and EINTR", [Failure::NoSpace, Failure::Interrupted]);
}

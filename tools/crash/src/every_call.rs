//! Has each call of a program fail in turn, in each way there is, and the disk be full from it on.

use std::sync::{Arc, Mutex, PoisonError};

use tophash::sim::{CallKind, Failure, Fault, SimDisk, When};

use crate::content::mix_all;
use crate::illness::Illness;
use crate::life::Life;
use crate::patient::Patient;
use crate::program::{Program, Progress, Setup, Step};
use crate::recovery::fail_recoveries_where;
use crate::tally::Tally;

/// What a disk does by chance.
const DISK_SEED: u64 = 8;
/// Bytes that are left on a disk that is about to be full.
const LITTLE_ROOM: [u64; 4] = [0, 4 << 10, 20 << 10, 80 << 10];

/// A program, each of whose calls is to fail.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What it does.
    pub script: Vec<Step>,
    /// How it opens its store.
    pub setup: Setup,
    /// Steps that it goes on for when the disk is well again.
    pub aftermath: Option<usize>,
    /// The numbers of its calls; stores into mapped memory are none.
    calls: Vec<u64>,
}

impl Trace {
    /// Runs the program undisturbed, and notes its calls.
    pub fn new(script: Vec<Step>, setup: Setup, aftermath: Option<usize>) -> Self {
        let disk = SimDisk::new(DISK_SEED);
        let (calls, before) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new((0, 0))));
        let (noted, counted) = (Arc::clone(&calls), Arc::clone(&before));
        let watch = move |_: &SimDisk, call: &tophash::sim::Call, now: Progress| {
            // Numbers begin anew on the disk that a crash makes; those of all disks are counted.
            let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
            let (before, last): &mut (u64, u64) = &mut counted;
            if call.number == 0 && now.disk > 0 {
                *before += *last + 1;
            }
            *last = call.number;
            if call.kind != CallKind::Store {
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(*before + call.number);
            }
        };
        let program = Program::new(disk, Life::new(setup.form), Progress::default());
        program.with_setup(setup).with_watch(Arc::new(watch)).run_whole(&script);
        let calls = std::mem::take(&mut *calls.lock().unwrap_or_else(PoisonError::into_inner));
        Trace { script, setup, aftermath, calls }
    }

    /// How many calls it makes.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Fails the call with this index in each way, once and from then on.
    pub fn fail_call(&self, index: usize, failures: &[Failure], tally: &Arc<Tally>) {
        let number = self.calls[index];
        for &failure in failures {
            for when in [When::Once(number), When::From(number)] {
                self.suffer(Illness::of(Fault { when, kind: None, failure }), tally);
            }
        }
    }

    /// The disk is full from this call on.
    pub fn fill_disk(&self, index: usize, tally: &Arc<Tally>) {
        let number = self.calls[index];
        self.suffer(Illness::full(number, 0), tally);
        let room = LITTLE_ROOM[(mix_all(&[number]) % 4) as usize];
        self.suffer(Illness::full(number, room), tally);
    }

    /// The recovery from a crash at this call fails, at each of its calls. For programs without crashes of their own.
    pub fn fail_recovery(&self, index: usize, tally: &Arc<Tally>) {
        let number = self.calls[index];
        let chosen = move |call: &tophash::sim::Call, _: Progress| call.number == number;
        fail_recoveries_where(&self.script, self.setup, DISK_SEED, chosen, 1, tally);
    }

    fn suffer(&self, illness: Illness, tally: &Arc<Tally>) {
        let illness = Illness { aftermath: self.aftermath, ..illness };
        tally.moment();
        let label = || format!("{illness:?}");
        tally.image(label, || Patient::new(DISK_SEED, self.setup, illness.clone(), tally).run(&self.script));
    }
}

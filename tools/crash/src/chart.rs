//! What is known about a program on a failing disk, at any call.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tophash::sim::{Call, CallKind, Crash, SimDisk};

use crate::content::mix_all;
use crate::illness::ROOMY;
use crate::image::{Expected, abandon, goes_on, judge, judge_read_only};
use crate::life::{Life, Op};
use crate::program::PATH;
use crate::subject::Form;
use crate::tally::Tally;

/// What is known about a patient.
#[derive(Default)]
pub struct Chart {
    /// Operations acknowledged.
    pub life: Life,
    /// The operation that is under way: a crash may leave it or not.
    pub under_way: Option<Op>,
    /// Operations that are durable.
    pub durable: usize,
    /// The last call, and how many calls had failed before it.
    last: Option<(CallKind, u64)>,
    /// A sync of the file has failed since the store was opened.
    pub poisoned: bool,
    /// One has failed and nothing was recovered since, so that the page cache may lie.
    pub cache_lies: bool,
    /// What the second thread found wrong.
    pub complaint: Option<String>,
}

impl Chart {
    /// Nothing was done yet, to a store of this form.
    pub fn new(form: Form) -> Self {
        Chart { life: Life::new(form), ..Chart::default() }
    }

    /// So many calls have failed until now: the last one, if the number has changed.
    pub fn note_failures(&mut self, failures: u64) {
        let failed = self.last.is_some_and(|(kind, before)| kind == CallKind::Sync && failures > before);
        self.poisoned |= failed;
    }

    /// A call begins; so many have failed before it.
    pub fn note_call(&mut self, call: &Call, failures: u64) {
        self.note_failures(failures);
        self.last = Some((call.kind, failures));
    }

    /// Another handle begins, which knows nothing of what has failed before.
    pub fn begin_handle(&mut self) {
        self.cache_lies |= self.poisoned;
        (self.poisoned, self.last) = (false, None);
    }

    /// How many operations a crash leaves at least.
    pub fn least(&self, crash: Crash) -> usize {
        let cache_is_whole = crash == Crash::Kill && !self.cache_lies && !self.poisoned;
        if cache_is_whole { self.life.len() } else { self.durable }
    }

    /// The life with what is under way.
    pub fn life_with_all(&self) -> Life {
        let mut life = self.life.clone();
        self.under_way.iter().for_each(|op| life.push(op.clone()));
        life
    }

    /// What is there now is durable, and all that is there.
    pub fn found(&mut self, at: usize) {
        if at < self.life.len() {
            self.life = self.life.fork(at);
        }
        self.durable = at;
        self.cache_lies = false;
    }
}

/// Judges what a crash at this moment leaves, on a disk that is well but as full as it was.
pub fn look_at_crashes(
    disk: &SimDisk,
    chart: &Mutex<Chart>,
    tally: &Tally,
    place: u64,
    label: impl Fn() -> String,
) {
    let (life, power, kill) = {
        let chart = chart.lock().unwrap_or_else(PoisonError::into_inner);
        (chart.life_with_all(), chart.least(Crash::Power), chart.least(Crash::Kill))
    };
    let moment = disk.freeze();
    for (kind, least) in [(Crash::Power, power), (Crash::Kill, kill)] {
        let expected = Expected { life: &life, least, most: life.len() };
        tally.image(
            || format!("{}, {kind:?}, {least} to {}", label(), life.len()),
            || {
                let image = || moment.crash(mix_all(&[place, kind as u64]), kind);
                let disk = image();
                if !disk.paths().iter().any(|path| path == Path::new(PATH)) {
                    disk.set_capacity(ROOMY);
                    return judge(&disk, expected).map(drop);
                }
                let read = judge_read_only(&image(), expected)?;
                let (store, at) = judge(&disk, expected)?;
                if read != at {
                    return Err(format!("{read} operations to a reader, {at} to a writer"));
                }
                disk.set_capacity(ROOMY);
                if place.is_multiple_of(3) {
                    return goes_on(&disk, store, &life, at);
                }
                abandon(&disk, store);
                Ok(())
            },
        );
    }
}

//! What is wrong with a patient's disk at this moment: which calls will fail, how full it is, when it is well.

use std::sync::Arc;

use tophash::sim::{Call, CallKind, Fault, When};

use super::{Patient, lock};
use crate::beside::Assistant;
use crate::chart::look_at_crashes;
use crate::content::mix_all;
use crate::illness::ROOMY;

impl Patient {
    /// Ends the illness when its time has come; true when the aftermath is over.
    pub(super) fn grow_older(&mut self) -> bool {
        if self.ill_for.is_none() && self.is_full() {
            self.ill_for = Some(0);
        }
        let Some(steps) = self.ill_for.as_mut() else { return false };
        *steps += 1;
        let steps = *steps;
        if steps == self.illness.steps {
            self.heal();
        }
        self.illness.aftermath.is_some_and(|more| steps >= self.illness.steps + more)
    }

    pub(super) fn failures_and_poison(&self) -> (u64, bool) {
        (self.disk.counters().failures, self.poisoned())
    }

    /// Whether a sync of the file has failed since the store was opened.
    pub(super) fn poisoned(&self) -> bool {
        let mut chart = self.chart();
        chart.note_failures(self.disk.counters().failures);
        chart.poisoned
    }

    pub(super) fn is_full(&self) -> bool {
        self.illness.full.is_some_and(|(from, _)| self.calls() > from)
    }

    /// Ends what is wrong now; what is still to come comes.
    pub(super) fn heal(&mut self) {
        self.make_well();
        self.set_faults();
    }

    /// Nothing fails until the faults are set again.
    pub(super) fn make_well(&mut self) {
        self.disk.heal();
        if self.is_full() {
            self.illness.full = None;
        }
        self.disk.set_capacity(ROOMY);
    }

    /// Tells the disk which of its next calls fail.
    pub(super) fn set_faults(&self) {
        let (before, now) = (self.calls_before, self.calls());
        for fault in &self.illness.faults {
            let (When::Once(number) | When::From(number)) = fault.when;
            if number >= now {
                let number = number - before;
                let when =
                    if matches!(fault.when, When::Once(_)) { When::Once(number) } else { When::From(number) };
                self.disk.fail(Fault { when, ..*fault });
            }
        }
    }

    /// At each call: notes failed syncs, fills the disk, has the assistant work, and looks at what a crash leaves.
    pub(super) fn watch(&self, assistant: Option<Arc<Assistant>>) {
        let (chart, tally, before) = (Arc::clone(&self.chart), Arc::clone(&self.tally), self.calls_before);
        let (illness, every) = (self.illness.clone(), self.illness.crash_one_in);
        let full = illness.full;
        let began = self.disk.counters();
        self.disk.on_call(move |disk, call: &Call| {
            if let Some((_, room)) = full.filter(|&(from, _)| from == before + call.number) {
                disk.set_capacity(ROOMY - disk.free_bytes() + room);
            }
            assistant.iter().for_each(|assistant| assistant.work_at(call.kind));
            let failures = disk.counters().failures;
            lock(&chart).note_call(call, failures);
            let is_ill = failures > 0 || full.is_some_and(|(from, _)| before + call.number >= from);
            let place = mix_all(&[before, call.number, began.total()]);
            let every = if call.kind == CallKind::Store { every * 12 } else { every };
            if is_ill && every > 0 && place.is_multiple_of(every) {
                let label = || format!("{illness:?}, at {call:?}");
                look_at_crashes(disk, &chart, &tally, place, label);
            }
        });
    }
}

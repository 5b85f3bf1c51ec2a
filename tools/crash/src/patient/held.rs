//! Snapshots and backups on a disk that fails: an error, or what was there; never anything else.

use super::{Patient, Verdict};
use crate::content::Digest;
use crate::subject::Subject;

impl Patient {
    /// Holds a snapshot of what is there, where a checkpoint can be had.
    pub(super) fn snapshot(&mut self) -> Verdict {
        let mut checkpointed = false;
        self.checkpoint(|store| store.checkpoint().inspect(|()| checkpointed = true))?;
        if !checkpointed {
            return Ok(());
        }
        let (before, content, store) = (self.failures_and_poison(), self.content(), self.store()?.clone());
        match self.held.take(&store, content) {
            Ok(()) => Ok(()),
            Err(error) => self.expect(error, before),
        }
    }

    /// Where calls have failed, now or when an old page was to be saved, a snapshot may be unreadable. It shows nothing
    /// else than it did all the same.
    pub(super) fn look(&mut self) -> Verdict {
        let looked = self.held.look();
        let excused = self.disk.counters().failures > 0;
        looked.or_else(|complaint| match excused && !complaint.contains(" shows ") {
            true => Ok(()),
            false => Err(complaint),
        })
    }

    /// A copy, on a disk that is well for so long: a failed sync of the copy would pass for one of the store.
    pub(super) fn back_up(&mut self) -> Verdict {
        if self.poisoned() || self.is_full() {
            return Ok(());
        }
        self.disk.heal();
        let (disk, content, store): (_, _, Subject) =
            (self.disk.clone(), self.content(), self.store()?.clone());
        let before = self.failures_and_poison();
        let made = self.held.back_up(&disk, &store, content);
        self.set_faults();
        match made {
            Ok(judged) => judged?,
            // The disk may have become full in the midst of it.
            Err(error) => return self.expect(error, before).and_then(|()| self.show()),
        }
        let mut chart = self.chart();
        chart.durable = chart.life.len();
        Ok(())
    }

    fn content(&self) -> Digest {
        let chart = self.chart();
        chart.life.digest_after(chart.life.len())
    }
}

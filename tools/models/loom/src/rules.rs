//! Every ordering of the kernels, what becomes of it when it is weakened, and who notices.

use Outcome::{Covered, Noticed};

/// One weakening, or some together.
pub(crate) struct Rule {
    /// The rule it breaks.
    pub(crate) rule: &'static str,
    /// Its name; several are joined by ` + `. `without X` leaves out what the mutant X names, or the store in the line X.
    pub(crate) weakened: &'static str,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// At least this model fails.
    Noticed(&'static str),
    /// No model can tell, and why.
    Covered(&'static str),
}

impl Rule {
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.weakened.split(" + ")
    }
}

pub(crate) const RULES: &[Rule] = &[
    Rule { rule: "C3", weakened: "table: store of the geometry | Release", outcome: Noticed("switch") },
    Rule { rule: "C3", weakened: "table: load of the geometry | Acquire", outcome: Noticed("switch") },
    Rule {
        rule: "C3",
        weakened: "file/region/published.rs: let old = self.pointer.swap(Arc::into_raw(value).cast_mut(), Ordering::AcqRel); | Release",
        outcome: Noticed("switch-pinned"),
    },
    Rule {
        rule: "C3",
        weakened: "file/region/published.rs: let pointer = self.pointer.load(Ordering::Acquire); | Acquire",
        outcome: Noticed("switch-pinned"),
    },
    Rule {
        rule: "C3",
        weakened: "file/region/published.rs: let old = self.pointer.swap(Arc::into_raw(value).cast_mut(), Ordering::AcqRel); | Acquire",
        outcome: Covered("what is taken out was put in by the same writer, under its lock"),
    },
    Rule { rule: "C4", weakened: "table: store of a tophash | Release", outcome: Noticed("publish") },
    Rule { rule: "C4", weakened: "table: load of a tophash word | Acquire", outcome: Noticed("publish") },
    Rule { rule: "C4", weakened: "table: store of a cell | Release", outcome: Noticed("replace") },
    Rule { rule: "C4", weakened: "table: load of a cell | Acquire", outcome: Noticed("replace") },
    Rule { rule: "C4", weakened: "table: store of a removal | Release", outcome: Noticed("remove") },
    Rule { rule: "C4", weakened: "table: store of a mark | Release", outcome: Noticed("evacuate-chain") },
    Rule { rule: "C4", weakened: "table: store of a link | Release", outcome: Noticed("chunk") },
    Rule { rule: "C4", weakened: "table: load of a link | Acquire", outcome: Noticed("chunk") },
    Rule { rule: "C4", weakened: "table: store of a key | Release", outcome: Noticed("inline-twin") },
    Rule { rule: "C4", weakened: "table: load of a key | Acquire", outcome: Noticed("inline-twin") },
    Rule { rule: "C4", weakened: "table: store of an elem | Release", outcome: Noticed("inline-reuse") },
    Rule { rule: "C4", weakened: "table: load of an elem | Acquire", outcome: Noticed("inline-reuse") },
    Rule { rule: "C4", weakened: "table: store of a mark | Release", outcome: Noticed("inline-evacuate") },
    Rule { rule: "C7", weakened: "table: store of a mark | Release", outcome: Noticed("evacuate-walk") },
    Rule { rule: "C6", weakened: "table: store of a mark | Release", outcome: Noticed("shrink") },
    Rule { rule: "C6", weakened: "table: store of a mark | Release", outcome: Noticed("shrink-walk") },
    Rule { rule: "C5", weakened: "table: store of the geometry | Release", outcome: Noticed("clear") },
    Rule {
        rule: "C8",
        weakened: "table/sequence.rs: let before = self.0.load(Ordering::Acquire); | Acquire",
        outcome: Noticed("inline-replace-wide"),
    },
    Rule {
        rule: "C8",
        weakened: "table/sequence.rs: self.0.store(before.wrapping_add(2), Ordering::Release); | Release",
        outcome: Noticed("inline-replace-wide"),
    },
    Rule {
        rule: "C8",
        weakened: "without table/sequence.rs: self.0.store(before.wrapping_add(1), Ordering::Relaxed);",
        outcome: Noticed("inline-reuse"),
    },
    Rule {
        rule: "C8",
        weakened: "without table/sequence.rs: self.0.store(before.wrapping_add(1), Ordering::Relaxed);",
        outcome: Noticed("inline-reuse-walk"),
    },
    Rule {
        rule: "C8",
        weakened: "without table/sequence.rs: self.0.store(before.wrapping_add(2), Ordering::Release);",
        outcome: Noticed("inline-publish"),
    },
    Rule {
        rule: "C1",
        weakened: "records: store of the watermark | Release",
        outcome: Covered("a record is reached through a cell alone, which is published behind it"),
    },
    Rule { rule: "C1", weakened: "records: load of the watermark | Acquire", outcome: Covered("the same") },
    Rule {
        rule: "C1",
        weakened: "records: load of the watermark | Acquire + table: load of a cell | Acquire",
        outcome: Noticed("replace"),
    },
    Rule {
        rule: "C14",
        weakened: "file/barrier.rs: fence(Ordering::SeqCst); | SeqCst",
        outcome: Noticed("reclaim"),
    },
    Rule {
        rule: "C14",
        weakened: "file/barrier.rs: fence(Ordering::SeqCst); (2) | SeqCst",
        outcome: Noticed("reclaim"),
    },
    Rule {
        rule: "C14",
        weakened: "membarrier: fence of an interrupted thread | SeqCst",
        outcome: Noticed("one-sided"),
    },
    Rule {
        rule: "C14",
        weakened: "file/barrier.rs: self.one_sided.store(true, Ordering::Release); | Release",
        outcome: Noticed("spare"),
    },
    Rule {
        rule: "C14",
        weakened: "file/barrier.rs: if self.one_sided.load(Ordering::Acquire) { | Acquire",
        outcome: Noticed("spare"),
    },
    Rule {
        rule: "C14",
        weakened: "file/epoch.rs: self.slot.epoch.store(IDLE, Ordering::Release); | Release",
        outcome: Noticed("reclaim"),
    },
    Rule {
        rule: "C14",
        weakened: "file/epoch.rs: .map(|slot| slot.epoch.load(Ordering::Acquire)) | Acquire",
        outcome: Noticed("reclaim"),
    },
    Rule {
        rule: "C14",
        weakened: "file/epoch.rs: slot.epoch.store(self.epoch.load(Ordering::Acquire), Ordering::Release); | Release",
        outcome: Noticed("reclaim"),
    },
    Rule {
        rule: "C14",
        weakened: "file/epoch.rs: slot.epoch.store(self.epoch.load(Ordering::Acquire), Ordering::Release); | Acquire",
        outcome: Noticed("one-sided"),
    },
    Rule {
        rule: "C14",
        weakened: "file/epoch.rs: let epoch = self.epoch.fetch_add(1, Ordering::AcqRel); | Release",
        outcome: Noticed("switch-pinned"),
    },
    Rule {
        rule: "C14",
        weakened: "file/epoch.rs: let epoch = self.epoch.fetch_add(1, Ordering::AcqRel); | Acquire",
        outcome: Covered("the retirer reads nothing of others behind it"),
    },
    Rule {
        rule: "C14",
        weakened: "file/epoch.rs: slot.taken.store(false, Ordering::Release); | Release",
        outcome: Noticed("slots"),
    },
    Rule {
        rule: "C14",
        weakened: "file/epoch.rs: while self.slot(index).taken.swap(true, Ordering::AcqRel) { | Acquire",
        outcome: Noticed("slots"),
    },
    Rule {
        rule: "C14",
        weakened: "file/epoch.rs: while self.slot(index).taken.swap(true, Ordering::AcqRel) { | Release",
        outcome: Covered("who finds a slot taken reads nothing of it"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: state.store(PageState::COPIED, Ordering::Release); | Release",
        outcome: Noticed("freeze"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: let now = state.load(Ordering::Acquire); | Acquire + file/pages.rs: _ if state.compare_exchange(now, next, Ordering::AcqRel, Ordering::Acquire).is_ok() => { | Acquire",
        outcome: Noticed("freeze"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: let now = state.load(Ordering::Acquire); | Acquire",
        outcome: Covered("the compare-exchange behind it acquires too"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: _ if state.compare_exchange(now, next, Ordering::AcqRel, Ordering::Acquire).is_ok() => { | Acquire",
        outcome: Covered("the load before it acquires too"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: _ if state.compare_exchange(now, next, Ordering::AcqRel, Ordering::Acquire).is_ok() => { | Failure",
        outcome: Covered("what it finds is loaded again"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: _ if state.compare_exchange(now, next, Ordering::AcqRel, Ordering::Acquire).is_ok() => { | Release",
        outcome: Covered("COPYING tells others to wait, nothing more"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: state.store(PageState::DIRTY, Ordering::Release); | Release",
        outcome: Covered("the lock around the saved pages orders them"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: state.compare_exchange(PageState::FROZEN, PageState::COPYING, Ordering::AcqRel, Ordering::Acquire)?; | Acquire",
        outcome: Covered("the page was frozen by this thread, under the writer lock"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: state.compare_exchange(PageState::FROZEN, PageState::COPYING, Ordering::AcqRel, Ordering::Acquire)?; | Failure",
        outcome: Covered("the lock around the saved pages orders them"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: state.compare_exchange(PageState::FROZEN, PageState::COPYING, Ordering::AcqRel, Ordering::Acquire)?; | Release",
        outcome: Covered("COPYING tells others to wait, nothing more"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: state.store(PageState::FROZEN, Ordering::Release); | Release",
        outcome: Covered("under the writer lock"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: let untouched = state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok(); | Release",
        outcome: Covered("it goes on with the release sequence of COPIED"),
    },
    Rule {
        rule: "D10",
        weakened: "file/pages.rs: let untouched = state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok(); | Acquire",
        outcome: Covered("the checkpoint reads nothing of the page behind it"),
    },
    Rule { rule: "D10", weakened: "without SavedContent", outcome: Noticed("freeze") },
    Rule { rule: "D10", weakened: "without RedirtiedPagesStayDirty", outcome: Noticed("freeze") },
    Rule {
        rule: "C10",
        weakened: "file/pages.rs: let state = self.shared.states[page].load(Ordering::Acquire); | Acquire",
        outcome: Covered("under the writer lock"),
    },
    Rule {
        rule: "C10",
        weakened: "file/pages.rs: self.shared.verified[page / 64].fetch_and(!bit, Ordering::AcqRel); | Acquire",
        outcome: Covered("the system call behind it interrupts every processor"),
    },
    Rule {
        rule: "C10",
        weakened: "file/pages.rs: self.shared.verified[page / 64].fetch_and(!bit, Ordering::AcqRel); | Release",
        outcome: Covered("the same"),
    },
    Rule { rule: "C10", weakened: "without OnlyCleanCopiesDropped", outcome: Noticed("drop-copies") },
    Rule {
        rule: "C11",
        weakened: "file/pages.rs: fence(Ordering::Acquire); | Acquire",
        outcome: Noticed("first-touch"),
    },
    Rule {
        rule: "C11",
        weakened: "file/pages.rs: fence(Ordering::Acquire); (2) | Acquire",
        outcome: Noticed("absent"),
    },
    Rule {
        rule: "C11",
        weakened: "file/pages.rs: let word = self.shared.verified[page / 64].load(Ordering::Acquire); | Acquire",
        outcome: Noticed("absent"),
    },
    Rule {
        rule: "C11",
        weakened: "file/pages.rs: self.shared.verified[page / 64].fetch_or(1 << (page % 64), Ordering::Release); | Release",
        outcome: Noticed("absent"),
    },
    Rule {
        rule: "D5",
        weakened: "file/sync.rs: self.syncer.poisoned.store(kept(Mutant::PoisonAfterFailedSync), Ordering::Release); | Release",
        outcome: Covered("it is checked again in the turn, which is a lock"),
    },
    Rule {
        rule: "D5",
        weakened: "file/sync.rs: if self.poisoned.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) } | Acquire",
        outcome: Covered("the same"),
    },
    Rule {
        rule: "D5",
        weakened: "commit: store of what is synced | Release",
        outcome: Covered("what is synced is on the disk; whoever knows reads nothing behind it"),
    },
    Rule { rule: "D5", weakened: "commit: load of what is synced | Acquire", outcome: Covered("the same") },
    Rule { rule: "D5", weakened: "commit: append | Release", outcome: Covered("the writer lock orders it") },
    Rule {
        rule: "D5",
        weakened: "commit: load of what was appended | Acquire",
        outcome: Covered("a number alone: whoever syncs takes the lock"),
    },
    Rule { rule: "D5", weakened: "without SyncsTakeTurns", outcome: Noticed("commit-fails") },
    Rule { rule: "D5", weakened: "without PoisonAfterFailedSync", outcome: Noticed("commit-fails") },
    Rule { rule: "D5", weakened: "without CoveredIsTakenBefore", outcome: Noticed("commit") },
];

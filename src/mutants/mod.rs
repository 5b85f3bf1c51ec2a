//! Steps that keep data safe, each to be left out by name: the proof that the crash kit can see.
//!
//! A *mutant* is the store with one sync, one check or one piece of bookkeeping left out, and is named after what it
//! lacks. One that a crash test can't tell from the store itself means a hole in the test or a needless step. Without
//! the feature `mutants` `kept` is always true and nothing of this is in the machine code.
//!
//! ```
//! # #[cfg(feature = "mutants")] {
//! use tophash::mutants::{Mutant, switch_on};
//!
//! let mutant = Mutant::from_name("journal-sync").unwrap();
//! switch_on(Some(mutant)); // from here on every store of this process is broken
//! println!("{} {:?}: {}", mutant.name(), mutant.rules(), mutant.what());
//! switch_on(None);
//! # }
//! ```
//!
//! They are for the simulated disk: on a real file some end in a SIGBUS. Rules that keep memory from being taken away
//! under a reader have no mutant; the tests of `table` and of the epochs and `tools/models` look at those. Not here either:
//!
//! * D2, a fresh segment taken at open already: costs space, loses nothing.
//! * D6, the log's sync before the journal is written: the sync before the header covers both, and the earlier one is
//!   there so that a log does not wait for a large journal to become durable.
//! * D7, a checkpoint that counts from a later moment than its freeze; D10, a copy dropped before its in-place sync:
//!   the order is the shape of the code.
//! * D15, a removal of an absent key that moves buckets (no plan is made for one), and `noverflow` from another
//!   random source (a sample only from 2^16 buckets on).
//! * D17, a read-only open that writes: its handle can't.
//! * C14, what readers still see is dropped: undefined behaviour, not a lost entry.
//! * C15: a forked child is no crash.

mod table;

/// Whether a step is done. Always true without the feature.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub(crate) const fn kept(_: Mutant) -> bool {
    true
}

#[cfg(feature = "mutants")]
pub(crate) use switch::kept;
#[cfg(feature = "mutants")]
pub use switch::{ALL, EXEMPT, switch_on};
pub use table::Mutant;

#[cfg(feature = "mutants")]
mod switch {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU16, Ordering};

    use super::table::Mutant;

    pub use super::table::ALL;

    /// Rules of durability without a mutant, and why.
    pub const EXEMPT: &[(&str, &str)] =
        &[("D20", "nothing could wipe an array in place; that a clear is logged is a mutant")];

    /// One more than the mutant that is on; 0 for none. Relaxed: it is set while no store is open.
    static ON: AtomicU16 = AtomicU16::new(0);

    static NAMES: LazyLock<Vec<String>> =
        LazyLock::new(|| ALL.iter().map(|mutant| kebab_case(&format!("{mutant:?}"))).collect());

    /// Leaves one step out from now on, in every store of this process; none for `None`. For a process that keeps
    /// no data, while no store is open.
    pub fn switch_on(mutant: Option<Mutant>) {
        ON.store(mutant.map_or(0, |mutant| mutant as u16 + 1), Ordering::Relaxed);
    }

    pub(crate) fn kept(step: Mutant) -> bool {
        ON.load(Ordering::Relaxed) != step as u16 + 1
    }

    impl Mutant {
        /// The mutant of this name.
        pub fn from_name(name: &str) -> Option<Mutant> {
            ALL.iter().copied().find(|mutant| mutant.name() == name)
        }

        /// What is left out, in kebab-case.
        pub fn name(self) -> &'static str {
            &NAMES[self as usize]
        }
    }

    fn kebab_case(name: &str) -> String {
        let mut kebab = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() && !kebab.is_empty() {
                kebab.push('-');
            }
            kebab.push(letter.to_ascii_lowercase());
        }
        kebab
    }
}

#[cfg(all(test, feature = "mutants"))]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        let names: HashSet<_> = ALL.iter().map(|mutant| mutant.name()).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|&mutant| Mutant::from_name(mutant.name()) == Some(mutant)));
        assert_eq!(Mutant::JournalSync.name(), "journal-sync");
        assert_eq!(Mutant::from_name("no-such-step"), None);
    }

    #[test]
    fn every_rule_of_durability_has_a_mutant_or_a_reason() {
        let covered = |rule: &str| ALL.iter().any(|mutant| mutant.rules().contains(&rule));
        for rule in (1..=22).map(|number| format!("D{number}")) {
            let exempt = EXEMPT.iter().any(|(exempt, reason)| *exempt == rule && !reason.is_empty());
            assert!(covered(&rule) != exempt, "{rule}");
        }
    }
}

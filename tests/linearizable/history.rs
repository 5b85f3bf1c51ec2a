//! Whether the operations on one key, by several threads, can be put in one order that each of them fits in
//! (Herlihy and Wing 1990, searched as by Wing and Gong 1993).
//!
//! Every operation has the time at which it began and at which it had ended. A valid order keeps operations that did
//! not overlap as they were, and each returns what a map would have returned there. Values are unique.

use std::collections::HashSet;

/// What was done to the key and what came of it; `None` stands for an absent key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The key was looked up.
    Get(Option<u64>),
    /// The value became this one; the one before was returned.
    Put(u64, Option<u64>),
    /// The key was removed; the value before was returned.
    Remove(Option<u64>),
    /// The whole table was cleared.
    Clear,
}

/// One operation of one thread.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub begin: u64,
    pub end: u64,
    pub action: Action,
}

/// The operations on one key, by thread, in the thread's order.
pub type History = Vec<Vec<Operation>>;

/// Whether there is a valid order, beginning with the value `initial`. Each thread does one thing at a time, so what
/// has been ordered is a prefix of each thread's operations; the search visits each combination of prefixes and value
/// once.
pub fn is_linearizable(history: &History, initial: Option<u64>) -> bool {
    let mut to_visit = vec![(vec![0; history.len()], initial)];
    let mut visited = HashSet::new();
    while let Some((done, value)) = to_visit.pop() {
        let next = |thread: usize| history[thread].get(done[thread]);
        let Some(first_end) = (0..history.len()).filter_map(next).map(|operation| operation.end).min() else {
            return true;
        };
        for thread in 0..history.len() {
            // Whoever begins when another that is still to come had ended can't be before that.
            let Some(operation) = next(thread).filter(|operation| operation.begin <= first_end) else {
                continue;
            };
            if let Some(after) = operation.action.applied_to(value) {
                let mut done = done.clone();
                done[thread] += 1;
                if visited.insert((done.clone(), after)) {
                    to_visit.push((done, after));
                }
            }
        }
    }
    false
}

impl Action {
    /// The value afterwards; `None` where a map with this value would have returned something else.
    fn applied_to(self, value: Option<u64>) -> Option<Option<u64>> {
        let (returned, after) = match self {
            Action::Get(found) => (found, value),
            Action::Put(new, before) => (before, Some(new)),
            Action::Remove(before) => (before, None),
            Action::Clear => return Some(None),
        };
        (returned == value).then_some(after)
    }
}

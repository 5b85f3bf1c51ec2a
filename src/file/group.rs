//! Group commit: threads that wait for a sync share one.
//!
//! One thread at a time *leads*: it syncs for all who appended before. Who comes while it syncs is covered by the next
//! sync only. Were that one to begin at once, two threads would sync in turns, each for itself: those who were just
//! covered are mostly back in a moment with their next write, and come too late for it. So a sync waits until as many
//! have come as took part in the last one, and whoever comes last leads. One of those who are early keeps the time,
//! and leads when it is up. A thread that is alone waits for nobody.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a sync waits for those who are missing, if half of the last sync was not shorter. Waking a thread that
/// sleeps takes 15 to 30 us, a sync 90 us and more.
const PATIENCE: Duration = Duration::from_micros(100);

/// The threads that wait for a sync.
pub(crate) struct Group {
    state: Mutex<State>,
    /// Notified when a leader has finished.
    finished: Condvar,
}

struct State {
    leading: bool,
    /// Somebody keeps the time until the next sync.
    keeping_time: bool,
    /// Raised whenever a thread begins to lead.
    round: u64,
    /// Threads that have come since.
    arrived: u64,
    /// Threads that took part when the last round ended: those that it was led for, and those that came meanwhile.
    expected: u64,
    /// When to go on without those who are missing.
    deadline: Instant,
}

/// The duty to sync for all who wait; ends when it is dropped.
pub(crate) struct Lead<'g> {
    group: &'g Group,
    /// Threads that had come when it began, its own among them.
    members: u64,
    since: Instant,
}

impl Group {
    pub(crate) fn new() -> Self {
        let state = State {
            leading: false,
            keeping_time: false,
            round: 0,
            arrived: 0,
            expected: 0,
            deadline: Instant::now(),
        };
        Group { state: Mutex::new(state), finished: Condvar::new() }
    }

    /// Waits until nothing is left to do for this thread, as `done` tells, or until it is to lead.
    pub(crate) fn join(&self, done: impl Fn() -> bool) -> Option<Lead<'_>> {
        let mut state = self.lock();
        // Again only after a leader that gave up before its sync.
        while !done() {
            state.arrived += 1;
            let joined = state.round;
            while state.round == joined || state.leading {
                if !state.leading && state.is_complete() {
                    return Some(self.lead(&mut state));
                }
                if !state.leading && !state.keeping_time {
                    state = self.keep_time(state);
                    continue;
                }
                state = self.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
                if done() {
                    // The round that was under way when it came has covered it: it waits for the next one no more.
                    state.arrived -= u64::from(state.round == joined);
                    return None;
                }
            }
        }
        None
    }

    fn lead(&self, state: &mut State) -> Lead<'_> {
        state.leading = true;
        state.keeping_time = false;
        state.round += 1;
        Lead { group: self, members: std::mem::take(&mut state.arrived), since: Instant::now() }
    }

    /// Until somebody leads, or may. Yields instead of sleeping: to be woken takes longer than to wait, and a timer that
    /// ends during the sync would wake this thread for nothing.
    fn keep_time<'g>(&'g self, mut state: MutexGuard<'g, State>) -> MutexGuard<'g, State> {
        state.keeping_time = true;
        let round = state.round;
        while state.round == round && !state.is_complete() {
            drop(state);
            std::thread::yield_now();
            state = self.lock();
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether all have come, or the time is up.
    fn is_complete(&self) -> bool {
        self.arrived >= self.expected || Instant::now() >= self.deadline
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.group.lock();
        state.leading = false;
        state.expected = self.members + state.arrived;
        state.deadline = now + PATIENCE.min((now - self.since) / 2);
        drop(state);
        self.group.finished.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::thread;

    use super::*;

    const NEVER: Duration = Duration::from_secs(1_000_000);

    fn wait_for_arrivals(group: &Group, arrivals: u64) {
        while group.lock().arrived < arrivals {
            thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_is_alone_waits_for_nobody() {
        let group = Group::new();
        for _ in 0..3 {
            let lead = group.join(|| false).unwrap();
            assert_eq!(lead.members, 1);
            drop(lead);
            group.lock().deadline = Instant::now() + NEVER;
        }
    }

    #[test]
    fn nobody_joins_when_there_is_nothing_to_do() {
        let group = Group::new();
        assert!(group.join(|| true).is_none());
        assert_eq!(group.lock().arrived, 0);
    }

    #[test]
    fn those_who_come_during_a_sync_share_the_next() {
        let (group, synced) = (Group::new(), AtomicBool::new(false));
        let first = group.join(|| false).unwrap();
        let leaders: u64 = thread::scope(|scope| {
            let join = || match group.join(|| synced.load(Ordering::Acquire)) {
                Some(lead) => {
                    assert_eq!(lead.members, 3);
                    synced.store(true, Ordering::Release);
                    1
                }
                None => 0,
            };
            let threads = [(); 3].map(|()| scope.spawn(join));
            wait_for_arrivals(&group, 3);
            drop(first);
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(leaders, 1);
    }

    /// Of two threads that took part in a round, the first to be back waits for the other; and where the one that leads
    /// gives up, the other leads for itself.
    #[test]
    fn a_sync_waits_for_those_who_took_part_in_the_last_one() {
        let group = Arc::new(Group::new());
        (group.lock().expected, group.lock().deadline) = (2, Instant::now() + NEVER);
        let (leads, members) = mpsc::channel();
        let join = |leads: mpsc::Sender<u64>| {
            let group = Arc::clone(&group);
            thread::spawn(move || {
                let lead = group.join(|| false).unwrap();
                leads.send(lead.members).unwrap();
            })
        };
        let first = join(leads.clone());
        wait_for_arrivals(&group, 1);
        let second = join(leads);
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(members.iter().collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn who_was_covered_by_the_round_under_way_is_no_part_of_the_next() {
        let (group, synced) = (Group::new(), AtomicBool::new(false));
        let first = group.join(|| false).unwrap();
        thread::scope(|scope| {
            let late = scope.spawn(|| group.join(|| synced.load(Ordering::Acquire)).is_none());
            wait_for_arrivals(&group, 1);
            synced.store(true, Ordering::Release);
            drop(first);
            assert!(late.join().unwrap());
        });
        assert_eq!(group.lock().arrived, 0);
    }
}

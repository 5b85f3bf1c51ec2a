//! The background thread of an open file.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::file::fork::Process;
use crate::store::core::Core;

/// How long the thread sleeps when nothing is due and nobody wakes it.
const IDLE: Duration = Duration::from_millis(200);

/// A thread that syncs, checkpoints and prepares log segments. Dropping it stops it.
pub(super) struct Background {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
    process: Process,
}

#[derive(Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum State {
    #[default]
    Waiting,
    Awake,
    Stop,
}

impl Background {
    pub(super) fn start(core: &Arc<Core>) -> Result<Self> {
        let signal = Arc::new(Signal::default());
        let (core, its_signal, process) = (Arc::clone(core), Arc::clone(&signal), core.process);
        let thread = std::thread::Builder::new()
            .name("tophash".into())
            .spawn(move || run(&core, &its_signal))
            .map_err(Error::io("starting the background thread"))?;
        Ok(Background { signal, thread: Some(thread), process })
    }

    /// Has the thread look for work now.
    pub(super) fn wake(&self) {
        let mut state = self.signal.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Waiting {
            *state = State::Awake;
            self.signal.changed.notify_one();
        }
    }
}

fn run(core: &Core, signal: &Signal) {
    core.domain.spare_readers_the_fence();
    loop {
        let wait = core.do_upkeep().unwrap_or(IDLE).min(IDLE);
        let state = signal.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = signal.changed.wait_timeout_while(state, wait, |state| *state == State::Waiting);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *state == State::Stop {
            return;
        }
        *state = State::Waiting;
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // In a forked child the thread does not exist: joining it would wait for ever, and so would a lock that it
        // held at the fork.
        if self.process.check().is_err() {
            return;
        }
        *self.signal.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Stop;
        self.signal.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

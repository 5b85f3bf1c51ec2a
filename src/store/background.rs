//! The background threads of an open file: one keeps it durable, with syncs and checkpoints; the other prepares log space
//! ahead of the writer and takes back what no reader sees any more, which must not wait for a sync.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::file::fork::Process;
use crate::store::core::Core;

/// How long a thread sleeps when nothing is due and nobody wakes it.
const IDLE: Duration = Duration::from_millis(200);

/// The threads of one file. Dropping it stops them.
pub(super) struct Background {
    durability: Worker,
    preparation: Worker,
}

impl Background {
    pub(super) fn start(core: &Arc<Core>) -> Result<Self> {
        let durability = Worker::start(core, "tophash-sync", Core::keep_durable)?;
        let preparation = Worker::start(core, "tophash-log", Core::prepare_ahead)?;
        Ok(Background { durability, preparation })
    }

    /// Has the threads look for work that a write has made, where the write says that it may have.
    #[inline]
    pub(super) fn wake(&self, core: &Core) {
        if core.has_looked() {
            self.wake_who_is_wanted(core);
        }
    }

    #[cold]
    fn wake_who_is_wanted(&self, core: &Core) {
        if core.preparation_is_due() {
            self.preparation.wake();
        }
        if core.checkpoint_is_due() {
            self.durability.wake();
        }
    }
}

/// One thread.
struct Worker {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
    process: Process,
}

#[derive(Default)]
struct Signal {
    /// Somebody woke the thread, and it has not begun to look since: one load for all who come after. Relaxed, and
    /// checked again under the lock; who is overlooked is seen at the next write.
    woken: AtomicBool,
    stop: Mutex<bool>,
    changed: Condvar,
}

impl Worker {
    /// Starts a thread that does `work`, again and again; it returns how long it can wait for the next time.
    fn start(core: &Arc<Core>, name: &str, work: fn(&Core) -> Option<Duration>) -> Result<Self> {
        let signal = Arc::new(Signal::default());
        let (core, its_signal, process) = (Arc::clone(core), Arc::clone(&signal), core.process);
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || run(&core, work, &its_signal))
            .map_err(Error::io("starting a background thread"))?;
        Ok(Worker { signal, thread: Some(thread), process })
    }

    #[inline]
    fn wake(&self) {
        if !self.signal.woken.load(Ordering::Relaxed) {
            self.notify();
        }
    }

    #[cold]
    fn notify(&self) {
        let _stop = self.signal.stop.lock().unwrap_or_else(PoisonError::into_inner);
        self.signal.woken.store(true, Ordering::Relaxed);
        self.signal.changed.notify_one();
    }
}

fn run(core: &Core, work: fn(&Core) -> Option<Duration>, signal: &Signal) {
    // Takes milliseconds, which an opening must not; the second of the threads finds it done.
    core.domain.spare_readers_the_fence();
    loop {
        let wait = work(core).unwrap_or(IDLE).min(IDLE);
        let stop = signal.stop.lock().unwrap_or_else(PoisonError::into_inner);
        let asleep = |stop: &mut bool| !*stop && !signal.woken.load(Ordering::Relaxed);
        let waited = signal.changed.wait_timeout_while(stop, wait, asleep);
        let (stop, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *stop {
            return;
        }
        signal.woken.store(false, Ordering::Relaxed);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // In a forked child the thread does not exist: joining it would wait for ever, and so would a lock that it
        // held at the fork.
        if self.process.check().is_err() {
            return;
        }
        *self.signal.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.signal.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

//! A second thread that writes while the first one syncs or checkpoints, in an order that a seed decides.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use tophash::sim::CallKind;

use crate::life::Op;
use crate::subject::Subject;

/// A write that waits so long waits for the sync or the checkpoint beside which it runs; it is to wait for neither.
const PATIENCE: Duration = Duration::from_secs(20);

/// A thread that does the next of some operations whenever it is asked to.
pub struct Assistant {
    ask: Sender<()>,
    done: Mutex<Receiver<()>>,
    left: Arc<Mutex<VecDeque<Op>>>,
    thread: JoinHandle<()>,
    /// The thread that asks.
    master: ThreadId,
}

impl Assistant {
    /// Starts a thread that runs each operation with `run`. It ends with the assistant.
    pub fn start(store: &Subject, ops: &[Op], mut run: impl FnMut(&Subject, Op) + Send + 'static) -> Self {
        let (ask, asked) = channel();
        let (say, done) = channel();
        let left: Arc<Mutex<VecDeque<Op>>> = Arc::new(Mutex::new(ops.iter().cloned().collect()));
        let (store, its_ops) = (store.clone(), Arc::clone(&left));
        let thread = thread::spawn(move || {
            while asked.recv().is_ok() {
                let op = lock(&its_ops).pop_front();
                if let Some(op) = op {
                    run(&store, op);
                }
                if say.send(()).is_err() {
                    break;
                }
            }
        });
        Assistant { ask, done: Mutex::new(done), left, thread, master: thread::current().id() }
    }

    /// At a call of the thread that asks: has one operation done. Only at calls that hold no lock that a write needs.
    pub fn work_at(&self, kind: CallKind) {
        use CallKind::{Allocate, Sync, Write};
        if thread::current().id() != self.master || ![Allocate, Sync, Write].contains(&kind) {
            return;
        }
        let done = || lock(&self.done).recv_timeout(PATIENCE);
        assert!(
            self.ask.send(()).is_ok() && done().is_ok(),
            "a write failed, or waits for what is beside it"
        );
    }

    /// Ends the thread, and returns what it has not done.
    pub fn end(self) -> VecDeque<Op> {
        drop(self.ask);
        self.thread.join().expect("a write beside a sync or a checkpoint");
        std::mem::take(&mut lock(&self.left))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! `membarrier(2)`: the kernel runs a fence in every thread of the process, wherever that thread is just then.
//!
//! A thread of a model can't be interrupted by another one. So a thread that runs under [`interruptible`] looks before
//! each access whether it was interrupted, and fences; whoever interrupts waits until all have. That is what the manual
//! promises, and no more: each thread has passed through *one* moment, between entry to and return from the call, at
//! which its accesses match program order.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool as Plain, Ordering};
use std::sync::{Arc, Mutex};

use loom::sync::atomic::{AtomicBool, fence};
use loom::thread::{self, Thread};

use crate::weaken;

/// The threads of this execution that can be interrupted.
static THREADS: Mutex<Vec<Arc<Interruptible>>> = Mutex::new(Vec::new());

/// Who waits for them.
static WAITING: Mutex<Option<Thread>> = Mutex::new(None);

loom::thread_local! {
    static THIS: RefCell<Option<Arc<Interruptible>>> = RefCell::new(None);
}

/// A thread that can be interrupted.
pub(crate) struct Interruptible {
    /// Its own, so that looking there is nobody else's business; swapped, so that it is never seen late.
    interrupted: AtomicBool,
    /// It was interrupted and has not fenced yet.
    outstanding: Plain,
    ended: Plain,
}

impl Interruptible {
    fn fence(&self) {
        fence(weaken::at_fence("membarrier: fence of an interrupted thread", Ordering::SeqCst));
        self.outstanding.store(false, Ordering::Relaxed);
        if let Some(thread) = &*WAITING.lock().unwrap() {
            thread.unpark();
        }
    }
}

/// The kernel of a new execution, which knows the call, and its threads.
pub(crate) fn boot<const N: usize>() -> [Arc<Interruptible>; N] {
    let (interrupted, no) = (|| AtomicBool::new(false), || Plain::new(false));
    let thread = || Interruptible { interrupted: interrupted(), outstanding: no(), ended: no() };
    let threads = [(); N].map(|()| Arc::new(thread()));
    *THREADS.lock().unwrap() = threads.to_vec();
    threads
}

/// Runs the program of a thread.
pub(crate) fn interruptible(thread: Arc<Interruptible>, program: impl FnOnce()) {
    THIS.with(|this| *this.borrow_mut() = Some(Arc::clone(&thread)));
    program();
    THIS.with(|this| *this.borrow_mut() = None);
    // A thread that does not run is in order (so the manual).
    thread.ended.store(true, Ordering::Relaxed);
    thread.fence();
}

/// Where a thread may be interrupted: before each of its accesses.
pub(crate) fn interrupt() {
    // Nobody is there any more while a thread takes its own variables apart.
    let this = THIS.try_with(|this| this.borrow().clone()).ok().flatten();
    if let Some(this) = this.filter(|this| this.interrupted.swap(false, Ordering::Relaxed)) {
        this.fence();
    }
}

/// Where the models have a kernel that knows the call.
pub(crate) fn register() -> bool {
    !THREADS.lock().unwrap().is_empty()
}

/// `MEMBARRIER_CMD_PRIVATE_EXPEDITED`.
pub(crate) fn fence_everywhere() -> bool {
    let threads = THREADS.lock().unwrap().clone();
    fence(Ordering::SeqCst);
    for thread in threads.iter().filter(|thread| !thread.ended.load(Ordering::Relaxed)) {
        thread.outstanding.store(true, Ordering::Relaxed);
        thread.interrupted.swap(true, Ordering::Relaxed);
    }
    while threads.iter().any(|thread| thread.outstanding.load(Ordering::Relaxed)) {
        *WAITING.lock().unwrap() = Some(thread::current());
        thread::park();
        *WAITING.lock().unwrap() = None;
    }
    fence(Ordering::SeqCst);
    true
}

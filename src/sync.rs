//! What the kernels shared by readers and writers take from `std` and the system, in one place: `tools/models` compiles the same files
//! over a model checker's types instead.

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};
pub(crate) use std::thread::yield_now;
pub(crate) use std::thread_local;

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering, fence,
    };
}

/// A fence in every thread of this process, run by the kernel.
#[cfg(not(miri))]
pub(crate) mod membarrier {
    use rustix::thread::{MembarrierCommand, membarrier};

    pub(crate) fn register() -> bool {
        membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
    }

    pub(crate) fn fence_everywhere() -> bool {
        membarrier(MembarrierCommand::PrivateExpedited).is_ok()
    }
}

#[cfg(miri)]
pub(crate) mod membarrier {
    pub(crate) fn register() -> bool {
        false
    }

    pub(crate) fn fence_everywhere() -> bool {
        false
    }
}

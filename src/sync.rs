//! What the kernels shared by readers and writers take from `std`, in one place: `tools/models` compiles the same files
//! over a model checker's types instead.

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};
pub(crate) use std::thread_local;

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering, fence,
    };
}

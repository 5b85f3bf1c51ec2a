//! What the library's kernels take from `std`, over loom: each access is a point where another thread may come in
//! between, and each ordering can be weakened by the place that names it.

use std::sync::atomic::Ordering;

pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::{Mutex, MutexGuard};
pub(crate) use loom::thread::yield_now;

pub(crate) use crate::kernel as membarrier;

/// A cell that is set once: what is in it is `std`'s to keep, who sees it loom's to say.
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    is_set: loom::sync::atomic::AtomicBool,
    setting: Mutex<()>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        let is_set = loom::sync::atomic::AtomicBool::new(false);
        OnceLock { value: std::sync::OnceLock::new(), is_set, setting: Mutex::new(()) }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
    }

    pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let _alone = self.setting.lock().unwrap();
        let value = self.value.get_or_init(init);
        self.is_set.store(true, Ordering::Release);
        value
    }
}

/// One value a model thread; `std`'s would be one for all of them.
pub(crate) struct LocalKey<T: 'static>(pub(crate) &'static loom::thread::LocalKey<T>);

impl<T> LocalKey<T> {
    pub(crate) fn try_with<R>(
        &'static self,
        f: impl FnOnce(&T) -> R,
    ) -> Result<R, loom::thread::AccessError> {
        self.0.try_with(f)
    }
}

impl<T: Copy + Default> LocalKey<std::cell::Cell<T>> {
    pub(crate) fn get(&'static self) -> T {
        self.try_with(std::cell::Cell::get).unwrap_or_default()
    }

    /// Without effect in a thread that is ending, where nobody asks any more.
    pub(crate) fn set(&'static self, value: T) {
        let _ = self.try_with(|cell| cell.set(value));
    }
}

macro_rules! model_thread_local {
    ($($(#[$doc:meta])* static $name:ident: $type:ty = const { $init:expr };)*) => {$(
        $(#[$doc])*
        static $name: $crate::sync::LocalKey<$type> = {
            loom::thread_local! { static KEY: $type = $init; }
            $crate::sync::LocalKey(&KEY)
        };
    )*};
}
pub(crate) use model_thread_local as thread_local;

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::Ordering;

    use crate::kernel::interrupt;
    use crate::weaken::{Half, is_left_out, weakened};

    #[track_caller]
    pub(crate) fn fence(order: Ordering) {
        loom::sync::atomic::fence(weakened(order, &Half::FENCE));
    }

    macro_rules! atomic {
        ($name:ident $([$generic:ident])?, $value:ty) => {
            pub(crate) struct $name$(<$generic>)?(loom::sync::atomic::$name$(<$generic>)?);

            #[allow(dead_code, reason = "each type has the operations of all")]
            impl$(<$generic>)? $name$(<$generic>)? {
                pub(crate) fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                #[track_caller]
                pub(crate) fn load(&self, order: Ordering) -> $value {
                    interrupt();
                    self.0.load(weakened(order, &Half::BOTH))
                }

                #[track_caller]
                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    interrupt();
                    if !is_left_out() {
                        self.0.store(value, weakened(order, &Half::BOTH));
                    }
                }

                #[track_caller]
                pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                    interrupt();
                    self.0.swap(value, weakened(order, &Half::BOTH))
                }

                #[track_caller]
                pub(crate) fn compare_exchange(
                    &self,
                    from: $value,
                    to: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    interrupt();
                    let success = weakened(success, &Half::BOTH);
                    self.0.compare_exchange(from, to, success, weakened(failure, &[Half::Failure]))
                }
            }
        };
    }

    macro_rules! arithmetic {
        ($name:ident, $value:ty) => {
            atomic!($name, $value);

            #[allow(dead_code, reason = "each type has the operations of all")]
            impl $name {
                #[track_caller]
                pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    interrupt();
                    self.0.fetch_add(value, weakened(order, &Half::BOTH))
                }

                #[track_caller]
                pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                    interrupt();
                    self.0.fetch_sub(value, weakened(order, &Half::BOTH))
                }

                #[track_caller]
                pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                    interrupt();
                    self.0.fetch_or(value, weakened(order, &Half::BOTH))
                }

                #[track_caller]
                pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                    interrupt();
                    self.0.fetch_and(value, weakened(order, &Half::BOTH))
                }

                pub(crate) fn fetch_update(
                    &self,
                    success: Ordering,
                    failure: Ordering,
                    update: impl FnMut($value) -> Option<$value>,
                ) -> Result<$value, $value> {
                    self.0.fetch_update(success, failure, update)
                }
            }
        };
    }

    atomic!(AtomicBool, bool);
    atomic!(AtomicPtr[T], *mut T);
    arithmetic!(AtomicU8, u8);
    arithmetic!(AtomicU32, u32);
    arithmetic!(AtomicU64, u64);
    arithmetic!(AtomicUsize, usize);
}

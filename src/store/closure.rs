//! Closures that users give to a store, and what they must not do in there (C17).
//!
//! Some run under the writer lock, and a write to the same store would wait for itself; it is an error instead, and so is
//! whatever else takes that lock. Reads take none.

use std::cell::RefCell;

use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::core::Core;

thread_local! {
    /// The stores whose closures this thread is in; one inside the other, if there are several.
    static INSIDE: RefCell<Vec<*const Core>> = const { RefCell::new(Vec::new()) };
}

/// Takes the store of a closure that is over from the list, also where it panicked.
struct Leave;

impl Store {
    /// Runs a closure that a user gave to a map over this store.
    pub(crate) fn call<T>(&self, closure: impl FnOnce() -> T) -> T {
        self.core().call(closure)
    }
}

impl Core {
    /// Runs a closure that a user gave to this store.
    pub(super) fn call<T>(&self, closure: impl FnOnce() -> T) -> T {
        INSIDE.with_borrow_mut(|inside| inside.push(self));
        let _leave = Leave;
        closure()
    }

    /// Refuses what may not be done from inside one of this store's closures.
    #[inline]
    pub(super) fn check_outside(&self) -> Result<()> {
        // Where the thread ends and its list is gone, it is in no closure.
        let inside = INSIDE.try_with(|inside| inside.borrow().contains(&std::ptr::from_ref(self)));
        if inside.unwrap_or(false) { Err(Error::Reentrant) } else { Ok(()) }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        INSIDE.with_borrow_mut(Vec::pop);
    }
}

//! The pointer behind which a new state is published.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::file::epoch::{Domain, Pin};
use crate::sync::atomic::{AtomicPtr, Ordering};

/// An atomic pointer to an immutable value. Readers load it while pinned; a replaced value lives until every
/// reader that could have seen it has gone (C3, C14).
pub(crate) struct Published<T: Send + Sync + 'static> {
    pointer: AtomicPtr<T>,
    domain: Arc<Domain>,
    owned: PhantomData<Arc<T>>,
}

impl<T: Send + Sync + 'static> Published<T> {
    pub(crate) fn new(domain: &Arc<Domain>, value: Arc<T>) -> Self {
        let pointer = AtomicPtr::new(Arc::into_raw(value).cast_mut());
        Published { pointer, domain: Arc::clone(domain), owned: PhantomData }
    }

    /// The value published last, for as long as the pin lasts.
    #[inline]
    pub(crate) fn load<'p>(&self, pin: &'p Pin<'_>) -> &'p T {
        debug_assert!(pin.is_of(&self.domain), "a pin of another store");
        // Acquire: pairs with the AcqRel swap in `replace`.
        let pointer = self.pointer.load(Ordering::Acquire);
        // SAFETY: the pointer came from Arc::into_raw; the strong count it stands for is given up only through
        // `Domain::retire`, which waits until every pin that was taken before the swap is gone.
        unsafe { &*pointer }
    }

    /// Publishes `value` and retires the one before it.
    pub(crate) fn replace(&self, value: Arc<T>) {
        let old = self.pointer.swap(Arc::into_raw(value).cast_mut(), Ordering::AcqRel);
        // SAFETY: takes back the count that `new` or an earlier `replace` gave to the pointer.
        let old = unsafe { Arc::from_raw(old) };
        self.domain.retire(old);
    }
}

impl<T: Send + Sync + 'static> Drop for Published<T> {
    fn drop(&mut self) {
        // SAFETY: `&mut self`: no reader is left; takes back the pointer's own count.
        drop(unsafe { Arc::from_raw(self.pointer.load(Ordering::Relaxed)) });
    }
}

//! A barrier between one side that passes it all the time and another that seldom does.
//!
//! A reader must announce itself before it looks, which takes a store before a load: a full fence, some twenty
//! nanoseconds in which the processor starts no other load. The collector that it is meant for comes by a few times a
//! second. So it has the kernel run the fence on every core instead (`membarrier(2)`), and readers keep only their
//! program order. The registration can take some ten milliseconds in a process with threads, so it is left to the
//! background thread; until then, and where the system has no such call, readers use a fence of their own.
//!
//! After Desnoyers et al., *User-level implementations of read-copy update* (2012).

use std::sync::atomic::compiler_fence;

use crate::sync::atomic::{AtomicBool, Ordering, fence};
use crate::sync::membarrier;

/// Orders what the light side stored before what it loads, against the heavy side, which does it the other way round.
pub(crate) struct Barrier {
    /// Whether the heavy side fences for the light one. Set once, with the heavy side kept out. The light side loads it
    /// Acquire, which pairs with the Release of `make_one_sided`: it has no fence then against the heavy sides before
    /// that, and must see what they unlinked. Who does not see it yet uses a fence, which is as good.
    one_sided: AtomicBool,
}

impl Barrier {
    /// A barrier whose light side uses fences, until [`Barrier::make_one_sided`].
    pub(crate) fn new() -> Self {
        Barrier { one_sided: AtomicBool::new(false) }
    }

    /// A barrier whose heavy side never comes by: it would be refused.
    pub(crate) fn without_heavy_side() -> Self {
        Barrier { one_sided: AtomicBool::new(true) }
    }

    /// Leaves the fence to the heavy side from now on. [`register`] said that the system can do that, and no heavy side
    /// is under way.
    pub(crate) fn make_one_sided(&self) {
        self.one_sided.store(true, Ordering::Release);
    }

    /// The light side: between its announcement and its loads.
    #[inline]
    pub(crate) fn light(&self) {
        if self.one_sided.load(Ordering::Acquire) {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    /// The heavy side: between what it unlinked and its look at the announcements. False if the system refused; then
    /// nothing is known of the light side.
    #[must_use]
    pub(crate) fn heavy(&self) -> bool {
        fence(Ordering::SeqCst);
        !self.one_sided.load(Ordering::Relaxed) || membarrier::fence_everywhere()
    }
}

/// Asks the system to fence for this process; false where it can't.
pub(crate) fn register() -> bool {
    membarrier::register()
}

//! Where bucket arrays come from: extents of the file, or plain memory in a read-only open.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::file::media::Media;
use crate::file::pages::{IndexPages, Pager, Place};
use crate::file::region::Region;
use crate::file::space::{Space, Use, no_space};
use crate::format::catalog::sums_bytes;
use crate::format::{PAGE_BYTES, page_round_up};
use crate::seam::Arrays;

/// The source of index pages of one store.
pub(crate) struct ArraySpace {
    media: Arc<dyn Media>,
    /// None in a read-only open, whose arrays live in memory alone (D17).
    space: Option<Arc<Space>>,
    pager: Arc<Pager>,
    /// The main run that the next growth takes, reserved ahead of it: making space ready waits for the file system.
    ahead: Mutex<Option<IndexPages>>,
    /// How far that is: its bytes, or more precisely what [`progress`] makes of them. Relaxed: a hint.
    progress: AtomicU64,
}

/// What was done for a run of so many bytes, which are whole pages, in one number.
fn progress(bytes: u64, populated: bool) -> u64 {
    bytes + 1 + u64::from(populated)
}

impl ArraySpace {
    pub(crate) fn new(media: Arc<dyn Media>, space: Option<Arc<Space>>, pager: Arc<Pager>) -> Self {
        ArraySpace { media, space, pager, ahead: Mutex::new(None), progress: AtomicU64::new(0) }
    }

    /// Whether a run of `bytes` should be reserved ahead, and its memory provided where it is needed soon.
    #[inline]
    pub(crate) fn wants_ahead(&self, bytes: u64, soon: bool) -> bool {
        let done = self.progress.load(Ordering::Relaxed);
        done < progress(bytes, soon) || done > progress(bytes, true)
    }

    /// Reserves a run of `bytes` for the growth to come, and provides its memory where it is needed soon. What fails is
    /// tried again by the growth itself. `between` is called between steps.
    pub(crate) fn reserve_ahead(&self, bytes: u64, soon: bool, between: impl FnMut()) {
        if self.ahead().is_none_or(|pages| pages.bytes() != bytes) {
            drop(self.give_up_ahead());
            *self.lock_ahead() = self.reserve_now(bytes).ok();
        }
        self.progress.store(progress(bytes, soon), Ordering::Relaxed);
        // A growth may take it meanwhile, with as much memory as it has then.
        if soon && let Some(pages) = self.ahead().filter(|_| bytes <= self.pager.limit_bytes() / 4) {
            pages.provide_memory(between);
        }
    }

    /// What was reserved ahead, to be dropped by the caller, who should hold no lock then: that unmaps it and gives its
    /// space back.
    #[must_use]
    pub(crate) fn give_up_ahead(&self) -> Option<IndexPages> {
        self.progress.store(0, Ordering::Relaxed);
        self.lock_ahead().take()
    }

    /// The run that was reserved ahead.
    pub(crate) fn ahead(&self) -> Option<IndexPages> {
        self.lock_ahead().clone()
    }

    fn take_ahead(&self, bytes: u64) -> Option<IndexPages> {
        self.lock_ahead().take_if(|pages| pages.bytes() == bytes)
    }

    fn lock_ahead(&self) -> MutexGuard<'_, Option<IndexPages>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all pages of the store share.
    pub(crate) fn pager(&self) -> &Arc<Pager> {
        &self.pager
    }
}

impl Arrays for ArraySpace {
    type Pages = IndexPages;

    fn reserve(&self, bytes: u64) -> Result<IndexPages> {
        let bytes = page_round_up(bytes);
        if let Some(pages) = self.take_ahead(bytes) {
            self.progress.store(0, Ordering::Relaxed);
            return Ok(pages);
        }
        match self.reserve_now(bytes) {
            // What is wanted now comes before what is wanted later.
            Err(Error::NoSpace { .. }) if self.give_up_ahead().is_some() => self.reserve_now(bytes),
            reserved => reserved,
        }
    }
}

impl ArraySpace {
    fn reserve_now(&self, bytes: u64) -> Result<IndexPages> {
        let len = usize::try_from(bytes).map_err(|_| Error::TooLarge {
            what: "a bucket array",
            len: bytes,
            limit: usize::MAX as u64,
        })?;
        let Some(space) = &self.space else {
            let region = Region::anonymous(len).map_err(no_space("memory for a bucket array", bytes))?;
            return Ok(IndexPages::fresh(region, None, &self.pager));
        };
        let pages = space.allocate(bytes, PAGE_BYTES, Use::Index)?;
        let sums = space.allocate(sums_bytes(bytes), PAGE_BYTES, Use::Index)?;
        let region =
            self.media.map_zeros(pages.offset(), len).map_err(no_space("mapping a bucket array", bytes))?;
        Ok(IndexPages::fresh(region, Some(Place { pages, sums }), &self.pager))
    }
}

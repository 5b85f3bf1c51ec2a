//! Index pages: bucket memory mapped copy-on-write, checked when first touched, copied when checkpointed.
//!
//! The kernel never writes an index page on its own. A page's life between checkpoints is a state that changes by
//! compare-and-swap (D10):
//!
//! ```text
//!            before_write            freeze                copy (checkpoint)
//!   CLEAN ----------------> DIRTY ------------> FROZEN ---------------------> COPYING --> COPIED --> CLEAN
//!                             ^                    | before_write: save the old content      |
//!                             +--------------------+-----------------------------------------+ before_write
//! ```
//!
//! Whoever loses the race for a frozen page waits for one page copy. Before any of that, a page is *verified*: its
//! bytes match the checksum that the last checkpoint wrote for it, or it was never written and reads as zeros.
//! The bit is set before the first change to the page, so a reader whose checksum does not match looks at the bit
//! again before it calls the page corrupt (C11).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use crate::error::{Detail, Error, Result};
use crate::file::region::Region;
use crate::file::space::Extent;
use crate::file::sums::Sums;
use crate::format::{PAGE_BYTES, page_crc};
use crate::mutants::{Mutant, kept};
use crate::seam::{Pages, Words};
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use crate::sync::{Mutex, MutexGuard, spin_loop};

/// One page, copied out.
pub(crate) type Page = [u8; PAGE_BYTES as usize];

const WORDS_PER_PAGE: usize = PAGE_BYTES as usize / 8;

/// A page's states between checkpoints, as they are kept in an `AtomicU8`.
struct PageState;

impl PageState {
    const CLEAN: u8 = 0;
    const DIRTY: u8 = 1;
    const FROZEN: u8 = 2;
    const COPYING: u8 = 3;
    const COPIED: u8 = 4;
}

/// What all index pages of one store share: how much memory their private copies take, and how much of it is dirty.
pub(crate) struct Pager {
    dirty_pages: AtomicU64,
    /// Pages that were faulted in for writing when they were first touched, about.
    populated_pages: AtomicU64,
    limit_bytes: u64,
}

impl Pager {
    /// For a store whose arrays may take this much memory.
    pub(crate) fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Pager { dirty_pages: AtomicU64::new(0), populated_pages: AtomicU64::new(0), limit_bytes })
    }

    /// Bytes of pages that changed since they were last checkpointed.
    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.dirty_pages.load(Ordering::Relaxed) * PAGE_BYTES
    }

    /// Memory that the arrays may take.
    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    fn forget_populated(&self, pages: u64) {
        let less = |populated: u64| Some(populated.saturating_sub(pages));
        let _ = self.populated_pages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Whether private copies of so many pages more are within the limit; counts them.
    fn may_populate(&self, pages: usize) -> bool {
        let populated = self.populated_pages.load(Ordering::Relaxed) + pages as u64;
        let within = populated * PAGE_BYTES <= self.limit_bytes;
        if within {
            self.populated_pages.fetch_add(pages as u64, Ordering::Relaxed);
        }
        within
    }
}

/// The main run of a bucket array or one of its overflow chunks. Clones share the pages.
#[derive(Clone)]
pub(crate) struct IndexPages {
    region: Region,
    shared: Arc<Shared>,
}

struct Shared {
    /// The leases on the pages and their checksums; none in a read-only open.
    place: Option<Place>,
    /// File offset of the first page; 0 for an array that only memory holds.
    offset: u64,
    /// One bit a page. Set (Release) once the page was verified, before the first change to it; loaded Acquire.
    verified: Box<[AtomicU64]>,
    states: Box<[AtomicU8]>,
    saved: Mutex<HashMap<usize, Box<Page>>>,
    /// Taken to zero an absent page whose space was not punched.
    zeroing: Mutex<()>,
    sums: Sums,
    pager: Arc<Pager>,
    /// Fault pages in for writing when they are first touched (C10).
    populate: bool,
}

/// The extents behind index pages.
pub(crate) struct Place {
    pub(crate) pages: Extent,
    pub(crate) sums: Extent,
}

impl IndexPages {
    /// Pages that no checkpoint has written: zeros, nothing to verify.
    pub(crate) fn fresh(region: Region, place: Option<Place>, pager: &Arc<Pager>) -> Self {
        let pages = region.len() / PAGE_BYTES as usize;
        let offset = place.as_ref().map_or(0, |place| place.pages.offset());
        Self::new(region, place, offset, pager, Sums::fresh(pages), !0)
    }

    /// Pages as the last checkpoint left them, to be verified when first touched.
    pub(crate) fn reopened(
        region: Region,
        place: Option<Place>,
        offset: u64,
        pager: &Arc<Pager>,
        sums: Sums,
    ) -> Self {
        Self::new(region, place, offset, pager, sums, 0)
    }

    fn new(
        region: Region,
        place: Option<Place>,
        offset: u64,
        pager: &Arc<Pager>,
        sums: Sums,
        verified: u64,
    ) -> Self {
        let pages = region.len() / PAGE_BYTES as usize;
        let populate = place.is_some() && verified == 0;
        let shared = Shared {
            place,
            offset,
            verified: (0..pages.div_ceil(64)).map(|_| AtomicU64::new(verified)).collect(),
            states: (0..pages).map(|_| AtomicU8::new(PageState::CLEAN)).collect(),
            saved: Mutex::new(HashMap::new()),
            zeroing: Mutex::new(()),
            sums,
            pager: Arc::clone(pager),
            populate,
        };
        IndexPages { region, shared: Arc::new(shared) }
    }

    /// Has the system provide all the memory of pages that no checkpoint has written, in steps of a millisecond or so. In the
    /// order in which a table that doubles needs it: the two halves side by side. The second begins behind 8/17 of the run,
    /// since a sixteenth of both is overflow buckets, which come last.
    pub(crate) fn provide_memory(&self, mut between: impl FnMut()) {
        const STEP: usize = 2 << 20;
        self.region.prefer_large_pages();
        let steps = self.region.len().div_ceil(STEP);
        let second = steps * 8 / 17;
        let both = (second..steps)
            .flat_map(|step| [Some(step - second).filter(|&first| first < second), Some(step)]);
        for step in both.flatten() {
            self.region.fault_in(step * STEP, STEP);
            between();
        }
    }

    /// File offset of the first page.
    pub(crate) fn offset(&self) -> u64 {
        self.shared.offset
    }

    /// Length in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.region.len() as u64
    }

    /// Pages in it.
    pub(crate) fn pages(&self) -> usize {
        self.region.len() / PAGE_BYTES as usize
    }

    /// The extents behind the pages and their checksums.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.shared.place.as_ref()
    }

    /// The page checksums.
    pub(crate) fn sums(&self) -> &Sums {
        &self.shared.sums
    }

    /// Puts a journaled page over what the file holds; for opens that must not write the file (D17).
    pub(crate) fn overlay(&self, page: usize, bytes: &Page) {
        self.region.copy_in(page * PAGE_BYTES as usize, bytes);
    }

    #[inline]
    fn is_verified(&self, page: usize) -> bool {
        let word = self.shared.verified[page / 64].load(Ordering::Acquire);
        word >> (page % 64) & 1 != 0
    }

    fn set_verified(&self, page: usize) {
        self.shared.verified[page / 64].fetch_or(1 << (page % 64), Ordering::Release);
    }

    fn copy_page(&self, page: usize) -> Box<Page> {
        let mut bytes = Box::new([0; PAGE_BYTES as usize]);
        self.region.copy_out(page * PAGE_BYTES as usize, &mut bytes[..]);
        bytes
    }

    /// Touches all pages for the first time, which costs less than to touch them one by one; before anyone else does.
    /// A damaged page is left for whoever comes to it, and so are those that memory is short for.
    pub(crate) fn touch_ahead(&self) {
        const STEP: usize = 512;
        let pages = self.pages();
        for first in (0..pages).step_by(STEP) {
            let count = STEP.min(pages - first);
            if !self.shared.pager.may_populate(count) {
                return;
            }
            self.region.populate_write(first * PAGE_BYTES as usize, count * PAGE_BYTES as usize);
            (first..first + count).for_each(|page| drop(self.verify(page)));
        }
    }

    /// Compares a page with its checksum unless that was done before.
    pub(crate) fn touch_page(&self, page: usize) -> Result<()> {
        if self.is_verified(page) {
            return Ok(());
        }
        self.verify_first_touch(page)
    }

    #[cold]
    fn verify_first_touch(&self, page: usize) -> Result<()> {
        if self.shared.populate && self.shared.pager.may_populate(1) {
            self.region.populate_write(page * PAGE_BYTES as usize, PAGE_BYTES as usize);
        }
        self.verify(page)
    }

    fn verify(&self, page: usize) -> Result<()> {
        let Some(expected) = self.shared.sums.get(page)? else {
            return self.make_absent_page_zero(page);
        };
        let found = page_crc(&self.copy_page(page)[..]);
        if found != expected && kept(Mutant::PageChecksum) {
            fence(Ordering::Acquire);
            if self.is_verified(page) {
                return Ok(()); // the writer was first, and has changed the page since (C11)
            }
            if self.shared.sums.get(page)? != Some(expected) {
                return self.verify(page); // a whole checkpoint went by
            }
            let offset = self.offset() + page as u64 * PAGE_BYTES;
            return Err(Error::corrupt("index page", offset, Detail::Crc(expected), Detail::Crc(found)));
        }
        self.set_verified(page);
        Ok(())
    }

    /// A page that no checkpoint has written reads as zeros, whatever the file holds (D12).
    fn make_absent_page_zero(&self, page: usize) -> Result<()> {
        if self.copy_page(page).iter().all(|&byte| byte == 0) || !kept(Mutant::AbsentPagesZeroed) {
            self.set_verified(page);
            return Ok(());
        }
        let _alone = self.shared.zeroing.lock().unwrap_or_else(PoisonError::into_inner);
        // What was not zero may be the writer's first change; the bit was set before it (C11).
        fence(Ordering::Acquire);
        if !self.is_verified(page) {
            self.region.copy_in(page * PAGE_BYTES as usize, &[0; PAGE_BYTES as usize]);
            self.set_verified(page);
        }
        Ok(())
    }

    fn saved(&self) -> MutexGuard<'_, HashMap<usize, Box<Page>>> {
        self.shared.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn make_dirty(&self, page: usize) {
        let state = &self.shared.states[page];
        loop {
            // Acquire: a page that the checkpoint has copied is changed only after the copy.
            let now = state.load(Ordering::Acquire);
            let next = if now == PageState::FROZEN { PageState::COPYING } else { PageState::DIRTY };
            match now {
                PageState::DIRTY => return,
                PageState::COPYING => spin_loop(),
                _ if state.compare_exchange(now, next, Ordering::AcqRel, Ordering::Acquire).is_ok() => {
                    if now == PageState::FROZEN {
                        let old = self.copy_page(page);
                        self.saved().insert(page, old);
                        // Release: the checkpoint that sees DIRTY finds the saved page.
                        state.store(PageState::DIRTY, Ordering::Release);
                    }
                    self.shared.pager.dirty_pages.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                _ => {}
            }
        }
    }

    /// Freezes every dirty page and names them; under the writer lock.
    pub(crate) fn freeze(&self) -> Vec<usize> {
        let mut frozen = Vec::new();
        for (page, state) in self.shared.states.iter().enumerate() {
            if state.load(Ordering::Relaxed) == PageState::DIRTY {
                state.store(PageState::FROZEN, Ordering::Release);
                frozen.push(page);
            }
        }
        self.shared.pager.dirty_pages.fetch_sub(frozen.len() as u64, Ordering::Relaxed);
        frozen
    }

    /// How many pages are dirty.
    pub(crate) fn dirty(&self) -> usize {
        let dirty = |state: &&AtomicU8| state.load(Ordering::Relaxed) == PageState::DIRTY;
        self.shared.states.iter().filter(dirty).count()
    }

    /// The content that a frozen page had at the freeze.
    pub(crate) fn copy_frozen(&self, page: usize) -> Result<Box<Page>> {
        let mut copy = Box::new([0; PAGE_BYTES as usize]);
        loop {
            match self.copy_if_frozen(page, &mut copy) {
                Ok(()) => return Ok(copy),
                Err(PageState::COPYING) => spin_loop(),
                Err(_) => {
                    // The writer was faster, and has saved the content of the freeze. Without it, an older
                    // state must not get newer content: the checkpoint fails.
                    let offset = self.offset() + page as u64 * PAGE_BYTES;
                    let saved = self.saved().remove(&page);
                    let saved = if kept(Mutant::SavedContent) { saved } else { Some(self.copy_page(page)) };
                    return saved.ok_or_else(|| {
                        Error::corrupt("frozen index page", offset, "its content at the freeze", "none")
                    });
                }
            }
        }
    }

    /// Copies a page that nobody has changed since the freeze; otherwise tells its state.
    pub(crate) fn copy_if_frozen(&self, page: usize, copy: &mut Page) -> std::result::Result<(), u8> {
        let state = &self.shared.states[page];
        state.compare_exchange(PageState::FROZEN, PageState::COPYING, Ordering::AcqRel, Ordering::Acquire)?;
        self.region.copy_out(page * PAGE_BYTES as usize, copy);
        state.store(PageState::COPIED, Ordering::Release);
        Ok(())
    }

    /// Ends a checkpoint: pages that nobody changed since the freeze are clean.
    pub(crate) fn finish(&self, frozen: &[usize]) {
        for &page in frozen {
            let state = &self.shared.states[page];
            let (from, to) = (PageState::COPIED, PageState::CLEAN);
            let untouched = state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok();
            if !untouched && !kept(Mutant::RedirtiedPagesStayDirty) {
                state.store(PageState::CLEAN, Ordering::Release);
            }
        }
        self.saved().clear();
    }

    /// Drops the private copies of clean pages, to be read from the file and verified again when they are touched.
    /// Under the writer lock, after a checkpoint is complete: what is clean then is durable in place (D10, C10).
    pub(crate) fn drop_clean_copies(&self) {
        // A page that no checkpoint has written may be zero in memory alone.
        let clean = |page: usize| {
            let state = self.shared.states[page].load(Ordering::Acquire);
            (state == PageState::CLEAN || !kept(Mutant::OnlyCleanCopiesDropped))
                && matches!(self.shared.sums.get(page), Ok(Some(_)))
        };
        let mut runs = Vec::new();
        let mut page = 0;
        while page < self.pages() {
            let run = (page..self.pages()).take_while(|&page| clean(page)).count();
            for page in page..page + run {
                let bit = 1 << (page % 64);
                self.shared.verified[page / 64].fetch_and(!bit, Ordering::AcqRel);
            }
            if run > 0 {
                runs.push(page * PAGE_BYTES as usize..(page + run) * PAGE_BYTES as usize);
                self.shared.pager.forget_populated(run as u64);
            }
            page += run + 1;
        }
        let changed = |&page: &usize| self.shared.states[page].load(Ordering::Acquire) != PageState::CLEAN;
        let changed = (0..self.pages()).filter(changed).map(|page| page * PAGE_BYTES as usize);
        self.region.drop_copies(&runs, changed);
    }

    /// Undoes a freeze: its pages are dirty again (D7). Under the writer lock.
    pub(crate) fn thaw(&self, frozen: &[usize]) {
        for &page in frozen {
            let state = &self.shared.states[page];
            if state.swap(PageState::DIRTY, Ordering::AcqRel) != PageState::DIRTY {
                self.shared.pager.dirty_pages.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.saved().clear();
    }
}

impl Words for IndexPages {
    #[inline]
    fn load(&self, word: usize, order: Ordering) -> u64 {
        self.region.load(word, order)
    }

    #[inline]
    fn store(&self, word: usize, value: u64, order: Ordering) {
        debug_assert!(self.is_verified(word / WORDS_PER_PAGE), "a page is verified before it is changed");
        self.region.store(word, value, order);
    }

    #[inline]
    fn prefetch(&self, word: usize) {
        self.region.prefetch(word);
    }
}

impl Pages for IndexPages {
    fn offset(&self, word: usize) -> u64 {
        self.offset() + word as u64 * 8
    }

    #[inline]
    fn touch(&self, word: usize, words: usize) -> Result<()> {
        let (first, last) = (word / WORDS_PER_PAGE, (word + words - 1) / WORDS_PER_PAGE);
        if last >= self.pages() {
            return Err(Error::corrupt("index page", self.offset(), self.pages() as u64, last as u64));
        }
        self.touch_page(first)?;
        if last != first {
            self.touch_page(last)?;
        }
        Ok(())
    }

    #[inline]
    fn is_touched(&self, word: usize, words: usize) -> bool {
        let (first, last) = (word / WORDS_PER_PAGE, (word + words - 1) / WORDS_PER_PAGE);
        last < self.pages() && self.is_verified(first) && (last == first || self.is_verified(last))
    }

    #[inline]
    fn before_write(&self, word: usize) {
        let page = word / WORDS_PER_PAGE;
        // Relaxed: only the writer makes pages dirty, and a freeze happens under its lock.
        if self.shared.states[page].load(Ordering::Relaxed) != PageState::DIRTY && kept(Mutant::DirtyBit) {
            self.make_dirty(page);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let dirty =
            self.states.iter().filter(|state| state.load(Ordering::Relaxed) == PageState::DIRTY).count();
        self.pager.dirty_pages.fetch_sub(dirty as u64, Ordering::Relaxed);
        if self.populate {
            let ones = self.verified.iter().map(|word| u64::from(word.load(Ordering::Relaxed).count_ones()));
            self.pager.forget_populated(ones.sum());
        }
    }
}

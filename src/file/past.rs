//! Index pages as a checkpoint left them, while later ones are written in place (D21).
//!
//! Whoever keeps a checkpoint takes its pages from the file, each once and when it likes ([`Past`]). Before a later
//! checkpoint writes over a page that was not taken yet, what it held is saved. Taking and saving exclude each other:
//! whichever comes first, what is taken is the page as the checkpoint left it.
//!
//! [`PastPages`] are such pages as the memory of a bucket array that nobody writes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::{Detail, Error, Result};
use crate::file::media::Media;
use crate::file::pages::Page;
use crate::file::region::Region;
use crate::file::sums::Sums;
use crate::format::{PAGE_BYTES, page_crc};
use crate::mutants::{Mutant, kept};
use crate::seam::{Pages, Words};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The index pages of one checkpoint.
pub(crate) struct Past {
    media: Arc<dyn Media>,
    state: Mutex<State>,
}

struct State {
    runs: Vec<Run>,
    /// Old content by file offset, of pages that were not taken; none of one that could not be read when it was to be
    /// saved.
    saved: HashMap<u64, Option<Box<Page>>>,
}

/// One extent of index pages.
struct Run {
    offset: u64,
    /// Of each page, whether it was taken.
    taken: Box<[bool]>,
}

impl Past {
    /// The pages of extents, as (offset, bytes), in a file that has them but for those in `journal`.
    pub(crate) fn new(
        media: Arc<dyn Media>,
        extents: impl Iterator<Item = (u64, u64)>,
        journal: HashMap<u64, Box<Page>>,
    ) -> Arc<Self> {
        let run = |(offset, bytes)| Run { offset, taken: vec![false; (bytes / PAGE_BYTES) as usize].into() };
        let mut runs: Vec<_> = extents.map(run).collect();
        runs.sort_unstable_by_key(|run| run.offset);
        let mut state = State { runs, saved: HashMap::new() };
        let pages = journal.into_iter().filter(|(offset, _)| state.find(*offset).is_some());
        let saved = pages.map(|(offset, page)| (offset, Some(page))).collect();
        state.saved = saved;
        Arc::new(Past { media, state: Mutex::new(state) })
    }

    /// The page at a file offset, once: nothing is saved of it any more.
    pub(crate) fn take(&self, offset: u64) -> Result<Box<Page>> {
        let mut state = self.lock();
        let page = match state.saved.get_mut(&offset) {
            Some(saved) => saved.take().ok_or_else(|| {
                Error::corrupt("index page", offset, "a page that can be read", "an error when it was saved")
            })?,
            None => self.read(offset).map_err(Error::io("reading an index page"))?,
        };
        state.saved.remove(&offset);
        if let Some(taken) = state.find(offset) {
            *taken = true;
        }
        Ok(page)
    }

    /// Saves what was not taken yet of pages that are about to be written over. One that can't be read is a fault of
    /// this checkpoint alone, and keeps nobody from writing.
    fn save(&self, pages: &Range<u64>) {
        let mut state = self.lock();
        for offset in pages.clone().step_by(PAGE_BYTES as usize) {
            let wanted = state.find(offset).is_some_and(|taken| !*taken);
            if wanted && !state.saved.contains_key(&offset) {
                state.saved.insert(offset, self.read(offset).ok());
            }
        }
    }

    fn read(&self, offset: u64) -> std::io::Result<Box<Page>> {
        let mut page = Box::new([0; PAGE_BYTES as usize]);
        self.media.read_at(&mut page[..], offset)?;
        Ok(page)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the page at a file offset was taken; `None` where no extent has it.
    fn find(&mut self, offset: u64) -> Option<&mut bool> {
        let run = self.runs.partition_point(|run| run.offset <= offset).checked_sub(1)?;
        let run = &mut self.runs[run];
        run.taken.get_mut(((offset - run.offset) / PAGE_BYTES) as usize)
    }
}

/// The checkpoints of one file that somebody keeps.
#[derive(Default)]
pub(crate) struct Pasts(Mutex<Vec<Weak<Past>>>);

impl Pasts {
    /// From now on the pages of `past` are saved. No page is being written in place meanwhile.
    pub(crate) fn add(&self, past: &Arc<Past>) {
        self.lock().push(Arc::downgrade(past));
    }

    /// Saves pages, a range of file offsets, that are about to be written over.
    pub(crate) fn save(&self, pages: &Range<u64>) {
        if kept(Mutant::OldPagesSaved) {
            self.living().iter().for_each(|past| past.save(pages));
        }
    }

    /// How many checkpoints are kept, and the bytes that are saved for them.
    pub(crate) fn figures(&self) -> (usize, u64) {
        let living = self.living();
        let pages: usize = living.iter().map(|past| past.lock().saved.len()).sum();
        (living.len(), pages as u64 * PAGE_BYTES)
    }

    fn living(&self) -> Vec<Arc<Past>> {
        let mut pasts = self.lock();
        pasts.retain(|past| past.strong_count() > 0);
        pasts.iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Past>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The main run or an overflow chunk of a bucket array at a checkpoint, in memory of its own that is filled page by
/// page when it is first touched.
pub(crate) struct PastPages {
    region: Region,
    offset: u64,
    /// One bit a page. Set (Release) once the page is in memory; loaded Acquire.
    loaded: Box<[AtomicU64]>,
    /// Held by the thread that loads a page: it can be taken only once.
    loading: Mutex<()>,
    sums: Sums,
    past: Arc<Past>,
}

const WORDS_PER_PAGE: usize = PAGE_BYTES as usize / 8;

impl PastPages {
    /// Pages from a file offset on, as many as `region` has room for, which reads as zeros.
    pub(crate) fn new(region: Region, offset: u64, sums: Sums, past: &Arc<Past>) -> Self {
        let pages = region.len() / PAGE_BYTES as usize;
        let loaded = (0..pages.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        PastPages { region, offset, loaded, loading: Mutex::new(()), sums, past: Arc::clone(past) }
    }

    fn pages(&self) -> usize {
        self.region.len() / PAGE_BYTES as usize
    }

    #[inline]
    fn is_loaded(&self, page: usize) -> bool {
        self.loaded[page / 64].load(Ordering::Acquire) >> (page % 64) & 1 != 0
    }

    #[cold]
    fn load_page(&self, page: usize) -> Result<()> {
        let _alone = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_loaded(page) {
            return Ok(());
        }
        let offset = self.offset + page as u64 * PAGE_BYTES;
        if let Some(content) = read_verified(&self.past, &self.sums, page, offset)? {
            self.region.copy_in(page * PAGE_BYTES as usize, &content[..]);
        }
        // Release: who sees the bit finds the page.
        self.loaded[page / 64].fetch_or(1 << (page % 64), Ordering::Release);
        Ok(())
    }
}

/// Takes page number `page` of those that `sums` are about, which lies at `offset`, and compares it with its checksum;
/// `None` for a page that no checkpoint had written, and that reads as zeros.
pub(crate) fn read_verified(past: &Past, sums: &Sums, page: usize, offset: u64) -> Result<Option<Box<Page>>> {
    let Some(expected) = sums.get(page)? else { return Ok(None) };
    let content = past.take(offset)?;
    let found = page_crc(&content[..]);
    if found != expected {
        return Err(Error::corrupt("index page", offset, Detail::Crc(expected), Detail::Crc(found)));
    }
    Ok(Some(content))
}

impl Words for PastPages {
    #[inline]
    fn load(&self, word: usize, order: Ordering) -> u64 {
        self.region.load(word, order)
    }

    fn store(&self, _: usize, _: u64, _: Ordering) {
        unreachable!("no writer has pages of the past");
    }

    #[inline]
    fn prefetch(&self, word: usize) {
        self.region.prefetch(word);
    }
}

impl Pages for PastPages {
    #[inline]
    fn touch(&self, word: usize, words: usize) -> Result<()> {
        let (first, last) = (word / WORDS_PER_PAGE, (word + words - 1) / WORDS_PER_PAGE);
        if last >= self.pages() {
            return Err(Error::corrupt("index page", self.offset, self.pages() as u64, last as u64));
        }
        for page in first..=last {
            if !self.is_loaded(page) {
                self.load_page(page)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn is_touched(&self, word: usize, words: usize) -> bool {
        let (first, last) = (word / WORDS_PER_PAGE, (word + words - 1) / WORDS_PER_PAGE);
        last < self.pages() && (first..=last).all(|page| self.is_loaded(page))
    }

    fn before_write(&self, _: usize) {
        unreachable!("no writer has pages of the past");
    }

    fn offset(&self, word: usize) -> u64 {
        self.offset + word as u64 * 8
    }
}

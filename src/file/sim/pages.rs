//! Pages of a file: their content, shared until it changes, and sets of page numbers.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::file::region::Region;
use crate::format::PAGE_BYTES;

/// Bytes in a page.
pub(super) const PAGE: usize = PAGE_BYTES as usize;
/// Words in a page.
pub(super) const PAGE_WORDS: usize = PAGE / 8;
/// Bytes that a disk writes whole or, at a power cut, in part.
pub(super) const SECTOR: usize = 512;
/// Words in a sector.
pub(super) const SECTOR_WORDS: usize = SECTOR / 8;
/// Sectors in a page.
pub(super) const SECTORS: usize = PAGE / SECTOR;

/// One page as 64-bit words of the machine.
pub(super) type Page = [u64; PAGE_WORDS];
/// What a page that was never written holds.
pub(super) static ZEROS: Page = [0; PAGE_WORDS];

/// The number of the page in which `offset` lies.
pub(super) fn page_of(offset: u64) -> usize {
    (offset / PAGE_BYTES) as usize
}

/// The pages that `len` bytes at `offset` touch.
pub(super) fn pages_touched(offset: u64, len: u64) -> Range<usize> {
    if len == 0 { 0..0 } else { page_of(offset)..page_of(offset + len - 1) + 1 }
}

/// The content of a file, page by page. A clone shares every page until one of the two is changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Pages {
    /// `None` is a page of zeros, as is every page behind the end.
    pages: Arc<Vec<Option<Arc<Page>>>>,
}

impl Pages {
    pub(super) fn get(&self, page: usize) -> Option<&Arc<Page>> {
        self.pages.get(page)?.as_ref()
    }

    /// A page's words; zeros where there is none.
    pub(super) fn words(&self, page: usize) -> &Page {
        self.get(page).map_or(&ZEROS, |page| page)
    }

    pub(super) fn set(&mut self, page: usize, content: Option<Arc<Page>>) {
        if content.is_none() && self.get(page).is_none() {
            return;
        }
        let pages = Arc::make_mut(&mut self.pages);
        if pages.len() <= page {
            pages.resize(page + 1, None);
        }
        pages[page] = content;
    }

    /// A page to change.
    pub(super) fn page_mut(&mut self, page: usize) -> &mut Page {
        let pages = Arc::make_mut(&mut self.pages);
        if pages.len() <= page {
            pages.resize(page + 1, None);
        }
        Arc::make_mut(pages[page].get_or_insert_with(|| Arc::new(ZEROS)))
    }

    /// Changes bytes at `offset`, which may lie in several pages.
    pub(super) fn put_bytes(&mut self, offset: u64, bytes: &[u8]) {
        for (at, byte) in (offset..).zip(bytes) {
            let word = &mut self.page_mut(page_of(at))[(at % PAGE_BYTES / 8) as usize];
            let mut whole = word.to_ne_bytes();
            whole[(at % 8) as usize] = *byte;
            *word = u64::from_ne_bytes(whole);
        }
    }

    /// Makes everything from `length` on zero.
    pub(super) fn cut(&mut self, length: u64) {
        let whole = page_of(length.next_multiple_of(PAGE_BYTES));
        if self.pages.len() > whole {
            Arc::make_mut(&mut self.pages).truncate(whole);
        }
        let kept = (length % PAGE_BYTES) as usize;
        if kept > 0 && self.get(page_of(length)).is_some() {
            let page = self.page_mut(page_of(length));
            page[kept.div_ceil(8)..].fill(0);
            if !kept.is_multiple_of(8) {
                let mut word = page[kept / 8].to_ne_bytes();
                word[kept % 8..].fill(0);
                page[kept / 8] = u64::from_ne_bytes(word);
            }
        }
    }

    /// The pages that are not known to be zeros.
    pub(super) fn present(&self) -> impl Iterator<Item = (usize, &Arc<Page>)> {
        self.pages.iter().enumerate().filter_map(|(number, page)| Some((number, page.as_ref()?)))
    }

    /// Makes pages of `bytes`.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let pages = bytes.chunks(PAGE).map(|chunk| {
            let mut page = ZEROS;
            for (word, bytes) in page.iter_mut().zip(chunk.chunks(8)) {
                let mut whole = [0; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                *word = u64::from_ne_bytes(whole);
            }
            content(page)
        });
        Pages { pages: Arc::new(pages.collect()) }
    }
}

/// A page to keep: nothing for zeros.
pub(super) fn content(page: Page) -> Option<Arc<Page>> {
    (page != ZEROS).then(|| Arc::new(page))
}

/// Whether a page of memory, which a program may be storing into, holds `page`.
pub(super) fn holds(memory: &Region, number: usize, page: &Page) -> bool {
    let words = memory.words(number * PAGE, PAGE_WORDS);
    words.chunks_exact(SECTOR_WORDS).zip(page.chunks_exact(SECTOR_WORDS)).all(|(live, kept)| {
        let differing =
            |bits: u64, (live, kept): (&AtomicU64, &u64)| bits | (live.load(Ordering::Relaxed) ^ kept);
        live.iter().zip(kept).fold(0, differing) == 0
    })
}

/// Copies a page out of memory that a program may be storing into.
pub(super) fn copy_page(memory: &Region, number: usize) -> Page {
    let mut page = ZEROS;
    for (kept, live) in page.iter_mut().zip(memory.words(number * PAGE, PAGE_WORDS)) {
        *kept = live.load(Ordering::Relaxed);
    }
    page
}

/// Copies a page, or as much of it as the memory has, to `offset` of `memory`.
pub(super) fn put_page(memory: &Region, offset: usize, page: &Page) {
    let words = PAGE_WORDS.min((memory.len() - offset) / 8);
    for (live, kept) in memory.words(offset, words).iter().zip(page) {
        live.store(*kept, Ordering::Relaxed);
    }
}

/// The sectors in which two pages differ, one bit each.
pub(super) fn differing_sectors(one: &Page, other: &Page) -> u8 {
    let sectors = one.chunks_exact(SECTOR_WORDS).zip(other.chunks_exact(SECTOR_WORDS));
    sectors.enumerate().fold(0, |bits, (number, (one, other))| bits | (u8::from(one != other) << number))
}

/// The words of one sector of a page.
pub(super) fn sector_words(sector: usize) -> Range<usize> {
    sector * SECTOR_WORDS..(sector + 1) * SECTOR_WORDS
}

/// A set of page numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PageSet {
    bits: Vec<u64>,
}

impl PageSet {
    pub(super) fn contains(&self, page: usize) -> bool {
        self.bits.get(page / 64).is_some_and(|bits| bits >> (page % 64) & 1 == 1)
    }

    pub(super) fn insert(&mut self, page: usize) {
        if self.bits.len() <= page / 64 {
            self.bits.resize(page / 64 + 1, 0);
        }
        self.bits[page / 64] |= 1 << (page % 64);
    }

    pub(super) fn remove(&mut self, page: usize) {
        if let Some(bits) = self.bits.get_mut(page / 64) {
            *bits &= !(1 << (page % 64));
        }
    }

    pub(super) fn insert_all(&mut self, pages: Range<usize>) {
        pages.for_each(|page| self.insert(page));
    }

    pub(super) fn union(&mut self, other: &PageSet) {
        if self.bits.len() < other.bits.len() {
            self.bits.resize(other.bits.len(), 0);
        }
        self.bits.iter_mut().zip(&other.bits).for_each(|(bits, other)| *bits |= other);
    }

    pub(super) fn subtract(&mut self, other: &PageSet) {
        self.bits.iter_mut().zip(&other.bits).for_each(|(bits, other)| *bits &= !other);
    }

    /// One more than the highest member.
    pub(super) fn end(&self) -> usize {
        let last = self.bits.iter().rposition(|bits| *bits != 0);
        last.map_or(0, |word| word * 64 + 64 - self.bits[word].leading_zeros() as usize)
    }

    pub(super) fn count(&self) -> u64 {
        self.bits.iter().map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// The members, in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.bits.iter().enumerate().flat_map(|(word, &bits)| {
            let rest = std::iter::successors(Some(bits), |rest| Some(rest & rest.wrapping_sub(1)));
            rest.take_while(|rest| *rest != 0).map(move |rest| word * 64 + rest.trailing_zeros() as usize)
        })
    }
}

//! One file: what programs see of it (the page cache), and what is durable.
//!
//! The two differ in *unsynced sectors* and in *pending changes* of length and space. Calls name the pages they
//! dirty; stores into shared mappings don't, so pages that are mapped, or were since the last look, are compared.
//! A page that a failed sync should have written *looks clean*: it differs and nothing will write it, until a
//! program writes it once more.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Weak};

use rustix::io::Errno;

use super::memory::Memory;
use super::pages::{
    PAGE, Page, PageSet, Pages, SECTORS, ZEROS, content, copy_page, differing_sectors, holds, page_of,
    pages_touched, put_page, sector_words,
};
use super::random::Random;
use crate::file::region::{Backing, Region};
use crate::format::PAGE_BYTES;

/// The longest file, in bytes: address space for that much is reserved for each file in use.
/// (Miri really allocates it.)
pub(super) const LENGTH_LIMIT: u64 = if cfg!(miri) { 1 << 20 } else { 1 << 30 };

/// What a power cut can't take away.
#[derive(Debug, Clone, Default)]
pub(super) struct Durable {
    /// May hold pages behind the length, which were written back before the length was.
    pub(super) pages: Pages,
    pub(super) length: u64,
    pub(super) allocated: PageSet,
}

/// One change of length or space that is not durable; it survives a power cut or not, as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    pub(super) length: Option<u64>,
    /// Pages whose space was given back.
    pub(super) zeroed: PageSet,
    /// Pages for which space was secured.
    pub(super) reserved: PageSet,
}

/// A page with unsynced sectors.
#[derive(Debug, Clone)]
pub(super) struct Changed {
    pub(super) page: usize,
    /// What programs see.
    pub(super) content: Arc<Page>,
    /// The unsynced sectors, one bit each.
    pub(super) sectors: u8,
}

/// What was unsynced when a sync began.
pub(super) struct BegunSync {
    unsynced: Vec<Changed>,
    length: u64,
    allocated: PageSet,
    pending: usize,
}

/// What programs see.
#[derive(Debug)]
enum Cache {
    /// Nobody has opened the file on this disk.
    Stored(Pages),
    /// Shared mappings are parts of it.
    Live(Memory),
}

impl Cache {
    /// A page, unless it holds just `known`.
    fn unless(&self, page: usize, known: &Page) -> Option<Arc<Page>> {
        match self {
            Cache::Stored(pages) => match pages.get(page) {
                Some(stored) if **stored != *known => Some(Arc::clone(stored)),
                None if *known != ZEROS => Some(Arc::new(ZEROS)),
                _ => None,
            },
            Cache::Live(memory) => {
                // Compared once more: a program may be storing meanwhile.
                let differs = !holds(memory.region(), page, known);
                differs.then(|| copy_page(memory.region(), page)).filter(|copy| copy != known).map(Arc::new)
            }
        }
    }
}

#[derive(Debug)]
struct SharedMapping {
    pages: Range<usize>,
    /// Gone as soon as the mapping is.
    alive: Weak<dyn Backing>,
}

/// Who holds the advisory lock, by handle.
#[derive(Debug, Default)]
pub(super) struct Locks {
    pub(super) writer: Option<u64>,
    pub(super) readers: BTreeSet<u64>,
}

/// One file.
#[derive(Debug)]
pub(super) struct File {
    cache: Cache,
    length: u64,
    allocated: PageSet,
    durable: Durable,
    pending: Vec<Pending>,
    /// Pages that calls have changed since they were last seen to be durable.
    dirty: PageSet,
    mapped: Vec<SharedMapping>,
    /// Pages that look clean and are not, with what they held when the sync failed.
    looks_clean: BTreeMap<usize, Arc<Page>>,
    pub(super) locks: Locks,
    /// Open handles.
    pub(super) handles: u64,
}

impl File {
    /// A file of which all is durable.
    pub(super) fn new(durable: Durable) -> Self {
        File {
            cache: Cache::Stored(durable.pages.clone()),
            length: durable.length,
            allocated: durable.allocated.clone(),
            durable,
            pending: Vec::new(),
            dirty: PageSet::default(),
            mapped: Vec::new(),
            looks_clean: BTreeMap::new(),
            locks: Locks::default(),
            handles: 0,
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// How many pages of space the file takes.
    pub(super) fn pages_allocated(&self) -> u64 {
        self.allocated.count()
    }

    /// The page cache, which is made when it is first needed.
    fn memory(&mut self) -> io::Result<&mut Memory> {
        if let Cache::Stored(pages) = &self.cache {
            let mut memory = Memory::take()?;
            for (number, page) in pages.present() {
                memory.put(number, page);
            }
            self.cache = Cache::Live(memory);
        }
        match &mut self.cache {
            Cache::Live(memory) => Ok(memory),
            Cache::Stored(_) => unreachable!("it was just made live"),
        }
    }

    /// Fills `bytes`, which lie within the file.
    pub(super) fn read(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let memory = self.memory()?;
        let mut done = 0;
        for page in pages_touched(offset, bytes.len() as u64) {
            let copy = copy_page(memory.region(), page);
            let skip = offset as usize + done - page * PAGE;
            let take = (PAGE - skip).min(bytes.len() - done);
            let mut whole = [0; PAGE];
            for (bytes, word) in whole.chunks_exact_mut(8).zip(copy) {
                bytes.copy_from_slice(&word.to_ne_bytes());
            }
            bytes[done..done + take].copy_from_slice(&whole[skip..skip + take]);
            done += take;
        }
        Ok(())
    }

    /// Writes as much of `bytes` as `free_pages` more pages of space allow; returns how much that was.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8], mut free_pages: u64) -> io::Result<usize> {
        let mut done = 0;
        for page in pages_touched(offset, bytes.len() as u64) {
            if !self.allocated.contains(page) {
                if free_pages == 0 {
                    break;
                }
                free_pages -= 1;
                self.allocated.insert(page);
            }
            let at = offset as usize + done;
            let take = ((page + 1) * PAGE - at).min(bytes.len() - done);
            self.overwrite(page, at, &bytes[done..done + take])?;
            done += take;
        }
        if done > 0 {
            self.extend(offset + done as u64);
        }
        Ok(done)
    }

    /// Writes within a page, even if that changes nothing.
    fn overwrite(&mut self, page: usize, at: usize, bytes: &[u8]) -> io::Result<()> {
        let memory = self.memory()?;
        memory.touch(page..page + 1);
        memory.region().copy_in_unaligned(at, bytes);
        self.dirty.insert(page);
        self.looks_clean.remove(&page);
        Ok(())
    }

    /// Changes what programs see and what is durable alike: nothing is unsynced by it.
    pub(super) fn damage(&mut self, offset: u64, bytes: &[u8]) {
        self.durable.pages.put_bytes(offset, bytes);
        match &mut self.cache {
            Cache::Stored(pages) => pages.put_bytes(offset, bytes),
            Cache::Live(memory) => {
                memory.touch(pages_touched(offset, bytes.len() as u64));
                memory.region().copy_in_unaligned(offset as usize, bytes);
            }
        }
    }

    /// Makes the file longer if it is shorter than `length`.
    pub(super) fn extend(&mut self, length: u64) {
        if length > self.length {
            self.length = length;
            self.pending.push(Pending { length: Some(length), ..Pending::default() });
        }
    }

    pub(super) fn set_length(&mut self, length: u64) -> io::Result<()> {
        if length >= self.length {
            self.extend(length);
            return Ok(());
        }
        let end = page_of(self.length.next_multiple_of(PAGE_BYTES)).max(self.allocated.end());
        let whole = page_of(length.next_multiple_of(PAGE_BYTES));
        self.zero_bytes(length..(whole * PAGE) as u64)?;
        let zeroed = self.zero_pages(whole..end)?;
        self.length = length;
        self.pending.push(Pending { length: Some(length), zeroed, ..Pending::default() });
        Ok(())
    }

    /// How many pages of space a range still needs.
    pub(super) fn pages_missing(&self, offset: u64, len: u64) -> u64 {
        pages_touched(offset, len).filter(|page| !self.allocated.contains(*page)).count() as u64
    }

    /// Secures at most `most` pages of space for a range, from its beginning.
    pub(super) fn reserve(&mut self, offset: u64, len: u64, most: u64) {
        let mut reserved = PageSet::default();
        let missing = pages_touched(offset, len).filter(|page| !self.allocated.contains(*page));
        missing.take(most as usize).for_each(|page| reserved.insert(page));
        self.allocated.union(&reserved);
        self.pending.push(Pending { reserved, ..Pending::default() });
    }

    pub(super) fn punch(&mut self, offset: u64, len: u64) -> io::Result<()> {
        let end = (offset + len).min(LENGTH_LIMIT);
        let first = page_of(offset.next_multiple_of(PAGE_BYTES));
        let last = page_of(end);
        if first > last {
            return self.zero_bytes(offset..end);
        }
        self.zero_bytes(offset..(first * PAGE) as u64)?;
        self.zero_bytes((last * PAGE) as u64..end)?;
        let zeroed = self.zero_pages(first..last)?;
        self.pending.push(Pending { zeroed, ..Pending::default() });
        Ok(())
    }

    /// Zeroes a part of one page, in place.
    fn zero_bytes(&mut self, range: Range<u64>) -> io::Result<()> {
        let page = page_of(range.start);
        if range.start < range.end && self.memory()?.is_touched(page) {
            let zeros = vec![0; (range.end - range.start) as usize];
            self.overwrite(page, range.start as usize, &zeros)?;
        }
        Ok(())
    }

    /// Gives the space of whole pages back.
    fn zero_pages(&mut self, pages: Range<usize>) -> io::Result<PageSet> {
        let mut zeroed = PageSet::default();
        if pages.is_empty() {
            return Ok(zeroed);
        }
        self.memory()?.zero(pages.clone());
        zeroed.insert_all(pages.clone());
        self.allocated.subtract(&zeroed);
        self.dirty.union(&zeroed);
        self.looks_clean.retain(|page, _| !pages.contains(page));
        Ok(zeroed)
    }

    /// A mapping of the page cache itself.
    pub(super) fn map_shared(
        &mut self,
        offset: u64,
        len: usize,
        backing: Arc<dyn Backing>,
    ) -> io::Result<Region> {
        let pages = pages_touched(offset, len as u64);
        self.mapped.push(SharedMapping { pages: pages.clone(), alive: Arc::downgrade(&backing) });
        let memory = self.memory()?;
        memory.touch(pages);
        Ok(Region::simulated(memory.region(), offset as usize, len, backing).ok_or(Errno::INVAL)?)
    }

    /// What a private mapping begins with.
    pub(super) fn copy(&mut self, offset: u64, len: usize) -> io::Result<Memory> {
        let mut copy = Memory::take()?;
        let memory = self.memory()?;
        let pages = pages_touched(offset, len as u64);
        for page in pages.clone().filter(|page| memory.is_touched(*page)) {
            copy.put(page - pages.start, &copy_page(memory.region(), page));
        }
        // Stores into the mapping are not told.
        copy.touch(0..pages.len());
        Ok(copy)
    }

    /// Fills pages of a private mapping, which begins at `start` of the file, with what the file holds.
    pub(super) fn reload(&mut self, mapping: &Region, start: u64, offset: usize, len: usize) {
        if let Cache::Live(memory) = &self.cache {
            for at in (offset..offset + len).step_by(PAGE) {
                put_page(mapping, at, &copy_page(memory.region(), page_of(start + at as u64)));
            }
        }
    }

    /// A mapped store finds or takes the space it needs; false where there is none, which is a SIGBUS.
    pub(super) fn fault_in(&mut self, offset: u64, len: u64, free_pages: u64) -> bool {
        let missing = self.pages_missing(offset, len);
        if missing > 0 && missing <= free_pages {
            pages_touched(offset, len).for_each(|page| self.allocated.insert(page));
        }
        missing <= free_pages
    }

    /// Every page with unsynced sectors that a write-back would find, in ascending order.
    fn unsynced(&mut self) -> Vec<Changed> {
        let mut candidates = self.dirty.clone();
        for mapped in &self.mapped {
            candidates.insert_all(mapped.pages.clone());
        }
        let File { dirty, mapped, .. } = self;
        mapped.retain(|mapped| {
            let alive = mapped.alive.strong_count() > 0;
            if !alive {
                dirty.insert_all(mapped.pages.clone());
            }
            alive
        });
        candidates.iter().filter_map(|page| self.unsynced_page(page)).collect()
    }

    fn unsynced_page(&mut self, page: usize) -> Option<Changed> {
        let durable = self.durable.pages.words(page);
        let now = self.cache.unless(page, durable);
        let lies = self.looks_clean.get(&page).is_some_and(|failed| now.as_ref() == Some(failed));
        if !lies {
            self.looks_clean.remove(&page);
        }
        let Some(content) = now.filter(|_| !lies) else {
            self.dirty.remove(page);
            return None;
        };
        let sectors = differing_sectors(&content, durable);
        Some(Changed { page, content, sectors })
    }

    /// What a sync that begins now has to make durable: everything that does not look clean.
    pub(super) fn begin_sync(&mut self) -> BegunSync {
        BegunSync {
            unsynced: self.unsynced(),
            length: self.length,
            allocated: self.allocated.clone(),
            pending: self.pending.len(),
        }
    }

    /// Makes durable what was there when the sync began. What was changed since may have reached the disk or not.
    pub(super) fn finish_sync(&mut self, begun: BegunSync) {
        let BegunSync { unsynced, length, mut allocated, pending } = begun;
        for changed in unsynced {
            let before = self.durable.pages.words(changed.page);
            let mut after = *changed.content;
            if let Some(now) = self.cache.unless(changed.page, &changed.content) {
                for words in (0..SECTORS).map(sector_words) {
                    if before[words.clone()] == now[words.clone()] {
                        after[words.clone()].copy_from_slice(&now[words]);
                    }
                }
            }
            if after != ZEROS {
                allocated.insert(changed.page);
                self.allocated.insert(changed.page);
            }
            self.durable.pages.set(changed.page, content(after));
        }
        self.durable.length = length;
        self.durable.allocated = allocated;
        self.pending.drain(..pending);
    }

    /// A sync that fails: some pages get through, some in part, at least one not at all; those look clean now.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        let mut unsynced = self.unsynced();
        unsynced.retain(|changed| !self.is_hole(changed));
        let victim = random.below(unsynced.len() as u64) as usize;
        for (number, changed) in unsynced.into_iter().enumerate() {
            let chosen = if number == victim { 0 } else { changed.sectors & random.sectors() };
            self.write_sectors(&changed, chosen);
            if chosen != changed.sectors {
                self.dirty.remove(changed.page);
                self.looks_clean.insert(changed.page, changed.content);
            }
        }
    }

    /// Whether a page differs only because its space was given back: no write-back concerns it.
    fn is_hole(&self, changed: &Changed) -> bool {
        *changed.content == ZEROS && self.pending.iter().any(|pending| pending.zeroed.contains(changed.page))
    }

    /// Makes some unsynced sectors durable before anyone asks; returns how many.
    pub(super) fn write_back(&mut self, random: &mut Random) -> u64 {
        let mut written = 0;
        let mut unsynced = self.unsynced();
        unsynced.retain(|changed| !self.is_hole(changed));
        for changed in unsynced {
            let chosen = changed.sectors & random.sectors();
            self.write_sectors(&changed, chosen);
            written += u64::from(chosen.count_ones());
        }
        written
    }

    /// Makes sectors of a page durable. Was its space given back before, then sectors decide about it from now on:
    /// a hole that survived later would take away what was just written.
    fn write_sectors(&mut self, changed: &Changed, sectors: u8) {
        if sectors == 0 {
            return;
        }
        for pending in &mut self.pending {
            pending.zeroed.remove(changed.page);
        }
        let page = self.durable.pages.page_mut(changed.page);
        for sector in (0..SECTORS).filter(|sector| sectors >> sector & 1 == 1) {
            page[sector_words(sector)].copy_from_slice(&changed.content[sector_words(sector)]);
        }
        self.durable.allocated.insert(changed.page);
        self.allocated.insert(changed.page);
    }

    /// What a crash at this moment starts from.
    pub(super) fn freeze(&mut self) -> Frozen {
        Frozen {
            unsynced: self.unsynced(),
            durable: self.durable.clone(),
            length: self.length,
            allocated: self.allocated.clone(),
            pending: self.pending.clone(),
            looks_clean: self.looks_clean.clone(),
        }
    }
}

/// A file at one moment.
#[derive(Debug)]
pub(super) struct Frozen {
    pub(super) durable: Durable,
    pub(super) length: u64,
    pub(super) allocated: PageSet,
    pub(super) pending: Vec<Pending>,
    pub(super) unsynced: Vec<Changed>,
    pub(super) looks_clean: BTreeMap<usize, Arc<Page>>,
}

impl Frozen {
    /// What programs see.
    pub(super) fn cached(&self) -> Pages {
        let mut pages = self.durable.pages.clone();
        let looks_clean = self.looks_clean.iter().map(|(page, content)| (*page, content));
        for (page, content) in looks_clean.chain(self.unsynced.iter().map(|it| (it.page, &it.content))) {
            pages.set(page, Some(Arc::clone(content)));
        }
        pages
    }

    /// The file as it is found when only its programs have died: in the page cache. Nothing is locked, and the
    /// cache may have dropped pages that look clean.
    pub(super) fn after_kill(&self, random: &mut Random) -> File {
        let mut file = File::new(self.durable.clone());
        let mut pages = self.cached();
        for (page, content) in &self.looks_clean {
            if random.coin() {
                pages.set(*page, self.durable.pages.get(*page).cloned());
            } else {
                file.looks_clean.insert(*page, Arc::clone(content));
            }
        }
        self.unsynced.iter().for_each(|changed| file.dirty.insert(changed.page));
        File {
            cache: Cache::Stored(pages),
            length: self.length,
            allocated: self.allocated.clone(),
            pending: self.pending.clone(),
            ..file
        }
    }
}

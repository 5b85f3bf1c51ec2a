//! The checkpoint: dirty index pages reach the file, all or none (D6 to D9).
//!
//! The caller freezes the table under the writer lock and hands over a [`Freeze`]; from there on no lock of the
//! writer is held. Each step is durable before the next:
//!
//! 1. the log up to the freeze: a journal must never be ahead of the log;
//! 2. the frozen pages, the checksum pages that cover them and the catalog, in fresh extents;
//! 3. the other header slot, naming catalog and journal: **this is the commit**;
//! 4. the pages in place;
//! 5. the next header, without the journal. Only then is anything freed.
//!
//! If a step up to 3 fails, the frozen pages go back to the dirty set, and the state before still counts. If a later
//! one fails, it is done again before any other checkpoint may start.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Detail, Error, Result};
use crate::file::headers::Headers;
use crate::file::media::Media;
use crate::file::pages::{IndexPages, Page};
use crate::file::past::Pasts;
use crate::file::space::{Extent, Space, Use, no_space};
use crate::file::sums::Sums;
use crate::file::sync::Syncer;
use crate::format::catalog::{ArrayRole, Catalog, IndexExtent, SegmentExtent};
use crate::format::header::{Header, Hmap, LogPosition, Pointer};
use crate::format::journal::{self, Entry};
use crate::format::{PAGE_BYTES, page_crc};
use crate::mutants::{Mutant, kept};

/// Pages of a journal that are written or read at once.
const CHUNK_PAGES: usize = 64;

/// The table at one moment, taken under the writer lock.
pub(crate) struct Freeze {
    pub(crate) hmap: Hmap,
    pub(crate) log: LogPosition,
    pub(crate) arrays: Vec<FrozenPages>,
    pub(crate) segments: Vec<SegmentExtent>,
    pub(crate) copies: Copies,
}

/// Copies of frozen pages.
pub(crate) struct Copies {
    memory: Vec<Page>,
    /// Which pages they are of, by the number of the part in the freeze; in order.
    of: Vec<(usize, usize)>,
}

impl Copies {
    /// Memory for so many pages. Not of zeros, which the system would provide while pages are copied.
    pub(crate) fn with_room_for(pages: usize) -> Self {
        Copies { memory: vec![[1; PAGE_BYTES as usize]; pages], of: Vec::with_capacity(pages) }
    }

    fn find(&self, part: usize, page: usize) -> Option<&Page> {
        let copy = self.of.binary_search(&(part, page)).ok().filter(|_| kept(Mutant::SavedContent));
        copy.map(|copy| &self.memory[copy])
    }
}

/// A part of a bucket array and its pages that were dirty.
pub(crate) struct FrozenPages {
    pub(crate) array: ArrayRole,
    /// 0 for the main run, n + 1 for overflow chunk n.
    pub(crate) part: u8,
    pub(crate) pages: IndexPages,
    pub(crate) frozen: Vec<usize>,
}

/// A checkpoint that counts but has not reached its place.
struct Unfinished {
    journal: Extent,
    entries: Vec<Entry>,
    /// Offsets of the extents that the header without the journal names, and where the last of them ends.
    named: HashSet<u64>,
    end: u64,
}

/// Writes the checkpoints of one file, one at a time.
pub(crate) struct Checkpointer {
    media: Arc<dyn Media>,
    space: Arc<Space>,
    syncer: Arc<Syncer>,
    headers: Arc<Headers>,
    /// Earlier checkpoints that somebody keeps.
    pasts: Pasts,
    state: Mutex<State>,
}

struct State {
    /// The lease on the catalog that the durable header names.
    catalog: Extent,
    unfinished: Option<Unfinished>,
}

impl Checkpointer {
    pub(crate) fn new(
        media: Arc<dyn Media>,
        space: Arc<Space>,
        syncer: Arc<Syncer>,
        headers: Arc<Headers>,
        catalog: Extent,
    ) -> Self {
        let (pasts, state) = (Pasts::default(), Mutex::new(State { catalog, unfinished: None }));
        Checkpointer { media, space, syncer, headers, pasts, state }
    }

    /// The checkpoints whose pages are saved before they are written over.
    pub(crate) fn pasts(&self) -> &Pasts {
        &self.pasts
    }

    /// The catalog, and the journal of a checkpoint that is not complete, as (offset, bytes).
    pub(crate) fn extents(&self) -> ((u64, u64), Option<(u64, u64)>) {
        let state = self.lock();
        let place = |extent: &Extent| (extent.offset(), extent.bytes());
        (place(&state.catalog), state.unfinished.as_ref().map(|unfinished| place(&unfinished.journal)))
    }

    /// Completes a checkpoint whose in-place writes failed, if there is one (D7).
    pub(crate) fn finish_earlier(&self) -> Result<()> {
        self.complete(&mut self.lock(), None)
    }

    /// Steps 2 and 3; the log is durable up to the freeze. On an error the caller thaws.
    pub(crate) fn commit(&self, freeze: &Freeze) -> Result<()> {
        let mut state = self.lock();
        let pages = freeze.arrays.iter().map(|part| part.frozen.len() as u64).sum::<u64>();
        let sum_pages: Vec<_> = freeze.arrays.iter().map(FrozenPages::sum_pages).collect();
        let pages = pages + sum_pages.iter().map(|set| set.len() as u64).sum::<u64>();
        let too_long = || Error::TooLarge { what: "a checkpoint", len: pages, limit: 1 << 36 };
        let bytes = journal::journal_bytes(pages).ok_or_else(too_long)?;
        let journal = self.space.allocate(bytes.max(PAGE_BYTES), PAGE_BYTES, Use::Checkpoint)?;

        let (entries, table_crc) = self.write_journal(freeze, &sum_pages, &journal, pages)?;
        let catalog = freeze.catalog();
        let contents = catalog.encode();
        let extent = self.space.allocate(contents.len() as u64, PAGE_BYTES, Use::Checkpoint)?;
        self.write(&contents, extent.offset())?;
        if kept(Mutant::PlacesAllocated) {
            self.allocate_places(&entries)?;
        }
        if kept(Mutant::JournalSync) {
            self.syncer.sync()?;
        }

        let places = || catalog.places().chain([(extent.offset(), extent.bytes())]);
        let named: HashSet<u64> = places().map(|(offset, _)| offset).collect();
        let end = places().map(|(offset, bytes)| offset + bytes).max().unwrap_or(0);
        if kept(Mutant::FailedAttemptStaysUnused) {
            self.space.begin_naming(named.iter().copied().chain([journal.offset()]).collect());
        }
        let durable = self.headers.durable();
        let header = Header {
            hmap: freeze.hmap,
            log: freeze.log,
            catalog: Pointer {
                offset: extent.offset(),
                len: contents.len() as u64,
                crc: crc32fast::hash(&contents),
            },
            journal: Pointer { offset: journal.offset(), len: pages, crc: table_crc },
            file_bytes: end.max(journal.offset() + journal.bytes()),
            checkpoint_seq: durable.checkpoint_seq + 1,
            ..durable
        };
        self.headers.commit(&self.syncer.turn(), header)?;
        state.catalog = extent;
        state.unfinished = Some(Unfinished { journal, entries, named, end });
        Ok(())
    }

    /// Steps 4 and 5; `closing` clears the writing flag with the same header.
    pub(crate) fn complete_in_place(&self, closing: bool) -> Result<()> {
        self.complete(&mut self.lock(), Some(closing))
    }

    fn complete(&self, state: &mut State, closing: Option<bool>) -> Result<()> {
        let Some(unfinished) = &state.unfinished else { return Ok(()) };
        let table = journal::table_bytes(unfinished.entries.len() as u64);
        self.syncer.check()?;
        let images_at = unfinished.journal.offset() + table;
        copy_in_place(&*self.media, images_at, &unfinished.entries, |pages| self.pasts.save(pages))?;
        if kept(Mutant::InPlaceSync) {
            self.syncer.sync()?;
        }
        let durable = self.headers.durable();
        let writing = durable.writing && closing != Some(true);
        let header = Header { journal: Pointer::default(), writing, file_bytes: unfinished.end, ..durable };
        self.headers.commit(&self.syncer.turn(), header)?;
        if closing == Some(true) && kept(Mutant::CloseWritesBothSlots) {
            // The other slot names the journal still. With the same state in both, a closed file survives the loss
            // of either.
            self.headers.commit(&self.syncer.turn(), header)?;
        }
        if let Some(Unfinished { journal, named, .. }) = state.unfinished.take() {
            drop(journal);
            self.space.commit_naming(named);
        }
        Ok(())
    }

    fn write_journal(
        &self,
        freeze: &Freeze,
        sum_pages: &[BTreeSet<usize>],
        journal: &Extent,
        pages: u64,
    ) -> Result<(Vec<Entry>, u32)> {
        let images_at = journal.offset() + journal::table_bytes(pages);
        let mut images =
            Images { checkpointer: self, at: images_at, buffer: Vec::new(), entries: Vec::new() };
        for (n, part) in freeze.arrays.iter().enumerate() {
            for &page in &part.frozen {
                let place = part.pages.offset() + page as u64 * PAGE_BYTES;
                let crc = match freeze.copies.find(n, page) {
                    Some(image) => images.push(place, image)?,
                    None => images.push(place, &*part.pages.copy_frozen(page)?)?,
                };
                part.pages.sums().set(page, crc)?;
            }
        }
        for (part, sum_pages) in freeze.arrays.iter().zip(sum_pages) {
            for &sum_page in sum_pages {
                let image = part.pages.sums().encode_page(sum_page);
                images.push(part.sums_offset() + sum_page as u64 * PAGE_BYTES, &image)?;
            }
        }
        images.flush()?;
        let entries = images.entries;
        let (table, crc) = journal::encode(&entries);
        self.write(&table, journal.offset())?;
        Ok((entries, crc))
    }

    /// Has the blocks ready that the in-place writes need, so that a full disk can't strike after the commit (D9).
    fn allocate_places(&self, entries: &[Entry]) -> Result<()> {
        for run in runs(entries) {
            let (offset, bytes) = (run[0].page_offset, run.len() as u64 * PAGE_BYTES);
            self.media.allocate(offset, bytes).map_err(no_space("a checkpoint", bytes))?;
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.media.write_at(bytes, offset).map_err(no_space("writing a checkpoint", bytes.len() as u64))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies the images that begin at `images_at` to their places. Reads them back instead of keeping them: a journal
/// can be larger than the memory that a checkpoint may take. `before` is told which file offsets are written next.
pub(crate) fn copy_in_place(
    media: &dyn Media,
    images_at: u64,
    entries: &[Entry],
    before: impl Fn(&Range<u64>),
) -> Result<()> {
    let mut buffer = Vec::new();
    let mut index = 0;
    for run in runs(entries) {
        for chunk in run.chunks(CHUNK_PAGES) {
            buffer.resize(chunk.len() * PAGE_BYTES as usize, 0);
            let from = images_at + index as u64 * PAGE_BYTES;
            media.read_at(&mut buffer, from).map_err(Error::io("reading the journal"))?;
            for (n, (image, entry)) in buffer.chunks_exact(PAGE_BYTES as usize).zip(chunk).enumerate() {
                let found = page_crc(image);
                if found != entry.crc {
                    let (offset, expected) = (from + n as u64 * PAGE_BYTES, Detail::Crc(entry.crc));
                    return Err(Error::corrupt("page of the journal", offset, expected, Detail::Crc(found)));
                }
            }
            let to = chunk[0].page_offset;
            before(&(to..to + buffer.len() as u64));
            if kept(Mutant::EqualPagesWrittenToo) || !holds(media, to, &buffer) {
                media.write_at(&buffer, to).map_err(Error::io("writing index pages"))?;
            }
            index += chunk.len();
        }
    }
    Ok(())
}

/// Whether the file reads like this already, which is not to say that the disk does (D13).
fn holds(media: &dyn Media, offset: u64, bytes: &[u8]) -> bool {
    let mut found = vec![0; bytes.len()];
    media.read_at(&mut found, offset).is_ok() && found == bytes
}

/// Runs of entries whose pages lie side by side, in order.
fn runs(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    entries.chunk_by(|a, b| a.page_offset + PAGE_BYTES == b.page_offset)
}

/// Collects page images and writes them in chunks.
struct Images<'a> {
    checkpointer: &'a Checkpointer,
    /// File offset of the next chunk.
    at: u64,
    buffer: Vec<u8>,
    entries: Vec<Entry>,
}

impl Images<'_> {
    fn push(&mut self, page_offset: u64, image: &Page) -> Result<u32> {
        let crc = page_crc(image);
        self.entries.push(Entry { page_offset, crc });
        self.buffer.extend_from_slice(image);
        if self.buffer.len() >= CHUNK_PAGES * PAGE_BYTES as usize {
            self.flush()?;
        }
        Ok(crc)
    }

    fn flush(&mut self) -> Result<()> {
        self.checkpointer.write(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Freeze {
    fn catalog(&self) -> Catalog {
        let index = self.arrays.iter().map(|part| IndexExtent {
            array: part.array,
            part: part.part,
            offset: part.pages.offset(),
            bytes: part.pages.bytes(),
            sums_offset: part.sums_offset(),
            sums: part.pages.sums().page_crcs(),
        });
        Catalog { index: index.collect(), segments: self.segments.clone() }
    }

    /// Copies what is frozen while it is likely that the writer has not come by, as far as there is memory for that. It
    /// would have to save each page that it is the first to change.
    pub(crate) fn copy_ahead(&mut self) {
        let Copies { memory, of } = &mut self.copies;
        let frozen = self
            .arrays
            .iter()
            .enumerate()
            .flat_map(|(n, part)| part.frozen.iter().map(move |&page| (n, part, page)));
        for (n, part, page) in frozen {
            let Some(copy) = memory.get_mut(of.len()) else { return };
            if part.pages.copy_if_frozen(page, copy).is_ok() {
                of.push((n, page));
            }
        }
    }

    /// The checkpoint is complete: pages that nobody changed meanwhile are clean.
    pub(crate) fn finish(&self) {
        self.arrays.iter().for_each(|part| part.pages.finish(&part.frozen));
    }

    /// Bytes of the arrays that were frozen.
    pub(crate) fn array_bytes(&self) -> u64 {
        self.arrays.iter().map(|part| part.pages.bytes()).sum()
    }

    /// Drops the private copies of pages that are clean. Under the writer lock.
    pub(crate) fn drop_clean_copies(&self) {
        self.arrays.iter().for_each(|part| part.pages.drop_clean_copies());
    }

    /// The checkpoint did not happen: its pages are dirty again (D7). Under the writer lock.
    pub(crate) fn thaw(&self) {
        self.arrays.iter().for_each(|part| part.pages.thaw(&part.frozen));
    }
}

impl FrozenPages {
    fn sums_offset(&self) -> u64 {
        self.pages.place().map_or(0, |place| place.sums.offset())
    }

    /// The pages of checksums that cover frozen pages.
    fn sum_pages(&self) -> BTreeSet<usize> {
        let frozen = self.frozen.iter().filter(|_| kept(Mutant::ChecksumPagesJournaled));
        frozen.map(|&page| Sums::sum_page_of(page)).collect()
    }
}

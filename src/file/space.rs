//! Space in the file: which bytes are free, and leases for those that are not.
//!
//! An [`Extent`] is a lease: whoever holds it may use its bytes, dropping it gives them back. Bytes that are given
//! back while a header on disk still names them stay where they are until a later header no longer does (D8), and those
//! of a checkpoint that somebody keeps until nobody does (D21, [`Hold`]); a
//! lease is dropped only when no reader can see it any more, because whoever holds one retires it through the
//! epochs.
//!
//! Free extents coalesce. What becomes free is punched, so that the file gives the space back; but only while the
//! store is open for writing. When an opening fails, at a close, and in a forked child leases are dropped all the
//! same, among them those on log that only a replay leads to: nothing is punched then.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::file::fork::Process;
use crate::file::media::Media;
use crate::format::bucket::Position;
use crate::format::{PAGE_BYTES, page_round_up};
use crate::mutants::{Mutant, kept};

/// What an extent is for; decides how its space is made ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Reads as zeros, costs nothing until a checkpoint writes it.
    Index,
    /// Preallocated, so that a store into its mapping can't hit a full disk; what it holds is of no meaning.
    Log,
    /// Written by calls before it is named.
    Checkpoint,
}

impl Use {
    fn what(self) -> &'static str {
        match self {
            Use::Index => "a bucket array",
            Use::Log => "a log segment",
            Use::Checkpoint => "a checkpoint",
        }
    }
}

/// The free and the leased parts of one file.
pub(crate) struct Space {
    media: Arc<dyn Media>,
    state: Mutex<State>,
    /// The file's length. Held over the call that makes the file longer: of two at once, the later could make it
    /// shorter again.
    length: Mutex<u64>,
    /// Whether a lease that is dropped gives its bytes back to the file system. Relaxed: it changes at the opening
    /// and at the close, where nothing else runs.
    punching: AtomicBool,
    process: Process,
}

struct State {
    /// Free runs: offset to length. Never adjacent.
    free: BTreeMap<u64, u64>,
    /// The file's length as far as it was used.
    end: u64,
    /// Offsets of extents that the last durable header names.
    named: HashSet<u64>,
    /// Offsets that a header names which may or may not be durable.
    naming: HashSet<u64>,
    /// Offsets of extents that somebody holds, and how many do.
    held: HashMap<u64, usize>,
    /// Extents given back while they were named or held.
    waiting: Vec<(u64, u64)>,
    /// Those of them that are being punched.
    returning: Vec<(u64, u64)>,
}

/// A lease on a run of bytes.
pub(crate) struct Extent {
    space: Arc<Space>,
    offset: u64,
    bytes: u64,
}

impl Extent {
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        self.space.give_back(self.offset, self.bytes);
    }
}

/// Extents that are not freed as long as it lives.
pub(crate) struct Hold {
    space: Arc<Space>,
    offsets: Vec<u64>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        // As with a lease: a forked child has nothing to give back.
        if self.space.process.check().is_err() {
            return;
        }
        {
            let mut state = self.space.lock();
            for offset in &self.offsets {
                if let Entry::Occupied(mut held) = state.held.entry(*offset) {
                    *held.get_mut() -= 1;
                    if *held.get() == 0 {
                        held.remove();
                    }
                }
            }
        }
        self.space.free_what_waited();
    }
}

impl Space {
    /// The space of a file of this length, all free but for the header slots; what is in use is claimed extent by
    /// extent with [`Space::claim`].
    pub(crate) fn new(media: Arc<dyn Media>, length: u64) -> Arc<Self> {
        let end = length - length % PAGE_BYTES;
        let mut free = BTreeMap::new();
        if end > 2 * PAGE_BYTES {
            free.insert(2 * PAGE_BYTES, end - 2 * PAGE_BYTES);
        }
        let end = end.max(2 * PAGE_BYTES);
        let (named, naming) = (HashSet::new(), HashSet::new());
        let state = State {
            free,
            end,
            named,
            naming,
            held: HashMap::new(),
            waiting: Vec::new(),
            returning: Vec::new(),
        };
        let (length, punching) = (Mutex::new(length), AtomicBool::new(!kept(Mutant::OpeningPunchesNothing)));
        Arc::new(Space { media, state: Mutex::new(state), length, punching, process: Process::current() })
    }

    /// From now on what is given back is punched: the store is open.
    pub(crate) fn begin_punching(&self) {
        self.punching.store(true, Ordering::Relaxed);
    }

    /// From now on leases end without a trace in the file: the store is closed, or could not be.
    pub(crate) fn end_punching(&self) {
        self.punching.store(!kept(Mutant::ClosedStorePunchesNothing), Ordering::Relaxed);
    }

    /// Leases an extent that a header or the log names.
    pub(crate) fn claim(self: &Arc<Self>, offset: u64, bytes: u64) -> Result<Extent> {
        let taken = || Error::corrupt("extent", offset, "space that nothing else uses", bytes);
        let mut state = self.lock();
        let (&start, &len) = state.free.range(..=offset).next_back().ok_or_else(taken)?;
        let end = offset.checked_add(bytes).filter(|&end| end <= start + len).ok_or_else(taken)?;
        state.free.remove(&start);
        state.insert_free(start, offset - start);
        state.insert_free(end, start + len - end);
        Ok(Extent { space: Arc::clone(self), offset, bytes })
    }

    /// Leases `bytes` (rounded up to pages) at a multiple of `align`.
    pub(crate) fn allocate(self: &Arc<Self>, bytes: u64, align: u64, purpose: Use) -> Result<Extent> {
        let bytes = page_round_up(bytes);
        let offset = self.lock().take(bytes, align);
        // From here on the drop of the lease gives the run back, whatever fails.
        let extent = Extent { space: Arc::clone(self), offset, bytes };
        if purpose == Use::Log && offset + bytes > Position::END_OFFSET {
            return Err(Error::TooLarge {
                what: "the file",
                len: offset + bytes,
                limit: Position::END_OFFSET,
            });
        }
        let mut ready = self.make_ready(&extent, purpose);
        if ready.as_ref().is_err_and(is_full) {
            // A session that died may have left blocks behind free runs, its spare segments above all.
            self.punch_free();
            ready = self.make_ready(&extent, purpose);
        }
        ready.map_err(no_space(purpose.what(), bytes))?;
        Ok(extent)
    }

    /// Whether the file system has so many bytes for us, as far as it tells.
    pub(crate) fn is_there_for(&self, bytes: u64) -> bool {
        self.media.available().is_none_or(|available| available >= bytes)
    }

    /// Gives the blocks of all free runs back to the file system. Holds the lock, so that none is taken meanwhile.
    pub(crate) fn punch_free(&self) {
        let state = self.lock();
        state.free.iter().for_each(|(&offset, &len)| drop(self.media.punch(offset, len)));
    }

    fn make_ready(&self, extent: &Extent, purpose: Use) -> std::io::Result<()> {
        let (offset, bytes) = (extent.offset, extent.bytes);
        self.lengthen(offset + bytes)?;
        match purpose {
            // Whether or not it was punched when it was freed: a punch can be lost (D12).
            Use::Index if !kept(Mutant::ExtentsZeroed) => Ok(()),
            Use::Index => self.media.clear(offset, bytes),
            Use::Log if !kept(Mutant::SegmentPreallocated) => Ok(()),
            Use::Log | Use::Checkpoint => self.media.allocate(offset, bytes),
        }
    }

    fn lengthen(&self, end: u64) -> std::io::Result<()> {
        let mut length = self.length.lock().unwrap_or_else(PoisonError::into_inner);
        if *length < end {
            self.media.set_length(end)?;
            *length = end;
        }
        Ok(())
    }

    /// Tells which extents a header names that is about to be written.
    pub(crate) fn begin_naming(&self, offsets: HashSet<u64>) {
        self.lock().naming.extend(offsets);
    }

    /// That header is durable: what only older headers named is free.
    pub(crate) fn commit_naming(&self, offsets: HashSet<u64>) {
        {
            let mut state = self.lock();
            state.named = offsets;
            state.naming.clear();
        }
        self.free_what_waited();
    }

    /// Keeps extents from being freed, whoever has a lease on them.
    pub(crate) fn hold(self: &Arc<Self>, offsets: impl Iterator<Item = u64>) -> Hold {
        let offsets: Vec<_> = offsets.collect();
        let mut state = self.lock();
        offsets.iter().for_each(|offset| *state.held.entry(*offset).or_default() += 1);
        drop(state);
        Hold { space: Arc::clone(self), offsets }
    }

    /// Frees what was given back and nothing needs any more.
    fn free_what_waited(&self) {
        let freed = {
            let mut state = self.lock();
            let waiting = std::mem::take(&mut state.waiting);
            let (still, freed): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .partition(|(offset, _)| state.is_named(*offset) || state.is_held(*offset));
            state.waiting = still;
            state.returning.extend(&freed);
            freed
        };
        freed.into_iter().for_each(|(offset, bytes)| self.free(offset, bytes));
    }

    /// What is free, and what was given back and waits for a header that does not name it, as (offset, bytes); and the
    /// end of all.
    pub(crate) fn unused(&self) -> (Vec<(u64, u64)>, u64) {
        let state = self.lock();
        let free = state.free.iter().map(|(&offset, &bytes)| (offset, bytes));
        let given_back = state.waiting.iter().chain(&state.returning).copied();
        (free.chain(given_back).collect(), state.end)
    }

    /// Cuts free space off the end of the file. A mapping may still lie there, a part of one whose other parts are in
    /// use: nobody looks into what is free.
    pub(crate) fn truncate(&self) -> std::io::Result<()> {
        let mut state = self.lock();
        if let Some((&offset, &len)) = state.free.last_key_value()
            && offset + len == state.end
        {
            state.free.remove(&offset);
            state.end = offset;
        }
        let end = state.end;
        let mut length = self.length.lock().unwrap_or_else(PoisonError::into_inner);
        if *length > end {
            self.media.set_length(end)?;
            *length = end;
        }
        Ok(())
    }

    fn give_back(&self, offset: u64, bytes: u64) {
        // A forked child drops what its parent goes on using, and a lock may be held for ever there (C15).
        if self.process.check().is_err() {
            return;
        }
        {
            let mut state = self.lock();
            let named = state.is_named(offset) && kept(Mutant::FreedSpaceWaits);
            if named || state.is_held(offset) {
                state.waiting.push((offset, bytes));
                return;
            }
        }
        self.free(offset, bytes);
    }

    fn free(&self, offset: u64, bytes: u64) {
        if self.punching.load(Ordering::Relaxed) {
            // A punch that fails costs space, nothing else: whoever takes the run makes it ready again.
            let _ = self.media.punch(offset, bytes);
        }
        let mut state = self.lock();
        state.returning.retain(|(returning, _)| *returning != offset);
        state.insert_free(offset, bytes);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a header that may be on disk names an extent.
    fn is_named(&self, offset: u64) -> bool {
        self.named.contains(&offset) || self.naming.contains(&offset)
    }

    fn is_held(&self, offset: u64) -> bool {
        self.held.contains_key(&offset) && kept(Mutant::KeptCheckpointHoldsSpace)
    }

    /// First fit, else the end of the file.
    fn take(&mut self, bytes: u64, align: u64) -> u64 {
        let fit = self.free.iter().find_map(|(&start, &len)| {
            let offset = start.next_multiple_of(align);
            (offset + bytes <= start + len).then_some((start, len, offset))
        });
        if let Some((start, len, offset)) = fit {
            self.free.remove(&start);
            self.insert_free(start, offset - start);
            self.insert_free(offset + bytes, start + len - offset - bytes);
            return offset;
        }
        let offset = self.end.next_multiple_of(align);
        let gap = offset - self.end;
        self.insert_free(self.end, gap);
        self.end = offset + bytes;
        offset
    }

    fn insert_free(&mut self, mut offset: u64, mut len: u64) {
        if len == 0 {
            return;
        }
        if let Some((&before, &before_len)) = self.free.range(..offset).next_back()
            && before + before_len == offset
        {
            self.free.remove(&before);
            (offset, len) = (before, before_len + len);
        }
        if let Some(after_len) = self.free.remove(&(offset + len)) {
            len += after_len;
        }
        self.free.insert(offset, len);
    }
}

/// Tells a full disk, or memory that can't be had, from other trouble.
pub(crate) fn no_space(what: &'static str, needed_bytes: u64) -> impl FnOnce(std::io::Error) -> Error {
    move |source| {
        if is_full(&source) {
            Error::NoSpace { what, needed_bytes }
        } else {
            Error::Io { action: what, source }
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, OutOfMemory, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge | OutOfMemory)
}

//! Memory that readers look at while the writer changes it: the one home of `unsafe`, this file and its folder.
//!
//! Four things live here, each with a safe interface that keeps its own promise:
//!
//! * [`Region`]: a mapping, reached as atomic 64-bit words only.
//! * [`RecordMemory`]: a log segment's mapping. One [`Appender`] writes above a watermark, readers get slices
//!   below it, and nothing below it is ever written again.
//! * [`Published`]: an atomic pointer to an immutable value that readers use while they are pinned.
//! * [`PinnedBytes`]: bytes of a record together with the pin that keeps them readable.

mod published;
mod records;

use std::fs::File;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use memmap2::{Advice, MmapMut, MmapOptions, MmapRaw, UncheckedAdvice};

use crate::format::PAGE_BYTES;
use crate::seam::Words;

pub(crate) use published::Published;
pub(crate) use records::{Appender, PinnedBytes, RecordBytes, RecordMemory, Window, crc32c};

/// A mapping, or a part of one; cheap to clone, unmapped with the last clone.
#[derive(Clone)]
pub struct Region {
    base: NonNull<u8>,
    len: usize,
    owner: Arc<Owner>,
}

enum Owner {
    /// `MAP_SHARED`, or `MAP_PRIVATE` of a file that is only read.
    Raw(MmapRaw),
    /// `MAP_PRIVATE`, writable: the kernel never writes it back.
    Private(MmapMut),
    /// Memory in place of a private mapping of `file` from `offset` on, until that one has taken its place.
    Zeros { map: MmapMut, file: Arc<File>, offset: u64, replaced: AtomicBool },
    /// Memory of the heap: miri knows no mappings.
    #[cfg(miri)]
    Heap { _memory: Heap },
    /// A mapping of a file of the simulated disk: a part of other memory, from `start` on.
    #[cfg(any(feature = "sim", test))]
    Simulated { memory: Region, start: usize, backing: Arc<dyn Backing> },
}

/// What the simulated disk does where a kernel acts on its own.
#[cfg(any(feature = "sim", test))]
pub(crate) trait Backing: Send + Sync {
    /// `len` bytes at `offset` of the mapping are about to be stored.
    fn before_store(&self, offset: usize, len: usize);

    /// Private copies of pages were dropped: fills them from the file again.
    fn reload(&self, mapping: &Region, offset: usize, len: usize);
}

// SAFETY: the base pointer is valid for `len` bytes as long as `owner` lives, and every access to the memory
// behind it goes through atomics or through the protocol of `RecordMemory`.
unsafe impl Send for Region {}
// SAFETY: as for Send.
unsafe impl Sync for Region {}

impl Region {
    pub(crate) fn from_raw(map: MmapRaw) -> Self {
        let base = NonNull::new(map.as_mut_ptr()).unwrap_or(NonNull::dangling());
        Region { base, len: map.len(), owner: Arc::new(Owner::Raw(map)) }
    }

    pub(crate) fn from_private(mut map: MmapMut) -> Self {
        let base = NonNull::new(map.as_mut_ptr()).unwrap_or(NonNull::dangling());
        Region { base, len: map.len(), owner: Arc::new(Owner::Private(map)) }
    }

    /// Zeroed memory that no file stands behind.
    #[cfg(miri)]
    pub(crate) fn anonymous(len: usize) -> std::io::Result<Self> {
        let heap = Heap::zeroed(len)?;
        Ok(Region { base: heap.base, len, owner: Arc::new(Owner::Heap { _memory: heap }) })
    }

    /// Zeroed memory that no file stands behind; pages cost memory when they are first written.
    #[cfg(not(miri))]
    pub(crate) fn anonymous(len: usize) -> std::io::Result<Self> {
        Ok(Self::from_private(MmapOptions::new().len(len).no_reserve_swap().map_anon()?))
    }

    /// Zeroed memory that stands for a private mapping of a part of `file` that reads as zeros. Copies that are dropped
    /// are read from the file then.
    #[cfg(not(miri))]
    pub(crate) fn zeros_of(file: &Arc<File>, offset: u64, len: usize) -> std::io::Result<Self> {
        let mut map = MmapOptions::new().len(len).no_reserve_swap().map_anon()?;
        let base = NonNull::new(map.as_mut_ptr()).unwrap_or(NonNull::dangling());
        let (file, replaced) = (Arc::clone(file), AtomicBool::new(false));
        Ok(Region { base, len: map.len(), owner: Arc::new(Owner::Zeros { map, file, offset, replaced }) })
    }

    /// Maps a part of `file` privately and for writing, whatever the file was opened for (C1, D11).
    pub(crate) fn private_of(file: &File, offset: u64, len: usize) -> std::io::Result<Self> {
        Ok(Self::from_private(map_copy(file, offset, len)?))
    }

    /// A mapping of the simulated disk: `len` bytes of `memory` from `start` on, which keeps all of it mapped.
    #[cfg(any(feature = "sim", test))]
    pub(crate) fn simulated(
        memory: &Region,
        start: usize,
        len: usize,
        backing: Arc<dyn Backing>,
    ) -> Option<Self> {
        let end = start.checked_add(len)?;
        if end > memory.len || !start.is_multiple_of(PAGE_BYTES as usize) {
            return None;
        }
        // SAFETY: start + len lies within the memory, as was just checked.
        let base = unsafe { memory.base.add(start) };
        Some(Region {
            base,
            len,
            owner: Arc::new(Owner::Simulated { memory: memory.clone(), start, backing }),
        })
    }

    /// Whether nobody else has this memory mapped.
    #[cfg(any(feature = "sim", test))]
    pub(crate) fn is_sole(&self) -> bool {
        Arc::strong_count(&self.owner) == 1
    }

    /// Words as the machine has them, for the simulated disk to compare and to copy pages quickly.
    #[cfg(any(feature = "sim", test))]
    pub(crate) fn words(&self, offset: usize, words: usize) -> &[AtomicU64] {
        assert!(offset.is_multiple_of(8) && offset / 8 + words <= self.len / 8);
        // SAFETY: in bounds and aligned as just asserted; all concurrent access to these words is atomic (a sim
        // mapping's appender stores words, see `Appender::compose`).
        unsafe { std::slice::from_raw_parts(self.base.add(offset).cast::<AtomicU64>().as_ptr(), words) }
    }

    /// Copies bytes of any alignment in, word by word; the rest of the first and the last word stays.
    #[cfg(any(feature = "sim", test))]
    pub(crate) fn copy_in_unaligned(&self, offset: usize, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let skip = (offset + done) % 8;
            let take = (8 - skip).min(bytes.len() - done);
            let word = &self.words(offset + done - skip, 1)[0];
            let mut whole = word.load(Ordering::Relaxed).to_ne_bytes();
            whole[skip..skip + take].copy_from_slice(&bytes[done..done + take]);
            word.store(u64::from_ne_bytes(whole), Ordering::Relaxed);
            done += take;
        }
    }

    /// Stores bytes in a mapping of the simulated disk, which is told first; false if this is no such mapping.
    #[cfg(any(feature = "sim", test))]
    fn store_simulated(&self, offset: usize, bytes: &[u8]) -> bool {
        let Some(backing) = self.backing() else { return false };
        backing.before_store(offset, bytes.len());
        self.copy_in_unaligned(offset, bytes);
        true
    }

    #[cfg(any(feature = "sim", test))]
    fn backing(&self) -> Option<&dyn Backing> {
        match &*self.owner {
            Owner::Simulated { backing, .. } => Some(&**backing),
            _ => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A part of the mapping, for reading; it keeps all of it mapped.
    pub(crate) fn part(&self, start: usize, len: usize) -> Option<Self> {
        if start.checked_add(len)? > self.len || !start.is_multiple_of(PAGE_BYTES as usize) {
            return None;
        }
        // SAFETY: the part lies within the mapping, as was just checked.
        let base = unsafe { self.base.add(start) };
        Some(Region { base, len, owner: Arc::clone(&self.owner) })
    }

    #[inline]
    fn word(&self, word: usize) -> &AtomicU64 {
        if word >= self.len / 8 {
            no_such_word(word, self.len);
        }
        // SAFETY: in bounds as just checked; mappings are page-aligned and parts 8-aligned, so the word is
        // aligned; all concurrent access to these words is atomic.
        unsafe { self.base.cast::<AtomicU64>().add(word).as_ref() }
    }

    /// Copies bytes out, word by word; what a concurrent writer stores may be seen or not, a word is whole.
    pub(crate) fn copy_out(&self, offset: usize, out: &mut [u8]) {
        debug_assert!(offset.is_multiple_of(8) && out.len().is_multiple_of(8));
        for (at, bytes) in out.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&self.load(offset / 8 + at, Ordering::Relaxed).to_le_bytes());
        }
    }

    /// Copies bytes in, word by word.
    pub(crate) fn copy_in(&self, offset: usize, bytes: &[u8]) {
        debug_assert!(offset.is_multiple_of(8) && bytes.len().is_multiple_of(8));
        for (at, word) in bytes.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(std::array::from_fn(|i| word[i]));
            self.store(offset / 8 + at, word, Ordering::Relaxed);
        }
    }

    /// Faults pages in for writing, so that no later store pays for a copy beside running readers (C10). A hint:
    /// a kernel that does not know it faults them in one by one.
    pub(crate) fn populate_write(&self, offset: usize, len: usize) {
        let from = offset - offset % PAGE_BYTES as usize;
        let len = (offset + len - from).min(self.len - from);
        let _ = match &*self.owner {
            Owner::Raw(map) => map.advise_range(Advice::PopulateWrite, from, len),
            Owner::Private(map) | Owner::Zeros { map, .. } => {
                map.advise_range(Advice::PopulateWrite, from, len)
            }
            #[cfg(miri)]
            Owner::Heap { .. } => Ok(()),
            #[cfg(any(feature = "sim", test))]
            Owner::Simulated { memory, start, .. } => {
                memory.populate_write(start + from, len);
                Ok(())
            }
        };
    }

    /// Has the system provide large pages where it can: for memory that will all be used, and may be.
    pub(crate) fn prefer_large_pages(&self) {
        if let Owner::Zeros { map, .. } = &*self.owner {
            let _ = map.advise(Advice::HugePage);
        }
    }

    /// Faults pages in for writing, one by one. Takes longer than [`Region::populate_write`], but keeps nobody else from
    /// mapping and unmapping meanwhile; for background threads.
    pub(crate) fn fault_in(&self, offset: usize, len: usize) {
        #[cfg(any(feature = "sim", test))]
        if self.backing().is_some() {
            return;
        }
        let end = (offset + len).min(self.len);
        for at in (offset..end).step_by(PAGE_BYTES as usize) {
            // Changes nothing, whatever the word is, but is a store to the processor. (One that stores what it has just
            // loaded could be left out by the compiler, and another thread's store between the two would be lost.)
            let _ = self.word(at / 8).compare_exchange(0, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Drops the private copies of pages, in runs of bytes; the next access reads the file again (D10). `changed` are the
    /// offsets of the pages that the file does not hold as they are. Keeps all copies on a system whose pages are larger
    /// than the file's: it would drop their neighbours too.
    pub(crate) fn drop_copies(&self, runs: &[Range<usize>], changed: impl Iterator<Item = usize>) {
        if runs.is_empty() || rustix::param::page_size() as u64 > PAGE_BYTES {
            return;
        }
        match &*self.owner {
            // Relaxed: who holds the writer lock drops copies, and nobody else looks.
            #[cfg(not(miri))]
            Owner::Zeros { file, offset, replaced, .. } if !replaced.load(Ordering::Relaxed) => {
                let done = self.map_over(file, *offset, changed);
                replaced.store(done.is_ok(), Ordering::Relaxed);
            }
            Owner::Private(map) | Owner::Zeros { map, .. } => {
                for run in runs {
                    // SAFETY: no reference into the region outlives a call, words are atomics; the caller (the
                    // checkpoint, under the writer lock) names only pages whose in-place copy in the file is durable
                    // and the same.
                    let _ = unsafe {
                        map.unchecked_advise_range(UncheckedAdvice::DontNeed, run.start, run.len())
                    };
                }
            }
            _ => {}
        }
        #[cfg(any(feature = "sim", test))]
        if let Some(backing) = self.backing() {
            runs.iter().for_each(|run| backing.reload(self, run.start, run.len()));
        }
    }

    /// Puts a private mapping of the region's place in `file` over all of it, in which the `changed` pages are as they are
    /// now. One mapping for all: were each run mapped by itself, a large table would take as many as the system has
    /// for a process (`vm.max_map_count`), and nobody else would get one. On an error everything stays as it is.
    ///
    /// Aborts if the system unmaps the old mapping and then has no memory to move the new one there: what lies at these
    /// addresses next would be somebody else's.
    #[cfg(not(miri))]
    fn map_over(
        &self,
        file: &File,
        offset: u64,
        changed: impl Iterator<Item = usize>,
    ) -> std::io::Result<()> {
        let mut aside = map_copy(file, offset, self.len)?;
        for page in changed {
            self.copy_out(page, &mut aside[page..page + PAGE_BYTES as usize]);
        }
        let (from, to) = (aside.as_mut_ptr().cast(), self.base.as_ptr().cast());
        // SAFETY: both mappings have this length. Nobody holds a reference into either: words are atomics, and a reader
        // that comes meanwhile waits for the system and finds the same words, as the caller of `drop_copies` has seen
        // to; nobody stores any, under the writer lock.
        let moved = unsafe {
            rustix::mm::mremap_fixed(from, self.len, self.len, rustix::mm::MremapFlags::MAYMOVE, to)
        };
        if moved.is_err() {
            std::process::abort();
        }
        // It is where the region's own mapping was, and goes with that one.
        std::mem::forget(aside);
        Ok(())
    }

    /// Has the memory read as zeros in a forked child (C15).
    #[cfg(miri)]
    pub(crate) fn wipe_on_fork(&self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    /// Has the memory read as zeros in a forked child (C15).
    #[cfg(not(miri))]
    pub(crate) fn wipe_on_fork(&self) -> std::io::Result<()> {
        let advice = rustix::mm::Advice::LinuxWipeOnFork;
        // SAFETY: the range is this mapping's own; the words in it are atomics and zero is a valid value for them.
        unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), self.len, advice)? };
        Ok(())
    }
}

/// Maps a part of `file` privately and for writing.
fn map_copy(file: &File, offset: u64, len: usize) -> std::io::Result<MmapMut> {
    let mut options = MmapOptions::new();
    // SAFETY: the mapping becomes a region's, which is reached only through atomic words (Region) or as published
    // records (RecordMemory); the file's lock keeps other processes of this library from changing it (C16).
    unsafe { options.offset(offset).len(len).no_reserve_swap().map_copy(file) }
}

/// Zeroed, page-aligned memory in place of an anonymous mapping.
#[cfg(miri)]
struct Heap {
    base: NonNull<u8>,
    layout: std::alloc::Layout,
}

#[cfg(miri)]
impl Heap {
    fn zeroed(len: usize) -> std::io::Result<Self> {
        let invalid = std::io::ErrorKind::InvalidInput;
        let layout = std::alloc::Layout::from_size_align(len, PAGE_BYTES as usize).map_err(|_| invalid)?;
        if len == 0 {
            return Err(invalid.into());
        }
        // SAFETY: the size is not 0, as was just checked.
        let base = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) });
        Ok(Heap { base: base.ok_or(std::io::ErrorKind::OutOfMemory)?, layout })
    }
}

#[cfg(miri)]
impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: `base` came from this layout; the last clone of the region is gone, and so is every use.
        unsafe { std::alloc::dealloc(self.base.as_ptr(), self.layout) }
    }
}

impl Words for Region {
    #[inline]
    fn load(&self, word: usize, order: Ordering) -> u64 {
        u64::from_le(self.word(word).load(order))
    }

    #[inline]
    fn store(&self, word: usize, value: u64, order: Ordering) {
        self.word(word).store(value.to_le(), order);
    }

    #[inline]
    fn prefetch(&self, word: usize) {
        prefetch(self.base.as_ptr().wrapping_add(word * 8));
    }
}

/// Apart, so that a load costs no more than the comparison.
#[cold]
fn no_such_word(word: usize, bytes: usize) -> ! {
    panic!("word {word} of a region of {bytes} bytes")
}

/// Has the processor fetch a cache line, where it takes such hints.
#[inline]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of whatever address neither faults nor changes anything.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Region({} bytes)", self.len)
    }
}

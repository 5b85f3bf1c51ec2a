//! The memory of log segments: records that readers use where they lie, beside the one who appends.

use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::file::epoch::Pin;
use crate::file::media::{Mapping, Media};
use crate::format::PAGE_BYTES;

use super::{Region, prefetch};

const CACHE_LINE_BYTES: usize = 64;

/// Cache lines of a record that are fetched ahead of a look at it.
const PREFETCHED_LINES: usize = 3;

/// The memory of one log segment: a head of its own, published records up to a watermark, free space above it. Clones
/// share it.
#[derive(Clone)]
pub(crate) struct RecordMemory {
    region: Region,
    /// Bytes of the head, which the appender may rewrite and readers never see.
    head_bytes: usize,
    shared: Arc<Watermark>,
}

/// What the appender changes, on cache lines of its own.
#[repr(align(128))]
struct Watermark {
    /// The end of what may be read, in bytes. Published by the appender (Release), loaded by readers (Acquire).
    published: AtomicUsize,
    appender_taken: AtomicBool,
}

impl RecordMemory {
    /// Memory whose first `head_bytes` are no records.
    pub(crate) fn new(region: Region, head_bytes: usize) -> Self {
        let head_bytes = head_bytes.min(region.len());
        let (published, appender_taken) = (AtomicUsize::new(head_bytes), AtomicBool::new(false));
        RecordMemory { region, head_bytes, shared: Arc::new(Watermark { published, appender_taken }) }
    }

    /// Bytes of the whole segment.
    pub(crate) fn len(&self) -> usize {
        self.region.len
    }

    /// The one right to write here; `None` while another one exists.
    pub(crate) fn appender(&self) -> Option<Appender> {
        let free = !self.shared.appender_taken.swap(true, Ordering::Acquire);
        free.then(|| Appender { memory: self.clone(), window: None })
    }

    /// Maps a part of the segment once more, for an appender to write through; `segment_offset` is where the segment
    /// begins in the file.
    pub(crate) fn window(
        &self,
        media: &dyn Media,
        segment_offset: u64,
        part: Range<usize>,
    ) -> std::io::Result<Window> {
        let region = media.map(Mapping::Shared, segment_offset + part.start as u64, part.len())?;
        Ok(Window { region, start: part.start })
    }

    /// The published records from `offset` on; `None` when it does not lie among them.
    #[inline]
    pub(crate) fn from(&self, offset: usize) -> Option<RecordBytes<'_>> {
        let end = self.published_end();
        if offset < self.head_bytes || offset > end {
            return None;
        }
        // SAFETY: the watermark never exceeds the region (Appender::publish) and never falls; the appender writes
        // above it or into the head only, so these bytes do not change while `self` keeps them mapped.
        let bytes =
            unsafe { std::slice::from_raw_parts(self.region.base.as_ptr().add(offset), end - offset) };
        Some(RecordBytes(bytes))
    }

    /// Has the processor fetch the beginning of the record at `offset`, as much as a short one has.
    #[inline]
    pub(crate) fn prefetch(&self, offset: usize) {
        let record = self.region.base.as_ptr().wrapping_add(offset);
        (0..PREFETCHED_LINES).for_each(|line| prefetch(record.wrapping_add(line * CACHE_LINE_BYTES)));
    }

    /// The end of what is published, in bytes from the segment's beginning.
    #[inline]
    pub(crate) fn published_end(&self) -> usize {
        self.shared.published.load(Ordering::Acquire)
    }
}

/// A part of a segment, mapped for writing alone. A sync makes each page that was written through a mapping read-only
/// there, and interrupts every core that runs the process to tell it: 20 us a page, measured. So records are written
/// through a small window that moves with the tail, and read through a mapping that was never written.
#[derive(Clone)]
pub(crate) struct Window {
    region: Region,
    /// Where in the segment it begins.
    start: usize,
}

impl Window {
    /// Where in the segment it ends.
    pub(crate) fn end(&self) -> usize {
        self.start + self.region.len
    }

    /// Whether a part of the segment lies within it.
    #[inline]
    pub(crate) fn covers(&self, at: usize, len: usize) -> bool {
        at >= self.start && len <= self.region.len && at - self.start <= self.region.len - len
    }

    /// Faults in what will be written next.
    pub(crate) fn populate(&self, at: usize, len: usize) {
        self.region.populate_write(at - self.start, len);
    }

    /// Faults it in, page by page: who maps something meanwhile does not wait for all of it. The writer may be at the same
    /// bytes, through a window of its own.
    pub(crate) fn fault_in(self) -> Self {
        let pages = (0..self.region.len).step_by(PAGE_BYTES as usize);
        pages.for_each(|at| self.region.populate_write(at, PAGE_BYTES as usize));
        self
    }

    fn address(&self, at: usize) -> NonNull<u8> {
        // SAFETY: every caller has asserted that the window covers `at`.
        unsafe { self.region.base.add(at - self.start) }
    }
}

/// Writes a segment's free space; there is one per segment at a time.
pub(crate) struct Appender {
    memory: RecordMemory,
    window: Option<Window>,
}

impl Appender {
    /// The part of the segment that can be written now.
    #[inline]
    pub(crate) fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// Leaves the window; nothing can be written then.
    pub(crate) fn leave(&mut self) -> Option<Window> {
        self.window.take()
    }

    /// Moves on to another part of the segment; returns the one before.
    pub(crate) fn move_to(&mut self, window: Window) -> Option<Window> {
        self.window.replace(window)
    }

    /// Has `compose` fill `len` bytes above the watermark, which may hold anything before.
    ///
    /// # Panics
    /// When `at` lies below the watermark or the window does not cover it: the log sees to both before it appends.
    #[inline]
    pub(crate) fn compose(&mut self, at: usize, len: usize, compose: impl FnOnce(&mut [u8])) {
        let published = self.memory.shared.published.load(Ordering::Relaxed);
        assert!(at >= published, "published records never change");
        let window = self.window.as_ref().filter(|window| window.covers(at, len));
        let Some(window) = window else { panic!("the window covers what is appended") };
        #[cfg(any(feature = "sim", test))]
        if window.region.backing().is_some() {
            // A kernel could write back, and a kill leave, any part of it: in several stores, for the simulated disk.
            let mut bytes = vec![0; len];
            compose(&mut bytes);
            let mut at = at;
            for part in bytes.chunks(len.div_ceil(4).next_multiple_of(8).max(8)) {
                window.region.store_simulated(at - window.start, part);
                at += part.len();
            }
            return;
        }
        // SAFETY: in bounds as just asserted. Readers get slices only of what lies behind the head and below the
        // watermark; `&mut self` of the only appender keeps other writers out. Any byte is a valid u8.
        compose(unsafe { std::slice::from_raw_parts_mut(window.address(at).as_ptr(), len) });
    }

    /// Writes into the head, through a window that covers it.
    ///
    /// # Panics
    /// When the bytes reach beyond the head or the window.
    pub(crate) fn write_head(&mut self, head: &Window, at: usize, bytes: &[u8]) {
        let end = at.checked_add(bytes.len());
        assert!(end.is_some_and(|end| end <= self.memory.head_bytes), "records are not part of the head");
        assert!(head.covers(at, bytes.len()));
        #[cfg(any(feature = "sim", test))]
        if head.region.store_simulated(at - head.start, bytes) {
            return;
        }
        // SAFETY: in bounds as just asserted. Readers get slices only of what lies behind the head; `&mut self` of the
        // only appender keeps other writers out.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), head.address(at).as_ptr(), bytes.len()) };
    }

    /// Bytes above or below the watermark, for recovery to look at before it believes them.
    pub(crate) fn peek(&self, offset: usize, len: usize) -> Option<&[u8]> {
        let end = offset.checked_add(len)?;
        if end > self.memory.region.len {
            return None;
        }
        // SAFETY: in bounds as just checked; the only appender is borrowed, so nobody writes meanwhile.
        Some(unsafe { std::slice::from_raw_parts(self.memory.region.base.as_ptr().add(offset), len) })
    }

    /// Lets readers see everything up to `end`.
    #[inline]
    pub(crate) fn publish(&mut self, end: usize) {
        assert!(end <= self.memory.region.len);
        let published = &self.memory.shared.published;
        let before = published.load(Ordering::Relaxed);
        // Release: pairs with the Acquire load in `published_end`.
        published.store(end.max(before), Ordering::Release);
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.memory.shared.appender_taken.store(false, Ordering::Release);
    }
}

/// Published bytes of a record: a slice that came from a [`RecordMemory`], and nothing else.
#[derive(Clone, Copy)]
pub(crate) struct RecordBytes<'p>(&'p [u8]);

impl<'p> RecordBytes<'p> {
    /// A part of these bytes.
    #[inline]
    pub(crate) fn part(self, range: std::ops::Range<usize>) -> Self {
        RecordBytes(&self.0[range])
    }

    /// The first `len` bytes, where there are as many.
    #[inline]
    pub(crate) fn first(self, len: usize) -> Option<Self> {
        self.0.get(..len).map(RecordBytes)
    }

    /// The bytes, for as long as the record was borrowed.
    #[inline]
    pub(crate) fn as_slice(self) -> &'p [u8] {
        self.0
    }
}

/// Bytes of a record and the pin that keeps them mapped. `Sync`, not `Send`: the pin is its thread's.
pub(crate) struct PinnedBytes<'s> {
    bytes: NonNull<[u8]>,
    _pin: Pin<'s>,
}

// SAFETY: shared access only reads immutable bytes; the pin is dropped by the owning thread, which cannot change
// because the type is not Send.
unsafe impl Sync for PinnedBytes<'_> {}

impl<'s> PinnedBytes<'s> {
    /// Keeps bytes that were found under `pin`.
    #[inline]
    pub(crate) fn keep(pin: &Pin<'s>, bytes: RecordBytes<'_>) -> Self {
        PinnedBytes { bytes: NonNull::from(bytes.0), _pin: pin.clone() }
    }

    /// Keeps the bytes that `find` finds under `pin`, which goes with them.
    #[inline]
    pub(crate) fn find<E>(
        pin: Pin<'s>,
        find: impl for<'p> FnOnce(&'p Pin<'s>) -> Result<Option<RecordBytes<'p>>, E>,
    ) -> Result<Option<Self>, E> {
        let found = find(&pin)?.map(|bytes| NonNull::from(bytes.0));
        Ok(found.map(|bytes| PinnedBytes { bytes, _pin: pin }))
    }
}

impl Deref for PinnedBytes<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are those of published records (RecordBytes), which never change, in a segment that was
        // reachable under the pin; segments are dropped through the epochs only, so it stays mapped until the pin
        // goes.
        unsafe { self.bytes.as_ref() }
    }
}

/// The CRC-32C of `bytes` behind others whose checksum is `start`: that of the `crc32c` crate, in a third of the
/// instructions where a record is short. A lookup waits for two cache misses and then compares the checksum; only if
/// what it does between two waits fits into the processor's window does the next lookup begin meanwhile.
#[inline]
pub(crate) fn crc32c(start: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() < 512 && is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has the instruction, as was just asked.
        return unsafe { crc32c_of_short(start, bytes) };
    }
    crc32c::crc32c_append(start, bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn crc32c_of_short(start: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};
    let (lines, rest) = bytes.as_chunks::<32>();
    let (words, rest) = rest.as_chunks::<8>();
    let (halves, rest) = rest.as_chunks::<4>();
    let word = |crc, word: &[u8; 8]| _mm_crc32_u64(crc, u64::from_le_bytes(*word));
    let line = |crc, line: &[u8; 32]| line.as_chunks().0.iter().fold(crc, word);
    let crc = words.iter().fold(lines.iter().fold(u64::from(!start), line), word) as u32;
    let crc = halves.iter().fold(crc, |crc, half| _mm_crc32_u32(crc, u32::from_le_bytes(*half)));
    !rest.iter().fold(crc, |crc, &byte| _mm_crc32_u8(crc, byte))
}

//! Log space that is made ready before the writer needs it: spare segments, and the next window of the present one.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::file::log::segment::Segment;
use crate::file::media::{Mapping, Media};
use crate::file::region::{RecordMemory, Window};
use crate::file::space::{Extent, Space, Use, no_space};
use crate::format::PAGE_BYTES;
use crate::format::segment::{FIRST_RECORD, SEGMENT_UNIT_BYTES};

/// How much of a segment the writer has mapped at a time; a record that is longer gets a window of its own. Each page of
/// it costs an interrupt when it is synced, so it is small; but the background thread must have the next one ready
/// while this one fills, in some 2 ms at 3 million records a second.
const WINDOW_BYTES: u64 = 1 << 20;
/// The first window of a segment, which is faulted in long before the segment is begun.
const FIRST_WINDOW_BYTES: u64 = 256 << 10;
/// A window begins this much before the one before it ends, so that a small record on the border fits into it.
const OVERLAP_BYTES: u64 = SEGMENT_UNIT_BYTES + PAGE_BYTES;

/// A segment's space, allocated and mapped before it is needed.
pub(crate) struct Spare {
    pub(super) extent: Extent,
    pub(super) memory: RecordMemory,
    pub(super) head: Window,
    pub(super) window: Window,
    /// The window has been faulted in.
    pub(super) ready: bool,
}

/// What is to be prepared for the log, by whoever has the time, without the writer lock.
pub(crate) enum Wanted {
    /// Another spare.
    Spare(SpareSource),
    /// The next window of the present segment.
    Window { source: SpareSource, segment: Arc<Segment>, at: u64 },
}

/// What was prepared.
pub(crate) enum Prepared {
    Spare(Spare),
    Window { window: Window, segment: Arc<Segment> },
}

impl Wanted {
    /// Takes as long as the file system takes.
    pub(crate) fn prepare(self) -> Result<Prepared> {
        Ok(match self {
            Wanted::Spare(source) => {
                let spare = source.prepare()?;
                Prepared::Spare(Spare { window: spare.window.fault_in(), ready: true, ..spare })
            }
            Wanted::Window { source, segment, at } => {
                let window = source.window(segment.memory(), segment.offset(), at, WINDOW_BYTES)?;
                Prepared::Window { window: window.fault_in(), segment }
            }
        })
    }
}

/// What spares are made of.
pub(crate) struct SpareSource {
    pub(super) media: Arc<dyn Media>,
    pub(super) space: Arc<Space>,
    pub(super) bytes: u64,
}

impl SpareSource {
    pub(super) fn with_room_for(mut self, bytes: u64) -> Self {
        self.bytes = bytes.next_multiple_of(SEGMENT_UNIT_BYTES);
        self
    }

    /// Allocates and maps a segment. Takes as long as the file system takes.
    pub(crate) fn prepare(&self) -> Result<Spare> {
        let extent = self.space.allocate(self.bytes, SEGMENT_UNIT_BYTES, Use::Log)?;
        let region = self
            .media
            .map(Mapping::Shared, extent.offset(), self.bytes as usize)
            .map_err(no_space("mapping a log segment", self.bytes))?;
        let memory = RecordMemory::new(region, FIRST_RECORD as usize);
        let head = self.head(&memory, extent.offset())?;
        let window = self.window(&memory, extent.offset(), 0, FIRST_WINDOW_BYTES)?;
        Ok(Spare { extent, memory, head, window, ready: false })
    }

    /// A window on the head of a segment.
    pub(super) fn head(&self, memory: &RecordMemory, offset: u64) -> Result<Window> {
        self.map(memory, offset, 0..PAGE_BYTES)
    }

    /// A window on `bytes` of a segment from `at` on, as far as there are as many.
    pub(super) fn window(&self, memory: &RecordMemory, offset: u64, at: u64, bytes: u64) -> Result<Window> {
        let start = at - at % PAGE_BYTES;
        let end = (at + bytes).next_multiple_of(PAGE_BYTES).min(memory.len() as u64);
        self.map(memory, offset, start..end)
    }

    fn map(&self, memory: &RecordMemory, offset: u64, part: Range<u64>) -> Result<Window> {
        let error = no_space("mapping a part of a log segment", part.end - part.start);
        memory.window(&*self.media, offset, part.start as usize..part.end as usize).map_err(error)
    }
}

/// Where the window behind one that ends at `end` begins, in a segment of `bytes`; `None` where that is the last.
pub(super) fn next_window_at(end: u64, bytes: u64) -> Option<u64> {
    (end < bytes).then(|| end.saturating_sub(OVERLAP_BYTES))
}

/// Whether a tail that far before the end of its window wants the next one.
pub(super) fn wants_next(left: u64) -> bool {
    left < WINDOW_BYTES / 2
}

/// How large a window must be for a record of `bytes`.
pub(super) fn window_bytes_for(bytes: u64) -> u64 {
    bytes.max(WINDOW_BYTES)
}

//! One segment of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::file::region::RecordMemory;
use crate::file::space::Extent;
use crate::format::catalog::SegmentExtent;
use crate::format::record::Salt;
use crate::format::segment::{FIRST_RECORD, SegmentHead};
use crate::mutants::{Mutant, kept};

/// A mapped segment; its place in the log never changes.
pub(crate) struct Segment {
    memory: RecordMemory,
    /// The lease on its bytes; none in a read-only open.
    _extent: Option<Extent>,
    offset: u64,
    bytes: u64,
    head: SegmentHead,
    salt: Salt,
    live: Live,
    /// No state on disk needs it any more, and it waits for readers. Relaxed, under the writer lock.
    given_up: AtomicBool,
}

/// Bytes of a segment's records that the table points at. Stored by the holder of the writer lock alone (Relaxed: a number
/// by itself); on cache lines of its own, because overwrites change it while readers look at the fields beside it.
#[repr(align(128))]
struct Live(AtomicU64);

impl Segment {
    pub(crate) fn new(
        memory: RecordMemory,
        extent: Option<Extent>,
        offset: u64,
        head: SegmentHead,
        file_id: &[u8; 16],
    ) -> Arc<Self> {
        let bytes = memory.len() as u64;
        Arc::new(Segment {
            memory,
            _extent: extent,
            offset,
            bytes,
            head,
            salt: Salt::new(file_id, head.epoch, head.sequence),
            live: Live(AtomicU64::new(0)),
            given_up: AtomicBool::new(false),
        })
    }

    #[inline]
    pub(crate) fn memory(&self) -> &RecordMemory {
        &self.memory
    }

    /// File offset of its first byte.
    #[inline]
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Its length in bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// File offset behind its last byte.
    pub(crate) fn end_offset(&self) -> u64 {
        self.offset + self.bytes
    }

    /// File offset of its first record.
    pub(crate) fn first_record(&self) -> u64 {
        self.offset + FIRST_RECORD
    }

    /// File offset behind its last published record.
    pub(crate) fn published_end(&self) -> u64 {
        self.offset + self.memory.published_end() as u64
    }

    pub(crate) fn head(&self) -> &SegmentHead {
        &self.head
    }

    #[inline]
    pub(crate) fn salt(&self) -> Salt {
        self.salt
    }

    /// Bytes of records that the table points at.
    pub(crate) fn live(&self) -> u64 {
        self.live.0.load(Ordering::Relaxed)
    }

    /// Counts a record that the table points at from now on.
    pub(crate) fn add_live(&self, bytes: u64) {
        self.set_live(self.live().saturating_add(bytes));
    }

    /// Counts a record that the table points at no more.
    pub(crate) fn remove_live(&self, bytes: u64) {
        self.set_live(self.live().saturating_sub(bytes));
    }

    /// Takes the count of a checkpoint, or 0 when the table was cleared.
    pub(crate) fn set_live(&self, bytes: u64) {
        self.live.0.store(bytes, Ordering::Relaxed);
    }

    /// Whether no state on disk needs it any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Notes that no state on disk needs it any more; true the first time.
    pub(crate) fn give_up(&self) -> bool {
        !self.given_up.swap(true, Ordering::Relaxed)
    }

    /// Its entry in the catalog of a checkpoint at which its records end at `end`.
    pub(crate) fn catalog_entry(&self, end: u64) -> SegmentExtent {
        SegmentExtent {
            offset: self.offset,
            bytes: self.bytes,
            sequence: self.head.sequence,
            epoch: self.head.epoch,
            end,
            live: if kept(Mutant::LiveBytesInCatalog) { self.live() } else { 0 },
        }
    }
}

//! Room on the disk (D9): what adds to a store leaves as much as its next checkpoint may take, so that a full store can be
//! emptied. Removals are logged too, and only a checkpoint gives the log that they fill back.
//!
//! The file system tells what it has left, and others may take that meanwhile; then removals go on as far as the reserve
//! of the log and what is left go.

use std::sync::atomic::Ordering;

use crate::error::{Error, Result};
use crate::file::log::writer::{LogWriter, Purpose};
use crate::file::pages::IndexPages;
use crate::file::space::Space;
use crate::format::PAGE_BYTES;
use crate::format::catalog::sums_bytes;
use crate::format::journal::journal_bytes;
use crate::store::core::{Core, Files, Writer};
use crate::table::{Array, Geometry};

/// For what is small beside the pages: catalog, header of the journal, page checksums in place.
const SMALL_BYTES: u64 = 128 << 10;

/// Segments that removals can fill before there must be a checkpoint: one of them holds other records too, one is being
/// written, and the checkpoint gives the third back.
const SEGMENTS_TO_EMPTY: u64 = 3;

/// A growth that was put off waits for this much log.
const GROWTH_RETRY_BYTES: u64 = 64 << 10;

impl Core {
    /// Runs a write. Where it lacks space, a checkpoint gives back what it can, and it is tried once more.
    #[inline]
    pub(super) fn with_room<T>(&self, mut write: impl FnMut() -> Result<T>) -> Result<T> {
        match write() {
            Err(Error::NoSpace { .. }) => self.make_room_for(write),
            done => done,
        }
    }

    #[cold]
    fn make_room_for<T>(&self, mut write: impl FnMut() -> Result<T>) -> Result<T> {
        self.make_room(self.files()?);
        write()
    }

    /// Has a checkpoint give back what it can. The caller holds no lock, and no pin, which would keep what is given back.
    pub(super) fn make_room(&self, files: &Files) {
        files.lacked_room.store(false, Ordering::Relaxed);
        // In a forked child a lock may be held for ever (C15).
        if self.process.check().is_err() {
            return;
        }
        let Ok(segment) = self.lock_writer().map(|writer| next_segment_bytes(&writer)) else { return };
        if self.checkpoint_is_worth_it(files, segment) {
            if self.checkpoint().is_err() {
                files.failed_checkpoints.fetch_add(1, Ordering::Relaxed);
                let appended = files.appended.load(Ordering::Acquire);
                files.make_room_at.store(appended + segment / 2, Ordering::Relaxed);
            }
        } else {
            // One may be under way, and has its journal to give back when it is done.
            drop(files.checkpointing.lock());
        }
        // A session that died may have left blocks behind free runs.
        files.space.punch_free();
    }

    /// Whether a checkpoint would cover as much log as could be given back, and none has failed just now.
    fn checkpoint_is_worth_it(&self, files: &Files, segment_bytes: u64) -> bool {
        let appended = files.appended.load(Ordering::Acquire);
        appended.saturating_sub(files.checkpointed.load(Ordering::Relaxed)) > segment_bytes / 2
            && appended >= files.make_room_at.load(Ordering::Relaxed)
    }

    /// Refuses log space that a checkpoint might lack then. What frees something gets it all the same where a checkpoint
    /// would cover little, or one has failed just now.
    #[cold]
    pub(super) fn check_room(&self, writer: &Writer, bytes: u64, purpose: Purpose) -> Result<()> {
        let files = self.files()?;
        let Err(needed_bytes) = self.leaves_room_for_log(files, writer, bytes, purpose) else {
            return Ok(());
        };
        if self.checkpoint_is_worth_it(files, next_segment_bytes(writer)) {
            files.lacked_room.store(true, Ordering::Relaxed);
        } else if purpose == Purpose::Free {
            return Ok(());
        }
        Err(Error::NoSpace { what: "a log segment and the next checkpoint", needed_bytes })
    }

    /// [`Core::leaves_room`] when the log takes another segment, for a record of so many bytes.
    pub(super) fn leaves_room_for_log(
        &self,
        files: &Files,
        writer: &Writer,
        bytes: u64,
        purpose: Purpose,
    ) -> std::result::Result<(), u64> {
        let segment = next_segment_bytes(writer);
        let reserved = if purpose == Purpose::Add { SEGMENTS_TO_EMPTY * segment } else { 0 };
        let bytes = segment.max(bytes).saturating_add(reserved);
        self.leaves_room(&files.space, writer.table.geometry(), bytes)
    }

    /// Whether the disk has room for the largest checkpoint that can come next when `bytes` are taken from it; all that is
    /// needed, where it has not.
    pub(super) fn leaves_room(
        &self,
        space: &Space,
        geometry: &Geometry<IndexPages>,
        bytes: u64,
    ) -> std::result::Result<(), u64> {
        let parts = || geometry.arrays().flat_map(Array::parts);
        let index_pages: u64 = parts().map(|part| part.pages() as u64).sum();
        let sum_pages = sums_bytes(index_pages * PAGE_BYTES) / PAGE_BYTES;
        let journal = journal_bytes(index_pages + sum_pages).unwrap_or(u64::MAX / 2);
        let least = (journal + SMALL_BYTES).saturating_add(bytes);
        // In place too, what was never written takes its first blocks. Looked up only where it matters.
        if space.is_there_for(least.saturating_add(index_pages * PAGE_BYTES)) {
            return Ok(());
        }
        let absent: u64 = parts().map(|part| part.sums().absent()).sum();
        let needed = least.saturating_add(absent * PAGE_BYTES);
        if space.is_there_for(needed) { Ok(()) } else { Err(needed) }
    }

    /// Whether a growth would leave room for a checkpoint in its midst, of both arrays; in a moment the answer may be another.
    pub(super) fn leaves_room_when_grown(&self, geometry: &Geometry<IndexPages>, array_bytes: u64) -> bool {
        let Ok(files) = self.files() else { return true };
        let appended = files.appended.load(Ordering::Acquire);
        if appended < files.grow_at.load(Ordering::Relaxed) {
            return false;
        }
        // What is written meanwhile takes log too: at most an entry for each old bucket, which has some six.
        let Ok(pin) = self.pin() else { return false };
        let log_bytes: u64 = self.log.each_segment(&pin).map(|segment| segment.bytes()).sum();
        let bytes = 2 * array_bytes + (log_bytes / 4).max(array_bytes / 2);
        let room = self.leaves_room(&files.space, geometry, bytes).is_ok();
        if !room {
            files.grow_at.store(appended + GROWTH_RETRY_BYTES, Ordering::Relaxed);
        }
        room
    }
}

fn next_segment_bytes(writer: &Writer) -> u64 {
    writer.log.as_ref().map_or(0, LogWriter::next_segment_bytes)
}

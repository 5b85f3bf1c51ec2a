//! Compaction at once: everything live moves together, what is free is cut off, and readers and writers go on meanwhile.
//!
//! First the table ends its growth, and shrinks to the least size that holds its entries. Then the log is made dense in
//! rounds. Each takes the segments that are worth it, moves what is live there in short slices, each under the writer lock,
//! and checkpoints every so often: that gives the emptied segments back, and their space, which lies lower in the file, is
//! where the next records go. Nothing is in a state of its own meanwhile: the process may be killed at any point, and what
//! was done until then is done.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::file::log::segment::Segment;
use crate::file::log::writer::{LogWriter, Purpose};
use crate::format::record::EvacuateValue;
use crate::store::Store;
use crate::store::core::{Core, Files};
use crate::store::moving::{Cursor, Walked};
use crate::table::Growth;
use crate::upkeep::extents::{self, Part};

/// The credit of a slice: the time that a write may have to wait for it, some half a millisecond.
const SLICE_CREDIT: u64 = 512 << 10;
/// What a slice leaves to those who wait for the writer lock: it is not fair, and who lets go of it would have it again.
const BREATH: Duration = Duration::from_micros(50);
/// Old buckets that are evacuated at once.
const EVACUATED_AT_ONCE: usize = 256;
/// A segment stays where it is if less than this share of it is dead, and more than the other was ever used.
const DEAD_WORTH_IT: u64 = 32;
const RECORDS_WORTH_IT: u64 = 2;
/// A checkpoint after so many bytes were moved, or this share of what is live: until then the space that they left is taken.
const CHECKPOINT_BYTES: u64 = 4 << 20;
const CHECKPOINTS_PER_LOG: u64 = 8;
/// In the first round the log becomes dense, in those behind it moves into the space that this left.
const ROUNDS: usize = 4;

/// What [`Store::compact`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Length of the file before.
    pub file_bytes_before: u64,
    /// Length of the file now.
    pub file_bytes: u64,
    /// Bytes of the disk that it occupied before.
    pub allocated_bytes_before: u64,
    /// Bytes of the disk that it occupies now.
    pub allocated_bytes: u64,
    /// Records that were moved.
    pub moved_records: u64,
    /// Their bytes.
    pub moved_bytes: u64,
}

/// How far a compaction is; see [`Store::compact_with`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionProgress {
    /// Bytes of log that were walked.
    pub done_bytes: u64,
    /// Bytes that are to be walked, as far as that is known: a later round may find more.
    pub total_bytes: u64,
}

impl Store {
    /// Makes the file as small as it can be: shrinks the table to the least size that holds its entries (the next insert
    /// may begin to double it), moves what is live out of every segment of the log that has dead records or lies far behind
    /// in the file, gives the free space back to the file system and cuts it off the end.
    ///
    /// Linear in what is to be moved. Readers and writers go on meanwhile; a write waits half a millisecond for it at most,
    /// or as long as moving the largest record takes. Values that readers hold stay valid, and hold their segment's space
    /// until they are dropped. It may be killed at any point, and loses nothing then.
    ///
    /// Bucket arrays stay where they are; one that lies at the end of the file keeps it that long, with a hole before it.
    ///
    /// # Errors
    /// [`NoSpace`](crate::Error::NoSpace) when the disk has no room for a few segments and a checkpoint, and whatever a
    /// [`checkpoint`](Store::checkpoint) can fail with. What was moved until then stays moved.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// for n in 0..20_000 {
    ///     store.insert(format!("key {}", n % 100), "a value that is replaced again and again")?;
    /// }
    /// let done = store.compact()?;
    /// assert!(done.file_bytes < done.file_bytes_before);
    /// assert_eq!(store.len(), 100);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn compact(&self) -> Result<Compaction> {
        self.compact_with(|_| {})
    }

    /// [`Store::compact`], telling how far it is, some thousand times a second. `tell` must not compact the same store,
    /// which would wait for itself.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// store.compact_with(|progress| println!("{} of {}", progress.done_bytes, progress.total_bytes))?;
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn compact_with(&self, mut tell: impl FnMut(CompactionProgress)) -> Result<Compaction> {
        self.core().compact(&mut tell)
    }
}

/// A compaction under way.
struct Run<'a> {
    core: &'a Core,
    files: &'a Files,
    progress: CompactionProgress,
    tell: &'a mut dyn FnMut(CompactionProgress),
    /// Bytes that had been moved at the last checkpoint.
    checkpointed: u64,
}

impl Core {
    fn compact(&self, tell: &mut dyn FnMut(CompactionProgress)) -> Result<Compaction> {
        self.process.check()?;
        self.check_outside()?;
        let files = self.files()?;
        files.syncer.check()?;
        let _one_at_a_time = files.compacting.lock().unwrap_or_else(PoisonError::into_inner);
        let (file_bytes_before, allocated_bytes_before) = self.sizes()?;
        let before = self.lock_writer()?.compactor.moved;
        let progress = CompactionProgress { done_bytes: 0, total_bytes: 0 };
        Run { core: self, files, progress, tell, checkpointed: before.bytes }.run()?;
        let (file_bytes, allocated_bytes) = self.sizes()?;
        let moved = self.lock_writer()?.compactor.moved;
        Ok(Compaction {
            file_bytes_before,
            file_bytes,
            allocated_bytes_before,
            allocated_bytes,
            moved_records: moved.records - before.records,
            moved_bytes: moved.bytes - before.bytes,
        })
    }

    /// The file's length, and what of it the disk has.
    fn sizes(&self) -> Result<(u64, u64)> {
        let length = self.media.length().map_err(Error::io("reading the file's length"))?;
        Ok((length, self.media.allocated().map_err(Error::io("reading the file's size on disk"))?))
    }

    /// Gives up space that was prepared and not used: it may lie at the end of the file.
    pub(super) fn give_up_prepared(&self, files: &Files) -> Result<()> {
        // A verification that looked now would find it nowhere.
        let _in_hand = files.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        let spares = self.lock_writer()?.log()?.take_spares();
        drop(spares);
        drop(self.arrays.give_up_ahead());
        Ok(())
    }
}

impl Run<'_> {
    fn run(&mut self) -> Result<()> {
        self.core.checkpoint()?;
        self.settle_table()?;
        let mut end_before = u64::MAX;
        for round in 0..ROUNDS {
            // What is written from here on goes to the lowest place there is.
            self.core.give_up_prepared(self.files)?;
            self.core.lock_writer()?.log()?.seal()?;
            let (worth_it, end) = self.worth_it()?;
            // The first round may have to go behind everything else; those after it come back.
            if worth_it.is_empty() || (round > 1 && end >= end_before) {
                break;
            }
            end_before = end;
            let ahead: u64 = worth_it.iter().map(Cursor::bytes_ahead).sum();
            let mut to_come = ahead;
            let done_before = self.progress.done_bytes;
            self.progress.total_bytes = done_before + ahead;
            for cursor in worth_it {
                to_come = to_come.saturating_sub(cursor.bytes_ahead());
                self.empty(cursor, to_come)?;
            }
            self.core.checkpoint()?;
        }
        // The last one has its catalog behind what it gave back.
        self.core.checkpoint()?;
        self.core.give_up_prepared(self.files)?;
        self.files.space.truncate().map_err(Error::io("truncating the file"))?;
        self.progress.done_bytes = self.progress.total_bytes;
        (self.tell)(self.progress);
        Ok(())
    }

    /// Ends the growth that is under way, and shrinks the table to the least size that holds the entries. What there is no
    /// space for is put off, and damage is left for whoever comes to it.
    fn settle_table(&self) -> Result<()> {
        // Beside a writer that fills the table again, as many shrinks would do as there are sizes.
        let mut shrinks = self.core.lock_writer()?.table.geometry().array.b();
        loop {
            match self.settle_step(&mut shrinks) {
                Ok(true) => {}
                Ok(false) | Err(Error::NoSpace { .. } | Error::Corrupt { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
            if self.core.memory_is_short() {
                self.core.checkpoint()?;
            }
            std::thread::sleep(BREATH);
        }
    }

    /// Whether there was anything to do.
    fn settle_step(&self, shrinks: &mut u8) -> Result<bool> {
        let pin = self.core.pin()?;
        let mut writer = self.core.lock_writer()?;
        if writer.table.growing() {
            let step = EvacuateValue::at_mark(EVACUATED_AT_ONCE);
            self.core.evacuate(&mut writer, &pin, Purpose::Add, step)?;
        } else if *shrinks > 0 && writer.table.is_roomy() {
            *shrinks -= 1;
            self.core.start_growth(&mut writer, Growth::Shrink)?;
        } else {
            return Ok(false);
        }
        self.core.pass_over_appended(self.files, &mut writer);
        Ok(true)
    }

    /// Sealed segments to be emptied, those with the least to move first, and the end of the last segment of all.
    fn worth_it(&self) -> Result<(Vec<Cursor>, u64)> {
        let pin = self.core.pin()?;
        let mut writer = self.core.lock_writer()?;
        let arrays = extents::of_arrays(writer.table.geometry());
        let log = writer.log()?;
        let mut segments = self.core.log.segments(&pin);
        let end = segments.iter().map(|segment| segment.end_offset()).max().unwrap_or(0);
        let dense_end = dense_end(&segments, &arrays, log);
        segments.retain(|segment| {
            let records = segment.published_end() - segment.first_record();
            let has_dead = records.saturating_sub(segment.live()) > segment.bytes() / DEAD_WORTH_IT;
            let is_hollow = records < segment.bytes() / RECORDS_WORTH_IT;
            let movable = log.is_sealed(segment) && segment.live() > 0;
            movable && (has_dead || is_hollow || segment.end_offset() > dense_end)
        });
        segments.sort_by_key(|segment| segment.live());
        Ok((segments.iter().map(Cursor::new).collect(), end))
    }

    /// Moves everything that is live out of a segment, behind which so many bytes are to come.
    fn empty(&mut self, mut cursor: Cursor, to_come: u64) -> Result<()> {
        loop {
            let (walked, moved_bytes) = {
                let mut writer = self.core.lock_writer()?;
                // One record of any size fits into a slice.
                let mut credit = SLICE_CREDIT.max(cursor.next_costs());
                let walked = self.core.walk(&mut writer, &mut cursor, &mut credit, u64::MAX);
                self.core.pass_over_appended(self.files, &mut writer);
                (walked, writer.compactor.moved.bytes)
            };
            let paused = match walked {
                Ok(Walked::Paused) => true,
                // What is damaged stays where it is.
                Ok(Walked::Emptied | Walked::LeftAlone) | Err(Error::Corrupt { .. }) => false,
                Err(error) => return Err(error),
            };
            let left = to_come + if paused { cursor.bytes_ahead() } else { 0 };
            self.progress.done_bytes = self.progress.total_bytes.saturating_sub(left);
            (self.tell)(self.progress);
            let space_is_due = moved_bytes - self.checkpointed > self.checkpoint_bytes()?;
            if space_is_due || self.core.memory_is_short() {
                self.checkpointed = moved_bytes;
                self.core.checkpoint()?;
            }
            if !paused {
                return Ok(());
            }
            std::thread::sleep(BREATH);
        }
    }

    fn checkpoint_bytes(&self) -> Result<u64> {
        Ok(CHECKPOINT_BYTES.max(self.core.lock_writer()?.log()?.log_bytes() / CHECKPOINTS_PER_LOG))
    }
}

/// Where the log would end if it and the arrays were all there is, with nothing dead in it and two segments to spare.
fn dense_end(segments: &[Arc<Segment>], arrays: &[Part], log: &LogWriter) -> u64 {
    let live: u64 = segments.iter().map(|segment| segment.live()).sum();
    let others: u64 = arrays.iter().map(|part| part.bytes).sum();
    live + live / 16 + others + 3 * log.next_segment_bytes()
}

//! Compaction beside writes: each write does a bounded share of it, as it does of a growth.
//!
//! While more of the log is dead than [`Options::max_dead_ratio`](crate::Options::max_dead_ratio) asks for, records that are
//! live are moved out of the emptiest sealed segment: appended once more, as a *move*, and their cells pointed there. A
//! segment that has none left goes back to free space at the next checkpoint.
//!
//! **How much.** A write earns credit in proportion to its bytes, and to how far the log is beyond three fifths of the
//! ratio; a look at a record costs some of it, a move as many bytes as it copies. So a log that is written at random
//! settles where it frees as much as it takes. Little credit is kept for later: no write moves more than 1 MiB, or than it
//! has written itself.
//!
//! **What waits.** What is emptied is the file's until a checkpoint is complete, so who writes faster than checkpoints come
//! about makes the file grow. Beyond as much as is live, writes are held up: a millisecond at most each time that the
//! log is measured, with no lock held, and not for ever where no checkpoint comes.
//!
//! **What stays.** A record that is larger than that is not moved by small writes, and one that is damaged is never: a copy
//! would have a checksum that fits. The walk leaves their segments alone from then on.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::file::log::segment::Segment;
use crate::file::log::writer::Purpose;
use crate::format::bucket::{Cell, Hash, Position};
use crate::format::record::{Frame, Kind};
use crate::format::segment::SEGMENT_UNIT_BYTES;
use crate::mutants::{Mutant, kept};
use crate::store::core::{Core, Files, Writer};
use crate::table::prefetch;

/// Moving begins at this share of the ratio that is allowed, and goes at [`PACE_AT_RATIO`] at the ratio itself. The file
/// has more than the log: the array, the journal of a checkpoint, and what is emptied and waits for one.
const BEGIN_AT: f64 = 0.6;
/// Bytes of credit for each byte written, when the log is as dead as it may be, and the most in a log that is far beyond.
/// Of a log that is written at random and two fifths dead, the emptiest segments are two thirds dead: to free a byte there
/// takes a byte and a half of walking.
const PACE_AT_RATIO: f64 = 4.0;
const HIGHEST_PACE: f64 = 16.0;
/// What a write earns credit for besides its bytes: a removal is short, and leaves a long record dead.
const WRITE_EARNS: u64 = 64;
/// What a look at a record costs: its bucket is a cache miss, as is the record.
const LOOK_COSTS: u64 = 128;
/// So much credit is worth a step, in which cache misses overlap.
const STEP_CREDIT: u64 = GROUP as u64 * LOOK_COSTS;
/// The most that a small write moves.
const LARGEST_STEP: u64 = 1 << 20;
/// Records whose buckets are fetched before the first of them is looked up.
const GROUP: usize = 16;
/// The log is measured each time that it has grown by this share of itself, but not more often than every so many bytes.
const LOOKS_PER_LOG: u64 = 1024;
const MEASURE_BYTES: u64 = 16 << 10;
/// Less than this is not worth the trouble, nor can it be had: the segment that is written is not moved.
const LEAST_DEAD_BYTES: u64 = SEGMENT_UNIT_BYTES;
/// A checkpoint is due when emptied segments wait for it with so many bytes, and a quarter of the live ones.
const LEAST_WAITING_BYTES: u64 = 1 << 20;
/// Writes are held up while emptied segments wait with so many bytes, and more than the live ones. With three eighths of those, and
/// 4 MiB, a store that had shrunk to a tenth took a third less; but removing that many went at a third of the rate.
const LEAST_HOLDING_UP_BYTES: u64 = 16 << 20;
/// So long at most each time that the log is measured, and all in all until the next checkpoint is complete: one that fails must not
/// stop the writes.
const LONGEST_PAUSE: Duration = Duration::from_millis(1);
const PAUSES_PER_CHECKPOINT: Duration = Duration::from_millis(200);

/// What compaction beside writes knows; behind the writer lock.
pub(super) struct Compactor {
    max_dead_ratio: f64,
    /// The segment that is being emptied.
    cursor: Option<Cursor>,
    credit: u64,
    /// Bytes of credit that a written byte earns, in sixteenths; 0 while nothing is to be moved.
    pace: u64,
    /// Bytes appended when it was looked here last.
    seen: u64,
    /// Bytes appended at which to measure the log again.
    measure_at: u64,
    /// Segments, by number, that hold what can't be moved.
    left_alone: HashSet<u64>,
    /// How long writes were held up since the last checkpoint.
    held_up: Duration,
    /// What was moved since the store was opened.
    pub(super) moved: Moved,
}

/// Records that were moved, and their bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Moved {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// A walk through a sealed segment, to move what is live there. Does not hold the segment: once it is emptied, its space
/// is a checkpoint's to give back.
pub(super) struct Cursor {
    segment: Weak<Segment>,
    sequence: u64,
    /// File offset of the next record.
    at: u64,
}

/// How a walk ended.
pub(super) enum Walked {
    /// The credit is used up.
    Paused,
    /// No cell points into the segment any more.
    Emptied,
    /// All was walked, and something could not be moved.
    LeftAlone,
}

/// A record that may be live.
struct Candidate {
    offset: u64,
    bytes: u64,
    /// That of its key, where it is one that cells point at.
    hash: Option<Hash>,
}

impl Compactor {
    pub(super) fn new(max_dead_ratio: f64) -> Self {
        Compactor {
            max_dead_ratio,
            cursor: None,
            credit: 0,
            pace: 0,
            seen: 0,
            measure_at: MEASURE_BYTES,
            left_alone: HashSet::new(),
            held_up: Duration::ZERO,
            moved: Moved::default(),
        }
    }

    /// Segments that hold what can't be moved.
    pub(super) fn left_alone(&self) -> u64 {
        self.left_alone.len() as u64
    }

    /// The share of a segment's bytes that must be dead for it to be worth a walk.
    fn begin_at(&self) -> f64 {
        self.max_dead_ratio * BEGIN_AT
    }

    /// What waited for a checkpoint is free.
    pub(super) fn checkpoint_is_complete(&mut self) {
        self.held_up = Duration::ZERO;
    }

    /// How long the write that measured the log should wait, with so many bytes in emptied segments that no checkpoint has
    /// given back, and so many live ones.
    fn pause_for(&mut self, waiting: u64, live: u64) -> Duration {
        let bound = LEAST_HOLDING_UP_BYTES.max(live);
        let beyond = waiting.saturating_sub(bound) as f64 / bound as f64;
        let pause = LONGEST_PAUSE.mul_f64(beyond.min(1.0)).min(PAUSES_PER_CHECKPOINT - self.held_up);
        self.held_up += pause;
        pause
    }

    fn pace_for(&self, dead_ratio: f64) -> u64 {
        // All of the log may be dead.
        if self.max_dead_ratio >= 1.0 {
            return 0;
        }
        let above = (dead_ratio - self.begin_at()) / (self.max_dead_ratio - self.begin_at());
        ((above * PACE_AT_RATIO).clamp(0.0, HIGHEST_PACE) * 16.0) as u64
    }
}

impl Cursor {
    pub(super) fn new(segment: &Arc<Segment>) -> Self {
        let sequence = segment.head().sequence;
        Cursor { segment: Arc::downgrade(segment), sequence, at: segment.first_record() }
    }

    /// Bytes of the segment that the walk may still come to; none once it is gone.
    pub(super) fn bytes_ahead(&self) -> u64 {
        self.segment.upgrade().map_or(0, |segment| segment.published_end().saturating_sub(self.at))
    }

    /// The credit that moving the next record takes.
    pub(super) fn next_costs(&self) -> u64 {
        let record_bytes = |segment: Arc<Segment>| Some(segment.record(self.at).ok()?.record_bytes());
        LOOK_COSTS + self.segment.upgrade().and_then(record_bytes).unwrap_or(0)
    }
}

impl Core {
    /// The share of compaction that a write does, once it has changed the table. Not the write's trouble: what can't be
    /// moved now stays where it is.
    #[inline]
    pub(super) fn compact_beside(&self, files: &Files, writer: &mut Writer) {
        let appended = files.appended.load(Ordering::Relaxed);
        let compactor = &mut writer.compactor;
        if appended < compactor.measure_at && compactor.pace == 0 {
            compactor.seen = appended;
            return;
        }
        self.earn_and_move(files, writer, appended);
    }

    #[inline(never)]
    fn earn_and_move(&self, files: &Files, writer: &mut Writer, appended: u64) {
        if appended >= writer.compactor.measure_at {
            self.measure(files, writer, appended);
        }
        let compactor = &mut writer.compactor;
        let written = appended - compactor.seen;
        compactor.seen = appended;
        let most = written.max(LARGEST_STEP);
        let earned = (written + WRITE_EARNS).saturating_mul(compactor.pace) / 16;
        compactor.credit = compactor.credit.saturating_add(earned).min(most);
        if compactor.credit < STEP_CREDIT {
            return;
        }
        self.spend(writer, most);
        self.pass_over_appended(files, writer);
    }

    /// What was appended by now earns no write any credit: it was compaction's own.
    pub(super) fn pass_over_appended(&self, files: &Files, writer: &mut Writer) {
        writer.compactor.seen = files.appended.load(Ordering::Relaxed);
    }

    /// Moves records for the credit that there is.
    fn spend(&self, writer: &mut Writer, largest: u64) {
        let mut credit = std::mem::take(&mut writer.compactor.credit);
        while let Some(mut cursor) = writer.compactor.cursor.take().or_else(|| self.emptiest(writer)) {
            match self.walk(writer, &mut cursor, &mut credit, largest) {
                Ok(Walked::Emptied) => {}
                Ok(Walked::LeftAlone) | Err(Error::Corrupt { .. }) => {
                    writer.compactor.left_alone.insert(cursor.sequence);
                }
                Ok(Walked::Paused) => {
                    writer.compactor.cursor = Some(cursor);
                    writer.compactor.credit = credit;
                    return;
                }
                // A full disk, most likely: not again before the log is measured anew.
                Err(_) => {
                    writer.compactor.cursor = Some(cursor);
                    break;
                }
            }
        }
        writer.compactor.pace = 0;
    }

    /// Sets the pace by what is live in the log now.
    fn measure(&self, files: &Files, writer: &mut Writer, appended: u64) {
        let (Ok(pin), Some(log)) = (self.pin(), &writer.log) else { return };
        let (mut live, mut used, mut waiting) = (0, 0, 0);
        let mut left_alone = HashSet::new();
        for segment in self.log.each_segment(&pin) {
            left_alone.extend(writer.compactor.left_alone.get(&segment.head().sequence));
            if !log.is_emptied(segment) {
                live += segment.live();
                used += log.used_bytes(segment);
            } else if !segment.is_given_up() {
                waiting += segment.bytes();
            }
        }
        let compactor = &mut writer.compactor;
        compactor.left_alone = left_alone;
        let enough = used.saturating_sub(live) >= LEAST_DEAD_BYTES;
        compactor.pace = if enough { compactor.pace_for(1.0 - live as f64 / used as f64) } else { 0 };
        compactor.measure_at = appended + (log.log_bytes() / LOOKS_PER_LOG).max(MEASURE_BYTES);
        // What waits for a checkpoint that is under way may be free in a moment.
        let due = waiting > LEAST_WAITING_BYTES.max(live / 4) && files.checkpointing.try_lock().is_ok();
        files.space_waits.store(due, Ordering::Relaxed);
        let pause = compactor.pause_for(waiting, live);
        files.pause_us.store(pause.as_micros() as u64, Ordering::Relaxed);
    }

    /// Whether segments that are emptied wait for a checkpoint with as much as makes one due beside writes.
    pub(super) fn emptied_log_is_worth_a_checkpoint(&self) -> bool {
        let (Ok(pin), Ok(writer)) = (self.pin(), self.lock_writer_to_look()) else { return false };
        let Some(log) = &writer.log else { return false };
        let waits = |segment: &&Arc<Segment>| log.is_emptied(segment) && !segment.is_given_up();
        let waiting: u64 = self.log.each_segment(&pin).filter(waits).map(|segment| segment.bytes()).sum();
        waiting > LEAST_WAITING_BYTES
    }

    /// The sealed segment with the least live bytes for its size, if it is worth a walk.
    fn emptiest(&self, writer: &Writer) -> Option<Cursor> {
        let pin = self.pin().ok()?;
        let (log, compactor) = (writer.log.as_ref()?, &writer.compactor);
        let live_share = |segment: &Segment| segment.live() as f64 / segment.bytes() as f64;
        let movable = self.log.each_segment(&pin).filter(|segment| {
            log.is_sealed(segment)
                && segment.live() > 0
                && !compactor.left_alone.contains(&segment.head().sequence)
        });
        let emptiest = movable.min_by(|a, b| live_share(a).total_cmp(&live_share(b)))?;
        (1.0 - live_share(emptiest) >= compactor.begin_at()).then(|| Cursor::new(emptiest))
    }

    /// Walks on through a segment and moves what is live there, for as much credit as there is; records beyond `largest`
    /// stay. Damage ends the walk, and is told by whoever reads it.
    pub(super) fn walk(
        &self,
        writer: &mut Writer,
        cursor: &mut Cursor,
        credit: &mut u64,
        largest: u64,
    ) -> Result<Walked> {
        let Some(segment) = cursor.segment.upgrade() else { return Ok(Walked::Emptied) };
        let end = segment.published_end();
        while cursor.at < end && segment.live() > 0 {
            // Each move makes a page dirty; where these are short, a checkpoint is due before.
            if self.memory_is_short() {
                return Ok(Walked::Paused);
            }
            let group = self.read_ahead(writer, &segment, cursor.at, *credit)?;
            if group.is_empty() {
                return Ok(Walked::Paused);
            }
            for candidate in group {
                if let Some(hash) = candidate.hash
                    && !self.try_to_move(writer, &segment, &candidate, hash, credit, largest)?
                {
                    return Ok(Walked::Paused);
                }
                *credit = credit.saturating_sub(LOOK_COSTS);
                cursor.at = candidate.offset + candidate.bytes;
            }
        }
        Ok(if segment.live() == 0 { Walked::Emptied } else { Walked::LeftAlone })
    }

    /// The next records of a segment, as many as the credit is for; their buckets are fetched meanwhile.
    fn read_ahead(
        &self,
        writer: &Writer,
        segment: &Segment,
        mut at: u64,
        credit: u64,
    ) -> Result<Vec<Candidate>> {
        let mut group = Vec::with_capacity(GROUP);
        let affordable = (credit / LOOK_COSTS).min(GROUP as u64) as usize;
        while group.len() < affordable && at < segment.published_end() {
            let record = segment.record(at)?;
            let bytes = record.record_bytes();
            let is_entry = record.kind().is_entry();
            let hash = is_entry.then(|| self.hasher.hash(record.key().as_slice()));
            if let Some(hash) = hash {
                prefetch(writer.table.geometry(), hash);
            }
            group.push(Candidate { offset: at, bytes, hash });
            at += bytes;
        }
        Ok(group)
    }

    /// Moves a record if it is live and whole; false where the credit does not suffice. Whatever can fail comes before
    /// the append (C12).
    fn try_to_move(
        &self,
        writer: &mut Writer,
        segment: &Segment,
        candidate: &Candidate,
        hash: Hash,
        credit: &mut u64,
        largest: u64,
    ) -> Result<bool> {
        let Some(position) = Position::from_offset(candidate.offset) else { return Ok(true) };
        // A page that can't be read: the entry stays where it is.
        let Ok(Some(spot)) = writer.table.cell_at(hash, position) else { return Ok(true) };
        if candidate.bytes > largest {
            return Ok(true);
        }
        let Some(left) = credit.checked_sub(candidate.bytes) else { return Ok(false) };
        let record = segment.record(candidate.offset)?;
        if record.verify().is_err() && kept(Mutant::MovedRecordsCompared) {
            return Ok(true);
        }
        let (key, value) = (record.key().as_slice(), record.verified_value().as_slice());
        let frame = Frame::new(Kind::Move, key.len(), value.len())?;
        self.secure(writer, frame.bytes(), Purpose::Add)?;

        // Nothing fails from here on.
        let log = writer.log()?;
        let moved_to = log.append(&frame, key, value);
        log.add_live(frame.bytes());
        writer.table.relocate(hash, spot, Cell::new(moved_to, hash));
        segment.remove_live(candidate.bytes);
        let moved = &mut writer.compactor.moved;
        (moved.records, moved.bytes) = (moved.records + 1, moved.bytes + frame.bytes());
        *credit = left;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn writes_are_held_up_by_how_much_waits() {
        let mut compactor = Compactor::new(0.5);
        assert_eq!(compactor.pause_for(16 * MIB, MIB), Duration::ZERO);
        assert_eq!(compactor.pause_for(24 * MIB, MIB), LONGEST_PAUSE / 2);
        assert_eq!(compactor.pause_for(64 * MIB, 64 * MIB), Duration::ZERO);
        assert_eq!(compactor.pause_for(96 * MIB, 64 * MIB), LONGEST_PAUSE / 2);
        assert_eq!(compactor.pause_for(u64::MAX, MIB), LONGEST_PAUSE);
    }

    #[test]
    fn writes_are_not_held_up_for_ever() {
        let mut compactor = Compactor::new(0.5);
        let mut all = || (0..1000).map(|_| compactor.pause_for(64 * MIB, 0)).sum::<Duration>();
        assert_eq!((all(), all()), (PAUSES_PER_CHECKPOINT, Duration::ZERO));
        compactor.checkpoint_is_complete();
        assert_eq!(compactor.pause_for(64 * MIB, 0), LONGEST_PAUSE);
    }
}

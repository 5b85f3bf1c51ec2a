//! Writing: operations, sessions, syncs, checkpoints, and the close.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::file::checkpoint::{Copies, Freeze, FrozenPages};
use crate::file::epoch::Pin;
use crate::file::log::RecordRef;
use crate::file::log::segment::Segment;
use crate::file::log::writer::{LogWriter, Purpose};
use crate::file::pages::IndexPages;
use crate::file::region::RecordBytes;
use crate::format::PAGE_BYTES;
use crate::format::bucket::{Hash, Position};
use crate::format::catalog::ArrayRole;
use crate::format::header::{Header, Hmap};
use crate::format::record::{Frame, Kind};
use crate::mutants::{Mutant, kept};
use crate::options::Durability;
use crate::store::core::{Core, Files, Writer};
use crate::store::growth::GrowthRecord;
use crate::store::value::Value;
use crate::table::{Array, Growth, NextArray, Spot, Table, Trigger, prefetch};

/// Checkpoint after this much log, unless an option or a large table says otherwise. More often, and a fill waits more,
/// since each checkpoint writes nearly the whole table; less often, and opening after a crash takes longer. Of a million
/// entries that were being put in, in single runs: 60 ms with 8 MiB, 120 with 16, 175 with 32; 174 with 16 in `tools/bench`.
const CHECKPOINT_BYTES: u64 = 16 << 20;

/// Memory that a checkpoint may take for copies of the pages that it will write.
const COPIED_AHEAD_BYTES: u64 = 64 << 20;

/// After a checkpoint that failed, the next one waits for this much log.
const CHECKPOINT_RETRY_BYTES: u64 = 1 << 20;

/// A key, and where it is; good while the writer lock is held.
#[derive(Clone, Copy)]
pub(super) struct Located<'a, 'p> {
    pub(super) hash: Hash,
    pub(super) spot: Spot,
    pub(super) record: Option<&'a RecordRef<'p>>,
}

impl Core {
    pub(super) fn insert(&self, key: &[u8], value: &[u8]) -> Result<Option<Value<'_>>> {
        let pin = self.pin()?;
        let hash = self.hasher.hash(key);
        // Under way while the lock is taken, which would hold back a load.
        prefetch(self.published(&pin), hash);
        let files = self.ready_to_write(Purpose::Add)?;
        let writer = self.lock_writer()?;
        let (spot, record) = writer.table.locate(&self.records(&pin), hash, key)?;
        let old = previous(record.as_ref())?;
        let located = Located { hash, spot, record: record.as_ref() };
        self.put_located(files, writer, &pin, key, value, located)?;
        Ok(old.map(|bytes| Value::keep(&pin, bytes)))
    }

    /// Sets the value of a key that was located under this hold of the lock; where its record lies.
    #[inline(always)]
    pub(super) fn put_located(
        &self,
        files: &Files,
        mut writer: MutexGuard<'_, Writer>,
        pin: &Pin<'_>,
        key: &[u8],
        value: &[u8],
        Located { hash, spot, record }: Located<'_, '_>,
    ) -> Result<Position> {
        let frame = Frame::new(Kind::Put, key.len(), value.len())?;
        let plan = writer.table.prepare_put(self, &self.records(pin), hash, spot, Trigger::Live)?;
        let start = GrowthRecord::of(plan.growth())?;
        self.secure(&mut writer, start.bytes() + frame.bytes(), Purpose::Add)?;

        // Nothing fails from here on.
        let log = writer.log()?;
        start.append(log);
        let position = log.append(&frame, key, value);
        log.add_live(frame.bytes());
        writer.table.put(self, plan, hash, position);
        if let Some(record) = record {
            record.segment().remove_live(record.record_bytes());
        }
        self.finish_write(files, writer)?;
        Ok(position)
    }

    pub(super) fn remove(&self, key: &[u8]) -> Result<Option<Value<'_>>> {
        let pin = self.pin()?;
        let removed = self.take_out(&pin, key, |record| record.value())?;
        Ok(removed.map(|bytes| Value::keep(&pin, bytes)))
    }

    pub(super) fn forget(&self, key: &[u8]) -> Result<bool> {
        Ok(self.take_out(&self.pin()?, key, |_| Ok(()))?.is_some())
    }

    /// Removes a key; what `look` makes of its record before anything changes (C12), `None` for an absent key.
    fn take_out<'p, T>(
        &'p self,
        pin: &'p Pin<'_>,
        key: &[u8],
        look: impl FnOnce(&RecordRef<'p>) -> Result<T>,
    ) -> Result<Option<T>> {
        let hash = self.hasher.hash(key);
        prefetch(self.published(pin), hash);
        let files = self.ready_to_write(Purpose::Free)?;
        let writer = self.lock_writer()?;
        // An absent key appends nothing and so must move nothing (D15).
        let (spot, Some(record)) = writer.table.locate(&self.records(pin), hash, key)? else {
            return Ok(None);
        };
        let looked = look(&record)?;
        self.remove_located(files, writer, pin, key, Located { hash, spot, record: Some(&record) })?;
        Ok(Some(looked))
    }

    /// Removes a key whose record was found under this hold of the lock.
    pub(super) fn remove_located(
        &self,
        files: &Files,
        mut writer: MutexGuard<'_, Writer>,
        pin: &Pin<'_>,
        key: &[u8],
        Located { hash, spot, record }: Located<'_, '_>,
    ) -> Result<()> {
        let frame = Frame::new(Kind::Remove, key.len(), 0)?;
        let (plan, start) =
            self.prepare_removal(&mut writer, &self.records(pin), hash, spot, frame.bytes())?;

        // Nothing fails from here on.
        let log = writer.log()?;
        if kept(Mutant::ShrinkLogged) {
            start.append(log);
        }
        log.append(&frame, key, &[]);
        writer.table.remove(self, plan, hash);
        if let Some(record) = record {
            record.segment().remove_live(record.record_bytes());
        }
        self.finish_write(files, writer)
    }

    pub(super) fn clear(&self) -> Result<()> {
        let files = self.ready_to_write(Purpose::Free)?;
        let frame = Frame::new(Kind::Clear, 0, 0)?;
        let pin = self.pin()?;
        let mut writer = self.lock_writer()?;
        let plan = writer.table.prepare_clear(self)?;
        writer.log()?.secure(frame.bytes(), Purpose::Free)?;
        if kept(Mutant::ClearLogged) {
            writer.log()?.append(&frame, &[], &[]);
        }
        writer.table.clear(self, plan);
        let _dropped_without_the_lock = self.arrays.give_up_ahead();
        self.log.segments(&pin).iter().for_each(|segment| segment.set_live(0));
        self.finish_write(files, writer)
    }

    /// Makes sure that `bytes` can be appended.
    #[inline(always)]
    pub(super) fn secure(&self, writer: &mut Writer, bytes: u64, purpose: Purpose) -> Result<()> {
        match writer.log()?.secure(bytes, purpose) {
            Ok(()) => Ok(()),
            Err(error) => self.secure_once_more(writer, bytes, purpose, error),
        }
    }

    /// What is wanted now comes before what is wanted later.
    #[cold]
    fn secure_once_more(
        &self,
        writer: &mut Writer,
        bytes: u64,
        purpose: Purpose,
        refused: Error,
    ) -> Result<()> {
        let lacks_space = purpose == Purpose::Add && matches!(refused, Error::NoSpace { .. });
        match lacks_space && self.arrays.give_up_ahead().is_some() {
            true => writer.log()?.secure(bytes, purpose),
            false => Err(refused),
        }
    }

    /// What every write begins with. A forked child is refused before it touches a lock or a header (C15).
    pub(super) fn ready_to_write(&self, purpose: Purpose) -> Result<&Files> {
        self.process.check()?;
        let files = self.files()?;
        files.syncer.check()?;
        self.begin_session(files)?;
        // What frees something goes on where a checkpoint can't be had (D9).
        let waits = purpose == Purpose::Add && kept(Mutant::DirtyLimit);
        if waits && self.arrays.pager().dirty_bytes() > self.arrays.pager().limit_bytes() {
            self.checkpoint()?;
        }
        Ok(files)
    }

    /// What every write ends with: its share of compaction, the count, the lock, and the wait for a sync.
    pub(super) fn finish_write(&self, files: &Files, mut writer: MutexGuard<'_, Writer>) -> Result<()> {
        self.compact_beside(files, &mut writer);
        self.set_count(writer.table.counters().count);
        let appended = files.appended.load(Ordering::Acquire);
        let wants_space = writer.log.as_ref().is_some_and(LogWriter::wants_space)
            || self.array_wanted(&writer.table).is_some();
        if wants_space != files.wants_space.load(Ordering::Relaxed) {
            files.wants_space.store(wants_space, Ordering::Relaxed);
        }
        drop(writer);
        match self.options.durability {
            Durability::Immediate if kept(Mutant::ImmediateWaits) => self.sync_to(files, appended),
            Durability::Immediate => Ok(()),
            Durability::Buffered | Durability::Interval(_) => Ok(()),
        }
    }

    /// Raises the epoch and says in the header that somebody writes, before the first append (D1). The order of the
    /// locks is: turn to sync, then writer.
    fn begin_session(&self, files: &Files) -> Result<()> {
        if files.session.load(Ordering::Acquire) {
            return Ok(());
        }
        let turn = files.syncer.turn();
        let mut writer = self.lock_writer()?;
        if files.session.load(Ordering::Acquire) {
            return Ok(());
        }
        // The header that was read may be in the page cache alone (D13), and the slot that is written next is all that
        // a power cut would leave then. A recovery has seen to it.
        if !self.recovered && kept(Mutant::HeaderRewrittenBeforeSession) {
            files.headers.rewrite()?;
            turn.sync()?;
        }
        let durable = files.headers.durable();
        let epoch = files.last_epoch + u64::from(kept(Mutant::EpochRaised));
        let writing = kept(Mutant::WritingFlag);
        files.headers.commit(&turn, Header { epoch, writing, ..durable })?;
        writer.log()?.begin_session(epoch)?;
        files.session.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<()> {
        let files = self.files()?;
        self.process.check()?;
        self.check_outside()?;
        self.sync_to(files, files.appended.load(Ordering::Acquire))
    }

    /// Returns once the first `appended` bytes of this session are durable. One thread syncs for all who wait; they
    /// find it done.
    fn sync_to(&self, files: &Files, appended: u64) -> Result<()> {
        let durable = || files.synced.load(Ordering::Acquire) >= appended;
        let join = || files.group.join(|| durable() || files.syncer.check().is_err());
        let lead = kept(Mutant::SyncsTakeTurns).then(join).flatten();
        files.syncer.check()?;
        if durable() {
            return Ok(());
        }
        let turn = files.syncer.turn();
        files.syncer.check()?;
        let (covered, mark) = {
            let mut writer = self.lock_writer()?;
            (files.appended.load(Ordering::Acquire), writer.log()?.mark_here())
        };
        if !kept(Mutant::MarkAfterSync) {
            self.lock_writer()?.log()?.append_mark(mark);
        }
        if kept(Mutant::SyncBeforeAcknowledgement) {
            turn.sync()?;
        }
        let covered =
            if kept(Mutant::CoveredIsTakenBefore) { covered } else { files.appended.load(Ordering::Acquire) };
        files.synced.store(covered, Ordering::Release);
        drop((turn, lead));
        *files.last_sync.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let mut writer = self.lock_writer()?;
        let log = writer.log()?;
        log.append_mark(if kept(Mutant::MarkNamesBeginning) { mark } else { log.mark_here() });
        Ok(())
    }

    pub(super) fn checkpoint(&self) -> Result<()> {
        self.process.check()?;
        self.check_outside()?;
        self.run_checkpoint(self.files()?, false)
    }

    fn run_checkpoint(&self, files: &Files, closing: bool) -> Result<()> {
        let _one_at_a_time = files.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
        files.syncer.check()?;
        self.begin_session(files)?;
        if kept(Mutant::InPlaceRetried) {
            files.checkpointer.finish_earlier()?;
        }
        let copies = self.room_for_copies()?;
        let (mut freeze, emptied, appended) = {
            let mut writer = self.lock_writer()?;
            // After a crash the log goes on in a fresh segment before a header may say that it ends here (D2).
            if kept(Mutant::FreshSegmentBeforeHeader) {
                writer.log()?.secure(0, Purpose::Free)?;
            }
            let (freeze, emptied) = self.freeze(&mut writer, copies)?;
            files.space_waits.store(false, Ordering::Relaxed);
            (freeze, emptied, files.appended.load(Ordering::Acquire))
        };
        let emptied = match kept(Mutant::EmptiedSegmentsWait) {
            true => emptied,
            false => self.give_up(emptied).map(|()| Vec::new())?,
        };
        // Before the sync, during which the writer comes by nearly all of them.
        freeze.copy_ahead();
        let committed = self.sync_to(files, appended).and_then(|()| files.checkpointer.commit(&freeze));
        if let Err(error) = committed {
            let _writer = self.lock_writer()?;
            if kept(Mutant::ThawAfterFailure) {
                freeze.thaw();
            }
            return Err(error);
        }
        files.checkpointed.store(appended, Ordering::Relaxed);
        files.replayed.store(0, Ordering::Relaxed);
        files.checkpointer.complete_in_place(closing)?;
        freeze.finish();
        if freeze.array_bytes() > self.arrays.pager().limit_bytes() && !closing {
            let _writer = self.lock_writer()?;
            freeze.drop_clean_copies();
        }
        self.give_up(emptied)
    }

    /// Gives up segments that are emptied and not needed by the state on disk any more (D8).
    fn give_up(&self, emptied: Vec<Arc<Segment>>) -> Result<()> {
        self.lock_writer()?.log()?.give_up(emptied);
        self.collect();
        Ok(())
    }

    /// Memory for copies of the pages that a checkpoint would freeze now.
    fn room_for_copies(&self) -> Result<Copies> {
        let pin = self.pin()?;
        let dirty =
            self.published(&pin).arrays().flat_map(Array::parts).map(IndexPages::dirty).sum::<usize>();
        let limit = COPIED_AHEAD_BYTES.min(self.arrays.pager().limit_bytes() / 4);
        Ok(Copies::with_room_for(dirty.min((limit / PAGE_BYTES) as usize)))
    }

    /// Takes back what no reader can see any more.
    fn collect(&self) {
        self.domain.collect();
        if let Ok(mut writer) = self.writer.lock()
            && let Some(log) = writer.log.as_mut()
        {
            log.let_go();
        }
        self.domain.collect();
    }

    /// The table at this moment (D7), and the segments that a checkpoint of it leaves out: no cell points into them, and
    /// a replay begins behind them. The caller holds the writer lock.
    fn freeze(&self, writer: &mut Writer, copies: Copies) -> Result<(Freeze, Vec<Arc<Segment>>)> {
        let pin = self.pin()?;
        let log = writer.log()?;
        let position = log.position();
        let segments = self.log.segments(&pin);
        let (emptied, segments): (Vec<_>, Vec<_>) =
            segments.into_iter().partition(|segment| log.is_emptied(segment));
        let segments =
            segments.iter().map(|segment| segment.catalog_entry(segment.published_end())).collect();
        let geometry = writer.table.geometry();
        let mut arrays = frozen_parts(ArrayRole::Current, &geometry.array);
        if let Some(old) = &geometry.old {
            arrays.extend(frozen_parts(ArrayRole::Old, &old.array));
        }
        Ok((Freeze { hmap: hmap(writer), log: position, arrays, segments, copies }, emptied))
    }

    pub(super) fn close(&self) -> Result<()> {
        // In a forked child this would write a clean header into the parent's file (C15).
        if self.process.check().is_err() {
            return Ok(());
        }
        let Some(files) = &*self.files else { return Ok(()) };
        if files.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if !files.session.load(Ordering::Acquire) && !self.recovered {
            return Ok(());
        }
        self.run_checkpoint(files, true)?;
        self.give_up_prepared(files)?;
        self.domain.collect();
        files.space.truncate().map_err(Error::io("truncating the file"))
    }

    /// Whether log space should be prepared.
    #[inline]
    pub(super) fn preparation_is_due(&self) -> bool {
        self.files.as_ref().is_some_and(|files| files.wants_space.load(Ordering::Relaxed))
    }

    /// Whether the log since the last checkpoint is long enough for another.
    #[inline]
    pub(super) fn checkpoint_is_due(&self) -> bool {
        let Some(files) = &*self.files else { return false };
        if files.appended.load(Ordering::Acquire) < files.retry_at.load(Ordering::Relaxed) {
            return false;
        }
        // What was replayed counts too, once somebody writes: an opening alone changes nothing.
        let begun = files.session.load(Ordering::Relaxed);
        begun && self.log_bytes_since_checkpoint() > self.checkpoint_bound()
            || files.space_waits.load(Ordering::Relaxed)
            || self.memory_is_short()
    }

    /// Whether half of the memory that index pages may take has changed since the last checkpoint.
    #[inline]
    pub(super) fn memory_is_short(&self) -> bool {
        let pager = self.arrays.pager();
        pager.dirty_bytes() > pager.limit_bytes() / 2
    }

    fn checkpoint_bound(&self) -> u64 {
        let index_bytes = self.count() * 16;
        self.options.checkpoint_bytes.unwrap_or(CHECKPOINT_BYTES.max(index_bytes / 2))
    }

    /// Bytes of the log that a crash now would have to replay.
    pub(super) fn log_bytes_since_checkpoint(&self) -> u64 {
        self.files.as_ref().map_or(self.replayed_bytes, |files| {
            let appended = files.appended.load(Ordering::Acquire);
            let checkpointed = files.checkpointed.load(Ordering::Relaxed);
            appended - checkpointed.min(appended) + files.replayed.load(Ordering::Relaxed)
        })
    }

    /// What is due between the writes of a store without background threads.
    pub(super) fn do_upkeep(&self) {
        self.keep_durable();
        let wants_space = self.preparation_is_due();
        if wants_space || self.domain.waiting() > 0 {
            self.prepare_ahead();
        }
    }

    /// Prepares the next log segment and what the writer comes to next in this one, and takes back what readers left
    /// behind.
    pub(super) fn prepare_ahead(&self) -> Option<Duration> {
        let files = self.files.as_ref()?;
        let in_hand = files.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        self.prepare_log();
        let array = self.writer.lock().ok().and_then(|writer| self.array_wanted(&writer.table));
        if let Some(array) = array {
            self.arrays.reserve_ahead(array.bytes, array.imminent, || self.prepare_log());
        }
        self.drop_array_of_the_past();
        if self.domain.waiting() > 0 {
            self.collect();
        }
        drop(in_hand);
        None
    }

    fn prepare_log(&self) {
        let left = self.writer.lock().ok().and_then(|mut writer| Some(writer.log.as_mut()?.take_left()));
        drop(left);
        let wanted = || self.writer.lock().ok().and_then(|writer| writer.log.as_ref()?.space_wanted());
        while let Some(wanted) = wanted() {
            let Ok(space) = wanted.prepare() else { break };
            if let Ok(mut writer) = self.writer.lock()
                && let Some(log) = writer.log.as_mut()
            {
                log.take(space);
            }
        }
    }

    /// Gives back what was reserved ahead of a growth that began without it, or of one that a clear put off.
    fn drop_array_of_the_past(&self) {
        let Some(ahead) = self.arrays.ahead() else { return };
        let Ok(writer) = self.lock_writer_to_look() else { return };
        let next = writer.table.next_array();
        drop(writer);
        if next.is_none_or(|next| next.bytes != ahead.bytes()) {
            drop(self.arrays.give_up_ahead());
        }
    }

    /// The array to be reserved ahead of a growth. A store without background threads reserves it when it grows.
    #[inline]
    fn array_wanted(&self, table: &Table<IndexPages>) -> Option<NextArray> {
        let next = table.next_array().filter(|_| self.options.background)?;
        self.arrays.wants_ahead(next.bytes, next.imminent).then_some(next)
    }

    /// Checkpoints and syncs where that is due. A checkpoint that fails is counted (the store goes on with its log alone,
    /// and `stats` says so), and the write that can't go on without it meets the error. Returns how long to wait for what
    /// is due next.
    pub(super) fn keep_durable(&self) -> Option<Duration> {
        let files = self.files.as_ref()?;
        if self.checkpoint_is_due() && self.run_checkpoint(files, false).is_err() {
            files.failed_checkpoints.fetch_add(1, Ordering::Relaxed);
            let appended = files.appended.load(Ordering::Acquire);
            files.retry_at.store(appended + CHECKPOINT_RETRY_BYTES, Ordering::Relaxed);
        }
        let Durability::Interval(interval) = self.options.durability else { return None };
        let appended = files.appended.load(Ordering::Acquire);
        if appended == files.synced.load(Ordering::Acquire) {
            return Some(interval);
        }
        let since = files.last_sync.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if since >= interval {
            let _ = self.sync_to(files, appended);
            return None;
        }
        Some(interval - since)
    }
}

/// The value that a write replaces, compared with its checksum before anything changes (C12).
pub(super) fn previous<'p>(record: Option<&RecordRef<'p>>) -> Result<Option<RecordBytes<'p>>> {
    match record.map(RecordRef::value).transpose() {
        Err(_) if !kept(Mutant::OldValueChecked) => Ok(None),
        old => old,
    }
}

fn frozen_parts(array: ArrayRole, parts: &Array<IndexPages>) -> Vec<FrozenPages> {
    let frozen = parts.parts().zip(0..).map(|(pages, part)| FrozenPages {
        array,
        part,
        pages: pages.clone(),
        frozen: pages.freeze(),
    });
    frozen.collect()
}

fn hmap(writer: &Writer) -> Hmap {
    let (counters, geometry) = (writer.table.counters(), writer.table.geometry());
    let old = geometry.old.as_ref();
    Hmap {
        count: counters.count,
        same_size_grow: old.is_some_and(|old| old.growth == Growth::SameSize),
        shrinking: old.is_some_and(|old| old.growth == Growth::Shrink),
        b: geometry.array.b(),
        noverflow: counters.noverflow,
        buckets: geometry.array.main().offset(),
        oldbuckets: old.map_or(0, |old| old.array.main().offset()),
        nevacuate: counters.nevacuate,
        overflow: geometry.array.chunks().count() as u64,
        oldoverflow: old.map_or(0, |old| old.array.chunks().count() as u64),
        next_overflow: counters.next_overflow,
        old_next_overflow: counters.old_next_overflow,
        clears: counters.clears,
    }
}

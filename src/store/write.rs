//! Writing: operations, sessions and syncs.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::file::epoch::Pin;
use crate::file::log::RecordRef;
use crate::file::log::writer::{LogWriter, Purpose};
use crate::file::region::RecordBytes;
use crate::format::bucket::{Cell, Hash, Position};
use crate::format::header::Header;
use crate::format::record::{Frame, Kind};
use crate::mutants::{Mutant, kept};
use crate::options::Durability;
use crate::store::core::{Core, Files, Writer};
use crate::store::growth::GrowthRecord;
use crate::store::value::Value;
use crate::table::{Spot, Trigger, prefetch_to_change};

/// Bytes of log between two looks at what the background threads should do: little beside a window of the log, and much beside
/// a small record.
const LOOK_BYTES: u64 = 4 << 10;

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
        prefetch_to_change(self.published(&pin), hash);
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
        writer.table.put(self, plan, hash, Cell::new(position, hash));
        if let Some(record) = record {
            record.segment().remove_live(record.record_bytes());
        }
        self.finish_write(files, writer)?;
        Ok(position)
    }

    pub(super) fn remove(&self, key: &[u8]) -> Result<Option<Value<'_>>> {
        self.with_room(|| {
            let pin = self.pin()?;
            let removed = self.take_out(&pin, key, |record| record.value())?;
            Ok(removed.map(|bytes| Value::keep(&pin, bytes)))
        })
    }

    pub(super) fn forget(&self, key: &[u8]) -> Result<bool> {
        self.with_room(|| Ok(self.take_out(&self.pin()?, key, |_| Ok(()))?.is_some()))
    }

    /// Removes a key; what `look` makes of its record before anything changes (C12), `None` for an absent key.
    fn take_out<'p, T>(
        &'p self,
        pin: &'p Pin<'_>,
        key: &[u8],
        look: impl FnOnce(&RecordRef<'p>) -> Result<T>,
    ) -> Result<Option<T>> {
        let hash = self.hasher.hash(key);
        prefetch_to_change(self.published(pin), hash);
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
        self.with_room(|| self.clear_now())
    }

    fn clear_now(&self) -> Result<()> {
        let files = self.ready_to_write(Purpose::Free)?;
        let frame = Frame::new(Kind::Clear, 0, 0)?;
        let pin = self.pin()?;
        let mut writer = self.lock_writer()?;
        let plan = writer.table.prepare_clear(self)?;
        self.secure(&mut writer, frame.bytes(), Purpose::Free)?;
        if kept(Mutant::ClearLogged) {
            writer.log()?.append(&frame, &[], &[]);
        }
        writer.table.clear(self, plan);
        let _dropped_without_the_lock = self.arrays.give_up_ahead();
        self.log.segments(&pin).iter().for_each(|segment| segment.set_live(0));
        self.finish_change(files, writer)
    }

    /// Makes sure that `bytes` can be appended.
    #[inline(always)]
    pub(super) fn secure(&self, writer: &mut Writer, bytes: u64, purpose: Purpose) -> Result<()> {
        if writer.log()?.allocates(bytes, purpose) {
            self.check_room(writer, bytes, purpose)?;
        }
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
    #[inline]
    pub(super) fn ready_to_write(&self, purpose: Purpose) -> Result<&Files> {
        self.process.check()?;
        let files = self.files()?;
        files.syncer.check()?;
        if !files.session.load(Ordering::Acquire) {
            self.begin_session(files)?;
        }
        // What frees something goes on where a checkpoint can't be had (D9).
        let waits = purpose == Purpose::Add && kept(Mutant::DirtyLimit);
        if waits && self.arrays.pager().dirty_bytes() > self.arrays.pager().limit_bytes() {
            self.checkpoint()?;
        }
        Ok(files)
    }

    /// What every write of records ends with: its share of compaction, and what [`Core::finish_change`] does.
    pub(super) fn finish_write(&self, files: &Files, mut writer: MutexGuard<'_, Writer>) -> Result<()> {
        self.compact_beside(files, &mut writer);
        self.finish_change(files, writer)
    }

    /// What every write ends with: the count, the lock, and the wait for a sync.
    #[inline]
    pub(super) fn finish_change(&self, files: &Files, writer: MutexGuard<'_, Writer>) -> Result<()> {
        self.set_count(writer.table.counters().count);
        let appended = files.appended.load(Ordering::Acquire);
        if appended >= files.look_at.load(Ordering::Relaxed) {
            self.look_ahead(files, &writer, appended);
        }
        drop(writer);
        match self.options.durability {
            Durability::Immediate if kept(Mutant::ImmediateWaits) => self.sync_to(files, appended),
            Durability::Immediate => Ok(()),
            Durability::Buffered | Durability::Interval(_) => Ok(()),
        }
    }

    /// Looks at what the background threads should do: every few writes, and behind each where there are none.
    #[cold]
    fn look_ahead(&self, files: &Files, writer: &Writer, appended: u64) {
        let every = if self.options.background { LOOK_BYTES } else { 0 };
        files.look_at.store(appended + every, Ordering::Relaxed);
        let wants_space = writer.log.as_ref().is_some_and(LogWriter::wants_space)
            || self.array_wanted(&writer.table).is_some();
        files.wants_space.store(wants_space, Ordering::Relaxed);
        files.looked.store(true, Ordering::Relaxed);
    }

    /// Raises the epoch and says in the header that somebody writes, before the first append (D1). The order of the
    /// locks is: turn to sync, then writer.
    #[cold]
    pub(super) fn begin_session(&self, files: &Files) -> Result<()> {
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
    pub(super) fn sync_to(&self, files: &Files, appended: u64) -> Result<()> {
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
}

/// The value that a write replaces, compared with its checksum before anything changes (C12).
pub(super) fn previous<'p>(record: Option<&RecordRef<'p>>) -> Result<Option<RecordBytes<'p>>> {
    match record.map(RecordRef::value).transpose() {
        Err(_) if !kept(Mutant::OldValueChecked) => Ok(None),
        old => old,
    }
}

//! Checkpoints of the open store: what is frozen under the writer lock, and what a complete one lets go. How one reaches
//! the file is the [checkpointer](crate::file::checkpoint)'s.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::error::{Error, Result};
use crate::file::checkpoint::{Copies, Freeze, FrozenPages};
use crate::file::log::segment::Segment;
use crate::file::log::writer::Purpose;
use crate::file::pages::IndexPages;
use crate::format::PAGE_BYTES;
use crate::format::catalog::ArrayRole;
use crate::format::header::Hmap;
use crate::mutants::{Mutant, kept};
use crate::store::core::{Core, Files, Writer};
use crate::table::{Array, Growth};

/// Memory that a checkpoint may take for copies of the pages that it will write.
const COPIED_AHEAD_BYTES: u64 = 64 << 20;

impl Core {
    pub(super) fn checkpoint(&self) -> Result<()> {
        self.process.check()?;
        self.check_outside()?;
        self.run_checkpoint(self.files()?, false)
    }

    pub(super) fn run_checkpoint(&self, files: &Files, closing: bool) -> Result<()> {
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
        files.retry_at.store(0, Ordering::Relaxed);
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
        {
            let mut writer = self.lock_writer()?;
            writer.compactor.checkpoint_is_complete();
            writer.log()?.give_up(emptied);
        }
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
    pub(super) fn collect(&self) {
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

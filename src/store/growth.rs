//! Growths as the log has them: the record that says that one begins (D15), and the room for it.

use crate::error::{Error, Result};
use crate::file::log::writer::{LogWriter, Purpose};
use crate::file::pages::IndexPages;
use crate::format::bucket::Hash;
use crate::format::record::{Frame, GROW_DOUBLE, GROW_SAME_SIZE, GROW_SHRINK, GROW_VALUE_BYTES, Kind};
use crate::mutants::{Mutant, kept};
use crate::store::core::{Core, Writer};
use crate::table::{Cells, Growth, Name, Plan, Spot, Trigger};

/// The record of the growth that a change begins with, if it begins with one.
pub(super) struct GrowthRecord(Option<(Frame, [u8; GROW_VALUE_BYTES])>);

impl GrowthRecord {
    #[inline]
    pub(super) fn of(growth: Option<Growth>) -> Result<Self> {
        let Some(growth) = growth else { return Ok(GrowthRecord(None)) };
        let word = match growth {
            Growth::Double => GROW_DOUBLE,
            Growth::SameSize => GROW_SAME_SIZE,
            Growth::Shrink => GROW_SHRINK,
        };
        Ok(GrowthRecord(Some((Frame::new(Kind::Grow, 0, GROW_VALUE_BYTES)?, word.to_le_bytes()))))
    }

    /// Bytes of the log that it needs before the change's own record.
    #[inline]
    pub(super) fn bytes(&self) -> u64 {
        match &self.0 {
            Some((frame, _)) if kept(Mutant::RoomForGrowthRecord) => frame.bytes(),
            _ => 0,
        }
    }

    /// Appends it, room for it having been secured.
    #[inline]
    pub(super) fn append(&self, log: &mut LogWriter) {
        if let Some((frame, value)) = &self.0 {
            log.append(frame, &[], value);
        }
    }
}

impl Core {
    /// Prepares a removal, and secures the log space for it. A shrink that can't be had is put off: so is one that would
    /// take from the reserve, which is there for removals alone (D9, D18).
    pub(super) fn prepare_removal<C: Cells, N: Name>(
        &self,
        writer: &mut Writer,
        cells: &C,
        hash: Hash,
        spot: Spot<N>,
        record_bytes: u64,
    ) -> Result<(Plan<IndexPages, N>, GrowthRecord)> {
        let plan = writer.table.prepare_remove(self, cells, hash, spot, Trigger::Live)?;
        let start = GrowthRecord::of(plan.growth())?;
        let purpose = if plan.growth().is_some() { Purpose::Add } else { Purpose::Free };
        match self.secure(writer, start.bytes() + record_bytes, purpose) {
            Err(Error::NoSpace { .. }) if plan.growth().is_some() && kept(Mutant::ShrinkPutOff) => {}
            secured => return secured.map(|()| (plan, start)),
        }
        drop(plan);
        let plan = writer.table.prepare_remove(self, cells, hash, spot, Trigger::Replay)?;
        self.secure(writer, record_bytes, Purpose::Free)?;
        Ok((plan, GrowthRecord(None)))
    }
}

//! Replaying the log: the same operations on the same table, obeying the growths that the log tells of (D15).

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::arrays::ArraySpace;
use crate::file::epoch::{Domain, Pin};
use crate::file::log::chain::{Chain, ChainRecord};
use crate::file::log::segment::Segment;
use crate::file::log::{Log, RecordRef};
use crate::file::pages::IndexPages;
use crate::format::bucket::{Cell, Hash, Position};
use crate::format::record::{EvacuateValue, GROW_DOUBLE, GROW_SAME_SIZE, GROW_SHRINK, Kind};
use crate::format::schema::{Layout, MAX_INLINE_BYTES};
use crate::mutants::{Mutant, kept};
use crate::seam::Arrays;
use crate::table::{Geometry, Growth, Host, InlineCells, InlinePut, KeyHasher, Table, Trigger};
use crate::upkeep::records::PinnedRecords;

/// Records whose buckets are loaded ahead together.
const GROUP: usize = 16;

/// A table that the log is applied to.
pub(super) struct Replay {
    pub(super) host: ReplayHost,
    pub(super) domain: Arc<Domain>,
    pub(super) hasher: KeyHasher,
    pub(super) layout: Layout,
    pub(super) log: Arc<Log>,
    pub(super) table: Table<IndexPages>,
    pub(super) bytes: u64,
}

/// Nobody reads yet, so there is nobody to publish to.
pub(super) struct ReplayHost(pub(super) ArraySpace);

impl Arrays for ReplayHost {
    type Pages = IndexPages;

    fn reserve(&self, bytes: u64) -> Result<IndexPages> {
        self.0.reserve(bytes)
    }
}

impl Host for ReplayHost {
    fn publish(&self, _: &Arc<Geometry<IndexPages>>) {}
}

impl Replay {
    /// Applies the rest of the chain, which has been walked before.
    pub(super) fn run(&mut self, chain: &mut Chain) -> Result<()> {
        let domain = Arc::clone(&self.domain);
        let mut group = Vec::with_capacity(GROUP);
        loop {
            group.clear();
            while group.len() < GROUP
                && let Some(record) = chain.next()?
            {
                let key = chain.segment_of(&record).record(record.offset)?.key().as_slice();
                group.push((record, self.hasher.hash(key)));
            }
            if group.is_empty() {
                return Ok(());
            }
            group.iter().for_each(|(_, hash)| self.table.warm(*hash));
            let pin = domain.pin();
            for (record, hash) in &group {
                self.apply(&pin, chain.segment_of(record), record, *hash)?;
            }
        }
    }

    fn apply(&mut self, pin: &Pin<'_>, segment: &Segment, record: &ChainRecord, hash: Hash) -> Result<()> {
        let ChainRecord { frame, offset, .. } = *record;
        self.bytes += frame.bytes();
        let bytes = segment.record(offset)?;
        let key = bytes.key().as_slice();
        let settled = record.in_batch && kept(Mutant::BatchDoesNoGrowthWork);
        let inline = matches!(self.layout, Layout::Inline { .. });
        match frame.kind {
            Kind::Put if inline => self.put_inline(offset, hash, key, bytes.value()?.as_slice()),
            Kind::Remove if inline => self.remove_inline(offset, hash, key),
            Kind::Move | Kind::Batch if inline => {
                let expected = "puts and removals, since cells hold the entries";
                Err(Error::corrupt("record of the log", offset, expected, frame.kind as u64))
            }
            Kind::Put if settled => self.put_settled(pin, segment, record, hash, key),
            Kind::Remove if settled => self.remove_settled(pin, offset, hash, key),
            Kind::Put => self.put(pin, segment, record, hash, key),
            Kind::Move if !kept(Mutant::MovesDoNoGrowthWork) => self.put(pin, segment, record, hash, key),
            Kind::Move => self.relocate(pin, segment, record, hash, key),
            Kind::Remove => self.remove(pin, offset, hash, key),
            Kind::Clear => {
                let plan = self.table.prepare_clear(&self.host)?;
                self.table.clear(&self.host, plan);
                self.log.segments(pin).iter().for_each(|segment| segment.set_live(0));
                Ok(())
            }
            Kind::Grow => {
                let value = bytes.value()?.as_slice();
                let word = value.try_into().map_or(0, u64::from_le_bytes);
                let growth = match word {
                    GROW_DOUBLE => Growth::Double,
                    GROW_SAME_SIZE => Growth::SameSize,
                    GROW_SHRINK => Growth::Shrink,
                    _ => return Err(Error::corrupt("growth record", offset, "a kind of growth", word)),
                };
                if !kept(Mutant::GrowthReplayed) {
                    return Ok(());
                }
                self.table.replay_growth(&self.host, growth)
            }
            Kind::Evacuate => {
                let Some(value) = EvacuateValue::decode(bytes.value()?.as_slice()) else {
                    let expected = "numbers of old buckets, in order";
                    return Err(Error::corrupt("evacuate record", offset, expected, "another value"));
                };
                if !kept(Mutant::EvacuationReplayed) {
                    return Ok(());
                }
                let (table, host, at_mark, buckets) =
                    (&mut self.table, &self.host, value.at_mark, &value.buckets);
                let plan = if inline {
                    let cells = InlineCells::of(self.layout, &self.hasher);
                    table.prepare_evacuation(host, &cells, at_mark, buckets)?
                } else {
                    let records = PinnedRecords { log: &self.log, pin, hasher: &self.hasher };
                    table.prepare_evacuation(host, &records, at_mark, buckets)?
                };
                table.evacuate_planned(host, plan);
                Ok(())
            }
            Kind::SyncMark | Kind::Batch => Ok(()),
        }
    }

    /// A put of a batch (D15).
    fn put_settled(
        &mut self,
        pin: &Pin<'_>,
        segment: &Segment,
        record: &ChainRecord,
        hash: Hash,
        key: &[u8],
    ) -> Result<()> {
        let records = PinnedRecords { log: &self.log, pin, hasher: &self.hasher };
        let (spot, existing) = self.table.locate_settled(&records, hash, key)?;
        if existing.is_none() && !spot.has_room() {
            let needed = self.table.overflow_for(None, hash, 1)?;
            self.table.secure_settled(&self.host, None, needed)?;
        }
        self.table.put_settled(spot, hash, position(record.offset)?);
        count_live(segment, record, existing.as_ref());
        Ok(())
    }

    fn remove_settled(&mut self, pin: &Pin<'_>, offset: u64, hash: Hash, key: &[u8]) -> Result<()> {
        let records = PinnedRecords { log: &self.log, pin, hasher: &self.hasher };
        let (spot, existing) = self.table.locate_settled(&records, hash, key)?;
        let old = existing.ok_or_else(|| absent_key("remove record", offset))?;
        self.table.prepare_remove_settled(hash, spot)?;
        self.table.remove_settled(spot, hash);
        old.segment().remove_live(old.record_bytes());
        Ok(())
    }

    /// A put of the inline layout: the record has what the cell gets.
    fn put_inline(&mut self, offset: u64, hash: Hash, key: &[u8], elem: &[u8]) -> Result<()> {
        self.expect_widths(offset, key, Some(elem))?;
        let mut before = [0; MAX_INLINE_BYTES as usize];
        let spot = self.table.locate_inline(hash, key, &mut before[..elem.len()])?;
        if spot.is_taken() && !kept(Mutant::OverwriteReplayed) {
            return Ok(());
        }
        let trigger = if kept(Mutant::ReplayTriggersNothing) { Trigger::Replay } else { Trigger::Live };
        let cells = InlineCells::of(self.layout, &self.hasher);
        let plan = self.table.prepare_put(&self.host, &cells, hash, spot, trigger)?;
        self.table.put(&self.host, plan, hash, InlinePut { key, elem });
        Ok(())
    }

    fn remove_inline(&mut self, offset: u64, hash: Hash, key: &[u8]) -> Result<()> {
        self.expect_widths(offset, key, None)?;
        let mut before = [0; MAX_INLINE_BYTES as usize];
        let before = &mut before[..self.layout.elem_width().into()];
        let spot = self.table.locate_inline(hash, key, before)?;
        if !spot.is_taken() {
            return Err(absent_key("remove record", offset));
        }
        let trigger = if kept(Mutant::ReplayShrinksNothing) { Trigger::Replay } else { Trigger::Live };
        let cells = InlineCells::of(self.layout, &self.hasher);
        let plan = self.table.prepare_remove(&self.host, &cells, hash, spot, trigger)?;
        self.table.remove(&self.host, plan, hash);
        Ok(())
    }

    /// Whether a record fits the cells.
    fn expect_widths(&self, offset: u64, key: &[u8], elem: Option<&[u8]>) -> Result<()> {
        if !kept(Mutant::RecordWidthsChecked) {
            return Ok(());
        }
        let widths = [
            ("key of a record", self.layout.key_width(), Some(key)),
            ("value of a record", self.layout.elem_width(), elem),
        ];
        for (what, width, bytes) in widths {
            if let Some(bytes) = bytes.filter(|bytes| bytes.len() != usize::from(width)) {
                return Err(Error::corrupt(what, offset, u64::from(width), bytes.len() as u64));
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        pin: &Pin<'_>,
        segment: &Segment,
        record: &ChainRecord,
        hash: Hash,
        key: &[u8],
    ) -> Result<()> {
        let records = PinnedRecords { log: &self.log, pin, hasher: &self.hasher };
        let (spot, existing) = self.table.locate(&records, hash, key)?;
        let trigger = if kept(Mutant::ReplayTriggersNothing) { Trigger::Replay } else { Trigger::Live };
        let plan = self.table.prepare_put(&self.host, &records, hash, spot, trigger)?;
        self.table.put(&self.host, plan, hash, Cell::new(position(record.offset)?, hash));
        count_live(segment, record, existing.as_ref());
        Ok(())
    }

    /// What compaction copied: the same entry in another place.
    fn relocate(
        &mut self,
        pin: &Pin<'_>,
        segment: &Segment,
        record: &ChainRecord,
        hash: Hash,
        key: &[u8],
    ) -> Result<()> {
        let records = PinnedRecords { log: &self.log, pin, hasher: &self.hasher };
        let (spot, Some(old)) = self.table.locate(&records, hash, key)? else {
            return Err(absent_key("move record", record.offset));
        };
        self.table.relocate(hash, spot, position(record.offset)?);
        count_live(segment, record, Some(&old));
        Ok(())
    }

    fn remove(&mut self, pin: &Pin<'_>, offset: u64, hash: Hash, key: &[u8]) -> Result<()> {
        let records = PinnedRecords { log: &self.log, pin, hasher: &self.hasher };
        let (spot, Some(old)) = self.table.locate(&records, hash, key)? else {
            return Err(absent_key("remove record", offset));
        };
        let trigger = if kept(Mutant::ReplayShrinksNothing) { Trigger::Replay } else { Trigger::Live };
        let plan = self.table.prepare_remove(&self.host, &records, hash, spot, trigger)?;
        self.table.remove(&self.host, plan, hash);
        old.segment().remove_live(old.record_bytes());
        Ok(())
    }
}

fn position(offset: u64) -> Result<Position> {
    Position::from_offset(offset)
        .ok_or_else(|| Error::corrupt("log", offset, "a position below 8 TiB", offset))
}

/// Counts the record that the table points at now, instead of the one before.
fn count_live(segment: &Segment, record: &ChainRecord, before: Option<&RecordRef<'_>>) {
    segment.add_live(record.frame.bytes());
    if let Some(before) = before {
        before.segment().remove_live(before.record_bytes());
    }
}

fn absent_key(what: &'static str, offset: u64) -> Error {
    Error::corrupt(what, offset, "a key that is in the table", "an absent key")
}

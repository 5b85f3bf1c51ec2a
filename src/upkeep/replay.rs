//! Replaying the log: the same operations on the same table, obeying the growths that the log tells of (D15).

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::arrays::ArraySpace;
use crate::file::epoch::{Domain, Pin};
use crate::file::log::chain::{Chain, ChainRecord};
use crate::file::log::segment::Segment;
use crate::file::log::{Log, RecordRef};
use crate::file::pages::IndexPages;
use crate::format::bucket::{Hash, Position};
use crate::format::record::{EvacuateValue, Frame, GROW_DOUBLE, GROW_SAME_SIZE, GROW_SHRINK, Kind};
use crate::format::schema::Layout;
use crate::mutants::{Mutant, kept};
use crate::seam::Arrays;
use crate::table::{Geometry, Growth, Host, InlineCells, KeyHasher, Table, Trigger};
use crate::upkeep::records::{Live, PinnedRecords};

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
        let ChainRecord { frame, offset, in_batch, .. } = *record;
        self.bytes += frame.bytes();
        let bytes = segment.record(offset)?;
        match frame.kind {
            Kind::SyncMark | Kind::Batch => Ok(()),
            Kind::Clear => {
                let plan = self.table.prepare_clear(&self.host)?;
                self.table.clear(&self.host, plan);
                self.log.segments(pin).iter().for_each(|segment| segment.set_live(0));
                Ok(())
            }
            Kind::Grow => self.grow(offset, bytes.value()?.as_slice()),
            Kind::Put | Kind::Remove | Kind::Move | Kind::Evacuate => {
                let settled = in_batch && kept(Mutant::BatchDoesNoGrowthWork);
                let (table, host, key) = (&mut self.table, &self.host, bytes.key().as_slice());
                match self.layout {
                    Layout::Record => {
                        let cells = &PinnedRecords { log: &self.log, pin, hasher: &self.hasher };
                        // Only the cells of the inline layout need the value.
                        let value =
                            if frame.kind == Kind::Evacuate { bytes.value()?.as_slice() } else { &[] };
                        let change = Change { segment, frame, offset, hash, key, value, settled };
                        Changing { table, host, cells }.apply(&change)
                    }
                    Layout::Inline { .. } => {
                        let value = bytes.value()?.as_slice();
                        let change = Change { segment, frame, offset, hash, key, value, settled };
                        change.expect_widths(self.layout)?;
                        let cells = &InlineCells::of(self.layout, &self.hasher);
                        Changing { table, host, cells }.apply(&change)
                    }
                }
            }
        }
    }

    fn grow(&mut self, offset: u64, value: &[u8]) -> Result<()> {
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
}

/// A record that changes the cells.
struct Change<'b> {
    segment: &'b Segment,
    frame: Frame,
    offset: u64,
    hash: Hash,
    key: &'b [u8],
    value: &'b [u8],
    /// It belongs to a batch, whose records do no growth work (D15).
    settled: bool,
}

impl Change<'_> {
    /// Whether the record fits the cells of the inline layout.
    fn expect_widths(&self, layout: Layout) -> Result<()> {
        let (key, value) = match self.frame.kind {
            Kind::Put => (Some(self.key), Some(self.value)),
            Kind::Remove => (Some(self.key), None),
            Kind::Move => {
                let expected = "no moves, since cells hold the entries";
                return Err(Error::corrupt("record of the log", self.offset, expected, "a move"));
            }
            _ => (None, None),
        };
        if !kept(Mutant::RecordWidthsChecked) {
            return Ok(());
        }
        let widths =
            [("key of a record", layout.key_width(), key), ("value of a record", layout.elem_width(), value)];
        for (what, width, bytes) in widths {
            if let Some(bytes) = bytes.filter(|bytes| bytes.len() != usize::from(width)) {
                return Err(Error::corrupt(what, self.offset, u64::from(width), bytes.len() as u64));
            }
        }
        Ok(())
    }
}

/// The table, and what its cells are.
struct Changing<'r, C> {
    table: &'r mut Table<IndexPages>,
    host: &'r ReplayHost,
    cells: &'r C,
}

impl<'p, C: Live<'p>> Changing<'_, C> {
    fn apply(&mut self, change: &Change<'_>) -> Result<()> {
        match change.frame.kind {
            Kind::Put if change.settled => self.put_settled(change),
            Kind::Remove if change.settled => self.remove_settled(change),
            Kind::Put => self.put(change),
            Kind::Move if !kept(Mutant::MovesDoNoGrowthWork) => self.put(change),
            Kind::Move => self.relocate(change),
            Kind::Remove => self.remove(change),
            Kind::Evacuate => self.evacuate(change),
            Kind::Clear | Kind::Grow | Kind::SyncMark | Kind::Batch => Ok(()),
        }
    }

    fn put(&mut self, change: &Change<'_>) -> Result<()> {
        let Changing { table, host, cells } = self;
        let Change { hash, key, value, .. } = *change;
        let (spot, existing) = table.locate(*cells, hash, key)?;
        if spot.is_taken() && !kept(Mutant::OverwriteReplayed) {
            return Ok(());
        }
        let trigger = if kept(Mutant::ReplayTriggersNothing) { Trigger::Replay } else { Trigger::Live };
        let plan = table.prepare_put(*host, *cells, hash, spot, trigger)?;
        table.put(*host, plan, hash, C::content(hash, position(change.offset)?, key, value));
        count_live::<C>(change, existing.as_ref());
        Ok(())
    }

    /// A put of a batch (D15).
    fn put_settled(&mut self, change: &Change<'_>) -> Result<()> {
        let Changing { table, host, cells } = self;
        let Change { hash, key, value, .. } = *change;
        let (spot, existing) = table.locate_settled(*cells, hash, key)?;
        if existing.is_none() && !spot.has_room() {
            let needed = table.overflow_for(None, hash, 1)?;
            table.secure_settled(*host, None, needed)?;
        }
        table.put_settled(spot, hash, C::content(hash, position(change.offset)?, key, value));
        count_live::<C>(change, existing.as_ref());
        Ok(())
    }

    fn remove(&mut self, change: &Change<'_>) -> Result<()> {
        let Changing { table, host, cells } = self;
        let (spot, Some(old)) = table.locate(*cells, change.hash, change.key)? else {
            return Err(absent_key("remove record", change.offset));
        };
        let trigger = if kept(Mutant::ReplayShrinksNothing) { Trigger::Replay } else { Trigger::Live };
        let plan = table.prepare_remove(*host, *cells, change.hash, spot, trigger)?;
        table.remove(*host, plan, change.hash);
        count_dead(C::record(&old));
        Ok(())
    }

    fn remove_settled(&mut self, change: &Change<'_>) -> Result<()> {
        let Changing { table, cells, .. } = self;
        let (spot, Some(old)) = table.locate_settled(*cells, change.hash, change.key)? else {
            return Err(absent_key("remove record", change.offset));
        };
        table.prepare_remove_settled(change.hash, spot)?;
        table.remove_settled(spot, change.hash);
        count_dead(C::record(&old));
        Ok(())
    }

    /// What compaction copied: the same entry in another place.
    fn relocate(&mut self, change: &Change<'_>) -> Result<()> {
        let Changing { table, cells, .. } = self;
        let Change { hash, key, value, .. } = *change;
        let (spot, Some(old)) = table.locate(*cells, hash, key)? else {
            return Err(absent_key("move record", change.offset));
        };
        table.relocate(hash, spot, C::content(hash, position(change.offset)?, key, value));
        count_live::<C>(change, Some(&old));
        Ok(())
    }

    /// Evacuations ahead of a batch.
    fn evacuate(&mut self, change: &Change<'_>) -> Result<()> {
        let Some(value) = EvacuateValue::decode(change.value) else {
            let expected = "numbers of old buckets, in order";
            return Err(Error::corrupt("evacuate record", change.offset, expected, "another value"));
        };
        if !kept(Mutant::EvacuationReplayed) {
            return Ok(());
        }
        let Changing { table, host, cells } = self;
        let plan = table.prepare_evacuation(*host, *cells, value.at_mark, &value.buckets)?;
        table.evacuate_planned(*host, plan);
        Ok(())
    }
}

fn position(offset: u64) -> Result<Position> {
    Position::from_offset(offset)
        .ok_or_else(|| Error::corrupt("log", offset, "a position below 8 TiB", offset))
}

/// Counts the record that the table points at now, instead of the one before.
fn count_live<'p, C: Live<'p>>(change: &Change<'_>, before: Option<&C::Found>) {
    if C::IN_RECORDS {
        change.segment.add_live(change.frame.bytes());
    }
    count_dead(before.and_then(C::record));
}

/// Counts a record that the table no longer points at.
fn count_dead(record: Option<&RecordRef<'_>>) {
    if let Some(record) = record {
        record.segment().remove_live(record.record_bytes());
    }
}

fn absent_key(what: &'static str, offset: u64) -> Error {
    Error::corrupt(what, offset, "a key that is in the table", "an absent key")
}

//! Replaying the log: the same operations on the same table, obeying the growths that the log tells of (D15).

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::arrays::ArraySpace;
use crate::file::epoch::{Domain, Pin};
use crate::file::log::Log;
use crate::file::log::chain::{Chain, ChainRecord};
use crate::file::log::segment::Segment;
use crate::file::pages::IndexPages;
use crate::format::bucket::{Hash, Position};
use crate::format::record::{GROW_DOUBLE, GROW_SAME_SIZE, GROW_SHRINK, Kind};
use crate::mutants::{Mutant, kept};
use crate::seam::Arrays;
use crate::table::{Geometry, Growth, Host, KeyHasher, Table, Trigger};
use crate::upkeep::records::PinnedRecords;

/// Records whose buckets are loaded ahead together.
const BATCH: usize = 16;

/// A table that the log is applied to.
pub(super) struct Replay {
    pub(super) host: ReplayHost,
    pub(super) domain: Arc<Domain>,
    pub(super) hasher: KeyHasher,
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
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            batch.clear();
            while batch.len() < BATCH
                && let Some(record) = chain.next()?
            {
                let key = chain.segment_of(&record).record(record.offset)?.key().as_slice();
                batch.push((record, self.hasher.hash(key)));
            }
            if batch.is_empty() {
                return Ok(());
            }
            batch.iter().for_each(|(_, hash)| self.table.warm(*hash));
            let pin = domain.pin();
            for (record, hash) in &batch {
                self.apply(&pin, chain.segment_of(record), record, *hash)?;
            }
        }
    }

    fn apply(&mut self, pin: &Pin<'_>, segment: &Segment, record: &ChainRecord, hash: Hash) -> Result<()> {
        let ChainRecord { frame, offset, .. } = *record;
        self.bytes += frame.bytes();
        let bytes = segment.record(offset)?;
        let key = bytes.key().as_slice();
        match frame.kind {
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
            Kind::SyncMark => Ok(()),
        }
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
        let position = position_of(record)?;
        self.table.put(&self.host, plan, hash, position);
        segment.add_live(record.frame.bytes());
        if let Some(old) = existing {
            old.segment().remove_live(old.record_bytes());
        }
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
        let ChainRecord { frame, offset, .. } = *record;
        let records = PinnedRecords { log: &self.log, pin, hasher: &self.hasher };
        let (spot, Some(old)) = self.table.locate(&records, hash, key)? else {
            return Err(absent_key("move record", offset));
        };
        let position = position_of(record)?;
        self.table.relocate(hash, spot, position);
        segment.add_live(frame.bytes());
        old.segment().remove_live(old.record_bytes());
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

fn position_of(record: &ChainRecord) -> Result<Position> {
    let ChainRecord { offset, .. } = *record;
    Position::from_offset(offset)
        .ok_or_else(|| Error::corrupt("log", offset, "a position below 8 TiB", offset))
}

fn absent_key(what: &'static str, offset: u64) -> Error {
    Error::corrupt(what, offset, "a key that is in the table", "an absent key")
}

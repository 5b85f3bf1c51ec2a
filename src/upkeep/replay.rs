//! Replaying the log: the same operations on the same table, obeying the growths that the log tells of (D15).

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::arrays::ArraySpace;
use crate::file::epoch::Domain;
use crate::file::log::Log;
use crate::file::log::chain::ChainRecord;
use crate::file::pages::IndexPages;
use crate::format::bucket::Position;
use crate::format::record::{GROW_DOUBLE, GROW_SAME_SIZE, Kind};
use crate::mutants::{Mutant, kept};
use crate::seam::Arrays;
use crate::table::{Geometry, Growth, Host, KeyHasher, Table, Trigger};
use crate::upkeep::records::PinnedRecords;

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
    pub(super) fn apply(&mut self, record: &ChainRecord) -> Result<()> {
        let ChainRecord { frame, offset, segment } = record;
        self.bytes += frame.bytes();
        let bytes = segment.record(*offset)?;
        let key = bytes.key().as_slice();
        match frame.kind {
            Kind::Put => self.put(record, key),
            Kind::Remove => self.remove(*offset, key),
            Kind::Clear => {
                let plan = self.table.prepare_clear(&self.host)?;
                self.table.clear(&self.host, plan);
                let pin = self.domain.pin();
                self.log.segments(&pin).iter().for_each(|segment| segment.set_live(0));
                Ok(())
            }
            Kind::Grow => {
                let value = bytes.value()?.as_slice();
                let word = value.try_into().map_or(0, u64::from_le_bytes);
                let growth = match word {
                    GROW_DOUBLE => Growth::Double,
                    GROW_SAME_SIZE => Growth::SameSize,
                    _ => return Err(Error::corrupt("growth record", *offset, "a kind of growth", word)),
                };
                if !kept(Mutant::GrowthReplayed) {
                    return Ok(());
                }
                self.table.replay_growth(&self.host, growth)
            }
            Kind::SyncMark => Ok(()),
        }
    }

    fn put(&mut self, record: &ChainRecord, key: &[u8]) -> Result<()> {
        let pin = self.domain.pin();
        let records = PinnedRecords { log: &self.log, pin: &pin, hasher: &self.hasher };
        let hash = self.hasher.hash(key);
        let existing = self.table.locate(&records, hash, key)?;
        let cell = existing.as_ref().map(|(cell, _)| *cell);
        let trigger = if kept(Mutant::ReplayTriggersNothing) { Trigger::Replay } else { Trigger::Live };
        let plan = self.table.prepare_put(&self.host, &records, hash, cell, trigger)?;
        let position = Position::from_offset(record.offset)
            .ok_or_else(|| Error::corrupt("log", record.offset, "a position below 8 TiB", record.offset))?;
        self.table.put(&self.host, plan, hash, cell, position);
        record.segment.add_live(record.frame.bytes());
        if let Some((_, old)) = existing {
            old.segment().remove_live(old.record_bytes());
        }
        Ok(())
    }

    fn remove(&mut self, offset: u64, key: &[u8]) -> Result<()> {
        let pin = self.domain.pin();
        let records = PinnedRecords { log: &self.log, pin: &pin, hasher: &self.hasher };
        let hash = self.hasher.hash(key);
        let Some((cell, old)) = self.table.locate(&records, hash, key)? else {
            return Err(Error::corrupt(
                "remove record",
                offset,
                "a key that is in the table",
                "an absent key",
            ));
        };
        let plan = self.table.prepare_remove(&self.host, &records, hash, cell)?;
        self.table.remove(&self.host, plan, hash, cell);
        old.segment().remove_live(old.record_bytes());
        Ok(())
    }
}

//! The log as the table sees it: records that cells point at.

use crate::error::Result;
use crate::file::epoch::Pin;
use crate::file::log::{Log, RecordRef};
use crate::format::bucket::{Hash, Position};
use crate::seam::Records;
use crate::table::{InlineCells, KeyHasher, KeyedCells};

/// The records that one pin keeps readable.
pub(crate) struct PinnedRecords<'a, 's> {
    pub(crate) log: &'a Log,
    pub(crate) pin: &'a Pin<'s>,
    pub(crate) hasher: &'a KeyHasher,
}

impl<'a> PinnedRecords<'a, '_> {
    /// [`Records::read`] as it nearly always goes; `None` where it does not, and `read` says what is there.
    #[inline(always)]
    pub(crate) fn small(&self, position: Position) -> Option<RecordRef<'a>> {
        self.log.small(self.pin, position)
    }
}

impl<'a> Records for PinnedRecords<'a, '_> {
    type Record = RecordRef<'a>;

    #[inline]
    fn matching(&self, position: Position, key: &[u8]) -> Result<Option<RecordRef<'a>>> {
        let record = match self.log.small(self.pin, position) {
            Some(record) => record,
            None => self.log.read(self.pin, position)?,
        };
        Ok((record.key().as_slice() == key).then_some(record))
    }

    fn read(&self, position: Position) -> Result<RecordRef<'a>> {
        self.log.read(self.pin, position)
    }

    #[inline]
    fn prefetch(&self, position: Position) {
        self.log.prefetch(self.pin, position);
    }

    fn key<'k>(&'k self, record: &'k RecordRef<'a>) -> &'k [u8] {
        record.key().as_slice()
    }

    fn hash(&self, record: &RecordRef<'a>) -> Hash {
        self.hasher.hash(record.key().as_slice())
    }
}

/// What is live in the log, by the layout of the cells.
pub(crate) trait Live<'p>: KeyedCells {
    /// Whether cells point at records, which are live as long as they do. Where they hold the entries, records serve replays
    /// alone, and none is live.
    const IN_RECORDS: bool;

    /// The record of an entry that was found, if it has one.
    fn record(found: &Self::Found) -> Option<&RecordRef<'p>>;
}

impl<'p> Live<'p> for PinnedRecords<'p, '_> {
    const IN_RECORDS: bool = true;

    fn record<'f>(found: &'f RecordRef<'p>) -> Option<&'f RecordRef<'p>> {
        Some(found)
    }
}

impl<'p> Live<'p> for InlineCells<'_> {
    const IN_RECORDS: bool = false;

    fn record(_: &()) -> Option<&RecordRef<'p>> {
        None
    }
}

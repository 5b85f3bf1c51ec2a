//! Checking a whole store: every page, every record, every invariant of the table.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::error::{Detail, Error, Result};
use crate::file::log::segment::Segment;
use crate::file::pages::IndexPages;
use crate::format::segment::FIRST_RECORD;
use crate::table::{Array, Counters, Geometry, Walk, WhichArray, check};
use crate::upkeep::records::PinnedRecords;

/// What [`Store::verify`](crate::Store::verify) found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Verification {
    /// Entries that were read.
    pub entries: u64,
    /// Index pages whose checksum was compared.
    pub pages: u64,
    /// Records of the log whose checksums were compared.
    pub records: u64,
    /// Everything that is wrong.
    pub faults: Vec<Fault>,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

/// One thing that is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// What is wrong.
    pub what: &'static str,
    /// Where.
    pub place: FaultPlace,
    /// What it should be.
    pub expected: Detail,
    /// What it is.
    pub found: Detail,
}

/// Where a fault lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultPlace {
    /// In the table as a whole.
    Table,
    /// At a file offset.
    Offset(u64),
    /// In a bucket, or in a cell of it.
    Bucket {
        /// The array.
        array: WhichArray,
        /// The bucket's number.
        bucket: u64,
        /// The cell, where it is about one.
        cell: Option<usize>,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            FaultPlace::Table => f.write_str("table")?,
            FaultPlace::Offset(offset) => write!(f, "offset {offset}")?,
            FaultPlace::Bucket { array, bucket, cell } => {
                let old = if array == WhichArray::Old { "old " } else { "" };
                write!(f, "{old}bucket {bucket}")?;
                if let Some(cell) = cell {
                    write!(f, ", cell {cell}")?;
                }
            }
        }
        write!(f, ": {}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

/// Checks a table and its log. Nothing changes them meanwhile: the caller keeps writers out.
pub(crate) fn verify(
    geometry: &Arc<Geometry<IndexPages>>,
    counters: &Counters,
    records: &PinnedRecords<'_, '_>,
    segments: &[Arc<Segment>],
) -> Result<Verification> {
    let mut report = Verification::default();
    report.pages(&geometry.array)?;
    if let Some(old) = &geometry.old {
        report.pages(&old.array)?;
    }
    report.table(geometry, counters, records)?;
    for segment in segments {
        report.segment(segment)?;
    }
    report.entries(geometry, records, segments)?;
    Ok(report)
}

impl Verification {
    fn pages(&mut self, array: &Array<IndexPages>) -> Result<()> {
        for part in std::iter::once(array.main()).chain(array.chunks()) {
            for page in 0..part.pages() {
                self.pages += 1;
                self.note(part.touch_page(page))?;
            }
        }
        Ok(())
    }

    fn table(
        &mut self,
        geometry: &Geometry<IndexPages>,
        counters: &Counters,
        records: &PinnedRecords<'_, '_>,
    ) -> Result<()> {
        let mut faults = Vec::new();
        check(geometry, counters, records, &mut faults)?;
        self.faults.extend(faults.into_iter().map(|fault| Fault {
            what: fault.what,
            place: fault.place.map_or(FaultPlace::Table, |place| FaultPlace::Bucket {
                array: place.array,
                bucket: place.bucket,
                cell: place.cell,
            }),
            expected: fault.expected,
            found: fault.found,
        }));
        Ok(())
    }

    /// Every record of a segment, dead ones too: they may be what a replay needs.
    fn segment(&mut self, segment: &Segment) -> Result<()> {
        let mut at = segment.offset() + FIRST_RECORD;
        while at < segment.published_end() {
            match segment.record(at) {
                Ok(record) => {
                    self.note(record.verify())?;
                    at += record.record_bytes();
                }
                // Without its length there is no way to the next one.
                Err(error) => return self.note(Err(error)),
            }
            self.records += 1;
        }
        Ok(())
    }

    /// Every entry once more as a reader gets it, and what the segments count as live.
    fn entries(
        &mut self,
        geometry: &Arc<Geometry<IndexPages>>,
        records: &PinnedRecords<'_, '_>,
        segments: &[Arc<Segment>],
    ) -> Result<()> {
        let mut live: HashMap<u64, u64> = HashMap::new();
        let mut walk = Walk::new(geometry, 0);
        while let Some(record) = walk.next(|| &**geometry, records) {
            match record.and_then(|record| record.value().map(|_| record)) {
                Ok(record) => {
                    self.entries += 1;
                    *live.entry(record.segment().offset()).or_default() += record.record_bytes();
                }
                Err(error) => self.note(Err(error))?,
            }
        }
        for segment in segments {
            let found = live.get(&segment.offset()).copied().unwrap_or(0);
            if found != segment.live() && self.is_clean() {
                self.faults.push(Fault {
                    what: "live bytes of a log segment",
                    place: FaultPlace::Offset(segment.offset()),
                    expected: Detail::Number(found),
                    found: Detail::Number(segment.live()),
                });
            }
        }
        Ok(())
    }

    /// Damage becomes a fault; other trouble ends the verification.
    fn note(&mut self, result: Result<()>) -> Result<()> {
        match result {
            Err(Error::Corrupt { what, offset, expected, found }) => {
                let fault = Fault { what, place: FaultPlace::Offset(offset), expected, found };
                if !self.faults.contains(&fault) {
                    self.faults.push(fault);
                }
                Ok(())
            }
            other => other,
        }
    }
}

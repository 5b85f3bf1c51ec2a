//! Checking a whole store: every page, every record, every invariant of the table.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::error::{Detail, Error, Result};
use crate::file::log::RecordRef;
use crate::file::log::segment::Segment;
use crate::file::pages::IndexPages;
use crate::format::bucket::{Hash, Position};
use crate::format::segment::FIRST_RECORD;
use crate::seam::Records;
use crate::table::{Array, Counters, Geometry, InlineCells, WhichArray, check};
use crate::upkeep::extents::{self, Part};
use crate::upkeep::records::PinnedRecords;
use crate::upkeep::scan::{Found, Scan};

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
    /// Parts of the file that were compared with each other, free ones included.
    pub extents: u64,
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
        /// The file offset of the damaged bytes, where it is about some: of the record that the cell points at, or of
        /// the bucket's page.
        offset: Option<u64>,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            FaultPlace::Table => f.write_str("table")?,
            FaultPlace::Offset(offset) => write!(f, "offset {offset}")?,
            FaultPlace::Bucket { array, bucket, cell, offset } => {
                let old = if array == WhichArray::Old { "old " } else { "" };
                write!(f, "{old}bucket {bucket}")?;
                if let Some(cell) = cell {
                    write!(f, ", cell {cell}")?;
                }
                if let Some(offset) = offset {
                    write!(f, ", offset {offset}")?;
                }
            }
        }
        write!(f, ": {}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

/// A table, its log, and the parts of its file.
pub(crate) struct Subject<'a, 'p, 's> {
    pub(crate) geometry: &'a Geometry<IndexPages>,
    pub(crate) counters: Counters,
    pub(crate) entries: Entries<'p, 's>,
    pub(crate) segments: &'a [Arc<Segment>],
    /// The parts of the file that have a use, or the damage that keeps them from being known.
    pub(crate) parts: Result<Vec<Part>>,
    /// All bytes up to here are in one of the parts, where that is known.
    pub(crate) covered: Option<u64>,
    pub(crate) file_bytes: u64,
}

/// What the cells of the table hold.
pub(crate) enum Entries<'p, 's> {
    /// Positions of records.
    Records(PinnedRecords<'p, 's>),
    /// Keys and values.
    Inline(InlineCells<'p>),
}

/// Checks it all. Nothing changes it meanwhile: the caller keeps writers out.
pub(crate) fn verify(subject: Subject<'_, '_, '_>) -> Result<Verification> {
    let mut checker = Checker::default();
    checker.pages(&subject.geometry.array)?;
    if let Some(old) = &subject.geometry.old {
        checker.pages(&old.array)?;
    }
    checker.table(&subject)?;
    for segment in subject.segments {
        checker.segment(segment)?;
    }
    match subject.parts {
        Ok(mut parts) => {
            let faults = &mut checker.report.faults;
            faults.extend(extents::overlaps(&mut parts, subject.file_bytes));
            faults.extend(subject.covered.map(|end| extents::leaks(&parts, end)).unwrap_or_default());
            checker.report.extents = parts.len() as u64;
        }
        Err(error) => checker.note(Err(error))?,
    }
    Ok(checker.report)
}

/// Records that are read whole, as a reader would, and counted.
struct Counted<'a, 'p, 's> {
    records: &'a PinnedRecords<'p, 's>,
    /// Bytes by the offset of their segment.
    live: RefCell<HashMap<u64, u64>>,
}

impl<'p> Records for Counted<'_, 'p, '_> {
    type Record = RecordRef<'p>;

    fn matching(&self, position: Position, key: &[u8]) -> Result<Option<RecordRef<'p>>> {
        self.records.matching(position, key)
    }

    fn read(&self, position: Position) -> Result<RecordRef<'p>> {
        let record = self.records.read(position)?;
        record.verify()?;
        *self.live.borrow_mut().entry(record.segment().offset()).or_default() += record.record_bytes();
        Ok(record)
    }

    fn key<'k>(&'k self, record: &'k RecordRef<'p>) -> &'k [u8] {
        self.records.key(record)
    }

    fn hash(&self, record: &RecordRef<'p>) -> Hash {
        self.records.hash(record)
    }
}

/// A verification under way.
#[derive(Default)]
struct Checker {
    report: Verification,
    /// The file offsets of the faults.
    offsets: HashSet<u64>,
}

impl Checker {
    fn pages(&mut self, array: &Array<IndexPages>) -> Result<()> {
        for part in std::iter::once(array.main()).chain(array.chunks()) {
            for page in 0..part.pages() {
                self.report.pages += 1;
                self.note(part.touch_page(page))?;
            }
        }
        Ok(())
    }

    fn table(&mut self, subject: &Subject<'_, '_, '_>) -> Result<()> {
        let mut faults = Vec::new();
        let (geometry, counters) = (subject.geometry, &subject.counters);
        let mut live = HashMap::new();
        self.report.entries = match &subject.entries {
            Entries::Records(records) => {
                let counted = Counted { records, live: RefCell::default() };
                let entries = check(geometry, counters, &counted, &mut faults)?;
                live = counted.live.into_inner();
                entries
            }
            // A chain's entries are all in memory at once, and a hostile file has long chains.
            Entries::Inline(cells) => match geometry.array.shape().entry_bytes() {
                0..=16 => check(geometry, counters, &cells.of_at_most::<16>(), &mut faults)?,
                17..=64 => check(geometry, counters, &cells.of_at_most::<64>(), &mut faults)?,
                _ => check(geometry, counters, cells, &mut faults)?,
            },
        };
        for fault in faults {
            let place = fault.place.map_or(FaultPlace::Table, |place| FaultPlace::Bucket {
                array: place.array,
                bucket: place.bucket,
                cell: place.cell,
                offset: fault.offset,
            });
            // A damaged page is one fault, not one for each of its buckets.
            if !fault.offset.is_some_and(|offset| self.knows(offset)) {
                let (what, expected, found) = (fault.what, fault.expected, fault.found);
                self.fault(Fault { what, place, expected, found });
            }
        }
        // Where entries could not be read, what they would have counted is not known.
        let segments = if self.report.is_clean() { subject.segments } else { &[] };
        for segment in segments {
            let found = live.get(&segment.offset()).copied().unwrap_or(0);
            if found != segment.live() {
                self.fault(Fault {
                    what: "live bytes of a log segment",
                    place: FaultPlace::Offset(segment.offset()),
                    expected: Detail::Number(found),
                    found: Detail::Number(segment.live()),
                });
            }
        }
        Ok(())
    }

    /// Every record of a segment, dead ones too: they may be what a replay needs.
    fn segment(&mut self, segment: &Arc<Segment>) -> Result<()> {
        let (from, end) = (segment.offset() + FIRST_RECORD, segment.published_end());
        let mut scan = Scan::new(Arc::clone(segment), segment.salt(), from, end, true);
        while let Some(found) = scan.next() {
            let (Found::Record { offset, .. } | Found::Damage { offset, .. }) = found;
            self.report.records += 1;
            if !matches!(found, Found::Record { value_whole: true, .. }) {
                self.note(segment.record(offset).and_then(|record| record.verify()))?;
            }
        }
        Ok(())
    }

    /// Damage becomes a fault; other trouble ends the verification.
    fn note(&mut self, result: Result<()>) -> Result<()> {
        match result {
            Err(Error::Corrupt { what, offset, expected, found }) => {
                if !self.knows(offset) {
                    self.fault(Fault { what, place: FaultPlace::Offset(offset), expected, found });
                }
                Ok(())
            }
            other => other,
        }
    }

    /// Whether damage at this offset was told of before, where it says more: of a page rather than of each bucket on
    /// it, of a cell rather than of the record that it points at.
    fn knows(&self, offset: u64) -> bool {
        self.offsets.contains(&offset)
    }

    fn fault(&mut self, fault: Fault) {
        self.offsets.extend(match fault.place {
            FaultPlace::Offset(offset) => Some(offset),
            FaultPlace::Bucket { offset, .. } => offset,
            FaultPlace::Table => None,
        });
        self.report.faults.push(fault);
    }
}

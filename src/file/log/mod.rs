//! The log: checksummed records in a chain of segments. It is the truth; the table is an index of it.
//!
//! A record never changes once it is published, so readers use it where it lies. Positions are file offsets, and a
//! [`Directory`] leads from an offset to the segment around it. Segments never move; one that is retired stays
//! mapped until no reader can see it.
//!
//! * [`segment`]: one segment, its mapping and its live bytes.
//! * [`directory`]: from a file offset to the segment.
//! * [`spare`]: space made ready ahead of the writer.
//! * [`emptied`]: the way of a segment without live records back to free space.
//! * [`writer`]: appending, moving on to the next segment, sync marks.
//! * [`chain`]: walking the log after a crash, and telling a torn tail from damage (D4).

pub(crate) mod chain;
pub(crate) mod directory;
pub(crate) mod emptied;
pub(crate) mod segment;
pub(crate) mod spare;
pub(crate) mod writer;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::epoch::{Domain, Pin};
use crate::file::region::{self, Published, RecordBytes};
use crate::format::bucket::Position;
use crate::format::record::{Frame, Kind, SmallPut};
use crate::mutants::{Mutant, kept};
use directory::Directory;
use segment::Segment;

/// The segments that records can be read from.
pub(crate) struct Log {
    directory: Published<Directory>,
    /// Compare a record's checksum at every read.
    verify_reads: bool,
}

/// A record that was found, checked as far as its key.
pub(crate) struct RecordRef<'p> {
    segment: &'p Segment,
    offset: u64,
    frame: Frame,
    /// Header, key and value.
    bytes: RecordBytes<'p>,
    verify_value: bool,
}

/// A small record that says put, and whose checksum fits.
struct Small<'p> {
    segment: &'p Segment,
    offset: u64,
    put: SmallPut,
    /// Header, key and value.
    bytes: RecordBytes<'p>,
}

impl Log {
    pub(crate) fn new(domain: &Arc<Domain>, segments: Vec<Arc<Segment>>, verify_reads: bool) -> Self {
        let directory = Arc::new(Directory::new(segments));
        Log { directory: Published::new(domain, directory), verify_reads }
    }

    /// The record at a position that a cell holds; a put, or the file is corrupt.
    #[inline]
    pub(crate) fn read<'p>(&self, pin: &'p Pin<'_>, position: Position) -> Result<RecordRef<'p>> {
        let offset = position.offset();
        let directory = self.directory.load(pin);
        let segment = directory.find(offset).ok_or_else(|| no_record(offset))?;
        let record = segment.record(offset)?;
        if !record.frame.kind.is_entry() {
            return Err(no_record(offset));
        }
        if self.verify_reads && kept(Mutant::ChecksumOnRead) {
            record.verify_head()?;
        }
        Ok(RecordRef { verify_value: self.verify_reads, ..record })
    }

    /// The value of the record at a position that a cell holds, if `key` is its key.
    #[inline]
    pub(crate) fn value<'p>(
        &self,
        pin: &'p Pin<'_>,
        position: Position,
        key: &[u8],
    ) -> Result<Option<RecordBytes<'p>>> {
        let record = self.read(pin, position)?;
        (record.key().as_slice() == key).then(|| record.value()).transpose()
    }

    /// [`Log::value`] where the record is a small one with a fitting checksum; `None` where it is not, and [`Log::value`]
    /// says what it is.
    #[inline]
    pub(crate) fn small_value<'p>(
        &self,
        pin: &'p Pin<'_>,
        position: Position,
        key: &[u8],
    ) -> Option<Option<RecordBytes<'p>>> {
        let small = self.find_small(pin, position)?;
        let (key_bytes, value) = (small.bytes.part(small.put.key()), small.bytes.part(small.put.value()));
        Some((key_bytes.as_slice() == key).then_some(value))
    }

    /// [`Log::read`] where the record is a small one with a fitting checksum; `None` where it is not, and [`Log::read`]
    /// says what it is.
    #[inline(always)]
    pub(crate) fn small<'p>(&self, pin: &'p Pin<'_>, position: Position) -> Option<RecordRef<'p>> {
        let Small { segment, offset, put, bytes } = self.find_small(pin, position)?;
        Some(RecordRef { segment, offset, frame: put.frame(), bytes, verify_value: self.verify_reads })
    }

    #[inline(always)]
    fn find_small<'p>(&self, pin: &'p Pin<'_>, position: Position) -> Option<Small<'p>> {
        let offset = position.offset();
        let segment = self.directory.load(pin).find(offset)?;
        let published = segment.memory().from((offset - segment.offset()) as usize)?;
        let put = SmallPut::decode(published.as_slice())?;
        let bytes = published.first(put.bytes())?;
        let verify = self.verify_reads && kept(Mutant::ChecksumOnRead);
        let whole = !verify || put.fits(bytes.as_slice(), segment.salt(), offset, region::crc32c);
        whole.then_some(Small { segment, offset, put, bytes })
    }

    /// Has the processor fetch the record at a position, if one can lie there.
    #[inline]
    pub(crate) fn prefetch(&self, pin: &Pin<'_>, position: Position) {
        let offset = position.offset();
        if let Some(segment) = self.directory.load(pin).find(offset) {
            segment.memory().prefetch((offset - segment.offset()) as usize);
        }
    }

    /// The sequence number of the segment around a position.
    pub(crate) fn sequence_at(&self, pin: &Pin<'_>, position: Position) -> Option<u64> {
        Some(self.directory.load(pin).find(position.offset())?.head().sequence)
    }

    /// The segments, in the order of the log.
    pub(crate) fn segments(&self, pin: &Pin<'_>) -> Vec<Arc<Segment>> {
        self.directory.load(pin).in_log_order()
    }

    /// The same in no order.
    pub(crate) fn each_segment<'p>(&self, pin: &'p Pin<'_>) -> impl Iterator<Item = &'p Arc<Segment>> {
        self.directory.load(pin).segments()
    }

    /// Lets readers find records in one more segment. One writer at a time.
    pub(crate) fn add(&self, pin: &Pin<'_>, segment: Arc<Segment>) {
        self.directory.replace(Arc::new(self.directory.load(pin).with(segment)));
    }

    /// The opposite, for segments into which no reader has a position any more. One writer at a time.
    pub(crate) fn remove(&self, pin: &Pin<'_>, segments: &[Arc<Segment>]) {
        self.directory.replace(Arc::new(self.directory.load(pin).without(segments)));
    }
}

#[cold]
fn no_record(offset: u64) -> Error {
    Error::corrupt("cell", offset, "the position of a put record", "no such record")
}

impl Segment {
    /// The record at a file offset within this segment's published part; checksums are not looked at.
    #[inline]
    pub(crate) fn record(&self, offset: u64) -> Result<RecordRef<'_>> {
        let record = || {
            let published = self.memory().from((offset - self.offset()) as usize)?;
            let frame = Frame::decode(published.as_slice())?;
            let bytes = published.first(frame.unpadded_bytes())?;
            Some(RecordRef { segment: self, offset, frame, bytes, verify_value: true })
        };
        record().ok_or_else(|| no_record(offset))
    }
}

impl<'p> RecordRef<'p> {
    #[inline]
    pub(crate) fn key(&self) -> RecordBytes<'p> {
        let at = self.frame.header_bytes();
        self.bytes.part(at..at + self.frame.key_len as usize)
    }

    /// The value; a large record's own checksum is compared here.
    #[inline]
    pub(crate) fn value(&self) -> Result<RecordBytes<'p>> {
        if self.verify_value && self.frame.is_large() {
            self.verify_value()?;
        }
        Ok(self.verified_value())
    }

    /// [`RecordRef::value`] where the checksum has been compared.
    #[inline]
    pub(crate) fn verified_value(&self) -> RecordBytes<'p> {
        let at = self.frame.header_bytes() + self.frame.key_len as usize;
        self.bytes.part(at..at + self.frame.value_len as usize)
    }

    /// What the record says.
    pub(crate) fn kind(&self) -> Kind {
        self.frame.kind
    }

    /// Bytes in the value.
    pub(crate) fn value_bytes(&self) -> u64 {
        self.frame.value_len.into()
    }

    /// Bytes of the whole record.
    pub(crate) fn record_bytes(&self) -> u64 {
        self.frame.bytes()
    }

    /// Compares every checksum of the record.
    pub(crate) fn verify(&self) -> Result<()> {
        self.verify_head()?;
        self.verify_value()
    }

    /// The segment that it lies in.
    pub(crate) fn segment(&self) -> &'p Segment {
        self.segment
    }

    #[inline(never)]
    fn verify_value(&self) -> Result<()> {
        self.frame.verify_value(self.bytes.as_slice(), self.segment.salt(), self.offset)
    }

    #[inline]
    fn verify_head(&self) -> Result<()> {
        let head = self.bytes.part(0..self.frame.head_bytes());
        self.frame.verify_head_with(head.as_slice(), self.segment.salt(), self.offset, region::crc32c)
    }
}

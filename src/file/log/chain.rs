//! Walking the log: the chain of segments from a checkpoint on, and the records in it.
//!
//! The walk ends in one of three ways. It reaches the offset at which a segment's successor says that it ends, and
//! goes on there. It meets bytes that are no record, and no sync mark behind them names a position behind them:
//! the log ends here, torn by a crash. Or such a mark exists: what it says was durable is damaged (D4).
//!
//! A batch counts as one record: where one of its records is missing, the walk stands at bytes that are no record where
//! the batch begins (D3).

use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::error::{Error, Result};
use crate::file::log::segment::Segment;
use crate::file::region::Appender;
use crate::format::record::{BatchValue, Frame, Kind, LARGE_HEADER_BYTES, SMALL_HEADER_BYTES};
use crate::format::segment::FIRST_RECORD;
use crate::mutants::{Mutant, kept};

/// A position in the log that compares in log order: segments by number, then offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// Sequence number of the segment.
    pub(crate) sequence: u64,
    /// File offset behind the last record that is known to be durable.
    pub(crate) end: u64,
}

/// Bytes of a mark record's value.
const MARK_BYTES: usize = 24;

impl Mark {
    /// The value of the mark record at file offset `at`, with a check that no one without the file's secret can
    /// make, so that no value of a user passes for a mark.
    pub(crate) fn encode(&self, secret: &[u8; 16], at: u64) -> [u8; MARK_BYTES] {
        let mut value = [0; MARK_BYTES];
        value[..8].copy_from_slice(&self.sequence.to_le_bytes());
        value[8..16].copy_from_slice(&self.end.to_le_bytes());
        let check = check(secret, at, &value[..16]);
        value[16..].copy_from_slice(&check.to_le_bytes());
        value
    }

    fn decode(value: &[u8], secret: &[u8; 16], at: u64) -> Option<Mark> {
        let value: &[u8; MARK_BYTES] = value.try_into().ok()?;
        let word = |from: usize| u64::from_le_bytes(std::array::from_fn(|i| value[from + i]));
        let ours = word(16) == check(secret, at, &value[..16]) || !kept(Mutant::MarkCheck);
        ours.then(|| Mark { sequence: word(0), end: word(8) })
    }
}

fn check(secret: &[u8; 16], at: u64, named: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_key(secret);
    hasher.write(&at.to_le_bytes());
    hasher.write(named);
    hasher.finish()
}

/// A segment of the chain that is to be walked.
pub(crate) struct ChainSegment {
    /// The segment.
    pub(crate) segment: Arc<Segment>,
    /// The right to look at its unpublished bytes.
    pub(crate) appender: Appender,
    /// File offset at which its successor says that it ends.
    pub(crate) known_end: Option<u64>,
}

/// The log from a checkpoint on.
pub(crate) struct Chain {
    segments: Vec<ChainSegment>,
    secret: [u8; 16],
    current: usize,
    /// File offset of the next record.
    at: u64,
    /// The offset behind the last record of the batch that the walk is in.
    batch_end: Option<u64>,
    /// The last position that a mark named.
    last_mark: Option<Mark>,
    /// Whether to look for marks behind the end; not after a clean close, where nothing can be there.
    search_for_marks: bool,
    /// Where an earlier walk found the end, as the number of a segment and a file offset. Up to there all is verified.
    walked_to: Option<(usize, u64)>,
}

/// A record of the chain, verified.
#[derive(Clone, Copy)]
pub(crate) struct ChainRecord {
    /// What it says.
    pub(crate) frame: Frame,
    /// Its file offset.
    pub(crate) offset: u64,
    /// It belongs to the batch whose record came before.
    pub(crate) in_batch: bool,
    /// The number of its segment in the chain.
    segment: usize,
}

impl Chain {
    /// The chain from `start`, an offset in the first segment, on.
    pub(crate) fn new(
        segments: Vec<ChainSegment>,
        start: u64,
        secret: [u8; 16],
        search_for_marks: bool,
    ) -> Self {
        let (current, at, batch_end, last_mark, walked_to) = (0, start, None, None, None);
        Chain { segments, secret, current, at, batch_end, last_mark, search_for_marks, walked_to }
    }

    /// Goes back to `start`, to walk the same records again up to here. They are verified, and so is the end.
    pub(crate) fn rewind(&mut self, start: u64) {
        self.walked_to = Some((self.current, self.at));
        (self.current, self.at, self.batch_end) = (0, start, None);
    }

    /// The segment that a record lies in.
    pub(crate) fn segment_of(&self, record: &ChainRecord) -> &Arc<Segment> {
        &self.segments[record.segment].segment
    }

    /// The segments from the first on, and the file offset at which the log ends in each; those behind the end of
    /// the log are left out.
    pub(crate) fn extent(&self) -> impl Iterator<Item = (&Arc<Segment>, u64)> {
        let ends = self.segments.iter().map(|s| s.known_end.unwrap_or(self.at));
        let here = self.segments[..=self.current].iter().zip(ends);
        here.enumerate().map(|(n, (s, end))| (&s.segment, if n == self.current { self.at } else { end }))
    }

    /// The highest sequence number and the highest epoch in the chain.
    pub(crate) fn highest(&self) -> (u64, u64) {
        let heads = || self.segments.iter().map(|s| s.segment.head());
        (heads().map(|h| h.sequence).max().unwrap_or(0), heads().map(|h| h.epoch).max().unwrap_or(0))
    }

    /// Where the next record would lie, and in which segment.
    pub(crate) fn position(&self) -> (&Arc<Segment>, u64) {
        (&self.segments[self.current].segment, self.at)
    }

    /// Whether the walk ended before the last segment of the chain, whose records are no part of the log.
    pub(crate) fn segments_behind(&self) -> usize {
        self.segments.len() - 1 - self.current
    }

    /// The last position that the log itself says is durable.
    pub(crate) fn last_mark(&self) -> Option<Mark> {
        self.last_mark
    }

    /// The next record, published so that readers can find it; `None` at the end of the log. Marks are
    /// passed over.
    pub(crate) fn next(&mut self) -> Result<Option<ChainRecord>> {
        while self.walked_to != Some((self.current, self.at)) {
            let here = &mut self.segments[self.current];
            if here.ends_at(self.at) {
                self.current += 1;
                self.at = self.segments[self.current].segment.offset() + FIRST_RECORD;
                self.batch_end = None;
                continue;
            }
            let limit = here.known_end.unwrap_or(here.segment.end_offset());
            let limit = match self.walked_to {
                Some((segment, end)) if segment == self.current => limit.min(end),
                _ => limit,
            };
            let in_batch = self.batch_end.is_some_and(|end| self.at < end);
            let verified = self.walked_to.is_some() || in_batch && kept(Mutant::BatchWhole);
            let Some(frame) = here.whole_frame(self.at, limit, verified) else {
                if self.walked_to.is_some() {
                    let expected = "the record that was read there a moment ago";
                    return Err(Error::corrupt("log", self.at, expected, "other bytes"));
                }
                if self.search_for_marks && kept(Mutant::MarkSearch) {
                    self.check_for_damage()?;
                }
                break;
            };
            let offset = self.at;
            self.at += frame.bytes();
            here.appender.publish((self.at - here.segment.offset()) as usize);
            if frame.kind == Kind::Batch {
                self.batch_end =
                    here.batch_at(offset, &frame).and_then(|batch| self.at.checked_add(batch.bytes));
            }
            if frame.kind != Kind::SyncMark {
                return Ok(Some(ChainRecord { frame, offset, in_batch, segment: self.current }));
            }
            self.last_mark = here.mark_at(offset, &frame, &self.secret).or(self.last_mark);
        }
        Ok(None)
    }

    /// At bytes that are no record: looks on for a mark that names a position behind them (D4).
    fn check_for_damage(&self) -> Result<()> {
        let here = &self.segments[self.current];
        let bad = Mark { sequence: here.segment.head().sequence, end: self.at };
        let segments = if kept(Mutant::MarkSearchGoesOn) { self.segments.len() } else { self.current + 1 };
        for (index, behind) in self.segments[..segments].iter().enumerate().skip(self.current) {
            let first = behind.segment.offset() + FIRST_RECORD;
            let from = if index == self.current { self.at } else { first };
            let until = behind.known_end.unwrap_or(behind.segment.end_offset());
            let damaged = (from..until).step_by(8).any(|at| {
                let frame = behind.frame_if_mark(at);
                frame.is_some_and(|f| behind.mark_at(at, &f, &self.secret).is_some_and(|mark| mark > bad))
            });
            if damaged {
                let found = "bytes that are no record, before a position that was synced";
                return Err(Error::corrupt("log", self.at, "a record", found));
            }
        }
        Ok(())
    }
}

impl ChainSegment {
    /// Whether the log goes on in the next segment from here.
    fn ends_at(&self, offset: u64) -> bool {
        let torn = || self.known_end.is_some() && self.verified_frame(offset).is_none();
        self.known_end == Some(offset) || (!kept(Mutant::PredecessorEnd) && torn())
    }

    /// The frame of the record at a file offset, if all of it lies there before `limit`, and all of its batch where it
    /// begins one. A record that was `verified` before is looked at no more than its length needs.
    fn whole_frame(&self, offset: u64, limit: u64, verified: bool) -> Option<Frame> {
        let frame = if verified { self.frame(offset) } else { self.verified_frame(offset) }?;
        let whole = offset.checked_add(frame.bytes())? <= limit
            && (verified || frame.kind != Kind::Batch || self.batch_is_whole(offset, &frame, limit));
        whole.then_some(frame)
    }

    /// Whether the records of a batch are there, each of them whole, and end where its record says (D3). Bounded by
    /// `limit`: every record takes eight bytes and more.
    fn batch_is_whole(&self, offset: u64, frame: &Frame, limit: u64) -> bool {
        if !kept(Mutant::BatchWhole) {
            return true;
        }
        let Some(batch) = self.batch_at(offset, frame) else { return false };
        let mut at = offset + frame.bytes();
        let Some(end) = at.checked_add(batch.bytes).filter(|&end| end <= limit) else { return false };
        let mut records = 0;
        while at < end {
            let Some(frame) = self.verified_frame(at) else { return false };
            if !matches!(frame.kind, Kind::Put | Kind::Remove | Kind::Clear) {
                return false;
            }
            at += frame.bytes();
            records += 1;
        }
        at == end && records == batch.records
    }

    fn batch_at(&self, offset: u64, frame: &Frame) -> Option<BatchValue> {
        BatchValue::decode(self.value_at(offset, frame)?)
    }

    /// The frame of the record at a file offset, if it looks like one.
    fn frame(&self, offset: u64) -> Option<Frame> {
        let at = (offset - self.segment.offset()) as usize;
        let head = self.appender.peek(at, LARGE_HEADER_BYTES);
        Frame::decode(head.or_else(|| self.appender.peek(at, SMALL_HEADER_BYTES))?)
    }

    /// The frame of the record at a file offset, if one lies there whole and with the right checksums.
    fn verified_frame(&self, offset: u64) -> Option<Frame> {
        let at = (offset - self.segment.offset()) as usize;
        let frame = self.frame(offset)?;
        let bytes = self.appender.peek(at, frame.unpadded_bytes())?;
        let salt = self.segment.salt();
        if kept(Mutant::RecordChecksumOnWalk) {
            frame.verify_head(&bytes[..frame.head_bytes()], salt, offset).ok()?;
        }
        if kept(Mutant::ValueChecksumOnWalk) {
            frame.verify_value(bytes, salt, offset).ok()?;
        }
        Some(frame)
    }

    /// A cheap look before the checksum: almost every word behind a tail is zero or something else.
    fn frame_if_mark(&self, offset: u64) -> Option<Frame> {
        let at = (offset - self.segment.offset()) as usize;
        let frame = Frame::decode(self.appender.peek(at, SMALL_HEADER_BYTES)?)?;
        // The length too, or a value made for it would have 64 KiB checksummed at each of its words.
        let shape =
            frame.kind == Kind::SyncMark && frame.key_len == 0 && frame.value_len as usize == MARK_BYTES;
        if shape { self.verified_frame(offset) } else { None }
    }

    fn mark_at(&self, offset: u64, frame: &Frame, secret: &[u8; 16]) -> Option<Mark> {
        Mark::decode(self.value_at(offset, frame)?, secret, offset)
    }

    /// The value of a record without a key.
    fn value_at(&self, offset: u64, frame: &Frame) -> Option<&[u8]> {
        let at = (offset - self.segment.offset()) as usize;
        Some(&self.appender.peek(at, frame.unpadded_bytes())?[frame.header_bytes()..])
    }
}

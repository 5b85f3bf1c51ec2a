//! Appending to the log.
//!
//! Room is secured before anything is appended (D18), and appending can't fail: the segment is preallocated and
//! mapped. When a segment is full the log moves on to a *spare* that was prepared ahead of need; one spare is a
//! reserve that only operations which free something may take without another in its place (D9).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::file::epoch::Domain;
use crate::file::log::Log;
use crate::file::log::chain::Mark;
use crate::file::log::emptied::Emptied;
use crate::file::log::segment::Segment;
use crate::file::log::spare::{
    Prepared, Spare, SpareSource, Wanted, next_window_at, wants_next, window_bytes_for,
};
use crate::file::media::Media;
use crate::file::region::{self, Appender, Window};
use crate::file::space::{Space, no_space};
use crate::format::bucket::Position;
use crate::format::header::{Identity, LogPosition};
use crate::format::record::{Frame, Kind, SYNC_MARK_BYTES};
use crate::format::segment::{
    FIRST_RECORD, IDENTITY_AT, LINK_AT, LINK_BYTES, Link, SEGMENT_UNIT_BYTES, SegmentHead,
};
use crate::mutants::{Mutant, kept};

/// Segments grow with the log up to this size.
const MAX_SEGMENT_BYTES: u64 = 256 << 20;
/// A new segment is this share of the log.
const SEGMENTS_PER_LOG: u64 = 64;
/// How much the writer faults in by itself where nothing was made ready.
const POPULATE_BYTES: u64 = 256 << 10;

/// What an append is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Adds to the store; must leave the reserve alone.
    Add,
    /// Frees something, or is needed by what does: may use the reserve.
    Free,
}

/// The writing end of the log; behind the writer lock.
pub(crate) struct LogWriter {
    log: Arc<Log>,
    media: Arc<dyn Media>,
    space: Arc<Space>,
    domain: Arc<Domain>,
    identity: Identity,
    segment: Arc<Segment>,
    appender: Appender,
    /// The head of the segment; mapped when the session begins.
    head: Option<Window>,
    /// The window behind the appender's, once it is prepared.
    next_window: Option<Window>,
    /// Windows that are no longer used, to be unmapped by whoever has the time.
    left: Vec<Window>,
    /// File offset behind the last record.
    tail: u64,
    /// Faulted in up to here.
    populated: u64,
    /// The session, once it has begun.
    epoch: u64,
    /// The highest sequence number that was seen, in the log or behind its end.
    last_sequence: u64,
    /// The log ends here after a crash, and the next record goes to a fresh segment (D2).
    needs_fresh_segment: bool,
    spares: Vec<Spare>,
    /// Segments on their way back to free space.
    emptied: Emptied,
    /// Bytes of all segments.
    log_bytes: u64,
    /// Bytes appended by operations since the store was opened; what durability is measured by.
    appended: Arc<AtomicU64>,
}

/// Where the log ends and how it may go on; what recovery found out.
pub(crate) struct LogEnd {
    /// The last segment of the log.
    pub(crate) segment: Arc<Segment>,
    /// File offset behind its last record.
    pub(crate) tail: u64,
    /// The highest sequence number seen anywhere in the chain.
    pub(crate) last_sequence: u64,
    /// Whether bytes behind the tail may be left from a session that crashed.
    pub(crate) needs_fresh_segment: bool,
    /// Bytes of all segments.
    pub(crate) log_bytes: u64,
}

impl LogWriter {
    pub(crate) fn new(
        log: Arc<Log>,
        media: Arc<dyn Media>,
        space: Arc<Space>,
        domain: Arc<Domain>,
        identity: Identity,
        end: LogEnd,
    ) -> Result<Self> {
        let appender = end.segment.memory().appender().ok_or(Error::Reentrant)?;
        Ok(LogWriter {
            log,
            media,
            space,
            domain,
            identity,
            segment: end.segment,
            appender,
            head: None,
            next_window: None,
            left: Vec::new(),
            tail: end.tail,
            populated: 0,
            epoch: 0,
            last_sequence: end.last_sequence,
            needs_fresh_segment: end.needs_fresh_segment,
            spares: Vec::new(),
            emptied: Emptied::default(),
            log_bytes: end.log_bytes,
            appended: Arc::new(AtomicU64::new(0)),
        })
    }

    /// The session's epoch is durable: records may be appended. The rest of the segment is allocated once more: a copy
    /// of a file, or a restored one, may have holes where the original was preallocated (D19).
    pub(crate) fn begin_session(&mut self, epoch: u64) -> Result<()> {
        let rest = self.segment.end_offset() - self.tail;
        if !self.needs_fresh_segment && rest > 0 && kept(Mutant::RestOfSegmentAllocated) {
            self.media.allocate(self.tail, rest).map_err(no_space("a log segment", rest))?;
        }
        let source = self.spare_source();
        self.head = Some(source.head(self.segment.memory(), self.segment.offset())?);
        self.epoch = epoch;
        Ok(())
    }

    /// Counts bytes appended by operations since the store was opened.
    pub(crate) fn appended(&self) -> &Arc<AtomicU64> {
        &self.appended
    }

    /// Where the log ends now.
    pub(crate) fn position(&self) -> LogPosition {
        LogPosition { segment: self.segment.offset(), end: self.tail }
    }

    /// The segment that is written, and its sequence number's place in a mark.
    pub(crate) fn mark_here(&self) -> Mark {
        Mark { sequence: self.segment.head().sequence, end: self.tail }
    }

    /// Counts a record that the table points at from now on; it lies in the segment being written.
    pub(crate) fn add_live(&self, bytes: u64) {
        self.segment.add_live(bytes);
    }

    /// Whether securing them takes space from the file system.
    #[inline]
    pub(crate) fn allocates(&self, bytes: u64, purpose: Purpose) -> bool {
        let fits = !self.needs_fresh_segment && self.tail + bytes <= self.segment.end_offset();
        let spares = if purpose == Purpose::Add { 2 } else { 1 };
        let from_spares = || self.spares.len() >= spares && FIRST_RECORD + bytes <= self.next_segment_bytes();
        !fits && !from_spares() || purpose == Purpose::Add && self.spares.is_empty()
    }

    /// Makes sure that `bytes` can be appended; may move on to another segment. Nothing else changes.
    #[inline]
    pub(crate) fn secure(&mut self, bytes: u64, purpose: Purpose) -> Result<()> {
        let keeps_reserve = purpose == Purpose::Add && kept(Mutant::ReserveKept);
        if keeps_reserve && self.spares.is_empty() {
            self.secure_reserve()?;
        }
        if !self.needs_fresh_segment && self.tail + bytes <= self.segment.end_offset() {
            return self.cover(bytes);
        }
        self.secure_elsewhere(bytes, keeps_reserve)
    }

    /// Moves on to another segment.
    #[cold]
    fn secure_elsewhere(&mut self, bytes: u64, keeps_reserve: bool) -> Result<()> {
        let needed = FIRST_RECORD + bytes;
        if needed > self.next_segment_bytes() {
            let spare = self.spare_source().with_room_for(needed).prepare()?;
            self.move_on(spare)?;
            return self.cover(bytes);
        }
        // Whatever adds to the store leaves a spare behind.
        let spares = if keeps_reserve { 2 } else { 1 };
        while self.spares.len() < spares {
            let spare = self.spare_source().prepare()?;
            self.spares.push(spare);
        }
        // They were prepared when the log was smaller, so one may be too small; then the other one, or a new one.
        let large_enough = self.spares.iter().position(|spare| spare.extent.bytes() >= needed);
        let spare = match large_enough {
            Some(index) => self.spares.remove(index),
            None => self.spare_source().prepare()?,
        };
        self.move_on(spare)?;
        self.cover(bytes)
    }

    /// Makes sure that the window covers the next `bytes`.
    #[inline]
    fn cover(&mut self, bytes: u64) -> Result<()> {
        let at = (self.tail - self.segment.offset()) as usize;
        let covers = |window: &Window| window.covers(at, bytes as usize);
        // Nothing needs no window, and behind the last byte of a segment there is none.
        if bytes == 0 || self.appender.window().is_some_and(covers) {
            return Ok(());
        }
        self.move_window(at as u64, bytes)
    }

    #[cold]
    fn move_window(&mut self, at: u64, bytes: u64) -> Result<()> {
        let window = match self.next_window.take() {
            Some(prepared) if prepared.covers(at as usize, bytes as usize) => {
                self.populated = self.segment.offset() + prepared.end() as u64;
                prepared
            }
            too_small => {
                self.left.extend(too_small);
                let (memory, offset) = (self.segment.memory(), self.segment.offset());
                let window = self.spare_source().window(memory, offset, at, window_bytes_for(bytes))?;
                self.populated = 0;
                window
            }
        };
        self.left.extend(self.appender.move_to(window));
        Ok(())
    }

    /// Windows that the writer is done with; unmapping them takes its time, and needs no lock.
    pub(crate) fn take_left(&mut self) -> Vec<Window> {
        std::mem::take(&mut self.left)
    }

    /// Makes the reserve which operations that add to the store leave alone (D9).
    #[cold]
    fn secure_reserve(&mut self) -> Result<()> {
        let spare = self.spare_source().prepare()?;
        self.spares.push(spare);
        Ok(())
    }

    /// Whether something should be prepared now.
    #[inline]
    pub(crate) fn wants_space(&self) -> bool {
        self.epoch != 0 && (self.wants_spare() || self.wants_window() || !self.left.is_empty())
    }

    /// What should be prepared now.
    pub(crate) fn space_wanted(&self) -> Option<Wanted> {
        if !self.wants_space() {
            return None;
        }
        let source = self.spare_source();
        if !self.wants_window() {
            return self.wants_spare().then_some(Wanted::Spare(source));
        }
        let end = self.appender.window()?.end() as u64;
        let at = next_window_at(end, self.segment.bytes())?;
        Some(Wanted::Window { source, segment: Arc::clone(&self.segment), at })
    }

    fn wants_spare(&self) -> bool {
        let used = self.tail - self.segment.offset();
        self.spares.len() < 2 && used > self.segment.bytes() / 4
    }

    /// Whether the next window of the segment should be prepared.
    fn wants_window(&self) -> bool {
        let Some(window) = self.appender.window().filter(|_| !self.needs_fresh_segment) else { return false };
        let end = window.end() as u64;
        self.next_window.is_none()
            && end < self.segment.bytes()
            && wants_next((self.segment.offset() + end).saturating_sub(self.tail))
    }

    /// Takes what was prepared meanwhile.
    pub(crate) fn take(&mut self, prepared: Prepared) {
        match prepared {
            Prepared::Spare(spare) => self.spares.push(spare),
            Prepared::Window { window, segment } => {
                // The writer may have gone past it.
                if Arc::ptr_eq(&segment, &self.segment)
                    && self.appender.window().is_some_and(|now| now.end() < window.end())
                {
                    self.next_window = Some(window);
                }
            }
        }
    }

    /// Whether a segment is complete: the log has gone on in another.
    pub(crate) fn is_sealed(&self, segment: &Segment) -> bool {
        segment.head().sequence < self.segment.head().sequence
    }

    /// Whether it is, and no cell points into it.
    pub(crate) fn is_emptied(&self, segment: &Segment) -> bool {
        segment.live() == 0 && self.is_sealed(segment)
    }

    /// Bytes of a segment that the log has used up.
    pub(crate) fn used_bytes(&self, segment: &Segment) -> u64 {
        if self.is_sealed(segment) { segment.bytes() } else { self.tail - self.segment.offset() }
    }

    /// Gives up emptied segments that the state on disk needs no more.
    pub(crate) fn give_up(&mut self, mut segments: Vec<Arc<Segment>>) {
        segments.retain(|segment| segment.give_up());
        if !segments.is_empty() {
            self.emptied.push(&self.domain, segments);
        }
    }

    /// Lets those go that no reader can come to any more. Under a pin their leases end only when that is gone.
    pub(crate) fn let_go(&mut self) {
        let bytes = self.emptied.let_go(&self.log, &self.domain.pin());
        self.log_bytes -= bytes.min(self.log_bytes);
    }

    /// Segments that were given up and wait for readers.
    pub(crate) fn given_up(&self) -> usize {
        self.emptied.len()
    }

    /// Bytes of all segments.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// The spares, as (offset, bytes).
    pub(crate) fn spares(&self) -> impl Iterator<Item = (u64, u64)> {
        self.spares.iter().map(|spare| (spare.extent.offset(), spare.extent.bytes()))
    }

    /// The spares, to be dropped by the caller, who should hold no lock then: that gives their space back.
    #[must_use]
    pub(crate) fn take_spares(&mut self) -> Vec<Spare> {
        std::mem::take(&mut self.spares)
    }

    /// Goes on in a fresh segment, if there is anything in this one.
    pub(crate) fn seal(&mut self) -> Result<()> {
        let before = self.needs_fresh_segment;
        self.needs_fresh_segment |= self.tail > self.segment.first_record();
        // Where there is no other segment this one serves on, removals above all (D9).
        self.secure(0, Purpose::Add).inspect_err(|_| self.needs_fresh_segment = before)
    }

    /// Appends a record for which room was secured. Readers may see it once this returns.
    #[inline]
    pub(crate) fn append(&mut self, frame: &Frame, key: &[u8], value: &[u8]) -> Position {
        let offset = self.write(frame, key, value);
        // Release: who waits for durability measures by what was appended before. Nobody else stores.
        self.appended.store(self.appended.load(Ordering::Relaxed) + frame.bytes(), Ordering::Release);
        Position::from_offset(offset).expect("records are aligned and segments lie below 8 TiB")
    }

    /// Appends a mark that says how far the log is durable, if there is room. A mark makes nothing dirty by itself,
    /// and none is missed where none fits (D4).
    pub(crate) fn append_mark(&mut self, mark: Mark) {
        let room = !self.needs_fresh_segment && self.tail + SYNC_MARK_BYTES <= self.segment.end_offset();
        if !room || self.cover(SYNC_MARK_BYTES).is_err() {
            return;
        }
        let value = mark.encode(&self.identity.log_secret, self.tail);
        if let Ok(frame) = Frame::new(Kind::SyncMark, 0, value.len()) {
            self.write(&frame, &[], &value);
        }
    }

    #[inline]
    fn write(&mut self, frame: &Frame, key: &[u8], value: &[u8]) -> u64 {
        let offset = self.tail;
        let (at, len) = ((offset - self.segment.offset()) as usize, frame.bytes() as usize);
        let salt = self.segment.salt();
        if offset + frame.bytes() > self.populated {
            self.populate_ahead(offset + frame.bytes());
        }
        self.appender.compose(at, len, |record| {
            frame.encode(record, key, value, salt, offset, region::crc32c);
        });
        self.appender.publish(at + len);
        self.tail = offset + frame.bytes();
        offset
    }

    /// Faults the segment in ahead of the tail, many pages at a time.
    #[cold]
    fn populate_ahead(&mut self, end: u64) {
        let Some(window) = self.appender.window() else { return };
        let from = self.tail - self.segment.offset();
        let bytes = (end - self.tail).max(POPULATE_BYTES).min(window.end() as u64 - from);
        window.populate(from as usize, bytes as usize);
        self.populated = self.tail + bytes;
    }

    /// The size of the segment that comes next.
    pub(crate) fn next_segment_bytes(&self) -> u64 {
        let share = (self.log_bytes / SEGMENTS_PER_LOG).next_multiple_of(SEGMENT_UNIT_BYTES);
        share.clamp(SEGMENT_UNIT_BYTES, MAX_SEGMENT_BYTES)
    }

    fn spare_source(&self) -> SpareSource {
        let (media, space) = (Arc::clone(&self.media), Arc::clone(&self.space));
        SpareSource { media, space, bytes: self.next_segment_bytes() }
    }

    /// Begins the next segment: its head first, then the links that lead to it.
    fn move_on(&mut self, spare: Spare) -> Result<()> {
        let pin = self.domain.pin();
        let head = SegmentHead {
            epoch: self.epoch,
            sequence: self.last_sequence + 1,
            bytes: spare.extent.bytes(),
            predecessor: self.segment.offset(),
            predecessor_end: self.tail,
        };
        let offset = spare.extent.offset();
        let populated = if spare.ready { offset + spare.window.end() as u64 } else { 0 };
        let segment = Segment::new(spare.memory, Some(spare.extent), offset, head, &self.identity.file_id);
        let mut appender = segment.memory().appender().ok_or(Error::Reentrant)?;
        let old_head = match self.head.clone() {
            Some(head) => head,
            None => self.spare_source().head(self.segment.memory(), self.segment.offset())?,
        };
        // Nothing fails from here on.
        let identity = head.encode(&self.identity.file_id);
        let copies = if kept(Mutant::IdentityTwice) { 2 } else { 1 };
        IDENTITY_AT.iter().take(copies).for_each(|&at| appender.write_head(&spare.head, at, &identity));
        // Whatever links the space held before must not lead anywhere.
        if kept(Mutant::OldLinksCleared) {
            LINK_AT.iter().for_each(|&at| appender.write_head(&spare.head, at, &[0; LINK_BYTES]));
        }

        let link = Link { next: offset, sequence: head.sequence, epoch: head.epoch };
        let link = link.encode(&self.identity.file_id);
        let copies = if kept(Mutant::LinkTwice) { 2 } else { 1 };
        LINK_AT.iter().take(copies).for_each(|&at| self.appender.write_head(&old_head, at, &link));

        self.log.add(&pin, Arc::clone(&segment));
        self.log_bytes += segment.bytes();
        self.tail = offset + FIRST_RECORD;
        self.populated = populated;
        self.last_sequence = head.sequence;
        self.needs_fresh_segment = false;
        self.segment = segment;
        self.head = Some(spare.head);
        appender.move_to(spare.window);
        let mut before = std::mem::replace(&mut self.appender, appender);
        self.left.extend(before.leave().into_iter().chain([old_head]).chain(self.next_window.take()));
        Ok(())
    }
}

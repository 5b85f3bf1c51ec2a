//! Walking the records of a segment past damage.
//!
//! A record that is whole says where the next one begins. The length of one that is not is worth nothing: behind it
//! the walk tries every 8 bytes until a checksum fits. What one of these tries may cost is limited by what the walk
//! has earned, a fixed number of bytes for each step: bytes made up to look like the heads of long records don't cost
//! the square of their number.

use std::sync::Arc;

use crate::file::log::segment::Segment;
use crate::format::record::{
    BatchValue, EvacuateValue, Frame, GROW_VALUE_BYTES, Kind, LARGE_HEADER_BYTES, SMALL_HEADER_BYTES,
    SYNC_MARK_BYTES, Salt,
};

/// Records are aligned to this many bytes.
const STEP: u64 = 8;
/// Bytes that each step of a search may have checksummed, on average, for records of each size.
const EARNED_A_STEP: u64 = 2048;
/// The same for large records, whose keys are of up to 16 MiB.
const EARNED_A_STEP_LARGE: u64 = 256;
/// What a search begins with: a few of the longest.
const FIRST_CREDIT: u64 = 64 << 20;

/// Where a walk gets its bytes from.
pub(crate) trait LogBytes {
    /// Bytes at a file offset; `None` where there are none.
    fn bytes(&mut self, offset: u64, len: usize) -> Option<&[u8]>;
}

impl<B: LogBytes> LogBytes for &mut B {
    fn bytes(&mut self, offset: u64, len: usize) -> Option<&[u8]> {
        (**self).bytes(offset, len)
    }
}

/// The published bytes of a segment.
impl LogBytes for Arc<Segment> {
    fn bytes(&mut self, offset: u64, len: usize) -> Option<&[u8]> {
        let at = offset.checked_sub(self.offset())?;
        Some(self.memory().from(at as usize)?.first(len)?.as_slice())
    }
}

/// What a walk comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record whose header and key are whole.
    Record {
        /// Its file offset.
        offset: u64,
        /// What it says.
        frame: Frame,
        /// Whether its value is whole too; only that of a large record may not be.
        value_whole: bool,
    },
    /// Bytes that are no record, up to the next one or to the end.
    Damage {
        /// The file offset of the first.
        offset: u64,
        /// How many.
        bytes: u64,
    },
}

/// A walk through one life of a segment.
pub(crate) struct Scan<B> {
    source: B,
    salt: Salt,
    at: u64,
    end: u64,
    /// Whether the log is known to reach to `end`. If not, zeros behind the last record are no damage.
    end_is_known: bool,
    credit: u64,
    credit_large: u64,
    /// The record behind the damage that was told of last.
    pending: Option<Found>,
}

impl<B: LogBytes> Scan<B> {
    /// A walk from the record at `at` on, to `end`.
    pub(crate) fn new(source: B, salt: Salt, at: u64, end: u64, end_is_known: bool) -> Self {
        let (credit, credit_large) = (FIRST_CREDIT, FIRST_CREDIT);
        Scan { source, salt, at, end, end_is_known, credit, credit_large, pending: None }
    }

    /// The next record, or the damage before it; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Found> {
        if let Some(found) = self.pending.take() {
            return Some(found);
        }
        let from = self.at;
        if let Some(found) = self.record(false) {
            return Some(found);
        }
        let mut last_used = None;
        while self.at + STEP <= self.end {
            let word = self.source.bytes(self.at, STEP as usize);
            if word.is_none_or(|word| word.iter().any(|&byte| byte != 0)) {
                last_used = Some(self.at + STEP);
                // The record at `from` was tried above.
                if self.at > from
                    && let Some(found) = self.record(true)
                {
                    let Found::Record { offset, .. } = found else { return Some(found) };
                    self.pending = Some(found);
                    return Some(Found::Damage { offset: from, bytes: offset - from });
                }
            }
            self.at += STEP;
            self.credit += EARNED_A_STEP;
            self.credit_large += EARNED_A_STEP_LARGE;
        }
        self.at = self.end;
        let end = if self.end_is_known { self.end } else { last_used.unwrap_or(from) };
        (end > from).then(|| Found::Damage { offset: from, bytes: end - from })
    }

    /// The record here, and goes behind it. While searching, what it costs is limited and its shape must be right in
    /// every detail, the padding of a small record included.
    fn record(&mut self, searching: bool) -> Option<Found> {
        let (offset, room) = (self.at, self.end.checked_sub(self.at)?);
        let head_bytes = room.min(LARGE_HEADER_BYTES as u64) as usize;
        let frame = Frame::decode(self.source.bytes(offset, head_bytes)?)?;
        if frame.bytes() > room || searching && !(well_formed(&frame) && self.can_afford(&frame)) {
            return None;
        }
        let head = self.source.bytes(offset, frame.head_bytes())?;
        frame.verify_head(head, self.salt, offset).ok()?;
        // That of a large one lies behind its value: not worth reading it at every step of a search.
        if searching && !frame.is_large() {
            let all = self.source.bytes(offset, frame.bytes() as usize)?;
            if all[frame.unpadded_bytes()..].iter().any(|&byte| byte != 0) {
                return None;
            }
        }
        let value_whole = !frame.is_large() || {
            let record = self.source.bytes(offset, frame.unpadded_bytes())?;
            frame.verify_value(record, self.salt, offset).is_ok()
        };
        self.at += frame.bytes();
        Some(Found::Record { offset, frame, value_whole })
    }

    fn can_afford(&mut self, frame: &Frame) -> bool {
        let credit = if frame.is_large() { &mut self.credit_large } else { &mut self.credit };
        let left = credit.checked_sub(frame.head_bytes() as u64);
        *credit = left.unwrap_or(*credit);
        left.is_some()
    }
}

/// Whether a record of this kind has key and value of these sizes.
fn well_formed(frame: &Frame) -> bool {
    const EVACUATE_VALUE_BYTES: u64 = 8 + 8 * EvacuateValue::MAX_BUCKETS as u64;
    const MARK_VALUE_BYTES: u64 = SYNC_MARK_BYTES - SMALL_HEADER_BYTES as u64;
    let (key, value) = (frame.key_len, u64::from(frame.value_len));
    match frame.kind {
        Kind::Put | Kind::Move => true,
        Kind::Remove => value == 0,
        Kind::Clear => (key, value) == (0, 0),
        Kind::Grow => (key, value) == (0, GROW_VALUE_BYTES as u64),
        Kind::SyncMark => (key, value) == (0, MARK_VALUE_BYTES),
        Kind::Evacuate => key == 0 && value.is_multiple_of(8) && (8..=EVACUATE_VALUE_BYTES).contains(&value),
        Kind::Batch => (key, value) == (0, BatchValue::BYTES as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 65536 + 2048;
    /// Every record is damaged once; under miri, which is slow, the first and a later one.
    const RECORDS_APART: usize = if cfg!(miri) { 4 } else { 1 };

    /// Bytes as a file has them from [`AT`] on, and how many were asked for.
    struct Memory(Vec<u8>, u64);

    impl LogBytes for Memory {
        fn bytes(&mut self, offset: u64, len: usize) -> Option<&[u8]> {
            self.1 += len as u64;
            self.0.get((offset - AT) as usize..)?.get(..len)
        }
    }

    fn salt() -> Salt {
        Salt::new(&[3; 16], 1, 2)
    }

    fn append(log: &mut Vec<u8>, key: &[u8], value: &[u8]) -> u64 {
        let offset = AT + log.len() as u64;
        let frame = Frame::new(Kind::Put, key.len(), value.len()).unwrap();
        let mut record = vec![0; frame.bytes() as usize];
        frame.encode(&mut record, key, value, salt(), offset, crc32c::crc32c_append);
        log.extend_from_slice(&record);
        offset
    }

    fn walk(log: &[u8], end_is_known: bool) -> (Vec<Found>, u64) {
        let mut memory = Memory(log.to_vec(), 0);
        let mut scan = Scan::new(&mut memory, salt(), AT, AT + log.len() as u64, end_is_known);
        let found = std::iter::from_fn(|| scan.next()).collect();
        (found, memory.1)
    }

    fn offsets(found: &[Found]) -> Vec<u64> {
        let whole = found.iter().filter_map(|found| match found {
            Found::Record { offset, value_whole: true, .. } => Some(*offset),
            _ => None,
        });
        whole.collect()
    }

    #[test]
    fn every_record_but_a_damaged_one_is_found() {
        let mut log = Vec::new();
        let lens = [3, 0, 70_000, 100, 65_535, 9];
        let at: Vec<_> = lens.iter().map(|&len| append(&mut log, b"a key", &vec![7; len])).collect();
        assert_eq!(offsets(&walk(&log, true).0), at);
        for (n, &offset) in at.iter().enumerate().step_by(RECORDS_APART) {
            // Kind, lengths and all.
            let mut damaged = log.clone();
            damaged[(offset - AT) as usize..][..8].fill(0xff);
            let (found, _) = walk(&damaged, true);
            let others: Vec<_> = at.iter().copied().filter(|&other| other != offset).collect();
            assert_eq!(offsets(&found), others, "record {n}");
            let bytes = at.get(n + 1).map_or(AT + log.len() as u64, |&next| next) - offset;
            assert!(found.contains(&Found::Damage { offset, bytes }), "record {n}: {found:?}");
        }
    }

    #[test]
    fn a_damaged_large_value_leaves_its_key() {
        let mut log = Vec::new();
        append(&mut log, b"large", &vec![7; 70_000]);
        append(&mut log, b"small", b"value");
        log[5_000] ^= 1;
        let (found, _) = walk(&log, true);
        assert!(matches!(found[0], Found::Record { value_whole: false, .. }));
        assert_eq!((found.len(), offsets(&found).len()), (2, 1));
    }

    #[test]
    fn zeros_are_the_end_unless_the_log_is_known_to_go_on() {
        let mut log = Vec::new();
        append(&mut log, b"key", b"value");
        let end = AT + log.len() as u64;
        log.resize(log.len() + 800, 0);
        assert_eq!(walk(&log, false).0.len(), 1);
        assert_eq!(walk(&log, true).0[1], Found::Damage { offset: end, bytes: 800 });
        log[(end - AT) as usize + 81] = 1;
        assert_eq!(walk(&log, false).0[1], Found::Damage { offset: end, bytes: 88 });
    }

    #[test]
    #[cfg_attr(miri, ignore = "walks megabytes to count what it asks for")]
    fn heads_that_pretend_to_be_long_cost_no_square() {
        for head in [[1, 2, 3, 4, 1, 255, 255, 255], [1, 2, 3, 4, 0x81, 255, 255, 0]] {
            let log: Vec<u8> = head.iter().copied().cycle().take(4 << 20).collect();
            let (found, asked) = walk(&log, true);
            assert_eq!(found.len(), 1);
            let limit = 2 * FIRST_CREDIT + (log.len() as u64 / 8) * (EARNED_A_STEP + 100);
            assert!(asked < limit, "{asked} bytes");
        }
    }

    #[test]
    fn heads_of_large_values_without_padding_cost_no_square() {
        let mut log = vec![0xff; 1 << 18];
        let (value, mut record) = (vec![0; log.len()], vec![0; log.len()]);
        for at in (8..log.len() / 2).step_by(LARGE_HEADER_BYTES) {
            let value = &value[..log.len() - at - LARGE_HEADER_BYTES - 3];
            let frame = Frame::new(Kind::Put, 0, value.len()).unwrap();
            let record = &mut record[..frame.bytes() as usize];
            frame.encode(record, b"", value, salt(), AT + at as u64, crc32c::crc32c_append);
            log[at..][..LARGE_HEADER_BYTES].copy_from_slice(&record[..LARGE_HEADER_BYTES]);
        }
        let (found, asked) = walk(&log, true);
        assert!(matches!(found[1], Found::Record { value_whole: false, .. }), "{found:?}");
        assert!(asked < 16 * log.len() as u64, "{asked} bytes");
    }
}

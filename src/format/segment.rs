//! The head of a log segment: who it is, which segment came before it, and which comes next.
//!
//! The identity is written once, before the first record, the link to the next segment when the log moves on. Each
//! stands in two sectors of its own: one flipped bit or torn sector can't cut the chain (D2).

use crate::format::COUNTER_LIMIT;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Segments begin at multiples of this many bytes, and are multiples of it long.
pub const SEGMENT_UNIT_BYTES: u64 = 64 * 1024;
/// The first record of a segment, in bytes from its beginning.
pub const FIRST_RECORD: u64 = 2048;
/// The two places of the identity, in bytes from the segment's beginning.
pub const IDENTITY_AT: [usize; 2] = [0, 1536];
/// The two places of the link, in bytes from the segment's beginning.
pub const LINK_AT: [usize; 2] = [512, 1024];
/// Bytes of the head that are read at once.
pub const HEAD_BYTES: usize = FIRST_RECORD as usize;

const SEGMENT_MAGIC: [u8; 8] = *b"th-log-1";
const LINK_MAGIC: [u8; 8] = *b"th-next1";

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSegment {
    magic: [u8; 8],
    file_id: [u8; 16],
    epoch: U64,
    sequence: U64,
    bytes: U64,
    predecessor: U64,
    predecessor_end: U64,
    zero: U32,
    crc: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawLink {
    magic: [u8; 8],
    next: U64,
    sequence: U64,
    epoch: U64,
    zero: U32,
    crc: U32,
}

/// Bytes of a segment's identity.
pub const SEGMENT_BYTES: usize = size_of::<RawSegment>();
/// Bytes of a link.
pub const LINK_BYTES: usize = size_of::<RawLink>();

const _: () = assert!(SEGMENT_BYTES == 72 && LINK_BYTES == 40);

/// A verified segment head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    /// The session that began the segment (D1).
    pub epoch: u64,
    /// One more than its predecessor's.
    pub sequence: u64,
    /// Its length in bytes, the head included.
    pub bytes: u64,
    /// File offset of the segment before it, 0 for the first of a file.
    pub predecessor: u64,
    /// File offset at which the predecessor's records end; what lies behind is no log (D2).
    pub predecessor_end: u64,
}

impl SegmentHead {
    /// The bytes at each of [`IDENTITY_AT`].
    pub fn encode(&self, file_id: &[u8; 16]) -> [u8; SEGMENT_BYTES] {
        let mut raw = RawSegment {
            magic: SEGMENT_MAGIC,
            file_id: *file_id,
            epoch: self.epoch.into(),
            sequence: self.sequence.into(),
            bytes: self.bytes.into(),
            predecessor: self.predecessor.into(),
            predecessor_end: self.predecessor_end.into(),
            zero: 0.into(),
            crc: 0.into(),
        };
        raw.crc = crc32fast::hash(&raw.as_bytes()[..SEGMENT_BYTES - 4]).into();
        zerocopy::transmute!(raw)
    }

    /// The copies in a segment's first [`HEAD_BYTES`] that are whole and of this file. They can differ where a new
    /// segment was begun in the space of an old one and a crash kept half of it.
    pub fn copies<'a>(head: &'a [u8], file_id: &'a [u8; 16]) -> impl Iterator<Item = SegmentHead> + 'a {
        Self::copies_of_any(head).filter(move |(of, _)| of == file_id).map(|(_, head)| head)
    }

    /// The copies that are whole, each with the file it says it is of; for salvage.
    pub fn copies_of_any(head: &[u8]) -> impl Iterator<Item = ([u8; 16], SegmentHead)> {
        IDENTITY_AT.iter().filter_map(|&at| Self::decode(head.get(at..)?))
    }

    fn decode(bytes: &[u8]) -> Option<([u8; 16], SegmentHead)> {
        let (raw, _) = RawSegment::ref_from_prefix(bytes).ok()?;
        let whole = raw.magic == SEGMENT_MAGIC
            && raw.crc.get() == crc32fast::hash(&raw.as_bytes()[..SEGMENT_BYTES - 4])
            && raw.bytes.get() % SEGMENT_UNIT_BYTES == 0
            && raw.bytes.get() > 0
            && raw.sequence.get() < COUNTER_LIMIT
            && raw.epoch.get() < COUNTER_LIMIT;
        let head = SegmentHead {
            epoch: raw.epoch.get(),
            sequence: raw.sequence.get(),
            bytes: raw.bytes.get(),
            predecessor: raw.predecessor.get(),
            predecessor_end: raw.predecessor_end.get(),
        };
        whole.then_some((raw.file_id, head))
    }
}

/// Where the log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// File offset of the next segment.
    pub next: u64,
    /// Sequence number of the next segment.
    pub sequence: u64,
    /// Its session. A segment that a power cut took out of the chain leaves its number and its place to the next one,
    /// and its head may outlive that one's.
    pub epoch: u64,
}

impl Link {
    /// The bytes at each of [`LINK_AT`], salted with the segment that they stand in.
    pub fn encode(&self, file_id: &[u8; 16]) -> [u8; LINK_BYTES] {
        let mut raw = RawLink {
            magic: LINK_MAGIC,
            next: self.next.into(),
            sequence: self.sequence.into(),
            epoch: self.epoch.into(),
            zero: 0.into(),
            crc: 0.into(),
        };
        raw.crc = Self::crc(&raw, file_id).into();
        zerocopy::transmute!(raw)
    }

    /// The newer of the two copies in a segment's head. They differ only while a recovery replaces the link to a
    /// segment that turned out not to be part of the log.
    pub fn decode(head: &[u8], file_id: &[u8; 16]) -> Option<Link> {
        let copies = LINK_AT.iter().filter_map(|&at| {
            let (raw, _) = RawLink::ref_from_prefix(head.get(at..)?).ok()?;
            let whole = raw.magic == LINK_MAGIC && raw.crc.get() == Self::crc(raw, file_id);
            let (next, sequence, epoch) = (raw.next.get(), raw.sequence.get(), raw.epoch.get());
            whole.then_some(Link { next, sequence, epoch })
        });
        copies.max_by_key(|link| (link.epoch, link.sequence))
    }

    fn crc(raw: &RawLink, file_id: &[u8; 16]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(file_id);
        crc.update(&raw.as_bytes()[..LINK_BYTES - 4]);
        crc.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: [u8; 16] = [4; 16];

    #[test]
    fn heads_survive_the_round_trip_and_know_their_file() {
        let head = SegmentHead {
            epoch: 1,
            sequence: 2,
            bytes: 65536,
            predecessor: 3 << 16,
            predecessor_end: 200_000,
        };
        let bytes = head.encode(&FILE);
        assert_eq!(SegmentHead::copies(&bytes, &FILE).collect::<Vec<_>>(), [head]);
        assert_eq!(SegmentHead::copies(&bytes, &[5; 16]).next(), None);
        for bit in 0..SEGMENT_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHead::decode(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn one_damaged_copy_does_not_cut_the_chain() {
        let link = Link { next: 65536, sequence: 3, epoch: 2 };
        let mut head = [0; HEAD_BYTES];
        assert_eq!(Link::decode(&head, &FILE), None);
        for at in LINK_AT {
            head[at..at + LINK_BYTES].copy_from_slice(&link.encode(&FILE));
        }
        for at in LINK_AT {
            let mut damaged = head;
            damaged[at + 9] ^= 4;
            assert_eq!(Link::decode(&damaged, &FILE), Some(link));
        }
    }
}

//! Where things lie in a file, read by `format.md` and not by the library's own code.

use std::ops::Range;

pub const PAGE: usize = 4096;
pub const SECTOR: usize = 512;
/// The two header slots.
pub const SLOTS: [usize; 2] = [0, 4096];
pub const SLOT_CRC_AT: usize = 508;
pub const SLOT_CATALOG_AT: usize = 192;
pub const SLOT_JOURNAL_AT: usize = 208;
pub const SLOT_CATALOG_CRC_AT: usize = 232;
pub const SLOT_JOURNAL_CRC_AT: usize = 236;
const SLOT_SEQUENCE_AT: usize = 40;
/// Bytes of the fields of a slot.
pub const SLOT_BYTES: usize = 248;

const SEGMENT_UNIT: usize = 64 * 1024;
const SEGMENT_MAGIC: &[u8] = b"th-log-1";
/// The copies of a segment's identity and of its link: offset in the segment, bytes before the checksum.
pub const IDENTITIES: [usize; 2] = [0, 1536];
pub const IDENTITY_CRC_AT: usize = 68;
pub const LINKS: [usize; 2] = [512, 1024];
pub const LINK_CRC_AT: usize = 36;
const FIRST_RECORD: usize = 2048;

/// A bucket array's main run or an overflow chunk.
#[derive(Clone, Debug)]
pub struct Index {
    pub pages: Range<usize>,
    pub sums: Range<usize>,
    /// Where the catalog has the checksums of the pages of checksums.
    pub crcs_at: usize,
}

#[derive(Clone, Debug)]
pub struct Segment {
    pub offset: usize,
    /// Where each record begins; the last one is where the log ends.
    pub records: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
pub struct Journal {
    pub offset: usize,
    pub pages: usize,
}

impl Journal {
    pub fn table_bytes(self) -> usize {
        (self.pages * 16).next_multiple_of(PAGE)
    }

    pub fn image_at(self, page: usize) -> usize {
        self.offset + self.table_bytes() + page * PAGE
    }
}

/// What a sample consists of.
#[derive(Clone, Debug)]
pub struct Layout {
    pub catalog: Range<usize>,
    pub journal: Option<Journal>,
    pub index: Vec<Index>,
    pub segments: Vec<Segment>,
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

pub fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(there) = bytes.get_mut(at..at.saturating_add(4)) {
        there.copy_from_slice(&value.to_le_bytes());
    }
}

/// The slot with the higher sequence number.
pub fn newest_slot(bytes: &[u8]) -> Option<usize> {
    SLOTS.into_iter().max_by_key(|slot| u64_at(bytes, slot + SLOT_SEQUENCE_AT))
}

/// The catalog's place and length in a header slot, if it lies within the file.
pub fn catalog_of(bytes: &[u8], slot: usize) -> Option<Range<usize>> {
    let (offset, len) = (u64_at(bytes, slot + SLOT_CATALOG_AT)?, u64_at(bytes, slot + SLOT_CATALOG_AT + 8)?);
    let end = offset.checked_add(len).filter(|&end| end <= bytes.len())?;
    Some(offset..end)
}

/// The journal that a header slot names, if it lies within the file.
pub fn journal_of(bytes: &[u8], slot: usize) -> Option<Journal> {
    let offset = u64_at(bytes, slot + SLOT_JOURNAL_AT).filter(|&offset| offset != 0)?;
    let pages = u64_at(bytes, slot + SLOT_JOURNAL_AT + 8)?;
    let end = pages.checked_mul(PAGE + 16)?.checked_add(offset)?;
    (end <= bytes.len()).then_some(Journal { offset, pages })
}

impl Layout {
    /// Of an intact file.
    pub fn of(bytes: &[u8]) -> Option<Layout> {
        let slot = newest_slot(bytes)?;
        let catalog = catalog_of(bytes, slot)?;
        let mut at = catalog.start + 16;
        let mut index = Vec::new();
        for _ in 0..u32_at(bytes, catalog.start + 8)? {
            let sum_pages = u32_at(bytes, at + 4)? as usize;
            let [offset, len, sums] = [8, 16, 24].map(|field| u64_at(bytes, at + field));
            let (offset, sums) = (offset?, sums?);
            let (pages, sums) = (offset..offset + len?, sums..sums + sum_pages * PAGE);
            index.push(Index { pages, sums, crcs_at: at + 32 });
            at += 32 + (sum_pages * 4).next_multiple_of(8);
        }
        let units =
            (0..bytes.len()).step_by(SEGMENT_UNIT).filter(|&at| bytes[at..].starts_with(SEGMENT_MAGIC));
        let segments = units.map(|offset| Segment { offset, records: records(bytes, offset) }).collect();
        Some(Layout { catalog, journal: journal_of(bytes, slot), index, segments })
    }
}

fn records(bytes: &[u8], segment: usize) -> Vec<usize> {
    let end = segment + u64_at(bytes, segment + 40).unwrap_or(0);
    let mut records = vec![segment + FIRST_RECORD];
    let mut at = segment + FIRST_RECORD;
    while let Some(frame) = Frame::at(bytes, at) {
        let next = (at + frame.bytes()).next_multiple_of(8);
        if !(1..=8).contains(&frame.kind) || next > end.min(bytes.len()) {
            break;
        }
        records.push(next);
        at = next;
    }
    records
}

/// The lengths in a record's header.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub kind: u8,
    pub large: bool,
    pub key_len: usize,
    pub value_len: usize,
}

impl Frame {
    pub fn at(bytes: &[u8], at: usize) -> Option<Frame> {
        let head: &[u8; 16] = bytes.get(at..)?.first_chunk()?;
        let kind = head[4] & 0x3f;
        if head[4] & 0x80 == 0 {
            let value_len = usize::from(u16::from_le_bytes([head[6], head[7]]));
            return Some(Frame { kind, large: false, key_len: head[5].into(), value_len });
        }
        let key_len = u32::from_le_bytes([head[5], head[6], head[7], head[4] >> 6 & 1]) as usize;
        let value_len = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
        Some(Frame { kind, large: true, key_len, value_len })
    }

    /// Header and key.
    pub fn head_bytes(self) -> usize {
        if self.large { 16 + self.key_len } else { 8 + self.key_len }
    }

    /// Without the padding.
    pub fn bytes(self) -> usize {
        self.head_bytes() + self.value_len
    }
}

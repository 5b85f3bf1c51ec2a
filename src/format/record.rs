//! Records of the log: a header of 8 or 16 bytes, the key, the value, padding to 8 bytes.
//!
//! ```text
//! small:  crc u32 | kind u8 | key_len u8 | value_len u16                                | key | value
//! large:  crc u32 | kind u8 | key_len u24 | value_len u32 | value_crc u32               | key | value
//! ```
//!
//! Large is bit 7 of the kind; bit 6 is bit 24 of a large record's key length, so that 16 MiB fit. A small
//! record's checksum covers everything behind it; a large one has two, so that comparing a key need not read
//! the value (C13). Checksums start from a salt of segment and offset: a stale record in reused space, or one
//! that was written to the wrong place, fails (D1). Zeros are no record.

use std::ops::Range;

use crate::error::{Detail, Error, Result};
use crate::mutants::{Mutant, kept};

/// The largest key, in bytes: 16 MiB.
pub const MAX_KEY_BYTES: u64 = 1 << 24;
/// The largest value, in bytes: 4 GiB - 1.
pub const MAX_VALUE_BYTES: u64 = u32::MAX as u64;
/// Bytes of a small record's header; every record has at least these.
pub const SMALL_HEADER_BYTES: usize = 8;
/// Bytes of a large record's header.
pub const LARGE_HEADER_BYTES: usize = 16;
/// Bytes of a sync mark: a small header and three words.
pub const SYNC_MARK_BYTES: u64 = SMALL_HEADER_BYTES as u64 + 24;
/// Bytes of a growth record's value: one word.
pub const GROW_VALUE_BYTES: usize = 8;

const LARGE: u8 = 1 << 7;
const KEY_LEN_BIT_24: u8 = 1 << 6;
const VALUE_SALT: u32 = 0x7f4a_7c15;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The key has this value from now on.
    Put = 1,
    /// The key is gone.
    Remove = 2,
    /// Every key is gone.
    Clear = 3,
    /// A growth starts; the value is one word: [`GROW_DOUBLE`], [`GROW_SAME_SIZE`] or [`GROW_SHRINK`] (D15).
    Grow = 4,
    /// The log is durable up to the position that the value names (D4).
    SyncMark = 5,
    /// A put that compaction copied from a segment that it empties: the key's cell points here now, and nothing else
    /// changes (D15).
    Move = 6,
    /// Old buckets are evacuated, ahead of a batch; the value is an [`EvacuateValue`].
    Evacuate = 7,
    /// The records behind it belong together (D3); the value is a [`BatchValue`].
    Batch = 8,
}

/// The value of a growth record: the array doubles.
pub const GROW_DOUBLE: u64 = 1;
/// The value of a growth record: a new array of the same size.
pub const GROW_SAME_SIZE: u64 = 2;
/// The value of a growth record: the array is halved.
pub const GROW_SHRINK: u64 = 3;

impl Kind {
    /// Whether a cell can point at such a record.
    #[inline]
    pub fn is_entry(self) -> bool {
        matches!(self, Kind::Put | Kind::Move)
    }

    fn from_bits(bits: u8) -> Option<Kind> {
        Some(match bits & !(LARGE | KEY_LEN_BIT_24) {
            1 => Kind::Put,
            2 => Kind::Remove,
            3 => Kind::Clear,
            4 => Kind::Grow,
            5 => Kind::SyncMark,
            6 => Kind::Move,
            7 => Kind::Evacuate,
            8 => Kind::Batch,
            _ => return None,
        })
    }
}

/// The value of a batch record: which records behind it are there whole, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchValue {
    /// Bytes of these records, without the batch record.
    pub bytes: u64,
    /// Their number.
    pub records: u64,
}

impl BatchValue {
    /// Bytes of the value.
    pub const BYTES: usize = 16;

    /// The value's bytes.
    pub fn encode(self) -> [u8; Self::BYTES] {
        let mut value = [0; Self::BYTES];
        value[..8].copy_from_slice(&self.bytes.to_le_bytes());
        value[8..].copy_from_slice(&self.records.to_le_bytes());
        value
    }

    /// Takes a value apart; `None` where it is none.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let value: &[u8; Self::BYTES] = value.try_into().ok()?;
        let word = |from: usize| u64::from_le_bytes(std::array::from_fn(|i| value[from + i]));
        Some(BatchValue { bytes: word(0), records: word(8) })
    }
}

/// The value of an evacuate record: which old buckets are evacuated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvacuateValue {
    /// How many from the evacuation mark on, which moves on behind them.
    pub at_mark: u64,
    /// And these, in rising order; the mark stays where it is.
    pub buckets: Vec<u64>,
}

impl EvacuateValue {
    /// The most buckets that one record has evacuated: each takes memory while it is prepared.
    pub const MAX_BUCKETS: usize = 512;

    /// So many from the mark on, and no others.
    pub fn at_mark(buckets: usize) -> Self {
        EvacuateValue { at_mark: buckets as u64, buckets: Vec::new() }
    }

    /// The value's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let words = std::iter::once(&self.at_mark).chain(&self.buckets);
        words.flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Takes a value apart; `None` where it is none.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let (words, rest) = value.as_chunks::<8>();
        let (at_mark, buckets) = words.split_first()?;
        let at_mark = u64::from_le_bytes(*at_mark);
        let buckets: Vec<_> = buckets.iter().map(|&word| u64::from_le_bytes(word)).collect();
        let rising = buckets.windows(2).all(|two| two[0] < two[1]);
        let few = at_mark.checked_add(buckets.len() as u64)? <= Self::MAX_BUCKETS as u64;
        (rest.is_empty() && rising && few).then_some(EvacuateValue { at_mark, buckets })
    }
}

/// What the checksums of one segment's records start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(u32);

impl Salt {
    /// The salt of a segment.
    pub fn new(file_id: &[u8; 16], epoch: u64, sequence: u64) -> Self {
        let mut crc = crc32fast::Hasher::new();
        crc.update(file_id);
        if kept(Mutant::SaltHasEpoch) {
            crc.update(&epoch.to_le_bytes());
        }
        if kept(Mutant::SaltHasSequence) {
            crc.update(&sequence.to_le_bytes());
        }
        Salt(crc.finalize())
    }

    /// The start of the checksum of a record at this file offset.
    #[inline]
    fn at(self, offset: u64) -> u32 {
        let offset = if kept(Mutant::SaltHasOffset) { offset } else { 0 };
        self.0.wrapping_add(((offset >> 3) as u32).wrapping_mul(0x9e37_79b1))
    }
}

/// The lengths and the kind of a record; its checksum has not been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the record says.
    pub kind: Kind,
    /// Bytes in the key.
    pub key_len: u32,
    /// Bytes in the value.
    pub value_len: u32,
    large: bool,
}

impl Frame {
    /// The frame that a record with these parts gets.
    #[inline]
    pub fn new(kind: Kind, key_len: usize, value_len: usize) -> Result<Frame> {
        let too_large = |what, len: usize, limit| Error::TooLarge { what, len: len as u64, limit };
        if key_len as u64 > MAX_KEY_BYTES {
            return Err(too_large("a key", key_len, MAX_KEY_BYTES));
        }
        if value_len as u64 > MAX_VALUE_BYTES {
            return Err(too_large("a value", value_len, MAX_VALUE_BYTES));
        }
        let large = key_len > usize::from(u8::MAX) || value_len > usize::from(u16::MAX);
        Ok(Frame { kind, key_len: key_len as u32, value_len: value_len as u32, large })
    }

    /// Takes the first bytes of a record apart; `None` where they can't be one.
    #[inline]
    pub fn decode(head: &[u8]) -> Option<Frame> {
        let first: [u8; 8] = head.get(..8)?.try_into().ok()?;
        let kind = Kind::from_bits(first[4])?;
        if first[4] & LARGE == 0 {
            let value_len = u16::from_le_bytes([first[6], first[7]]);
            let plain = first[4] & KEY_LEN_BIT_24 == 0;
            return plain.then_some(Frame {
                kind,
                key_len: first[5].into(),
                value_len: value_len.into(),
                large: false,
            });
        }
        let bit_24 = u8::from(first[4] & KEY_LEN_BIT_24 != 0);
        let key_len = u32::from_le_bytes([first[5], first[6], first[7], bit_24]);
        let value_len = u32::from_le_bytes(head.get(8..12)?.try_into().ok()?);
        (u64::from(key_len) <= MAX_KEY_BYTES).then_some(Frame { kind, key_len, value_len, large: true })
    }

    /// Whether key and value have checksums of their own.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.large
    }

    /// Bytes before the key.
    #[inline]
    pub fn header_bytes(&self) -> usize {
        if self.large { LARGE_HEADER_BYTES } else { SMALL_HEADER_BYTES }
    }

    /// Bytes that the checksum of header and key covers, from the record's beginning: all of a small record,
    /// all but the value of a large one.
    #[inline]
    pub fn head_bytes(&self) -> usize {
        let value = if self.large { 0 } else { self.value_len as usize };
        self.header_bytes() + self.key_len as usize + value
    }

    /// Bytes up to the padding.
    #[inline]
    pub fn unpadded_bytes(&self) -> usize {
        self.header_bytes() + self.key_len as usize + self.value_len as usize
    }

    /// Bytes in the whole record, padding included.
    #[inline]
    pub fn bytes(&self) -> u64 {
        (self.unpadded_bytes() as u64).next_multiple_of(8)
    }

    /// Makes the record with these parts at this file offset in `record`, which has [`Frame::bytes`] bytes; its padding
    /// is zeros. `crc32c` computes the CRC-32C of bytes behind others, whose checksum it is given.
    ///
    /// # Panics
    /// When `record` is too short, or key and value have other lengths than the frame says.
    #[inline]
    pub fn encode(
        &self,
        record: &mut [u8],
        key: &[u8],
        value: &[u8],
        salt: Salt,
        offset: u64,
        crc32c: impl Fn(u32, &[u8]) -> u32,
    ) {
        let salt = salt.at(offset);
        let (bytes, padding) = record.split_at_mut(self.unpadded_bytes());
        let (header, key_and_value) = bytes.split_at_mut(self.header_bytes());
        let (key_at, value_at) = key_and_value.split_at_mut(self.key_len as usize);
        key_at.copy_from_slice(key);
        value_at.copy_from_slice(value);
        if !padding.is_empty() {
            padding.fill(0);
        }
        if self.large {
            let len = self.key_len.to_le_bytes();
            header[4] = self.kind as u8 | LARGE | if len[3] != 0 { KEY_LEN_BIT_24 } else { 0 };
            header[5..8].copy_from_slice(&len[..3]);
            header[8..12].copy_from_slice(&self.value_len.to_le_bytes());
            header[12..].copy_from_slice(&crc32c(salt ^ VALUE_SALT, value_at).to_le_bytes());
        } else {
            header[4] = self.kind as u8;
            header[5] = self.key_len as u8;
            header[6..].copy_from_slice(&(self.value_len as u16).to_le_bytes());
        }
        let (stored, covered) = bytes[..self.head_bytes()].split_at_mut(4);
        stored.copy_from_slice(&crc32c(salt, covered).to_le_bytes());
    }

    /// Checks header and key (and the value of a small record) against their checksum. `head` has
    /// [`Frame::head_bytes`] bytes.
    #[inline]
    pub fn verify_head(&self, head: &[u8], salt: Salt, offset: u64) -> Result<()> {
        self.verify_head_with(head, salt, offset, crc32c::crc32c_append)
    }

    /// [`Frame::verify_head`] with another implementation of CRC-32C: the checksum so far, and the bytes behind it.
    #[inline]
    pub fn verify_head_with(
        &self,
        head: &[u8],
        salt: Salt,
        offset: u64,
        crc32c: impl FnOnce(u32, &[u8]) -> u32,
    ) -> Result<()> {
        compare("record", offset, head, crc32c(salt.at(offset), &head[4..]))
    }

    /// Checks the value of a large record. `record` has [`Frame::unpadded_bytes`] bytes.
    pub fn verify_value(&self, record: &[u8], salt: Salt, offset: u64) -> Result<()> {
        if !self.large {
            return Ok(());
        }
        let value = &record[self.head_bytes()..];
        let found = crc32c::crc32c_append(salt.at(offset) ^ VALUE_SALT, value);
        compare("value of a record", offset, &record[12..16], found)
    }
}

/// The frame of a small record that says put, or of one that compaction moved: what a lookup nearly always comes to.
#[derive(Clone, Copy)]
pub struct SmallPut {
    key_len: usize,
    value_len: usize,
}

impl SmallPut {
    /// Takes the first bytes of a record apart; `None` where they are those of another kind.
    #[inline]
    pub fn decode(head: &[u8]) -> Option<SmallPut> {
        let head = u64::from_le_bytes(*head.first_chunk()?);
        let (kind, key_len, value_len) = ((head >> 32) as u8, (head >> 40) as u8, (head >> 48) as u16);
        (kind == Kind::Put as u8 || kind == Kind::Move as u8)
            .then_some(SmallPut { key_len: key_len.into(), value_len: value_len.into() })
    }

    /// The same as a frame; what was moved is as good as put.
    #[inline]
    pub fn frame(self) -> Frame {
        let (key_len, value_len) = (self.key_len as u32, self.value_len as u32);
        Frame { kind: Kind::Put, key_len, value_len, large: false }
    }

    /// Bytes up to the padding.
    #[inline]
    pub fn bytes(self) -> usize {
        SMALL_HEADER_BYTES + self.key_len + self.value_len
    }

    /// Where in the record the key is.
    #[inline]
    pub fn key(self) -> Range<usize> {
        SMALL_HEADER_BYTES..SMALL_HEADER_BYTES + self.key_len
    }

    /// Where in the record the value is.
    #[inline]
    pub fn value(self) -> Range<usize> {
        SMALL_HEADER_BYTES + self.key_len..self.bytes()
    }

    /// Whether the checksum is that of the record. `crc32c` computes the CRC-32C of bytes behind others, whose checksum it
    /// is given.
    #[inline]
    pub fn fits(
        self,
        record: &[u8],
        salt: Salt,
        offset: u64,
        crc32c: impl FnOnce(u32, &[u8]) -> u32,
    ) -> bool {
        let Some((stored, covered)) = record.split_first_chunk() else { return false };
        crc32c(salt.at(offset), covered) == u32::from_le_bytes(*stored)
    }
}

#[inline]
fn compare(what: &'static str, offset: u64, stored: &[u8], found: u32) -> Result<()> {
    let expected = u32::from_le_bytes([stored[0], stored[1], stored[2], stored[3]]);
    if expected == found { Ok(()) } else { Err(mismatch(what, offset, expected, found)) }
}

#[cold]
fn mismatch(what: &'static str, offset: u64, expected: u32, found: u32) -> Error {
    Error::corrupt(what, offset, Detail::Crc(expected), Detail::Crc(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest key, and the bits between those that are flipped in a long value; under miri, which is slow, the
    /// shortest large record, and few bits.
    const BIG: usize = if cfg!(miri) { 1 << 16 } else { 1 << 24 };
    const BITS_APART: usize = if cfg!(miri) { 99_991 } else { 997 };

    fn build(kind: Kind, key: &[u8], value: &[u8], salt: Salt, offset: u64) -> (Frame, Vec<u8>) {
        let frame = Frame::new(kind, key.len(), value.len()).unwrap();
        let mut bytes = vec![0xee; frame.bytes() as usize];
        frame.encode(&mut bytes, key, value, salt, offset, crc32c::crc32c_append);
        assert!(bytes[frame.unpadded_bytes()..].iter().all(|&byte| byte == 0), "padding is zeros");
        bytes.truncate(frame.unpadded_bytes());
        (frame, bytes)
    }

    #[test]
    fn records_survive_the_round_trip() {
        let salt = Salt::new(&[9; 16], 1, 2);
        let big = vec![7; BIG];
        for (key, value) in [
            (&b""[..], &b""[..]),
            (b"key", b"value"),
            (&big[..255], &big[..65535]),
            (&big[..256], b""),
            (b"k", &big[..65536]),
            (&big, b"16 MiB of key"),
        ] {
            let (frame, bytes) = build(Kind::Put, key, value, salt, 4096);
            assert_eq!(Frame::decode(&bytes), Some(frame));
            assert_eq!(frame.is_large(), key.len() > 255 || value.len() > 65535);
            assert_eq!(frame.unpadded_bytes(), bytes.len());
            frame.verify_head(&bytes[..frame.head_bytes()], salt, 4096).unwrap();
            frame.verify_value(&bytes, salt, 4096).unwrap();
            assert!(frame.verify_head(&bytes[..frame.head_bytes()], salt, 4104).is_err(), "another place");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let salt = Salt::new(&[9; 16], 1, 2);
        for value_len in [30, 70_000] {
            let (_, bytes) = build(Kind::Put, b"a key", &vec![5; value_len], salt, 800);
            for bit in (0..bytes.len() * 8).step_by(if value_len > 1000 { BITS_APART } else { 1 }) {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let intact = Frame::decode(&bytes).is_some_and(|frame| {
                    bytes.len() >= frame.unpadded_bytes()
                        && frame.verify_head(&bytes[..frame.head_bytes()], salt, 800).is_ok()
                        && frame.verify_value(&bytes[..frame.unpadded_bytes()], salt, 800).is_ok()
                });
                assert!(!intact, "bit {bit}");
            }
        }
    }

    #[test]
    fn values_of_batches_and_evacuations_survive_the_round_trip() {
        let batch = BatchValue { bytes: 1 << 40, records: 3 };
        assert_eq!(BatchValue::decode(&batch.encode()), Some(batch));
        assert_eq!(BatchValue::decode(&batch.encode()[1..]), None);
        let evacuate = |at_mark, buckets: &[u64]| EvacuateValue { at_mark, buckets: buckets.to_vec() };
        for value in [evacuate(0, &[]), evacuate(512, &[]), evacuate(509, &[1, 7, u64::MAX])] {
            assert_eq!(EvacuateValue::decode(&value.encode()), Some(value));
        }
        for wrong in
            [evacuate(513, &[]), evacuate(u64::MAX, &[3]), evacuate(0, &[3, 3]), evacuate(0, &[3, 1])]
        {
            assert_eq!(EvacuateValue::decode(&wrong.encode()), None, "{wrong:?}");
        }
        assert_eq!(EvacuateValue::decode(&[]), None);
        assert_eq!(EvacuateValue::decode(&[0; 15]), None);
    }

    #[test]
    fn zeros_are_no_record_and_sizes_have_limits() {
        assert_eq!(Frame::decode(&[0; 16]), None);
        assert!(Frame::new(Kind::Put, 1 << 24, 0).is_ok());
        assert!(matches!(Frame::new(Kind::Put, (1 << 24) + 1, 0), Err(Error::TooLarge { .. })));
        assert!(matches!(Frame::new(Kind::Put, 0, 1 << 32), Err(Error::TooLarge { .. })));
    }
}

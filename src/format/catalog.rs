//! The catalog: every extent that the table and the log use, written anew at each checkpoint.
//!
//! ```text
//! magic [u8; 8] | index extents u32 | segments u32
//! index extent:  array u8 | part u8 | zero u16 | sum pages u32 | offset u64 | bytes u64 | sums offset u64
//!                | crc u32 of each checksum page, padded to 8 bytes
//! segment:       offset u64 | bytes u64 | sequence u64 | epoch u64 | end u64 | live bytes u64
//! ```
//!
//! What it does not list, except for the headers, the catalog and the journal that a header names, is free.

use crate::error::{Error, Result};
use crate::format::segment::SEGMENT_UNIT_BYTES;
use crate::format::{PAGE_BYTES, page_round_up};

const MAGIC: [u8; 8] = *b"th-cat-1";
/// Page checksums (4 bytes each) in one page of checksums.
pub const SUMS_PER_PAGE: u64 = PAGE_BYTES / 4;
/// No catalog of a file within 8 TiB comes near this many bytes.
pub const MAX_CATALOG_BYTES: u64 = 1 << 31;

/// Which bucket array an extent is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArrayRole {
    /// `buckets`.
    Current,
    /// `oldbuckets`.
    Old,
}

/// The main run of a bucket array or one of its overflow chunks, with its page checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexExtent {
    /// Whose part it is.
    pub array: ArrayRole,
    /// 0 for the main run, n + 1 for overflow chunk n.
    pub part: u8,
    /// File offset.
    pub offset: u64,
    /// Length in bytes, whole pages.
    pub bytes: u64,
    /// File offset of the extent that holds the page checksums.
    pub sums_offset: u64,
    /// The checksum of each page of checksums, 0 where that page was never written (D12).
    pub sums: Vec<u32>,
}

/// A segment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentExtent {
    /// File offset.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Its number in the log.
    pub sequence: u64,
    /// The session that began it.
    pub epoch: u64,
    /// File offset at which its records end, as of the checkpoint.
    pub end: u64,
    /// Bytes of records that the table points at.
    pub live: u64,
}

/// All extents of one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Catalog {
    /// Bucket arrays and overflow chunks.
    pub index: Vec<IndexExtent>,
    /// The log, in order.
    pub segments: Vec<SegmentExtent>,
}

/// Bytes of page checksums for an index extent of this many bytes, whole pages.
pub fn sums_bytes(index_bytes: u64) -> u64 {
    page_round_up(index_bytes / PAGE_BYTES * 4)
}

impl Catalog {
    /// The catalog's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&(self.index.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.segments.len() as u32).to_le_bytes());
        for extent in &self.index {
            out.extend_from_slice(&[u8::from(extent.array == ArrayRole::Old), extent.part, 0, 0]);
            out.extend_from_slice(&(extent.sums.len() as u32).to_le_bytes());
            for word in [extent.offset, extent.bytes, extent.sums_offset] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            extent.sums.iter().for_each(|crc| out.extend_from_slice(&crc.to_le_bytes()));
            out.resize(out.len().next_multiple_of(8), 0);
        }
        for s in &self.segments {
            for word in [s.offset, s.bytes, s.sequence, s.epoch, s.end, s.live] {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
        out
    }

    /// Takes a catalog apart that lies at `offset` and whose checksum was compared; every extent lies within the
    /// file and none overlaps another.
    pub fn decode(bytes: &[u8], offset: u64, file_bytes: u64) -> Result<Catalog> {
        let mut reader = Reader { bytes, offset };
        if reader.take::<8>()? != MAGIC {
            return Err(Error::corrupt("catalog", offset, "the magic bytes", "other bytes"));
        }
        let (extents, segments) = (reader.u32()?, reader.u32()?);
        let mut catalog = Catalog::default();
        for _ in 0..extents {
            catalog.index.push(reader.index_extent()?);
        }
        for _ in 0..segments {
            catalog.segments.push(reader.segment()?);
        }
        catalog.check_places(offset, file_bytes)?;
        Ok(catalog)
    }

    /// Every extent as (offset, bytes), unsorted.
    pub fn places(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let index = self.index.iter();
        let index = index.flat_map(|e| [(e.offset, e.bytes), (e.sums_offset, sums_bytes(e.bytes))]);
        index.chain(self.segments.iter().map(|s| (s.offset, s.bytes)))
    }

    fn check_places(&self, offset: u64, file_bytes: u64) -> Result<()> {
        let mut places: Vec<_> = self.places().collect();
        places.sort_unstable();
        let mut end = 2 * PAGE_BYTES;
        for (at, bytes) in places {
            if at < end || !at.is_multiple_of(PAGE_BYTES) || bytes == 0 {
                return Err(Error::corrupt(
                    "extent in the catalog",
                    offset,
                    "extents that don't overlap",
                    at,
                ));
            }
            end = at.checked_add(bytes).filter(|&end| end <= file_bytes).ok_or_else(|| {
                Error::corrupt(
                    "extent in the catalog",
                    at,
                    "an end within the file",
                    at.saturating_add(bytes),
                )
            })?;
        }
        Ok(())
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: u64,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(Error::corrupt("catalog", self.offset, N as u64, self.bytes.len() as u64));
        };
        self.bytes = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn index_extent(&mut self) -> Result<IndexExtent> {
        let [array, part, _, _] = self.take()?;
        let sum_pages = self.u32()?;
        let (offset, bytes, sums_offset) = (self.u64()?, self.u64()?, self.u64()?);
        let fits = bytes.is_multiple_of(PAGE_BYTES)
            && bytes < 1 << 48
            && u64::from(sum_pages) == sums_bytes(bytes) / PAGE_BYTES;
        if !fits || array > 1 {
            return Err(Error::corrupt("index extent", offset, "whole pages and their checksums", bytes));
        }
        let sums = (0..sum_pages).map(|_| self.u32()).collect::<Result<_>>()?;
        if sum_pages % 2 == 1 {
            self.u32()?;
        }
        let array = if array == 1 { ArrayRole::Old } else { ArrayRole::Current };
        Ok(IndexExtent { array, part, offset, bytes, sums_offset, sums })
    }

    fn segment(&mut self) -> Result<SegmentExtent> {
        let (offset, bytes, sequence) = (self.u64()?, self.u64()?, self.u64()?);
        let (epoch, end, live) = (self.u64()?, self.u64()?, self.u64()?);
        let aligned = offset.is_multiple_of(SEGMENT_UNIT_BYTES) && bytes.is_multiple_of(SEGMENT_UNIT_BYTES);
        let ends_inside = end >= offset && end.is_multiple_of(8) && end - offset <= bytes;
        if !aligned || !ends_inside || live > bytes {
            return Err(Error::corrupt("log segment in the catalog", offset, "an end inside it", end));
        }
        Ok(SegmentExtent { offset, bytes, sequence, epoch, end, live })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Catalog {
        let index = |array, part, page: u64| IndexExtent {
            array,
            part,
            offset: page * PAGE_BYTES,
            bytes: 2 * PAGE_BYTES,
            sums_offset: (page + 2) * PAGE_BYTES,
            sums: vec![7],
        };
        Catalog {
            index: vec![index(ArrayRole::Current, 0, 2), index(ArrayRole::Old, 3, 5)],
            segments: vec![SegmentExtent {
                offset: SEGMENT_UNIT_BYTES,
                bytes: SEGMENT_UNIT_BYTES,
                sequence: 4,
                epoch: 2,
                end: SEGMENT_UNIT_BYTES + 4096,
                live: 99,
            }],
        }
    }

    #[test]
    fn catalogs_survive_the_round_trip() {
        let catalog = sample();
        assert_eq!(Catalog::decode(&catalog.encode(), 8192, 1 << 20).unwrap(), catalog);
    }

    #[test]
    fn truncated_and_overlapping_catalogs_are_refused() {
        let bytes = sample().encode();
        for len in 0..bytes.len() {
            assert!(Catalog::decode(&bytes[..len], 8192, 1 << 20).is_err(), "{len} bytes");
        }
        assert!(Catalog::decode(&bytes, 8192, SEGMENT_UNIT_BYTES).is_err(), "beyond the file");
        let mut overlapping = sample();
        overlapping.index[1].offset = overlapping.index[0].offset;
        assert!(Catalog::decode(&overlapping.encode(), 8192, 1 << 20).is_err());
    }
}

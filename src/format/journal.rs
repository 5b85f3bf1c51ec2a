//! The checkpoint journal: a table of pages with their checksums, then the pages themselves.
//!
//! ```text
//! table:  pages x (file offset u64 | crc u32 | zero u32), padded to a page
//! images: pages x 4096 bytes, in the table's order
//! ```
//!
//! The header that names a journal holds the number of pages and the checksum of the table.

use crate::error::{Error, Result};
use crate::format::{PAGE_BYTES, page_round_up};

/// Bytes of one entry of the table.
const ENTRY_BYTES: usize = 16;

/// One page of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the page belongs, in bytes from the beginning of the file.
    pub page_offset: u64,
    /// The page's checksum ([`page_crc`](crate::format::page_crc)).
    pub crc: u32,
}

/// Bytes of the table of this many pages, padding included; the first image follows.
pub fn table_bytes(pages: u64) -> u64 {
    page_round_up(pages * ENTRY_BYTES as u64)
}

/// Bytes of a whole journal; `None` where that makes no sense.
pub fn journal_bytes(pages: u64) -> Option<u64> {
    let per_page = PAGE_BYTES + ENTRY_BYTES as u64;
    pages.checked_mul(per_page).filter(|&bytes| bytes < 1 << 48)?;
    Some(table_bytes(pages) + pages * PAGE_BYTES)
}

/// The table's bytes, padding included, and their checksum.
pub fn encode(entries: &[Entry]) -> (Vec<u8>, u32) {
    let mut bytes = Vec::with_capacity(table_bytes(entries.len() as u64) as usize);
    for entry in entries {
        bytes.extend_from_slice(&entry.page_offset.to_le_bytes());
        bytes.extend_from_slice(&entry.crc.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
    }
    bytes.resize(table_bytes(entries.len() as u64) as usize, 0);
    let crc = crc32fast::hash(&bytes);
    (bytes, crc)
}

/// Takes a table apart whose checksum was compared. Every page lies within the file and beyond the headers.
pub fn decode(table: &[u8], pages: u64, file_bytes: u64) -> Result<Vec<Entry>> {
    table
        .chunks_exact(ENTRY_BYTES)
        .take(pages as usize)
        .map(|bytes| {
            let page_offset = u64::from_le_bytes(std::array::from_fn(|i| bytes[i]));
            let crc = u32::from_le_bytes(std::array::from_fn(|i| bytes[8 + i]));
            let inside = page_offset.is_multiple_of(PAGE_BYTES)
                && page_offset >= 2 * PAGE_BYTES
                && page_offset.checked_add(PAGE_BYTES).is_some_and(|end| end <= file_bytes);
            if !inside {
                return Err(Error::corrupt(
                    "page of the journal",
                    page_offset,
                    "a page of the file",
                    page_offset,
                ));
            }
            Ok(Entry { page_offset, crc })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_survive_the_round_trip() {
        for pages in [0, 1, 255, 256, 257] {
            let entries: Vec<_> =
                (0..pages).map(|n| Entry { page_offset: (n + 2) * PAGE_BYTES, crc: n as u32 + 1 }).collect();
            let (bytes, crc) = encode(&entries);
            assert_eq!(bytes.len() as u64, table_bytes(pages));
            assert_eq!(crc, crc32fast::hash(&bytes));
            assert_eq!(decode(&bytes, pages, 1 << 30).unwrap(), entries);
        }
    }

    #[test]
    fn pages_outside_the_file_are_refused() {
        for page_offset in [0, PAGE_BYTES, 5 * PAGE_BYTES, 3 * PAGE_BYTES + 8, u64::MAX - 4095] {
            let (bytes, _) = encode(&[Entry { page_offset, crc: 1 }]);
            assert!(decode(&bytes, 1, 5 * PAGE_BYTES).is_err(), "{page_offset}");
        }
    }
}

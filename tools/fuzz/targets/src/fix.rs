//! Sets checksums right after a file was edited, from the records outwards to the headers.

use std::hash::Hasher;

use crc32c::crc32c_append;
use siphasher::sip::SipHasher13;

use crate::layout::{
    Frame, IDENTITIES, IDENTITY_CRC_AT, LINK_CRC_AT, LINKS, Layout, PAGE, SLOT_CATALOG_CRC_AT, SLOT_CRC_AT,
    SLOT_JOURNAL_CRC_AT, SLOTS, catalog_of, journal_of, put_u32,
};

const FILE_ID_AT: usize = 24;
const LOG_SECRET_AT: usize = 80;
const VALUE_SALT: u32 = 0x7f4a_7c15;

/// Which checksums are set right, one bit each; none if the highest bit is set, so that half of all inputs are
/// damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fix(pub u8);

impl Fix {
    const RECORDS: u8 = 1;
    const SEGMENTS: u8 = 2;
    const PAGES: u8 = 4;
    const JOURNAL: u8 = 8;
    const CATALOG: u8 = 16;
    const HEADERS: u8 = 32;
    #[cfg(test)]
    const ALL: u8 = 63;
    const NONE: u8 = 128;

    /// None at all: damage, and no forgery.
    pub fn is_none(self) -> bool {
        self.0 & Self::NONE != 0
    }

    /// Sets the checksums of everything right that is not as it was in `before`.
    pub fn apply(self, bytes: &mut [u8], before: &[u8], layout: &Layout) {
        if self.is_none() {
            return;
        }
        let steps: [(u8, Step); 6] = [
            (Self::RECORDS, records),
            (Self::SEGMENTS, segments),
            (Self::JOURNAL, journal_images),
            (Self::PAGES, pages),
            (Self::CATALOG, catalog_and_journal),
            (Self::HEADERS, headers),
        ];
        for (bit, step) in steps {
            if self.0 & bit != 0 {
                step(bytes, before, layout);
            }
        }
    }
}

type Step = fn(&mut [u8], &[u8], &Layout);

fn changed(bytes: &[u8], before: &[u8], from: usize, to: usize) -> bool {
    bytes.get(from..to) != before.get(from..to)
}

fn records(bytes: &mut [u8], before: &[u8], layout: &Layout) {
    for segment in &layout.segments {
        for (n, &at) in segment.records.iter().enumerate() {
            // Behind the last record an edit may have put another one.
            let end = segment.records.get(n + 1).copied().unwrap_or(at + 64);
            if changed(bytes, before, at, end) {
                fix_record(bytes, segment.offset, at);
            }
        }
    }
}

/// Sets the checksums of the record at `at` right, if it ends within the file.
pub fn fix_record(bytes: &mut [u8], segment: usize, at: usize) {
    let Some(identity) = bytes.get(segment + 8..segment + 40) else { return };
    // File id, epoch and sequence stand side by side.
    let salt = crc32fast::hash(identity).wrapping_add(((at / 8) as u32).wrapping_mul(0x9e37_79b1));
    let Some(frame) = Frame::at(bytes, at) else { return };
    let Some(record) = bytes.get(at..at + frame.bytes()) else { return };
    if frame.large {
        let crc = crc32c_append(salt ^ VALUE_SALT, &record[frame.head_bytes()..]);
        put_u32(bytes, at + 12, crc);
        let head = bytes.get(at + 4..at + frame.head_bytes()).unwrap_or_default();
        let crc = crc32c_append(salt, head);
        put_u32(bytes, at, crc);
    } else {
        let crc = crc32c_append(salt, &record[4..]);
        put_u32(bytes, at, crc);
    }
}

/// Sets the check of the sync mark at `at` right (D4), and its checksum.
pub fn fix_mark(bytes: &mut [u8], segment: usize, at: usize) {
    let secret = bytes.get(LOG_SECRET_AT..).and_then(|bytes| bytes.first_chunk::<16>());
    let (Some(secret), Some(named)) = (secret, bytes.get(at + 8..at + 24)) else { return };
    let mut hasher = SipHasher13::new_with_key(secret);
    hasher.write(&(at as u64).to_le_bytes());
    hasher.write(named);
    let check = hasher.finish().to_le_bytes();
    if let Some(there) = bytes.get_mut(at + 24..at + 32) {
        there.copy_from_slice(&check);
    }
    fix_record(bytes, segment, at);
}

fn crc_of(start: u32, bytes: &[u8], from: usize, to: usize) -> u32 {
    crc(start, bytes.get(from..to).unwrap_or_default())
}

fn crc(start: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(start);
    hasher.update(bytes);
    hasher.finalize()
}

fn segments(bytes: &mut [u8], before: &[u8], layout: &Layout) {
    for segment in &layout.segments {
        for at in IDENTITIES.map(|at| segment.offset + at) {
            if changed(bytes, before, at, at + IDENTITY_CRC_AT) {
                put_u32(bytes, at + IDENTITY_CRC_AT, crc_of(0, bytes, at, at + IDENTITY_CRC_AT));
            }
        }
        for at in LINKS.map(|at| segment.offset + at) {
            if changed(bytes, before, at, at + LINK_CRC_AT) {
                let start = crc_of(0, bytes, FILE_ID_AT, FILE_ID_AT + 16);
                put_u32(bytes, at + LINK_CRC_AT, crc_of(start, bytes, at, at + LINK_CRC_AT));
            }
        }
    }
}

fn page_crc(bytes: &[u8], at: usize) -> Option<u32> {
    Some(crc(0, bytes.get(at..at + PAGE)?).max(1))
}

fn journal_images(bytes: &mut [u8], before: &[u8], layout: &Layout) {
    let Some(journal) = layout.journal else { return };
    for page in 0..journal.pages {
        let at = journal.image_at(page);
        if changed(bytes, before, at, at + PAGE)
            && let Some(crc) = page_crc(bytes, at)
        {
            put_u32(bytes, journal.offset + page * 16 + 8, crc);
        }
    }
}

fn pages(bytes: &mut [u8], before: &[u8], layout: &Layout) {
    for index in &layout.index {
        for (n, at) in index.pages.clone().step_by(PAGE).enumerate() {
            if changed(bytes, before, at, at + PAGE)
                && let Some(crc) = page_crc(bytes, at)
            {
                put_u32(bytes, index.sums.start + n * 4, crc);
            }
        }
        for (n, at) in index.sums.clone().step_by(PAGE).enumerate() {
            if changed(bytes, before, at, at + PAGE)
                && let Some(crc) = page_crc(bytes, at)
            {
                put_u32(bytes, index.crcs_at + n * 4, crc);
            }
        }
    }
}

fn catalog_and_journal(bytes: &mut [u8], before: &[u8], layout: &Layout) {
    let catalog = changed(bytes, before, layout.catalog.start, layout.catalog.end);
    let table = layout.journal.is_some_and(|it| changed(bytes, before, it.offset, it.image_at(0)));
    for slot in SLOTS {
        let slot_changed = changed(bytes, before, slot, slot + SLOT_CRC_AT);
        if (catalog || slot_changed)
            && let Some(catalog) = catalog_of(bytes, slot)
        {
            let crc = crc(0, &bytes[catalog]);
            put_u32(bytes, slot + SLOT_CATALOG_CRC_AT, crc);
        }
        if (table || slot_changed)
            && let Some(journal) = journal_of(bytes, slot)
        {
            let crc = crc_of(0, bytes, journal.offset, journal.image_at(0));
            put_u32(bytes, slot + SLOT_JOURNAL_CRC_AT, crc);
        }
    }
}

fn headers(bytes: &mut [u8], before: &[u8], _: &Layout) {
    for slot in SLOTS {
        if changed(bytes, before, slot, slot + SLOT_CRC_AT) {
            put_u32(bytes, slot + SLOT_CRC_AT, crc_of(0, bytes, slot, slot + SLOT_CRC_AT));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::newest_slot;
    use crate::open::disk_with;
    use crate::samples::{PATH, options, samples};

    /// Every checksum of every sample, computed anew, is the one that the library wrote. What the other header slot
    /// names may be gone.
    #[test]
    fn fixing_an_intact_file_changes_nothing() {
        for sample in samples() {
            let mut bytes = sample.bytes.clone();
            let other: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
            Fix(Fix::HEADERS | Fix::CATALOG | Fix::JOURNAL).apply(&mut bytes, &other, &sample.layout);
            // Of the last record there a power cut has left a part.
            let torn = usize::from(sample.name == "cut-off");
            for segment in &sample.layout.segments {
                let whole = segment.records.len().saturating_sub(1 + torn);
                for &at in &segment.records[..whole] {
                    match Frame::at(&bytes, at).unwrap().kind {
                        5 => fix_mark(&mut bytes, segment.offset, at),
                        _ => fix_record(&mut bytes, segment.offset, at),
                    }
                }
            }
            let counts = newest_slot(&bytes).unwrap();
            let stale = SLOTS.into_iter().find(|&slot| slot != counts).unwrap();
            bytes[stale..stale + 512].copy_from_slice(&sample.bytes[stale..stale + 512]);
            let differs = bytes.iter().zip(&sample.bytes).position(|(a, b)| a != b);
            assert_eq!(differs, None, "{}", sample.name);
        }
    }

    /// A changed word of everything that has a checksum is accepted by the checks of checksums.
    #[test]
    fn fixed_edits_are_no_damage() {
        for sample in samples().iter().filter(|sample| sample.closed) {
            let mut bytes = sample.bytes.clone();
            // The feature bits that a reader may ignore, what is zero in a segment's identity, a byte of a value.
            SLOTS.into_iter().for_each(|slot| bytes[slot + 12] ^= 1);
            for segment in &sample.layout.segments {
                IDENTITIES.into_iter().for_each(|at| bytes[segment.offset + at + 64] ^= 1);
            }
            if let Some(&at) = sample.layout.segments[0].records.get(30) {
                let frame = Frame::at(&bytes, at).unwrap();
                bytes[at + frame.bytes() - 1] ^= 1;
            }
            Fix(Fix::ALL).apply(&mut bytes, &sample.bytes, &sample.layout);
            let store = options(&disk_with(&bytes)).read_only(true).open(std::path::Path::new(PATH)).unwrap();
            let faults = store.verify().unwrap().faults;
            assert!(faults.is_empty(), "{}: {faults:?}", sample.name);
        }
    }
}

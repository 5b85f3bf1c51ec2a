//! The map of the file, for verification: parts that overlap, and parts that nobody has.

use crate::error::{Detail, Result};
use crate::file::media::Media;
use crate::file::pages::{IndexPages, Place};
use crate::format::catalog::{ArrayRole, sums_bytes};
use crate::format::header::Header;
use crate::format::journal::journal_bytes;
use crate::format::{PAGE_BYTES, page_round_up};
use crate::table::Geometry;
use crate::upkeep::read::read_catalog;
use crate::upkeep::verify::{Fault, FaultPlace};

/// A run of bytes and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) what: &'static str,
}

impl Part {
    pub(crate) fn new((offset, bytes): (u64, u64), what: &'static str) -> Self {
        Part { offset, bytes, what }
    }

    fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes)
    }
}

/// The two header slots.
pub(crate) fn slots() -> Part {
    Part::new((0, 2 * PAGE_BYTES), "header slots")
}

/// The parts that the arrays of a store that writes lie in.
pub(crate) fn of_arrays(geometry: &Geometry<IndexPages>) -> Vec<Part> {
    let arrays = [Some(&geometry.array), geometry.old.as_ref().map(|old| &old.array)];
    let pages = arrays.into_iter().flatten().flat_map(|a| std::iter::once(a.main()).chain(a.chunks()));
    pages.flat_map(of_pages).collect()
}

/// The extents of one run of pages.
pub(crate) fn of_pages(pages: &IndexPages) -> Vec<Part> {
    let Some(Place { pages, sums }) = pages.place() else { return Vec::new() };
    vec![
        Part::new((pages.offset(), pages.bytes()), "bucket array"),
        Part::new((sums.offset(), sums.bytes()), "page checksums"),
    ]
}

/// What a header names, itself included.
pub(crate) fn named_by(header: &Header, media: &dyn Media, file_bytes: u64) -> Result<Vec<Part>> {
    let catalog = read_catalog(media, header, file_bytes)?;
    let mut parts =
        vec![slots(), Part::new((header.catalog.offset, page_round_up(header.catalog.len)), "catalog")];
    if header.journal.offset != 0 {
        let bytes = journal_bytes(header.journal.len).unwrap_or(u64::MAX);
        parts.push(Part::new((header.journal.offset, bytes), "journal"));
    }
    for extent in &catalog.index {
        let what = if extent.array == ArrayRole::Old { "old bucket array" } else { "bucket array" };
        parts.push(Part::new((extent.offset, extent.bytes), what));
        parts.push(Part::new((extent.sums_offset, sums_bytes(extent.bytes)), "page checksums"));
    }
    parts.extend(catalog.segments.iter().map(|s| Part::new((s.offset, s.bytes), "log segment")));
    Ok(parts)
}

/// Parts that lie in others, or beyond the end of the file.
pub(crate) fn overlaps(parts: &mut Vec<Part>, file_bytes: u64) -> Vec<Fault> {
    parts.sort_unstable();
    parts.dedup();
    let mut faults = Vec::new();
    let mut before: Option<Part> = None;
    for &part in &*parts {
        if let Some(before) = before.filter(|before| before.end() > part.offset) {
            let expected = Detail::Text("space that nothing else uses");
            faults.push(fault(part.what, part.offset, expected, Detail::Text(before.what)));
        }
        if part.end() > file_bytes && part.what != FREE {
            let what = "end of a part of the file";
            faults.push(fault(what, part.offset, Detail::Number(file_bytes), Detail::Number(part.end())));
        }
        before = before.filter(|before| before.end() > part.end()).or(Some(part));
    }
    faults
}

/// What is free has this name; it may lie beyond the end of the file.
pub(crate) const FREE: &str = "free space";

/// Bytes up to `end` that no part covers: they are neither in use nor ever will be. The parts are sorted.
pub(crate) fn leaks(parts: &[Part], end: u64) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut covered = 0;
    let end = Part { offset: end, bytes: 0, what: "" };
    for part in parts.iter().chain([&end]) {
        if part.offset > covered {
            let lost = Detail::Number(part.offset - covered);
            faults.push(fault("bytes that are neither free nor in use", covered, Detail::Number(0), lost));
        }
        covered = covered.max(part.end());
    }
    faults
}

fn fault(what: &'static str, offset: u64, expected: Detail, found: Detail) -> Fault {
    Fault { what, place: FaultPlace::Offset(offset), expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(offset: u64, bytes: u64, what: &'static str) -> Part {
        Part { offset, bytes, what }
    }

    fn texts(faults: &[Fault]) -> Vec<String> {
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn parts_that_lie_side_by_side_are_well() {
        let mut parts = vec![part(8, 8, "b"), part(0, 8, "a"), part(16, 100, FREE)];
        assert_eq!(overlaps(&mut parts, 20), []);
        assert_eq!(leaks(&parts, 116), []);
    }

    #[test]
    fn each_part_that_lies_in_another_is_named() {
        let mut parts = vec![part(0, 100, "a"), part(10, 5, "b"), part(50, 60, "c"), part(120, 9, "d")];
        let expected = [
            "offset 10: b: expected space that nothing else uses, found a",
            "offset 50: c: expected space that nothing else uses, found a",
            "offset 120: end of a part of the file: expected 128, found 129",
        ];
        assert_eq!(texts(&overlaps(&mut parts, 128)), expected);
    }

    #[test]
    fn bytes_that_nobody_has_are_named() {
        let parts = [part(0, 10, "a"), part(15, 5, "b")];
        let expected = [
            "offset 10: bytes that are neither free nor in use: expected 0, found 5",
            "offset 20: bytes that are neither free nor in use: expected 0, found 4",
        ];
        assert_eq!(texts(&leaks(&parts, 24)), expected);
    }
}

//! Reading and mapping what a header names: catalog, journal, log segments, bucket arrays. Every offset comes from a file
//! and is checked before it is used.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Detail, Error, Result};
use crate::file::checkpoint::copy_in_place;
use crate::file::headers::Headers;
use crate::file::log::chain::{Chain, ChainSegment};
use crate::file::log::segment::Segment;
use crate::file::media::{Mapping, Media};
use crate::file::pages::{IndexPages, Page, Pager, Place};
use crate::file::region::{Appender, RecordMemory, Region};
use crate::file::space::Space;
use crate::file::sums::{Sums, SumsSource};
use crate::file::sync::Syncer;
use crate::format::bucket::{Position, Shape};
use crate::format::catalog::{ArrayRole, Catalog, IndexExtent, MAX_CATALOG_BYTES, SegmentExtent, sums_bytes};
use crate::format::header::{Header, Pointer};
use crate::format::journal::{self, Entry};
use crate::format::schema::Layout;
use crate::format::segment::{
    FIRST_RECORD, HEAD_BYTES, LINK_AT, LINK_BYTES, Link, SEGMENT_UNIT_BYTES, SegmentHead,
};
use crate::format::{PAGE_BYTES, page_crc};
use crate::mutants::{Mutant, kept};
use crate::table::{Array, Geometry, Growth, Old};

/// Reads a range that a header names; it must lie within the file.
fn read_range(
    media: &dyn Media,
    what: &'static str,
    offset: u64,
    len: u64,
    file_bytes: u64,
) -> Result<Vec<u8>> {
    let end = offset.checked_add(len).filter(|&end| offset >= 2 * PAGE_BYTES && end <= file_bytes);
    if end.is_none() {
        return Err(Error::corrupt(what, offset, "a place within the file", offset.saturating_add(len)));
    }
    let mut bytes = vec![0; len as usize];
    media.read_at(&mut bytes, offset).map_err(Error::io("reading the file"))?;
    Ok(bytes)
}

pub(super) fn read_catalog(media: &dyn Media, header: &Header, file_bytes: u64) -> Result<Catalog> {
    let Pointer { offset, len, crc } = header.catalog;
    if len > MAX_CATALOG_BYTES {
        return Err(Error::corrupt("catalog", offset, MAX_CATALOG_BYTES, len));
    }
    let bytes = read_range(media, "catalog", offset, len, file_bytes)?;
    let found = crc32fast::hash(&bytes);
    if found != crc && kept(Mutant::CatalogChecksum) {
        return Err(Error::corrupt("catalog", offset, Detail::Crc(crc), Detail::Crc(found)));
    }
    Catalog::decode(&bytes, offset, file_bytes)
}

/// The journal's table; its images are compared when they are read.
pub(super) fn read_journal(media: &dyn Media, header: &Header, file_bytes: u64) -> Result<Vec<Entry>> {
    let Pointer { offset, len: pages, crc } = header.journal;
    if offset == 0 {
        return Ok(Vec::new());
    }
    let end = journal::journal_bytes(pages).and_then(|bytes| offset.checked_add(bytes));
    if end.is_none_or(|end| end > file_bytes) {
        return Err(Error::corrupt("journal", offset, "an end within the file", pages));
    }
    let table = read_range(media, "journal", offset, journal::table_bytes(pages), file_bytes)?;
    let found = crc32fast::hash(&table);
    if found != crc {
        return Err(Error::corrupt("journal", offset, Detail::Crc(crc), Detail::Crc(found)));
    }
    journal::decode(&table, pages, file_bytes)
}

/// Reads and maps what a header names.
pub(super) struct Reader {
    pub(super) media: Arc<dyn Media>,
    pub(super) header: Header,
    pub(super) file_bytes: u64,
    pub(super) space: Option<Arc<Space>>,
    pub(super) pager: Arc<Pager>,
    pub(super) journal: Vec<Entry>,
}

impl Reader {
    /// Maps the segments of the catalog and those chained behind; reserves them all before anything else is
    /// allocated (D14).
    pub(super) fn map_log(&mut self, catalog: &Catalog, unclean: bool) -> Result<(Vec<Arc<Segment>>, Chain)> {
        let mut segments = Vec::new();
        let mut chained: Vec<ChainSegment> = Vec::new();
        for (extent, (segment, appender)) in catalog.segments.iter().zip(self.map_listed(catalog)?) {
            // T ends the segment that replay begins in.
            if extent.offset == self.header.log.segment && extent.end == self.header.log.end {
                chained.push(ChainSegment { segment: Arc::clone(&segment), appender, known_end: None });
            }
            segments.push(segment);
        }
        let position = self.header.log;
        let starts_inside = chained.first().is_some_and(|first| {
            let first_record = first.segment.offset() + FIRST_RECORD;
            (first_record..=first.segment.end_offset()).contains(&position.end)
        });
        if !starts_inside || chained.len() != 1 {
            return Err(Error::corrupt(
                "log position",
                position.segment,
                "a segment of the catalog",
                position.end,
            ));
        }
        let mut from = position.end;
        loop {
            let last = &chained[chained.len() - 1];
            let mut head = [0; HEAD_BYTES];
            self.read(&mut head, last.segment.offset())?;
            let Some((offset, next)) = self.next_segment(&head, last, from)? else { break };
            let (segment, appender) = self.map_segment(offset, next, None)?;
            if let Some(last) = chained.last_mut() {
                last.known_end = Some(next.predecessor_end);
            }
            from = offset + FIRST_RECORD;
            segments.push(Arc::clone(&segment));
            chained.push(ChainSegment { segment, appender, known_end: None });
        }
        let chain = Chain::new(chained, position.end, self.header.identity.log_secret, unclean);
        Ok((segments, chain))
    }

    /// Maps the segments of the catalog, with the records that it knows of.
    pub(super) fn map_listed(&self, catalog: &Catalog) -> Result<Vec<(Arc<Segment>, Appender)>> {
        let runs = self.map_runs(&catalog.segments)?;
        let map = |extent: &SegmentExtent| {
            let inline = self.header.identity.schema.layout != Layout::Record;
            if inline && extent.live != 0 {
                let what = "live bytes of a log segment, where cells hold the entries";
                return Err(Error::corrupt(what, extent.offset, 0, extent.live));
            }
            let (segment, mut appender) = self.map_listed_segment(extent, &runs)?;
            segment.set_live(extent.live);
            appender.publish((extent.end - extent.offset) as usize);
            Ok((segment, appender))
        };
        catalog.segments.iter().map(map).collect()
    }

    /// Maps listed segments that lie side by side at once; where each run begins, and its mapping.
    fn map_runs(&self, segments: &[SegmentExtent]) -> Result<Vec<(u64, Region)>> {
        let end = |extent: &SegmentExtent| extent.offset.checked_add(extent.bytes);
        let mut extents: Vec<_> = segments.iter().collect();
        extents.sort_unstable_by_key(|extent| extent.offset);
        let runs = extents.chunk_by(|a, b| end(a) == Some(b.offset));
        let map = |run: &[&SegmentExtent]| {
            let (first, bytes) = (run[0].offset, run.iter().map(|extent| extent.bytes).sum());
            Ok((first, self.map_records(first, bytes)?))
        };
        runs.map(map).collect()
    }

    fn map_listed_segment(
        &self,
        extent: &SegmentExtent,
        runs: &[(u64, Region)],
    ) -> Result<(Arc<Segment>, Appender)> {
        let mut head = [0; HEAD_BYTES];
        self.read(&mut head, extent.offset)?;
        let fits = |head: &SegmentHead| {
            (head.bytes, head.sequence, head.epoch) == (extent.bytes, extent.sequence, extent.epoch)
        };
        match SegmentHead::copies(&head, &self.header.identity.file_id).find(fits) {
            Some(head) => {
                let run = runs.partition_point(|(first, _)| *first <= extent.offset).checked_sub(1);
                let part = run.and_then(|run| {
                    let (first, region) = &runs[run];
                    region.part((extent.offset - first) as usize, extent.bytes as usize)
                });
                self.map_segment(extent.offset, head, part)
            }
            None => Err(Error::corrupt(
                "log segment",
                extent.offset,
                "the head that the catalog lists",
                "other bytes",
            )),
        }
    }

    /// The segment that a head links to, if it was begun before the crash. One that lies beyond the end of the
    /// file, or does not name this one as its predecessor, ends the log (D2).
    fn next_segment(
        &self,
        head: &[u8],
        last: &ChainSegment,
        from: u64,
    ) -> Result<Option<(u64, SegmentHead)>> {
        let file_id = &self.header.identity.file_id;
        let Some(link) = Link::decode(head, file_id) else { return Ok(None) };
        let inside = |bytes: u64| {
            let end = link.next.checked_add(bytes);
            end.is_some_and(|end| end <= self.file_bytes || !kept(Mutant::ChainEndsWithTheFile))
        };
        let here = last.segment.head();
        // A link from a session before this segment's was left in the space that it took.
        let aligned = link.next.is_multiple_of(SEGMENT_UNIT_BYTES);
        let stale = link.sequence <= here.sequence || (link.epoch < here.epoch && kept(Mutant::LinkEpoch));
        if stale || !aligned || !inside(HEAD_BYTES as u64) {
            return Ok(None);
        }
        let mut bytes = [0; HEAD_BYTES];
        self.read(&mut bytes, link.next)?;
        let next = SegmentHead::copies(&bytes, file_id).find(|next| {
            let ends_inside = (from..=last.segment.end_offset()).contains(&next.predecessor_end);
            let linked = (next.sequence, next.epoch) == (link.sequence, link.epoch);
            (linked || !kept(Mutant::LinkedSegmentAlone))
                && next.predecessor == last.segment.offset()
                && ends_inside
                && next.predecessor_end.is_multiple_of(8)
                && inside(next.bytes)
        });
        Ok(next.map(|next| (link.next, next)))
    }

    /// Makes a segment, of a part of a mapping that is there already or of one of its own.
    fn map_segment(
        &self,
        offset: u64,
        head: SegmentHead,
        mapped: Option<Region>,
    ) -> Result<(Arc<Segment>, Appender)> {
        let extent = match &self.space {
            Some(space) if kept(Mutant::ChainReserved) => Some(space.claim(offset, head.bytes)?),
            _ => None,
        };
        let region = match mapped {
            Some(region) => region,
            None => self.map_records(offset, head.bytes)?,
        };
        let memory = RecordMemory::new(region, FIRST_RECORD as usize);
        let segment = Segment::new(memory, extent, offset, head, &self.header.identity.file_id);
        let appender = segment.memory().appender().ok_or(Error::Reentrant)?;
        Ok((segment, appender))
    }

    fn map_records(&self, offset: u64, bytes: u64) -> Result<Region> {
        if offset.checked_add(bytes).is_none_or(|end| end > Position::END_OFFSET) {
            return Err(Error::corrupt("log segment", offset, Position::END_OFFSET, bytes));
        }
        let mapping = if self.space.is_some() { Mapping::Shared } else { Mapping::Private };
        let len = usize::try_from(bytes)
            .map_err(|_| Error::corrupt("log segment", offset, "a size that fits the memory", bytes))?;
        self.media.map(mapping, offset, len).map_err(Error::io("mapping a log segment"))
    }

    /// Makes durable what was read, then puts the journal's pages in place (D13).
    pub(super) fn settle(&mut self, chain: &Chain, syncer: &Syncer, headers: &Headers) -> Result<()> {
        if kept(Mutant::RecoveryRewritesHeader) {
            headers.rewrite()?;
        }
        let known_durable = chain.last_mark().map_or(0, |mark| mark.sequence);
        for (segment, end) in chain.extent() {
            let sequence = segment.head().sequence;
            let may_be_lost = sequence > known_durable
                || (sequence == known_durable && kept(Mutant::RecoveryRewritesMarkedSegment));
            if may_be_lost && kept(Mutant::RecoveryRewritesLog) {
                self.write_again(segment.offset(), end)?;
            }
        }
        if kept(Mutant::DeadLinksCleared) {
            self.clear_links(chain.position().0)?;
        }
        if kept(Mutant::RecoverySync) {
            syncer.sync()?;
        }
        if headers.durable().journal.offset == 0 {
            return Ok(());
        }
        let pages = self.journal.len() as u64;
        let images_at = self.header.journal.offset + journal::table_bytes(pages);
        if kept(Mutant::RecoveryCopiesJournal) {
            copy_in_place(&*self.media, images_at, &self.journal, |_| {})?;
        }
        if kept(Mutant::RecoveryInPlaceSync) {
            syncer.sync()?;
        }
        self.journal.clear();
        let header = Header { journal: Pointer::default(), ..headers.durable() };
        self.header = headers.commit(&syncer.turn(), header)?;
        Ok(())
    }

    /// Clears the links of the segment that the log ends in: they lead nowhere. What a crash tore of one may lack no more
    /// than what the next link has too, and that one, torn as well, would complete it (D2).
    fn clear_links(&self, last: &Segment) -> Result<()> {
        LINK_AT.iter().try_for_each(|&at| {
            let written = self.media.write_at(&[0; LINK_BYTES], last.offset() + at as u64);
            written.map_err(Error::io("clearing a link of the log"))
        })
    }

    /// Writes a range of the file with the bytes that it has.
    fn write_again(&self, from: u64, end: u64) -> Result<()> {
        let mut bytes = vec![0; 1 << 20];
        let mut at = from;
        while at < end {
            let len = (end - at).min(bytes.len() as u64) as usize;
            self.read(&mut bytes[..len], at)?;
            self.media.write_at(&bytes[..len], at).map_err(Error::io("writing the log once more"))?;
            at += len as u64;
        }
        Ok(())
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.media.read_at(bytes, offset).map_err(Error::io("reading the file"))
    }

    pub(super) fn map_arrays(&self, catalog: &Catalog) -> Result<Geometry<IndexPages>> {
        let overlay = self.read_overlay()?;
        self.geometry(catalog, |extent| self.map_pages(extent, &overlay))
    }

    /// The arrays that the header names, of what `pages` makes of the catalog's extents.
    pub(super) fn geometry<P>(
        &self,
        catalog: &Catalog,
        pages: impl Fn(&IndexExtent) -> Result<P>,
    ) -> Result<Geometry<P>> {
        let hmap = &self.header.hmap;
        let shape = self.header.identity.schema.layout.shape();
        let array = |role, offset, b, chunks| map_array(catalog, &pages, role, offset, (shape, b), chunks);
        let growing = hmap.oldbuckets != 0;
        let current = array(ArrayRole::Current, hmap.buckets, hmap.b, hmap.overflow)?;
        let old = if growing {
            let growth = match (hmap.same_size_grow, hmap.shrinking) {
                (true, _) => Growth::SameSize,
                (false, true) => Growth::Shrink,
                (false, false) => Growth::Double,
            };
            let old_b = growth.old_b(hmap.b);
            let old_b = old_b
                .ok_or_else(|| Error::corrupt("B", 0, "a size that its growth allows", u64::from(hmap.b)))?;
            let old = array(ArrayRole::Old, hmap.oldbuckets, old_b, hmap.oldoverflow)?;
            Some(Old { array: Arc::new(old), growth })
        } else {
            None
        };
        let listed = catalog.index.len() as u64;
        let named = 1 + hmap.overflow + if growing { 1 + hmap.oldoverflow } else { 0 };
        if listed != named {
            return Err(Error::corrupt(
                "index extents in the catalog",
                self.header.catalog.offset,
                named,
                listed,
            ));
        }
        Ok(Geometry { array: Arc::new(current), old, clears: hmap.clears })
    }

    fn map_pages(&self, extent: &IndexExtent, overlay: &HashMap<u64, Box<Page>>) -> Result<IndexPages> {
        let len = usize::try_from(extent.bytes).map_err(|_| {
            Error::corrupt("bucket array", extent.offset, "a size that fits the memory", extent.bytes)
        })?;
        let region = self
            .media
            .map(Mapping::Private, extent.offset, len)
            .map_err(Error::io("mapping a bucket array"))?;
        let place = match &self.space {
            Some(space) => Some(Place {
                pages: space.claim(extent.offset, extent.bytes)?,
                sums: space.claim(extent.sums_offset, sums_bytes(extent.bytes))?,
            }),
            None => None,
        };
        let pages_at = |offset: u64, bytes: u64| {
            overlay.iter().filter_map(move |(&at, page)| {
                let inside = at >= offset && at - offset < bytes;
                inside.then(|| (((at - offset) / PAGE_BYTES) as usize, page))
            })
        };
        let sums = SumsSource {
            media: Arc::clone(&self.media),
            offset: extent.sums_offset,
            overlay: pages_at(extent.sums_offset, sums_bytes(extent.bytes))
                .map(|(n, page)| (n, page.clone()))
                .collect(),
        };
        let sums = Sums::reopened(len / PAGE_BYTES as usize, extent.sums.clone(), sums);
        let pages = IndexPages::reopened(region, place, extent.offset, &self.pager, sums);
        pages_at(extent.offset, extent.bytes).for_each(|(n, page)| pages.overlay(n, page));
        Ok(pages)
    }

    /// The journal's pages, for an open that must not put them in place.
    pub(super) fn read_overlay(&self) -> Result<HashMap<u64, Box<Page>>> {
        let images_at = self.header.journal.offset + journal::table_bytes(self.journal.len() as u64);
        let entries = self.journal.iter().filter(|_| kept(Mutant::ReadOnlyOverlay));
        let images = entries.enumerate().map(|(n, entry)| {
            let mut page: Box<Page> = Box::new([0; PAGE_BYTES as usize]);
            let offset = images_at + n as u64 * PAGE_BYTES;
            self.read(&mut page[..], offset)?;
            let found = page_crc(&page[..]);
            if found != entry.crc {
                let (expected, found) = (Detail::Crc(entry.crc), Detail::Crc(found));
                return Err(Error::corrupt("page of the journal", offset, expected, found));
            }
            Ok((entry.page_offset, page))
        });
        images.collect()
    }
}

/// One array of what a header and a catalog say about it.
fn map_array<P>(
    catalog: &Catalog,
    pages: &impl Fn(&IndexExtent) -> Result<P>,
    role: ArrayRole,
    offset: u64,
    (shape, b): (Shape, u8),
    chunks: u64,
) -> Result<Array<P>> {
    let part = |part: u64, bytes: u64| {
        let listed = catalog.index.iter().find(|e| e.array == role && u64::from(e.part) == part);
        let extent = listed.filter(|e| e.bytes == bytes && (part > 0 || e.offset == offset));
        let extent =
            extent.ok_or_else(|| Error::corrupt("bucket array", offset, "an extent of its size", bytes))?;
        pages(extent)
    };
    let main = part(0, Array::<P>::main_bytes(shape, b))?;
    if chunks > catalog.index.len() as u64 {
        return Err(Error::corrupt("overflow chunks", offset, catalog.index.len() as u64, chunks));
    }
    let chunks: Vec<_> = (0..chunks)
        .map(|chunk| part(chunk + 1, Array::<P>::chunk_bytes(shape, b, chunk as usize)))
        .collect::<Result<_>>()?;
    Array::with_chunks(shape, b, main, chunks)
}

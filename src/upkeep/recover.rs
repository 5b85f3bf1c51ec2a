//! Opening: choose the header, read the catalog, walk the log, put pages in place, replay.
//!
//! A writable open makes durable what it read before it writes anything else (D13): after a kill it may have been
//! in the page cache only. A read-only open does all of it in private memory and writes nothing (D17). Every step
//! may itself be cut short and run again (D16): the header that counts changes only once the journal's pages are
//! durable in place, and replay changes memory alone.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::error::{Detail, Error, Result};
use crate::file::arrays::ArraySpace;
use crate::file::checkpoint::copy_in_place;
use crate::file::epoch::Domain;
use crate::file::headers::{HeaderFault, Headers};
use crate::file::log::Log;
use crate::file::log::chain::{Chain, ChainRecord, ChainSegment};
use crate::file::log::segment::Segment;
use crate::file::log::writer::LogEnd;
use crate::file::media::{Mapping, Media};
use crate::file::pages::{IndexPages, Page, Pager, Place};
use crate::file::region::Appender;
use crate::file::space::{Extent, Space};
use crate::file::sums::{Sums, SumsSource};
use crate::file::sync::Syncer;
use crate::format::bucket::Position;
use crate::format::catalog::{ArrayRole, Catalog, IndexExtent, MAX_CATALOG_BYTES, SegmentExtent, sums_bytes};
use crate::format::header::{Chosen, Header, MAGIC, Pointer, SlotFault};
use crate::format::journal::{self, Entry};
use crate::format::record::{GROW_DOUBLE, GROW_SAME_SIZE, Kind};
use crate::format::segment::{FIRST_RECORD, HEAD_BYTES, Link, SegmentHead};
use crate::format::{PAGE_BYTES, page_crc, page_round_up};
use crate::seam::Arrays;
use crate::table::{
    Array, Counters, Geometry, Growth, HashKind, Host, KeyHasher, LoadFactor, Old, Table, Trigger,
};
use crate::upkeep::records::PinnedRecords;

/// What a store is made of once it is open.
pub(crate) struct Recovered {
    pub(crate) header: Header,
    pub(crate) domain: Arc<Domain>,
    pub(crate) hash_kind: HashKind,
    pub(crate) hasher: KeyHasher,
    pub(crate) log: Arc<Log>,
    pub(crate) arrays: ArraySpace,
    pub(crate) table: Table<IndexPages>,
    /// Where the log ends, and the highest epoch seen in it.
    pub(crate) log_end: LogEnd,
    pub(crate) last_epoch: u64,
    /// The last session did not close the file.
    pub(crate) unclean: bool,
    /// Bytes of records that were replayed.
    pub(crate) replayed_bytes: u64,
    /// What only a writer has.
    pub(crate) durable: Option<Durable>,
}

/// The parts of an open file that write.
pub(crate) struct Durable {
    pub(crate) space: Arc<Space>,
    pub(crate) syncer: Arc<Syncer>,
    pub(crate) headers: Arc<Headers>,
    /// The lease on the catalog.
    pub(crate) catalog: Extent,
}

/// Opens a locked file.
pub(crate) fn recover(
    path: &Path,
    media: &Arc<dyn Media>,
    read_only: bool,
    verify_reads: bool,
) -> Result<Recovered> {
    let file_bytes = media.length().map_err(Error::io("reading the file's length"))?;
    let chosen = choose_header(path, &**media, file_bytes)?;
    let header = chosen.header;
    let catalog = read_catalog(&**media, &header, file_bytes)?;
    let journal = read_journal(&**media, &header, file_bytes)?;
    let unclean = header.writing || !chosen.both_valid || !journal.is_empty();

    let space = (!read_only).then(|| Space::new(Arc::clone(media), file_bytes));
    let catalog_extent = match &space {
        Some(space) => Some(space.claim(header.catalog.offset, page_round_up(header.catalog.len))?),
        None => None,
    };
    let mut reader = Reader {
        media: Arc::clone(media),
        header,
        file_bytes,
        space,
        pager: Arc::new(Pager::default()),
        journal,
    };
    let (segments, mut chain) = reader.map_log(&catalog, unclean)?;
    let mut has_records = false;
    while chain.next()?.is_some() {
        has_records = true;
    }

    let durable = match (reader.space.clone(), catalog_extent) {
        (Some(space), Some(extent)) => {
            let syncer = Arc::new(Syncer::new(Arc::clone(media)));
            let headers = Arc::new(Headers::new(Arc::clone(media), &chosen));
            if unclean || has_records {
                reader.settle(&chain, &syncer, &headers)?;
            }
            let named = catalog_places(&catalog, &header);
            space.commit_naming(named);
            Some(Durable { space, syncer, headers, catalog: extent })
        }
        _ => None,
    };
    let geometry = reader.map_arrays(&catalog)?;
    let hash_kind = HashKind::from_id(header.identity.hash_id).ok_or_else(|| {
        Error::corrupt("hash function", 0, "a known one", u64::from(header.identity.hash_id))
    })?;
    let load_factor = LoadFactor::from_hundredths(header.identity.load_factor).ok_or_else(|| {
        Error::corrupt("load factor", 0, "400 to 800", u64::from(header.identity.load_factor))
    })?;

    let domain = Domain::new();
    let behind = chain.segments_behind();
    let (last_sequence, last_epoch) = chain.highest();
    let log_segments = segments.len() - behind;
    let log = Arc::new(Log::new(&domain, segments[..log_segments].to_vec(), verify_reads));
    let mut replay = Replay {
        host: ReplayHost(ArraySpace::new(Arc::clone(media), reader.space.clone(), Arc::clone(&reader.pager))),
        domain: Arc::clone(&domain),
        hasher: KeyHasher::new(hash_kind, &header.identity.hash0),
        log: Arc::clone(&log),
        table: Table::from_parts(geometry, counters(&header), load_factor)?,
        bytes: 0,
    };
    chain.rewind(header.log.end);
    while let Some(record) = chain.next()? {
        replay.apply(&record)?;
    }
    let (last, tail) = chain.position();
    let log_end = LogEnd {
        segment: Arc::clone(last),
        tail,
        last_sequence,
        needs_fresh_segment: unclean || behind > 0 || replay.bytes > 0,
        log_bytes: segments[..log_segments].iter().map(|segment| segment.bytes()).sum(),
    };
    Ok(Recovered {
        header: durable.as_ref().map_or(header, |durable| durable.headers.durable()),
        domain,
        hash_kind,
        hasher: replay.hasher,
        log,
        arrays: replay.host.0,
        table: replay.table,
        log_end,
        last_epoch: last_epoch.max(header.epoch),
        unclean,
        replayed_bytes: replay.bytes,
        durable,
    })
}

fn choose_header(path: &Path, media: &dyn Media, file_bytes: u64) -> Result<Chosen> {
    let mut magic = [0; MAGIC.len()];
    let ours = file_bytes >= MAGIC.len() as u64 && {
        media.read_at(&mut magic, 0).map_err(Error::io("reading the header"))?;
        magic == MAGIC
    };
    if file_bytes < 2 * PAGE_BYTES {
        return Err(match (file_bytes, ours) {
            (0, _) => Error::not_tophash(path, "it is empty"),
            (_, false) => Error::not_tophash(path, "its first bytes are not those of a tophash file"),
            (_, true) => Error::corrupt("file length", 0, 2 * PAGE_BYTES, file_bytes),
        });
    }
    match Headers::read(media) {
        Ok(chosen) if chosen.header.file_bytes > file_bytes => Err(Error::corrupt(
            "file length (the file was truncated)",
            0,
            chosen.header.file_bytes,
            file_bytes,
        )),
        Ok(chosen) => Ok(chosen),
        Err(HeaderFault::Io(error)) => Err(error),
        Err(HeaderFault::Slot(SlotFault::Magic)) if !ours => {
            Err(Error::not_tophash(path, "its first bytes are not those of a tophash file"))
        }
        Err(HeaderFault::Slot(fault)) => Err(fault.into_error(0)),
    }
}

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

fn read_catalog(media: &dyn Media, header: &Header, file_bytes: u64) -> Result<Catalog> {
    let Pointer { offset, len, crc } = header.catalog;
    if len > MAX_CATALOG_BYTES {
        return Err(Error::corrupt("catalog", offset, MAX_CATALOG_BYTES, len));
    }
    let bytes = read_range(media, "catalog", offset, len, file_bytes)?;
    let found = crc32fast::hash(&bytes);
    if found != crc {
        return Err(Error::corrupt("catalog", offset, Detail::Crc(crc), Detail::Crc(found)));
    }
    Catalog::decode(&bytes, offset, file_bytes)
}

/// The journal's table; its images are compared when they are read.
fn read_journal(media: &dyn Media, header: &Header, file_bytes: u64) -> Result<Vec<Entry>> {
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

/// The offsets of everything that the durable header names; none of it is reused before another header is durable.
fn catalog_places(catalog: &Catalog, header: &Header) -> HashSet<u64> {
    let places = catalog.places().map(|(offset, _)| offset);
    places.chain([header.catalog.offset]).collect()
}

fn counters(header: &Header) -> Counters {
    let hmap = &header.hmap;
    Counters {
        count: hmap.count,
        noverflow: hmap.noverflow,
        nevacuate: hmap.nevacuate,
        next_overflow: hmap.next_overflow,
        old_next_overflow: hmap.old_next_overflow,
        clears: hmap.clears,
    }
}

/// Reads and maps what a header names.
struct Reader {
    media: Arc<dyn Media>,
    header: Header,
    file_bytes: u64,
    space: Option<Arc<Space>>,
    pager: Arc<Pager>,
    journal: Vec<Entry>,
}

impl Reader {
    /// Maps the segments of the catalog and those chained behind; reserves them all before anything else is
    /// allocated (D14).
    fn map_log(&mut self, catalog: &Catalog, unclean: bool) -> Result<(Vec<Arc<Segment>>, Chain)> {
        let mut segments = Vec::new();
        let mut chained: Vec<ChainSegment> = Vec::new();
        for extent in &catalog.segments {
            let (segment, mut appender) = self.map_listed_segment(extent)?;
            segment.set_live(extent.live);
            appender.publish((extent.end - extent.offset) as usize);
            if extent.offset == self.header.log.segment {
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
            let (segment, appender) = self.map_segment(offset, next)?;
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

    fn map_listed_segment(&self, extent: &SegmentExtent) -> Result<(Arc<Segment>, Appender)> {
        let mut head = [0; HEAD_BYTES];
        self.read(&mut head, extent.offset)?;
        let head = SegmentHead::decode(&head, &self.header.identity.file_id);
        let fits = |head: &SegmentHead| {
            (head.bytes, head.sequence, head.epoch) == (extent.bytes, extent.sequence, extent.epoch)
        };
        match head.filter(fits) {
            Some(head) => self.map_segment(extent.offset, head),
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
        let inside = |bytes: u64| link.next.checked_add(bytes).is_some_and(|end| end <= self.file_bytes);
        if link.sequence <= last.segment.head().sequence || !inside(HEAD_BYTES as u64) {
            return Ok(None);
        }
        let mut bytes = [0; HEAD_BYTES];
        self.read(&mut bytes, link.next)?;
        let next = SegmentHead::decode(&bytes, file_id).filter(|next| {
            let ends_inside = (from..=last.segment.end_offset()).contains(&next.predecessor_end);
            next.sequence == link.sequence
                && next.predecessor == last.segment.offset()
                && ends_inside
                && next.predecessor_end.is_multiple_of(8)
                && inside(next.bytes)
        });
        Ok(next.map(|next| (link.next, next)))
    }

    fn map_segment(&self, offset: u64, head: SegmentHead) -> Result<(Arc<Segment>, Appender)> {
        let extent = match &self.space {
            Some(space) => Some(space.claim(offset, head.bytes)?),
            None => None,
        };
        if offset.checked_add(head.bytes).is_none_or(|end| end > Position::END_OFFSET) {
            return Err(Error::corrupt("log segment", offset, Position::END_OFFSET, head.bytes));
        }
        let mapping = if self.space.is_some() { Mapping::Shared } else { Mapping::Private };
        let bytes = usize::try_from(head.bytes)
            .map_err(|_| Error::corrupt("log segment", offset, "a size that fits the memory", head.bytes))?;
        let region = self.media.map(mapping, offset, bytes).map_err(Error::io("mapping a log segment"))?;
        let segment = Segment::new(region, extent, offset, head, &self.header.identity.file_id);
        let appender = segment.memory().appender().ok_or(Error::Reentrant)?;
        Ok((segment, appender))
    }

    /// Makes durable what was read, then puts the journal's pages in place (D13).
    fn settle(&mut self, chain: &Chain, syncer: &Syncer, headers: &Headers) -> Result<()> {
        headers.rewrite()?;
        let known_durable = chain.last_mark().map_or(0, |mark| mark.sequence);
        for (segment, end) in chain.extent() {
            if segment.head().sequence >= known_durable {
                self.write_again(segment.offset(), end)?;
            }
        }
        syncer.sync()?;
        if headers.durable().journal.offset == 0 {
            return Ok(());
        }
        let pages = self.journal.len() as u64;
        let images_at = self.header.journal.offset + journal::table_bytes(pages);
        copy_in_place(&*self.media, images_at, &self.journal)?;
        syncer.sync()?;
        self.journal.clear();
        let header = Header { journal: Pointer::default(), ..headers.durable() };
        self.header = headers.commit(&syncer.turn(), header)?;
        Ok(())
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

    fn map_arrays(&self, catalog: &Catalog) -> Result<Geometry<IndexPages>> {
        let hmap = &self.header.hmap;
        let overlay = self.read_overlay()?;
        let array = |role, offset, b, chunks| self.map_array(catalog, &overlay, role, offset, b, chunks);
        let growing = hmap.oldbuckets != 0;
        let current = array(ArrayRole::Current, hmap.buckets, hmap.b, hmap.overflow)?;
        let old = match (growing, hmap.same_size_grow) {
            (false, _) => None,
            (true, same_size) => {
                let growth = if same_size { Growth::SameSize } else { Growth::Double };
                let old_b = if same_size { Some(hmap.b) } else { hmap.b.checked_sub(1) };
                let old_b = old_b.ok_or_else(|| Error::corrupt("B", 0, "at least 1 while doubling", 0u64))?;
                let old = array(ArrayRole::Old, hmap.oldbuckets, old_b, hmap.oldoverflow)?;
                Some(Old { array: Arc::new(old), growth })
            }
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

    fn map_array(
        &self,
        catalog: &Catalog,
        overlay: &HashMap<u64, Box<Page>>,
        role: ArrayRole,
        offset: u64,
        b: u8,
        chunks: u64,
    ) -> Result<Array<IndexPages>> {
        let part = |part: u64, bytes: u64| {
            let listed = catalog.index.iter().find(|e| e.array == role && u64::from(e.part) == part);
            let extent = listed.filter(|e| e.bytes == bytes && (part > 0 || e.offset == offset));
            let extent = extent
                .ok_or_else(|| Error::corrupt("bucket array", offset, "an extent of its size", bytes))?;
            self.map_pages(extent, overlay)
        };
        let main = part(0, Array::<IndexPages>::main_bytes(b))?;
        if chunks > catalog.index.len() as u64 {
            return Err(Error::corrupt("overflow chunks", offset, catalog.index.len() as u64, chunks));
        }
        let chunks: Vec<_> = (0..chunks)
            .map(|chunk| part(chunk + 1, Array::<IndexPages>::chunk_bytes(b, chunk as usize)))
            .collect::<Result<_>>()?;
        Array::with_chunks(b, main, chunks)
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
    fn read_overlay(&self) -> Result<HashMap<u64, Box<Page>>> {
        let images_at = self.header.journal.offset + journal::table_bytes(self.journal.len() as u64);
        let images = self.journal.iter().enumerate().map(|(n, entry)| {
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

/// Applies the log to the table (D15).
struct Replay {
    host: ReplayHost,
    domain: Arc<Domain>,
    hasher: KeyHasher,
    log: Arc<Log>,
    table: Table<IndexPages>,
    bytes: u64,
}

/// Nobody reads yet, so there is nobody to publish to.
struct ReplayHost(ArraySpace);

impl Arrays for ReplayHost {
    type Pages = IndexPages;

    fn reserve(&self, bytes: u64) -> Result<IndexPages> {
        self.0.reserve(bytes)
    }
}

impl Host for ReplayHost {
    fn publish(&self, _: &Arc<Geometry<IndexPages>>) {}
}

impl Replay {
    fn apply(&mut self, record: &ChainRecord) -> Result<()> {
        let ChainRecord { frame, offset, segment } = record;
        self.bytes += frame.bytes();
        let bytes = segment.record(*offset)?;
        let key = bytes.key().as_slice();
        match frame.kind {
            Kind::Put => self.put(record, key),
            Kind::Remove => self.remove(*offset, key),
            Kind::Clear => {
                let plan = self.table.prepare_clear(&self.host)?;
                self.table.clear(&self.host, plan);
                let pin = self.domain.pin()?;
                self.log.segments(&pin).iter().for_each(|segment| segment.set_live(0));
                Ok(())
            }
            Kind::Grow => {
                let value = bytes.value()?.as_slice();
                let word = value.try_into().map_or(0, u64::from_le_bytes);
                let growth = match word {
                    GROW_DOUBLE => Growth::Double,
                    GROW_SAME_SIZE => Growth::SameSize,
                    _ => return Err(Error::corrupt("growth record", *offset, "a kind of growth", word)),
                };
                self.table.replay_growth(&self.host, growth)
            }
            Kind::SyncMark => Ok(()),
        }
    }

    fn put(&mut self, record: &ChainRecord, key: &[u8]) -> Result<()> {
        let pin = self.domain.pin()?;
        let records = PinnedRecords { log: &self.log, pin: &pin, hasher: &self.hasher };
        let hash = self.hasher.hash(key);
        let existing = self.table.locate(&records, hash, key)?;
        let cell = existing.as_ref().map(|(cell, _)| *cell);
        let plan = self.table.prepare_put(&self.host, &records, hash, cell, Trigger::Replay)?;
        let position = Position::from_offset(record.offset)
            .ok_or_else(|| Error::corrupt("log", record.offset, "a position below 8 TiB", record.offset))?;
        self.table.put(&self.host, plan, hash, cell, position);
        record.segment.add_live(record.frame.bytes());
        if let Some((_, old)) = existing {
            old.segment().remove_live(old.record_bytes());
        }
        Ok(())
    }

    fn remove(&mut self, offset: u64, key: &[u8]) -> Result<()> {
        let pin = self.domain.pin()?;
        let records = PinnedRecords { log: &self.log, pin: &pin, hasher: &self.hasher };
        let hash = self.hasher.hash(key);
        let Some((cell, old)) = self.table.locate(&records, hash, key)? else {
            return Err(Error::corrupt(
                "remove record",
                offset,
                "a key that is in the table",
                "an absent key",
            ));
        };
        let plan = self.table.prepare_remove(&self.host, &records, hash, cell)?;
        self.table.remove(&self.host, plan, hash, cell);
        old.segment().remove_live(old.record_bytes());
        Ok(())
    }
}

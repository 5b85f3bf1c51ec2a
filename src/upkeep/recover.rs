//! Opening: choose the header, read the catalog, walk the log, put pages in place, replay.
//!
//! A writable open makes durable what it read before it writes anything else (D13): after a kill it may have been
//! in the page cache only. A read-only open does all of it in private memory and writes nothing (D17). Every step
//! may itself be cut short and run again (D16): the header that counts changes only once the journal's pages are
//! durable in place, and replay changes memory alone.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::arrays::ArraySpace;
use crate::file::epoch::Domain;
use crate::file::headers::{HeaderFault, Headers};
use crate::file::log::Log;
use crate::file::log::writer::LogEnd;
use crate::file::media::Media;
use crate::file::pages::{IndexPages, Pager};
use crate::file::space::{Extent, Space};
use crate::file::sync::Syncer;
use crate::format::catalog::Catalog;
use crate::format::header::{Chosen, Header, MAGIC, SlotFault};
use crate::format::schema::Schema;
use crate::format::{PAGE_BYTES, page_round_up};
use crate::mutants::{Mutant, kept};
use crate::table::{Array, Counters, HashKind, KeyHasher, LoadFactor, Table};
use crate::upkeep::read::{Reader, read_catalog, read_journal};
use crate::upkeep::replay::{Replay, ReplayHost};

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
    schema: Option<Schema>,
    verify_reads: bool,
    index_memory_limit: u64,
) -> Result<Recovered> {
    let file_bytes = media.length().map_err(Error::io("reading the file's length"))?;
    let chosen = choose_header(path, &**media, file_bytes)?;
    let header = chosen.header;
    let found = header.identity.schema;
    if let Some(expected) = schema.filter(|expected| *expected != found && kept(Mutant::SchemaCompared)) {
        return Err(Error::Schema { expected: expected.into(), found: found.into() });
    }
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
        pager: Pager::new(index_memory_limit),
        journal,
    };
    let (segments, mut chain) = reader.map_log(&catalog, unclean)?;
    let mut records = 0usize;
    while chain.next()?.is_some() {
        records += 1;
    }

    let durable = match (reader.space.clone(), catalog_extent) {
        (Some(space), Some(extent)) => {
            let syncer = Arc::new(Syncer::new(Arc::clone(media)));
            let headers = Arc::new(Headers::new(Arc::clone(media), &chosen));
            if unclean || records > 0 {
                reader.settle(&chain, &syncer, &headers)?;
            }
            if kept(Mutant::OpenedStateStays) {
                space.commit_naming(catalog_places(&catalog, &header));
            }
            Some(Durable { space, syncer, headers, catalog: extent })
        }
        _ => None,
    };
    let geometry = reader.map_arrays(&catalog)?;
    let parts = || geometry.arrays().flat_map(Array::parts);
    // The replay will come by most of the pages.
    if records > parts().map(IndexPages::pages).sum::<usize>() {
        parts().for_each(IndexPages::touch_ahead);
    }
    let (hash_kind, load_factor) = hash_and_load_factor(&header)?;

    let domain = if read_only { Domain::without_collector() } else { Domain::new() };
    let behind = chain.segments_behind();
    let (last_sequence, last_epoch) = chain.highest();
    let log_segments = segments.len() - behind;
    let log = Arc::new(Log::new(&domain, segments[..log_segments].to_vec(), verify_reads));
    let mut replay = Replay {
        host: ReplayHost(ArraySpace::new(Arc::clone(media), reader.space.clone(), Arc::clone(&reader.pager))),
        domain: Arc::clone(&domain),
        hasher: KeyHasher::new(hash_kind, &header.identity.hash0),
        layout: header.identity.schema.layout,
        log: Arc::clone(&log),
        table: Table::from_parts(geometry, counters(&header), load_factor)?,
        bytes: 0,
    };
    chain.rewind(header.log.end);
    replay.run(&mut chain)?;
    let (last, tail) = chain.position();
    let log_end = LogEnd {
        segment: Arc::clone(last),
        tail,
        last_sequence,
        needs_fresh_segment: (unclean || behind > 0 || replay.bytes > 0)
            && kept(Mutant::FreshSegmentAfterUncleanEnd),
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

fn hash_and_load_factor(header: &Header) -> Result<(HashKind, LoadFactor)> {
    let (hash, load) = (header.identity.hash_id, header.identity.load_factor);
    let hash = HashKind::from_id(hash)
        .ok_or_else(|| Error::corrupt("hash function", 0, "a known one", u64::from(hash)))?;
    let load = LoadFactor::from_hundredths(load)
        .ok_or_else(|| Error::corrupt("load factor", 0, "400 to 800", u64::from(load)))?;
    Ok((hash, load))
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

//! A checkpoint of an open file that stays as it is, however long somebody looks at it (D21).
//!
//! It is read as an opening reads it: catalog, journal, page checksums. While it is kept, the checkpointer saves the pages
//! that it writes over ([`Past`]), nothing that the catalog names is freed ([`Hold`]), and records never change.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::log::segment::Segment;
use crate::file::media::Media;
use crate::file::pages::{Page, Pager};
use crate::file::past::{Past, PastPages};
use crate::file::region::Region;
use crate::file::space::{Hold, Space, no_space};
use crate::file::sums::{Sums, SumsSource};
use crate::format::PAGE_BYTES;
use crate::format::catalog::{Catalog, IndexExtent, sums_bytes};
use crate::format::header::{Header, Pointer};
use crate::table::Geometry;
use crate::upkeep::read::{Reader, read_catalog, read_journal};

/// A kept checkpoint.
pub(crate) struct KeptCheckpoint {
    reader: Reader,
    catalog: Catalog,
    past: Arc<Past>,
    /// The page checksums of each index extent, by the offset of that extent.
    sums: HashMap<u64, Vec<u8>>,
    _hold: Option<Hold>,
}

impl KeptCheckpoint {
    /// Keeps the checkpoint that `header` names, in a file that writes in `space`. The caller sees to it that no
    /// checkpoint is under way, and has the pages saved from then on.
    pub(crate) fn read(media: &Arc<dyn Media>, header: Header, space: Option<&Arc<Space>>) -> Result<Self> {
        let file_bytes = media.length().map_err(Error::io("reading the file's length"))?;
        let catalog = read_catalog(&**media, &header, file_bytes)?;
        let journal = read_journal(&**media, &header, file_bytes)?;
        let (media, pager) = (Arc::clone(media), Pager::new(0));
        let reader = Reader { media: Arc::clone(&media), header, file_bytes, space: None, pager, journal };
        let journaled = reader.read_overlay()?;
        let sums =
            catalog.index.iter().map(|extent| Ok((extent.offset, read_sums(&*media, extent, &journaled)?)));
        let sums = sums.collect::<Result<_>>()?;
        let past =
            Past::new(media, catalog.index.iter().map(|extent| (extent.offset, extent.bytes)), journaled);
        let hold = space.map(|space| space.hold(catalog.places().map(|(offset, _)| offset)));
        Ok(KeptCheckpoint { reader, catalog, past, sums, _hold: hold })
    }

    /// The header that names it, as it is once the journal's pages are in place.
    pub(crate) fn header(&self) -> Header {
        Header { journal: Pointer::default(), ..self.reader.header }
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(crate) fn media(&self) -> &dyn Media {
        &*self.reader.media
    }

    pub(crate) fn past(&self) -> &Arc<Past> {
        &self.past
    }

    /// The page checksums of an index extent of the catalog, as they lie in the file.
    pub(crate) fn sums_bytes(&self, extent: &IndexExtent) -> &[u8] {
        self.sums.get(&extent.offset).map_or(&[], Vec::as_slice)
    }

    /// The same, to be compared with.
    pub(crate) fn sums(&self, extent: &IndexExtent) -> Sums {
        let pages = self.sums_bytes(extent).chunks_exact(PAGE_BYTES as usize);
        let overlay = pages.enumerate().map(|(n, page)| (n, to_page(page))).collect();
        let source =
            SumsSource { media: Arc::clone(&self.reader.media), offset: extent.sums_offset, overlay };
        Sums::reopened((extent.bytes / PAGE_BYTES) as usize, extent.sums.clone(), source)
    }

    /// Its arrays, in memory that is taken page by page.
    pub(crate) fn geometry(&self) -> Result<Geometry<PastPages>> {
        self.reader.geometry(&self.catalog, |extent| {
            let region = Region::anonymous(extent.bytes as usize)
                .map_err(no_space("memory for a bucket array", extent.bytes))?;
            Ok(PastPages::new(region, extent.offset, self.sums(extent), &self.past))
        })
    }

    /// Its segments, mapped once more, with the records that it has.
    pub(crate) fn segments(&self) -> Result<Vec<Arc<Segment>>> {
        let segments = self.reader.map_listed(&self.catalog)?.into_iter();
        Ok(segments.map(|(segment, _)| segment).collect())
    }
}

/// Reads the checksums of an extent, of which the journal may have newer pages than the file.
fn read_sums(
    media: &dyn Media,
    extent: &IndexExtent,
    journaled: &HashMap<u64, Box<Page>>,
) -> Result<Vec<u8>> {
    let mut bytes = vec![0; sums_bytes(extent.bytes) as usize];
    media.read_at(&mut bytes, extent.sums_offset).map_err(Error::io("reading page checksums"))?;
    let places = (extent.sums_offset..).step_by(PAGE_BYTES as usize);
    for (page, offset) in bytes.chunks_exact_mut(PAGE_BYTES as usize).zip(places) {
        if let Some(newer) = journaled.get(&offset) {
            page.copy_from_slice(&newer[..]);
        }
    }
    Ok(bytes)
}

fn to_page(bytes: &[u8]) -> Box<Page> {
    let mut page = Box::new([0; PAGE_BYTES as usize]);
    page.copy_from_slice(bytes);
    page
}

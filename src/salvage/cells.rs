//! The entries that the cells of a damaged file held at its last checkpoint, in the inline layout.
//!
//! They are read as a snapshot reads them: page by page, by calls, each compared with its checksum. So nothing needs to be
//! replayed, and a page that is damaged or can't be read costs the entries in it alone.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::media::Media;
use crate::file::past::PastPages;
use crate::format::header::Header;
use crate::format::schema::Layout;
use crate::table::{Geometry, HashKind, InlineCells, KeyHasher, Walk};
use crate::upkeep::kept::KeptCheckpoint;

/// The part of the log that a checkpoint covers.
#[derive(Clone, Copy)]
pub(super) struct Covered {
    /// The segment in which it ends, by number.
    pub(super) sequence: u64,
    /// File offset of its end.
    pub(super) end: u64,
}

/// The table of a checkpoint.
pub(super) struct CheckpointCells {
    geometry: Geometry<PastPages>,
    hasher: KeyHasher,
    layout: Layout,
    covered: Covered,
    _kept: KeptCheckpoint,
}

impl CheckpointCells {
    /// The table that a header names.
    pub(super) fn read(media: &Arc<dyn Media>, header: Header) -> Result<Self> {
        let kept = KeptCheckpoint::read(media, header, None)?;
        let identity = header.identity;
        let mut segments = kept.catalog().segments.iter();
        let segment = segments.find(|segment| segment.offset == header.log.segment);
        let no_segment =
            || Error::corrupt("log position", header.log.segment, "a segment of the catalog", header.log.end);
        let sequence = segment.ok_or_else(no_segment)?.sequence;
        let covered = Covered { sequence, end: header.log.end };
        Ok(CheckpointCells {
            geometry: kept.geometry()?,
            hasher: KeyHasher::new(HashKind::from_id(identity.hash_id).unwrap_or_default(), &identity.hash0),
            layout: identity.schema.layout,
            covered,
            _kept: kept,
        })
    }

    /// Where the log goes on behind it.
    pub(super) fn covered(&self) -> Covered {
        self.covered
    }

    /// Shows every entry to `each`, and every error. Linear in the size of the table.
    pub(super) fn each(
        &self,
        mut each: impl FnMut(Result<(&[u8], &[u8]), &Error>) -> Result<()>,
    ) -> Result<()> {
        let cells = InlineCells::of(self.layout, &self.hasher);
        let mut walk = Walk::new(&self.geometry, 0);
        while let Some(entry) = walk.next(|| &self.geometry, &cells) {
            match entry {
                Ok(entry) => each(Ok((entry.key(), entry.elem())))?,
                Err(error) => each(Err(&error))?,
            }
        }
        Ok(())
    }
}

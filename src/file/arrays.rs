//! Where bucket arrays come from: extents of the file, or plain memory in a read-only open.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::media::Media;
use crate::file::pages::{IndexPages, Pager, Place};
use crate::file::region::Region;
use crate::file::space::{Space, Use, no_space};
use crate::format::catalog::sums_bytes;
use crate::format::{PAGE_BYTES, page_round_up};
use crate::seam::Arrays;

/// The source of index pages of one store.
pub(crate) struct ArraySpace {
    media: Arc<dyn Media>,
    /// None in a read-only open, whose arrays live in memory alone (D17).
    space: Option<Arc<Space>>,
    pager: Arc<Pager>,
}

impl ArraySpace {
    pub(crate) fn new(media: Arc<dyn Media>, space: Option<Arc<Space>>, pager: Arc<Pager>) -> Self {
        ArraySpace { media, space, pager }
    }

    /// What all pages of the store share.
    pub(crate) fn pager(&self) -> &Arc<Pager> {
        &self.pager
    }
}

impl Arrays for ArraySpace {
    type Pages = IndexPages;

    fn reserve(&self, bytes: u64) -> Result<IndexPages> {
        let bytes = page_round_up(bytes);
        let len = usize::try_from(bytes).map_err(|_| Error::TooLarge {
            what: "a bucket array",
            len: bytes,
            limit: usize::MAX as u64,
        })?;
        let Some(space) = &self.space else {
            let region = Region::anonymous(len).map_err(no_space("memory for a bucket array", bytes))?;
            return Ok(IndexPages::fresh(region, None, &self.pager));
        };
        let pages = space.allocate(bytes, PAGE_BYTES, Use::Index)?;
        let sums = space.allocate(sums_bytes(bytes), PAGE_BYTES, Use::Index)?;
        let region =
            self.media.map_zeros(pages.offset(), len).map_err(no_space("mapping a bucket array", bytes))?;
        Ok(IndexPages::fresh(region, Some(Place { pages, sums }), &self.pager))
    }
}

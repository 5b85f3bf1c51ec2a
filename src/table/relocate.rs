//! Pointing a cell at a copy of its record, for compaction.
//!
//! Nothing else changes: no grow work is done, the cell stays where it is, in the old array or in the new one (D15).

use crate::error::Result;
use crate::format::bucket::{Cell, Hash, Position};
use crate::seam::Pages;

use super::array::Chain;
use super::assign::Table;
use super::cells::{Content, Name};
use super::plan::{Spot, cell_in};

impl<P: Pages> Table<P> {
    /// The cell that points at the record at `position`, whose key has this hash; none where another record of the key is
    /// newer. Touches what [`Table::relocate`] will change (C12).
    #[inline]
    pub fn cell_at(&self, hash: Hash, position: Position) -> Result<Option<Spot>> {
        let holder = self.holder(hash)?;
        let cell = Cell::new(position, hash);
        let mut chain = Chain::at(holder, hash.bucket(holder.b()))?;
        loop {
            if cell_in(&chain, hash.tophash(), cell).is_some() {
                return Ok(Some(Spot { existing: Some(cell), place: None }));
            }
            if chain.bucket().tophash().ends_chain() || !chain.advance()? {
                return Ok(None);
            }
        }
    }

    /// Has a cell that was found point at another record, which says the same as its own. Readers have the one or the
    /// other.
    pub fn relocate<N: Name>(&mut self, hash: Hash, spot: Spot<N>, content: impl Content) {
        match spot.existing {
            Some(existing) => self.replace(hash, existing, content),
            None => debug_assert!(false, "what is moved has a cell"),
        }
    }
}

//! Finding a key, beside a writer and without waiting for it.

use std::ops::Deref;

use crate::error::{Error, Result};
use crate::format::bucket::{Cell, Hash};
use crate::seam::{Pages, Records};

use super::array::{Array, Chain};
use super::geometry::Geometry;

/// What a walk in one geometry came to.
pub enum Found<T> {
    /// The key is here.
    Hit(T),
    /// The key is not in the table.
    Miss,
    /// The chain has been evacuated: a later geometry has been published. Load it and start again (C4).
    Moved,
}

/// Looks for the key in the table as it is published now; starts again where the writer got ahead of it.
///
/// `published` loads the present geometry (Acquire). It is called once, and again after each growth that
/// overtakes the walk.
#[inline]
pub fn lookup<P, R, G>(
    published: impl Fn() -> G,
    records: &R,
    hash: Hash,
    key: &[u8],
) -> Result<Option<(Cell, R::Record)>>
where
    P: Pages,
    R: Records,
    G: Deref<Target = Geometry<P>>,
{
    let mut geometry = published();
    loop {
        match find(&geometry, records, hash, key)? {
            Found::Hit(hit) => return Ok(Some(hit)),
            Found::Miss => return Ok(None),
            Found::Moved => {
                // The geometry in which this array is old was published before the first mark (C3). If
                // there is none, no writer has set the mark, and waiting for one would never end.
                let stale = std::mem::replace(&mut geometry, published());
                if std::ptr::eq(&*stale, &*geometry) {
                    return Err(stray_mark(&geometry.array, hash));
                }
            }
        }
    }
}

/// Looks for the key in one geometry.
#[inline]
pub fn find<P: Pages, R: Records>(
    geometry: &Geometry<P>,
    records: &R,
    hash: Hash,
    key: &[u8],
) -> Result<Found<(Cell, R::Record)>> {
    if let Some(old) = &geometry.old {
        match search(&old.array, records, hash, key)? {
            // Everything has moved to the current array, and whoever sees a mark sees it there.
            Found::Moved => confirm_evacuated(&old.array, hash)?,
            found => return Ok(found),
        }
    }
    search(&geometry.array, records, hash, key)
}

/// Walks the key's chain in one array; `Moved` at the first mark.
#[inline]
fn search<P: Pages, R: Records>(
    array: &Array<P>,
    records: &R,
    hash: Hash,
    key: &[u8],
) -> Result<Found<(Cell, R::Record)>> {
    let wanted = hash.tophash();
    let mut chain = Chain::at(array, hash.bucket(array.b()))?;
    loop {
        let bucket = chain.bucket();
        let tophash = bucket.tophash();
        if tophash.any_evacuated() {
            return Ok(Found::Moved);
        }
        for i in tophash.matching(wanted) {
            let cell = bucket.cell(i);
            // The cell's 24 bits of hash spare the record of a false match its cache miss.
            if cell.may_be(hash)
                && let Some(record) = records.matching(cell.position(), key)?
            {
                return Ok(Found::Hit((cell, record)));
            }
        }
        if tophash.ends_chain() || !chain.advance()? {
            return Ok(Found::Miss);
        }
    }
}

/// Chains are marked head first, so a mark anywhere means a mark at the head; unless the file is damaged,
/// and then the entries behind the unmarked head are nowhere else.
#[inline]
fn confirm_evacuated<P: Pages>(array: &Array<P>, hash: Hash) -> Result<()> {
    let head = Chain::at(array, hash.bucket(array.b()))?;
    if head.bucket().tophash().any_evacuated() { Ok(()) } else { Err(stray_mark(array, hash)) }
}

/// An evacuation mark in a chain that was not evacuated.
#[cold]
pub(super) fn stray_mark<P: Pages>(array: &Array<P>, hash: Hash) -> Error {
    let offset = match Chain::at(array, hash.bucket(array.b())) {
        Ok(head) => head.bucket().offset(),
        Err(error) => return error,
    };
    Error::corrupt("bucket's tophash", offset, "no evacuation mark in its chain", "an evacuation mark")
}

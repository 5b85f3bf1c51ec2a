//! Finding a key, beside a writer and without waiting for it.

use std::ops::Deref;

use crate::error::{Error, Result};
use crate::format::bucket::{Hash, Position};
use crate::seam::Pages;

use super::array::{Array, BucketIndex, Chain};
use super::geometry::{Geometry, Growth};
use super::slot::Slot;

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
/// overtakes the walk. `find` looks at a cell whose tophash is the key's, and makes something of it if the key is its key.
#[inline]
pub fn lookup<P, G, T>(
    published: impl Fn() -> G,
    hash: Hash,
    mut find: impl FnMut(Slot<'_, P>) -> Result<Option<T>>,
) -> Result<Option<T>>
where
    P: Pages,
    G: Deref<Target = Geometry<P>>,
{
    let geometry = published();
    if geometry.old.is_none() {
        match search(&geometry.array, hash, &mut find)? {
            Found::Hit(hit) => return Ok(Some(hit)),
            Found::Miss => return Ok(None),
            Found::Moved => {}
        }
    }
    lookup_in_growth(published, geometry, hash, find)
}

/// [`lookup`] as it nearly always goes: the table is not growing, and the first bucket of the chain decides. `None` where
/// it does not, and for whatever `find` answers with `None`; then [`lookup`] knows more.
///
/// Nothing here can fail, so that it becomes a short part of its caller: few enough instructions between one cache miss
/// and the next that the processor starts on the following lookup while it waits.
#[inline]
pub fn peek<P: Pages, T>(
    geometry: &Geometry<P>,
    hash: Hash,
    mut find: impl FnMut(Slot<'_, P>) -> Option<Option<T>>,
) -> Option<Option<T>> {
    if geometry.old.is_some() {
        return None;
    }
    let array = &*geometry.array;
    let (index, bucket) = (BucketIndex(hash.bucket(array.b())), array.head(hash)?);
    let tophash = bucket.tophash();
    for i in tophash.matching(hash.tophash()) {
        let slot = array.slot(index, bucket, i);
        match find(slot) {
            Some(None) => {}
            hit => return hit.filter(|_| slot.is_shown()),
        }
    }
    let alone = tophash.ends_chain() || bucket.overflow() == 0;
    (alone && !tophash.any_evacuated()).then_some(None)
}

/// Has the processor fetch the buckets that lookups of a key begin with. A hint, like all of [`foresee`]: what it looks at
/// may change before the lookup.
#[inline]
pub fn prefetch<P: Pages>(geometry: &Geometry<P>, hash: Hash) {
    geometry.arrays().for_each(|array| array.prefetch(hash));
}

/// [`prefetch`] for a put or a removal, which evacuates the key's old bucket first, to both halves of the new array.
#[inline]
pub fn prefetch_to_change<P: Pages>(geometry: &Geometry<P>, hash: Hash) {
    prefetch(geometry, hash);
    if let Some(old) = &geometry.old
        && old.growth == Growth::Double
    {
        geometry.array.prefetch(Hash(hash.0 ^ old.array.buckets()));
    }
}

/// Tells `each` record that a lookup of a key will compare, as far as the first bucket of its chain says; in the record layout.
#[inline]
pub fn foresee<P: Pages>(geometry: &Geometry<P>, hash: Hash, each: impl Fn(Position)) {
    for bucket in geometry.arrays().filter_map(|array| array.head(hash)) {
        let cells = bucket.tophash().matching(hash.tophash()).map(|i| bucket.cell(i));
        cells.filter(|cell| cell.may_be(hash)).for_each(|cell| each(cell.position()));
    }
}

/// A lookup while the table grows, or did a moment ago. Apart, so that the other one is short enough to be part of its
/// callers.
#[inline(never)]
fn lookup_in_growth<P, G, T>(
    published: impl Fn() -> G,
    mut geometry: G,
    hash: Hash,
    mut find_in: impl FnMut(Slot<'_, P>) -> Result<Option<T>>,
) -> Result<Option<T>>
where
    P: Pages,
    G: Deref<Target = Geometry<P>>,
{
    loop {
        match find(&geometry, hash, &mut find_in)? {
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
pub fn find<P: Pages, T>(
    geometry: &Geometry<P>,
    hash: Hash,
    find: &mut impl FnMut(Slot<'_, P>) -> Result<Option<T>>,
) -> Result<Found<T>> {
    if let Some(old) = &geometry.old {
        match search(&old.array, hash, find)? {
            // Everything has moved to the current array, and whoever sees a mark sees it there.
            Found::Moved => confirm_evacuated(&old.array, hash)?,
            found => return Ok(found),
        }
    }
    search(&geometry.array, hash, find)
}

/// Walks the key's chain in one array; `Moved` at the first mark.
#[inline]
fn search<P: Pages, T>(
    array: &Array<P>,
    hash: Hash,
    find: &mut impl FnMut(Slot<'_, P>) -> Result<Option<T>>,
) -> Result<Found<T>> {
    let chain = Chain::at(array, hash.bucket(array.b()))?;
    match search_bucket(&chain, hash, find)? {
        Some(found) => Ok(found),
        None => search_behind(chain, hash, find),
    }
}

/// [`search`] from the second bucket of a chain on, which few lookups come to.
#[inline(never)]
fn search_behind<P: Pages, T>(
    mut chain: Chain<'_, P>,
    hash: Hash,
    find: &mut impl FnMut(Slot<'_, P>) -> Result<Option<T>>,
) -> Result<Found<T>> {
    while chain.advance()? {
        if let Some(found) = search_bucket(&chain, hash, find)? {
            return Ok(found);
        }
    }
    Ok(Found::Miss)
}

/// Searches one bucket; `None` where the walk goes on.
#[inline]
fn search_bucket<P: Pages, T>(
    chain: &Chain<'_, P>,
    hash: Hash,
    find: &mut impl FnMut(Slot<'_, P>) -> Result<Option<T>>,
) -> Result<Option<Found<T>>> {
    let tophash = chain.bucket().tophash();
    for i in tophash.matching(hash.tophash()) {
        let slot = chain.slot(i);
        if let Some(found) = find(slot)?
            && slot.is_shown()
        {
            return Ok(Some(Found::Hit(found)));
        }
    }
    // The marks of a bucket are set all at once: one that has an entry left has none.
    if tophash.any_evacuated() {
        return Ok(Some(Found::Moved));
    }
    Ok(tophash.ends_chain().then_some(Found::Miss))
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

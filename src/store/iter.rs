//! Iterators over a store.

use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;

use crate::error::{Error, Result};
use crate::file::epoch::Pin;
use crate::file::log::RecordRef;
use crate::file::pages::IndexPages;
use crate::seam::{Pages, Records};
use crate::store::core::Core;
use crate::store::value::Value;
use crate::table::{Geometry, Walk};
use crate::upkeep::records::PinnedRecords;

/// Every entry of a store; see [`Store::iter`](crate::Store::iter).
///
/// An error is yielded once, and the iteration goes on behind it.
pub struct Iter<'s>(PinnedWalk<'s>);

/// A walk under a pin of its own.
pub(super) struct PinnedWalk<'s> {
    core: &'s Core,
    state: State<'s>,
}

enum State<'s> {
    /// The walk goes before the pin: what it holds on to is not a reader's to free (C14).
    Walking(Box<Walk<IndexPages>>, Pin<'s>),
    /// The handle belongs to another process.
    Failed(Error),
    Ended,
}

impl<'s> PinnedWalk<'s> {
    pub(super) fn new(core: &'s Core) -> Self {
        // A hash of nothing under a key that differs each time: random enough to begin somewhere else.
        let start = RandomState::new().hash_one(());
        let state = match core.pin() {
            Ok(pin) => {
                let walk = Box::new(Walk::new(core.published(&pin), start));
                State::Walking(walk, pin)
            }
            Err(error) => State::Failed(error),
        };
        PinnedWalk { core, state }
    }

    /// The store, the walk and the pin; `None` where there are none, and [`PinnedWalk::over`] says why.
    #[inline]
    pub(super) fn parts(&mut self) -> Option<(&'s Core, &mut Walk<IndexPages>, &Pin<'s>)> {
        match &mut self.state {
            State::Walking(walk, pin) => Some((self.core, walk, pin)),
            _ => None,
        }
    }

    /// The error that there is in place of a walk, once.
    #[cold]
    pub(super) fn over(&mut self) -> Option<Error> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl<'s> Iter<'s> {
    pub(super) fn new(core: &'s Core) -> Self {
        Iter(PinnedWalk::new(core))
    }

    /// What `found` makes of the next record; `None` at the end.
    #[inline(always)]
    pub(crate) fn next_with<T>(
        &mut self,
        found: impl FnOnce(&Pin<'s>, &RecordRef<'_>) -> Result<T>,
    ) -> Option<Result<T>> {
        let Some((core, walk, pin)) = self.0.parts() else { return self.0.over().map(Err) };
        next_record(walk, || core.published(pin), &core.records(pin), |record| found(pin, record))
    }
}

impl<'s> Iterator for Iter<'s> {
    type Item = Result<(Value<'s>, Value<'s>)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(entry)
    }
}

/// What `found` makes of the next record of a walk through a table of which `published` is the present geometry.
#[inline(always)]
pub(super) fn next_record<P, G, T>(
    walk: &mut Walk<P>,
    published: impl Fn() -> G,
    records: &PinnedRecords<'_, '_>,
    found: impl FnOnce(&RecordRef<'_>) -> Result<T>,
) -> Option<Result<T>>
where
    P: Pages,
    G: Deref<Target = Geometry<P>>,
{
    let record = match walk.peek(&published(), records) {
        Some(slot) => {
            let position = slot.cell().position();
            match records.small(position) {
                // Not by way of `record`, so that the compiler knows that it has no second checksum.
                Some(record) => return Some(found(&record)),
                None => records.read(position),
            }
        }
        None => walk.next(published, records)?,
    };
    Some(record.and_then(|record| found(&record)))
}

/// Key and value of a record.
#[inline(always)]
pub(super) fn entry<'s>(pin: &Pin<'s>, record: &RecordRef<'_>) -> Result<(Value<'s>, Value<'s>)> {
    let value = record.value()?;
    Ok((Value::keep(pin, record.key()), Value::keep(pin, value)))
}

/// Every key of a store; see [`Store::keys`](crate::Store::keys).
pub struct Keys<'s>(pub(super) Iter<'s>);

impl<'s> Iterator for Keys<'s> {
    type Item = Result<Value<'s>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_with(|pin, record| Ok(Value::keep(pin, record.key())))
    }
}

/// Every value of a store; see [`Store::values`](crate::Store::values).
pub struct Values<'s>(pub(super) Iter<'s>);

impl<'s> Iterator for Values<'s> {
    type Item = Result<Value<'s>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_with(|pin, record| Ok(Value::keep(pin, record.value()?)))
    }
}

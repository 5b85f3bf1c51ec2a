//! Iterators over a store.

use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;

use crate::error::{Error, Result};
use crate::file::epoch::Pin;
use crate::file::pages::IndexPages;
use crate::seam::Pages;
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

    /// The store, the walk and the pin; the error that there is in their place is given once.
    #[inline]
    pub(super) fn parts(&mut self) -> Option<Result<(&'s Core, &mut Walk<IndexPages>, &Pin<'s>)>> {
        match &mut self.state {
            State::Walking(walk, pin) => Some(Ok((self.core, walk, pin))),
            over => match std::mem::replace(over, State::Ended) {
                State::Failed(error) => Some(Err(error)),
                _ => None,
            },
        }
    }
}

impl<'s> Iter<'s> {
    pub(super) fn new(core: &'s Core) -> Self {
        Iter(PinnedWalk::new(core))
    }
}

impl<'s> Iterator for Iter<'s> {
    type Item = Result<(Value<'s>, Value<'s>)>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.0.parts()? {
            Ok((core, walk, pin)) => next_entry(walk, || core.published(pin), &core.records(pin), pin),
            Err(error) => Some(Err(error)),
        }
    }
}

/// The next entry of a walk through a table of which `published` is the present geometry.
#[inline]
pub(super) fn next_entry<'s, P, G>(
    walk: &mut Walk<P>,
    published: impl Fn() -> G,
    records: &PinnedRecords<'_, 's>,
    pin: &Pin<'s>,
) -> Option<Result<(Value<'s>, Value<'s>)>>
where
    P: Pages,
    G: Deref<Target = Geometry<P>>,
{
    let record = match walk.peek(&published(), records) {
        Some(record) => record,
        None => match walk.next(published, records)? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        },
    };
    match record.value() {
        Ok(value) => Some(Ok((Value::keep(pin, record.key()), Value::keep(pin, value)))),
        Err(error) => Some(Err(error)),
    }
}

/// Every key of a store; see [`Store::keys`](crate::Store::keys).
pub struct Keys<'s>(pub(super) Iter<'s>);

impl<'s> Iterator for Keys<'s> {
    type Item = Result<Value<'s>>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map(|(key, _)| key))
    }
}

/// Every value of a store; see [`Store::values`](crate::Store::values).
pub struct Values<'s>(pub(super) Iter<'s>);

impl<'s> Iterator for Values<'s> {
    type Item = Result<Value<'s>>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map(|(_, value)| value))
    }
}

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
pub struct Iter<'s> {
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

impl<'s> Iter<'s> {
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
        Iter { core, state }
    }
}

impl<'s> Iterator for Iter<'s> {
    type Item = Result<(Value<'s>, Value<'s>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let State::Walking(walk, pin) = &mut self.state else {
            return match std::mem::replace(&mut self.state, State::Ended) {
                State::Failed(error) => Some(Err(error)),
                _ => None,
            };
        };
        next_entry(walk, || self.core.published(pin), &self.core.records(pin), pin)
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

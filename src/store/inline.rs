//! Reading and writing a store of the inline layout, whose cells hold keys and values themselves.
//!
//! Keys and values are bytes of exactly the widths in the file's header; [`Map`](crate::Map) makes them of types.

use crate::error::{Error, Result};
use crate::store::Store;

/// What becomes of an entry that was looked at under the writer lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// It stays as it is.
    Keep,
    /// It gets the value that was left in the buffer.
    Put,
    /// It goes.
    Remove,
}

/// Every entry of a store of the inline layout.
pub(crate) struct InlineIter<'s> {
    _store: &'s Store,
}

impl Store {
    /// Copies the value of a key to `elem`; false, and `elem` may hold anything, where the key is absent.
    pub(crate) fn inline_get(&self, key: &[u8], elem: &mut [u8]) -> Result<bool> {
        let _ = (key, elem);
        Err(Error::ReadOnly)
    }

    /// Sets the value of a key; the one before is copied to `old`, where there is one.
    pub(crate) fn inline_insert(&self, key: &[u8], elem: &[u8], old: &mut [u8]) -> Result<bool> {
        let _ = (key, elem, old);
        Err(Error::ReadOnly)
    }

    /// Removes a key; its value is copied to `old`. False, and nothing changes, where it is absent.
    pub(crate) fn inline_remove(&self, key: &[u8], old: &mut [u8]) -> Result<bool> {
        let _ = (key, old);
        Err(Error::ReadOnly)
    }

    /// Copies the value of a key to `elem`, tells `change` whether there is one, and does what that says, all under the
    /// writer lock; whether the key was there before.
    pub(crate) fn inline_update(
        &self,
        key: &[u8],
        elem: &mut [u8],
        change: impl FnOnce(bool, &mut [u8]) -> Change,
    ) -> Result<bool> {
        let _ = (key, change(false, elem));
        Err(Error::ReadOnly)
    }

    /// Every entry, as [`Store::iter`] yields them.
    pub(crate) fn inline_iter(&self) -> InlineIter<'_> {
        InlineIter { _store: self }
    }
}

impl InlineIter<'_> {
    /// Copies the next entry to `key` and `elem`; `None` at the end.
    pub(crate) fn next(&mut self, key: &mut [u8], elem: &mut [u8]) -> Option<Result<()>> {
        let _ = (key, elem);
        None
    }
}

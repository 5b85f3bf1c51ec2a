//! Entries as bytes, in either layout.
//!
//! The layout of a typed map is a constant of its types: what is inlined into it leaves one of the two ways, and a buffer of
//! the type's size on the stack. Only a map whose types are known at run time asks each time.

use crate::error::{Error, Result};
use crate::format::schema::{Layout, MAX_INLINE_BYTES};
use crate::store::inline::{Change, InlineIter};
use crate::store::{Iter, Snapshot, SnapshotIter, Step, Store};

const MAX_WIDTH: usize = MAX_INLINE_BYTES as usize;

/// What `found` makes of a key's value.
#[inline(always)]
pub(crate) fn get<T>(
    store: &Store,
    layout: Layout,
    key: &[u8],
    found: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>> {
    match layout {
        Layout::Record => Ok(store.get(key)?.map(|value| found(&value))),
        Layout::Inline { elem_width, .. } => {
            with_buffer(elem_width, |elem| Ok(store.inline_get(key, elem)?.then(|| found(elem))))
        }
    }
}

/// Shows `each` the numbers of some keys and their values.
#[inline(always)]
pub(super) fn get_group(
    store: &Store,
    layout: Layout,
    keys: &[&[u8]],
    each: impl FnMut(usize, Result<Option<&[u8]>>),
) {
    match layout {
        Layout::Record => store.get_group(keys, each),
        Layout::Inline { elem_width, .. } => {
            with_buffer(elem_width, |elem| store.inline_get_group(keys, elem, each))
        }
    }
}

/// Whether a key is there.
#[inline(always)]
pub(crate) fn contains_key(store: &Store, layout: Layout, key: &[u8]) -> Result<bool> {
    match layout {
        Layout::Record => store.contains_key(key),
        Layout::Inline { elem_width, .. } => with_buffer(elem_width, |elem| store.inline_get(key, elem)),
    }
}

/// Sets the value of a key; what `before` makes of the one before.
#[inline(always)]
pub(crate) fn insert<T>(
    store: &Store,
    layout: Layout,
    key: &[u8],
    value: &[u8],
    before: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>> {
    match layout {
        Layout::Record => Ok(store.insert(key, value)?.map(|old| before(&old))),
        Layout::Inline { elem_width, .. } => {
            with_buffer(elem_width, |old| Ok(store.inline_insert(key, value, old)?.then(|| before(old))))
        }
    }
}

/// Removes a key; what `before` makes of its value.
#[inline(always)]
pub(super) fn remove<T>(
    store: &Store,
    layout: Layout,
    key: &[u8],
    before: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>> {
    match layout {
        Layout::Record => Ok(store.remove(key)?.map(|old| before(&old))),
        Layout::Inline { elem_width, .. } => {
            with_buffer(elem_width, |old| Ok(store.inline_remove(key, old)?.then(|| before(old))))
        }
    }
}

/// Removes a key if its value is still `seen`; whether it was.
#[inline]
pub(super) fn remove_seen(store: &Store, layout: Layout, key: &[u8], seen: &[u8]) -> Result<bool> {
    match layout {
        Layout::Record => Ok(store.compare_exchange(key, Some(seen), None)?.is_ok()),
        Layout::Inline { elem_width, .. } => {
            with_buffer(elem_width, |elem| store.inline_remove_seen(key, elem, seen))
        }
    }
}

/// Gives the value of a key to `change`, and does what that says, all in one; where that refuses, nothing changes.
#[inline(always)]
pub(super) fn update<B: AsRef<[u8]>>(
    store: &Store,
    layout: Layout,
    key: &[u8],
    change: impl FnOnce(Option<&[u8]>) -> Result<Step<B>>,
) -> Result<()> {
    let elem_width = match layout {
        Layout::Record => return store.try_update(key, change),
        Layout::Inline { elem_width, .. } => elem_width,
    };
    let mut refused = Ok(());
    with_buffer(elem_width, |elem| {
        store.inline_update(key, elem, |present, elem| {
            match change(present.then_some(elem)).and_then(|step| leave(step, present, elem)) {
                Ok(change) => change,
                Err(error) => {
                    refused = Err(error);
                    Change::Keep
                }
            }
        })
    })?;
    refused
}

/// Leaves the new value, if there is one, where the cell gets it from.
fn leave<B: AsRef<[u8]>>(step: Step<B>, present: bool, elem: &mut [u8]) -> Result<Change> {
    match step {
        Step::Put(new) => {
            let (new, expected) = (new.as_ref(), elem.len() as u64);
            if new.len() != elem.len() {
                let found = new.len() as u64;
                return Err(Error::Width { type_name: "value".into(), expected, found });
            }
            elem.copy_from_slice(new);
            Ok(Change::Put)
        }
        Step::Remove if present => Ok(Change::Remove),
        Step::Remove | Step::Keep => Ok(Change::Keep),
    }
}

/// What `found` makes of the value that a key had.
#[inline]
pub(super) fn get_then<T>(
    snapshot: &Snapshot,
    layout: Layout,
    key: &[u8],
    found: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>> {
    match layout {
        Layout::Record => Ok(snapshot.get(key)?.map(|value| found(&value))),
        Layout::Inline { elem_width, .. } => {
            with_buffer(elem_width, |elem| Ok(snapshot.inline_get(key, elem)?.then(|| found(elem))))
        }
    }
}

/// What `found` makes of the next entry of a snapshot; `None` at the end.
#[inline]
pub(super) fn next_then<T>(
    entries: &mut SnapshotIter<'_>,
    layout: Layout,
    found: impl FnOnce(&[u8], &[u8]) -> Result<T>,
) -> Option<Result<T>> {
    match layout {
        Layout::Record => Some(entries.next()?.and_then(|(key, value)| found(&key, &value))),
        Layout::Inline { .. } => entries.next_inline(found),
    }
}

/// Gives `f` a buffer of so many bytes on the stack. Where the width is a constant, so is the size.
#[inline(always)]
fn with_buffer<T>(width: u8, f: impl FnOnce(&mut [u8]) -> T) -> T {
    match usize::from(width) {
        width @ 0..=8 => f(&mut [0; 8][..width]),
        width @ 9..=16 => f(&mut [0; 16][..width]),
        width @ 17..=32 => f(&mut [0; 32][..width]),
        width @ 33..=64 => f(&mut [0; 64][..width]),
        width => f(&mut [0; MAX_WIDTH][..width.min(MAX_WIDTH)]),
    }
}

/// Every entry.
pub(crate) enum Entries<'s> {
    Record(Iter<'s>),
    Inline(InlineIter<'s>),
}

impl<'s> Entries<'s> {
    pub(crate) fn new(store: &'s Store, layout: Layout) -> Self {
        match layout {
            Layout::Record => Entries::Record(store.iter()),
            Layout::Inline { .. } => Entries::Inline(store.inline_iter()),
        }
    }

    /// What `found` makes of the next entry; `None` at the end. Part of its caller, where the widths are constants.
    #[inline(always)]
    pub(crate) fn next_with<T>(
        &mut self,
        layout: Layout,
        found: impl FnOnce(&[u8], &[u8]) -> Result<T>,
    ) -> Option<Result<T>> {
        match self {
            Entries::Record(entries) => {
                entries.next_with(|_, record| found(record.key().as_slice(), record.value()?.as_slice()))
            }
            Entries::Inline(entries) => entries.next_with((layout.key_width(), layout.elem_width()), found),
        }
    }

    /// What `found` makes of the next key.
    #[inline(always)]
    pub(super) fn next_key<T>(
        &mut self,
        width: Option<u32>,
        found: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Option<Result<T>> {
        match self {
            Entries::Record(entries) => entries.next_with(|_, record| found(record.key().as_slice())),
            Entries::Inline(entries) => entries.next_with((inline_width(width), 0), |key, _| found(key)),
        }
    }

    /// What `found` makes of the next value.
    #[inline(always)]
    pub(super) fn next_value<T>(
        &mut self,
        width: Option<u32>,
        found: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Option<Result<T>> {
        match self {
            Entries::Record(entries) => entries.next_with(|_, record| found(record.value()?.as_slice())),
            Entries::Inline(entries) => entries.next_with((0, inline_width(width)), |_, elem| found(elem)),
        }
    }
}

/// The width of a type's values in a cell; any number where they are not in cells.
#[inline(always)]
fn inline_width(width: Option<u32>) -> u8 {
    width.map_or(0, |width| width.min(MAX_WIDTH as u32) as u8)
}

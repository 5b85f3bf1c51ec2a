//! Values and keys where they lie.

use std::fmt;
use std::ops::Deref;

use crate::error::Result;
use crate::file::epoch::Pin;
use crate::file::region::{PinnedBytes, RecordBytes};

/// The bytes of a value or a key, read where they lie in the file's mapping. Dereferences to `[u8]`.
///
/// While it is alive its bytes stay as they are, whatever is written meanwhile; the space behind them can't be reused
/// until it is dropped. It belongs to the thread that got it (`!Send`); [`to_vec`](slice::to_vec) makes a copy that
/// can go anywhere.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
/// store.insert("key", "old")?;
/// let value = store.get("key")?.expect("present");
/// store.insert("key", "new")?;
/// assert_eq!(value, "old"); // what was read stays as it was
/// # Ok::<(), tophash::Error>(())
/// ```
pub struct Value<'s>(PinnedBytes<'s>);

impl<'s> Value<'s> {
    #[inline]
    pub(crate) fn keep(pin: &Pin<'s>, bytes: RecordBytes<'_>) -> Self {
        Value(PinnedBytes::keep(pin, bytes))
    }

    /// The value that `find` finds under `pin`.
    #[inline]
    pub(crate) fn find(
        pin: Pin<'s>,
        find: impl for<'p> FnOnce(&'p Pin<'s>) -> Result<Option<RecordBytes<'p>>>,
    ) -> Result<Option<Self>> {
        Ok(PinnedBytes::find(pin, find)?.map(Value))
    }
}

impl Deref for Value<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Value<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Value<'_> {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

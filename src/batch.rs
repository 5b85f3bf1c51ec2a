//! Changes that are made together.

use crate::error::Result;
use crate::format::record::{Frame, Kind};

/// Changes of a full batch.
const FULL_CHANGES: usize = 1000;
/// And bytes of keys and values, for large ones.
const FULL_BYTES: usize = 1 << 20;

/// Changes that [`Store::apply`](crate::Store::apply) makes together: after a crash all of them are there, or none.
///
/// A batch holds copies of its keys and values, and belongs to no store. It can be applied again, to others too, or be
/// [reset](Batch::reset) and filled anew, which keeps its memory. Where it changes a key twice, the last change counts.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
/// use tophash::Batch;
///
/// store.insert("account:1", "30")?;
/// let mut batch = Batch::new();
/// batch.put("account:1", "10");
/// batch.put("account:2", "20");
/// batch.remove("account:3");
/// store.apply(&batch)?;
/// assert_eq!(store.get("account:2")?.as_deref(), Some(&b"20"[..]));
/// # Ok::<(), tophash::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Everything goes before the first of the changes.
    clears: bool,
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
    changes: Vec<Place>,
}

/// Where in a batch's bytes the key and the value of a change are.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    key_len: usize,
    /// None for a removal.
    value_len: Option<usize>,
}

/// A change as it is logged.
#[derive(Clone, Copy)]
pub(crate) struct Change<'b> {
    pub(crate) frame: Frame,
    pub(crate) key: &'b [u8],
    pub(crate) value: &'b [u8],
}

impl Batch {
    /// One that changes nothing yet.
    ///
    /// ```
    /// assert!(tophash::Batch::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Batch::default()
    }

    /// Sets the value of a key. Sizes are checked when the batch is applied.
    ///
    /// ```
    /// let mut batch = tophash::Batch::new();
    /// batch.put("user:1", "Ada").put("user:2", "Grace");
    /// assert_eq!(batch.len(), 2);
    /// ```
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.push(key.as_ref(), Some(value.as_ref()))
    }

    /// Removes a key, if it is there when the batch is applied.
    ///
    /// ```
    /// let mut batch = tophash::Batch::new();
    /// batch.remove("user:1");
    /// assert_eq!(batch.len(), 1);
    /// ```
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        self.push(key.as_ref(), None)
    }

    /// Removes every key. What the batch changed before is forgotten: it would not be seen.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("old", "1")?;
    /// let mut batch = tophash::Batch::new();
    /// batch.clear().put("new", "2");
    /// store.apply(&batch)?;
    /// assert_eq!(store.len(), 1); // never 0 and never 2, also across a crash
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn clear(&mut self) -> &mut Self {
        self.reset();
        self.clears = true;
        self
    }

    /// How many changes there are; a [`clear`](Batch::clear) is one.
    ///
    /// ```
    /// let mut batch = tophash::Batch::new();
    /// batch.put("key", "value").clear().remove("key");
    /// assert_eq!(batch.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        usize::from(self.clears) + self.changes.len()
    }

    /// Whether it changes nothing.
    ///
    /// ```
    /// assert!(!tophash::Batch::new().clear().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all changes and keeps the memory, for the next ones.
    ///
    /// ```
    /// let mut batch = tophash::Batch::new();
    /// batch.put("key", "value").reset();
    /// assert!(batch.is_empty());
    /// ```
    pub fn reset(&mut self) {
        self.clears = false;
        self.bytes.clear();
        self.changes.clear();
    }

    /// Whether it is worth to be applied by one who has more: then what a batch costs by itself is lost among its changes.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= FULL_CHANGES || self.bytes.len() >= FULL_BYTES
    }

    /// Whether it begins by removing every key.
    pub(crate) fn clears(&self) -> bool {
        self.clears
    }

    /// The changes in their order, behind the clear; an error for one that is too large.
    pub(crate) fn changes(&self) -> impl ExactSizeIterator<Item = Result<Change<'_>>> {
        self.changes.iter().map(|&Place { at, key_len, value_len }| {
            let (key, behind) = self.bytes[at..].split_at(key_len);
            let kind = if value_len.is_some() { Kind::Put } else { Kind::Remove };
            let value = &behind[..value_len.unwrap_or(0)];
            Ok(Change { frame: Frame::new(kind, key.len(), value.len())?, key, value })
        })
    }

    fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> &mut Self {
        let place = Place { at: self.bytes.len(), key_len: key.len(), value_len: value.map(<[u8]>::len) };
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.changes.push(place);
        self
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> Extend<(K, V)> for Batch {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, value)| {
            self.put(key, value);
        });
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(K, V)> for Batch {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut batch = Batch::new();
        batch.extend(entries);
        batch
    }
}

//! Maps whose types are known only at run time.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::format::record::Kind;
use crate::format::schema::{Layout, Schema};
use crate::map::built_in;
use crate::map::bytes::{self, Entries};
use crate::map::file::{self, file_operations};
use crate::options::Options;
use crate::store::{Buckets, Compaction, CompactionProgress, Store};
use crate::upkeep::backup::Backup;
use crate::upkeep::inspect::{Bucket, Growth, Info, Stats, WhichArray};
use crate::upkeep::verify::Verification;

/// A file of any types, for tools: keys and values are bytes, and the file's [`Schema`] says what they mean.
///
/// What it knows of the types it keeps to: a width that all values have, and what [built-in](crate::DataType::built_in)
/// types ask for. Programs that know their types use [`Map`](crate::Map) and [`Set`](crate::Set).
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("words.tophash");
/// use tophash::{DataType, Error, Options, Schema};
///
/// let schema = Schema::new(DataType::varying("str")?, DataType::fixed("u32", 4)?);
/// let words = Options::new().create_dyn(&path, schema)?;
/// words.insert("moon", 7u32.to_le_bytes())?;
/// assert!(matches!(words.insert("sun", b"7"), Err(Error::Width { expected: 4, found: 1, .. })));
/// words.close()?;
///
/// let words = Options::new().open_dyn(&path)?;
/// assert_eq!(words.schema(), schema);
/// assert_eq!(words.get("moon")?, Some(7u32.to_le_bytes().to_vec()));
/// # Ok::<(), tophash::Error>(())
/// ```
#[derive(Clone)]
pub struct DynMap {
    pub(super) store: Store,
}

impl Options {
    /// Opens a file that is there, whatever its types are.
    ///
    /// # Errors
    /// [`Io`](Error::Io) with `NotFound` where there is none, whatever [`create`](Options::create) says: a new file needs
    /// a [schema](Options::create_dyn). Else as [`Store::open`].
    pub fn open_dyn(mut self, path: impl AsRef<Path>) -> Result<DynMap> {
        self.create = false;
        self.schema = None;
        Ok(DynMap { store: Store::open_with(path.as_ref(), self)? })
    }

    /// Makes a file for these types.
    ///
    /// # Errors
    /// [`Io`](Error::Io) with `AlreadyExists` where there is one, which is left as it is. Else as [`Store::open`].
    pub fn create_dyn(mut self, path: impl AsRef<Path>, schema: Schema) -> Result<DynMap> {
        self.create = true;
        self.must_be_new = true;
        self.schema = Some(schema);
        Ok(DynMap { store: Store::open_with(path.as_ref(), self)? })
    }
}

impl DynMap {
    /// The value of a key.
    ///
    /// # Errors
    /// [`Width`](Error::Width) and [`Decode`](Error::Decode) for bytes that are no key. Else as [`Store::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        bytes::get(&self.store, self.layout(), self.key(key.as_ref())?, <[u8]>::to_vec)
    }

    /// Whether a key is there.
    ///
    /// # Errors
    /// As those of [`DynMap::get`].
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        bytes::contains_key(&self.store, self.layout(), self.key(key.as_ref())?)
    }

    /// Sets the value of a key and returns the one before.
    ///
    /// # Errors
    /// [`Width`](Error::Width) and [`Decode`](Error::Decode) for bytes that are no key or no value. Else as
    /// [`Store::insert`]. Nothing has changed then.
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        let (key, value) = (self.key(key.as_ref())?, self.value(value.as_ref())?);
        bytes::insert(&self.store, self.layout(), key, value, <[u8]>::to_vec)
    }

    /// Removes a key and returns its value.
    ///
    /// # Errors
    /// [`Width`](Error::Width) and [`Decode`](Error::Decode) for bytes that are no key. Else as [`Store::remove`]. Nothing
    /// has changed then.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        bytes::remove(&self.store, self.layout(), self.key(key.as_ref())?, <[u8]>::to_vec)
    }

    /// Inserts many entries together: all of them, or none after an error or a crash. They are collected in a [`Batch`].
    ///
    /// # Errors
    /// As those of [`DynMap::insert`]. Where one of them is no key or no value of the file, nothing has changed.
    pub fn insert_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<()> {
        self.apply(&Batch::from_iter(entries))
    }

    /// Makes the changes of a batch together, as [`Store::apply`].
    ///
    /// # Errors
    /// As those of [`DynMap::insert`]. Where something in the batch is no key or no value of the file, nothing has changed.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("words.tophash");
    /// use tophash::{Batch, DataType, Options, Schema};
    ///
    /// let schema = Schema::new(DataType::varying("str")?, DataType::fixed("u32", 4)?);
    /// let words = Options::new().create_dyn(&path, schema)?;
    /// let mut batch = Batch::new();
    /// batch.put("moon", 7u32.to_le_bytes()).put("sun", 1u32.to_le_bytes()).remove("moon");
    /// words.apply(&batch)?;
    /// assert_eq!(words.len(), 1);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn apply(&self, batch: &Batch) -> Result<()> {
        if self.schema() != Schema::BYTES {
            self.check(batch)?;
        }
        self.store.apply(batch)
    }

    fn check(&self, batch: &Batch) -> Result<()> {
        batch.changes().try_for_each(|change| {
            let change = change?;
            self.key(change.key)?;
            if change.frame.kind == Kind::Put {
                self.value(change.value)?;
            }
            Ok(())
        })
    }

    /// Every entry, as [`Store::iter`] yields them.
    pub fn iter(&self) -> DynIter<'_> {
        let layout = self.layout();
        DynIter { entries: Entries::new(&self.store, layout), layout }
    }

    fn layout(&self) -> Layout {
        self.schema().layout()
    }

    /// The bytes, if they are a key.
    fn key<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let schema = self.schema();
        let width = match schema.layout() {
            Layout::Record => None,
            Layout::Inline { key_width, .. } => Some(key_width),
        };
        checked(schema.key(), width, bytes)
    }

    /// The bytes, if they are a value.
    fn value<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let schema = self.schema();
        let width = match schema.layout() {
            Layout::Record => None,
            Layout::Inline { elem_width, .. } => Some(elem_width),
        };
        checked(schema.value(), width, bytes)
    }
}

file_operations!(<> DynMap, store);

/// The bytes, if they are a value of a type of this name, and of the width that cells have.
fn checked<'b>(name: &str, width: Option<u8>, bytes: &'b [u8]) -> Result<&'b [u8]> {
    let found = bytes.len() as u64;
    match width.map(u64::from).filter(|&expected| expected != found) {
        Some(expected) => Err(Error::Width { type_name: Cow::Owned(name.to_owned()), expected, found }),
        None => built_in::check(name, bytes).map(|()| bytes),
    }
}

impl fmt::Debug for DynMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        file::debug(&self.store, "DynMap", f)
    }
}

impl<'m> IntoIterator for &'m DynMap {
    type Item = Result<(Vec<u8>, Vec<u8>)>;
    type IntoIter = DynIter<'m>;

    fn into_iter(self) -> DynIter<'m> {
        self.iter()
    }
}

/// Every entry of a [`DynMap`]. An error is yielded once, and the iteration goes on behind it.
pub struct DynIter<'m> {
    entries: Entries<'m>,
    layout: Layout,
}

impl Iterator for DynIter<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.entries.next_with(self.layout, |key, value| Ok((key.to_vec(), value.to_vec())))
    }
}

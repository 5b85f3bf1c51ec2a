//! The store: what users hold.
//!
//! A [`Store`] is a handle; clones share one open file. Behind it stands the core: the table and the log's end under
//! one writer lock, and beside it what readers load without a lock. Writes go
//!
//! > check sizes → lock → find the key → prepare the change → secure log space → **append** → change the table →
//! > unlock → wait for a sync if the durability asks for one,
//!
//! and everything that can fail comes before the append (C12). Where a write depends on what is there (`update`), the lock is
//! held meanwhile; a batch (`batch`) goes through each of these steps with all of its keys. At the end of a write stands its
//! share of compaction ([`moving`]).

mod background;
mod backup;
mod batch;
mod checkpoint;
mod closure;
mod compact;
mod core;
mod growth;
pub(crate) mod inline;
mod iter;
mod looks;
mod many;
mod moving;
mod report;
mod room;
mod scan;
mod snapshot;
#[cfg(test)]
mod tests;
mod update;
mod upkeep;
mod value;
mod write;

use std::path::Path;
use std::sync::Arc;

pub use compact::{Compaction, CompactionProgress};
pub use iter::{Iter, Keys, Values};
pub use many::GetMany;
pub(crate) use many::{Answers, GROUP, Grouped};
pub use report::Buckets;
pub use scan::Scan;
pub use snapshot::{Snapshot, SnapshotIter};
pub use update::Drain;
pub(crate) use update::Step;
pub use value::Value;

use crate::error::Result;
use crate::file::log::segment::Segment;
use crate::mutants::{Mutant, kept};
use crate::options::Options;
use background::Background;
use core::Core;

/// A persistent hash table of byte strings in one file. Cheap to clone, and free to share among threads: one
/// writes at a time, and readers never wait.
///
/// ```
/// # fn main() -> tophash::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("app.tophash");
/// let store = tophash::Store::open(&path)?;
/// store.insert("user:1", "Ada")?;
/// store.insert("user:2", "Grace")?;
///
/// let name = store.get("user:1")?.expect("it was just inserted");
/// assert_eq!(&*name, b"Ada");
///
/// for entry in store.iter() {
///     let (key, value) = entry?;
///     println!("{} = {}", String::from_utf8_lossy(&key), String::from_utf8_lossy(&value));
/// }
/// store.remove("user:2")?;
/// assert_eq!(store.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// The open file and the thread that serves it; dropped with the last clone of the store.
struct Handle {
    core: Arc<Core>,
    background: Option<Background>,
}

impl Store {
    /// Opens the store at `path` for reading and writing, or makes it where there is none; recovers it if it was not
    /// closed. Constant time after a clean close, after a crash linear in the log since the last checkpoint.
    ///
    /// # Errors
    /// [`Locked`](crate::Error::Locked) at once when another handle has it open; [`NotTophash`](crate::Error::NotTophash)
    /// and [`Version`](crate::Error::Version) for files that are not ours or too new, [`Schema`](crate::Error::Schema) for
    /// those of a [`Map`](crate::Map) or a [`Set`](crate::Set), which are left as they are;
    /// [`Corrupt`](crate::Error::Corrupt) where a checksum does not fit.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("another.tophash");
    /// let store = tophash::Store::open(&path)?;
    /// let second = tophash::Store::open(&path);
    /// assert!(matches!(second, Err(tophash::Error::Locked { .. })));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Store> {
        Options::new().open(path)
    }

    pub(crate) fn open_with(path: &Path, options: Options) -> Result<Store> {
        let in_background = options.background && !options.read_only;
        let core = Arc::new(Core::open(path, options)?);
        let background = if in_background { Some(Background::start(&core)?) } else { None };
        Ok(Store { handle: Arc::new(Handle { core, background }) })
    }

    /// The value of a key. No lock, no allocation, no copy: two cache misses, the bucket and the record.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// assert_eq!(store.get("key")?.as_deref(), Some(&b"value"[..]));
    /// assert!(store.get("another")?.is_none());
    /// # Ok::<(), tophash::Error>(())
    /// ```
    #[inline]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value<'_>>> {
        self.core().get(key.as_ref())
    }

    /// The values of many keys, in the order of the keys: [`Store::get`] for each, at twice its rate and more where the
    /// store is larger than the processor's caches. A get waits for two cache misses; here those of 16 keys overlap.
    ///
    /// The keys are taken 16 at a time, when the first of the values is asked for; each value is what the key had at a
    /// moment between then and when it is yielded. No lock, no copy, no allocation but for an error. Values that are
    /// looked up and not yet yielded hold back the reuse of their space, as values do.
    ///
    /// # Errors
    /// Each concerns its key alone; the next one is looked up all the same.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("user:1", "Ada")?;
    /// store.insert("user:2", "Grace")?;
    /// let keys = ["user:2", "user:7", "user:1"];
    /// for (key, value) in keys.iter().zip(store.get_many(keys)) {
    ///     match value? {
    ///         Some(name) => println!("{key} is {}", String::from_utf8_lossy(&name)),
    ///         None => println!("{key} is unknown"),
    ///     }
    /// }
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn get_many<I>(&self, keys: I) -> GetMany<'_, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        GetMany::new(self.core(), keys.into_iter())
    }

    /// The key as it is stored, and its value.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// let (key, value) = store.get_key_value("key")?.expect("present");
    /// assert_eq!((&*key, &*value), (&b"key"[..], &b"value"[..]));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn get_key_value(&self, key: impl AsRef<[u8]>) -> Result<Option<(Value<'_>, Value<'_>)>> {
        self.core().get_key_value(key.as_ref())
    }

    /// Whether the key is there. Does not read the value of a record that is larger than 64 KiB.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// assert!(store.contains_key("key")? && !store.contains_key("another")?);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.core().contains_key(key.as_ref())
    }

    /// Entries in the store.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// assert_eq!(store.len(), 1);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn len(&self) -> u64 {
        self.core().count()
    }

    /// Whether there is none.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// assert!(store.is_empty());
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets the value of a key and returns the one before. Amortised constant time; the table grows by a bucket or
    /// two a call, never all at once.
    ///
    /// # Errors
    /// [`TooLarge`](crate::Error::TooLarge) beyond 16 MiB of key or 4 GiB - 1 of value,
    /// [`NoSpace`](crate::Error::NoSpace) when the disk is full, [`Corrupt`](crate::Error::Corrupt) when the value to be
    /// replaced is damaged; nothing has changed then. If the sync that
    /// [`Durability::Immediate`](crate::Durability::Immediate) waits for fails, the outcome is unknown: see
    /// [`Poisoned`](crate::Error::Poisoned).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// assert!(store.insert("key", "old")?.is_none());
    /// assert_eq!(store.insert("key", "new")?.as_deref(), Some(&b"old"[..]));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Option<Value<'_>>> {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.write(|core| core.with_room(|| core.insert(key, value)))
    }

    /// Removes a key and returns its value. Removing an absent key changes nothing. Amortised constant time; a table with
    /// less than an eighth of the entries that it has room for is halved, by two buckets or four a call, never all at once.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// assert_eq!(store.remove("key")?.as_deref(), Some(&b"value"[..]));
    /// assert!(store.remove("key")?.is_none());
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<Option<Value<'_>>> {
        self.write(|core| core.remove(key.as_ref()))
    }

    /// Removes a key without reading its value; whether it was there. The way out for a key whose large value is damaged:
    /// [`insert`](Store::insert) and [`remove`](Store::remove) return the value before, and so refuse.
    ///
    /// # Errors
    /// [`NoSpace`](crate::Error::NoSpace) when the disk is full, [`Corrupt`](crate::Error::Corrupt) when the table or the
    /// key's record is damaged, and with it the key; nothing has changed then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// assert!(store.forget("key")?);
    /// assert!(!store.forget("key")?);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn forget(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.write(|core| core.forget(key.as_ref()))
    }

    /// Removes every key, in constant time. Iterators that are under way end.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// store.clear()?;
    /// assert!(store.is_empty());
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        self.write(Core::clear)
    }

    /// Every entry, in no order, beginning at a random one. Entries that are there throughout are yielded exactly
    /// once, also while the table grows under the iterator; one that is inserted or removed meanwhile may be yielded
    /// or not.
    ///
    /// An iterator holds back the reuse of what it may still see; it never holds back a writer.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// for entry in store.iter() {
    ///     let (key, value) = entry?;
    ///     // Writing while iterating is fine: the iterator holds no lock.
    ///     store.insert(&key, value.to_ascii_uppercase())?;
    /// }
    /// assert_eq!(store.get("key")?.as_deref(), Some(&b"VALUE"[..]));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(self.core())
    }

    /// Every key, as [`Store::iter`] yields them. Nobody looks at the values, so damage to that of a large record does not show.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// let keys: Vec<_> = store.keys().collect::<tophash::Result<_>>()?;
    /// assert_eq!(keys, ["key"]);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn keys(&self) -> Keys<'_> {
        Keys(self.iter())
    }

    /// Every value, as [`Store::iter`] yields them.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// let bytes: usize = store.values().map(|value| value.map_or(0, |v| v.len())).sum();
    /// assert_eq!(bytes, 5);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn values(&self) -> Values<'_> {
        Values(self.iter())
    }

    /// Every entry, in the order in which they were last written, or moved by compaction: reads the log from its beginning
    /// to its end, so that a store which is larger than memory is read from the disk once and in order. Where the store
    /// fits into memory, [`Store::iter`] is faster.
    ///
    /// Entries that are there throughout are yielded exactly once, also if they are written anew meanwhile: such a one
    /// comes as it then is, in the place of an older version of it, and the scan remembers its key, for which it takes
    /// some 32 bytes. One that is inserted or removed meanwhile may be yielded or not. No entry is yielded twice.
    /// [`Store::clear`] ends the scan.
    ///
    /// A scan waits for the write that is under way when it begins. It holds back the reuse of what it may still see;
    /// it never holds back a writer. Linear in the size of the log,
    /// old versions that it still has included. All checksums are compared, whatever
    /// [`verify_reads`](crate::Options::verify_reads) says.
    ///
    /// # Errors
    /// Damage in the log is yielded once, also where only an old version was hit, and the scan goes on behind it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// for (key, value) in [("first", "1"), ("second", "2"), ("first", "3")] {
    ///     store.insert(key, value)?;
    /// }
    /// let keys: Vec<_> = store.scan().map(|entry| Ok(entry?.0)).collect::<tophash::Result<_>>()?;
    /// assert_eq!(keys, ["second", "first"]);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn scan(&self) -> Scan<'_> {
        Scan::new(self.core())
    }

    /// Returns once everything that was written before is on disk, in every durability mode.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// store.sync()?; // from here on the entry survives a power cut
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn sync(&self) -> Result<()> {
        self.core().sync()
    }

    /// Writes the changed pages of the table to the file, so that reopening has nothing to replay. Done in the
    /// background when it is due; this does it now.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// store.checkpoint()?;
    /// assert_eq!(store.stats()?.log_bytes_since_checkpoint, 0);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn checkpoint(&self) -> Result<()> {
        self.core().checkpoint()
    }

    /// Closes the store and reports what a drop can't. When other handles of the same store are alive, the file stays
    /// open for them, and this syncs it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// store.close()?;
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn close(self) -> Result<()> {
        match Arc::try_unwrap(self.handle) {
            Ok(mut handle) => handle.close(),
            Err(shared) if shared.core.is_read_only() || !kept(Mutant::SharedCloseSyncs) => Ok(()),
            Err(shared) => shared.core.sync(),
        }
    }

    /// The segments of the log; for salvage.
    pub(crate) fn log_segments(&self) -> Result<Vec<Arc<Segment>>> {
        Ok(self.core().log.segments(&self.core().pin()?))
    }

    #[inline]
    fn core(&self) -> &Core {
        &self.handle.core
    }

    /// Runs a write and what is due after it.
    #[inline]
    fn write<'s, T>(&'s self, write: impl FnOnce(&'s Core) -> Result<T>) -> Result<T> {
        let core = self.core();
        core.wait_if_due();
        let done = write(core)?;
        match &self.handle.background {
            Some(background) => background.wake(core),
            None => core.do_upkeep(),
        }
        Ok(done)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.core().path()).field("len", &self.len()).finish()
    }
}

impl<'s> IntoIterator for &'s Store {
    type Item = Result<(Value<'s>, Value<'s>)>;
    type IntoIter = Iter<'s>;

    fn into_iter(self) -> Iter<'s> {
        self.iter()
    }
}

impl Handle {
    fn close(&mut self) -> Result<()> {
        // The thread first: nobody else may write once the file says that it is closed.
        self.background = None;
        self.core.close()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.background = None;
        // Whoever wants to know how the close went calls `Store::close`; it closes once.
        let _ = self.core.close();
    }
}

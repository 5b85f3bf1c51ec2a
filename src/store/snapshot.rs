//! Snapshots: a checkpoint to look at for as long as one likes, while others write.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use crate::error::{Error, Result};
use crate::file::epoch::{Domain, Pin};
use crate::file::fork::Process;
use crate::file::log::Log;
use crate::file::past::PastPages;
use crate::format::schema::Layout;
use crate::store::Store;
use crate::store::core::Core;
use crate::store::iter::{entry, next_record};
use crate::store::value::Value;
use crate::table::{Cells as _, Geometry, InlineCells, KeyHasher, Slot, Walk, lookup};
use crate::upkeep::kept::KeptCheckpoint;
use crate::upkeep::records::PinnedRecords;

impl Store {
    /// The store as it was at the last checkpoint, for as long as the snapshot lives, whatever is written meanwhile: for
    /// iterations and exports that must show one moment. [`Store::checkpoint`] first makes that moment now.
    ///
    /// Taking one waits for a checkpoint that is under way, and costs what an opening after a clean close costs. What is
    /// looked at is read from the file into memory of the snapshot's own, a page of the bucket array at a time. Writers go
    /// on; a checkpoint that writes over a page which the snapshot has not read yet saves the old one for it, so that it
    /// takes at most as much memory as the bucket array has. Space of the file that it refers to is not used again before
    /// it is dropped. [`Stats::snapshots`](crate::report::Stats::snapshots) and
    /// [`snapshot_bytes`](crate::report::Stats::snapshot_bytes) tell of the snapshots that live.
    ///
    /// A snapshot may outlive the store's handles: the store is closed as ever, and its file stays locked until the last
    /// snapshot is dropped.
    ///
    /// Of a store that was opened read-only it is the last checkpoint too. Where the file was not closed, such a store
    /// itself has more, and as it never changes it needs no snapshot.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) where the file no longer holds what the checkpoint wrote, [`NoSpace`](Error::NoSpace)
    /// where address space is short, [`Io`](Error::Io).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "old")?;
    /// store.checkpoint()?;
    /// let snapshot = store.snapshot()?;
    /// store.insert("key", "new")?;
    /// store.insert("another", "value")?;
    /// store.checkpoint()?;
    /// for entry in &snapshot {
    ///     let (key, value) = entry?;
    ///     assert_eq!((&*key, &*value), (&b"key"[..], &b"old"[..]));
    /// }
    /// assert_eq!((snapshot.len(), store.len()), (1, 2));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::new(self.core())
    }
}

impl Core {
    /// Keeps the last checkpoint.
    pub(super) fn keep_checkpoint(&self) -> Result<KeptCheckpoint> {
        self.process.check()?;
        self.check_outside()?;
        let Some(files) = &*self.files else {
            return KeptCheckpoint::read(&self.media, self.opened_with, None);
        };
        let _no_checkpoint = files.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = KeptCheckpoint::read(&self.media, files.headers.durable(), Some(&files.space))?;
        files.checkpointer.pasts().add(kept.past());
        Ok(kept)
    }
}

/// A store as it was at a checkpoint; see [`Store::snapshot`].
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
/// store.insert("key", "value")?;
/// store.checkpoint()?;
/// let snapshot = store.snapshot()?;
/// store.clear()?;
/// let keys = std::thread::spawn(move || snapshot.keys().filter(Result::is_ok).count());
/// assert_eq!(keys.join().unwrap(), 1);
/// # Ok::<(), tophash::Error>(())
/// ```
pub struct Snapshot {
    geometry: Geometry<PastPages>,
    log: Log,
    hasher: KeyHasher,
    /// The snapshot's own readers: what they see is taken away when it is dropped, and not before.
    domain: Arc<Domain>,
    process: Process,
    path: PathBuf,
    kept: KeptCheckpoint,
}

impl Snapshot {
    fn new(core: &Core) -> Result<Self> {
        let kept = core.keep_checkpoint()?;
        let domain = Domain::without_collector();
        Ok(Snapshot {
            geometry: kept.geometry()?,
            log: Log::new(&domain, kept.segments()?, core.options.verify_reads),
            hasher: KeyHasher::new(core.hash_kind, &kept.header().identity.hash0),
            domain,
            process: core.process,
            path: core.path().to_owned(),
            kept,
        })
    }

    /// The value that a key had.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// store.checkpoint()?;
    /// let snapshot = store.snapshot()?;
    /// store.remove("key")?;
    /// assert_eq!(snapshot.get("key")?.as_deref(), Some(&b"value"[..]));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value<'_>>> {
        Ok(self.get_key_value(key)?.map(|(_, value)| value))
    }

    /// The key as it was stored, and its value.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// store.checkpoint()?;
    /// let snapshot = store.snapshot()?;
    /// let (key, value) = snapshot.get_key_value("key")?.expect("present");
    /// assert_eq!((&*key, &*value), (&b"key"[..], &b"value"[..]));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn get_key_value(&self, key: impl AsRef<[u8]>) -> Result<Option<(Value<'_>, Value<'_>)>> {
        let (pin, key) = (self.pin()?, key.as_ref());
        let (hash, records) = (self.hasher.hash(key), self.records(&pin));
        match lookup(|| &self.geometry, hash, |slot| records.find(slot, hash, key))? {
            Some(record) => Ok(Some((Value::keep(&pin, record.key()), Value::keep(&pin, record.value()?)))),
            None => Ok(None),
        }
    }

    /// Whether the key was there.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// store.checkpoint()?;
    /// let snapshot = store.snapshot()?;
    /// assert!(snapshot.contains_key("key")? && !snapshot.contains_key("another")?);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let (pin, key) = (self.pin()?, key.as_ref());
        let (hash, records) = (self.hasher.hash(key), self.records(&pin));
        Ok(lookup(|| &self.geometry, hash, |slot| records.find(slot, hash, key))?.is_some())
    }

    /// Entries that there were.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// assert_eq!(store.snapshot()?.len(), 0); // there was no checkpoint yet
    /// store.checkpoint()?;
    /// assert_eq!(store.snapshot()?.len(), 1);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn len(&self) -> u64 {
        self.kept.header().hmap.count
    }

    /// Whether there was none.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// assert!(store.snapshot()?.is_empty());
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the checkpoint in the life of the file.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// let before = store.snapshot()?.checkpoint_seq();
    /// store.checkpoint()?;
    /// assert_eq!(store.snapshot()?.checkpoint_seq(), before + 1);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn checkpoint_seq(&self) -> u64 {
        self.kept.header().checkpoint_seq
    }

    /// Every entry, each once, in no order, beginning at a random one. An error is yielded once, and the iteration goes
    /// on behind it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// store.checkpoint()?;
    /// let entries: Vec<_> = store.snapshot()?.iter().map(|entry| Ok(entry?.0.to_vec())).collect::<tophash::Result<_>>()?;
    /// assert_eq!(entries, [b"key"]);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn iter(&self) -> SnapshotIter<'_> {
        let start = RandomState::new().hash_one(());
        let state = match self.pin() {
            Ok(pin) => State::Walking(Box::new(Walk::new(&self.geometry, start)), pin),
            Err(error) => State::Failed(error),
        };
        SnapshotIter { snapshot: self, state }
    }

    /// Every key, as [`Snapshot::iter`] yields them.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// store.checkpoint()?;
    /// let snapshot = store.snapshot()?;
    /// assert_eq!(snapshot.keys().collect::<tophash::Result<Vec<_>>>()?, ["key"]);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn keys(&self) -> impl Iterator<Item = Result<Value<'_>>> {
        self.iter().map(|entry| Ok(entry?.0))
    }

    /// Every value, as [`Snapshot::iter`] yields them.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// store.checkpoint()?;
    /// let snapshot = store.snapshot()?;
    /// assert_eq!(snapshot.values().collect::<tophash::Result<Vec<_>>>()?, ["value"]);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn values(&self) -> impl Iterator<Item = Result<Value<'_>>> {
        self.iter().map(|entry| Ok(entry?.1))
    }

    /// Copies the value that a key had to `elem`; false, and `elem` may hold anything, where the key was absent.
    pub(crate) fn inline_get(&self, key: &[u8], elem: &mut [u8]) -> Result<bool> {
        self.process.check()?;
        let copy = |slot: Slot<'_, PastPages>| Ok(slot.read_if(key, elem).then_some(()));
        Ok(lookup(|| &self.geometry, self.hasher.hash(key), copy)?.is_some())
    }

    /// How the cells hold keys and values.
    pub(crate) fn layout(&self) -> Layout {
        self.kept.header().identity.schema.layout
    }

    fn pin(&self) -> Result<Pin<'_>> {
        self.process.check()?;
        Ok(self.domain.pin())
    }

    fn records<'a, 's>(&'a self, pin: &'a Pin<'s>) -> PinnedRecords<'a, 's> {
        PinnedRecords { log: &self.log, pin, hasher: &self.hasher }
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (path, seq) = (Path::new(&self.path), self.checkpoint_seq());
        f.debug_struct("Snapshot")
            .field("path", &path)
            .field("checkpoint_seq", &seq)
            .field("len", &self.len())
            .finish()
    }
}

impl<'s> IntoIterator for &'s Snapshot {
    type Item = Result<(Value<'s>, Value<'s>)>;
    type IntoIter = SnapshotIter<'s>;

    fn into_iter(self) -> SnapshotIter<'s> {
        self.iter()
    }
}

/// Every entry of a snapshot; see [`Snapshot::iter`].
pub struct SnapshotIter<'s> {
    snapshot: &'s Snapshot,
    state: State<'s>,
}

enum State<'s> {
    Walking(Box<Walk<PastPages>>, Pin<'s>),
    /// The snapshot belongs to another process.
    Failed(Error),
    Ended,
}

impl<'s> Iterator for SnapshotIter<'s> {
    type Item = Result<(Value<'s>, Value<'s>)>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.state {
            State::Walking(walk, pin) => {
                let (geometry, records) = (&self.snapshot.geometry, self.snapshot.records(pin));
                next_record(walk, || geometry, &records, |record| entry(pin, record))
            }
            _ => self.over().map(Err),
        }
    }
}

impl SnapshotIter<'_> {
    /// In the inline layout: what `found` makes of the next key and elem; `None` at the end.
    pub(crate) fn next_inline<T>(
        &mut self,
        found: impl FnOnce(&[u8], &[u8]) -> Result<T>,
    ) -> Option<Result<T>> {
        let State::Walking(walk, _) = &mut self.state else { return self.over().map(Err) };
        let Snapshot { geometry, hasher, .. } = self.snapshot;
        let entry = walk.next(|| geometry, &InlineCells::of(self.snapshot.layout(), hasher))?;
        Some(entry.and_then(|entry| found(entry.key(), entry.elem())))
    }

    /// The error that there is in place of a walk, once.
    fn over(&mut self) -> Option<Error> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Failed(error) => Some(error),
            _ => None,
        }
    }
}

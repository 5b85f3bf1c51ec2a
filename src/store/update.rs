//! Changes that depend on what is there: read and written under one hold of the writer lock.

use std::iter::FusedIterator;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::MutexGuard;

use crate::error::Result;
use crate::file::epoch::Pin;
use crate::file::log::RecordRef;
use crate::file::log::writer::Purpose;
use crate::file::region::RecordBytes;
use crate::format::bucket::{Hash, Position};
use crate::store::Store;
use crate::store::core::{Core, Files, Writer};
use crate::store::iter::Keys;
use crate::store::value::Value;
use crate::store::write::{Located, previous};
use crate::table::{Spot, prefetch_to_change};

/// What becomes of a key's value.
pub(crate) enum Step<B> {
    /// It stays, or the key stays absent.
    Keep,
    /// It becomes this one.
    Put(B),
    /// It goes, and the key with it.
    Remove,
}

impl Store {
    /// Gives a key's value to `change`, sets what it returns, and returns the value before, all in one: no other writer
    /// comes between. `None` is an absent key: given where there is none, and removed where it is returned.
    ///
    /// Other writers wait while `change` runs. If it panics, nothing has changed and the store goes on.
    ///
    /// # Errors
    /// As those of [`insert`](Store::insert), and nothing has changed then. From inside `change`, reading this store is
    /// fine; a write to it, and whatever else waits for its writers (`sync`, `checkpoint`, `scan` and reports), is
    /// [`Reentrant`](crate::Error::Reentrant).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// for word in ["sun", "moon", "sun"] {
    ///     store.update(word, |count| {
    ///         let count = count.map_or(0, |count| u32::from_le_bytes(count.try_into().unwrap()));
    ///         Some((count + 1).to_le_bytes().to_vec())
    ///     })?;
    /// }
    /// assert_eq!(store.get("sun")?.as_deref(), Some(&2u32.to_le_bytes()[..]));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn update(
        &self,
        key: impl AsRef<[u8]>,
        change: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<Value<'_>>> {
        self.write(|core| core.update(key.as_ref(), change))
    }

    /// [`Store::update`] with a closure that may leave everything as it is, or refuse: its error is returned, and nothing
    /// has changed.
    pub(crate) fn try_update<B: AsRef<[u8]>>(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<&[u8]>) -> Result<Step<B>>,
    ) -> Result<()> {
        self.write(|core| core.try_update(key, change).map(drop))
    }

    /// Sets a key's value to `new` if it is `expected` now; `None` is an absent key in both. No other writer comes
    /// between. The inner error is the value that is there instead.
    ///
    /// # Errors
    /// The outer ones are those of [`insert`](Store::insert); nothing has changed then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// assert!(store.compare_exchange("lock", None, Some(b"Ada"))?.is_ok());
    /// match store.compare_exchange("lock", None, Some(b"Grace"))? {
    ///     Ok(()) => unreachable!("it is taken"),
    ///     Err(holder) => assert_eq!(holder.as_deref(), Some(&b"Ada"[..])),
    /// }
    /// assert!(store.compare_exchange("lock", Some(b"Ada"), None)?.is_ok());
    /// assert!(store.is_empty());
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn compare_exchange(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<std::result::Result<(), Option<Value<'_>>>> {
        let key = key.as_ref();
        self.write(|core| core.with_room(|| core.compare_exchange(key, expected, new)))
    }

    /// The value of a key; one that is absent is first inserted with what `value` returns. Of several that do so at the
    /// same time, one inserts, and all get its value. Where the key is there, this is a [`get`](Store::get).
    ///
    /// # Errors
    /// As those of [`insert`](Store::insert). `value` runs while other writers wait, with the limits that
    /// [`update`](Store::update) sets to its closure.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// assert_eq!(store.get_or_insert_with("key", || b"first".to_vec())?, "first");
    /// assert_eq!(store.get_or_insert_with("key", || b"second".to_vec())?, "first");
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn get_or_insert_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl FnOnce() -> Vec<u8>,
    ) -> Result<Value<'_>> {
        let key = key.as_ref();
        match self.core().get(key)? {
            Some(value) => Ok(value),
            None => self.write(|core| core.get_or_insert_with(key, value)),
        }
    }

    /// Removes every entry for which `keep` returns false, and returns their number. Entries that are there throughout
    /// are asked about exactly once, in no order; others may be.
    ///
    /// Not one change but many: each removal is a write of its own, and other writers come between. It removes only what
    /// `keep` has seen: an entry that got another value meanwhile stays. `keep` runs without a lock.
    ///
    /// # Errors
    /// At the first error it stops; what was removed before stays removed. From inside `keep`, a write to this store is
    /// [`Reentrant`](crate::Error::Reentrant).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert_many([("a", "1"), ("b", ""), ("c", "3")])?;
    /// assert_eq!(store.retain(|_key, value| !value.is_empty())?, 1);
    /// assert_eq!(store.len(), 2);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) -> Result<u64> {
        let mut removed = 0;
        for entry in self {
            let (key, value) = entry?;
            if !self.core().call(|| keep(&key, &value)) {
                removed += u64::from(self.compare_exchange(&key, Some(&value), None)?.is_ok());
            }
        }
        Ok(removed)
    }

    /// Takes entries out, one by one: an iterator that removes what it yields. What it has not come to when it is dropped
    /// stays, unlike with the `drain` of other collections, and so does what others insert behind its back.
    ///
    /// Several may drain at the same time, as workers from a queue without order: each entry goes to one of them, with the
    /// value that it had when it was removed. Each removal is a write of its own, so a crash may lose the entry that was
    /// yielded last, or bring it back: it is gone for good when a sync says so.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert_many([("a", "1"), ("b", "2"), ("c", "3")])?;
    /// for entry in store.drain().take(2) {
    ///     let (key, value) = entry?;
    ///     println!("{key:?} had {value:?}");
    /// }
    /// assert_eq!(store.len(), 1);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn drain(&self) -> Drain<'_> {
        Drain { store: self, keys: self.keys() }
    }
}

/// Entries that are removed as they are yielded; see [`Store::drain`].
///
/// An error is yielded once; the entry stays, and the iteration goes on behind it.
pub struct Drain<'s> {
    store: &'s Store,
    keys: Keys<'s>,
}

impl<'s> Iterator for Drain<'s> {
    type Item = Result<(Value<'s>, Value<'s>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = match self.keys.next()? {
                Ok(key) => key,
                Err(error) => return Some(Err(error)),
            };
            match self.store.remove(&key) {
                Ok(Some(value)) => return Some(Ok((key, value))),
                // Somebody else was faster.
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl FusedIterator for Drain<'_> {}

/// A key that nobody else can change now.
struct Held<'k, 'p> {
    core: &'p Core,
    files: &'p Files,
    writer: MutexGuard<'p, Writer>,
    pin: &'p Pin<'p>,
    key: &'k [u8],
    hash: Hash,
    spot: Spot,
    record: Option<RecordRef<'p>>,
    /// Its value, compared with its checksum (C12).
    value: Option<RecordBytes<'p>>,
}

impl Core {
    fn hold<'k, 'p>(&'p self, pin: &'p Pin<'p>, key: &'k [u8], purpose: Purpose) -> Result<Held<'k, 'p>> {
        let hash = self.hasher.hash(key);
        prefetch_to_change(self.published(pin), hash);
        let files = self.ready_to_write(purpose)?;
        let writer = self.lock_writer()?;
        let (spot, record) = writer.table.locate(&self.records(pin), hash, key)?;
        let value = previous(record.as_ref())?;
        Ok(Held { core: self, files, writer, pin, key, hash, spot, record, value })
    }

    fn update(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<Value<'_>>> {
        self.try_update(key, |before| Ok(change(before).map_or(Step::Remove, Step::Put)))
    }

    fn try_update<B: AsRef<[u8]>>(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<&[u8]>) -> Result<Step<B>>,
    ) -> Result<Option<Value<'_>>> {
        let pin = self.pin()?;
        let held = self.hold(&pin, key, Purpose::Add)?;
        let before = held.value;
        // `as_ref` is a user's too, and is called once (C17).
        let mut step = None;
        let (held, new) = held.call(|| {
            let step = step.insert(change(before.map(RecordBytes::as_slice))?);
            Ok(match step {
                Step::Keep => Step::Keep,
                Step::Put(new) => Step::Put(B::as_ref(new)),
                Step::Remove => Step::Remove,
            })
        });
        match new? {
            Step::Keep => {}
            Step::Put(new) => held.set(Some(new))?,
            Step::Remove => held.set(None)?,
        }
        Ok(before.map(|bytes| Value::keep(&pin, bytes)))
    }

    fn compare_exchange(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<std::result::Result<(), Option<Value<'_>>>> {
        let pin = self.pin()?;
        let held = self.hold(&pin, key, if new.is_some() { Purpose::Add } else { Purpose::Free })?;
        let found = held.value;
        if found.map(RecordBytes::as_slice) != expected {
            return Ok(Err(found.map(|bytes| Value::keep(&pin, bytes))));
        }
        held.set(new).map(Ok)
    }

    fn get_or_insert_with(&self, key: &[u8], value: impl FnOnce() -> Vec<u8>) -> Result<Value<'_>> {
        let pin = self.pin()?;
        let held = self.hold(&pin, key, Purpose::Add)?;
        if let Some(found) = held.value {
            return Ok(Value::keep(&pin, found));
        }
        let (held, value) = held.call(value);
        let position = held.put(&value)?;
        Ok(Value::keep(&pin, self.log.read(&pin, position)?.value()?))
    }
}

impl Held<'_, '_> {
    /// Runs a closure of the user while the key is held. If it panics the lock goes first, without a word about the panic:
    /// nothing has changed, and others may write.
    fn call<T>(self, closure: impl FnOnce() -> T) -> (Self, T) {
        match catch_unwind(AssertUnwindSafe(|| self.core.call(closure))) {
            Ok(returned) => (self, returned),
            Err(panic) => {
                drop(self);
                resume_unwind(panic)
            }
        }
    }

    /// Sets the key's value, or removes it.
    fn set(self, new: Option<&[u8]>) -> Result<()> {
        match (new, &self.record) {
            (Some(value), _) => self.put(value).map(drop),
            (None, Some(_)) => self.remove(),
            (None, None) => Ok(()),
        }
    }

    fn put(self, value: &[u8]) -> Result<Position> {
        let Held { core, files, writer, pin, key, hash, spot, record, .. } = self;
        core.put_located(files, writer, pin, key, value, Located { hash, spot, record: record.as_ref() })
    }

    fn remove(self) -> Result<()> {
        let Held { core, files, writer, pin, key, hash, spot, record, .. } = self;
        core.remove_located(files, writer, pin, key, Located { hash, spot, record: record.as_ref() })
    }
}

//! Entries that may not be there yet.

use std::borrow::Borrow;

use crate::error::Result;
use crate::map::bytes;
use crate::map::codec::{Codec, Key, encoded, fits};
use crate::map::typed::Map;
use crate::store::Step;

/// A key of a [`Map`], there or not; see [`Map::entry`].
///
/// It holds no lock and has not looked yet: what is there then counts when it is settled by `or_insert` and the like.
#[must_use = "nothing is looked up or changed before `or_insert` or the like"]
pub struct Entry<'m, K: ?Sized, V: ?Sized, Q> {
    map: &'m Map<K, V>,
    key: Q,
}

impl<'m, K: Key + ?Sized, V: Codec + ?Sized, Q: Borrow<K::Ref>> Entry<'m, K, V, Q> {
    pub(super) fn new(map: &'m Map<K, V>, key: Q) -> Self {
        Entry { map, key }
    }

    /// The key.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let words = tophash::Map::<str, u64>::open(dir.path().join("words.tophash"))?;
    /// assert_eq!(words.entry("sun").key(), "sun");
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn key(&self) -> &K::Ref {
        self.key.borrow()
    }

    /// What becomes of a value that is there, for when the entry is settled by one of `or_insert` and the like; nothing
    /// happens before. [`Map::update`] changes a value that may be absent and stay so.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let words = tophash::Map::<str, u64>::open(dir.path().join("words.tophash"))?;
    /// for word in ["sun", "moon", "sun"] {
    ///     words.entry(word).and_modify(|count| *count += 1).or_insert(1)?;
    /// }
    /// assert_eq!((words.get("sun")?, words.get("moon")?), (Some(2), Some(1)));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn and_modify<F: FnOnce(&mut V::Owned)>(self, modify: F) -> ModifiedEntry<'m, K, V, Q, F> {
        ModifiedEntry { entry: self, modify }
    }

    /// The value; a key that is absent is first inserted with this one. Of several that do so at the same time, one
    /// inserts, and all get its value.
    ///
    /// # Errors
    /// As those of [`Map::get`] and [`Map::insert`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let words = tophash::Map::<str, u64>::open(dir.path().join("words.tophash"))?;
    /// assert_eq!(words.entry("sun").or_insert(1)?, 1);
    /// assert_eq!(words.entry("sun").or_insert(2)?, 1);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn or_insert(self, value: V::Owned) -> Result<V::Owned> {
        self.or_insert_with(|| value)
    }

    /// The value; a key that is absent is first inserted with what `value` returns. That runs while other writers wait,
    /// with the limits that [`Map::update`] sets to its closure.
    ///
    /// # Errors
    /// As those of [`Map::get`] and [`Map::insert`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let words = tophash::Map::<str, u64>::open(dir.path().join("words.tophash"))?;
    /// assert_eq!(words.entry("sun").or_insert_with(|| 1)?, 1);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn or_insert_with(self, value: impl FnOnce() -> V::Owned) -> Result<V::Owned> {
        match self.map.get(self.key())? {
            Some(found) => Ok(found),
            None => self.map.settle(self.key(), |found| match found {
                Some(found) => V::decode(found).map(Settled::Found),
                None => Ok(Settled::Put(value())),
            }),
        }
    }

    /// The value; a key that is absent is first inserted with the value that its type has by default.
    ///
    /// # Errors
    /// As those of [`Map::get`] and [`Map::insert`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let words = tophash::Map::<str, u64>::open(dir.path().join("words.tophash"))?;
    /// assert_eq!(words.entry("sun").or_default()?, 0);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn or_default(self) -> Result<V::Owned>
    where
        V::Owned: Default,
    {
        self.or_insert_with(V::Owned::default)
    }
}

/// An [`Entry`] whose value is modified if it is there.
#[must_use = "nothing is modified before `or_insert` or the like"]
pub struct ModifiedEntry<'m, K: ?Sized, V: ?Sized, Q, F> {
    entry: Entry<'m, K, V, Q>,
    modify: F,
}

impl<K, V, Q, F> ModifiedEntry<'_, K, V, Q, F>
where
    K: Key + ?Sized,
    V: Codec + ?Sized,
    Q: Borrow<K::Ref>,
    F: FnOnce(&mut V::Owned),
{
    /// Modifies the value, or inserts this one for a key that is absent; what is there now. All in one: no other writer
    /// comes between.
    ///
    /// # Errors
    /// As those of [`Map::update`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let words = tophash::Map::<str, u64>::open(dir.path().join("words.tophash"))?;
    /// assert_eq!(words.entry("sun").and_modify(|count| *count += 1).or_insert(1)?, 1);
    /// assert_eq!(words.entry("sun").and_modify(|count| *count += 1).or_insert(1)?, 2);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn or_insert(self, value: V::Owned) -> Result<V::Owned> {
        self.or_insert_with(|| value)
    }

    /// Modifies the value, or inserts what `value` returns for a key that is absent; what is there now.
    ///
    /// # Errors
    /// As those of [`Map::update`], which also sets the limits to both closures.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let words = tophash::Map::<str, u64>::open(dir.path().join("words.tophash"))?;
    /// assert_eq!(words.entry("sun").and_modify(|count| *count += 1).or_insert_with(|| 1)?, 1);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn or_insert_with(self, value: impl FnOnce() -> V::Owned) -> Result<V::Owned> {
        let ModifiedEntry { entry, modify } = self;
        entry.map.settle(entry.key(), |found| {
            let Some(found) = found else { return Ok(Settled::Put(value())) };
            let mut found = V::decode(found)?;
            modify(&mut found);
            Ok(Settled::Put(found))
        })
    }

    /// Modifies the value, or inserts what its type has by default for a key that is absent; what is there now.
    ///
    /// # Errors
    /// As those of [`Map::update`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let words = tophash::Map::<str, u64>::open(dir.path().join("words.tophash"))?;
    /// assert_eq!(words.entry("sun").and_modify(|count| *count += 1).or_default()?, 0);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn or_default(self) -> Result<V::Owned>
    where
        V::Owned: Default,
    {
        self.or_insert_with(V::Owned::default)
    }
}

/// The value that a key has when an entry is settled.
pub(super) enum Settled<T> {
    /// It was there.
    Found(T),
    /// It is put there.
    Put(T),
}

impl<K: Key + ?Sized, V: Codec + ?Sized> Map<K, V> {
    /// Gives the bytes of a key's value to `settle`, and does what that says, all in one; the value that is there now.
    pub(super) fn settle(
        &self,
        key: &K::Ref,
        settle: impl FnOnce(Option<&[u8]>) -> Result<Settled<V::Owned>>,
    ) -> Result<V::Owned> {
        let key = K::encode(key)?;
        let mut now = None;
        // Outside of the closure: the bytes that it returns may be the value's own.
        let place = &mut now;
        bytes::update(&self.store, Self::LAYOUT, fits::<K>(key.as_ref())?, move |found| {
            Ok(match settle(found)? {
                Settled::Found(value) => {
                    *place = Some(value);
                    Step::Keep
                }
                Settled::Put(value) => Step::Put(encoded::<V>((*place.insert(value)).borrow())?),
            })
        })?;
        match now {
            Some(value) => Ok(value),
            None => unreachable!("an update that is no error called its closure"),
        }
    }
}

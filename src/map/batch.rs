//! Changes of a map that are made together.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;

use crate::batch::Batch;
use crate::error::Result;
use crate::map::codec::{Codec, Key, fits};
use crate::map::typed::Map;

/// Changes that [`Map::apply`] makes together: after a crash all of them are there, or none.
///
/// A [`Batch`] of typed keys and values. It has them as bytes, and belongs to no map. It can be applied again, to other maps
/// of the same types too, or be [reset](MapBatch::reset) and filled anew, which keeps its memory. Where it changes a key
/// twice, the last change counts.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let accounts = tophash::Map::<u32, i64>::open(dir.path().join("accounts.tophash"))?;
/// accounts.insert_many([(1, 30), (2, 0)])?;
/// let mut batch = accounts.batch();
/// batch.put(1, 10)?.put(2, 20)?.remove(&3)?;
/// accounts.apply(&batch)?;
/// assert_eq!((accounts.get(&1)?, accounts.get(&2)?), (Some(10), Some(20)));
/// # Ok::<(), tophash::Error>(())
/// ```
pub struct MapBatch<K: ?Sized, V: ?Sized> {
    bytes: Batch,
    types: PhantomData<fn(&K, &V)>,
}

impl<K: ?Sized, V: ?Sized> MapBatch<K, V> {
    /// One that changes nothing yet: as [`Map::batch`], where there is no map at hand.
    ///
    /// ```
    /// assert!(tophash::MapBatch::<u32, u64>::new().is_empty());
    /// ```
    pub fn new() -> Self {
        MapBatch { bytes: Batch::new(), types: PhantomData }
    }

    /// Removes every key. What the batch changed before is forgotten: it would not be seen.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// squares.insert_many([(3, 9), (4, 16)])?;
    /// let mut batch = squares.batch();
    /// batch.clear().put(5, 25)?;
    /// squares.apply(&batch)?;
    /// assert_eq!(squares.len(), 1); // never 0, also across a crash
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn clear(&mut self) -> &mut Self {
        self.bytes.clear();
        self
    }

    /// How many changes there are; a [`clear`](MapBatch::clear) is one.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets all changes and keeps the memory, for the next ones.
    pub fn reset(&mut self) {
        self.bytes.reset();
    }
}

impl<K: Key + ?Sized, V: Codec + ?Sized> MapBatch<K, V> {
    /// Sets the value of a key. Takes both as [`Map::insert`] does.
    ///
    /// # Errors
    /// [`Encode`](crate::Error::Encode) and [`Width`](crate::Error::Width) where a codec refuses one of them: the batch is
    /// as it was. Other sizes are checked when it is applied.
    ///
    /// ```
    /// let mut batch = tophash::MapBatch::<str, u64>::new();
    /// batch.put("sun", 1)?.put("moon", 2)?;
    /// assert_eq!(batch.len(), 2);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn put(&mut self, key: impl Borrow<K::Ref>, value: impl Borrow<V::Ref>) -> Result<&mut Self> {
        let (key, value) = (K::encode(key.borrow())?, V::encode(value.borrow())?);
        self.bytes.put(fits::<K>(key.as_ref())?, fits::<V>(value.as_ref())?);
        Ok(self)
    }

    /// Removes a key, if it is there when the batch is applied.
    ///
    /// # Errors
    /// As those of [`MapBatch::put`].
    ///
    /// ```
    /// let mut batch = tophash::MapBatch::<str, u64>::new();
    /// batch.remove("sun")?;
    /// assert_eq!(batch.len(), 1);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn remove(&mut self, key: &K::Ref) -> Result<&mut Self> {
        let key = K::encode(key)?;
        self.bytes.remove(fits::<K>(key.as_ref())?);
        Ok(self)
    }
}

impl<K: Key + ?Sized> MapBatch<K, ()> {
    /// Puts a key into a [`Set`](crate::Set).
    ///
    /// # Errors
    /// As those of [`MapBatch::put`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let primes = tophash::Set::<u64>::open(dir.path().join("primes.tophash"))?;
    /// let mut batch = primes.batch();
    /// batch.insert(2)?.insert(3)?.remove(&4)?;
    /// primes.apply(&batch)?;
    /// assert_eq!(primes.len(), 2);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn insert(&mut self, key: impl Borrow<K::Ref>) -> Result<&mut Self> {
        self.put(key, ())
    }
}

impl<K: Key + ?Sized, V: Codec + ?Sized> Map<K, V> {
    /// A batch for this map, which changes nothing yet.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// let mut batch = squares.batch();
    /// batch.put(12, 144)?;
    /// squares.apply(&batch)?;
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn batch(&self) -> MapBatch<K, V> {
        MapBatch::new()
    }

    /// Makes the changes of a batch together, as [`Store::apply`](crate::Store::apply): after a crash at any moment all of
    /// them are there, or none. Other writers come before or after all of it. A reader may see some of them a moment before
    /// the others.
    ///
    /// # Errors
    /// As those of [`Map::insert`], but values that are replaced or removed are not looked at. Nothing has changed then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let words = tophash::Map::<str, u64>::open(dir.path().join("words.tophash"))?;
    /// words.insert("son", 7)?;
    /// let mut batch = words.batch();
    /// batch.remove("son")?.put("sun", 7)?;
    /// words.apply(&batch)?;
    /// assert_eq!((words.get("son")?, words.get("sun")?), (None, Some(7)));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn apply(&self, batch: &MapBatch<K, V>) -> Result<()> {
        self.store.apply(&batch.bytes)
    }

    /// Inserts many entries together: all of them, or none after an error or a crash. They are collected in a
    /// [`MapBatch`].
    ///
    /// # Errors
    /// As those of [`MapBatch::put`] and [`Map::apply`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// squares.insert_many([(3, 9), (4, 16), (5, 25)])?;
    /// assert_eq!(squares.len(), 3);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn insert_many<A: Borrow<K::Ref>, B: Borrow<V::Ref>>(
        &self,
        entries: impl IntoIterator<Item = (A, B)>,
    ) -> Result<()> {
        let mut batch = self.batch();
        for (key, value) in entries {
            batch.put(key, value)?;
        }
        self.apply(&batch)
    }

    /// Inserts as many entries as there are, in batches of a thousand, and returns their number. What [`Extend`] is for
    /// other collections, which here would have to lose the errors.
    ///
    /// # Errors
    /// As those of [`Map::insert_many`]. The batches before the one that failed stay; that one and those behind it are not
    /// there.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// assert_eq!(squares.try_extend((0..5_000).map(|n| (n, u64::from(n) * u64::from(n))))?, 5_000);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn try_extend<A: Borrow<K::Ref>, B: Borrow<V::Ref>>(
        &self,
        entries: impl IntoIterator<Item = (A, B)>,
    ) -> Result<u64> {
        let (mut batch, mut done) = (self.batch(), 0);
        let mut entries = entries.into_iter().peekable();
        while let Some((key, value)) = entries.next() {
            batch.put(key, value)?;
            if batch.bytes.is_full() || entries.peek().is_none() {
                self.apply(&batch)?;
                done += batch.len() as u64;
                batch.reset();
            }
        }
        Ok(done)
    }
}

impl<K: ?Sized, V: ?Sized> Default for MapBatch<K, V> {
    fn default() -> Self {
        MapBatch::new()
    }
}

impl<K: ?Sized, V: ?Sized> Clone for MapBatch<K, V> {
    fn clone(&self) -> Self {
        MapBatch { bytes: self.bytes.clone(), types: PhantomData }
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for MapBatch<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapBatch").field("len", &self.len()).finish_non_exhaustive()
    }
}

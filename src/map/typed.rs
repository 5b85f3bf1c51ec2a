//! Maps of types that the program knows.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use crate::error::Result;
use crate::format::schema::{Layout, Schema};
use crate::map::bytes::{self, Entries};
use crate::map::codec::{Codec, Key, data_type, encoded, fits};
use crate::map::entry::Entry;
use crate::map::file::{self, file_operations};
use crate::map::iter::{MapIter, MapKeys, MapValues};
use crate::options::Options;
use crate::store::{Buckets, Compaction, CompactionProgress, Step, Store};
use crate::upkeep::backup::Backup;
use crate::upkeep::inspect::{Bucket, Growth, Info, Stats, WhichArray};
use crate::upkeep::verify::Verification;

/// A persistent hash table from `K` to `V` in one file. Cheap to clone, and free to share among threads.
///
/// Keys and values are of any type that has a [`Codec`]: integers, arrays of bytes, texts, structs. The file knows its
/// types; opened for others it is an error. What fits into the cells of the table lies there, without an allocation, and is
/// changed in place: keys and values of a fixed width of at most 128 bytes each. Else records hold it, as in a
/// [`Store`].
///
/// ```
/// # fn main() -> tophash::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("words.tophash");
/// use tophash::Map;
///
/// let words = Map::<str, u64>::open(&path)?;
/// words.insert("sun", 1)?;
/// assert_eq!(words.get("sun")?, Some(1));
///
/// for word in "the sun and the moon".split(' ') {
///     words.add(word, 1)?;
/// }
/// assert_eq!(words.get("the")?, Some(2));
/// assert_eq!(words.remove("sun")?, Some(2));
/// assert_eq!(words.len(), 3);
///
/// for entry in &words {
///     let (word, count) = entry?;
///     println!("{word}: {count}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// `Map<String, V>` and `Map<str, V>` are the same, and so are `Vec<u8>` and `[u8]`; a `Map<[u8], [u8]>` is the file of a
/// [`Store`].
pub struct Map<K: ?Sized, V: ?Sized> {
    pub(super) store: Store,
    types: PhantomData<fn(&K, &V)>,
}

impl Options {
    /// Opens the map at `path`, or makes it. See [`Map::open`] for what can go wrong.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("squares.tophash");
    /// use tophash::{Durability, Options};
    ///
    /// let squares = Options::new().durability(Durability::Immediate).open_map::<u32, u64>(&path)?;
    /// squares.insert(12, 144)?;
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn open_map<K: Key + ?Sized, V: Codec + ?Sized>(
        mut self,
        path: impl AsRef<Path>,
    ) -> Result<Map<K, V>> {
        self.schema = Some(Schema::new(data_type::<K>()?, data_type::<V>()?));
        Ok(Map { store: Store::open_with(path.as_ref(), self)?, types: PhantomData })
    }
}

impl<K: Key + ?Sized, V: Codec + ?Sized> Map<K, V> {
    /// How cells hold the entries: a constant, of which the compiler knows.
    pub(super) const LAYOUT: Layout = Layout::of(K::WIDTH, V::WIDTH);

    /// Whether a value that is there is one of the type, whoever wrote it; a cell has its width.
    const ANY_VALUE: bool = V::ANY_BYTES && (V::WIDTH.is_none() || !matches!(Self::LAYOUT, Layout::Record));

    /// Opens the map at `path` for reading and writing, or makes it where there is none; recovers it if it was not
    /// closed.
    ///
    /// # Errors
    /// [`Schema`](crate::Error::Schema) where the file has other types; else as [`Store::open`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("squares.tophash");
    /// use tophash::{Error, Map};
    ///
    /// Map::<u32, u64>::open(&path)?.insert(12, 144)?;
    /// let error = Map::<u32, i64>::open(&path).unwrap_err();
    /// assert!(matches!(error, Error::Schema { .. }));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open_map(path)
    }

    /// The value of a key.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// squares.insert(12, 144)?;
    /// assert_eq!(squares.get(&12)?, Some(144));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    #[inline]
    pub fn get(&self, key: &K::Ref) -> Result<Option<V::Owned>> {
        let key = K::encode(key)?;
        bytes::get(&self.store, Self::LAYOUT, fits::<K>(key.as_ref())?, V::decode)?.transpose()
    }

    /// Whether a key is there.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// squares.insert(12, 144)?;
    /// assert!(squares.contains_key(&12)? && !squares.contains_key(&13)?);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    #[inline]
    pub fn contains_key(&self, key: &K::Ref) -> Result<bool> {
        let key = K::encode(key)?;
        bytes::contains_key(&self.store, Self::LAYOUT, fits::<K>(key.as_ref())?)
    }

    /// Sets the value of a key and returns the one before. Takes both as they are or as references: `insert(1, 2)`,
    /// `insert("word", 3)`.
    ///
    /// # Errors
    /// [`Encode`](crate::Error::Encode) and [`Decode`](crate::Error::Decode) where a codec refuses the new value or the one
    /// before; else as [`Store::insert`]. Nothing has changed then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// assert_eq!(squares.insert(12, 143)?, None);
    /// assert_eq!(squares.insert(12, 144)?, Some(143));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    #[inline]
    pub fn insert(&self, key: impl Borrow<K::Ref>, value: impl Borrow<V::Ref>) -> Result<Option<V::Owned>> {
        let (key, value) = (K::encode(key.borrow())?, V::encode(value.borrow())?);
        let (key, value) = (fits::<K>(key.as_ref())?, fits::<V>(value.as_ref())?);
        if Self::ANY_VALUE {
            return bytes::insert(&self.store, Self::LAYOUT, key, value, V::decode)?.transpose();
        }
        let mut before = None;
        bytes::update(&self.store, Self::LAYOUT, key, |old| {
            before = old.map(V::decode).transpose()?;
            Ok(Step::Put(value))
        })?;
        Ok(before)
    }

    /// Removes a key and returns its value.
    ///
    /// # Errors
    /// [`Decode`](crate::Error::Decode) where the codec refuses the value; else as [`Store::remove`]. Nothing has changed then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// squares.insert(12, 144)?;
    /// assert_eq!(squares.remove(&12)?, Some(144));
    /// assert_eq!(squares.remove(&12)?, None);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    #[inline]
    pub fn remove(&self, key: &K::Ref) -> Result<Option<V::Owned>> {
        let key = K::encode(key)?;
        let key = fits::<K>(key.as_ref())?;
        if Self::ANY_VALUE {
            return bytes::remove(&self.store, Self::LAYOUT, key, V::decode)?.transpose();
        }
        loop {
            let taken = bytes::get(&self.store, Self::LAYOUT, key, |seen| {
                let value = V::decode(seen)?;
                Ok(bytes::remove_seen(&self.store, Self::LAYOUT, key, seen)?.then_some(value))
            })?;
            match taken {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                Some(Ok(Some(value))) => return Ok(Some(value)),
                // Another value came between.
                Some(Ok(None)) => {}
            }
        }
    }

    /// Gives a key's value to `change`, sets what it returns, and returns the value before, all in one: no other writer
    /// comes between. `None` is an absent key: given where there is none, and removed where it is returned.
    ///
    /// Other writers wait while `change` runs. If it panics, nothing has changed and the map goes on. A write to this map
    /// from inside it is [`Reentrant`](crate::Error::Reentrant).
    ///
    /// # Errors
    /// As those of [`insert`](Map::insert), and nothing has changed then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let last_seen = tophash::Map::<str, u64>::open(dir.path().join("seen.tophash"))?;
    /// last_seen.update("comet", |year| Some(year.map_or(1986, |year| year.max(1986))))?;
    /// assert_eq!(last_seen.get("comet")?, Some(1986));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn update(
        &self,
        key: impl Borrow<K::Ref>,
        change: impl FnOnce(Option<V::Owned>) -> Option<V::Owned>,
    ) -> Result<Option<V::Owned>> {
        let key = K::encode(key.borrow())?;
        let (mut before, mut after) = (None, None);
        // Outside of the closure: the bytes that it returns may be the value's own.
        let (old, new) = (&mut before, &mut after);
        bytes::update(&self.store, Self::LAYOUT, fits::<K>(key.as_ref())?, move |found| {
            *old = found.map(V::decode).transpose()?;
            Ok(match change(found.map(V::decode).transpose()?) {
                Some(value) => Step::Put(encoded::<V>((*new.insert(value)).borrow())?),
                None => Step::Remove,
            })
        })?;
        Ok(before)
    }

    /// The entry of a key, to be looked at and made if it is not there.
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
    pub fn entry<Q: Borrow<K::Ref>>(&self, key: Q) -> Entry<'_, K, V, Q> {
        Entry::new(self, key)
    }

    /// Removes every entry for which `keep` returns false, and returns their number. Entries that are there throughout
    /// are asked about exactly once, in no order; others may be.
    ///
    /// Not one change but many: each removal is a write of its own, and other writers come between. It removes only what
    /// `keep` has seen: an entry that got another value meanwhile stays. `keep` runs without a lock.
    ///
    /// # Errors
    /// At the first error it stops; what was removed before stays removed. From inside `keep`, a write to this map is
    /// [`Reentrant`](crate::Error::Reentrant).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// squares.insert_many([(3, 9), (4, 16), (5, 25)])?;
    /// assert_eq!(squares.retain(|_root, square| square % 2 == 1)?, 1);
    /// assert!(!squares.contains_key(&4)?);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(&K::Owned, &V::Owned) -> bool) -> Result<u64> {
        let mut removed = 0;
        let mut entries = Entries::new(&self.store, Self::LAYOUT);
        let mut look = |key: &[u8], value: &[u8]| {
            let (known, seen) = (K::decode(key)?, V::decode(value)?);
            let stays = self.store.call(|| keep(&known, &seen));
            Ok(!stays && bytes::remove_seen(&self.store, Self::LAYOUT, key, value)?)
        };
        while let Some(gone) = entries.next_with(Self::LAYOUT, &mut look) {
            removed += u64::from(gone?);
        }
        Ok(removed)
    }

    /// Every entry, in no order, beginning at a random one; as [`Store::iter`] yields them.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// squares.insert_many([(3, 9), (4, 16), (5, 25)])?;
    /// for entry in squares.iter() {
    ///     let (root, square) = entry?;
    ///     assert_eq!(u64::from(root * root), square);
    /// }
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn iter(&self) -> MapIter<'_, K, V> {
        MapIter::new(Entries::new(&self.store, Self::LAYOUT))
    }

    /// Every key, as [`Map::iter`] yields them.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// squares.insert_many([(3, 9), (4, 16), (5, 25)])?;
    /// let mut roots = squares.keys().collect::<tophash::Result<Vec<_>>>()?;
    /// roots.sort();
    /// assert_eq!(roots, [3, 4, 5]);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn keys(&self) -> MapKeys<'_, K> {
        MapKeys::new(Entries::new(&self.store, Self::LAYOUT))
    }

    /// Every value, as [`Map::iter`] yields them.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// squares.insert_many([(3, 9), (4, 16), (5, 25)])?;
    /// assert_eq!(squares.values().sum::<tophash::Result<u64>>()?, 50);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn values(&self) -> MapValues<'_, V> {
        MapValues::new(Entries::new(&self.store, Self::LAYOUT))
    }
}

file_operations!(<K: Key, V: Codec> Map<K, V>, store);

impl<K: ?Sized, V: ?Sized> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Map { store: self.store.clone(), types: PhantomData }
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        file::debug(&self.store, "Map", f)
    }
}

impl<'m, K: Key + ?Sized, V: Codec + ?Sized> IntoIterator for &'m Map<K, V> {
    type Item = Result<(K::Owned, V::Owned)>;
    type IntoIter = MapIter<'m, K, V>;

    fn into_iter(self) -> MapIter<'m, K, V> {
        self.iter()
    }
}

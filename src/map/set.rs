//! Sets: maps of keys to nothing.

use std::borrow::Borrow;
use std::fmt;
use std::path::Path;

use crate::error::Result;
use crate::format::schema::Schema;
use crate::map::batch::MapBatch;
use crate::map::codec::{Codec, Key};
use crate::map::file::{self, file_operations};
use crate::map::iter::MapKeys;
use crate::map::typed::Map;
use crate::options::Options;
use crate::store::{Buckets, Compaction, CompactionProgress};
use crate::upkeep::backup::Backup;
use crate::upkeep::inspect::{Bucket, Growth, Info, Stats, WhichArray};
use crate::upkeep::verify::Verification;

/// A persistent hash set in one file: a [`Map`] whose values are nothing, `()`, and whose file is that of one. Cheap to
/// clone, and free to share among threads.
///
/// ```
/// # fn main() -> tophash::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("seen.tophash");
/// use tophash::Set;
///
/// let seen = Set::<[u8; 16]>::open(&path)?;
/// assert!(seen.insert(*b"an id of 16 byte")?);
/// assert!(!seen.insert(*b"an id of 16 byte")?); // it was there
/// assert!(seen.contains(b"an id of 16 byte")?);
/// # Ok(())
/// # }
/// ```
pub struct Set<K: ?Sized> {
    pub(super) map: Map<K, ()>,
}

impl Options {
    /// Opens the set at `path`, or makes it. See [`Map::open`] for what can go wrong.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("primes.tophash");
    /// let primes = tophash::Options::new().open_set::<u64>(&path)?;
    /// primes.insert(7)?;
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn open_set<K: Key + ?Sized>(self, path: impl AsRef<Path>) -> Result<Set<K>> {
        Ok(Set { map: self.open_map(path)? })
    }
}

impl<K: Key + ?Sized> Set<K> {
    /// Opens the set at `path` for reading and writing, or makes it where there is none; recovers it if it was not
    /// closed.
    ///
    /// # Errors
    /// As those of [`Map::open`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("primes.tophash");
    /// let primes = tophash::Set::<u64>::open(&path)?;
    /// primes.insert(7)?;
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open_set(path)
    }

    /// Whether a key is in the set.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let primes = tophash::Set::<u64>::open(dir.path().join("primes.tophash"))?;
    /// primes.insert(7)?;
    /// assert!(primes.contains(&7)? && !primes.contains(&8)?);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    #[inline]
    pub fn contains(&self, key: &K::Ref) -> Result<bool> {
        self.map.contains_key(key)
    }

    /// Puts a key into the set; true if it was not there. A key that is there costs a look, and no write.
    ///
    /// # Errors
    /// As those of [`Map::insert`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let primes = tophash::Set::<u64>::open(dir.path().join("primes.tophash"))?;
    /// assert!(primes.insert(7)?);
    /// assert!(!primes.insert(7)?);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    #[inline]
    pub fn insert(&self, key: impl Borrow<K::Ref>) -> Result<bool> {
        Ok(!self.contains(key.borrow())? && self.map.insert(key, ())?.is_none())
    }

    /// Takes a key out of the set; true if it was there.
    ///
    /// # Errors
    /// As those of [`Map::remove`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let primes = tophash::Set::<u64>::open(dir.path().join("primes.tophash"))?;
    /// primes.insert(7)?;
    /// assert!(primes.remove(&7)?);
    /// assert!(!primes.remove(&7)?);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    #[inline]
    pub fn remove(&self, key: &K::Ref) -> Result<bool> {
        Ok(self.map.remove(key)?.is_some())
    }

    /// A batch for this set, which changes nothing yet: as [`Map::batch`].
    pub fn batch(&self) -> MapBatch<K, ()> {
        self.map.batch()
    }

    /// Makes the changes of a batch together: as [`Map::apply`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let primes = tophash::Set::<u64>::open(dir.path().join("primes.tophash"))?;
    /// primes.insert_many([2, 3, 9])?;
    /// let mut batch = primes.batch();
    /// batch.insert(5)?.remove(&9)?;
    /// primes.apply(&batch)?;
    /// assert!(primes.contains(&5)? && !primes.contains(&9)?);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn apply(&self, batch: &MapBatch<K, ()>) -> Result<()> {
        self.map.apply(batch)
    }

    /// Puts many keys into the set: as [`Map::insert_many`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let primes = tophash::Set::<u64>::open(dir.path().join("primes.tophash"))?;
    /// primes.insert_many([2, 3, 5, 7])?;
    /// assert_eq!(primes.len(), 4);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn insert_many<A: Borrow<K::Ref>>(&self, keys: impl IntoIterator<Item = A>) -> Result<()> {
        self.map.insert_many(keys.into_iter().map(|key| (key, ())))
    }

    /// Puts as many keys into the set as there are, and returns their number: as [`Map::try_extend`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let even = tophash::Set::<u64>::open(dir.path().join("even.tophash"))?;
    /// assert_eq!(even.try_extend((0..3_000).map(|n| 2 * n))?, 3_000);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn try_extend<A: Borrow<K::Ref>>(&self, keys: impl IntoIterator<Item = A>) -> Result<u64> {
        self.map.try_extend(keys.into_iter().map(|key| (key, ())))
    }

    /// Takes every key out for which `keep` returns false, and returns their number: as [`Map::retain`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let primes = tophash::Set::<u64>::open(dir.path().join("primes.tophash"))?;
    /// primes.insert_many([2, 3, 4, 5])?;
    /// assert_eq!(primes.retain(|n| n % 2 == 1 || *n == 2)?, 1);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(&K::Owned) -> bool) -> Result<u64> {
        self.map.retain(|key, _nothing| keep(key))
    }

    /// Every key, in no order, beginning at a random one: as [`Map::keys`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let primes = tophash::Set::<u64>::open(dir.path().join("primes.tophash"))?;
    /// primes.insert_many([2, 3, 5, 7])?;
    /// assert_eq!(primes.iter().sum::<tophash::Result<u64>>()?, 17);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn iter(&self) -> MapKeys<'_, K> {
        self.map.keys()
    }
}

file_operations!(<K: Key> Set<K>, map.store);

impl<K: ?Sized> Clone for Set<K> {
    fn clone(&self) -> Self {
        Set { map: self.map.clone() }
    }
}

impl<K: ?Sized> fmt::Debug for Set<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        file::debug(&self.map.store, "Set", f)
    }
}

impl<'m, K: Key + ?Sized> IntoIterator for &'m Set<K> {
    type Item = Result<<K as Codec>::Owned>;
    type IntoIter = MapKeys<'m, K>;

    fn into_iter(self) -> MapKeys<'m, K> {
        self.iter()
    }
}

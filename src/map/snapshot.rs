//! Snapshots of maps: a checkpoint to look at, with types.

use std::fmt;
use std::marker::PhantomData;

use crate::error::Result;
use crate::map::bytes;
use crate::map::codec::{Codec, Key, fits};
use crate::map::dynamic::DynMap;
use crate::map::set::Set;
use crate::map::typed::Map;
use crate::store::{Snapshot, SnapshotIter};

/// A map as it was at a checkpoint; see [`Map::snapshot`].
pub struct MapSnapshot<K: ?Sized, V: ?Sized> {
    snapshot: Snapshot,
    types: PhantomData<fn(&K, &V)>,
}

impl<K: Key + ?Sized, V: Codec + ?Sized> Map<K, V> {
    /// The map as it was at the last checkpoint, for as long as the snapshot lives, whatever is written meanwhile: as
    /// [`Store::snapshot`](crate::Store::snapshot). [`Map::checkpoint`] first makes that moment now.
    ///
    /// # Errors
    /// As those of [`Store::snapshot`](crate::Store::snapshot).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// squares.insert_many([(3, 9), (4, 16)])?;
    /// squares.checkpoint()?;
    /// let snapshot = squares.snapshot()?;
    /// squares.insert(5, 25)?;
    /// squares.remove(&3)?;
    /// assert_eq!((snapshot.get(&3)?, snapshot.get(&5)?), (Some(9), None));
    /// assert_eq!(snapshot.values().sum::<tophash::Result<u64>>()?, 25);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn snapshot(&self) -> Result<MapSnapshot<K, V>> {
        Ok(MapSnapshot { snapshot: self.store.snapshot()?, types: PhantomData })
    }
}

impl<K: Key + ?Sized> Set<K> {
    /// The set as it was at the last checkpoint, as a map to nothing: as [`Map::snapshot`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let primes = tophash::Set::<u64>::open(dir.path().join("primes.tophash"))?;
    /// primes.insert_many([2, 3])?;
    /// primes.checkpoint()?;
    /// let snapshot = primes.snapshot()?;
    /// primes.insert(5)?;
    /// assert_eq!(snapshot.keys().sum::<tophash::Result<u64>>()?, 5);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn snapshot(&self) -> Result<MapSnapshot<K, ()>> {
        self.map.snapshot()
    }
}

impl<K: Key + ?Sized, V: Codec + ?Sized> MapSnapshot<K, V> {
    /// The value that a key had.
    pub fn get(&self, key: &K::Ref) -> Result<Option<V::Owned>> {
        let key = K::encode(key)?;
        let key = fits::<K>(key.as_ref())?;
        bytes::get_then(&self.snapshot, Map::<K, V>::LAYOUT, key, V::decode)?.transpose()
    }

    /// Whether the key was there.
    pub fn contains_key(&self, key: &K::Ref) -> Result<bool> {
        let key = K::encode(key)?;
        let key = fits::<K>(key.as_ref())?;
        Ok(bytes::get_then(&self.snapshot, Map::<K, V>::LAYOUT, key, |_| ())?.is_some())
    }

    /// Every entry, each once, in no order, beginning at a random one. An error is yielded once, and the iteration goes on
    /// behind it.
    pub fn iter(&self) -> MapSnapshotIter<'_, K, V> {
        MapSnapshotIter { entries: self.snapshot.iter(), types: PhantomData }
    }

    /// Every key, as [`MapSnapshot::iter`] yields them.
    pub fn keys(&self) -> impl Iterator<Item = Result<K::Owned>> {
        let mut entries = self.snapshot.iter();
        std::iter::from_fn(move || {
            bytes::next_then(&mut entries, Map::<K, V>::LAYOUT, |key, _| K::decode(key))
        })
    }

    /// Every value, as [`MapSnapshot::iter`] yields them.
    pub fn values(&self) -> impl Iterator<Item = Result<V::Owned>> {
        let mut entries = self.snapshot.iter();
        std::iter::from_fn(move || {
            bytes::next_then(&mut entries, Map::<K, V>::LAYOUT, |_, value| V::decode(value))
        })
    }
}

impl<K: ?Sized, V: ?Sized> MapSnapshot<K, V> {
    /// Entries that there were.
    pub fn len(&self) -> u64 {
        self.snapshot.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.snapshot.is_empty()
    }

    /// The number of the checkpoint in the life of the file.
    pub fn checkpoint_seq(&self) -> u64 {
        self.snapshot.checkpoint_seq()
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for MapSnapshot<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot.fmt(f)
    }
}

impl<'s, K: Key + ?Sized, V: Codec + ?Sized> IntoIterator for &'s MapSnapshot<K, V> {
    type Item = Result<(K::Owned, V::Owned)>;
    type IntoIter = MapSnapshotIter<'s, K, V>;

    fn into_iter(self) -> MapSnapshotIter<'s, K, V> {
        self.iter()
    }
}

/// Every entry of a [`MapSnapshot`]; see [`MapSnapshot::iter`].
pub struct MapSnapshotIter<'s, K: ?Sized, V: ?Sized> {
    entries: SnapshotIter<'s>,
    types: PhantomData<fn(&K, &V)>,
}

impl<K: Key + ?Sized, V: Codec + ?Sized> Iterator for MapSnapshotIter<'_, K, V> {
    type Item = Result<(K::Owned, V::Owned)>;

    fn next(&mut self) -> Option<Self::Item> {
        bytes::next_then(&mut self.entries, Map::<K, V>::LAYOUT, |key, value| {
            Ok((K::decode(key)?, V::decode(value)?))
        })
    }
}

/// A [`DynMap`] as it was at a checkpoint; see [`DynMap::snapshot`].
#[derive(Debug)]
pub struct DynSnapshot(Snapshot);

impl DynMap {
    /// The map as it was at the last checkpoint: as [`Store::snapshot`](crate::Store::snapshot).
    ///
    /// # Errors
    /// As those of [`Store::snapshot`](crate::Store::snapshot).
    pub fn snapshot(&self) -> Result<DynSnapshot> {
        Ok(DynSnapshot(self.store.snapshot()?))
    }
}

impl DynSnapshot {
    /// Entries that there were.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every entry, each once, in no order. An error is yielded once, and the iteration goes on behind it.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>)>> {
        let (mut entries, layout) = (self.0.iter(), self.0.layout());
        std::iter::from_fn(move || {
            bytes::next_then(&mut entries, layout, |key, value| Ok((key.to_vec(), value.to_vec())))
        })
    }
}

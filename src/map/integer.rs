//! Counters: integers that are added to where they lie.

use std::borrow::Borrow;

use crate::error::{Error, Result};
use crate::map::codec::{Codec, Key};
use crate::map::entry::Settled;
use crate::map::typed::Map;

/// An integer, of 8 to 128 bits, with a sign or without; what [`Map::add`] adds. No other types can be.
pub trait Integer: Codec<Ref = Self, Owned = Self> + Copy + Default + sealed::Sealed {
    /// The sum, if the type can hold it.
    fn checked_add(self, other: Self) -> Option<Self>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! integers {
    ($($integer:ident)*) => {$(
        impl sealed::Sealed for $integer {}

        impl Integer for $integer {
            #[inline]
            fn checked_add(self, other: Self) -> Option<Self> {
                $integer::checked_add(self, other)
            }
        }
    )*};
}

integers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

impl<K: Key + ?Sized, V: Integer> Map<K, V> {
    /// Adds to the value of a key, and returns the sum; an absent key counts as 0. All in one: no other writer comes
    /// between.
    ///
    /// # Errors
    /// [`Overflow`](Error::Overflow) where the type can't hold the sum; else as [`Map::insert`]. Nothing has changed then.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("hits.tophash");
    /// use tophash::{Error, Map};
    ///
    /// let hits = Map::<u32, u8>::open(&path)?;
    /// assert_eq!(hits.add(404, 200)?, 200);
    /// assert_eq!(hits.add(404, 55)?, 255);
    /// assert!(matches!(hits.add(404, 1), Err(Error::Overflow { .. })));
    /// assert_eq!(hits.get(&404)?, Some(255));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn add(&self, key: impl Borrow<K::Ref>, delta: V) -> Result<V> {
        self.settle(key.borrow(), |found| {
            let value = found.map_or_else(|| Ok(V::default()), V::decode)?;
            match value.checked_add(delta) {
                Some(sum) => Ok(Settled::Put(sum)),
                None => Err(Error::Overflow { type_name: V::type_name() }),
            }
        })
    }
}

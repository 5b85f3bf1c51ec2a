//! Iterators over typed maps.

use std::marker::PhantomData;

use crate::error::Result;
use crate::format::schema::Layout;
use crate::map::bytes::Entries;
use crate::map::codec::Codec;

/// Every entry of a [`Map`](crate::Map). An error is yielded once, and the iteration goes on behind it.
pub struct MapIter<'m, K: ?Sized, V: ?Sized> {
    entries: Entries<'m>,
    types: PhantomData<fn(&K, &V)>,
}

impl<'m, K: ?Sized, V: ?Sized> MapIter<'m, K, V> {
    pub(super) fn new(entries: Entries<'m>) -> Self {
        MapIter { entries, types: PhantomData }
    }
}

impl<K: Codec + ?Sized, V: Codec + ?Sized> Iterator for MapIter<'_, K, V> {
    type Item = Result<(K::Owned, V::Owned)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let layout = Layout::of(K::WIDTH, V::WIDTH);
        self.entries.next_with(layout, |key, value| Ok((K::decode(key)?, V::decode(value)?)))
    }
}

/// Every key of a [`Map`](crate::Map) or a [`Set`](crate::Set). An error is yielded once, and the iteration goes on behind
/// it.
pub struct MapKeys<'m, K: ?Sized> {
    entries: Entries<'m>,
    types: PhantomData<fn(&K)>,
}

impl<'m, K: ?Sized> MapKeys<'m, K> {
    pub(super) fn new(entries: Entries<'m>) -> Self {
        MapKeys { entries, types: PhantomData }
    }
}

impl<K: Codec + ?Sized> Iterator for MapKeys<'_, K> {
    type Item = Result<K::Owned>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.entries.next_key(K::WIDTH, K::decode)
    }
}

/// Every value of a [`Map`](crate::Map). An error is yielded once, and the iteration goes on behind it.
pub struct MapValues<'m, V: ?Sized> {
    entries: Entries<'m>,
    types: PhantomData<fn(&V)>,
}

impl<'m, V: ?Sized> MapValues<'m, V> {
    pub(super) fn new(entries: Entries<'m>) -> Self {
        MapValues { entries, types: PhantomData }
    }
}

impl<V: Codec + ?Sized> Iterator for MapValues<'_, V> {
    type Item = Result<V::Owned>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.entries.next_value(V::WIDTH, V::decode)
    }
}

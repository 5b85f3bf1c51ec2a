//! Looking up many keys of a map at once.

use std::borrow::Borrow;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use crate::error::Result;
use crate::map::bytes;
use crate::map::codec::{Codec, Key, fits};
use crate::map::typed::Map;
use crate::store::{Answers, GROUP, Grouped};

/// The values of many keys; see [`Map::get_many`].
pub struct MapGetMany<'m, K: Key + ?Sized, V: Codec + ?Sized, I: Iterator> {
    map: &'m Map<K, V>,
    keys: Grouped<I, Option<V::Owned>>,
    types: PhantomData<fn(&K)>,
}

impl<K: Key + ?Sized, V: Codec + ?Sized> Map<K, V> {
    /// The values of many keys, in the order of the keys: [`Map::get`] for each, and faster where the map is larger than
    /// the processor's caches. A get waits for its cache misses; here those of 16 keys overlap.
    ///
    /// The keys are taken 16 at a time, when the first of the values is asked for; each value is what the key had at a
    /// moment between then and when it is yielded.
    ///
    /// # Errors
    /// Each concerns its key alone; the next one is looked up all the same.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let squares = tophash::Map::<u32, u64>::open(dir.path().join("squares.tophash"))?;
    /// squares.insert_many([(3, 9), (4, 16), (5, 25)])?;
    /// let found = squares.get_many([5, 6, 3]).collect::<tophash::Result<Vec<_>>>()?;
    /// assert_eq!(found, [Some(25), None, Some(9)]);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn get_many<I>(&self, keys: I) -> MapGetMany<'_, K, V, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Borrow<K::Ref>,
    {
        MapGetMany { map: self, keys: Grouped::new(keys.into_iter()), types: PhantomData }
    }

    fn answer<Q: Borrow<K::Ref>>(&self, keys: &[Option<Q>; GROUP], answers: &mut Answers<Option<V::Owned>>) {
        let mut refuse = |at: usize, error| answers[at] = Some(Err(Box::new(error)));
        let encoded: [_; GROUP] = std::array::from_fn(|at| {
            let key = K::encode(keys[at].as_ref()?.borrow());
            key.map_err(|error| refuse(at, error)).ok()
        });
        // `as_ref` is called once for each (C17).
        let (mut places, mut bytes, mut count) = ([0; GROUP], [&[][..]; GROUP], 0);
        for (at, key) in encoded.iter().enumerate() {
            match key.as_ref().map(|key| fits::<K>(key.as_ref())) {
                Some(Ok(key)) => {
                    (places[count], bytes[count]) = (at, key);
                    count += 1;
                }
                Some(Err(error)) => refuse(at, error),
                None => {}
            }
        }
        bytes::get_group(&self.store, Self::LAYOUT, &bytes[..count], |nth, found| {
            let value = found.and_then(|found| found.map(V::decode).transpose());
            answers[places[nth]] = Some(value.map_err(Box::new));
        });
    }
}

impl<K, V, I> Iterator for MapGetMany<'_, K, V, I>
where
    K: Key + ?Sized,
    V: Codec + ?Sized,
    I: Iterator,
    I::Item: Borrow<K::Ref>,
{
    type Item = Result<Option<V::Owned>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.keys.next_with(|keys, answers| self.map.answer(keys, answers))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.keys.size_hint()
    }
}

impl<K, V, I> ExactSizeIterator for MapGetMany<'_, K, V, I>
where
    K: Key + ?Sized,
    V: Codec + ?Sized,
    I: ExactSizeIterator,
    I::Item: Borrow<K::Ref>,
{
}

impl<K, V, I> FusedIterator for MapGetMany<'_, K, V, I>
where
    K: Key + ?Sized,
    V: Codec + ?Sized,
    I: Iterator,
    I::Item: Borrow<K::Ref>,
{
}

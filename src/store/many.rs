//! Looking up many keys at once.
//!
//! A lookup is two cache misses, the bucket and the record, and the second address comes out of the first line. Several
//! lookups side by side are as many misses in flight: all buckets are asked for, then all records, then each key is
//! looked up as [`Store::get`](crate::Store::get) does it. Fetching ahead is a hint; whatever the writer does meanwhile,
//! the lookup sees the table as it is then. In the inline layout there are no records to be asked for.

use std::iter::{Fuse, FusedIterator};

use crate::error::{Error, Result};
use crate::file::epoch::Pin;
use crate::file::region::RecordBytes;
use crate::format::bucket::Hash;
use crate::store::Store;
use crate::store::core::Core;
use crate::store::value::Value;
use crate::table::{foresee, prefetch};

/// Keys that are looked up together.
pub(crate) const GROUP: usize = 16;

/// What was found for the keys of a group. Errors are large and rare.
pub(crate) type Answers<T> = [Option<Result<T, Box<Error>>>; GROUP];

/// Keys that are taken by the group, and answers that wait to be yielded.
pub(crate) struct Grouped<I, T> {
    keys: Fuse<I>,
    /// Those from `next` to `end` were looked up and not yielded.
    answers: Answers<T>,
    next: usize,
    end: usize,
}

impl<I: Iterator, T> Grouped<I, T> {
    pub(crate) fn new(keys: I) -> Self {
        Grouped { keys: keys.fuse(), answers: [const { None }; GROUP], next: 0, end: 0 }
    }

    /// The next answer. Where there is none yet, `look_up` gets the next keys, the last of which may be none, and answers
    /// them.
    #[inline]
    pub(crate) fn next_with(
        &mut self,
        look_up: impl FnOnce(&[Option<I::Item>; GROUP], &mut Answers<T>),
    ) -> Option<Result<T>> {
        if self.next == self.end {
            self.go_on(look_up);
        }
        let answer = self.answers[..self.end].get_mut(self.next)?.take()?;
        self.next += 1;
        Some(answer.map_err(|error| *error))
    }

    #[inline(never)]
    fn go_on(&mut self, look_up: impl FnOnce(&[Option<I::Item>; GROUP], &mut Answers<T>)) {
        let keys = std::array::from_fn(|_| self.keys.next());
        (self.next, self.end) = (0, keys.iter().flatten().count());
        look_up(&keys, &mut self.answers);
    }

    pub(crate) fn size_hint(&self) -> (usize, Option<usize>) {
        let ready = self.end - self.next;
        let (least, most) = self.keys.size_hint();
        (least.saturating_add(ready), most.and_then(|most| most.checked_add(ready)))
    }
}

/// The values of many keys; see [`Store::get_many`](crate::Store::get_many).
pub struct GetMany<'s, I> {
    core: &'s Core,
    keys: Grouped<I, Option<Value<'s>>>,
}

impl<'s, I: Iterator> GetMany<'s, I> {
    pub(super) fn new(core: &'s Core, keys: I) -> Self {
        GetMany { core, keys: Grouped::new(keys) }
    }
}

impl Store {
    /// Looks up a group of keys, or less, and shows `each` the number of a key and its value.
    pub(crate) fn get_group(&self, keys: &[&[u8]], mut each: impl FnMut(usize, Result<Option<&[u8]>>)) {
        let core = self.core();
        match core.pin() {
            Ok(pin) => core.get_group(&pin, keys, |at, found| {
                each(at, found.map(|found| found.map(RecordBytes::as_slice)));
            }),
            // A forked child learns so for each key.
            Err(_) => (0..).zip(keys).for_each(|(at, key)| each(at, core.get(key).map(|_| None))),
        }
    }

    /// [`Store::get_group`] in the inline layout, whose values are copied to `elem`.
    pub(crate) fn inline_get_group(
        &self,
        keys: &[&[u8]],
        elem: &mut [u8],
        mut each: impl FnMut(usize, Result<Option<&[u8]>>),
    ) {
        let core = self.core();
        let Ok(pin) = core.pin() else {
            return (0..).zip(keys).for_each(|(at, key)| each(at, self.inline_get(key, elem).map(|_| None)));
        };
        let hashes = core.hash_ahead(&pin, keys);
        for (at, (key, &hash)) in keys.iter().zip(&hashes).enumerate() {
            let found = core.inline_get_under(&pin, hash, key, elem);
            each(at, found.map(|found| found.then_some(&*elem)));
        }
    }
}

impl Core {
    #[inline]
    fn get_group<'p>(
        &self,
        pin: &'p Pin<'_>,
        keys: &[&[u8]],
        mut each: impl FnMut(usize, Result<Option<RecordBytes<'p>>>),
    ) {
        let hashes = self.hash_ahead(pin, keys);
        for &hash in &hashes[..keys.len()] {
            foresee(self.published(pin), hash, |position| self.log.prefetch(pin, position));
        }
        for (at, (key, &hash)) in keys.iter().zip(&hashes).enumerate() {
            each(at, self.get_under(pin, hash, key));
        }
    }

    /// The hashes of a group of keys, or less, whose buckets are under way.
    #[inline]
    fn hash_ahead(&self, pin: &Pin<'_>, keys: &[&[u8]]) -> [Hash; GROUP] {
        let geometry = self.published(pin);
        let mut hashes = [Hash(0); GROUP];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hasher.hash(key);
            prefetch(geometry, *hash);
        }
        hashes
    }
}

/// Apart from whatever yields the keys, so that a lookup becomes a part of it.
#[inline(never)]
fn answer_all<'s>(core: &'s Core, keys: &[&[u8]], answers: &mut Answers<Option<Value<'s>>>) {
    match core.pin() {
        Ok(pin) => core.get_group(&pin, keys, |at, found| {
            answers[at] = Some(match found {
                Ok(found) => Ok(found.map(|bytes| Value::keep(&pin, bytes))),
                Err(error) => Err(Box::new(error)),
            });
        }),
        Err(_) => {
            (0..).zip(keys).for_each(|(at, key)| answers[at] = Some(core.get(key).map_err(Box::new)));
        }
    }
}

impl<'s, I> Iterator for GetMany<'s, I>
where
    I: Iterator,
    I::Item: AsRef<[u8]>,
{
    type Item = Result<Option<Value<'s>>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.keys.next_with(|keys, answers| {
            // `as_ref` is called once for each (C17).
            let bytes = keys.each_ref().map(|key| key.as_ref().map_or(&[][..], AsRef::as_ref));
            answer_all(self.core, &bytes[..keys.iter().flatten().count()], answers);
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.keys.size_hint()
    }
}

impl<I> ExactSizeIterator for GetMany<'_, I>
where
    I: ExactSizeIterator,
    I::Item: AsRef<[u8]>,
{
}

impl<I> FusedIterator for GetMany<'_, I>
where
    I: Iterator,
    I::Item: AsRef<[u8]>,
{
}

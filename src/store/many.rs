//! Looking up many keys at once.
//!
//! A lookup is two cache misses, the bucket and the record, and the second address comes out of the first line. Several
//! lookups side by side are as many misses in flight: all buckets are asked for, then all records, then each key is
//! looked up as [`Store::get`](crate::Store::get) does it. Fetching ahead is a hint; whatever the writer does meanwhile,
//! the lookup sees the table as it is then.

use std::iter::{Fuse, FusedIterator};

use crate::error::{Error, Result};
use crate::file::epoch::Pin;
use crate::format::bucket::Hash;
use crate::store::core::Core;
use crate::store::value::Value;
use crate::table::{foresee, prefetch};

/// Keys that are looked up together.
const GROUP: usize = 16;

/// The values of many keys; see [`Store::get_many`](crate::Store::get_many).
pub struct GetMany<'s, I> {
    core: &'s Core,
    keys: Fuse<I>,
    /// Those from `next` to `end` were looked up and not yielded.
    answers: [Option<Answer<'s>>; GROUP],
    next: usize,
    end: usize,
}

/// Errors are large and rare.
type Answer<'s> = Result<Option<Value<'s>>, Box<Error>>;

impl<'s, I> GetMany<'s, I>
where
    I: Iterator,
    I::Item: AsRef<[u8]>,
{
    pub(super) fn new(core: &'s Core, keys: I) -> Self {
        GetMany { core, keys: keys.fuse(), answers: [const { None }; GROUP], next: 0, end: 0 }
    }

    /// Looks up the next keys.
    #[inline(never)]
    fn look_up(&mut self) {
        let keys: [Option<I::Item>; GROUP] = std::array::from_fn(|_| self.keys.next());
        // `as_ref` is called once for each (C17).
        let bytes = keys.each_ref().map(|key| key.as_ref().map_or(&[][..], AsRef::as_ref));
        let keys = &bytes[..keys.iter().flatten().count()];
        (self.next, self.end) = (0, keys.len());
        match self.core.pin() {
            Ok(pin) => answer_all(self.core, &pin, keys, &mut self.answers),
            // A forked child learns so for each key.
            Err(_) => {
                for (answer, key) in self.answers.iter_mut().zip(keys) {
                    *answer = Some(self.core.get(key).map_err(Box::new));
                }
            }
        }
    }
}

fn answer_all<'s>(core: &'s Core, pin: &Pin<'s>, keys: &[&[u8]], answers: &mut [Option<Answer<'s>>]) {
    let geometry = core.published(pin);
    let mut hashes = [Hash(0); GROUP];
    for (hash, key) in hashes.iter_mut().zip(keys) {
        *hash = core.hasher.hash(key);
        prefetch(geometry, *hash);
    }
    for &hash in &hashes[..keys.len()] {
        foresee(geometry, hash, |position| core.log.prefetch(pin, position));
    }
    for ((answer, &hash), key) in answers.iter_mut().zip(&hashes).zip(keys) {
        let found = core.get_under(pin, hash, key);
        *answer = Some(match found {
            Ok(found) => Ok(found.map(|bytes| Value::keep(pin, bytes))),
            Err(error) => Err(Box::new(error)),
        });
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
        if self.next == self.end {
            self.look_up();
        }
        let answer = self.answers[..self.end].get_mut(self.next)?.take()?;
        self.next += 1;
        Some(answer.map_err(|error| *error))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let ready = self.end - self.next;
        let (least, most) = self.keys.size_hint();
        (least.saturating_add(ready), most.and_then(|most| most.checked_add(ready)))
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

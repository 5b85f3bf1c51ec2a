//! Loading ahead what operations are going to look at.

use std::hint::black_box;

use crate::format::bucket::Hash;
use crate::seam::Pages;

use super::array::{Array, Chain};
use super::assign::Table;

impl<P: Pages> Table<P> {
    /// Loads the main buckets that an operation on a key with this hash looks at, and those of its unit that it would evacuate.
    /// For many keys at once, before the first of the operations: their cache misses pass together. A hint, so what is
    /// wrong there is left to the operation to find.
    pub fn warm(&self, hash: Hash) {
        let array = &self.geometry.array;
        let bucket = hash.bucket(array.b());
        warm_bucket(array, bucket);
        if let Some(old) = &self.geometry.old {
            warm_bucket(&old.array, old.bucket_of(hash));
            if array.b() > old.array.b() {
                warm_bucket(array, bucket ^ old.array.buckets());
            }
            if array.b() < old.array.b() {
                warm_bucket(&old.array, old.bucket_of(hash) ^ array.buckets());
            }
        }
    }
}

/// A bucket of the record layout is 80 bytes: its first word and its last lie in all cache lines that it has. One of the inline
/// layout has more, and which of them is wanted is known when its tophashes are there.
fn warm_bucket<P: Pages>(array: &Array<P>, bucket: u64) {
    if let Ok(chain) = Chain::at(array, bucket) {
        black_box((chain.bucket().tophash(), chain.bucket().overflow()));
    }
}

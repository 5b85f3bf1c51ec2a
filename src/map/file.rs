//! What every map does with its file as a whole.

use std::fmt;

use crate::store::Store;

/// The operations of a [`Store`](crate::Store) that don't care what its bytes mean, for a map that has the store at this place.
macro_rules! file_operations {
    (<$($parameter:ident: $bound:path),*> $map:ty, $($store:ident).+) => {
        impl<$($parameter: $bound + ?Sized),*> $map {
            /// Entries in the map.
            pub fn len(&self) -> u64 {
                self.$($store).+.len()
            }

            /// Whether there is none.
            pub fn is_empty(&self) -> bool {
                self.$($store).+.is_empty()
            }

            /// Removes everything, in constant time: as [`Store::clear`](crate::Store::clear).
            pub fn clear(&self) -> Result<()> {
                self.$($store).+.clear()
            }

            /// The types of keys and values, by the names that the file has for them, and how its cells hold them.
            pub fn schema(&self) -> Schema {
                self.$($store).+.schema()
            }

            /// Where the file was opened.
            pub fn path(&self) -> &Path {
                self.$($store).+.path()
            }

            /// Returns once everything that was written before is on disk, in every durability mode: as
            /// [`Store::sync`](crate::Store::sync).
            pub fn sync(&self) -> Result<()> {
                self.$($store).+.sync()
            }

            /// Writes the changed pages of the table to the file, so that reopening has nothing to replay: as
            /// [`Store::checkpoint`](crate::Store::checkpoint).
            pub fn checkpoint(&self) -> Result<()> {
                self.$($store).+.checkpoint()
            }

            /// Makes the file as small as it can be: as [`Store::compact`](crate::Store::compact).
            pub fn compact(&self) -> Result<Compaction> {
                self.$($store).+.compact()
            }

            /// Makes the file as small as it can be, telling how far it is: as
            /// [`Store::compact_with`](crate::Store::compact_with).
            pub fn compact_with(&self, tell: impl FnMut(CompactionProgress)) -> Result<Compaction> {
                self.$($store).+.compact_with(tell)
            }

            /// Makes a copy of the file at `path`, which must not exist, while writers go on: as
            /// [`Store::backup`](crate::Store::backup).
            pub fn backup(&self, path: impl AsRef<Path>) -> Result<Backup> {
                self.$($store).+.backup(path)
            }

            /// Makes a copy of the file at `path`, telling of the bytes that are done and the bytes in all: as
            /// [`Store::backup_with`](crate::Store::backup_with).
            pub fn backup_with(&self, path: impl AsRef<Path>, progress: impl FnMut(u64, u64)) -> Result<Backup> {
                self.$($store).+.backup_with(path, progress)
            }

            /// Sizes and shapes, measured over the whole table: as [`Store::stats`](crate::Store::stats).
            pub fn stats(&self) -> Result<Stats> {
                self.$($store).+.stats()
            }

            /// What the file says about itself: as [`Store::info`](crate::Store::info).
            pub fn info(&self) -> Result<Info> {
                self.$($store).+.info()
            }

            /// How far a growth of the table is: as [`Store::growth`](crate::Store::growth).
            pub fn growth(&self) -> Result<Growth> {
                self.$($store).+.growth()
            }

            /// One bucket of the table with its overflow chain, keys and values as bytes: as
            /// [`Store::bucket`](crate::Store::bucket).
            pub fn bucket(&self, array: WhichArray, index: u64) -> Result<Option<Bucket>> {
                self.$($store).+.bucket(array, index)
            }

            /// Every bucket of an array with its chain, keys and values as bytes: as
            /// [`Store::buckets`](crate::Store::buckets).
            pub fn buckets(&self, array: WhichArray) -> Buckets<'_> {
                self.$($store).+.buckets(array)
            }

            /// Checks everything that can be checked, but not whether bytes are what their types ask for: as
            /// [`Store::verify`](crate::Store::verify).
            pub fn verify(&self) -> Result<Verification> {
                self.$($store).+.verify()
            }

            /// Closes the file and reports what a drop can't: as [`Store::close`](crate::Store::close).
            pub fn close(self) -> Result<()> {
                self.$($store).+.close()
            }
        }
    };
}

pub(super) use file_operations;

pub(super) fn debug(store: &Store, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(name)
        .field("path", &store.path())
        .field("schema", &store.schema())
        .field("len", &store.len())
        .finish()
}

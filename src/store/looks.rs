//! Looking into a store: what it says about itself, its buckets, and whether all is well.

use std::path::Path;

use crate::error::Result;
use crate::format::schema::Schema;
use crate::store::Store;
use crate::store::report::Buckets;
use crate::upkeep::inspect::{Bucket, Growth, Info, Stats, WhichArray};
use crate::upkeep::verify::Verification;

impl Store {
    /// Where the file was opened.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("app.tophash");
    /// let store = tophash::Store::open(&path)?;
    /// assert_eq!(store.path(), path);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        self.core().path()
    }

    /// What the file says about its keys and values.
    pub(crate) fn schema(&self) -> Schema {
        self.core().opened_with.identity.schema
    }

    /// Sizes and shapes, measured over the whole table: linear in its size.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// let stats = store.stats()?;
    /// assert_eq!((stats.count, stats.buckets, stats.hit_probe), (1, 1, 1.0));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn stats(&self) -> Result<Stats> {
        self.core().stats()
    }

    /// What the file says about itself: version, hash, layout, where things lie.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// assert_eq!(store.info()?.hash, "siphash-1-3");
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn info(&self) -> Result<Info> {
        self.core().info()
    }

    /// How far a growth of the table is. Constant time.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// let mut n = 0;
    /// while store.growth()?.kind.is_none() {
    ///     store.insert(format!("key {n}"), "value")?;
    ///     n += 1;
    /// }
    /// assert_eq!(n, 27); // four buckets take 26 entries; growths before are done in one step
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn growth(&self) -> Result<Growth> {
        self.core().growth()
    }

    /// One bucket of the table with its overflow chain; `None` beyond the last.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// use tophash::report::WhichArray;
    ///
    /// store.insert("key", "value")?;
    /// let bucket = store.bucket(WhichArray::Current, 0)?.expect("there is one bucket");
    /// let cell = &bucket.chain[0].cells[0];
    /// assert_eq!((cell.state(), cell.key.as_deref()), ("filled", Some(&b"key"[..])));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn bucket(&self, array: WhichArray, index: u64) -> Result<Option<Bucket>> {
        self.core().bucket(array, index)
    }

    /// Every bucket of an array with its chain, in order.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// use tophash::report::WhichArray;
    ///
    /// for bucket in store.buckets(WhichArray::Current) {
    ///     let bucket = bucket?;
    ///     println!("bucket {} has a chain of {}", bucket.index, bucket.chain.len());
    /// }
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn buckets(&self, array: WhichArray) -> Buckets<'_> {
        Buckets::new(self.core(), array)
    }

    /// Checks everything that can be checked: every page, every record, every invariant of the table, and that no two
    /// parts of the file overlap and, in a store that writes, none is lost. Linear in the size of the file. Writers
    /// wait meanwhile, readers don't.
    ///
    /// # Errors
    /// Damage is not an error but a fault in the report; an error is trouble on the way, from the system.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert("key", "value")?;
    /// let report = store.verify()?;
    /// assert!(report.is_clean(), "{:?}", report.faults);
    /// assert_eq!(report.entries, 1);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn verify(&self) -> Result<Verification> {
        self.core().verify()
    }
}

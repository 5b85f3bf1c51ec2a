//! How a store is opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::file::media::{FileSystem, Volume};
use crate::format::schema::Schema;
use crate::store::Store;
use crate::table::{HashKind, LoadFactor};

/// When a write is on disk. In every mode, what a power cut leaves is a prefix of the acknowledged writes that
/// contains everything synced before; a process that is killed loses nothing.
///
/// ```
/// use std::time::Duration;
/// use tophash::Durability;
///
/// assert_eq!(Durability::default(), Durability::Interval(Duration::from_secs(1)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Never synced but by [`Store::sync`], checkpoints and closing.
    Buffered,
    /// Synced in the background about this often, while there is something to sync. While the background thread writes
    /// a large checkpoint, the next sync is one of those that the checkpoint makes.
    Interval(Duration),
    /// Synced before the write is acknowledged; writers that wait together share one sync.
    Immediate,
}

impl Default for Durability {
    /// Once a second.
    fn default() -> Self {
        Durability::Interval(Duration::from_secs(1))
    }
}

/// How to open a store. Whatever is not set has a sensible value; nobody is asked to guess a size.
///
/// ```
/// # fn main() -> tophash::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("app.tophash");
/// use tophash::{Durability, Options};
///
/// let store = Options::new().durability(Durability::Immediate).capacity(100_000).open(&path)?;
/// store.insert("on disk", "when this returns")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) create: bool,
    /// The file must not be there yet.
    pub(crate) must_be_new: bool,
    pub(crate) read_only: bool,
    pub(crate) capacity: u64,
    pub(crate) durability: Durability,
    pub(crate) hash: HashKind,
    pub(crate) load_factor: f64,
    pub(crate) verify_reads: bool,
    pub(crate) checkpoint_bytes: Option<u64>,
    pub(crate) index_memory_limit: u64,
    pub(crate) max_dead_ratio: f64,
    pub(crate) background: bool,
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) seed: Option<u64>,
    /// What the file must hold, and a new one will; `None` takes an existing file as it is.
    pub(crate) schema: Option<Schema>,
}

impl Default for Options {
    fn default() -> Self {
        Options::new()
    }
}

impl Options {
    /// The defaults, as [`Store::open`] uses them.
    pub fn new() -> Self {
        Options {
            create: true,
            must_be_new: false,
            read_only: false,
            capacity: 0,
            durability: Durability::default(),
            hash: HashKind::default(),
            load_factor: f64::from(LoadFactor::default().hundredths()) / 100.0,
            verify_reads: true,
            checkpoint_bytes: None,
            index_memory_limit: 1 << 30,
            max_dead_ratio: 0.5,
            background: true,
            volume: Arc::new(FileSystem),
            seed: None,
            schema: Some(Schema::BYTES),
        }
    }

    /// Whether to make the file where there is none; true unless told otherwise.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("missing.tophash");
    /// use tophash::{Error, Options};
    ///
    /// let missing = Options::new().create(false).open(&path);
    /// assert!(matches!(missing, Err(Error::Io { .. })));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Opens for reading alone: shares the file with other readers and never writes a byte, also after a crash,
    /// on a full disk and on a read-only medium. What recovery would do happens in memory.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # store.insert("key", "value")?;
    /// # store.close()?;
    /// # let path = dir.path().join("app.tophash");
    /// use tophash::{Error, Options};
    ///
    /// let store = Options::new().read_only(true).open(&path)?;
    /// assert!(store.contains_key("key")?);
    /// assert!(matches!(store.insert("key", "new"), Err(Error::ReadOnly)));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Room for this many entries before the table of a new file grows (Go's `make(map, hint)`), and below which no
    /// table shrinks while it is open with this option. Only a hint; an existing file keeps its table.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("options.tophash");
    /// use tophash::Options;
    ///
    /// let store = Options::new().capacity(1_000).open(&path)?;
    /// assert_eq!(store.growth()?.b, 8); // 256 buckets of up to 6.5 entries
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn capacity(mut self, entries: u64) -> Self {
        self.capacity = entries;
        self
    }

    /// When a write is on disk; [`Durability::Interval`] of one second unless told otherwise.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("options.tophash");
    /// use std::time::Duration;
    /// use tophash::{Durability, Options};
    ///
    /// let often = Durability::Interval(Duration::from_millis(100));
    /// let store = Options::new().durability(often).open(&path)?;
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The hash function of a new file; an existing file keeps its own.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("options.tophash");
    /// use tophash::{HashKind, Options};
    ///
    /// let store = Options::new().hash(HashKind::Rapid).open(&path)?;
    /// assert_eq!(store.info()?.hash, "rapidhash-v3");
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn hash(mut self, hash: HashKind) -> Self {
        self.hash = hash;
        self
    }

    /// Entries per bucket at which the table of a new file doubles, 4.0 to 8.0; Go's 6.5 unless told otherwise.
    /// For experiments; an existing file keeps its own.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("options.tophash");
    /// use tophash::Options;
    ///
    /// let store = Options::new().load_factor(5.0).open(&path)?;
    /// assert_eq!(store.stats()?.max_load_factor, 5.0);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn load_factor(mut self, load_factor: f64) -> Self {
        self.load_factor = load_factor;
        self
    }

    /// Whether every read compares the record's checksum; true unless told otherwise. Without it, damage to a
    /// value goes unnoticed; recovery and `verify` compare all the same.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("options.tophash");
    /// use tophash::Options;
    ///
    /// let store = Options::new().verify_reads(false).open(&path)?;
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn verify_reads(mut self, verify_reads: bool) -> Self {
        self.verify_reads = verify_reads;
        self
    }

    /// Checkpoint whenever the log has grown by this many bytes since the last one. What is replayed after a crash
    /// is about this much. Unless told otherwise, 16 MiB or half the size of the bucket array, what is more. A store
    /// with background threads that nobody has written to for a second checkpoints for a sixteenth of it, once.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("options.tophash");
    /// use tophash::Options;
    ///
    /// let store = Options::new().checkpoint_bytes(4 << 20).open(&path)?;
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn checkpoint_bytes(mut self, bytes: u64) -> Self {
        self.checkpoint_bytes = Some(bytes);
        self
    }

    /// How much memory the bucket arrays may take in private copies of their pages; 1 GiB unless told otherwise. A
    /// checkpoint that finds more drops the copies that are clean, which are read from the file again when they are
    /// needed. When half of the limit is changed and not yet checkpointed a checkpoint begins; a write that finds all
    /// of it changed waits for one, and fails if that fails.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("options.tophash");
    /// use tophash::Options;
    ///
    /// let store = Options::new().index_memory_limit(64 << 20).open(&path)?;
    /// assert_eq!(store.stats()?.index_memory_limit, 64 << 20);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn index_memory_limit(mut self, bytes: u64) -> Self {
        self.index_memory_limit = bytes;
        self
    }

    /// How much of the log may be dead: records that were replaced or removed, and the removals themselves. Above 0, up to
    /// 1; 0.5 unless told otherwise, which makes the log up to twice as long as what is live.
    ///
    /// From three fifths of the ratio on each write also moves a few live records out of the segment of the log that is
    /// emptiest, the more of them the closer the log is to it; the emptied segments go back to the file system. A smaller
    /// ratio takes less space and writes more: at 0.5, random overwriting moves somewhat more than half a byte for each one
    /// written. With 1 no write moves anything. [`Store::compact`] moves everything at once.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("options.tophash");
    /// use tophash::Options;
    ///
    /// let store = Options::new().max_dead_ratio(0.25).open(&path)?;
    /// assert_eq!(store.stats()?.max_dead_ratio, 0.25);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn max_dead_ratio(mut self, ratio: f64) -> Self {
        self.max_dead_ratio = ratio;
        self
    }

    /// Whether a background thread syncs, checkpoints and prepares log segments; true unless told otherwise.
    /// Without it the same work is done inside the writes that find it due, which makes a store deterministic.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("options.tophash");
    /// use tophash::Options;
    ///
    /// let store = Options::new().background(false).open(&path)?;
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Where files live: the file system unless told otherwise, or a simulated disk (feature `sim`).
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// use tophash::{Options, sim::SimDisk};
    ///
    /// let store = Options::new().media(SimDisk::new(7)).open("anywhere.tophash")?;
    /// # }
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn media(mut self, volume: impl Volume + 'static) -> Self {
        self.volume = Arc::new(volume);
        self
    }

    /// Makes the random numbers of a new file (its id, the key of its hash) from this seed, so that a test can
    /// repeat a run byte for byte. Never for data: whoever knows the seed can choose keys that collide.
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// use tophash::{Options, sim::SimDisk};
    ///
    /// let file = || -> tophash::Result<_> {
    ///     let disk = SimDisk::new(42);
    ///     Options::new().seed(7).background(false).media(disk.clone()).open("test")?.close()?;
    ///     Ok(disk.contents("test"))
    /// };
    /// assert_eq!(file()?, file()?);
    /// # }
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Opens the store at `path`, or makes it. See [`Store::open`] for what can go wrong.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("options.tophash");
    /// use tophash::Options;
    ///
    /// let store = Options::new().open(&path)?;
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        Store::open_with(path.as_ref(), self)
    }

    pub(crate) fn checked_dead_ratio(&self) -> Result<f64> {
        let valid = self.max_dead_ratio > 0.0 && self.max_dead_ratio <= 1.0;
        valid.then_some(self.max_dead_ratio).ok_or(Error::TooLarge {
            what: "the dead ratio, in hundredths (more than 0),",
            len: (self.max_dead_ratio * 100.0) as u64,
            limit: 100,
        })
    }

    pub(crate) fn checked_load_factor(&self) -> Result<LoadFactor> {
        LoadFactor::new(self.load_factor).ok_or(Error::TooLarge {
            what: "the load factor, in hundredths (at least 400),",
            len: (self.load_factor * 100.0) as u64,
            limit: 800,
        })
    }
}

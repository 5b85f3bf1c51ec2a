//! Salvage: a new store from whatever valid records a damaged file holds.
//!
//! The log is the truth, and its records can be found without a header, a catalog or a table: [`segments`] finds the
//! segments, [`scan`](crate::upkeep::scan) walks each of them past damage. They are taken *newest first*: the first
//! whole record of a key decides, and a removal or a clear hides what is older.
//!
//! Where the damaged file still opens, its table is asked about every key: it knows what was removed even if the record
//! of the removal is damaged. What it can't tell, because a page of it or the record it points at is damaged, falls to
//! the newest whole record. Where the file does not open the log alone decides, and damage in it may bring a removed key
//! back, or an older value; so may a segment that was given up because nothing in it was live, with the removals that it
//! held: the report counts entries from before such a gap as doubtful.
//!
//! Of a file of the inline layout the log has no more than what was written since the last checkpoint. There the cells are the
//! truth: those of the table where the file still opens, else those of the last checkpoint, with the log behind it.
//!
//! The damaged file is read by calls and under a shared lock, and never written.

mod cells;
pub(crate) mod report;
mod segments;
mod source;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::header::{Header, Identity, MAGIC, SLOT_OFFSETS};
use crate::format::schema::{Layout, Schema};
use crate::options::{Durability, Options};
use crate::store::Store;
use crate::table::{HashKind, LoadFactor};
use crate::upkeep::scan::LogBytes;
use cells::CheckpointCells;
use report::{Damage, Salvaged};
use segments::{Guide, Heads, Life};
use source::Source;
use work::{Truth, Work};

/// Rebuilds the store at `to`, which must not exist, from the damaged one at `from`, which stays as it is. The same as
/// [`Salvage::new`] and [`Salvage::run`].
///
/// ```
/// # fn main() -> tophash::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let (damaged, new) = (dir.path().join("damaged.tophash"), dir.path().join("new.tophash"));
/// # let store = tophash::Store::open(&damaged)?;
/// # store.insert("user:1", "Ada")?;
/// # store.close()?;
/// # let mut bytes = std::fs::read(&damaged).unwrap();
/// # bytes[..8192].fill(0); // both header slots
/// # std::fs::write(&damaged, bytes).unwrap();
/// assert!(tophash::Store::open(&damaged).is_err());
/// let report = tophash::salvage(&damaged, &new)?;
/// assert!(report.is_complete());
///
/// let store = tophash::Store::open(&new)?;
/// assert_eq!(store.get("user:1")?.as_deref(), Some(&b"Ada"[..]));
/// # Ok(())
/// # }
/// ```
pub fn salvage(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Salvaged> {
    Salvage::new(from, to).run()
}

/// A salvage and how it is to be done.
///
/// Every value that it writes was once stored under its key (its checksum says so), and is the newest that is still
/// whole. Entries whose newest record is damaged get the one before, where there is one; what was removed may come back
/// if the record of its removal is damaged and the table can't be read. [`Salvaged`] counts both.
///
/// ```
/// # fn main() -> tophash::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let (damaged, new) = (dir.path().join("damaged.tophash"), dir.path().join("new.tophash"));
/// # tophash::Store::open(&damaged)?.insert("user:1", "Ada")?;
/// use tophash::{HashKind, Options, Salvage};
///
/// let report = Salvage::new(&damaged, &new)
///     .options(Options::new().hash(HashKind::Rapid))
///     .progress(|done, total| println!("{done} of {total} bytes"))
///     .run()?;
/// println!("{} entries kept, {} lost", report.entries, report.lost());
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens until it is run"]
pub struct Salvage<'a> {
    from: PathBuf,
    to: PathBuf,
    options: Option<Options>,
    all: bool,
    schema: Schema,
    progress: Box<dyn FnMut(u64, u64) + 'a>,
}

impl<'a> Salvage<'a> {
    /// From the damaged file `from` to the new one `to`.
    pub fn new(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Self {
        let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
        let schema = Schema::BYTES;
        Salvage { from, to, options: None, all: false, schema, progress: Box::new(|_, _| {}) }
    }

    /// How the new store is made; both files lie on the medium that the options name. Unless told otherwise, the new one
    /// gets the hash function and the load factor of the old, as far as a header still says which.
    pub fn options(mut self, options: Options) -> Self {
        self.options = Some(options);
        self
    }

    /// Takes every whole record of the file, also those behind the end of the log and in segments that are no part of
    /// it any more, and asks no table: for files in which something else is missing than what is damaged. Brings back
    /// what was removed long ago.
    pub fn all(mut self, all: bool) -> Self {
        self.all = all;
        self
    }

    /// What the keys and the values of the damaged file are, for one of whose header nothing is left; else the header says it.
    /// [`Schema::BYTES`] unless told otherwise.
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = schema;
        self
    }

    /// Has `tell` called with the bytes that are done and the bytes in all, now and then.
    pub fn progress(mut self, tell: impl FnMut(u64, u64) + 'a) -> Self {
        self.progress = Box::new(tell);
        self
    }

    /// Does it. Linear in the size of the file, and in memory for the keys that were removed.
    ///
    /// # Errors
    /// [`Locked`](Error::Locked) when a writer has the damaged file open, [`NotTophash`](Error::NotTophash) and
    /// [`Version`](Error::Version) for files that are not ours or too new, [`Corrupt`](Error::Corrupt) where no log
    /// segment is left, [`Io`](Error::Io) with `AlreadyExists` when `to` is there. Damage is no error but in the
    /// report. After an error there is no new file, or an empty one.
    pub fn run(self) -> Result<Salvaged> {
        let options = self.options.clone().unwrap_or_default();
        let mut source = Source::open(&self.from, &*options.volume)?;
        let mut report = Salvaged::default();
        let guide = Guide::read(&mut source, &mut report.damage)?;
        let mut progress = Progress { done: 0, total: 2 * source.length(), tell: self.progress };
        let heads = Heads::find(&mut source, |bytes| progress.advance(bytes));
        let identity = guide.header.map(|header| header.identity);
        let file_id = identity.map(|identity| identity.file_id).or_else(|| heads.file_id());
        let file_id = file_id.ok_or_else(|| nothing_left(&self.from, &mut source))?;
        let unreadable = source.unreadable().into_iter();
        report
            .damage
            .extend(unreadable.map(|(offset, bytes)| Damage::new("unreadable pages", offset, bytes)));

        let table =
            if self.all { None } else { open_damaged(&self.from, &options, &source, &mut report.damage) };
        let log = match &table {
            Some(table) => {
                report.log_is_whole = true;
                log_of_open(table)?
            }
            None => {
                let lives = heads.lives(&mut source, &file_id, &guide);
                let (log, whole) = segments::log(lives.clone(), &guide, false, &mut report.damage);
                report.log_is_whole = whole;
                if self.all { segments::log(lives, &guide, true, &mut Vec::new()).0 } else { log }
            }
        };
        if log.is_empty() {
            return Err(nothing_left(&self.from, &mut source));
        }
        report.table_entries = table.as_ref().map(Store::len);
        let new_options = self.options.unwrap_or_else(|| like_the_old(identity, report.table_entries));
        let schema = identity.map_or(self.schema, |identity| identity.schema);
        let mut truth = Truth { table, cells: None, all: self.all };
        if schema.layout() != Layout::Record && truth.table.is_none() {
            // A log that is whole vouches for what came since the last checkpoint alone.
            report.log_is_whole = false;
            truth.cells = cells_of(&source, guide.header, &mut report.damage);
        }
        let new_options = Options {
            must_be_new: true,
            read_only: false,
            create: true,
            schema: Some(schema),
            ..new_options
        };
        let new = new_options.open(&self.to)?;
        let done = Work::new(&new, truth, source, file_id, report).run(&log, |bytes| progress.advance(bytes));
        let closed = done.and_then(|report| new.close().map(|()| report));
        if closed.is_err() {
            // What is there is less than could be kept. If it can't be removed, the error says what happened.
            let _ = options.volume.remove(&self.to);
        }
        progress.end();
        closed
    }
}

/// What the cells held at the last checkpoint, if that can be read; why not is damage.
fn cells_of(source: &Source, header: Option<Header>, damage: &mut Vec<Damage>) -> Option<CheckpointCells> {
    match CheckpointCells::read(source.media(), header?) {
        Ok(cells) => Some(cells),
        Err(Error::Corrupt { what, offset, .. }) => {
            damage.push(Damage::new(what, offset, 0));
            None
        }
        Err(_) => {
            damage.push(Damage::new("bucket array", 0, 0));
            None
        }
    }
}

/// The file as a reader opens it, if it does; why not is damage.
fn open_damaged(path: &Path, options: &Options, source: &Source, damage: &mut Vec<Damage>) -> Option<Store> {
    // A mapped page that can't be read would end the process.
    if !source.unreadable().is_empty() {
        return None;
    }
    let volume = Arc::clone(&options.volume);
    let options = Options { volume, schema: None, ..Options::new().read_only(true) };
    match options.open(path) {
        Ok(store) => Some(store),
        Err(Error::Corrupt { what, offset, .. }) => {
            let fault = Damage::new(what, offset, 0);
            if damage.iter().all(|known| (known.what, known.offset) != (what, offset)) {
                damage.push(fault);
            }
            None
        }
        Err(_) => None,
    }
}

/// The log of a file that opens, newest first.
fn log_of_open(table: &Store) -> Result<Vec<Life>> {
    let mut lives = Vec::new();
    for segment in table.log_segments()?.iter().rev() {
        lives.push(Life::of_open(segment.offset(), segment.head(), segment.published_end(), lives.last()));
    }
    Ok(lives)
}

/// Options for a new store of the kind that the old one was. Nothing of it counts before it is closed, so nothing is
/// synced before.
fn like_the_old(identity: Option<Identity>, entries: Option<u64>) -> Options {
    let options = Options::new().durability(Durability::Buffered).capacity(entries.unwrap_or(0));
    let Some(identity) = identity else { return options };
    let hash = HashKind::from_id(identity.hash_id).unwrap_or_default();
    let load_factor = LoadFactor::from_hundredths(identity.load_factor).unwrap_or_default();
    options.hash(hash).load_factor(f64::from(load_factor.hundredths()) / 100.0)
}

/// The error for a file without a log segment.
fn nothing_left(path: &Path, source: &mut Source) -> Error {
    let length = source.length();
    let ours =
        SLOT_OFFSETS.iter().any(|&slot| source.bytes(slot, MAGIC.len()).is_some_and(|bytes| bytes == MAGIC));
    match (length, ours) {
        (0, _) => Error::not_tophash(path, "it is empty"),
        (_, false) => Error::not_tophash(path, "it has neither the first bytes of one nor a log segment"),
        (_, true) => Error::corrupt("log", 0, "a log segment", "none in the whole file"),
    }
}

/// Bytes that are done, of which both the search for segments and the walk through them count.
struct Progress<'a> {
    done: u64,
    total: u64,
    tell: Box<dyn FnMut(u64, u64) + 'a>,
}

impl Progress<'_> {
    fn advance(&mut self, bytes: u64) {
        self.done = self.total.min(self.done + bytes);
        (self.tell)(self.done, self.total);
    }

    fn end(&mut self) {
        self.advance(self.total);
    }
}

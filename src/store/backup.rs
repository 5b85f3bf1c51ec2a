//! Backups: a copy of the file beside its writers.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::store::Store;
use crate::store::core::{Core, Files};
use crate::upkeep::backup::{Backup, Source, backup};

impl Store {
    /// Makes a copy of the store at `path`, which must not exist, while writers go on. The same as
    /// [`Store::backup_with`] without anybody to be told.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("copy.tophash");
    /// store.insert("key", "value")?;
    /// let made = store.backup(&path)?;
    /// assert_eq!(made.entries, 1);
    ///
    /// let copy = tophash::Store::open(&path)?;
    /// assert_eq!(copy.get("key")?.as_deref(), Some(&b"value"[..]));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<Backup> {
        self.backup_with(path, |_, _| {})
    }

    /// Makes a copy of the store at `path`, which must not exist, while writers go on; tells `progress` of the bytes that
    /// are done and the bytes in all, now and then.
    ///
    /// The copy is the store as of a checkpoint that this makes first: what was written before the call is in it, what is
    /// written after is not. It is a store like any other, closed, and with the file id of this one. Where the file system
    /// knows how to, it shares with the original the blocks of log segments that are full; parts of the file that are not
    /// in use stay holes. Linear in the size of the store. Later checkpoints save for it the pages of the bucket array
    /// that they write over before they were copied.
    ///
    /// The copy has its name only when all of it is durable: after a crash it is there whole, or not at all. A process
    /// that is killed leaves a temporary file beside it, `.NAME.PID-0.tmp`, to be removed.
    ///
    /// A store that was opened read-only is copied as the file is: one that was not closed is recovered when the copy is
    /// opened for writing.
    ///
    /// # Errors
    /// [`Io`](crate::Error::Io) with `AlreadyExists` when `path` is there, which is left as it is, the store itself
    /// included; [`NoSpace`](crate::Error::NoSpace), also where the checkpoint finds none;
    /// [`Corrupt`](crate::Error::Corrupt) when a page of the bucket array is damaged (records are copied as they are:
    /// [`Store::verify`] checks them, in the copy too). There is no copy then. Where only making its name durable failed
    /// (`Io`, "syncing the directory") the copy is there, whole.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let path = dir.path().join("copy.tophash");
    /// store.insert("key", "value")?;
    /// store.backup_with(&path, |done, total| println!("{done} of {total} bytes"))?;
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn backup_with(&self, path: impl AsRef<Path>, mut progress: impl FnMut(u64, u64)) -> Result<Backup> {
        self.core().backup(path.as_ref(), &mut progress)
    }
}

impl Core {
    fn backup(&self, path: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<Backup> {
        if !self.is_read_only() {
            self.checkpoint()?;
        }
        let checkpoint = self.keep_checkpoint()?;
        let source = if self.is_read_only() {
            // Nothing changes in the file: it is copied with the log behind its checkpoint, if there is any.
            let segments = self.log.segments(&self.pin()?);
            let segments =
                segments.iter().map(|segment| segment.catalog_entry(segment.published_end())).collect();
            Source { checkpoint: &checkpoint, segments, entries: self.count(), recovers: self.recovered }
        } else {
            let (segments, entries) = (checkpoint.catalog().segments.clone(), checkpoint.header().hmap.count);
            Source { checkpoint: &checkpoint, segments, entries, recovers: false }
        };
        let mut pace = self.files.as_ref().map(Pace::new);
        backup(&source, &*self.options.volume, path, &mut |done, total| {
            pace.iter_mut().for_each(Pace::pause);
            tell(done, total);
        })
    }
}

/// Leaves a writer its share of processor and memory: the copy rests as long as it worked, while somebody writes.
struct Pace<'a> {
    files: &'a Files,
    /// Bytes of the log when it last looked.
    appended: u64,
    since: Instant,
}

/// The longest rest: a piece of the copy may have waited for the disk.
const LONGEST_REST: Duration = Duration::from_millis(10);

impl<'a> Pace<'a> {
    fn new(files: &'a Files) -> Self {
        Pace { files, appended: files.appended.load(Ordering::Acquire), since: Instant::now() }
    }

    fn pause(&mut self) {
        let appended = self.files.appended.load(Ordering::Acquire);
        if appended != self.appended {
            std::thread::sleep(self.since.elapsed().min(LONGEST_REST));
        }
        (self.appended, self.since) = (appended, Instant::now());
    }
}

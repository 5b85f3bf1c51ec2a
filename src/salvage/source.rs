//! The damaged file, read by calls alone: a sector that can't be read is an error there, and the end of the process in
//! a mapping.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::media::{Access, Media, Volume};
use crate::format::PAGE_BYTES;
use crate::upkeep::scan::LogBytes;

/// Bytes that are read at once.
const WINDOW_BYTES: u64 = 1 << 20;
/// What stands for bytes that can't be read: no zeros, which could pass for the end of a log.
const UNREADABLE: u8 = 0xee;

/// A locked file and the part of it that was read last.
pub(super) struct Source {
    media: Arc<dyn Media>,
    length: u64,
    window: Vec<u8>,
    window_at: u64,
    /// Offsets of pages that could not be read.
    unreadable: BTreeSet<u64>,
}

impl Source {
    /// Opens the file and shares its lock with readers.
    pub(super) fn open(path: &Path, volume: &dyn Volume) -> Result<Self> {
        let opened = volume.open(path, Access::Read).map_err(Error::io("opening the file"))?;
        let missing = || Error::Io { action: "opening the file", source: rustix::io::Errno::NOENT.into() };
        let media = opened.ok_or_else(missing)?;
        if !media.try_lock(Access::Read).map_err(Error::io("locking the file"))? {
            let holder = media.lock_holder();
            return Err(Error::Locked { path: path.to_owned(), holder, read_only: true });
        }
        let length = media.length().map_err(Error::io("reading the file's length"))?;
        Ok(Source { media, length, window: Vec::new(), window_at: 0, unreadable: BTreeSet::new() })
    }

    pub(super) fn media(&self) -> &Arc<dyn Media> {
        &self.media
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Pages that could not be read so far, as runs of (offset, bytes).
    pub(super) fn unreadable(&self) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for &page in &self.unreadable {
            match runs.last_mut() {
                Some((offset, bytes)) if *offset + *bytes == page => *bytes += PAGE_BYTES,
                _ => runs.push((page, PAGE_BYTES)),
            }
        }
        runs
    }

    /// Reads on from `offset` to make the window hold `len` bytes there. A walk backwards gets what lies before.
    fn load(&mut self, offset: u64, len: u64) {
        let backwards = offset < self.window_at;
        let bytes = len.max(WINDOW_BYTES);
        let from = if backwards { (offset + len).saturating_sub(bytes) } else { offset };
        let from = from - from % PAGE_BYTES;
        let end = (offset + len).max(from + bytes).min(self.length);
        self.window.resize((end - from) as usize, 0);
        self.window_at = from;
        if self.media.read_at(&mut self.window, from).is_ok() {
            return;
        }
        for (page, at) in
            self.window.chunks_mut(PAGE_BYTES as usize).zip((from..).step_by(PAGE_BYTES as usize))
        {
            if self.media.read_at(page, at).is_err() {
                page.fill(UNREADABLE);
                self.unreadable.insert(at);
            }
        }
    }
}

impl LogBytes for Source {
    fn bytes(&mut self, offset: u64, len: usize) -> Option<&[u8]> {
        let end = offset.checked_add(len as u64).filter(|&end| end <= self.length)?;
        if offset < self.window_at || end > self.window_at + self.window.len() as u64 {
            self.load(offset, len as u64);
        }
        self.window.get((offset - self.window_at) as usize..)?.get(..len)
    }
}

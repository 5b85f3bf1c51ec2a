//! A copy of a file, made of a kept checkpoint while the file is written (D21).
//!
//! Every part lies where it lies in the original: the positions in cells are file offsets. What the checkpoint does not
//! name stays a hole. The parts first, then a sync, then the two header slots: until then the copy is no store, and it
//! gets its name only when all of it is durable (D22).

use std::path::Path;

use crate::error::{Error, Result};
use crate::file::media::{Access, Media, Volume};
use crate::file::past::read_verified;
use crate::file::space::no_space;
use crate::format::catalog::{IndexExtent, SegmentExtent};
use crate::format::header::{Header, SLOT_OFFSETS};
use crate::format::segment::{LINK_AT, LINK_BYTES};
use crate::format::{PAGE_BYTES, page_round_up};
use crate::mutants::{Mutant, kept};
use crate::upkeep::kept::KeptCheckpoint;

/// What [`Store::backup`](crate::Store::backup) made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// Entries in the copy.
    pub entries: u64,
    /// The checkpoint that it is a copy of.
    pub checkpoint_seq: u64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// Length of the copy; what was not copied of it are holes.
    pub file_bytes: u64,
}

/// Bytes that are copied at once, and between two calls of whoever is told how far it is.
const CHUNK_BYTES: u64 = 1 << 20;

/// What is copied.
pub(crate) struct Source<'a> {
    pub(crate) checkpoint: &'a KeptCheckpoint,
    /// The log, in order.
    pub(crate) segments: Vec<SegmentExtent>,
    /// Entries that the copy will show.
    pub(crate) entries: u64,
    /// There are records behind the checkpoint: opening the copy is a recovery.
    pub(crate) recovers: bool,
}

/// Makes the copy at `path`, which must not exist. Where it fails nothing is left, or a temporary file.
pub(crate) fn backup(
    source: &Source<'_>,
    volume: &dyn Volume,
    path: &Path,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Backup> {
    // Nothing is copied in vain, though the name decides only in the end.
    if volume.open(path, Access::Read).map_err(Error::io("looking at the target"))?.is_some() {
        return Err(exists());
    }
    let (temporary, target) = volume.create_temporary(path).map_err(no_space("creating the copy", 0))?;
    let made =
        Copying { source, target: &*target, done: 0, total: source.bytes(), tell }.run().and_then(|made| {
            match volume.publish(&temporary, path).map_err(Error::io("naming the copy"))? {
                true => Ok(made),
                false => Err(exists()),
            }
        });
    if made.is_err() {
        let _ = volume.remove(&temporary);
    }
    let made = made?;
    volume.sync_directory(path).map_err(Error::io("syncing the directory"))?;
    Ok(made)
}

fn exists() -> Error {
    let why = "the target exists, and a backup replaces nothing; name another one";
    Error::Io {
        action: "making the copy",
        source: std::io::Error::new(std::io::ErrorKind::AlreadyExists, why),
    }
}

impl Source<'_> {
    /// Bytes to be copied.
    fn bytes(&self) -> u64 {
        let sums = |extent| self.checkpoint.sums_bytes(extent);
        let present = |extent| sums(extent).chunks_exact(4).filter(|crc| **crc != [0; 4]).count() as u64;
        let index = self.checkpoint.catalog().index.iter();
        let index: u64 = index.map(|e| present(e) * PAGE_BYTES + sums(e).len() as u64).sum();
        let log: u64 = self.segments.iter().map(|segment| segment.end - segment.offset).sum();
        index + log + self.checkpoint.header().catalog.len
    }

    /// Where the last extent ends.
    fn end(&self) -> u64 {
        let catalog = self.checkpoint.header().catalog;
        let places = self.checkpoint.catalog().places().chain([(catalog.offset, page_round_up(catalog.len))]);
        let log = self.segments.iter().map(|segment| segment.offset + segment.bytes);
        places.map(|(offset, bytes)| offset + bytes).chain(log).max().unwrap_or(0)
    }
}

/// A copy that is being made.
struct Copying<'a> {
    source: &'a Source<'a>,
    target: &'a dyn Media,
    done: u64,
    total: u64,
    tell: &'a mut dyn FnMut(u64, u64),
}

impl Copying<'_> {
    fn run(mut self) -> Result<Backup> {
        let (checkpoint, end) = (self.source.checkpoint, self.source.end());
        let header = Header { file_bytes: end, writing: self.source.recovers, ..checkpoint.header() };
        self.target.set_length(end).map_err(no_space("the copy", end))?;
        if !kept(Mutant::BackupHeaderLast) {
            self.write_header(&header)?;
        }
        // The index first: what later checkpoints write over has to be saved until it is copied.
        for extent in &checkpoint.catalog().index {
            self.copy_index(extent)?;
        }
        for (n, segment) in self.source.segments.iter().enumerate() {
            self.copy_segment(segment, n + 1 == self.source.segments.len())?;
        }
        self.write(&checkpoint.catalog().encode(), header.catalog.offset)?;
        self.sync()?;
        self.write_header(&header)?;
        self.sync()?;
        Ok(Backup {
            entries: self.source.entries,
            checkpoint_seq: header.checkpoint_seq,
            bytes: self.done,
            file_bytes: end,
        })
    }

    /// Copies the pages that a checkpoint has written, and the page checksums.
    fn copy_index(&mut self, extent: &IndexExtent) -> Result<()> {
        let (checkpoint, sums) = (self.source.checkpoint, self.source.checkpoint.sums(extent));
        let mut run = Vec::with_capacity(CHUNK_BYTES as usize);
        for page in 0..extent.bytes / PAGE_BYTES {
            let offset = extent.offset + page * PAGE_BYTES;
            let content = read_verified(checkpoint.past(), &sums, page as usize, offset)?;
            if content.is_none() || run.len() as u64 >= CHUNK_BYTES {
                self.write(&run, offset - run.len() as u64)?;
                run.clear();
            }
            run.extend(content.iter().flat_map(|content| content.iter()));
        }
        self.write(&run, extent.offset + extent.bytes - run.len() as u64)?;
        self.write(checkpoint.sums_bytes(extent), extent.sums_offset)
    }

    /// Copies a segment as far as it has records. The file system may share the blocks of one that is never written
    /// again; a store into the mapping of one that is, the last, would need space then, and die where there is none.
    fn copy_segment(&mut self, segment: &SegmentExtent, is_last: bool) -> Result<()> {
        let source = self.source.checkpoint.media();
        let mut buffer = Vec::new();
        let mut at = segment.offset;
        while at < segment.end {
            let bytes = CHUNK_BYTES.min(segment.end - at);
            if is_last {
                buffer.resize(bytes as usize, 0);
                source.read_at(&mut buffer, at).map_err(Error::io("reading the log"))?;
                self.write(&buffer, at)?;
            } else {
                source.copy_to(self.target, at, bytes).map_err(no_space("copying the log", bytes))?;
                self.advance(bytes);
            }
            at += bytes;
        }
        if is_last {
            // Where the original went on meanwhile is no place of the copy.
            for link in LINK_AT {
                self.put(&[0; LINK_BYTES], segment.offset + link as u64)?;
            }
        }
        Ok(())
    }

    /// Both slots, as a close leaves them.
    fn write_header(&mut self, header: &Header) -> Result<()> {
        let older = Header { sequence: header.sequence.saturating_sub(1), ..*header };
        self.put(&header.encode(), SLOT_OFFSETS[0])?;
        self.put(&older.encode(), SLOT_OFFSETS[1])
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        if !bytes.is_empty() {
            self.put(bytes, offset)?;
            self.advance(bytes.len() as u64);
        }
        Ok(())
    }

    fn put(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.target.write_at(bytes, offset).map_err(no_space("writing the copy", bytes.len() as u64))
    }

    fn sync(&self) -> Result<()> {
        match kept(Mutant::BackupSynced) {
            true => self.target.sync().map_err(Error::io("syncing the copy")),
            false => Ok(()),
        }
    }

    fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        (self.tell)(self.done, self.total);
    }
}

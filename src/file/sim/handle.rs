//! An open file of the simulated disk, and its mappings.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::calls::{CallKind, Failure};
use super::disk::{SimDisk, State};
use super::file::{File, LENGTH_LIMIT};
use super::memory::Memory;
use super::names::FileId;
use crate::file::media::{Access, Mapping, Media, sealed};
use crate::file::region::{Backing, Region};
use crate::format::PAGE_BYTES;

/// One open file: a handle of its own, as far as locks are concerned.
pub(super) struct SimFile {
    disk: SimDisk,
    file: FileId,
    handle: u64,
    access: Access,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, file: FileId, handle: u64, access: Access) -> Self {
        SimFile { disk, file, handle, access }
    }

    fn writable(&self) -> io::Result<()> {
        if self.access == Access::Write { Ok(()) } else { Err(Errno::BADF.into()) }
    }
}

/// The file behind a handle, which lives as long as the handle does.
fn file(state: &mut State, id: FileId) -> io::Result<&mut File> {
    Ok(state.files.get_mut(&id).ok_or(Errno::STALE)?)
}

/// Refuses ranges that no file can have.
fn within_limit(offset: u64, len: u64) -> io::Result<()> {
    let end = offset.checked_add(len).filter(|end| *end <= LENGTH_LIMIT);
    end.map(|_| ()).ok_or(Errno::FBIG.into())
}

impl sealed::Sealed for SimFile {}

impl Media for SimFile {
    fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.begin_plain(CallKind::Length, 0, 0)?;
        Ok(file(&mut state, self.file)?.length())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.begin_plain(CallKind::SetLength, length, 0)?;
        self.writable()?;
        within_limit(length, 0)?;
        file(&mut state, self.file)?.set_length(length)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let (mut state, failure) = self.disk.begin(CallKind::Allocate, offset, len);
        self.writable()?;
        within_limit(offset, len)?;
        let free = state.free_pages();
        let missing = file(&mut state, self.file)?.pages_missing(offset, len);
        let failure = failure.or((missing > free).then_some(Failure::NoSpace));
        let Some(failure) = failure else {
            let file = file(&mut state, self.file)?;
            file.reserve(offset, len, missing);
            file.extend(offset + len);
            return Ok(());
        };
        // XFS secures all or nothing, ext4 leaves what it has got so far.
        if matches!(failure, Failure::NoSpace | Failure::Short) && state.random.coin() {
            let part = state.random.below(missing.min(free + 1));
            file(&mut state, self.file)?.reserve(offset, len, part);
        }
        Err(failure.error(CallKind::Allocate))
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut state = self.disk.begin_plain(CallKind::Punch, offset, len)?;
        self.writable()?;
        within_limit(offset, len)?;
        file(&mut state, self.file)?.punch(offset, len)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.begin_plain(CallKind::Read, offset, bytes.len() as u64)?;
        let file = file(&mut state, self.file)?;
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > file.length()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.read(offset, bytes)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut state, failure) = self.disk.begin(CallKind::Write, offset, bytes.len() as u64);
        self.writable()?;
        within_limit(offset, bytes.len() as u64)?;
        let most = match failure {
            None => bytes.len(),
            Some(Failure::Interrupted) => 0,
            Some(_) => state.random.below(bytes.len() as u64) as usize,
        };
        let free = state.free_pages();
        let written = file(&mut state, self.file)?.write(offset, &bytes[..most], free)?;
        match failure {
            Some(failure) => Err(failure.error(CallKind::Write)),
            None if written < bytes.len() => Err(Errno::NOSPC.into()),
            None => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        // Of what others do while a sync is under way, this one covers nothing.
        let begun = file(&mut self.disk.state(), self.file)?.begin_sync();
        let (mut state, failure) = self.disk.begin(CallKind::Sync, 0, 0);
        let State { files, random, .. } = &mut *state;
        let file = files.get_mut(&self.file).ok_or(Errno::STALE)?;
        match failure {
            None => file.finish_sync(begun),
            Some(Failure::Interrupted) => {}
            Some(_) => file.fail_sync(random),
        }
        failure.map_or(Ok(()), |failure| Err(failure.error(CallKind::Sync)))
    }

    fn map(&self, mapping: Mapping, offset: u64, len: usize) -> io::Result<Region> {
        let mut state = self.disk.begin_plain(CallKind::Map, offset, len as u64)?;
        let file = file(&mut state, self.file)?;
        let end = offset.checked_add(len as u64).ok_or(Errno::INVAL)?;
        if len == 0 || !offset.is_multiple_of(PAGE_BYTES) || end > file.length().next_multiple_of(PAGE_BYTES)
        {
            return Err(Errno::INVAL.into());
        }
        let backing = |copy| Arc::new(Mapped { disk: self.disk.clone(), file: self.file, offset, copy });
        match mapping {
            Mapping::Private => {
                let copy = file.copy(offset, len)?;
                let memory = copy.region().clone();
                Ok(Region::simulated(&memory, 0, len, backing(Some(copy))).ok_or(Errno::INVAL)?)
            }
            Mapping::Shared if self.access == Access::Read => Err(Errno::ACCESS.into()),
            Mapping::Shared => file.map_shared(offset, len, backing(None)),
        }
    }

    fn try_lock(&self, access: Access) -> io::Result<bool> {
        let mut state = self.disk.begin_plain(CallKind::Lock, 0, 0)?;
        let locks = &mut file(&mut state, self.file)?.locks;
        let other_writer = locks.writer.is_some_and(|handle| handle != self.handle);
        let other_reader = locks.readers.iter().any(|handle| *handle != self.handle);
        if other_writer || (access == Access::Write && other_reader) {
            return Ok(false);
        }
        // A handle has one lock at a time, as with flock.
        locks.writer = (access == Access::Write).then_some(self.handle);
        match access {
            Access::Write => locks.readers.remove(&self.handle),
            Access::Read => locks.readers.insert(self.handle),
        };
        Ok(true)
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let state = self.disk.begin_plain(CallKind::IsAt, 0, 0)?;
        let there = state.names.get(path).ok_or(Errno::NOENT)?;
        Ok(there == self.file)
    }

    fn lock_holder(&self) -> Option<u32> {
        let state = self.disk.state();
        let locks = &state.files.get(&self.file)?.locks;
        (locks.writer.is_some() || !locks.readers.is_empty()).then(std::process::id)
    }

    fn allocated(&self) -> io::Result<u64> {
        let mut state = self.disk.begin_plain(CallKind::Allocated, 0, 0)?;
        Ok(file(&mut state, self.file)?.pages_allocated() * PAGE_BYTES)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if let Some(file) = state.files.get_mut(&self.file) {
            file.handles -= 1;
            file.locks.readers.remove(&self.handle);
            file.locks.writer = file.locks.writer.filter(|handle| *handle != self.handle);
        }
        state.collect_garbage();
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("file", &self.file).field("access", &self.access).finish()
    }
}

/// What stands behind a mapping.
struct Mapped {
    disk: SimDisk,
    file: FileId,
    /// Where the mapping begins in the file.
    offset: u64,
    /// The memory of a private mapping.
    copy: Option<Memory>,
}

impl Backing for Mapped {
    /// # Panics
    /// When the store needs space and there is none: a process would die of SIGBUS here.
    fn before_store(&self, offset: usize, len: usize) {
        if self.copy.is_some() {
            return;
        }
        let (offset, len) = (self.offset + offset as u64, len as u64);
        let (mut state, _) = self.disk.begin(CallKind::Store, offset, len);
        let free = state.free_pages();
        let alive = state.files.get_mut(&self.file).is_none_or(|file| file.fault_in(offset, len, free));
        drop(state);
        assert!(
            alive,
            "SIGBUS: a store into {len} mapped bytes at {offset} that have no space on a full disk"
        );
    }

    fn reload(&self, mapping: &Region, offset: usize, len: usize) {
        if self.copy.is_some()
            && let Some(file) = self.disk.state().files.get_mut(&self.file)
        {
            file.reload(mapping, self.offset, offset, len);
        }
    }
}

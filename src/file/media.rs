//! The seam for faults: everything that the store asks of the outside goes through [`Media`] (one file) and
//! [`Volume`] (the names of files).
//!
//! Both are sealed (C16): a mapping that is shorter than what was asked for would be unsound, so the real file
//! system and the simulated disk are the only members.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::MmapOptions;
use rustix::fs::{FallocateFlags, RenameFlags};

use crate::file::fork::Process;
use crate::file::region::Region;

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// How a part of a file is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// Stores reach the file, whenever the system likes; for log segments.
    Shared,
    /// Stores stay in memory; for index pages, and for everything in a read-only open.
    Private,
}

/// Whether a file is opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only; nothing is ever written.
    Read,
    /// Reading and writing.
    Write,
}

/// One open file.
pub trait Media: sealed::Sealed + Send + Sync + Debug {
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Makes the file longer or shorter; new bytes read as zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Makes sure that writing `len` bytes at `offset` needs no new space, within the file's length or beyond.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Gives the space of a range back; it reads as zeros.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Makes a range read as zeros, through mappings too, where nothing has been written.
    fn clear(&self, offset: u64, len: u64) -> io::Result<()> {
        self.punch(offset, len)
    }
    /// Fills `bytes` from the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Copies a range to the same place in `target`. The two may share the blocks afterwards, and writing there takes
    /// new space until it is secured again by [`Media::allocate`].
    fn copy_to(&self, target: &dyn Media, offset: u64, len: u64) -> io::Result<()> {
        let mut bytes = vec![0; len as usize];
        self.read_at(&mut bytes, offset)?;
        target.write_at(&bytes, offset)
    }
    /// The file of the file system, if it is one.
    fn file(&self) -> Option<&File> {
        None
    }
    /// Returns once everything written before, by calls or through shared mappings, is durable.
    fn sync(&self) -> io::Result<()>;
    /// Maps a page-aligned range that lies within the file.
    fn map(&self, mapping: Mapping, offset: u64, len: usize) -> io::Result<Region>;
    /// Maps a page-aligned range of the file privately, where the file reads as zeros.
    fn map_zeros(&self, offset: u64, len: usize) -> io::Result<Region> {
        self.map(Mapping::Private, offset, len)
    }
    /// Takes the file's advisory lock, for one writer or for any number of readers; false when it is held.
    fn try_lock(&self, access: Access) -> io::Result<bool>;
    /// Whether `path` still names this file.
    fn is_at(&self, path: &Path) -> io::Result<bool>;
    /// The process that holds the lock, where the system tells.
    fn lock_holder(&self) -> Option<u32>;
    /// Bytes of the disk that the file occupies.
    fn allocated(&self) -> io::Result<u64>;
    /// Bytes that the file system still has for files, where it tells.
    fn available(&self) -> Option<u64> {
        None
    }
}

/// Where files are found by name.
pub trait Volume: sealed::Sealed + Send + Sync + Debug {
    /// Opens an existing file; `None` where there is none.
    fn open(&self, path: &Path, access: Access) -> io::Result<Option<Arc<dyn Media>>>;
    /// Makes an empty file under a name beside `path` that nobody else uses.
    fn create_temporary(&self, path: &Path) -> io::Result<(PathBuf, Arc<dyn Media>)>;
    /// Renames `temporary` to `path` unless `path` exists; then false (D22).
    fn publish(&self, temporary: &Path, path: &Path) -> io::Result<bool>;
    /// Removes a temporary file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in the directory of `path` durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FileSystem;

impl sealed::Sealed for FileSystem {}

impl Volume for FileSystem {
    fn open(&self, path: &Path, access: Access) -> io::Result<Option<Arc<dyn Media>>> {
        match OpenOptions::new().read(true).write(access == Access::Write).open(path) {
            Ok(file) => Ok(Some(Arc::new(RealFile::new(file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create_temporary(&self, path: &Path) -> io::Result<(PathBuf, Arc<dyn Media>)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
        for attempt in 0..1000u32 {
            let temporary = path.with_file_name(format!(".{name}.{}-{attempt}.tmp", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&temporary) {
                Ok(file) => return Ok((temporary, Arc::new(RealFile::new(file)))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn publish(&self, temporary: &Path, path: &Path) -> io::Result<bool> {
        let here = rustix::fs::CWD;
        match rustix::fs::renameat_with(here, temporary, here, path, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::EXIST) => return Ok(false),
            // Not every file system knows RENAME_NOREPLACE; a hard link does not replace either.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        match std::fs::hard_link(temporary, path) {
            Ok(()) => std::fs::remove_file(temporary).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// An open file of the file system.
#[derive(Debug)]
struct RealFile(Arc<File>, Process);

impl sealed::Sealed for RealFile {}

impl Media for RealFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        // fs2's allocate reports a full disk as error code 0, so fallocate is called directly.
        let allocate =
            |flags| rustix::io::retry_on_intr(|| rustix::fs::fallocate(&self.0, flags, offset, len));
        // Blocks that a backup shares are no space to write to. Only file systems that share any know the flag.
        match allocate(FallocateFlags::UNSHARE_RANGE) {
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(allocate(FallocateFlags::empty())?),
            other => Ok(other?),
        }
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::io::retry_on_intr(|| rustix::fs::fallocate(&self.0, flags, offset, len)) {
            Err(rustix::io::Errno::OPNOTSUPP) => self.overwrite_with_zeros(offset, len),
            other => Ok(other?),
        }
    }

    fn clear(&self, offset: u64, len: u64) -> io::Result<()> {
        self.punch(offset, len)?;
        // On tmpfs a hole takes memory when a mapping is looked at, and where there is none the look is a SIGBUS.
        if self.is_on_tmpfs()? { self.allocate(offset, len) } else { Ok(()) }
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn copy_to(&self, target: &dyn Media, offset: u64, len: u64) -> io::Result<()> {
        use rustix::io::Errno;
        let (mut from, mut to) = (offset, offset);
        while let (Some(file), left @ 1..) = (target.file(), offset + len - from) {
            match rustix::fs::copy_file_range(&self.0, Some(&mut from), file, Some(&mut to), left as usize) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                // Between two file systems, or on one that can't.
                Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let mut bytes = vec![0; (offset + len - from) as usize];
        self.read_at(&mut bytes, from)?;
        target.write_at(&bytes, from)
    }

    fn file(&self) -> Option<&File> {
        Some(&self.0)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn map(&self, mapping: Mapping, offset: u64, len: usize) -> io::Result<Region> {
        match mapping {
            Mapping::Shared => {
                Ok(Region::from_raw(MmapOptions::new().offset(offset).len(len).map_raw(&*self.0)?))
            }
            Mapping::Private => Region::private_of(&self.0, offset, len),
        }
    }

    /// Plain memory: nothing needs to be read first, and then copied when it is changed.
    fn map_zeros(&self, offset: u64, len: usize) -> io::Result<Region> {
        Region::zeros_of(&self.0, offset, len)
    }

    fn try_lock(&self, access: Access) -> io::Result<bool> {
        let locked = match access {
            Access::Write => fs2::FileExt::try_lock_exclusive(&*self.0),
            Access::Read => fs2::FileExt::try_lock_shared(&*self.0),
        };
        match locked {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let (here, there) = (self.0.metadata()?, std::fs::metadata(path)?);
        Ok(here.dev() == there.dev() && here.ino() == there.ino())
    }

    fn lock_holder(&self) -> Option<u32> {
        let metadata = self.0.metadata().ok()?;
        let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
        let file = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
        // A line is `1: FLOCK  ADVISORY  WRITE 4711 fe:00:131085 0 EOF`.
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        locks.lines().find_map(|line| {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            (*fields.get(1)? == "FLOCK" && *fields.get(5)? == file).then(|| fields[4].parse().ok())?
        })
    }

    fn allocated(&self) -> io::Result<u64> {
        fs2::FileExt::allocated_size(&*self.0)
    }

    fn available(&self) -> Option<u64> {
        let status = rustix::fs::fstatvfs(&*self.0).ok().filter(|status| status.f_blocks > 0)?;
        status.f_bavail.checked_mul(status.f_frsize)
    }
}

impl Drop for RealFile {
    fn drop(&mut self) {
        // Closing alone would keep the lock as long as a child that is just being spawned has a copy of the
        // descriptor. In a forked child it is the parent's lock.
        if self.1.check().is_ok() {
            let _ = fs2::FileExt::unlock(&*self.0);
        }
    }
}

impl RealFile {
    fn new(file: File) -> Self {
        RealFile(Arc::new(file), Process::current())
    }

    fn is_on_tmpfs(&self) -> io::Result<bool> {
        const TMPFS_MAGIC: i64 = 0x0102_1994;
        Ok(rustix::fs::fstatfs(&self.0)?.f_type as i64 == TMPFS_MAGIC)
    }

    /// What a file system without holes gets instead of one.
    fn overwrite_with_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = (offset + len).min(self.length()?);
        let zeros = [0; 64 * 1024];
        let mut at = offset;
        while at < end {
            let bytes = (end - at).min(zeros.len() as u64);
            self.0.write_all_at(&zeros[..bytes as usize], at)?;
            at += bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::format::PAGE_BYTES;
    use crate::seam::Words;

    #[test]
    fn copies_of_new_memory_are_dropped_and_changed_pages_stay() {
        const PAGE: usize = PAGE_BYTES as usize;
        let file = RealFile::new(tempfile::tempfile().unwrap());
        file.set_length(5 * PAGE_BYTES).unwrap();
        let memory = file.map_zeros(PAGE_BYTES, 4 * PAGE).unwrap();
        let words = |word| [0, 1, 2, 3].map(|page| memory.load(page * PAGE / 8 + word, Ordering::Relaxed));
        (0..3).for_each(|page| memory.store(page * PAGE / 8, 7, Ordering::Relaxed));
        file.write_at(&9u64.to_le_bytes(), PAGE_BYTES).unwrap();
        file.write_at(&9u64.to_le_bytes(), 3 * PAGE_BYTES).unwrap();
        assert_eq!(words(0), [7, 7, 7, 0]);
        // The first time another mapping takes its place, later the copies are dropped of that one.
        for _ in 0..2 {
            memory.drop_copies(&[0..PAGE, 2 * PAGE..3 * PAGE], [PAGE].into_iter());
            assert_eq!((words(0), words(1)), ([9, 7, 9, 0], [0; 4]));
            memory.store(0, 8, Ordering::Relaxed);
        }
        let mut word = [0; 8];
        file.read_at(&mut word, PAGE_BYTES).unwrap();
        assert_eq!(u64::from_le_bytes(word), 9, "stores stay in memory");
    }
}

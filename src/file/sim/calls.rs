//! Calls: their kinds and numbers, how they are counted, and how they are made to fail.

use std::fmt;
use std::io;
use std::ops::AddAssign;

/// What a program asks of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// Opening a file by name.
    Open,
    /// Making an empty file under a temporary name.
    Create,
    /// Renaming a file unless the new name is taken.
    Publish,
    /// Removing a name.
    Remove,
    /// Making names durable.
    SyncDirectory,
    /// Asking for a file's length.
    Length,
    /// Making a file longer or shorter.
    SetLength,
    /// Securing space, as `fallocate` does.
    Allocate,
    /// Giving space back: a hole.
    Punch,
    /// Reading at an offset.
    Read,
    /// Writing at an offset.
    Write,
    /// Making a file durable: content, length and space.
    Sync,
    /// Mapping a part of a file.
    Map,
    /// Taking the advisory lock.
    Lock,
    /// Asking whether a name is still this file's.
    IsAt,
    /// Asking how much space a file takes.
    Allocated,
    /// A store into mapped memory; not a call to the system, and it can't fail.
    Store,
}

impl CallKind {
    /// Every kind.
    pub const ALL: [CallKind; 17] = [
        CallKind::Open,
        CallKind::Create,
        CallKind::Publish,
        CallKind::Remove,
        CallKind::SyncDirectory,
        CallKind::Length,
        CallKind::SetLength,
        CallKind::Allocate,
        CallKind::Punch,
        CallKind::Read,
        CallKind::Write,
        CallKind::Sync,
        CallKind::Map,
        CallKind::Lock,
        CallKind::IsAt,
        CallKind::Allocated,
        CallKind::Store,
    ];

    /// Whether a [`Fault`] can strike such a call.
    pub fn can_fail(self) -> bool {
        self != CallKind::Store
    }
}

/// One call, or one store into mapped memory, that is about to take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// How many calls and stores the disk saw before this one.
    pub number: u64,
    /// What is asked for.
    pub kind: CallKind,
    /// Where in the file, in bytes; the new length for [`CallKind::SetLength`]; otherwise 0.
    pub offset: u64,
    /// How many bytes; otherwise 0.
    pub len: u64,
}

/// When a [`Fault`] strikes. Numbers are those of [`Call::number`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At the first matching call that has this number or a higher one, and never again.
    Once(u64),
    /// At every matching call from this number on.
    From(u64),
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// `EIO`. A write may have written a part; a [sync](CallKind::Sync) has written some sectors, and the pages
    /// it has not written look clean from then on (see [`sim`](crate::sim)).
    Io,
    /// `ENOSPC`: like [`Io`](Failure::Io) for writes and syncs; an allocation may have secured a part.
    NoSpace,
    /// A write or an allocation does a part of its work before it fails, and a read finds the end of the file
    /// too early. For other calls like [`Io`](Failure::Io).
    Short,
    /// `EINTR`: nothing happened.
    Interrupted,
}

impl Failure {
    /// Every failure.
    pub const ALL: [Failure; 4] = [Failure::Io, Failure::NoSpace, Failure::Short, Failure::Interrupted];

    /// What the system reports for a call of `kind`.
    pub(super) fn error(self, kind: CallKind) -> io::Error {
        use rustix::io::Errno;
        match (self, kind) {
            (Failure::Short, CallKind::Write) => io::Error::from(io::ErrorKind::WriteZero),
            (Failure::Short, CallKind::Read) => io::Error::from(io::ErrorKind::UnexpectedEof),
            (Failure::NoSpace, _) | (Failure::Short, CallKind::Allocate) => Errno::NOSPC.into(),
            (Failure::Io | Failure::Short, _) => Errno::IO.into(),
            (Failure::Interrupted, _) => Errno::INTR.into(),
        }
    }
}

/// A failure to come; see [`SimDisk::fail`](super::SimDisk::fail).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// At which call.
    pub when: When,
    /// Only at calls of this kind; at any where `None`.
    pub kind: Option<CallKind>,
    /// How it fails.
    pub failure: Failure,
}

/// Takes the failure that is due at `call` out of `faults`; the first one added counts.
pub(super) fn due(faults: &mut Vec<Fault>, call: &Call) -> Option<Failure> {
    let matches = |fault: &Fault| {
        let (When::Once(first) | When::From(first)) = fault.when;
        call.kind.can_fail() && call.number >= first && fault.kind.is_none_or(|kind| kind == call.kind)
    };
    let found = faults.iter().position(matches)?;
    let failure = faults[found].failure;
    if matches!(faults[found].when, When::Once(_)) {
        faults.remove(found);
    }
    Some(failure)
}

/// What a disk has done so far. Counters of several disks can be added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    calls: [u64; CallKind::ALL.len()],
    /// Bytes written by calls.
    pub bytes_written: u64,
    /// Bytes stored into mapped memory.
    pub bytes_stored: u64,
    /// Sectors that reached the disk before any sync asked for them.
    pub early_sectors: u64,
    /// Calls that failed because of a [`Fault`].
    pub failures: u64,
}

impl Counters {
    /// How many calls of one kind there were.
    pub fn calls(&self, kind: CallKind) -> u64 {
        self.calls[kind as usize]
    }

    /// How many calls and stores there were; the next one's [`Call::number`].
    pub fn total(&self) -> u64 {
        self.calls.iter().sum()
    }

    pub(super) fn count(&mut self, call: &Call) {
        self.calls[call.kind as usize] += 1;
        match call.kind {
            CallKind::Write => self.bytes_written += call.len,
            CallKind::Store => self.bytes_stored += call.len,
            _ => {}
        }
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Counters) {
        self.calls.iter_mut().zip(other.calls).for_each(|(calls, other)| *calls += other);
        self.bytes_written += other.bytes_written;
        self.bytes_stored += other.bytes_stored;
        self.early_sectors += other.early_sectors;
        self.failures += other.failures;
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kind in CallKind::ALL {
            if self.calls(kind) > 0 {
                write!(f, "{kind:?} {}, ", self.calls(kind))?;
            }
        }
        let Counters { bytes_written, bytes_stored, early_sectors, failures, .. } = self;
        write!(f, "{bytes_written} bytes written, {bytes_stored} stored, ")?;
        write!(f, "{early_sectors} sectors written back early, {failures} failures")
    }
}

//! Errors are data: what was expected, what was found, where, and what to do next.
//!
//! Nothing in this crate panics on bytes that come from a file, and no failed operation leaves half a
//! change behind: an operation that returned an error has changed nothing, with the one exception that
//! [`Error::Poisoned`] describes.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::format::schema::Schema;

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not happen.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("app.tophash");
/// use tophash::{Error, Store};
///
/// let first = Store::open(&path)?;
/// match Store::open(&path) {
///     Err(Error::Locked { holder, .. }) => println!("in use by process {holder:?}"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another handle holds the file's lock. A writer needs the file for itself; readers share it.
    #[error("{} is locked{}{}", path.display(), Holder(*holder), WayOut { read_only: *read_only })]
    Locked {
        /// The file that was to be opened.
        path: PathBuf,
        /// The process that holds the lock, where the system tells.
        holder: Option<u32>,
        /// Whether the refused open was a read-only one.
        read_only: bool,
    },

    /// Bytes of the file are not what was written. Nothing was changed; reads of other entries go on.
    #[error(
        "the file is corrupt: {what} at offset {offset}: expected {expected}, found {found}; \
             `tophash verify` lists every fault"
    )]
    Corrupt {
        /// What the damaged bytes are part of.
        what: &'static str,
        /// Where they lie, in bytes from the beginning of the file.
        offset: u64,
        /// What the format asks for.
        expected: Detail,
        /// What is there.
        found: Detail,
    },

    /// The file is something else. It was left as it was.
    #[error("{} is not a tophash file: {reason}; nothing was changed", path.display())]
    NotTophash {
        /// The file that was to be opened.
        path: PathBuf,
        /// What gave it away.
        reason: &'static str,
    },

    /// The file was written by a version of the format that this library does not know.
    #[error("the file has format version {}.{} with incompatible features {incompatible:#x}; this library \
             reads version {}.x without other features: open it with a newer tophash", found.0, found.1, supported)]
    Version {
        /// Major and minor version in the header.
        found: (u16, u16),
        /// The feature bits of the header that a reader must know.
        incompatible: u32,
        /// The major version that this library reads and writes.
        supported: u16,
    },

    /// The file's keys and values are of other types than it was opened for. Nothing was changed.
    #[error("the file maps {found}, and was opened as one that maps {expected}; open it with its own types")]
    Schema {
        /// What it was opened for.
        expected: Box<Schema>,
        /// What it holds.
        found: Box<Schema>,
    },

    /// A type's name is empty, or has control characters. Nothing was changed.
    #[error("{name:?} can't be a type's name: expected 1 to 64 bytes of text without control characters")]
    TypeName {
        /// The name.
        name: String,
    },

    /// A key or a value has another number of bytes than all of its type have. Nothing was changed.
    #[error("a {type_name} has {expected} bytes, and not {found}")]
    Width {
        /// The type, by the name in the file's schema.
        type_name: Cow<'static, str>,
        /// How many bytes it has.
        expected: u64,
        /// How many there are.
        found: u64,
    },

    /// Bytes are none of a type: they were given to a [`DynMap`](crate::DynMap), or a program that has another notion of
    /// the type wrote them to the file. Nothing was changed.
    #[error(
        "the bytes are no {type_name}: expected {expected}, found {found}; read the file with the program that wrote it, \
             or look at its bytes with `tophash dump`"
    )]
    Decode {
        /// The type, by the name in the file's schema.
        type_name: Cow<'static, str>,
        /// What the type asks for.
        expected: Detail,
        /// What is there.
        found: Detail,
    },

    /// A value has no bytes that could be stored, says the [`Codec`](crate::Codec) of its type. Nothing was changed.
    #[error("this {type_name} can't be stored: {reason}")]
    Encode {
        /// The type, by the name in the file's schema.
        type_name: Cow<'static, str>,
        /// What the codec said.
        reason: String,
    },

    /// The sum is beyond what the type can hold. Nothing was changed.
    #[error("the sum is beyond what a {type_name} can hold; the value stays as it was")]
    Overflow {
        /// The type, by the name in the file's schema.
        type_name: Cow<'static, str>,
    },

    /// The disk is full (or a quota is reached), or would have no room for the checkpoint that the write makes necessary.
    /// Nothing was changed; the store goes on when there is room. Removing entries works meanwhile, and makes some.
    #[error("no space left: {needed_bytes} bytes are needed for {what}; free some space and try again")]
    NoSpace {
        /// What the space was needed for.
        what: &'static str,
        /// How many bytes were asked for.
        needed_bytes: u64,
    },

    /// A key, a value or an option is beyond a limit.
    #[error("{what} of {len} is too large: the limit is {limit}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Its size.
        len: u64,
        /// The largest size allowed.
        limit: u64,
    },

    /// A write to a store that was opened read-only.
    #[error("the store was opened read-only; open it without read_only to write")]
    ReadOnly,

    /// An earlier write panicked half way, or an earlier sync failed, so that what the system acknowledged may not be on
    /// disk (D5). Reads go on; every write is refused until the store is opened again. The outcome of the writes that
    /// waited for that sync is unknown: they may or may not be there afterwards.
    #[error(
        "an earlier sync failed (or a write panicked) and what it was to make durable may be lost; reads go on, but to write, \
             close the store and open it again"
    )]
    Poisoned,

    /// A write to a store from inside one of its own closures, or something else that waits for its writers.
    #[error(
        "a closure given to this store wrote to the same store, or asked for something that waits for writers; return the \
             new value instead"
    )]
    Reentrant,

    /// The store was opened by the parent of this process; a forked child must open its own.
    #[error("this handle belongs to the parent process; open the store again after a fork")]
    Forked,

    /// The operating system refused.
    #[error("{action} failed: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Names the action that `source` kept from happening; a full disk becomes [`Error::NoSpace`] at the
    /// places that know how much was needed.
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, source }
    }

    #[cold]
    pub(crate) fn corrupt(
        what: &'static str,
        offset: u64,
        expected: impl Into<Detail>,
        found: impl Into<Detail>,
    ) -> Error {
        Error::Corrupt { what, offset, expected: expected.into(), found: found.into() }
    }

    pub(crate) fn not_tophash(path: &Path, reason: &'static str) -> Error {
        Error::NotTophash { path: path.to_owned(), reason }
    }
}

/// One side of a mismatch: a number, a checksum, or words where neither fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// A count, a size, an offset or a field's value.
    Number(u64),
    /// A CRC-32.
    Crc(u32),
    /// A description.
    Text(&'static str),
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Detail::Number(n) => write!(f, "{n}"),
            Detail::Crc(crc) => write!(f, "checksum {crc:08x}"),
            Detail::Text(text) => f.write_str(text),
        }
    }
}

impl From<u64> for Detail {
    fn from(n: u64) -> Self {
        Detail::Number(n)
    }
}

impl From<&'static str> for Detail {
    fn from(text: &'static str) -> Self {
        Detail::Text(text)
    }
}

/// What to do about a file that is locked.
struct WayOut {
    read_only: bool,
}

impl fmt::Display for WayOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.read_only {
            // Only a writer keeps readers out.
            true => {
                " for writing, and cannot be looked at from outside meanwhile; close it there first, or have that program \
                 copy it (Store::backup) or export one moment of it (Store::snapshot)"
            }
            false => "; close it there first, or look at a closed file with read_only",
        })
    }
}

struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) if pid == std::process::id() => write!(f, " by this very process ({pid})"),
            Some(pid) => write!(f, " by process {pid}"),
            None => write!(f, " by another process"),
        }
    }
}

//! What a salvage found, kept and could not keep.

use std::fmt;

/// What [`salvage`](crate::salvage()) did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Salvaged {
    /// Entries in the new store.
    pub entries: u64,
    /// Entries that the damaged file's table counts; `None` where the file does not open, and the log alone was to
    /// tell what it held.
    pub table_entries: Option<u64>,
    /// Entries of the new store that the table confirmed as the newest under their key.
    pub confirmed: u64,
    /// Entries that the table did not confirm, and that lie before damage in the log: a record that is lost may have
    /// replaced or removed them.
    pub doubtful: u64,
    /// Log segments that were read, and whole records in them.
    pub segments: u64,
    /// See `segments`.
    pub records: u64,
    /// Whole records that a later one replaced or removed.
    pub stale: u64,
    /// Whole records behind the end of the log, which opening the file passes over too.
    pub behind_the_end: u64,
    /// Keys whose newest value is damaged.
    pub keys: Vec<DamagedKey>,
    /// Everything that is damaged or missing, in no order.
    pub damage: Vec<Damage>,
    /// The log is whole from the last clear on, or from the beginning.
    pub(super) log_is_whole: bool,
}

impl Salvaged {
    /// Whether every entry is known to be in the new store: the table confirms as many as it counts, or the log, which
    /// all of it follows from, has no damage.
    pub fn is_complete(&self) -> bool {
        self.table_entries == Some(self.confirmed) || self.log_is_whole
    }

    /// Entries that are known to be lost: keys whose value is damaged and of which no older one was found, or as many
    /// as the table counts and the new store does not have.
    pub fn lost(&self) -> u64 {
        let named = self.keys.iter().filter(|key| key.older.is_none()).count() as u64;
        let missing = self.table_entries.map_or(0, |count| count.saturating_sub(self.entries));
        named.max(missing)
    }
}

/// A key whose newest value is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedKey {
    /// The key.
    pub key: Vec<u8>,
    /// File offset of the damaged record.
    pub offset: u64,
    /// File offset of the older record that was kept in its place, if there was one.
    pub older: Option<u64>,
}

/// A part of a file that is damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// What lies there, or should.
    pub what: &'static str,
    /// File offset.
    pub offset: u64,
    /// Bytes, where it is known how many.
    pub bytes: u64,
}

impl Damage {
    pub(super) fn new(what: &'static str, offset: u64, bytes: u64) -> Self {
        Damage { what, offset, bytes }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}: {}", self.offset, self.what)?;
        if self.bytes > 0 { write!(f, ", {} bytes", self.bytes) } else { Ok(()) }
    }
}

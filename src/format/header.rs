//! The header slot: one 512-byte sector, complete in itself, at the beginning of pages 0 and 1.
//!
//! The valid slot with the higher sequence number counts. One sector is written whole or not at all on every
//! disk we know, and a torn one fails its checksum; nothing is shared between the slots.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Detail, Error, Result};
use crate::format::schema::{DataType, Layout, MAX_NAME_BYTES, Schema};
use crate::format::{COUNTER_LIMIT, PAGE_BYTES};
use crate::mutants::{Mutant, kept};

/// The first eight bytes of every file.
pub const MAGIC: [u8; 8] = *b"tophash\x1a";
/// The format version that this library writes.
pub const VERSION: (u16, u16) = (1, 0);
/// Bytes in a slot that mean something; the rest of the page is zero.
pub const HEADER_BYTES: usize = 512;
/// File offsets of the two slots.
pub const SLOT_OFFSETS: [u64; 2] = [0, PAGE_BYTES];

const CRC_AT: usize = HEADER_BYTES - 4;
/// The number of the record layout.
const LAYOUT_RECORD: u8 = 0;
/// The number of the inline layout.
const LAYOUT_INLINE: u8 = 1;

const SAME_SIZE_GROW: u8 = 1 << 0;
const WRITING: u8 = 1 << 1;
const SHRINKING: u8 = 1 << 2;
const KNOWN_FLAGS: u8 = SAME_SIZE_GROW | WRITING | SHRINKING;
/// A growth is of one kind.
const TWO_GROWTHS: u8 = SAME_SIZE_GROW | SHRINKING;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    magic: [u8; 8],
    version_major: U16,
    version_minor: U16,
    compatible: U32,
    incompatible: U32,
    page_bytes: U32,
    file_id: [u8; 16],
    sequence: U64,
    epoch: U64,
    layout: u8,
    hash_id: u8,
    key_width: U16,
    elem_width: U16,
    load_factor: U16,
    hash0: [u8; 16],
    log_secret: [u8; 16],
    count: U64,
    flags: u8,
    b: u8,
    zero: [u8; 2],
    noverflow: U32,
    buckets: U64,
    oldbuckets: U64,
    nevacuate: U64,
    overflow: U64,
    oldoverflow: U64,
    next_overflow: U64,
    old_next_overflow: U64,
    clears: U64,
    log_segment: U64,
    log_position: U64,
    catalog_offset: U64,
    catalog_bytes: U64,
    journal_offset: U64,
    journal_pages: U64,
    file_bytes: U64,
    catalog_crc: U32,
    journal_crc: U32,
    checkpoint_seq: U64,
    key_type: [u8; MAX_NAME_BYTES],
    value_type: [u8; MAX_NAME_BYTES],
    key_bytes: U32,
    value_bytes: U32,
    reserved: [u8; 124],
    crc: U32,
}

const _: () = assert!(size_of::<Raw>() == HEADER_BYTES);
const _: () = assert!(std::mem::offset_of!(Raw, sequence) == 40);
const _: () = assert!(std::mem::offset_of!(Raw, count) == 96);
const _: () = assert!(std::mem::offset_of!(Raw, log_segment) == 176);
const _: () = assert!(std::mem::offset_of!(Raw, key_type) == 248);
const _: () = assert!(std::mem::offset_of!(Raw, key_bytes) == 376);
const _: () = assert!(std::mem::offset_of!(Raw, crc) == CRC_AT);

/// Go's `hmap` and `mapextra`, as of one checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Hmap {
    /// Entries in the table.
    pub count: u64,
    /// A growth to the same size is under way (with `oldbuckets` set).
    pub same_size_grow: bool,
    /// The growth halves the array (with `oldbuckets` set, and without `same_size_grow`).
    pub shrinking: bool,
    /// log2 of the number of buckets.
    pub b: u8,
    /// Overflow buckets in use; approximate from B = 16 on.
    pub noverflow: u32,
    /// File offset of the bucket array.
    pub buckets: u64,
    /// File offset of the array that a growth is emptying, 0 when none is under way.
    pub oldbuckets: u64,
    /// Old buckets below this one have been evacuated.
    pub nevacuate: u64,
    /// Overflow chunks behind the array.
    pub overflow: u64,
    /// Overflow chunks behind the old array.
    pub oldoverflow: u64,
    /// Index of the next overflow bucket that was never used.
    pub next_overflow: u64,
    /// The same for the old array.
    pub old_next_overflow: u64,
    /// How often the table was cleared.
    pub clears: u64,
}

/// Where the log stood at a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LogPosition {
    /// File offset of the segment.
    pub segment: u64,
    /// File offset behind the last record that the checkpoint covers.
    pub end: u64,
}

/// A piece of the file with its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Pointer {
    /// File offset, a multiple of the page size; 0 for none.
    pub offset: u64,
    /// Bytes of the catalog, pages of the journal.
    pub len: u64,
    /// CRC-32 of the catalog's bytes or of the journal's table.
    pub crc: u32,
}

/// What never changes in the life of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Random; every record's checksum is salted with it.
    pub file_id: [u8; 16],
    /// Which hash function the table uses.
    pub hash_id: u8,
    /// The hash function's random key (Go's `hash0`).
    pub hash0: [u8; 16],
    /// The key of the check in sync marks (D4).
    pub log_secret: [u8; 16],
    /// Hundredths of entries per bucket at which the table doubles.
    pub load_factor: u16,
    /// What the keys and the values are.
    pub schema: Schema,
}

/// A verified header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What never changes.
    pub identity: Identity,
    /// Raised with every header written.
    pub sequence: u64,
    /// Raised by every session that writes (D1).
    pub epoch: u64,
    /// A writer has the file open, or had it when it died.
    pub writing: bool,
    /// The table.
    pub hmap: Hmap,
    /// Where replay begins.
    pub log: LogPosition,
    /// The list of all extents.
    pub catalog: Pointer,
    /// Pages that may not have reached their place yet; offset 0 for none.
    pub journal: Pointer,
    /// The file was at least this long.
    pub file_bytes: u64,
    /// Checkpoints taken in the life of the file.
    pub checkpoint_seq: u64,
}

/// Why a slot does not count.
#[derive(Debug)]
pub enum SlotFault {
    /// Not the first bytes of one of our files.
    Magic,
    /// A checksum that does not fit: torn or damaged.
    Checksum {
        /// What the slot says.
        expected: u32,
        /// What its bytes give.
        found: u32,
    },
    /// Made by a version that we don't read, and intact as far as we can tell.
    Version(Error),
    /// The checksum fits but a field makes no sense.
    Field(&'static str, u64),
}

impl Header {
    /// The slot's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let Header { identity, hmap, .. } = self;
        let shrinking = hmap.shrinking && kept(Mutant::ShrinkingFlag);
        let flags = (u8::from(hmap.same_size_grow) * SAME_SIZE_GROW)
            | (u8::from(self.writing) * WRITING)
            | (u8::from(shrinking) * SHRINKING);
        let (key_type, key_bytes) = identity.schema.key.encode();
        let (value_type, value_bytes) = identity.schema.value.encode();
        let mut raw = Raw {
            magic: MAGIC,
            version_major: VERSION.0.into(),
            version_minor: VERSION.1.into(),
            compatible: 0.into(),
            incompatible: 0.into(),
            page_bytes: (PAGE_BYTES as u32).into(),
            file_id: identity.file_id,
            sequence: self.sequence.into(),
            epoch: self.epoch.into(),
            layout: match identity.schema.layout {
                Layout::Record => LAYOUT_RECORD,
                Layout::Inline { .. } => LAYOUT_INLINE,
            },
            hash_id: identity.hash_id,
            key_width: u16::from(identity.schema.layout.key_width()).into(),
            elem_width: u16::from(identity.schema.layout.elem_width()).into(),
            load_factor: identity.load_factor.into(),
            hash0: identity.hash0,
            log_secret: identity.log_secret,
            count: hmap.count.into(),
            flags,
            b: hmap.b,
            zero: [0; 2],
            noverflow: hmap.noverflow.into(),
            buckets: hmap.buckets.into(),
            oldbuckets: hmap.oldbuckets.into(),
            nevacuate: hmap.nevacuate.into(),
            overflow: hmap.overflow.into(),
            oldoverflow: hmap.oldoverflow.into(),
            next_overflow: hmap.next_overflow.into(),
            old_next_overflow: hmap.old_next_overflow.into(),
            clears: hmap.clears.into(),
            log_segment: self.log.segment.into(),
            log_position: self.log.end.into(),
            catalog_offset: self.catalog.offset.into(),
            catalog_bytes: self.catalog.len.into(),
            journal_offset: self.journal.offset.into(),
            journal_pages: self.journal.len.into(),
            file_bytes: self.file_bytes.into(),
            catalog_crc: self.catalog.crc.into(),
            journal_crc: self.journal.crc.into(),
            checkpoint_seq: self.checkpoint_seq.into(),
            key_type,
            value_type,
            key_bytes: key_bytes.into(),
            value_bytes: value_bytes.into(),
            reserved: [0; 124],
            crc: 0.into(),
        };
        raw.crc = crc32fast::hash(&raw.as_bytes()[..CRC_AT]).into();
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(raw.as_bytes());
        bytes
    }

    /// Checks a slot and takes it apart.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> std::result::Result<Header, SlotFault> {
        let raw = Raw::ref_from_bytes(bytes).map_err(|_| SlotFault::Magic)?;
        if raw.magic != MAGIC {
            return Err(SlotFault::Magic);
        }
        let found = crc32fast::hash(&bytes[..CRC_AT]);
        if raw.crc.get() != found && kept(Mutant::HeaderChecksum) {
            return Err(SlotFault::Checksum { expected: raw.crc.get(), found });
        }
        raw.check_version()?;
        raw.check_fields()?;
        Ok(raw.unpack())
    }
}

impl Raw {
    fn check_version(&self) -> std::result::Result<(), SlotFault> {
        if self.version_major.get() == VERSION.0 && self.incompatible.get() == 0 {
            return Ok(());
        }
        Err(SlotFault::Version(Error::Version {
            found: (self.version_major.get(), self.version_minor.get()),
            incompatible: self.incompatible.get(),
            supported: VERSION.0,
        }))
    }

    fn check_fields(&self) -> std::result::Result<(), SlotFault> {
        let page_aligned = |offset: U64| offset.get().is_multiple_of(PAGE_BYTES);
        let counters =
            [self.sequence, self.epoch, self.count, self.nevacuate, self.clears, self.checkpoint_seq];
        let counter = counters.into_iter().map(U64::get).find(|&counter| counter >= COUNTER_LIMIT);
        let wrong = [
            (counter.is_some(), "counter", counter.unwrap_or(0)),
            (self.page_bytes.get() != PAGE_BYTES as u32, "page size", u64::from(self.page_bytes.get())),
            (self.schema().is_none(), "layout, or types of keys and values", self.layout.into()),
            (self.flags & !KNOWN_FLAGS != 0, "flags", self.flags.into()),
            (self.flags & TWO_GROWTHS == TWO_GROWTHS, "flags", self.flags.into()),
            (self.b > 40, "B", self.b.into()),
            (!page_aligned(self.buckets), "offset of the buckets", self.buckets.get()),
            (!page_aligned(self.oldbuckets), "offset of the old buckets", self.oldbuckets.get()),
            (!page_aligned(self.catalog_offset), "offset of the catalog", self.catalog_offset.get()),
            (!page_aligned(self.journal_offset), "offset of the journal", self.journal_offset.get()),
            (!self.log_position.get().is_multiple_of(8), "log position", self.log_position.get()),
        ];
        match wrong.into_iter().find(|(is_wrong, ..)| *is_wrong) {
            Some((_, field, value)) => Err(SlotFault::Field(field, value)),
            None => Ok(()),
        }
    }

    /// The schema, if the layout is the one that follows from the types.
    fn schema(&self) -> Option<Schema> {
        let key = DataType::decode(self.key_type, self.key_bytes.get())?;
        let value = DataType::decode(self.value_type, self.value_bytes.get())?;
        let schema = Schema::new(key, value);
        let number = match schema.layout {
            Layout::Record => LAYOUT_RECORD,
            Layout::Inline { .. } => LAYOUT_INLINE,
        };
        let widths = (schema.layout.key_width().into(), schema.layout.elem_width().into());
        let follows = (self.layout, (self.key_width.get(), self.elem_width.get())) == (number, widths);
        follows.then_some(schema)
    }

    fn unpack(&self) -> Header {
        Header {
            identity: Identity {
                file_id: self.file_id,
                hash_id: self.hash_id,
                hash0: self.hash0,
                log_secret: self.log_secret,
                load_factor: self.load_factor.get(),
                schema: self.schema().unwrap_or_default(),
            },
            sequence: self.sequence.get(),
            epoch: self.epoch.get(),
            writing: self.flags & WRITING != 0,
            hmap: Hmap {
                count: self.count.get(),
                same_size_grow: self.flags & SAME_SIZE_GROW != 0,
                shrinking: self.flags & SHRINKING != 0,
                b: self.b,
                noverflow: self.noverflow.get(),
                buckets: self.buckets.get(),
                oldbuckets: self.oldbuckets.get(),
                nevacuate: self.nevacuate.get(),
                overflow: self.overflow.get(),
                oldoverflow: self.oldoverflow.get(),
                next_overflow: self.next_overflow.get(),
                old_next_overflow: self.old_next_overflow.get(),
                clears: self.clears.get(),
            },
            log: LogPosition { segment: self.log_segment.get(), end: self.log_position.get() },
            catalog: Pointer {
                offset: self.catalog_offset.get(),
                len: self.catalog_bytes.get(),
                crc: self.catalog_crc.get(),
            },
            journal: Pointer {
                offset: self.journal_offset.get(),
                len: self.journal_pages.get(),
                crc: self.journal_crc.get(),
            },
            file_bytes: self.file_bytes.get(),
            checkpoint_seq: self.checkpoint_seq.get(),
        }
    }
}

/// The header that counts.
#[derive(Debug)]
pub struct Chosen {
    /// The valid slot with the higher sequence number.
    pub header: Header,
    /// Which slot it stands in, 0 or 1.
    pub slot: usize,
    /// Both slots are valid. If not, a write of a header was cut short or a slot is damaged, and the end of the
    /// log is not trusted as after a clean close.
    pub both_valid: bool,
}

/// Chooses among the two slots. A slot of a newer format decides by itself: nothing older may touch the file.
pub fn choose(slots: [&[u8; HEADER_BYTES]; 2]) -> Result<Chosen, SlotFault> {
    match slots.map(Header::decode) {
        [Err(SlotFault::Version(error)), _] | [_, Err(SlotFault::Version(error))] => {
            Err(SlotFault::Version(error))
        }
        [Ok(a), Ok(b)] if a.sequence > b.sequence => Ok(Chosen { header: a, slot: 0, both_valid: true }),
        [Ok(_), Ok(b)] => Ok(Chosen { header: b, slot: 1, both_valid: true }),
        [Ok(header), Err(_)] => Ok(Chosen { header, slot: 0, both_valid: false }),
        [Err(_), Ok(header)] => Ok(Chosen { header, slot: 1, both_valid: false }),
        [Err(SlotFault::Magic), Err(fault)] | [Err(fault), Err(_)] => Err(fault),
    }
}

impl SlotFault {
    /// The error of a file of ours without a usable slot.
    pub fn into_error(self, offset: u64) -> Error {
        match self {
            SlotFault::Magic => Error::corrupt("header", offset, "the magic bytes", "other bytes"),
            SlotFault::Checksum { expected, found } => {
                Error::corrupt("header", offset, Detail::Crc(expected), Detail::Crc(found))
            }
            SlotFault::Version(error) => error,
            SlotFault::Field(field, value) => Error::corrupt(field, offset, "a value in range", value),
        }
    }
}

#[cfg(test)]
mod tests;

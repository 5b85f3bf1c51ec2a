//! Edits of a file: where, and what.

use arbitrary::Arbitrary;

use crate::content::{Stamp, key};
use crate::fix::{Fix, fix_mark, fix_record};
use crate::layout::{Layout, PAGE, SECTOR, SLOT_BYTES, SLOTS};
use crate::samples::{Sample, samples};

/// More edits than this make nothing worse.
const MOST_EDITS: usize = 12;
/// No file gets longer than this.
const MOST_BYTES: usize = 1 << 20;

/// More forged records than this in a row neither.
const MOST_RECORDS: usize = 12;
/// Kinds of records.
const PUT: u8 = 1;
const GROW: u8 = 4;
const SYNC_MARK: u8 = 5;
const EVACUATE: u8 = 7;
const BATCH: u8 = 8;

/// A sample, and what becomes of it.
#[derive(Arbitrary, Debug)]
pub struct Damage {
    sample: u8,
    fix: u8,
    edits: Vec<Edit>,
}

/// A file after its edits.
pub struct Damaged {
    pub bytes: Vec<u8>,
    pub sample: &'static Sample,
    pub harm: Harm,
}

/// What may be expected of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Everything is as it was.
    None,
    /// One bit is not: every key has its value, or reading it is an error.
    OneBit,
    /// No checksum was made to fit: a value that is read was stored for its key.
    Damage,
    /// Anything may be read.
    Forgery,
}

#[derive(Arbitrary, Debug)]
enum Edit {
    Flip { place: Place, bit: u8 },
    Set { place: Place, width: u8, value: Value },
    Add { place: Place, width: u8, delta: i8 },
    Zero { place: Place, sectors: u8 },
    Copy { from: Place, to: Place, unit: Unit },
    Records { place: RecordPlace, records: Vec<Forged> },
    Mark { place: RecordPlace, sequence: u8, names: Place },
    Length { sectors: i16 },
}

#[derive(Arbitrary, Debug)]
enum Place {
    Header { slot: bool, at: u8 },
    Catalog { at: u16 },
    JournalTable { at: u16 },
    JournalImage { page: u8, at: u16 },
    Index { extent: u8, at: u16 },
    Sums { extent: u8, at: u16 },
    Identity { segment: u8, copy: bool, at: u8 },
    Link { segment: u8, copy: bool, at: u8 },
    Record { record: RecordPlace, at: u8 },
    Anywhere { at: u32 },
}

#[derive(Arbitrary, Debug)]
struct RecordPlace {
    segment: u8,
    /// From the end of the log, which is what replay sees; 0 is behind the last record.
    from_end: u8,
}

#[derive(Arbitrary, Debug)]
struct Forged {
    kind: u8,
    key: u16,
    value_len: u16,
    large: bool,
}

#[derive(Arbitrary, Debug)]
enum Value {
    Any(u64),
    Small(u8),
    PowerOfTwo(u8),
    Page(u8),
    OffsetOf(Place),
    Length,
}

#[derive(Arbitrary, Debug)]
enum Unit {
    Sector,
    Page,
    Bytes(u8),
}

impl Damage {
    /// For people.
    pub fn describe(&self) -> String {
        let sample = &samples()[usize::from(self.sample) % samples().len()];
        format!("{}, checksums {:#08b}, {:#?}", sample.name, self.fix, self.edits)
    }

    /// The file that the edits make.
    pub fn apply(&self) -> Damaged {
        let sample = &samples()[usize::from(self.sample) % samples().len()];
        let fix = Fix(self.fix);
        let edits = &self.edits[..self.edits.len().min(MOST_EDITS)];
        let mut bytes = sample.bytes.clone();
        for edit in edits {
            edit.apply(&mut bytes, &sample.layout, !fix.is_none());
        }
        fix.apply(&mut bytes, &sample.bytes, &sample.layout);
        let harm = match edits {
            _ if bytes == sample.bytes => Harm::None,
            _ if !fix.is_none() => Harm::Forgery,
            [Edit::Flip { .. }] => Harm::OneBit,
            _ => Harm::Damage,
        };
        Damaged { bytes, sample, harm }
    }
}

impl Edit {
    /// Without forgery, single bits, bytes and sectors alone are changed: with words, a fuzzer that sees what is
    /// compared could write the checksum that a changed record would need.
    fn apply(&self, bytes: &mut Vec<u8>, layout: &Layout, forgery: bool) {
        match self {
            Edit::Flip { place, bit } => {
                let at = place.find(bytes, layout);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Edit::Set { place, width, value } => {
                let at = place.find(bytes, layout);
                let width = if forgery { 1 << (width % 4) } else { 1 };
                let value = value.find(bytes, layout).to_le_bytes();
                overwrite(bytes, at, &value[..width]);
            }
            Edit::Add { place, width, delta } => {
                let at = place.find(bytes, layout);
                let width = if forgery { 1 << (width % 4) } else { 1 };
                let Some(there) = bytes.get(at..at + width) else { return };
                let mut word = [0; 8];
                word[..width].copy_from_slice(there);
                let sum = u64::from_le_bytes(word).wrapping_add_signed(i64::from(*delta));
                overwrite(bytes, at, &sum.to_le_bytes()[..width]);
            }
            Edit::Zero { place, sectors } => {
                let at = place.find(bytes, layout) / SECTOR * SECTOR;
                let end = (at + (1 + usize::from(*sectors)) * SECTOR).min(bytes.len());
                bytes[at..end].fill(0);
            }
            Edit::Copy { from, to, unit } => {
                let (from, to) = (from.find(bytes, layout), to.find(bytes, layout));
                let (unit, len) = match unit {
                    Unit::Sector => (SECTOR, SECTOR),
                    Unit::Page => (PAGE, PAGE),
                    Unit::Bytes(len) if forgery => (8, usize::from(*len)),
                    Unit::Bytes(_) => return,
                };
                let from = from / unit * unit;
                let Some(copy) = bytes.get(from..from + len).map(<[u8]>::to_vec) else { return };
                overwrite(bytes, to / unit * unit, &copy);
            }
            Edit::Records { place, records } if forgery => {
                let Some((segment, mut at)) = place.find(layout) else { return };
                for record in records.iter().take(MOST_RECORDS) {
                    let record = record.bytes();
                    overwrite(bytes, at, &record);
                    fix_record(bytes, segment, at);
                    at += record.len().next_multiple_of(8);
                }
            }
            Edit::Mark { place, sequence, names } if forgery => {
                let Some((segment, at)) = place.find(layout) else { return };
                let named = names.find(bytes, layout) as u64;
                overwrite(bytes, at + 4, &[SYNC_MARK, 0, 24, 0]);
                overwrite(bytes, at + 8, &u64::from(*sequence).to_le_bytes());
                overwrite(bytes, at + 16, &named.to_le_bytes());
                fix_mark(bytes, segment, at);
            }
            Edit::Records { .. } | Edit::Mark { .. } => {}
            Edit::Length { sectors } => {
                let len = bytes.len().saturating_add_signed(isize::from(*sectors) * SECTOR as isize);
                bytes.resize(len.min(MOST_BYTES), 0);
            }
        }
    }
}

fn overwrite(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(there) = bytes.get_mut(at..at.saturating_add(new.len())) {
        there.copy_from_slice(new);
    }
}

impl Forged {
    /// A record without its checksums.
    fn bytes(&self) -> Vec<u8> {
        let kind = if self.kind < 240 { 1 + self.kind % 8 } else { self.kind & 0x7f };
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (key, value) = match kind {
            GROW => (Vec::new(), u64::from(self.key % 4).to_le_bytes().to_vec()),
            EVACUATE => (Vec::new(), words(&[(self.key % 4).into(), (self.value_len % 16).into()])),
            BATCH => (Vec::new(), words(&[u64::from(self.value_len % 64) * 8, (self.key % 4).into()])),
            PUT => (key(self.key), Stamp::new(self.key, self.value_len.into()).value_of(self.key)),
            // The value that such a record has not, now and then.
            _ => (key(self.key), vec![0; usize::from(self.value_len / 0xf000)]),
        };
        let mut record = vec![0; 4];
        if self.large || key.len() > 255 {
            record.push(kind | 0x80);
            record.extend_from_slice(&(key.len() as u32).to_le_bytes()[..3]);
            record.extend_from_slice(&(value.len() as u32).to_le_bytes());
            record.extend_from_slice(&[0; 4]);
        } else {
            record.extend_from_slice(&[kind, key.len() as u8]);
            record.extend_from_slice(&(value.len() as u16).to_le_bytes());
        }
        record.extend_from_slice(&key);
        record.extend_from_slice(&value);
        record
    }
}

impl Place {
    /// An offset; it lies within the file, or is 0.
    fn find(&self, bytes: &[u8], layout: &Layout) -> usize {
        let inside = |range: std::ops::Range<usize>, at: usize| range.start + at % range.len().max(1);
        let place = match *self {
            Place::Header { slot, at } => Some(SLOTS[usize::from(slot)] + usize::from(at) % SLOT_BYTES),
            Place::Catalog { at } => Some(inside(layout.catalog.clone(), at.into())),
            Place::JournalTable { at } => {
                layout.journal.map(|journal| inside(journal.offset..journal.image_at(0), at.into()))
            }
            Place::JournalImage { page, at } => layout.journal.map(|journal| {
                journal.image_at(usize::from(page) % journal.pages.max(1)) + usize::from(at) % PAGE
            }),
            Place::Index { extent, at } => {
                pick(&layout.index, extent).map(|it| inside(it.pages.clone(), at.into()))
            }
            Place::Sums { extent, at } => pick(&layout.index, extent).map(|it| {
                let entries = it.pages.len() / PAGE * 4;
                inside(it.sums.start..it.sums.start + entries, at.into())
            }),
            Place::Identity { segment, copy, at } => pick(&layout.segments, segment)
                .map(|it| it.offset + usize::from(copy) * 1536 + usize::from(at % 72)),
            Place::Link { segment, copy, at } => pick(&layout.segments, segment)
                .map(|it| it.offset + 512 + usize::from(copy) * 512 + usize::from(at % 40)),
            Place::Record { ref record, at } => {
                record.find(layout).map(|(_, record)| record + usize::from(at))
            }
            Place::Anywhere { at } => Some(at as usize % bytes.len().max(1)),
        };
        place.filter(|&place| place < bytes.len()).unwrap_or(0)
    }
}

impl RecordPlace {
    /// The segment's offset and the record's.
    fn find(&self, layout: &Layout) -> Option<(usize, usize)> {
        let segment = pick(&layout.segments, self.segment)?;
        let from_end = usize::from(self.from_end) % segment.records.len();
        Some((segment.offset, segment.records[segment.records.len() - 1 - from_end]))
    }
}

fn pick<T>(all: &[T], n: u8) -> Option<&T> {
    all.get(usize::from(n) % all.len().max(1))
}

impl Value {
    fn find(&self, bytes: &[u8], layout: &Layout) -> u64 {
        match *self {
            Value::Any(value) => value,
            Value::Small(value) => value.into(),
            Value::PowerOfTwo(bit) => 1 << (bit % 64),
            Value::Page(page) => u64::from(page) * PAGE as u64,
            Value::OffsetOf(ref place) => place.find(bytes, layout) as u64,
            Value::Length => bytes.len() as u64,
        }
    }
}

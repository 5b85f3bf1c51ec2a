//! The work of a salvage: the records of the log, newest first, into the new store.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::error::{Error, Result};
use crate::format::record::{Frame, Kind, Salt};
use crate::format::schema::Layout;
use crate::format::segment::FIRST_RECORD;
use crate::map::bytes::{self, Entries};
use crate::store::Store;
use crate::upkeep::scan::{Found, LogBytes, Scan};

use super::cells::{CheckpointCells, Covered};
use super::report::{Damage, DamagedKey, Salvaged};
use super::segments::Life;
use super::source::Source;

/// 128 random bits for a key: removed keys would take as much memory as they have bytes.
type KeyPrint = u128;

pub(super) struct Work<'a> {
    new: &'a Store,
    layout: Layout,
    /// The damaged file, if it opens.
    table: Option<Store>,
    /// In the inline layout, where there is no table: the cells of the last checkpoint.
    cells: Option<CheckpointCells>,
    /// Take the log from before that checkpoint too.
    all: bool,
    source: Source,
    file_id: [u8; 16],
    report: Salvaged,
    /// Keys that are gone: a removal is newer than what comes now, or the table has none.
    gone: HashSet<KeyPrint>,
    /// Keys whose newest value is damaged, by their place in the report.
    damaged: HashMap<KeyPrint, usize>,
    printer: SipHasher13,
    /// Damage lies between here and the end of the log.
    behind_damage: bool,
}

/// What tells of the damaged file's entries besides its log.
#[derive(Default)]
pub(super) struct Truth {
    pub(super) table: Option<Store>,
    pub(super) cells: Option<CheckpointCells>,
    pub(super) all: bool,
}

/// What the table of the damaged file says about a key.
enum Verdict {
    Is(Vec<u8>),
    Absent,
    /// There is no table, or it or the key's record is damaged.
    Unknown,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        new: &'a Store,
        truth: Truth,
        source: Source,
        file_id: [u8; 16],
        report: Salvaged,
    ) -> Self {
        let Truth { table, cells, all } = truth;
        let random = RandomState::new();
        let printer = SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1));
        let (gone, damaged) = Default::default();
        let layout = new.schema().layout();
        let behind_damage = false;
        Work {
            new,
            layout,
            table,
            cells,
            all,
            source,
            file_id,
            report,
            gone,
            damaged,
            printer,
            behind_damage,
        }
    }

    /// Takes every life of the log, newest first.
    pub(super) fn run(mut self, log: &[Life], mut progress: impl FnMut(u64)) -> Result<Salvaged> {
        // What a checkpoint covers, its cells know best.
        let covered = self.cells.as_ref().map(CheckpointCells::covered);
        let cleared = self.lives(log, covered, &mut progress)?;
        if !cleared {
            self.entries_of_table()?;
            self.entries_of_checkpoint()?;
        }
        if !cleared && covered.is_some() && self.all {
            self.lives(log, None, &mut progress)?;
        }
        self.report.entries = self.new.len();
        Ok(self.report)
    }

    /// Takes the lives from the newest on, back to what is covered; whether the table was cleared there.
    fn lives(
        &mut self,
        log: &[Life],
        covered: Option<Covered>,
        progress: &mut impl FnMut(u64),
    ) -> Result<bool> {
        for life in log {
            if covered.is_some_and(|covered| life.sequence < covered.sequence) {
                break;
            }
            self.behind_damage |= life.gap_behind;
            let here = covered.filter(|covered| life.sequence == covered.sequence);
            let cleared = self.life(life, here.map_or(life.offset + FIRST_RECORD, |covered| covered.end))?;
            progress(life.limit.min(self.source.length()).saturating_sub(life.offset));
            if cleared {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes the records of one life from an offset on, the last first; whether one of them cleared the table.
    fn life(&mut self, life: &Life, first: u64) -> Result<bool> {
        self.report.segments += 1;
        let salt = Salt::new(&self.file_id, life.epoch, life.sequence);
        let found = self.records_of(life, first, salt);
        for found in found.into_iter().rev() {
            let (offset, frame, value_whole) = match found {
                Found::Damage { offset, bytes } => {
                    self.damage("log", offset, bytes);
                    continue;
                }
                Found::Record { offset, frame, value_whole } => (offset, frame, value_whole),
            };
            self.report.records += 1;
            match frame.kind {
                Kind::Clear => return Ok(true),
                Kind::Grow | Kind::SyncMark | Kind::Evacuate | Kind::Batch => {}
                Kind::Remove | Kind::Put | Kind::Move => match self.key(offset, &frame, salt) {
                    Some(key) if !self.fits(&key, None) => self.damage("log", offset, frame.bytes()),
                    None => self.damage("log", offset, frame.bytes()),
                    Some(key) if frame.kind == Kind::Remove => self.remove(&key)?,
                    Some(key) => {
                        let value = if value_whole { self.value(offset, &frame, salt) } else { None };
                        let value = value.filter(|value| self.fits(&key, Some(value)));
                        self.put(key, value, offset, frame.bytes())?;
                    }
                },
            }
        }
        Ok(false)
    }

    /// Walks a life from its first record on. What the table's log ends before is counted and left.
    fn records_of(&mut self, life: &Life, first: u64, salt: Salt) -> Vec<Found> {
        let length = self.source.length();
        let limit = life.end.unwrap_or(life.limit).min(life.limit);
        if limit > length {
            // One that only a link tells of has no size.
            let bytes = if limit == u64::MAX { 0 } else { limit - length.max(life.offset) };
            if bytes > 0 || life.offset >= length {
                self.damage("log segment beyond the end of the file", length.max(life.offset), bytes);
            }
        }
        let end = limit.min(length);
        let mut found = Vec::new();
        let mut scan = Scan::new(&mut self.source, salt, first, end, life.end.is_some());
        while let Some(record) = scan.next() {
            found.push(record);
        }
        if self.table.is_some() && self.report.segments == 1 {
            let behind = life.limit.min(length);
            let mut scan = Scan::new(&mut self.source, salt, end, behind, false);
            while let Some(record) = scan.next() {
                let tells = |frame: &Frame| matches!(frame.kind, Kind::Put | Kind::Remove | Kind::Clear);
                let counts = matches!(&record, Found::Record { frame, .. } if tells(frame));
                self.report.behind_the_end += u64::from(counts);
            }
        }
        found
    }

    fn damage(&mut self, what: &'static str, offset: u64, bytes: u64) {
        self.report.damage.push(Damage::new(what, offset, bytes));
        self.report.log_is_whole = false;
        self.behind_damage = true;
    }

    fn remove(&mut self, key: &[u8]) -> Result<()> {
        if !self.contains(key)? {
            self.gone.insert(self.print(key));
        }
        Ok(())
    }

    /// Takes a record, `None` being a value that is damaged, unless a newer one decided.
    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>, offset: u64, record_bytes: u64) -> Result<()> {
        let print = self.print(&key);
        if self.gone.contains(&print) || self.contains(&key)? {
            self.report.stale += 1;
            return Ok(());
        }
        match (self.verdict(&key), value) {
            (Verdict::Is(value), _) => {
                self.insert(&key, &value)?;
                self.report.confirmed += 1;
            }
            (Verdict::Absent, _) => {
                self.report.stale += 1;
                self.gone.insert(print);
            }
            (Verdict::Unknown, None) => {
                self.damage("value of a record", offset, record_bytes);
                if let Entry::Vacant(first) = self.damaged.entry(print) {
                    first.insert(self.report.keys.len());
                    self.report.keys.push(DamagedKey { key, offset, older: None });
                }
            }
            (Verdict::Unknown, Some(value)) => {
                self.insert(&key, &value)?;
                self.report.doubtful += u64::from(self.behind_damage);
                if let Some(&place) = self.damaged.get(&print) {
                    self.report.keys[place].older = Some(offset);
                }
            }
        }
        Ok(())
    }

    fn verdict(&self, key: &[u8]) -> Verdict {
        let get = |table| bytes::get(table, self.layout, key, <[u8]>::to_vec);
        match self.table.as_ref().map(get) {
            Some(Ok(Some(value))) => Verdict::Is(value),
            Some(Ok(None)) => Verdict::Absent,
            Some(Err(_)) | None => Verdict::Unknown,
        }
    }

    /// In the inline layout the log has what was written since the last checkpoint, if that; the cells have it all.
    fn entries_of_table(&mut self) -> Result<()> {
        if self.layout == Layout::Record {
            return Ok(());
        }
        let Some(table) = self.table.take() else { return Ok(()) };
        let mut entries = Entries::new(&table, self.layout);
        let layout = self.layout;
        while let Some(entry) = entries.next_with(layout, |key, elem| Ok((key.to_vec(), elem.to_vec()))) {
            let taken = self.cell(entry.as_ref().map(|(key, elem)| (&key[..], &elem[..])))?;
            self.report.confirmed += u64::from(taken);
        }
        Ok(())
    }

    /// The same where there is no table: what the log has is newer, be it a value or a removal.
    fn entries_of_checkpoint(&mut self) -> Result<()> {
        let Some(cells) = self.cells.take() else { return Ok(()) };
        cells.each(|entry| {
            let taken = self.cell(entry)?;
            self.report.doubtful += u64::from(taken && self.behind_damage);
            Ok(())
        })
    }

    /// Takes an entry of a cell, unless the log decided about its key; whether it did.
    fn cell(&mut self, entry: Result<(&[u8], &[u8]), &Error>) -> Result<bool> {
        match entry {
            Ok((key, _)) if self.contains(key)? || self.gone.contains(&self.print(key)) => return Ok(false),
            Ok((key, elem)) => return self.insert(key, elem).map(|()| true),
            Err(Error::Corrupt { what, offset, .. }) => self.damage(what, *offset, 0),
            // A page that can't be read.
            Err(_) => self.damage("bucket array", 0, 0),
        }
        Ok(false)
    }

    /// Whether cells can hold such a key, and such a value.
    fn fits(&self, key: &[u8], value: Option<&[u8]>) -> bool {
        match self.layout {
            Layout::Record => true,
            Layout::Inline { key_width, elem_width } => {
                key.len() == usize::from(key_width)
                    && value.is_none_or(|value| value.len() == usize::from(elem_width))
            }
        }
    }

    fn contains(&self, key: &[u8]) -> Result<bool> {
        bytes::contains_key(self.new, self.layout, key)
    }

    fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        bytes::insert(self.new, self.layout, key, value, |_| ()).map(drop)
    }

    /// The key of a record that the walk found. Compared once more: a sector may fail between.
    fn key(&mut self, offset: u64, frame: &Frame, salt: Salt) -> Option<Vec<u8>> {
        let head = self.source.bytes(offset, frame.head_bytes())?;
        frame.verify_head(head, salt, offset).ok()?;
        Some(head[frame.header_bytes()..][..frame.key_len as usize].to_vec())
    }

    fn value(&mut self, offset: u64, frame: &Frame, salt: Salt) -> Option<Vec<u8>> {
        let record = self.source.bytes(offset, frame.unpadded_bytes())?;
        frame.verify_head(&record[..frame.head_bytes()], salt, offset).ok()?;
        frame.verify_value(record, salt, offset).ok()?;
        Some(record[frame.header_bytes() + frame.key_len as usize..].to_vec())
    }

    fn print(&self, key: &[u8]) -> KeyPrint {
        let mut hasher = self.printer;
        hasher.write(key);
        hasher.finish128().as_u128()
    }
}

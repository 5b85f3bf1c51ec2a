//! What is attacked: a store of one of the forms that a file can have.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use tophash::report::{Growth, Info, Stats, Verification, WhichArray};
use tophash::{
    Batch, Buckets, DataType, DynMap, DynSnapshot, Error, Layout, Options, Result, Schema, Snapshot, Store,
};

use crate::content::{Key, Payload, mix};

/// What a store's keys and values are.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Form {
    /// Any bytes to any bytes, in records of the log.
    #[default]
    Records,
    /// `u64` to `u64`, in cells that are loaded and stored as words.
    Words,
    /// 20 bytes to 40 bytes, in cells that begin and end within words.
    Odd,
    /// 128 bytes to 128 bytes, the widest that a cell holds: few of them fill a segment of the log.
    Wide,
    /// A set of 7 bytes.
    Set,
}

impl Form {
    /// Those that the inline layout has here.
    pub const CELLS: [Form; 4] = [Form::Words, Form::Odd, Form::Wide, Form::Set];

    /// The widths of keys and values where all have the same.
    pub fn widths(self) -> Option<(usize, usize)> {
        match self {
            Form::Records => None,
            Form::Words => Some((8, 8)),
            Form::Odd => Some((20, 40)),
            Form::Wide => Some((128, 128)),
            Form::Set => Some((7, 0)),
        }
    }

    /// The key of this name: the name itself, or as many bytes as a key has here, which follow from it.
    pub fn key(self, name: impl AsRef<[u8]>) -> Key {
        let name = name.as_ref();
        let Some((width, _)) = self.widths() else { return name.to_vec() };
        let seed = name.iter().fold(name.len() as u64, |state, &byte| mix(state ^ u64::from(byte)));
        (0u64..).flat_map(|word| mix(seed ^ word).to_le_bytes()).take(width).collect()
    }

    /// The value number `id`, of this length where values have any.
    pub fn payload(self, id: u64, len: usize) -> Payload {
        Payload::new(id, self.widths().map_or(len, |(_, width)| width))
    }

    /// How many writes of one key leave as much in the log as one with a value of so many bytes.
    pub fn writes_of(self, len: usize) -> usize {
        const RECORD_HEADER: usize = 8;
        match self.widths() {
            Some((key, value)) if self == Form::Wide => (len / (RECORD_HEADER + key + value)).max(1),
            // So many that a crash at each of them would take too long.
            Some(_) | None => 1,
        }
    }

    /// How many entries a table is to be made for so that it has about as many pages as a table of records that is made
    /// for `capacity`, if these are many.
    pub fn capacity_of_as_many_pages(self, capacity: u64) -> u64 {
        const FEW: u64 = 30;
        let (key, value) = self.widths().unwrap_or((8, 0));
        let bucket_bytes = 8 + 8 * (key + value) as u64 + 8;
        capacity.min(FEW).max(capacity * 80 / bucket_bytes)
    }

    /// The name under which a worker is told of it.
    pub fn name(self) -> &'static str {
        match self {
            Form::Records => "records",
            Form::Words => "words",
            Form::Odd => "odd",
            Form::Wide => "wide",
            Form::Set => "set",
        }
    }

    fn schema(self) -> Result<Schema> {
        let (key, value) = match self {
            Form::Records => return Ok(Schema::BYTES),
            Form::Words => (DataType::fixed("u64", 8)?, DataType::fixed("u64", 8)?),
            Form::Odd => (DataType::fixed("bytes:20", 20)?, DataType::fixed("bytes:40", 40)?),
            Form::Wide => (DataType::fixed("bytes:128", 128)?, DataType::fixed("bytes:128", 128)?),
            Form::Set => (DataType::fixed("bytes:7", 7)?, DataType::fixed("()", 0)?),
        };
        Ok(Schema::new(key, value))
    }
}

/// The layouts that a run is about.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Layouts {
    /// Keys and values in records of the log
    Record,
    /// Keys and values of fixed widths in the cells
    Inline,
    /// Some cycles each
    #[default]
    Both,
}

impl Layouts {
    /// The form of the store that the cycle of this seed is about.
    pub fn form(self, seed: u64) -> Form {
        let cells = Form::CELLS[(mix(seed) % 4) as usize];
        match self {
            Layouts::Record => Form::Records,
            Layouts::Inline => cells,
            Layouts::Both if mix(seed ^ 1).is_multiple_of(2) => Form::Records,
            Layouts::Both => cells,
        }
    }

    /// The name of a run of these layouts, as the tool is called for it.
    pub fn name(self, run: &str) -> String {
        match self {
            Layouts::Record => format!("{run} --layout record"),
            Layouts::Inline => format!("{run} --layout inline"),
            Layouts::Both => run.to_owned(),
        }
    }
}

/// A store that is open.
#[derive(Clone)]
pub enum Subject {
    Records(Store),
    Cells(DynMap),
}

/// What it was at a checkpoint.
#[derive(Debug)]
pub enum SubjectSnapshot {
    Records(Snapshot),
    Cells(DynSnapshot),
}

macro_rules! either {
    ($subject:ident, $it:ident => $done:expr) => {
        match $subject {
            Subject::Records($it) => $done,
            Subject::Cells($it) => $done,
        }
    };
}

impl Subject {
    /// Opens a store of this form, or makes it.
    pub fn open(options: Options, path: &Path, form: Form) -> Result<Subject> {
        if form == Form::Records {
            return options.open(path).map(Subject::Records);
        }
        loop {
            match options.clone().open_dyn(path) {
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                opened => return opened.map(|map| Self::of_form(map, form)),
            }
            match options.clone().create_dyn(path, form.schema()?) {
                // Another program was faster.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {}
                created => return created.map(Subject::Cells),
            }
        }
    }

    /// Opens a store of this form that is there.
    pub fn open_existing(options: Options, path: &Path, form: Form) -> Result<Subject> {
        match form {
            Form::Records => options.create(false).open(path).map(Subject::Records),
            _ => options.open_dyn(path).map(|map| Self::of_form(map, form)),
        }
    }

    /// A file keeps its types whatever happens to it.
    fn of_form(map: DynMap, form: Form) -> Subject {
        assert_eq!(Ok(map.schema()), form.schema().map_err(|error| error.to_string()), "its own types");
        Subject::Cells(map)
    }

    pub fn form(&self) -> Form {
        let Subject::Cells(map) = self else { return Form::Records };
        let layout = map.schema().layout();
        let is_its = |form: &Form| match (form.widths(), layout) {
            (Some(widths), Layout::Inline { key_width, elem_width }) => {
                widths == (key_width.into(), elem_width.into())
            }
            _ => false,
        };
        Form::CELLS.into_iter().find(is_its).unwrap_or_default()
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self {
            Subject::Records(store) => Ok(store.get(key)?.map(|value| value.to_vec())),
            Subject::Cells(map) => map.get(key),
        }
    }

    /// Sets a key's value; whether it had one before.
    pub fn insert(&self, key: &[u8], payload: Payload) -> Result<bool> {
        either!(self, it => Ok(it.insert(key, payload.bytes())?.is_some()))
    }

    /// Removes a key; whether it was there.
    pub fn remove(&self, key: &[u8]) -> Result<bool> {
        either!(self, it => Ok(it.remove(key)?.is_some()))
    }

    pub fn apply(&self, batch: &Batch) -> Result<()> {
        either!(self, it => it.apply(batch))
    }

    /// Copies of all entries.
    pub fn entries(&self) -> Box<dyn Iterator<Item = Result<(Key, Vec<u8>)>> + '_> {
        match self {
            Subject::Records(store) => {
                let copied =
                    |(key, value): (tophash::Value<'_>, tophash::Value<'_>)| (key.to_vec(), value.to_vec());
                Box::new(store.iter().map(move |entry| entry.map(copied)))
            }
            Subject::Cells(map) => Box::new(map.iter()),
        }
    }

    pub fn len(&self) -> u64 {
        either!(self, it => it.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn clear(&self) -> Result<()> {
        either!(self, it => it.clear())
    }

    pub fn sync(&self) -> Result<()> {
        either!(self, it => it.sync())
    }

    pub fn checkpoint(&self) -> Result<()> {
        either!(self, it => it.checkpoint())
    }

    pub fn compact(&self) -> Result<()> {
        either!(self, it => it.compact().map(drop))
    }

    /// The store as it was at its last checkpoint.
    pub fn snapshot(&self) -> Result<SubjectSnapshot> {
        Ok(match self {
            Subject::Records(store) => SubjectSnapshot::Records(store.snapshot()?),
            Subject::Cells(map) => SubjectSnapshot::Cells(map.snapshot()?),
        })
    }

    pub fn backup(&self, path: &Path) -> Result<()> {
        either!(self, it => it.backup(path).map(drop))
    }

    pub fn stats(&self) -> Result<Stats> {
        either!(self, it => it.stats())
    }

    pub fn info(&self) -> Result<Info> {
        either!(self, it => it.info())
    }

    pub fn growth(&self) -> Result<Growth> {
        either!(self, it => it.growth())
    }

    pub fn buckets(&self, array: WhichArray) -> Buckets<'_> {
        either!(self, it => it.buckets(array))
    }

    pub fn verify(&self) -> Result<Verification> {
        either!(self, it => it.verify())
    }

    pub fn close(self) -> Result<()> {
        either!(self, it => it.close())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        either!(self, it => it.fmt(f))
    }
}

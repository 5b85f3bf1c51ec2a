//! `tophash import`: entries from lines of text.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::json;
use tophash::report::{Growth, GrowthKind};
use tophash::{Batch, Durability, DynMap, Options};

use crate::entry::Decoder;
use crate::failure::Failure;
use crate::lines::{Delimiter, Input, InputFormat, parse_delimiter};
use crate::new_file::{TableArguments, TypeArguments};
use crate::output::{self, Align, Sheet};
use crate::store::{open_or_create, same_file};
use crate::types::Types;

/// Bytes of keys and values at which a batch is full before it has all its entries: it is held in memory.
const BATCH_BYTES: usize = 4 << 20;

/// Read entries from lines of text; makes the file if it is not there
#[derive(clap::Args)]
#[command(after_help = "\
A line ends with a newline, or with a carriage return and a newline. A line that is not an entry ends the import \
with an error that names it (exit code 2); the lines before it are in the store.

A crash leaves all entries of a batch or none: a batch has as many lines as --batch says, or four MiB of them.

What a key and a value is, the file says: in one of numbers a line has numbers. --key and --value are the types of a \
new file, as create has them (see tophash create --help); without them it is a plain store, bytes to bytes. A file that \
is there must have the types that are given.

Use --format tsv or jsonl for what dump and export wrote; the default, lines, has no escapes.")]
pub struct Import {
    /// The store
    file: PathBuf,
    /// The lines; - for standard input
    input: PathBuf,
    /// How to read a line
    #[arg(short, long, value_enum, default_value = "lines")]
    format: InputFormat,
    /// What ends the key in --format lines; may have escapes (\t \xNN) [default: a tab]
    #[arg(short, long, value_name = "TEXT", value_parser = parse_delimiter)]
    delimiter: Option<Delimiter>,
    /// How many entries are put in together
    #[arg(short, long, value_name = "ENTRIES", default_value = "250")]
    batch: NonZeroUsize,
    /// When a write is on disk; in every mode, all of it is when the import ends
    #[arg(long, value_enum, default_value = "interval")]
    durability: When,
    #[command(flatten)]
    types: TypeArguments,
    #[command(flatten)]
    table: TableArguments,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    /// Left to the system and to checkpoints
    Buffered,
    /// Once a second
    Interval,
    /// Batch by batch
    Immediate,
}

impl Import {
    pub fn run(self) -> Result<(), Failure> {
        if self.delimiter.is_some() && self.format != InputFormat::Lines {
            return Err(Failure::Usage("--delimiter goes with --format lines alone".to_owned()));
        }
        if same_file(&self.file, &self.input) {
            return Err(Failure::Usage(format!("{} is the store itself", self.input.display())));
        }
        // The input first: where it is missing, no store is made.
        let mut input = Input::open(&self.input)?;
        let started = Instant::now();
        let map = open_or_create(&self.file, self.options(), self.types.schema())?;
        let mut done = Done::new(&map)?;
        let read = done.import(&map, &mut input, &self.decoder(), self.batch.get());
        drop(input);
        done.count = map.len();
        // What was read before an error is kept, and made durable.
        let closed = map.close();
        read?;
        closed?;
        done.elapsed = started.elapsed();
        done.file_bytes =
            std::fs::metadata(&self.file).map_err(Failure::io(self.file.display().to_string()))?.len();
        if self.json { done.show_json() } else { done.show(&self.file) }
    }

    fn options(&self) -> Options {
        let durability = match self.durability {
            When::Buffered => Durability::Buffered,
            When::Interval => Durability::Interval(Duration::from_secs(1)),
            When::Immediate => Durability::Immediate,
        };
        self.table.options().durability(durability)
    }

    fn decoder(&self) -> Decoder {
        self.format.decoder(self.delimiter.as_ref())
    }
}

/// What an import has done so far.
struct Done {
    new: u64,
    replaced: u64,
    growths: Growths,
    /// Entries in the store afterwards.
    count: u64,
    elapsed: Duration,
    file_bytes: u64,
}

impl Done {
    fn new(map: &DynMap) -> Result<Self, Failure> {
        let growths = Growths { begun: 0, last: map.growth()? };
        Ok(Done { new: 0, replaced: 0, growths, count: 0, elapsed: Duration::ZERO, file_bytes: 0 })
    }

    fn import(
        &mut self,
        map: &DynMap,
        input: &mut Input,
        decoder: &Decoder,
        entries: usize,
    ) -> Result<(), Failure> {
        let types = Types::of(&map.schema());
        let (mut batch, mut bytes) = (Batch::new(), 0);
        let read = loop {
            let more = input.next_entry(decoder, types, |key, value| {
                batch.put(key, value);
                bytes += key.len() + value.len();
            });
            if !matches!(more, Ok(true)) {
                break more;
            }
            if batch.len() == entries || bytes >= BATCH_BYTES {
                self.apply(map, &batch)?;
                batch.reset();
                bytes = 0;
            }
        };
        // Also what stands before a line that is wrong.
        self.apply(map, &batch)?;
        read.map(drop)
    }

    fn apply(&mut self, map: &DynMap, batch: &Batch) -> Result<(), Failure> {
        let before = map.len();
        map.apply(batch)?;
        let new = map.len() - before;
        self.new += new;
        self.replaced += batch.len() as u64 - new;
        self.growths.look(map.growth()?);
        Ok(())
    }

    fn entries(&self) -> u64 {
        self.new + self.replaced
    }

    fn rate(&self) -> f64 {
        self.entries() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn show(&self, file: &Path) -> Result<(), Failure> {
        let mut sheet = Sheet::new(Align::Right);
        sheet.heading(&file.display().to_string());
        sheet.line("entries", output::count(self.entries()), "imported");
        sheet.line("new", output::count(self.new), format!("{} in the store now", output::count(self.count)));
        sheet.line("replaced", output::count(self.replaced), "");
        sheet.line("growths", output::count(self.growths.begun), self.growths.describe());
        let rate = format!("{} entries/s", output::count(self.rate() as u64));
        sheet.line("time", format!("{:.3} s", self.elapsed.as_secs_f64()), rate);
        sheet.size("file", self.file_bytes);
        output::show(&sheet.to_string())
    }

    fn show_json(&self) -> Result<(), Failure> {
        output::show_json(&json!({
            "entries": self.entries(),
            "new": self.new,
            "replaced": self.replaced,
            "count": self.count,
            "growths": self.growths.begun,
            "b": self.growths.last.b,
            "seconds": self.elapsed.as_secs_f64(),
            "entries_per_second": self.rate(),
            "file_bytes": self.file_bytes,
        }))
    }
}

/// Counts growths by looking after every batch. One to the same size that a batch both begins and ends does not show.
struct Growths {
    begun: u64,
    last: Growth,
}

impl Growths {
    fn look(&mut self, now: Growth) {
        let doubled = u64::from(now.b.saturating_sub(self.last.b));
        // One to the same size does not show in B, but in that one is under way that was not, or that begins anew.
        let same_size = now.kind == Some(GrowthKind::SameSize)
            && (self.last.kind != now.kind || now.b != self.last.b || now.nevacuate < self.last.nevacuate);
        self.begun += doubled + u64::from(same_size);
        self.last = now;
    }

    fn describe(&self) -> String {
        let buckets = output::count_of(self.last.buckets, "bucket");
        let under_way = if self.last.kind.is_some() { ", a growth is under way" } else { "" };
        format!("{buckets} now{under_way}")
    }
}

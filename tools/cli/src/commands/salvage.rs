//! `tophash salvage`: a new store from what is left of a damaged one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use tophash::Error;
use tophash::report::Salvaged;

use crate::failure::Failure;
use crate::output::{self, Align, Progress, Sheet, bad, good};
use crate::store::schema_of;
use crate::text::escape;
use crate::types::{Type, Types};

/// Rebuild a store from whatever valid records a damaged file holds
#[derive(clap::Args)]
#[command(after_help = "\
Writes the newest value of each key that is still whole to NEW, and lists what is damaged. FILE is never changed; \
NEW must not exist. Where FILE still opens, its table says what was removed; where it does not, the log alone does, \
and entries before damage in it are counted as doubtful: a lost record may have replaced or removed them.

Exits with 0 if every entry is known to be in NEW, with 3 if something may be lost; NEW is complete in itself in both \
cases. After any other exit code there is no NEW. If salvage is killed, NEW holds a part: remove it.")]
pub struct Salvage {
    /// The damaged store
    file: PathBuf,
    /// The store to make
    new: PathBuf,
    /// Take records behind the end of the log and in segments that were given up, too; may bring back what was removed
    #[arg(long)]
    all: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Salvage {
    pub fn run(self) -> Result<(), Failure> {
        let started = Instant::now();
        let report = self.salvage()?;
        let key = Types::of(&schema_of(&self.new)?).key;
        let seconds = started.elapsed().as_secs_f64();
        let shown = if self.json {
            output::show_json(&as_json(&report, key, seconds))
        } else {
            output::show(&as_text(&report, key, &self.new, seconds))
        };
        // A loss is the news, also when nobody reads the list to its end.
        if report.is_complete() { shown } else { Err(Failure::Faults) }
    }

    fn salvage(&self) -> Result<Salvaged, Failure> {
        let mut bar = None;
        let mut shown = 0;
        let salvage = tophash::Salvage::new(&self.file, &self.new).all(self.all).progress(|done, total| {
            bar.get_or_insert_with(|| Progress::over_bytes(Some(total))).advance(done - shown);
            shown = done;
        });
        match salvage.run() {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                let new = self.new.display();
                Err(Failure::Usage(format!("{new} is there already; salvage makes a new file")))
            }
            other => other.map_err(Failure::open(&self.file)),
        }
    }
}

fn as_json(report: &Salvaged, key: Type, seconds: f64) -> Value {
    let keys = report.keys.iter().map(
        |lost| json!({ "key": escape(&key.text(&lost.key)), "offset": lost.offset, "older": lost.older }),
    );
    let damage = report
        .damage
        .iter()
        .map(|damage| json!({ "what": damage.what, "offset": damage.offset, "bytes": damage.bytes }));
    json!({
        "complete": report.is_complete(),
        "entries": report.entries,
        "table_entries": report.table_entries,
        "confirmed": report.confirmed,
        "doubtful": report.doubtful,
        "lost": report.lost(),
        "segments": report.segments,
        "records": report.records,
        "stale": report.stale,
        "behind_the_end": report.behind_the_end,
        "keys": keys.collect::<Vec<_>>(),
        "damage": damage.collect::<Vec<_>>(),
        "seconds": seconds,
    })
}

fn as_text(report: &Salvaged, key: Type, new: &Path, seconds: f64) -> String {
    let mut text = String::new();
    for damage in &report.damage {
        text += &format!("{damage}\n");
    }
    for lost in &report.keys {
        let kept =
            lost.older.map_or("nothing older is left".to_owned(), |older| format!("kept that at {older}"));
        text += &format!(
            "offset {}: value of '{}' is damaged; {kept}\n",
            lost.offset,
            escape(&key.text(&lost.key))
        );
    }
    let verdict = if report.is_complete() { good("complete") } else { bad("something may be lost") };
    let table = match report.table_entries {
        Some(count) => format!("{} in the damaged table", output::count(count)),
        None => "the damaged file does not open; its log was read".to_owned(),
    };
    let mut sheet = Sheet::new(Align::Right);
    sheet.heading(&format!("{}: {verdict}", new.display()));
    sheet.line("entries", output::count(report.entries), table);
    sheet.line("confirmed", output::count(report.confirmed), "by the damaged table");
    sheet.line("doubtful", output::count(report.doubtful), "may have been replaced or removed since");
    sheet.line("lost", output::count(report.lost()), "at least");
    sheet.line("records", output::count(report.records), output::count_of(report.segments, "log segment"));
    sheet.line("stale", output::count(report.stale), "replaced or removed by later records");
    if report.behind_the_end > 0 {
        let note = "behind the end of the log; --all takes them";
        sheet.line("left", output::count(report.behind_the_end), note);
    }
    sheet.line("time", format!("{seconds:.2} s"), "");
    text + &sheet.to_string()
}

//! `tophash backup`: a copy of a store.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::HumanBytes;
use serde_json::json;
use tophash::{Error, report};

use crate::failure::Failure;
use crate::output::{self, Progress};
use crate::store::open_to_read;

/// Copy a store to a new file
#[derive(clap::Args)]
#[command(after_help = "\
Opens FILE read-only and writes nothing to it. TARGET must not exist; it is there whole or not at all (if the command \
is killed, a temporary file beside it may be left). Holes stay holes, and where the file system can, full log segments \
share their blocks with FILE. Of a FILE that was not closed the copy is such a file too, and is recovered when it is \
opened for writing.

While another process writes FILE it can't be opened (exit code 4): a program copies its own store with \
Store::backup, while it goes on writing.")]
pub struct Backup {
    /// The store
    file: PathBuf,
    /// The copy to make
    target: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub fn run(self) -> Result<(), Failure> {
        let store = open_to_read(&self.file)?;
        let started = Instant::now();
        let mut bar = None;
        let mut shown = 0;
        let made = store.backup_with(&self.target, |done, total| {
            bar.get_or_insert_with(|| Progress::over_bytes(Some(total))).advance(done - shown);
            shown = done;
        });
        drop(bar);
        let made = made.map_err(|error| match error {
            Error::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists => {
                Failure::Usage(format!("{} is there already; backup makes a new file", self.target.display()))
            }
            other => Failure::Store(other),
        })?;
        let seconds = started.elapsed().as_secs_f64();
        match self.json {
            true => output::show_json(&as_json(&made, seconds)),
            false => output::show(&as_text(&made, &self.target, seconds)),
        }
    }
}

fn as_json(made: &report::Backup, seconds: f64) -> serde_json::Value {
    json!({
        "entries": made.entries,
        "checkpoint_seq": made.checkpoint_seq,
        "bytes": made.bytes,
        "file_bytes": made.file_bytes,
        "seconds": seconds,
    })
}

fn as_text(made: &report::Backup, target: &Path, seconds: f64) -> String {
    let entries = match made.entries {
        1 => "1 entry".to_owned(),
        entries => format!("{} entries", output::count(entries)),
    };
    format!("{}: {entries}, {} copied in {seconds:.2} s\n", target.display(), HumanBytes(made.bytes))
}

//! `tophash checkpoint`: the table into the file, now.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use crate::failure::Failure;
use crate::output;
use crate::store::open_to_write;

/// Write the changed pages of the table to the file; recovers it first if it was not closed
#[derive(clap::Args)]
pub struct Checkpoint {
    /// The store
    file: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Checkpoint {
    pub fn run(self) -> Result<(), Failure> {
        let store = open_to_write(&self.file)?;
        let started = Instant::now();
        store.checkpoint()?;
        let seconds = started.elapsed().as_secs_f64();
        let sequence = store.info()?.checkpoint_seq;
        store.close()?;
        if self.json {
            return output::show_json(&json!({ "checkpoint_seq": sequence, "seconds": seconds }));
        }
        output::show(&format!("checkpoint {} written in {:.1} ms\n", output::count(sequence), seconds * 1e3))
    }
}

//! `tophash verify`: everything that can be checked.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use tophash::Error;
use tophash::report::{Fault, FaultPlace, Verification, WhichArray};

use crate::failure::Failure;
use crate::output::{self, bad, good};
use crate::store::open_to_read;

/// Check every page, every record and every invariant of the table
#[derive(clap::Args)]
#[command(after_help = "Lists what is wrong and exits with 3 if anything is.")]
pub struct Verify {
    /// The store
    file: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub fn run(self) -> Result<(), Failure> {
        let started = Instant::now();
        let found = Findings::of(&self.file)?;
        let seconds = started.elapsed().as_secs_f64();
        let shown = if self.json {
            output::show_json(&found.as_json(seconds))
        } else {
            output::show(&found.as_text(&self.file, seconds))
        };
        // Damage is the news, also when nobody reads the list to its end.
        if found.faults.is_empty() { shown } else { Err(Failure::Faults) }
    }
}

struct Findings {
    checked: Verification,
    faults: Vec<Finding>,
}

struct Finding {
    message: String,
    place: Value,
    what: &'static str,
    expected: String,
    found: String,
}

impl Findings {
    /// Damage that keeps the store from opening is a finding like any other.
    fn of(file: &Path) -> Result<Self, Failure> {
        match open_to_read(file) {
            Ok(store) => {
                let checked = store.verify()?;
                let faults = checked.faults.iter().map(Finding::from).collect();
                Ok(Findings { checked, faults })
            }
            Err(Failure::Open { source: Error::Corrupt { what, offset, expected, found }, .. }) => {
                let finding = Finding {
                    message: format!("offset {offset}: {what}: expected {expected}, found {found}"),
                    place: json!({ "offset": offset }),
                    what,
                    expected: expected.to_string(),
                    found: found.to_string(),
                };
                Ok(Findings { checked: Verification::default(), faults: vec![finding] })
            }
            Err(other) => Err(other),
        }
    }

    fn as_json(&self, seconds: f64) -> Value {
        let faults = self.faults.iter().map(|fault| {
            json!({
                "message": fault.message,
                "what": fault.what,
                "place": fault.place,
                "expected": fault.expected,
                "found": fault.found,
            })
        });
        json!({
            "clean": self.faults.is_empty(),
            "entries": self.checked.entries,
            "pages": self.checked.pages,
            "records": self.checked.records,
            "extents": self.checked.extents,
            "seconds": seconds,
            "faults": faults.collect::<Vec<_>>(),
        })
    }

    fn as_text(&self, file: &Path, seconds: f64) -> String {
        let mut text: String = self.faults.iter().map(|fault| format!("{}\n", fault.message)).collect();
        let verdict = match self.faults.len() as u64 {
            0 => good("clean"),
            faults => bad(&output::count_of(faults, "fault")),
        };
        text += &format!(
            "{}: {verdict}; {}, {} and {} checked in {seconds:.2} s\n",
            file.display(),
            output::count_of(self.checked.pages, "page"),
            output::count_of(self.checked.records, "record"),
            match self.checked.entries {
                1 => "1 entry".to_owned(),
                entries => format!("{} entries", output::count(entries)),
            },
        );
        text
    }
}

impl From<&Fault> for Finding {
    fn from(fault: &Fault) -> Self {
        let place = match fault.place {
            FaultPlace::Table => json!({ "table": true }),
            FaultPlace::Offset(offset) => json!({ "offset": offset }),
            FaultPlace::Bucket { array, bucket, cell, offset } => {
                let array = if array == WhichArray::Old { "old" } else { "current" };
                json!({ "array": array, "bucket": bucket, "cell": cell, "offset": offset })
            }
        };
        Finding {
            message: fault.to_string(),
            place,
            what: fault.what,
            expected: fault.expected.to_string(),
            found: fault.found.to_string(),
        }
    }
}

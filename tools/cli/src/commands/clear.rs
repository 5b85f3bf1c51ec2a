//! `tophash clear`: every entry out of the store.

use std::path::PathBuf;

use crate::failure::Failure;
use crate::output;
use crate::store::{open_to_read, open_to_write};

/// Remove every entry
#[derive(clap::Args)]
pub struct Clear {
    /// The store
    file: PathBuf,
    /// Do it
    #[arg(long)]
    yes: bool,
}

impl Clear {
    pub fn run(self) -> Result<(), Failure> {
        if !self.yes {
            let entries = open_to_read(&self.file)?.len();
            let file = self.file.display();
            return Err(Failure::Usage(match entries {
                0 => format!("{file} is empty; to clear it all the same, say --yes"),
                1 => format!("this would remove the one entry of {file}; to do it, say --yes"),
                _ => {
                    let count = output::count(entries);
                    format!("this would remove all {count} entries of {file}; to do it, say --yes")
                }
            }));
        }
        let store = open_to_write(&self.file)?;
        store.clear()?;
        Ok(store.close()?)
    }
}

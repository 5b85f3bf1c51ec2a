//! `tophash set`: one entry, or some that belong together.

use std::ffi::OsString;
use std::path::PathBuf;

use tophash::{Batch, Options};

use crate::failure::Failure;
use crate::lines::{Input, InputFormat};
use crate::store::argument_bytes;

/// Set the value of a key, or of many; makes the file if it is not there
#[derive(clap::Args)]
#[command(after_help = "\
Without KEY and VALUE it reads entries from standard input, one a line, and sets them together: all of them, or none if \
one of them is wrong (exit code 2), there is no room, or the system crashes. All are held in memory; import is for more.")]
pub struct Set {
    /// The store
    file: PathBuf,
    /// The key
    #[arg(requires = "value")]
    key: Option<OsString>,
    /// The value
    value: Option<OsString>,
    /// KEY and VALUE have escapes as `dump` writes them: \t \n \r \\ \xNN
    #[arg(short, long, requires = "key")]
    escaped: bool,
    /// How to read a line of standard input
    #[arg(short, long, value_enum, default_value = "lines", conflicts_with = "key")]
    format: InputFormat,
}

impl Set {
    pub fn run(self) -> Result<(), Failure> {
        let open = || Options::new().open(&self.file).map_err(Failure::open(&self.file));
        let store = match (&self.key, &self.value) {
            (Some(key), Some(value)) => {
                let (key, value) = (argument_bytes(key, self.escaped)?, argument_bytes(value, self.escaped)?);
                let store = open()?;
                store.insert(&key, &value)?;
                store
            }
            _ => {
                let batch = self.read()?;
                let store = open()?;
                store.apply(&batch)?;
                store
            }
        };
        Ok(store.close()?)
    }

    fn read(&self) -> Result<Batch, Failure> {
        let (mut input, decoder) = (Input::standard(), self.format.decoder(None));
        let (mut batch, mut more) = (Batch::new(), true);
        while more {
            let read = input.next_entry(&decoder, |key, value| {
                batch.put(key, value);
            });
            more = read.map_err(Failure::all_or_none)?;
        }
        Ok(batch)
    }
}

//! `tophash set`: one entry.

use std::ffi::OsString;
use std::path::PathBuf;

use tophash::Options;

use crate::failure::Failure;
use crate::store::argument_bytes;

/// Set the value of a key; makes the file if it is not there
#[derive(clap::Args)]
pub struct Set {
    /// The store
    file: PathBuf,
    /// The key
    key: OsString,
    /// The value
    value: OsString,
    /// KEY and VALUE have escapes as `dump` writes them: \t \n \r \\ \xNN
    #[arg(short, long)]
    escaped: bool,
}

impl Set {
    pub fn run(self) -> Result<(), Failure> {
        let key = argument_bytes(&self.key, self.escaped)?;
        let value = argument_bytes(&self.value, self.escaped)?;
        let store = Options::new().open(&self.file).map_err(Failure::open(&self.file))?;
        store.insert(&key, &value)?;
        Ok(store.close()?)
    }
}

//! `tophash del`: entries out of the store.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::Failure;
use crate::store::{argument_bytes, keys_not_found, open_to_write};

/// Remove keys
#[derive(clap::Args)]
#[command(after_help = "Removes every key that is there; exits with 1 if one was not.")]
pub struct Del {
    /// The store
    file: PathBuf,
    /// The keys
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<OsString>,
    /// The keys have escapes as `dump` writes them: \t \n \r \\ \xNN
    #[arg(short, long)]
    escaped: bool,
}

impl Del {
    pub fn run(self) -> Result<(), Failure> {
        let keys =
            self.keys.iter().map(|key| argument_bytes(key, self.escaped)).collect::<Result<Vec<_>, _>>()?;
        let store = open_to_write(&self.file)?;
        let mut absent = Vec::new();
        for key in &keys {
            // The value is not looked at: it may be damaged.
            if !store.forget(key)? {
                absent.push(&key[..]);
            }
        }
        store.close()?;
        if absent.is_empty() { Ok(()) } else { Err(keys_not_found(&absent, &self.file)) }
    }
}

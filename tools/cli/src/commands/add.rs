//! `tophash add`: counting.

use std::ffi::OsString;
use std::path::PathBuf;

use tophash::Error;

use crate::failure::Failure;
use crate::output;
use crate::store::{argument_bytes, open_to_write};
use crate::types::Types;
use crate::types::number::{self, Delta};

/// Add to the number under a key, and print the sum
#[derive(clap::Args)]
#[command(after_help = "\
For files whose values are integers; a key that is not there counts as 0. No other process comes between. A sum that \
the type of the values can't hold is an error (exit code 2), and nothing changes.")]
pub struct Add {
    /// The store
    file: PathBuf,
    /// The key: a number, text or bytes, as the file has them
    #[arg(allow_negative_numbers = true)]
    key: OsString,
    /// What to add
    #[arg(allow_negative_numbers = true, default_value = "1", value_parser = number::parse_delta)]
    delta: Delta,
    /// KEY has escapes as `dump` writes them: \t \n \r \\ \xNN
    #[arg(short, long)]
    escaped: bool,
}

impl Add {
    pub fn run(self) -> Result<(), Failure> {
        // The lock is held from before the number is read until the sum is there.
        let map = open_to_write(&self.file)?;
        let schema = map.schema();
        let Types { key: key_type, value: value_type } = Types::of(&schema);
        let width = value_type.width().filter(|_| value_type.is_integer()).ok_or_else(|| {
            Failure::Usage(format!("expected integers for values: {} maps {schema}", self.file.display()))
        })?;
        let key = argument_bytes("key", &self.key, self.escaped, key_type)?;
        let before = map.get(&key)?.unwrap_or(vec![0; width]);
        let sum = number::add(value_type, &before, self.delta);
        let sum = sum.ok_or_else(|| Error::Overflow { type_name: value_type.to_string().into() })?;
        map.insert(&key, &sum)?;
        map.close()?;
        output::show(&format!("{}\n", String::from_utf8_lossy(&value_type.text(&sum))))
    }
}

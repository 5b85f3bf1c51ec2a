//! `tophash get`: one value.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use crate::entry::jsonl;
use crate::failure::Failure;
use crate::output;
use crate::store::{argument_bytes, keys_not_found, open_to_read};

/// Print the value of a key
#[derive(clap::Args)]
#[command(after_help = "Prints the bytes of the value and a newline; --raw leaves the newline out. \
                        Exits with 1, and prints nothing on standard output, when the key is not there.")]
pub struct Get {
    /// The store
    file: PathBuf,
    /// The key
    key: OsString,
    /// Print the bytes of the value and nothing else
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// KEY has escapes as `dump` writes them: \t \n \r \\ \xNN
    #[arg(short, long)]
    escaped: bool,
    /// Print the entry as a JSON line, as `dump --format jsonl` does
    #[arg(long)]
    json: bool,
}

impl Get {
    pub fn run(self) -> Result<(), Failure> {
        let key = argument_bytes(&self.key, self.escaped)?;
        let store = open_to_read(&self.file)?;
        let value = store.get(&key)?.ok_or_else(|| keys_not_found(&[&key], &self.file))?;
        let mut out = output::data();
        if self.json {
            jsonl::write(&mut out, &key, &value)?;
        } else {
            out.write_all(&value)?;
            if !self.raw {
                out.write_all(b"\n")?;
            }
        }
        Ok(out.flush()?)
    }
}

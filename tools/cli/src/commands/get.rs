//! `tophash get`: one value.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use crate::entry::jsonl;
use crate::failure::Failure;
use crate::output;
use crate::store::{argument_bytes, keys_not_found, open_to_read};
use crate::types::Types;

/// Print the value of a key
#[derive(clap::Args)]
#[command(
    after_help = "Prints the value and a newline: a number in decimal, text and bytes as they are. --raw prints the \
                        bytes in the file and nothing else. Bytes of a fixed width (bytes:N, and types of a program's \
                        own) may also be given and are printed as hex:00ff. Exits with 1, and prints nothing on standard output, when \
                        the key is not there."
)]
pub struct Get {
    /// The store
    file: PathBuf,
    /// The key: a number, text or bytes, as the file has them
    #[arg(allow_negative_numbers = true)]
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
        let map = open_to_read(&self.file)?;
        let types = Types::of(&map.schema());
        let key = argument_bytes("key", &self.key, self.escaped, types.key)?;
        let value = map.get(&key)?.ok_or_else(|| keys_not_found(&[&key], types.key, &self.file))?;
        let mut out = output::data();
        if self.json {
            jsonl::write(&mut out, types, &key, &value)?;
        } else if self.raw {
            out.write_all(&value)?;
        } else {
            out.write_all(&types.value.text(&value))?;
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }
}

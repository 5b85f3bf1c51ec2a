//! `tophash del`: entries out of the store.

use std::ffi::OsString;
use std::path::PathBuf;

use tophash::Batch;

use crate::entry::tsv;
use crate::failure::Failure;
use crate::lines::Input;
use crate::store::{argument_bytes, keys_not_found, open_to_write};

/// Remove keys
#[derive(clap::Args)]
#[command(after_help = "\
Removes every key that is there, all of them together; exits with 1 if one was not. Without KEY it reads the keys from \
standard input, one a line.")]
pub struct Del {
    /// The store
    file: PathBuf,
    /// The keys
    #[arg(value_name = "KEY")]
    keys: Vec<OsString>,
    /// The keys have escapes as `dump` writes them: \t \n \r \\ \xNN
    #[arg(short, long)]
    escaped: bool,
}

impl Del {
    pub fn run(self) -> Result<(), Failure> {
        let keys = match &*self.keys {
            [] => self.read()?,
            keys => keys.iter().map(|key| argument_bytes(key, self.escaped)).collect::<Result<_, _>>()?,
        };
        let store = open_to_write(&self.file)?;
        let (mut batch, mut absent) = (Batch::new(), Vec::new());
        for key in &keys {
            // The value is not looked at: it may be damaged.
            if store.contains_key(key)? {
                batch.remove(key);
            } else {
                absent.push(&key[..]);
            }
        }
        store.apply(&batch)?;
        store.close()?;
        if absent.is_empty() { Ok(()) } else { Err(keys_not_found(&absent, &self.file)) }
    }

    fn read(&self) -> Result<Vec<Vec<u8>>, Failure> {
        let (mut input, mut line, mut keys) = (Input::standard(), Vec::new(), Vec::new());
        while input.next_line(&mut line)? {
            keys.push(if self.escaped {
                let key = tsv::unescape(&line).map_err(|why| input.malformed(why).all_or_none())?;
                key.into_owned()
            } else {
                line.clone()
            });
        }
        Ok(keys)
    }
}

//! `tophash del`: entries out of the store.

use std::ffi::OsString;
use std::path::PathBuf;

use tophash::Batch;

use crate::failure::Failure;
use crate::lines::Input;
use crate::store::{argument_bytes, keys_not_found, open_to_read, open_to_write};
use crate::text::unescape;
use crate::types::{Type, Types};

/// Remove keys
#[derive(clap::Args)]
#[command(after_help = "\
Removes every key that is there, all of them together; exits with 1 if one was not. Without KEY it reads the keys from \
standard input, one a line.")]
pub struct Del {
    /// The store
    file: PathBuf,
    /// The keys: numbers, text or bytes, as the file has them
    #[arg(value_name = "KEY", allow_negative_numbers = true)]
    keys: Vec<OsString>,
    /// The keys have escapes as `dump` writes them: \t \n \r \\ \xNN
    #[arg(short, long)]
    escaped: bool,
}

impl Del {
    pub fn run(self) -> Result<(), Failure> {
        // Not open while standard input is read: that may come from a program that looks at the file.
        let ty = Types::of(&open_to_read(&self.file)?.schema()).key;
        let keys = match &*self.keys {
            [] => self.read(ty)?,
            keys => keys
                .iter()
                .map(|key| argument_bytes("key", key, self.escaped, ty))
                .collect::<Result<_, _>>()?,
        };
        let map = open_to_write(&self.file)?;
        let (mut batch, mut absent) = (Batch::new(), Vec::new());
        for key in &keys {
            // The value is not looked at: it may be damaged.
            if map.contains_key(key)? {
                batch.remove(key);
            } else {
                absent.push(&key[..]);
            }
        }
        map.apply(&batch)?;
        map.close()?;
        if absent.is_empty() { Ok(()) } else { Err(keys_not_found(&absent, ty, &self.file)) }
    }

    fn read(&self, ty: Type) -> Result<Vec<Vec<u8>>, Failure> {
        let (mut input, mut line, mut keys) = (Input::standard(), Vec::new(), Vec::new());
        while input.next_line(&mut line)? {
            let text = if self.escaped { unescape(&line) } else { Ok((&line).into()) };
            let key =
                text.and_then(|text| ty.parse(text)).map_err(|why| input.malformed(why).all_or_none())?;
            keys.push(key.into_owned());
        }
        Ok(keys)
    }
}

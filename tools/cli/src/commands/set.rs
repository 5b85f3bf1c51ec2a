//! `tophash set`: one entry, or some that belong together.

use std::ffi::OsString;
use std::path::PathBuf;

use tophash::{Batch, Options, Schema};

use crate::failure::Failure;
use crate::lines::{Input, InputFormat};
use crate::store::{argument_bytes, open_or_create, schema_of};
use crate::types::{Type, Types};

/// Set the value of a key, or of many; makes a plain store if the file is not there
#[derive(clap::Args)]
#[command(after_help = "\
Without KEY and VALUE it reads entries from standard input, one a line, and sets all of them, or none if one of them is \
wrong (exit code 2). Where records hold the entries (info shows it), it sets all or none also if there is no room or the \
system crashes. All are held in memory; import is for more.")]
pub struct Set {
    /// The store
    file: PathBuf,
    /// The key: a number, text or bytes, as the file has them
    #[arg(allow_negative_numbers = true)]
    key: Option<OsString>,
    /// The value; a set has none
    #[arg(allow_negative_numbers = true)]
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
        // Not open while standard input is read: that may come from a program that looks at the file.
        let schema = schema_of(&self.file)?;
        let types = Types::of(&schema);
        let open = || open_or_create(&self.file, Options::new(), Some(schema));
        let map = match &self.key {
            Some(key) => {
                let key = argument_bytes("key", key, self.escaped, types.key)?;
                let value = self.value(&schema, types.value)?;
                let map = open()?;
                map.insert(&key, &value)?;
                map
            }
            None => {
                let batch = self.read(types)?;
                let map = open()?;
                map.apply(&batch)?;
                map
            }
        };
        Ok(map.close()?)
    }

    fn value(&self, schema: &Schema, ty: Type) -> Result<Vec<u8>, Failure> {
        match &self.value {
            Some(value) => argument_bytes("value", value, self.escaped, ty),
            None if ty == Type::Unit => Ok(Vec::new()),
            None => {
                Err(Failure::Usage(format!("expected KEY and VALUE: {} maps {schema}", self.file.display())))
            }
        }
    }

    fn read(&self, types: Types) -> Result<Batch, Failure> {
        let (mut input, decoder) = (Input::standard(), self.format.decoder(None));
        let (mut batch, mut more) = (Batch::new(), true);
        while more {
            let read = input.next_entry(&decoder, types, |key, value| {
                batch.put(key, value);
            });
            more = read.map_err(Failure::all_or_none)?;
        }
        Ok(batch)
    }
}

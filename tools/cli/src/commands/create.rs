//! `tophash create`: a new file that knows the types of its keys and values.

use std::io::ErrorKind;
use std::path::PathBuf;

use tophash::Error;

use crate::failure::Failure;
use crate::new_file::{TableArguments, TypeArguments};

/// Make a file for keys and values of given types
#[derive(clap::Args)]
#[command(
    mut_arg("key", |key| key.required(true)),
    after_help = "\
A TYPE is one of u8 u16 u32 u64 u128 i8 i16 i32 i64 i128, f32 f64 (values only), bool, bytes:N (N bytes), str (UTF-8), \
bytes (any), and () for the values of a set. Types of a program's own are for that program to make.

All commands read and print keys and values of the file as what they are, and bytes of a fixed width also as \
hex:00ff. A program opens it as a Map or a Set of \
these types, or as a Store if both are bytes; for other types it does not open. The types never change.

Where both have a fixed width of at most 128 bytes the cells of the table hold them, else records of the log do; info \
shows which.

For example: tophash create hits.tophash --key u64 --value u64"
)]
pub struct Create {
    /// The file to make; it must not exist
    file: PathBuf,
    #[command(flatten)]
    types: TypeArguments,
    #[command(flatten)]
    table: TableArguments,
}

impl Create {
    pub fn run(self) -> Result<(), Failure> {
        let schema = self.types.schema().unwrap_or_default();
        let made = self.table.options().create_dyn(&self.file, schema).map_err(|error| match error {
            Error::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists => {
                Failure::Usage(format!("{} is there already; create makes a new file", self.file.display()))
            }
            other => Failure::open(&self.file)(other),
        })?;
        Ok(made.close()?)
    }
}

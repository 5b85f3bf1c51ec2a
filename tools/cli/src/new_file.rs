//! What a new file is told when it is made: its types, and how its table begins.

use clap::ValueEnum;
use tophash::{DataType, HashKind, MAX_KEY_BYTES, Options, Schema};

use crate::types::{NAMES, Type};

/// The types of keys and values.
#[derive(clap::Args)]
pub struct TypeArguments {
    /// The type of the keys of a new file
    #[arg(long, value_name = "TYPE", value_parser = parse_key_type)]
    key: Option<DataType>,
    /// The type of its values; a set has none [default: () with --key]
    #[arg(long, value_name = "TYPE", value_parser = parse_type, requires = "key")]
    value: Option<DataType>,
}

impl TypeArguments {
    /// The schema of these types, if there were any.
    pub fn schema(&self) -> Option<Schema> {
        let nothing = || DataType::built_in("()");
        Some(Schema::new(self.key?, self.value.or_else(nothing)?))
    }
}

fn parse_type(name: &str) -> Result<DataType, String> {
    DataType::built_in(name).ok_or_else(|| format!("expected one of {NAMES}"))
}

fn parse_key_type(name: &str) -> Result<DataType, String> {
    match Type::named(name) {
        Some(Type::Float { .. } | Type::Unit) => Err("values can have this type, keys can not".to_owned()),
        Some(Type::Array { width }) if width as u64 > MAX_KEY_BYTES => {
            Err(format!("a key has at most {MAX_KEY_BYTES} bytes"))
        }
        _ => parse_type(name),
    }
}

/// How the table of a new file begins.
#[derive(clap::Args)]
pub struct TableArguments {
    /// Room for so many entries before the table of a new file grows
    #[arg(long, value_name = "ENTRIES", default_value_t = 0)]
    capacity: u64,
    /// Entries per bucket at which the table of a new file doubles, 4.0 to 8.0
    #[arg(long, value_name = "ENTRIES", default_value_t = 6.5, value_parser = parse_load_factor)]
    load_factor: f64,
    /// The hash function of a new file
    #[arg(long, value_enum, default_value = "siphash")]
    hash: Hash,
}

impl TableArguments {
    pub fn options(&self) -> Options {
        let hash = match self.hash {
            Hash::Siphash => HashKind::Sip13,
            Hash::Rapidhash => HashKind::Rapid,
        };
        Options::new().hash(hash).capacity(self.capacity).load_factor(self.load_factor)
    }
}

fn parse_load_factor(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (4.0..=8.0).contains(&factor) => Ok(factor),
        _ => Err("expected a number from 4.0 to 8.0".to_owned()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Hash {
    /// SipHash-1-3: nobody can choose keys that collide
    Siphash,
    /// rapidhash v3: faster for long keys that are trusted
    Rapidhash,
}

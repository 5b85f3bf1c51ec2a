//! How the verbs open their file, and what they are given for it.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tophash::{DynMap, Error, Options, Schema};

use crate::failure::Failure;
use crate::output;
use crate::text::{escape, unescape};
use crate::types::Type;

/// Opens a file to look at it: not one byte of it is written, also after a crash.
pub fn open_to_read(file: &Path) -> Result<DynMap, Failure> {
    Options::new().read_only(true).open_dyn(file).map_err(Failure::open(file))
}

/// Opens a file that is there to change it.
pub fn open_to_write(file: &Path) -> Result<DynMap, Failure> {
    Options::new().open_dyn(file).map_err(Failure::open(file))
}

/// Opens a file to change it, or makes it: a plain store unless a schema is given, which a file that is there must have.
pub fn open_or_create(file: &Path, options: Options, schema: Option<Schema>) -> Result<DynMap, Failure> {
    let mut opened = options.clone().open_dyn(file);
    if has_kind(&opened, ErrorKind::NotFound) {
        opened = options.clone().create_dyn(file, schema.unwrap_or(Schema::BYTES));
    }
    if has_kind(&opened, ErrorKind::AlreadyExists) {
        // Another process was faster.
        opened = options.open_dyn(file);
    }
    let checked = opened.and_then(|map| match schema {
        Some(expected) if expected != map.schema() => {
            Err(Error::Schema { expected: expected.into(), found: map.schema().into() })
        }
        _ => Ok(map),
    });
    checked.map_err(Failure::open(file))
}

/// What a file says about its keys and values; what it will be made with, where there is none.
pub fn schema_of(file: &Path) -> Result<Schema, Failure> {
    let opened = Options::new().read_only(true).open_dyn(file);
    if has_kind(&opened, ErrorKind::NotFound) {
        return Ok(Schema::BYTES);
    }
    opened.map(|map| map.schema()).map_err(Failure::open(file))
}

fn has_kind(opened: &tophash::Result<DynMap>, kind: ErrorKind) -> bool {
    matches!(opened, Err(Error::Io { source, .. }) if source.kind() == kind)
}

/// A key or a value as an argument: the text of its type, as the shell passes it or with escapes as `dump` writes them.
pub fn argument_bytes(what: &str, argument: &OsStr, escaped: bool, ty: Type) -> Result<Vec<u8>, Failure> {
    let text = argument.as_encoded_bytes();
    let plain = if escaped { unescape(text) } else { Ok(text.into()) };
    let bytes = plain.and_then(|plain| ty.parse(plain));
    bytes.map(Cow::into_owned).map_err(|why| Failure::Usage(format!("the {what}: {why}")))
}

/// The message for keys that are not there.
pub fn keys_not_found(keys: &[&[u8]], ty: Type, file: &Path) -> Failure {
    const SHOWN: usize = 10;
    let names: Vec<_> = keys.iter().take(SHOWN).map(|key| format!("'{}'", escape(&ty.text(key)))).collect();
    let more = match keys.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {} more", output::count(more as u64)),
    };
    Failure::NotFound(format!("no key {}{more} in {}", names.join(", "), file.display()))
}

/// Whether two paths lead to one file. Where one of them leads nowhere, they don't.
pub fn same_file(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| -> Option<PathBuf> { path.canonicalize().ok() };
    real(a).is_some_and(|a| real(b) == Some(a))
}

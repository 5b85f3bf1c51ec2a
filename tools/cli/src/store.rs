//! How the verbs open their store.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tophash::{Options, Store};

use crate::entry::{escape, tsv};
use crate::failure::Failure;
use crate::output;

/// Opens a store to look at it: not one byte of it is written, also after a crash.
pub fn open_to_read(file: &Path) -> Result<Store, Failure> {
    Options::new().read_only(true).open(file).map_err(Failure::open(file))
}

/// Opens a store that is there to change it.
pub fn open_to_write(file: &Path) -> Result<Store, Failure> {
    Options::new().create(false).open(file).map_err(Failure::open(file))
}

/// A key or a value as an argument: the bytes as the shell passes them, or with escapes as `dump` writes them.
pub fn argument_bytes(argument: &OsStr, escaped: bool) -> Result<Vec<u8>, Failure> {
    let bytes = argument.as_encoded_bytes();
    if !escaped {
        return Ok(bytes.to_vec());
    }
    let plain = tsv::unescape(bytes)
        .map_err(|why| Failure::Usage(format!("'{}': {why}", argument.to_string_lossy())))?;
    Ok(plain.into_owned())
}

/// The message for keys that are not there.
pub fn keys_not_found(keys: &[&[u8]], file: &Path) -> Failure {
    const SHOWN: usize = 10;
    let names: Vec<_> = keys.iter().take(SHOWN).map(|key| format!("'{}'", escape(key))).collect();
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

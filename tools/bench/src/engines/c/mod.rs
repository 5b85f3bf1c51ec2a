//! Hash tables in C and C++, by the C interfaces of their libraries: one file each, with its `unsafe`.

pub mod kyoto;
pub mod tdb;
pub mod tkrzw;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;

/// The visitor that [`Engine::iterate`](super::Engine::iterate) is given, to be passed through C by address.
type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]);

fn c_path(path: &Path) -> Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

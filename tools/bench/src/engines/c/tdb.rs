//! TDB, Samba's trivial database.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::File;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard};

use anyhow::{Result, anyhow, bail};

use super::{Visit, c_path};
use crate::engines::{Engine, Mode, Settings};

/// TDB knows threads not at all, and refuses to open a file twice in a process: a lock stands before it.
pub struct Tdb {
    handle: Mutex<Handle>,
    path: PathBuf,
    mode: Mode,
}

struct Handle(NonNull<Context>);

// SAFETY: A context is tied to no thread; the mutex sees to it that one at a time uses it.
unsafe impl Send for Handle {}

/// `TDB_NOLOCK`: no file locks, which are for other processes.
const NO_LOCK: c_int = 4;
/// `TDB_INCOMPATIBLE_HASH`: the better hash.
const JENKINS_HASH: c_int = 2048;

impl Tdb {
    pub fn open(settings: &Settings) -> Result<Self> {
        let path = settings.dir.join("store.tdb");
        let c_path = c_path(&path)?;
        let chains = c_int::try_from(settings.entries)?;
        let read_write = 0o2 | 0o100;
        // SAFETY: The path ends in a zero byte and lives through the call.
        let context = unsafe { tdb_open(c_path.as_ptr(), chains, NO_LOCK | JENKINS_HASH, read_write, 0o600) };
        match NonNull::new(context) {
            Some(context) => Ok(Tdb { handle: Mutex::new(Handle(context)), path, mode: settings.mode }),
            None => Err(anyhow!("tdb_open: {}", std::io::Error::last_os_error())),
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, Handle>> {
        self.handle.lock().map_err(|_| anyhow!("another thread panicked"))
    }

    /// A transaction of TDB's is synced; outside of one, nothing is.
    fn write(&self, work: impl FnOnce(&Handle) -> Result<()>) -> Result<()> {
        let handle = self.lock()?;
        if self.mode == Mode::Buffered {
            return work(&handle);
        }
        // SAFETY: The context is open until `close`, and this thread alone uses it.
        handle.check(unsafe { tdb_transaction_start(handle.0.as_ptr()) })?;
        work(&handle)?;
        // SAFETY: As above.
        handle.check(unsafe { tdb_transaction_commit(handle.0.as_ptr()) })
    }
}

impl Handle {
    fn check(&self, result: c_int) -> Result<()> {
        if result >= 0 {
            return Ok(());
        }
        // SAFETY: The context is open; the message is static and ends in a zero byte.
        let message = unsafe { CStr::from_ptr(tdb_errorstr(self.0.as_ptr())) };
        bail!("TDB: {}", message.to_string_lossy())
    }
}

impl Engine for Tdb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(|handle| {
            // SAFETY: The context is open and this thread alone uses it; key and value are only read.
            handle.check(unsafe { tdb_store(handle.0.as_ptr(), data(key), data(value), 0) })
        })
    }

    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        value.clear();
        let argument = (&raw mut *value).cast();
        let handle = self.lock()?;
        // SAFETY: `copy_value` is called before this returns, with the argument, which is a `Vec<u8>` then.
        Ok(unsafe { tdb_parse_record(handle.0.as_ptr(), data(key), copy_value, argument) } == 0)
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        self.write(|handle| {
            // SAFETY: As in `put`.
            handle.check(unsafe { tdb_delete(handle.0.as_ptr(), data(key)) })
        })
    }

    fn iterate(&self, mut visit: Visit<'_>) -> Result<()> {
        let argument = (&raw mut visit).cast();
        let handle = self.lock()?;
        // SAFETY: `visit_entry` is called before this returns, with the argument, which is a `Visit` then.
        handle.check(unsafe { tdb_traverse_read(handle.0.as_ptr(), visit_entry, argument) })
    }

    fn sync(&self) -> Result<()> {
        Ok(File::open(&self.path)?.sync_all()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()?;
        let handle = self.lock()?;
        // SAFETY: The context is open, and nobody uses it after this.
        match unsafe { tdb_close(handle.0.as_ptr()) } {
            0 => Ok(()),
            _ => bail!("tdb_close failed"),
        }
    }
}

fn data(bytes: &[u8]) -> Data {
    Data { start: bytes.as_ptr().cast_mut(), bytes: bytes.len() }
}

unsafe extern "C" fn copy_value(_: Data, value: Data, argument: *mut c_void) -> c_int {
    // SAFETY: `get` passes a `Vec<u8>` that nobody else has meanwhile; the value is as long as said.
    unsafe {
        let into = &mut *argument.cast::<Vec<u8>>();
        into.extend_from_slice(std::slice::from_raw_parts(value.start, value.bytes));
    }
    0
}

unsafe extern "C" fn visit_entry(_: *mut Context, key: Data, value: Data, argument: *mut c_void) -> c_int {
    // SAFETY: `iterate` passes a `Visit` that nobody else has meanwhile; key and value are as long as said.
    unsafe {
        let key = std::slice::from_raw_parts(key.start, key.bytes);
        let value = std::slice::from_raw_parts(value.start, value.bytes);
        (*argument.cast::<Visit>())(key, value);
    }
    0
}

/// `struct tdb_context`.
#[repr(C)]
struct Context {
    _opaque: [u8; 0],
}

/// `TDB_DATA`.
#[repr(C)]
struct Data {
    start: *mut u8,
    bytes: usize,
}

type Parser = unsafe extern "C" fn(Data, Data, *mut c_void) -> c_int;
type Visitor = unsafe extern "C" fn(*mut Context, Data, Data, *mut c_void) -> c_int;

unsafe extern "C" {
    fn tdb_open(
        name: *const c_char,
        hash_size: c_int,
        tdb_flags: c_int,
        open_flags: c_int,
        mode: u32,
    ) -> *mut Context;
    fn tdb_close(context: *mut Context) -> c_int;
    fn tdb_errorstr(context: *mut Context) -> *const c_char;
    fn tdb_store(context: *mut Context, key: Data, value: Data, flag: c_int) -> c_int;
    fn tdb_parse_record(context: *mut Context, key: Data, parser: Parser, argument: *mut c_void) -> c_int;
    fn tdb_delete(context: *mut Context, key: Data) -> c_int;
    fn tdb_traverse_read(context: *mut Context, visitor: Visitor, argument: *mut c_void) -> c_int;
    fn tdb_transaction_start(context: *mut Context) -> c_int;
    fn tdb_transaction_commit(context: *mut Context) -> c_int;
}

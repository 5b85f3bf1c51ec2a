//! Kyoto Cabinet's `HashDB`.

use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr::NonNull;

use anyhow::{Result, bail};

use super::Visit;
use crate::engines::{Engine, Mode, Settings};

pub struct Kyoto {
    db: NonNull<Db>,
    mode: Mode,
    value_bytes: usize,
}

// SAFETY: Kyoto Cabinet documents that all threads of a process may share one database object.
unsafe impl Send for Kyoto {}
// SAFETY: As above; closing takes the handle by value.
unsafe impl Sync for Kyoto {}

/// `KCOWRITER | KCOCREATE`.
const WRITE_AND_CREATE: u32 = 1 << 1 | 1 << 2;

impl Kyoto {
    pub fn open(settings: &Settings) -> Result<Self> {
        // SAFETY: No arguments.
        let Some(db) = NonNull::new(unsafe { kcdbnew() }) else { bail!("kcdbnew failed") };
        let kyoto = Kyoto { db, mode: settings.mode, value_bytes: settings.widths.value };
        let path = tuned_path(settings)?;
        // SAFETY: The handle is alive; the path ends in a zero byte and lives through the call.
        kyoto.check(unsafe { kcdbopen(kyoto.db.as_ptr(), path.as_ptr(), WRITE_AND_CREATE) })?;
        Ok(kyoto)
    }

    fn sync_if_durable(&self) -> Result<()> {
        match self.mode {
            Mode::Buffered => Ok(()),
            Mode::Durable => self.sync(),
        }
    }

    fn check(&self, done: i32) -> Result<()> {
        if done != 0 {
            return Ok(());
        }
        // SAFETY: The handle is alive, and keeps its message, which ends in a zero byte.
        let message = unsafe { CStr::from_ptr(kcdbemsg(self.db.as_ptr())) };
        bail!("Kyoto Cabinet: {}", message.to_string_lossy())
    }
}

/// The path with the tuning behind it: linear chains, twice as many buckets as entries, the whole file mapped.
fn tuned_path(settings: &Settings) -> Result<CString> {
    let buckets = settings.entries * 2;
    let mapped_bytes = buckets * 6 + settings.entries * (settings.widths.entry() as u64 + 44) + (64 << 20);
    let mut path = settings.dir.join("store.kch").into_os_string();
    path.push(format!("#opts=l#bnum={buckets}#msiz={mapped_bytes}"));
    Ok(CString::new(path.as_bytes())?)
}

impl Engine for Kyoto {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let (key_start, value_start) = (key.as_ptr().cast(), value.as_ptr().cast());
        // SAFETY: The handle is open until `close`; key and value are as long as said, and only read.
        self.check(unsafe { kcdbset(self.db.as_ptr(), key_start, key.len(), value_start, value.len()) })?;
        self.sync_if_durable()
    }

    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        value.resize(self.value_bytes, 0);
        let (start, into) = (key.as_ptr().cast(), value.as_mut_ptr().cast());
        // SAFETY: The handle is open; key and buffer have as many bytes as said.
        let found = unsafe { kcdbgetbuf(self.db.as_ptr(), start, key.len(), into, value.len()) };
        value.truncate(found.max(0) as usize);
        Ok(found >= 0)
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        // SAFETY: As in `put`.
        self.check(unsafe { kcdbremove(self.db.as_ptr(), key.as_ptr().cast(), key.len()) })?;
        self.sync_if_durable()
    }

    fn add(&self, key: &[u8], delta: i64, _: &mut Vec<u8>) -> Result<()> {
        // SAFETY: As in `put`. The last argument has it fail where the key is absent.
        let sum = unsafe { kcdbincrint(self.db.as_ptr(), key.as_ptr().cast(), key.len(), delta, i64::MIN) };
        self.check(i32::from(sum != i64::MIN))?;
        self.sync_if_durable()
    }

    fn iterate(&self, mut visit: Visit<'_>) -> Result<()> {
        let argument = (&raw mut visit).cast();
        // SAFETY: `visit_entry` is called before this returns, with the argument, which is a `Visit` then.
        self.check(unsafe { kcdbiterate(self.db.as_ptr(), visit_entry, argument, 0) })
    }

    fn sync(&self) -> Result<()> {
        // SAFETY: The handle is open; no callback is given.
        self.check(unsafe { kcdbsync(self.db.as_ptr(), 1, None, std::ptr::null_mut()) })
    }

    fn close(self: Box<Self>) -> Result<()> {
        // SAFETY: The handle is open.
        let closed = self.check(unsafe { kcdbclose(self.db.as_ptr()) });
        // SAFETY: Nobody has the handle any longer.
        unsafe { kcdbdel(self.db.as_ptr()) };
        closed
    }
}

unsafe extern "C" fn visit_entry(
    key: *const c_char,
    key_bytes: usize,
    value: *const c_char,
    value_bytes: usize,
    _: *mut usize,
    argument: *mut c_void,
) -> *const c_char {
    // SAFETY: `iterate` passes a `Visit` that nobody else has meanwhile; key and value are as long as said.
    unsafe {
        let key = std::slice::from_raw_parts(key.cast(), key_bytes);
        let value = std::slice::from_raw_parts(value.cast(), value_bytes);
        (*argument.cast::<Visit>())(key, value);
        KCVISNOP
    }
}

/// `KCDB`.
#[repr(C)]
struct Db {
    _opaque: [u8; 0],
}

type Visitor = unsafe extern "C" fn(
    *const c_char,
    usize,
    *const c_char,
    usize,
    *mut usize,
    *mut c_void,
) -> *const c_char;

type FileProcessor = unsafe extern "C" fn(*const c_char, i64, i64, *mut c_void) -> i32;

unsafe extern "C" {
    static KCVISNOP: *const c_char;

    fn kcdbnew() -> *mut Db;
    fn kcdbdel(db: *mut Db);
    fn kcdbopen(db: *mut Db, path: *const c_char, mode: u32) -> i32;
    fn kcdbclose(db: *mut Db) -> i32;
    fn kcdbemsg(db: *mut Db) -> *const c_char;
    fn kcdbset(db: *mut Db, key: *const c_char, ksiz: usize, value: *const c_char, vsiz: usize) -> i32;
    fn kcdbgetbuf(db: *mut Db, key: *const c_char, ksiz: usize, into: *mut c_char, max: usize) -> i32;
    fn kcdbremove(db: *mut Db, key: *const c_char, ksiz: usize) -> i32;
    fn kcdbincrint(db: *mut Db, key: *const c_char, ksiz: usize, num: i64, orig: i64) -> i64;
    fn kcdbiterate(db: *mut Db, visitor: Visitor, argument: *mut c_void, writable: i32) -> i32;
    fn kcdbsync(db: *mut Db, hard: i32, processor: Option<FileProcessor>, argument: *mut c_void) -> i32;
}

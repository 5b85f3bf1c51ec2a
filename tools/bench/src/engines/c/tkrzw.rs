//! tkrzw's `HashDBM`.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::NonNull;

use anyhow::Result;

use super::{Visit, c_path};
use crate::engines::{Engine, Mode, Settings};

pub struct Tkrzw {
    dbm: NonNull<Dbm>,
    mode: Mode,
}

// SAFETY: tkrzw documents that every method of a DBM but opening and closing may be called by several threads at
// once, and that a handle is tied to none.
unsafe impl Send for Tkrzw {}
// SAFETY: As above; closing takes the handle by value.
unsafe impl Sync for Tkrzw {}

impl Tkrzw {
    pub fn open(settings: &Settings, told: Option<u64>) -> Result<Self> {
        let path = c_path(&settings.dir.join("store.tkh"))?;
        let parameters = match told {
            Some(entries) => CString::new(format!("dbm=HashDBM,num_buckets={entries}"))?,
            None => CString::from(c"dbm=HashDBM"),
        };
        // SAFETY: Both strings end in a zero byte and live through the call.
        let dbm = unsafe { tkrzw_dbm_open(path.as_ptr(), true, parameters.as_ptr()) };
        match NonNull::new(dbm) {
            Some(dbm) => Ok(Tkrzw { dbm, mode: settings.mode }),
            None => Err(last_error()),
        }
    }

    fn sync_if_durable(&self) -> Result<()> {
        match self.mode {
            Mode::Buffered => Ok(()),
            Mode::Durable => self.sync(),
        }
    }
}

impl Engine for Tkrzw {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let (key_start, value_start) = (key.as_ptr().cast(), value.as_ptr().cast());
        let (key_bytes, value_bytes) = (key.len() as i32, value.len() as i32);
        // SAFETY: The handle is open until `close`; key and value are as long as said, and only read.
        check(unsafe {
            tkrzw_dbm_set(self.dbm.as_ptr(), key_start, key_bytes, value_start, value_bytes, true)
        })?;
        self.sync_if_durable()
    }

    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        let mut copy = Copy { value, found: false };
        let argument = (&raw mut copy).cast();
        // SAFETY: `copy_value` is called before this returns, with the argument, which is a `Copy` then.
        check(unsafe {
            tkrzw_dbm_process(
                self.dbm.as_ptr(),
                key.as_ptr().cast(),
                key.len() as i32,
                copy_value,
                argument,
                false,
            )
        })?;
        Ok(copy.found)
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        // SAFETY: As in `put`.
        check(unsafe { tkrzw_dbm_remove(self.dbm.as_ptr(), key.as_ptr().cast(), key.len() as i32) })?;
        self.sync_if_durable()
    }

    fn add(&self, key: &[u8], delta: i64, _: &mut Vec<u8>) -> Result<()> {
        let (start, bytes) = (key.as_ptr().cast(), key.len() as i32);
        // SAFETY: As in `put`.
        let sum = unsafe { tkrzw_dbm_increment(self.dbm.as_ptr(), start, bytes, delta, 0) };
        check(sum != i64::MIN)?;
        self.sync_if_durable()
    }

    fn iterate(&self, mut visit: Visit<'_>) -> Result<()> {
        let argument = (&raw mut visit).cast();
        // SAFETY: `visit_entry` is called before this returns, with the argument, which is a `Visit` then.
        check(unsafe { tkrzw_dbm_process_each(self.dbm.as_ptr(), visit_entry, argument, false) })
    }

    fn sync(&self) -> Result<()> {
        // SAFETY: The handle is open; no callback is given, and the parameters are an empty string.
        check(unsafe {
            tkrzw_dbm_synchronize(self.dbm.as_ptr(), true, None, std::ptr::null_mut(), c"".as_ptr())
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        // SAFETY: The handle is open, and nobody has it any longer.
        check(unsafe { tkrzw_dbm_close(self.dbm.as_ptr()) })
    }
}

struct Copy<'a> {
    value: &'a mut Vec<u8>,
    found: bool,
}

unsafe extern "C" fn copy_value(
    argument: *mut c_void,
    _: *const c_char,
    _: i32,
    value: *const c_char,
    value_bytes: i32,
    _: *mut i32,
) -> *const c_char {
    // SAFETY: `get` passes a `Copy` that nobody else has meanwhile. A value that is not null is as long as said.
    unsafe {
        let copy = &mut *argument.cast::<Copy>();
        copy.found = !value.is_null();
        if copy.found {
            copy.value.clear();
            copy.value.extend_from_slice(bytes(value, value_bytes));
        }
        TKRZW_REC_PROC_NOOP
    }
}

unsafe extern "C" fn visit_entry(
    argument: *mut c_void,
    key: *const c_char,
    key_bytes: i32,
    value: *const c_char,
    value_bytes: i32,
    _: *mut i32,
) -> *const c_char {
    // SAFETY: `iterate` passes a `Visit` that nobody else has meanwhile. Before and after the entries both are null;
    // else key and value are as long as said.
    unsafe {
        if !key.is_null() && !value.is_null() && value_bytes >= 0 {
            (*argument.cast::<Visit>())(bytes(key, key_bytes), bytes(value, value_bytes));
        }
        TKRZW_REC_PROC_NOOP
    }
}

/// # Safety
/// There are that many bytes, and they stay as they are for as long as the slice is used.
unsafe fn bytes<'a>(start: *const c_char, count: i32) -> &'a [u8] {
    // SAFETY: As the caller promises.
    unsafe { std::slice::from_raw_parts(start.cast(), count.max(0) as usize) }
}

fn check(done: bool) -> Result<()> {
    if done { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> anyhow::Error {
    // SAFETY: The library keeps the message, which ends in a zero byte, until this thread's next call.
    let message = unsafe { CStr::from_ptr(tkrzw_get_last_status_message()) };
    anyhow::anyhow!("tkrzw: {}", message.to_string_lossy())
}

/// `TkrzwDBM`.
#[repr(C)]
struct Dbm {
    _opaque: [u8; 0],
}

type Processor =
    unsafe extern "C" fn(*mut c_void, *const c_char, i32, *const c_char, i32, *mut i32) -> *const c_char;

unsafe extern "C" {
    static TKRZW_REC_PROC_NOOP: *const c_char;

    fn tkrzw_dbm_open(path: *const c_char, writable: bool, params: *const c_char) -> *mut Dbm;
    fn tkrzw_dbm_close(dbm: *mut Dbm) -> bool;
    fn tkrzw_dbm_set(
        dbm: *mut Dbm,
        key: *const c_char,
        key_size: i32,
        value: *const c_char,
        value_size: i32,
        overwrite: bool,
    ) -> bool;
    fn tkrzw_dbm_process(
        dbm: *mut Dbm,
        key: *const c_char,
        key_size: i32,
        processor: Processor,
        argument: *mut c_void,
        writable: bool,
    ) -> bool;
    fn tkrzw_dbm_remove(dbm: *mut Dbm, key: *const c_char, key_size: i32) -> bool;
    fn tkrzw_dbm_increment(
        dbm: *mut Dbm,
        key: *const c_char,
        key_size: i32,
        increment: i64,
        initial: i64,
    ) -> i64;
    fn tkrzw_dbm_process_each(
        dbm: *mut Dbm,
        processor: Processor,
        argument: *mut c_void,
        writable: bool,
    ) -> bool;
    fn tkrzw_dbm_synchronize(
        dbm: *mut Dbm,
        hard: bool,
        processor: Option<unsafe extern "C" fn(*mut c_void, *const c_char)>,
        argument: *mut c_void,
        params: *const c_char,
    ) -> bool;
    fn tkrzw_get_last_status_message() -> *const c_char;
}

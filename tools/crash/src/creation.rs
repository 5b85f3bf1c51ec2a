//! Making a file: several programs at once, and none that finds half a file, on a disk that may fail meanwhile (D22).

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tophash::sim::{Call, Fault, SimDisk, When};
use tophash::{Error, Result};

use crate::program::{PATH, Setup};
use crate::script::ORDINARY;
use crate::subject::{Form, Subject};

const DISK_SEED: u64 = 13;

/// What the other program does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Other {
    /// Makes the store, writes to it and closes it.
    Closes,
    /// Makes the store and keeps it open.
    Holds,
}

/// How many calls an undisturbed creation makes.
pub fn calls_to_create(form: Form) -> u64 {
    let disk = SimDisk::new(DISK_SEED);
    let _store = Setup::ORDINARY.with(form).open(&disk);
    disk.counters().total()
}

/// Opens the store of an empty disk on which another program does something just before call number `at`.
fn open_beside(
    form: Form,
    at: u64,
    other: impl Fn(&SimDisk) + Send + Sync + 'static,
) -> (SimDisk, Result<Subject>) {
    let disk = SimDisk::new(DISK_SEED);
    let happened = AtomicBool::new(false);
    disk.on_call(move |disk, call: &Call| {
        if call.number >= at && !happened.swap(true, Ordering::SeqCst) {
            other(disk);
        }
    });
    let opened = Setup::ORDINARY.with(form).open(&disk);
    disk.off_call();
    (disk, opened)
}

/// Two programs make the same store. Returns whether the first one was refused.
pub fn race(form: Form, at: u64, other: Other) -> std::result::Result<bool, String> {
    let held = Arc::new(Mutex::new(None));
    let hold = Arc::clone(&held);
    let (disk, opened) = open_beside(form, at, move |disk| {
        let options = Setup::ORDINARY.options(disk).seed(1);
        let Ok(store) = Subject::open(options, Path::new(PATH), form) else { return };
        match other {
            Other::Holds => *hold.lock().unwrap_or_else(PoisonError::into_inner) = Some(store),
            Other::Closes => {
                put(&store, "key").expect("the other program's store");
                store.close().expect("the other program's store");
            }
        }
    });
    let other_holds = held.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    let refused = match opened {
        Err(Error::Locked { .. }) if other_holds => true,
        Ok(store) if !other_holds => {
            serves(store, other)?;
            false
        }
        opened => return Err(format!("the other one holds the store: {other_holds}, and {opened:?}")),
    };
    nothing_else_is_left(&disk)?;
    Ok(refused)
}

/// Where the other came too late, the store was locked, and is empty.
fn serves(store: Subject, other: Other) -> std::result::Result<(), String> {
    let value = store.get(&store.form().key("key")).map_err(|error| error.to_string())?.is_some();
    if value != (store.len() == 1) || (other == Other::Holds && value) {
        return Err(format!("{} entries, with the other's: {value}", store.len()));
    }
    put(&store, "mine").map_err(|error| format!("writing: {error}"))?;
    store.close().map_err(|error| format!("closing: {error}"))
}

fn put(store: &Subject, name: &str) -> Result<()> {
    let form = store.form();
    store.insert(&form.key(name), form.payload(1, ORDINARY)).map(drop)
}

fn nothing_else_is_left(disk: &SimDisk) -> std::result::Result<(), String> {
    match disk.paths() == [Path::new(PATH)] {
        true => Ok(()),
        false => Err(format!("{:?} are left", disk.paths())),
    }
}

/// A program makes a store on a disk that fails, and tries again on one that is well.
pub fn fail(form: Form, fault: Fault) -> std::result::Result<(), String> {
    let disk = SimDisk::new(DISK_SEED);
    let setup = Setup::ORDINARY.with(form);
    disk.fail(fault);
    match setup.open(&disk) {
        Ok(store) => drop(store),
        Err(Error::Io { .. } | Error::NoSpace { .. }) => {}
        Err(error) => return Err(format!("not the error to expect: {error:?}")),
    }
    disk.heal();
    let store = setup.open(&disk).map_err(|error| format!("healed: {error}"))?;
    if !store.is_empty() {
        return Err(format!("{} entries in a new store", store.len()));
    }
    serves(store, Other::Closes)?;
    // Where every call fails, so does the removal of the temporary file.
    if matches!(fault.when, When::From(_)) { Ok(()) } else { nothing_else_is_left(&disk) }
}

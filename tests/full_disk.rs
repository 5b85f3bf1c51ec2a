//! No room: a file that may not become longer, a file system that is full.

mod common;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::cells::Cells;
use common::fork::{in_fork, limit_file_bytes};
use common::{Model, Place, Random, check_equal, copy_as_if_killed, key};
use tophash::{Batch, Error, Map, Options, Store};

/// The last checkpoint fails, and the handle is dropped with segments that no header names: the log must stay whole.
#[test]
fn a_close_that_fails_says_so_and_loses_nothing() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let value = |n| Random(n).bytes(1_500);
    in_fork(|| {
        let store = Options::new().background(false).open(&path).unwrap();
        (0..400).for_each(|n| drop(store.insert(key(n), value(n)).unwrap()));
        // No write beyond the header slots succeeds; stores into mapped segments do.
        limit_file_bytes(Some(8192));
        let error = store.close().expect_err("there is no room for a checkpoint");
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    });
    let store = Store::open(&path).unwrap();
    assert!(store.stats().unwrap().recovered);
    check_equal(&store, &(0..400).map(|n| (key(n), value(n))).collect(), []);
}

/// Inserts new keys from `next` on until there is no room; an insert that failed has changed nothing.
fn insert_until_full(store: &Store, model: &mut Model, mut next: u64, value_bytes: usize) {
    loop {
        let value = Random(next).bytes(value_bytes);
        match store.insert(key(next), &value) {
            Ok(previous) => assert!(previous.is_none()),
            Err(Error::NoSpace { .. }) => break,
            Err(error) => panic!("{error}"),
        }
        model.insert(key(next), value);
        next += 1;
    }
    check_equal(store, model, [key(next)]);
}

/// A growth that can't be afforded is put off (D18), and the replay puts it off at the same place (D15).
#[test]
fn a_growth_without_room_is_put_off() {
    let place = Place::new();
    let (path, killed) = (place.file("a.tophash"), place.file("killed.tophash"));
    in_fork(|| {
        let store = Options::new().background(false).open(&path).unwrap();
        let mut model = Model::new();
        for n in 0..6_600 {
            store.insert(key(n), []).unwrap();
            model.insert(key(n), Vec::new());
        }
        let before = store.growth().unwrap();
        assert_eq!((before.b, before.kind), (10, None));

        limit_file_bytes(Some(std::fs::metadata(&path).unwrap().len()));
        insert_until_full(&store, &mut model, 6_600, 0);
        assert!(model.len() > 6_656 && store.growth().unwrap() == before, "the table is more than full");

        limit_file_bytes(None);
        copy_as_if_killed(&store, &path, &killed);
        let again = Options::new().read_only(true).open(&killed).unwrap();
        Cells::of(&again).assert_same_as(&Cells::of(&store));

        store.insert("there is room again", []).unwrap();
        model.insert(b"there is room again".to_vec(), Vec::new());
        assert!(store.growth().unwrap().kind.is_some(), "the growth begins now");
        check_equal(&store, &model, []);
        store.close().unwrap();
        check_equal(&Store::open(&path).unwrap(), &model, []);
    });
}

/// Gives this forked process a file system of its own in memory, at `place`. Not everybody may.
fn mount_file_system(place: &Path, bytes: u64) -> bool {
    if !unshare_mounts() {
        return false;
    }
    let (root, none) = (c"/".as_ptr(), c"".as_ptr());
    // SAFETY: the strings end in zero and outlive the call.
    let private = unsafe { libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) };
    private == 0 && mount(place, bytes, 0)
}

/// From now on what this forked process mounts nobody else sees. Without privileges, as the root of a name space.
fn unshare_mounts() -> bool {
    // SAFETY: these change and tell what this process sees, and nothing else.
    let (mounts, user, group) =
        unsafe { (libc::unshare(libc::CLONE_NEWNS), libc::geteuid(), libc::getegid()) };
    if mounts == 0 {
        return true;
    }
    // SAFETY: as above.
    let users = unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) };
    let write = |file, line: String| std::fs::write(file, line).is_ok();
    users == 0
        && write("/proc/self/setgroups", "deny".into())
        && write("/proc/self/uid_map", format!("0 {user} 1"))
        && write("/proc/self/gid_map", format!("0 {group} 1"))
}

fn mount(place: &Path, bytes: u64, flags: libc::c_ulong) -> bool {
    let target = CString::new(place.as_os_str().as_bytes()).unwrap();
    let size = CString::new(format!("size={bytes}")).unwrap();
    let kind = c"tmpfs".as_ptr();
    // SAFETY: the strings end in zero and outlive the call.
    unsafe { libc::mount(kind, target.as_ptr(), kind, flags, size.as_ptr().cast()) == 0 }
}

/// A full store can be emptied (D9), entry by entry or at once, and filled again: what is added leaves room for the
/// checkpoint that gives the log of the removals back.
#[test]
fn a_full_store_can_be_emptied() {
    for (value_bytes, background) in [(0, false), (8, true), (100, false), (100, true), (4_000, false)] {
        let place = Place::new();
        in_fork(|| {
            if !mount_file_system(place.path(), 8 << 20) {
                eprintln!("skipped: this process may not mount a file system of its own");
                return;
            }
            let options = Options::new().background(background);
            let store = options.clone().open(place.file("a.tophash")).unwrap();
            let filled = fill(|n| store.insert(key(n), vec![7; value_bytes]).map(drop));
            assert!(filled > 500, "{filled} entries of {value_bytes} bytes");
            for n in 0..filled {
                assert!(store.forget(key(n)).unwrap(), "entry {n} of {filled}");
            }
            assert!(store.is_empty());
            store.checkpoint().unwrap();
            let again = fill(|n| store.insert(key(n), vec![7; value_bytes]).map(drop));
            assert!(again > filled / 2, "{again} entries after {filled}");
            store.clear().unwrap();
            store.checkpoint().unwrap();
            store.insert("there is room", "again").unwrap();
            store.close().unwrap();
            let store = options.open(place.file("a.tophash")).unwrap();
            assert_eq!(store.len(), 1);
            assert!(store.verify().unwrap().is_clean());
        });
    }
}

/// The ways to remove that are not tried again by themselves get their room too, if not the first time.
#[test]
fn a_full_store_can_be_emptied_in_every_way() {
    for value_bytes in [8, 70_000] {
        let place = Place::new();
        in_fork(|| {
            if !mount_file_system(place.path(), 8 << 20) {
                eprintln!("skipped: this process may not mount a file system of its own");
                return;
            }
            let store = Options::new().background(false).open(place.file("a.tophash")).unwrap();
            let mut filled = 0;
            loop {
                let entries = (filled..filled + 50).map(|n| (key(n), vec![7; value_bytes]));
                match store.insert_many(entries) {
                    Ok(_) => filled += 50,
                    Err(Error::NoSpace { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(filled > 0, "{filled} entries of {value_bytes} bytes");
            for n in 0..filled / 2 {
                let update = || store.update(key(n), |_| None);
                update().or_else(|_| update()).unwrap();
            }
            for n in filled / 2..filled {
                let mut batch = Batch::new();
                batch.remove(key(n));
                store.apply(&batch).unwrap();
            }
            assert!(store.is_empty());
            store.checkpoint().unwrap();
        });
    }
}

/// The same where cells hold keys and values.
#[test]
fn a_full_map_can_be_emptied() {
    let place = Place::new();
    in_fork(|| {
        if !mount_file_system(place.path(), 8 << 20) {
            eprintln!("skipped: this process may not mount a file system of its own");
            return;
        }
        let map = Map::<u64, u64>::open(place.file("a.tophash")).unwrap();
        let filled = fill(|n| map.insert(n, n).map(drop));
        assert!(filled > 10_000, "{filled} entries");
        for n in 0..filled {
            assert_eq!(map.remove(&n).unwrap(), Some(n), "of {filled}");
        }
        map.clear().unwrap();
        map.checkpoint().unwrap();
        let again = fill(|n| map.insert(n, n).map(drop));
        assert!(again > filled / 2, "{again} entries after {filled}");
        map.close().unwrap();
    });
}

/// Inserts entries until there is no room; how many there was room for.
fn fill(mut insert: impl FnMut(u64) -> tophash::Result<()>) -> u64 {
    for n in 0.. {
        match insert(n) {
            Ok(()) => {}
            Err(Error::NoSpace { .. }) => return n,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("a disk has an end")
}

/// On a full file system a store into a mapping would be a SIGBUS. The store says so before, and keeps what it has,
/// also when it is killed; entries can still be removed, and it goes on when there is room.
#[test]
fn a_store_on_a_full_file_system_keeps_what_it_has() {
    for value_bytes in [0, 100, 4_000] {
        let place = Place::new();
        in_fork(|| {
            if !mount_file_system(place.path(), 4 << 20) {
                eprintln!("skipped: this process may not mount a file system of its own");
                return;
            }
            let path = place.file("a.tophash");
            let options = Options::new().background(false).checkpoint_bytes(100_000);
            in_fork(|| {
                let store = options.clone().open(&path).unwrap();
                insert_until_full(&store, &mut Model::new(), 0, value_bytes);
                // As if killed: the process ends here, and nothing is dropped.
                std::mem::forget(store);
            });

            let store = options.clone().open(&path).unwrap();
            let mut model: Model = (0..store.len()).map(|n| (key(n), Random(n).bytes(value_bytes))).collect();
            assert!(model.len() > 500);
            check_equal(&store, &model, []);
            for n in 0..100 {
                assert!(store.remove(key(n)).unwrap().is_some());
                model.remove(&key(n));
            }
            check_equal(&store, &model, (0..100).map(key));

            assert!(mount(place.path(), 16 << 20, libc::MS_REMOUNT));
            store.insert(key(0), "there is room").unwrap();
            model.insert(key(0), b"there is room".to_vec());
            store.close().unwrap();
            check_equal(&options.open(&path).unwrap(), &model, (0..100).map(key));
        });
    }
}

//! A forked child has its parent's handles and must not use them (C15): every operation is refused, and dropping one
//! neither writes into the parent's file nor gives back its lock or its space.

mod common;

use std::path::Path;

use common::fork::in_fork;
use common::{Model, Place, Random, check_equal, copy_as_if_killed, key};
use tophash::{Error, Options, Store};

/// Fills many segments of the log, and leaves them for a checkpoint to come.
fn fill(store: &Store, from: u64) -> Model {
    let (mut model, mut random) = (Model::new(), Random(from));
    for n in from..from + 400 {
        let value = random.bytes(1_500);
        store.insert(key(n), &value).unwrap();
        model.insert(key(n), value);
    }
    model
}

fn each_with_and_without_a_thread(test: impl Fn(&Path, Options)) {
    for background in [false, true] {
        let place = Place::new();
        test(&place.file("a.tophash"), Options::new().background(background));
    }
}

#[track_caller]
fn expect_forked<T>(result: tophash::Result<T>) {
    assert!(matches!(result, Err(Error::Forked)), "{:?}", result.map(drop));
}

#[test]
fn every_operation_of_a_parents_handle_is_refused() {
    each_with_and_without_a_thread(|path, options| {
        let store = options.open(path).unwrap();
        let model = fill(&store, 0);
        in_fork(|| {
            expect_forked(store.get(key(1)));
            expect_forked(store.get_key_value(key(1)));
            expect_forked(store.contains_key(key(1)));
            expect_forked(store.insert(key(1), "child"));
            expect_forked(store.insert("new", "child"));
            expect_forked(store.remove(key(1)));
            expect_forked(store.clear());
            expect_forked(store.sync());
            expect_forked(store.checkpoint());
            expect_forked(store.stats());
            expect_forked(store.info());
            expect_forked(store.verify());
            expect_forked(store.iter().next().unwrap());
            expect_forked(store.keys().next().unwrap());
            assert!(store.iter().nth(1).is_none(), "once");
        });
        check_equal(&store, &model, []);
    });
}

#[test]
fn a_read_only_handle_is_refused_as_well() {
    let place = Place::new();
    let path = place.file("a.tophash");
    fill(&Store::open(&path).unwrap(), 0);
    let store = Options::new().read_only(true).open(&path).unwrap();
    in_fork(|| expect_forked(store.get(key(1))));
    assert!(store.get(key(1)).unwrap().is_some());
}

#[test]
fn what_a_child_drops_its_parent_keeps() {
    each_with_and_without_a_thread(|path, options| {
        let store = options.clone().open(path).unwrap();
        let mut model = fill(&store, 0);
        // An array and segments that no header names yet, and some that wait for a reader.
        let guard = store.get(key(5)).unwrap().unwrap();
        store.clear().unwrap();
        model.clear();
        model.extend(fill(&store, 1_000));

        let mine = store.clone();
        let mut mine = Some(mine);
        in_fork(|| {
            drop(mine.take());
            // The other handle too; the guard that borrows it is not looked at again.
            // SAFETY: the child ends before the parent's variable could be dropped a second time.
            drop(unsafe { std::ptr::read(&raw const store) });
        });
        assert!(matches!(Store::open(path), Err(Error::Locked { .. })), "the parent still has the lock");
        assert_eq!(guard.len(), 1_500);
        model.extend(fill(&store, 2_000));
        check_equal(&store, &model, []);

        let killed = path.with_extension("killed");
        copy_as_if_killed(&store, path, &killed);
        check_equal(&Store::open(killed).unwrap(), &model, []);
        drop((guard, mine));
        store.close().unwrap();
        check_equal(&Store::open(path).unwrap(), &model, []);
    });
}

#[test]
fn a_child_that_closes_says_so_and_does_nothing() {
    each_with_and_without_a_thread(|path, options| {
        let store = options.open(path).unwrap();
        let model = fill(&store, 0);
        let before = std::fs::metadata(path).unwrap().len();
        in_fork(|| {
            // SAFETY: the child ends before the parent's variable could be dropped a second time.
            let _ = unsafe { std::ptr::read(&raw const store) }.close();
        });
        assert!(std::fs::metadata(path).unwrap().len() >= before, "truncated by the child");
        check_equal(&store, &model, []);
        store.close().unwrap();
        check_equal(&Store::open(path).unwrap(), &model, []);
    });
}

/// The locks of a thread that the child does not have stay locked there for ever.
#[test]
fn children_of_a_parent_that_writes_are_refused_and_do_not_wait() {
    each_with_and_without_a_thread(|path, options| {
        let store = options.checkpoint_bytes(50_000).open(path).unwrap();
        let model = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut model = Model::new();
                (0..6).for_each(|round| model.extend(fill(&store, round * 200)));
                model
            });
            let mut children = 0;
            while children == 0 || !writer.is_finished() {
                in_fork(|| {
                    expect_forked(store.get(key(1)));
                    expect_forked(store.insert(key(1), "child"));
                    expect_forked(store.checkpoint());
                    expect_forked(store.verify());
                });
                children += 1;
            }
            writer.join().unwrap()
        });
        check_equal(&store, &model, []);
        store.close().unwrap();
        check_equal(&Store::open(path).unwrap(), &model, []);
    });
}

#[test]
fn a_child_opens_stores_of_its_own() {
    let place = Place::new();
    let (path, other) = (place.file("a.tophash"), place.file("child.tophash"));
    let store = Store::open(&path).unwrap();
    let model = fill(&store, 0);
    in_fork(|| {
        assert!(matches!(Store::open(&path), Err(Error::Locked { .. })));
        let own = Options::new().background(false).open(&other).unwrap();
        own.insert("from", "the child").unwrap();
        assert_eq!(own.get("from").unwrap().unwrap(), "the child");
        expect_forked(store.get(key(1)));
        own.close().unwrap();
    });
    check_equal(&store, &model, []);
    assert_eq!(Store::open(&other).unwrap().get("from").unwrap().unwrap(), "the child");
}

/// A child has copies of all open files of its parent, whether it knows or not.
#[test]
fn a_living_child_does_not_keep_the_lock_of_a_store_that_its_parent_closed() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let store = Store::open(&path).unwrap();
    // SAFETY: the child sleeps until it is killed.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends the process at once, unless it was killed before.
        unsafe {
            libc::sleep(600);
            libc::_exit(0);
        }
    }
    store.close().unwrap();
    let opened = Store::open(&path);
    // SAFETY: `child` is a process of this test, and waited for below.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    opened.unwrap();
}

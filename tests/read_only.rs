//! Read-only opens: they see what a writer would, write nothing, and share the file among themselves.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::cells::Cells;
use common::{Model, Place, Random, check_equal, copy_as_if_killed, key};
use tophash::{Error, Options, Store};

fn open_read_only(path: &Path) -> Store {
    Options::new().read_only(true).open(path).unwrap()
}

/// Fills a store until a growth is under way, half of it after a checkpoint.
fn fill(store: &Store) -> Model {
    let (mut model, mut random) = (Model::new(), Random(1));
    for n in 0..450 {
        let value = random.bytes(n as usize % 300);
        store.insert(key(n), &value).unwrap();
        model.insert(key(n), value);
        if n == 425 {
            store.checkpoint().unwrap();
        }
    }
    assert!(store.growth().unwrap().kind.is_some());
    model
}

/// A store that was closed.
fn closed(place: &Place) -> (PathBuf, Model) {
    let path = place.file("closed.tophash");
    let store = Store::open(&path).unwrap();
    let model = fill(&store);
    store.close().unwrap();
    (path, model)
}

/// A store that was killed, and its cells.
fn killed(place: &Place) -> (PathBuf, Model, Cells) {
    let (path, killed) = (place.file("a.tophash"), place.file("killed.tophash"));
    let store = Options::new().background(false).open(&path).unwrap();
    let model = fill(&store);
    copy_as_if_killed(&store, &path, &killed);
    (killed, model, Cells::of(&store))
}

/// Everything that reads, then whether the file is as it was.
#[track_caller]
fn check_unwritten(path: &Path, model: &Model) {
    let before = std::fs::read(path).unwrap();
    let store = open_read_only(path);
    check_equal(&store, model, (0..500).map(key));
    store.stats().unwrap();
    store.info().unwrap();
    store.close().unwrap();
    assert!(std::fs::read(path).unwrap() == before, "the file was changed");
}

#[test]
fn a_closed_store_is_read_and_not_written() {
    let place = Place::new();
    let (path, model) = closed(&place);
    check_unwritten(&path, &model);
    assert!(!open_read_only(&path).stats().unwrap().recovered);
}

#[test]
fn a_killed_store_is_read_and_not_written() {
    let place = Place::new();
    let (path, model, cells) = killed(&place);
    check_unwritten(&path, &model);
    let store = open_read_only(&path);
    assert!(store.stats().unwrap().recovered);
    assert!(store.info().unwrap().writing, "the header still says that a writer had it");
    Cells::of(&store).assert_same_as(&cells);
}

#[test]
fn a_killed_store_can_still_be_recovered_after_it_was_read() {
    let place = Place::new();
    let (path, model, cells) = killed(&place);
    check_unwritten(&path, &model);
    let store = Store::open(&path).unwrap();
    Cells::of(&store).assert_same_as(&cells);
    check_equal(&store, &model, (0..500).map(key));
}

#[test]
fn writes_are_refused() {
    let place = Place::new();
    let (killed, killed_model, _) = killed(&place);
    for (path, model) in [closed(&place), (killed, killed_model)] {
        let before = std::fs::read(&path).unwrap();
        let store = open_read_only(&path);
        let refusals = [
            store.insert(key(1), "new").map(drop),
            store.insert("another key", "new").map(drop),
            store.remove(key(1)).map(drop),
            store.remove("another key").map(drop),
            store.clear(),
            store.sync(),
            store.checkpoint(),
        ];
        for refusal in refusals {
            assert!(matches!(refusal, Err(Error::ReadOnly)), "{refusal:?}");
        }
        check_equal(&store, &model, (0..500).map(key));
        drop(store);
        assert!(std::fs::read(&path).unwrap() == before);
    }
}

#[test]
fn closing_a_clone_is_no_write() {
    let place = Place::new();
    let (path, _) = closed(&place);
    let store = open_read_only(&path);
    store.clone().close().unwrap();
    assert_eq!(store.len(), 450);
    store.close().unwrap();
}

/// Root may write whatever the permissions say; that nothing is written holds for root too.
#[test]
fn a_file_without_write_permission_in_such_a_directory_is_read() {
    let place = Place::new();
    let (path, model, _) = killed(&place);
    let directory = place.file("read-only");
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("killed.tophash");
    std::fs::rename(path, &file).unwrap();
    let permit = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    permit(&file, 0o444);
    permit(&directory, 0o555);
    check_unwritten(&file, &model);
    if std::fs::OpenOptions::new().write(true).open(&file).is_err() {
        let error = Store::open(&file).unwrap_err();
        let Error::Io { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.kind(), std::io::ErrorKind::PermissionDenied);
    }
    permit(&directory, 0o755);
}

#[test]
fn readers_share_a_file() {
    let place = Place::new();
    let (path, model) = closed(&place);
    let (one, two) = (open_read_only(&path), open_read_only(&path));
    check_equal(&one, &model, []);
    check_equal(&two, &model, []);
    drop(one);
    check_equal(&two, &model, []);
}

#[test]
fn a_reader_keeps_writers_out_while_it_reads() {
    let place = Place::new();
    let (path, _) = closed(&place);
    let reader = open_read_only(&path);
    expect_locked(Store::open(&path), false);
    drop(reader);
    Store::open(&path).unwrap();
}

#[test]
fn a_writer_keeps_readers_out_while_it_writes() {
    let place = Place::new();
    let (path, _) = closed(&place);
    let writer = Store::open(&path).unwrap();
    expect_locked(Options::new().read_only(true).open(&path), true);
    drop(writer);
    open_read_only(&path);
}

#[track_caller]
fn expect_locked(opened: tophash::Result<Store>, as_reader: bool) {
    match opened {
        Err(Error::Locked { holder, read_only, .. }) => {
            assert_eq!((holder, read_only), (Some(std::process::id()), as_reader));
        }
        other => panic!("{other:?}"),
    }
}

/// A growth that begins in what is replayed needs an array, which must not be taken from the file.
#[test]
fn growths_in_the_replay_take_memory_alone() {
    let place = Place::new();
    let (path, killed) = (place.file("a.tophash"), place.file("killed.tophash"));
    let store = Options::new().background(false).open(&path).unwrap();
    let mut model = Model::new();
    for n in 0..5_000 {
        store.insert(key(n), b"value").unwrap();
        model.insert(key(n), b"value".to_vec());
    }
    assert_eq!(store.info().unwrap().checkpoint_seq, 0, "everything is to be replayed");
    copy_as_if_killed(&store, &path, &killed);
    check_unwritten(&killed, &model);
}

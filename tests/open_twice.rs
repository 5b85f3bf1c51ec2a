//! One file, opened twice: under other names, and by several processes at the same time.

mod common;

use std::path::Path;

use common::child::{Child, say, task, wait};
use common::{Place, check_verified};
use tophash::{Error, Options, Store};

/// Not a test: what the children do.
#[test]
fn child() {
    let Some((_, path)) = task() else { return };
    say("ready");
    wait();
    match Store::open(&path) {
        Ok(store) => {
            say("open");
            store.insert(std::process::id().to_le_bytes(), "was here").unwrap();
            wait();
        }
        Err(Error::Locked { .. }) => say("locked"),
        Err(error) => say(error),
    }
}

fn refused(path: &Path) -> bool {
    [false, true]
        .iter()
        .all(|&it| matches!(Options::new().read_only(it).open(path), Err(Error::Locked { .. })))
}

#[test]
fn a_file_is_locked_under_all_its_names() {
    let place = Place::new();
    let names = ["a", "hard-link", "symlink", "b"].map(|name| place.file(name));
    let [path, hard_link, symlink, renamed] = &names;
    let store = Store::open(path).unwrap();
    std::fs::hard_link(path, hard_link).unwrap();
    std::os::unix::fs::symlink(path, symlink).unwrap();
    assert!(refused(hard_link) && refused(symlink) && refused(&place.path().join(".").join("a")));
    std::fs::remove_file(symlink).unwrap();
    std::fs::rename(path, renamed).unwrap();
    assert!(refused(renamed));

    store.insert("key", "value").unwrap();
    store.close().unwrap();
    assert_eq!(Store::open(hard_link).unwrap().get("key").unwrap().unwrap(), "value");
}

#[test]
fn of_processes_that_open_the_same_file_one_gets_it() {
    let place = Place::new();
    let path = place.file("a.tophash");
    // The first round makes the file; later ones find it as a process left it that was killed.
    for round in 1..=8 {
        let mut children: Vec<_> = (0..4).map(|_| Child::start("open", &path)).collect();
        children.iter_mut().for_each(|child| assert_eq!(child.hear().as_deref(), Some("ready")));
        children.iter_mut().for_each(Child::go_on);
        let mut said: Vec<_> = children.iter_mut().map(|child| child.hear().unwrap()).collect();
        let winner = said.iter().position(|said| said == "open").expect("one of them");
        said.remove(winner);
        assert_eq!(said, ["locked"; 3]);

        let mut winner = children.remove(winner);
        children.into_iter().for_each(Child::expect_success);
        assert!(refused(&path), "the losers took the winner's lock with them");
        if round % 2 == 0 {
            winner.kill();
        } else {
            winner.go_on();
            winner.expect_success();
        }
        let store = Options::new().read_only(true).open(&path).unwrap();
        assert!(store.len() >= round - round / 2, "{} after round {round}", store.len());
        check_verified(&store);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "no temporary file is left");
    }
}

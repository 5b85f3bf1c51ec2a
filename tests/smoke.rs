//! First contact: what a new user does in the first minute.

use tophash::{Error, Options, Store};

#[test]
fn what_was_inserted_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tophash");
    let store = Store::open(&path).unwrap();
    for n in 0..10_000u32 {
        assert!(store.insert(n.to_le_bytes(), format!("value {n}")).unwrap().is_none());
    }
    for n in (0..10_000u32).step_by(3) {
        assert_eq!(store.remove(n.to_le_bytes()).unwrap().unwrap(), format!("value {n}"));
    }
    store.close().unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.len(), 10_000 - 3334);
    for n in 0..10_000u32 {
        let expected = (n % 3 != 0).then(|| format!("value {n}").into_bytes());
        assert_eq!(store.get(n.to_le_bytes()).unwrap().map(|v| v.to_vec()), expected, "{n}");
    }
    assert_eq!(store.iter().filter(Result::is_ok).count() as u64, store.len());
    assert!(!store.stats().unwrap().recovered);
    let report = store.verify().unwrap();
    assert!(report.is_clean(), "{:#?}", report.faults);
}

#[test]
fn a_second_writer_is_told_who_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tophash");
    let _store = Store::open(&path).unwrap();
    for read_only in [false, true] {
        match Options::new().read_only(read_only).open(&path) {
            Err(Error::Locked { holder, .. }) => assert_eq!(holder, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_small_memory_limit_drops_copies_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tophash");
    let insert = |store: &Store, n: u32| drop(store.insert(n.to_le_bytes(), n.to_be_bytes()).unwrap());
    let store = Store::open(&path).unwrap();
    (0..20_000).for_each(|n| insert(&store, n));
    store.close().unwrap();

    let limit = 64 << 10;
    let store = Options::new().index_memory_limit(limit).background(false).open(&path).unwrap();
    let checkpoints_before = store.stats().unwrap().checkpoint_seq;
    (20_000..20_400).for_each(|n| insert(&store, n));
    let stats = store.stats().unwrap();
    assert!(stats.dirty_bytes <= limit);
    assert!(stats.checkpoint_seq > checkpoints_before + 10, "{} checkpoints", stats.checkpoint_seq);
    for n in 0..20_400u32 {
        assert_eq!(store.get(n.to_le_bytes()).unwrap().unwrap(), n.to_be_bytes());
    }
    assert!(store.verify().unwrap().is_clean());
}

#[test]
fn a_child_that_is_being_spawned_does_not_keep_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tophash");
    let (to_child, mut from_parent) = std::io::pipe().unwrap();
    let store = Store::open(&path).unwrap();
    let spawning = std::thread::spawn(move || {
        use std::os::unix::process::CommandExt as _;
        let mut command = std::process::Command::new("true");
        let wait_for_parent = move || {
            // Between fork and exec: until the parent has closed and reopened the store.
            std::io::Read::read(&mut &to_child, &mut [0]).map(drop)
        };
        // SAFETY: the closure only reads from a pipe.
        unsafe { command.pre_exec(wait_for_parent) }.status().unwrap()
    });
    // The fork has happened when the child holds the pipe too; what happens if not is that nothing is tested.
    std::thread::sleep(std::time::Duration::from_millis(100));
    drop(store);
    let reopened = Store::open(&path).map(drop);
    std::io::Write::write_all(&mut from_parent, &[1]).unwrap();
    spawning.join().unwrap();
    reopened.unwrap();
}

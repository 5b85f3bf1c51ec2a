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

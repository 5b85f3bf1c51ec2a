//! What the integration tests share: a place for files, random numbers that repeat, the model, and the comparison of
//! a store with it.

#![allow(dead_code, reason = "every test file takes its part")]

pub mod beside;
pub mod cells;
pub mod child;
pub mod fork;

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;
use tempfile::TempDir;
use tophash::Store;

/// What a store should hold.
pub type Model = HashMap<Vec<u8>, Vec<u8>>;

/// A directory of its own, gone with the test.
pub struct Place(TempDir);

impl Place {
    /// On a disk, as far as the system's directory for temporary files is.
    pub fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    /// In memory, where there is plenty: for tests that open and close thousands of times. They kill processes, not
    /// the power, and a file shows the same in memory as on a disk that syncs for minutes.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let plenty = fs2::available_space(memory).is_ok_and(|bytes| bytes > 4 << 30);
        if plenty { Place(tempfile::tempdir_in(memory).unwrap()) } else { Place::new() }
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// A key for a number: short ones of any length, every so often a long one; number 0 is the empty key.
pub fn key(n: u64) -> Vec<u8> {
    let len = match n {
        0 => return Vec::new(),
        _ if n % 101 == 7 => 256 + (n % 50) as usize,
        _ => 3 + (n % 18) as usize,
    };
    // The number first, so that keys differ.
    let mut key = n.to_le_bytes()[..3].to_vec();
    key.extend(Random(n).bytes(len - 3));
    key
}

/// A change of a store.
#[derive(Clone, Debug)]
pub enum Change {
    Insert(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Clear,
}

impl Change {
    /// Makes the change in the model alone.
    pub fn apply_to(&self, model: &mut Model) -> Option<Vec<u8>> {
        match self {
            Change::Insert(key, value) => model.insert(key.clone(), value.clone()),
            Change::Remove(key) => model.remove(key),
            Change::Clear => {
                model.clear();
                None
            }
        }
    }

    /// Makes the change in a store; what it returned.
    pub fn make(&self, store: &Store) -> Option<Vec<u8>> {
        let previous = match self {
            Change::Insert(key, value) => store.insert(key, value).unwrap(),
            Change::Remove(key) => store.remove(key).unwrap(),
            Change::Clear => {
                store.clear().unwrap();
                None
            }
        };
        previous.map(|value| value.to_vec())
    }

    /// Makes the change in both, which must agree about the value before.
    #[track_caller]
    pub fn make_in_both(&self, store: &Store, model: &mut Model) {
        let expected = self.apply_to(model);
        assert!(self.make(store) == expected, "{self:.60?} returned another value than the model");
    }
}

/// Everything that a store tells about its content fits the model: every key of `keys`, there or not, by `get` and
/// `contains_key`; the length; the iteration; and `verify` finds nothing.
#[track_caller]
pub fn check_equal(store: &Store, model: &Model, keys: impl IntoIterator<Item = Vec<u8>>) {
    assert_eq!(store.len(), model.len() as u64, "len");
    assert_eq!(store.is_empty(), model.is_empty());
    for key in model.keys().cloned().chain(keys) {
        let found = store.get(&key).unwrap();
        let expected = model.get(&key);
        let same = found.as_deref() == expected.map(Vec::as_slice);
        assert!(same, "get {key:.20?}: found {:.20?}, expected {expected:.20?}", found.as_deref());
        assert_eq!(store.contains_key(&key).unwrap(), expected.is_some(), "contains_key {key:.20?}");
    }
    let mut seen = HashMap::new();
    for entry in store.iter() {
        let (key, value) = entry.unwrap();
        assert!(seen.insert(key.to_vec(), value.to_vec()).is_none(), "{key:.20?} appears twice");
    }
    assert!(seen == *model, "the iteration yields other entries than the model has");
    check_verified(store);
}

/// `verify` finds nothing, and finds every entry; and the file's extents lie within it, side by side.
#[track_caller]
pub fn check_verified(store: &Store) {
    let report = store.verify().unwrap();
    let faults: Vec<_> = report.faults.iter().map(ToString::to_string).collect();
    assert!(report.is_clean(), "{faults:#?}");
    assert_eq!(report.entries, store.len());

    let info = store.info().unwrap();
    for two in info.extents.windows(2) {
        assert!(two[0].offset + two[0].bytes <= two[1].offset, "{two:?} overlap");
    }
    assert!(info.extents.last().is_some_and(|last| last.offset + last.bytes <= info.file_bytes));
}

/// Copies the file of an open store as a process that was killed at this moment would have left it. No write may be
/// under way; a checkpoint on the background thread may: then the copy is made again, since only a copy that no
/// header was written beside shows the file at one moment.
pub fn copy_as_if_killed(store: &Store, from: &Path, to: &Path) {
    copy_beside_headers(|| store.info().unwrap().sequence, from, to);
}

/// [`copy_as_if_killed`] of a file in whose header is this sequence number now.
pub fn copy_beside_headers(sequence: impl Fn() -> u64, from: &Path, to: &Path) {
    loop {
        let before = sequence();
        copy_sparse(from, to);
        if sequence() == before {
            return;
        }
    }
}

/// Leaves out the holes, and what was preallocated and never used.
fn copy_sparse(from: &Path, to: &Path) {
    let (from, to) = (File::open(from).unwrap(), File::create(to).unwrap());
    to.set_len(from.metadata().unwrap().len()).unwrap();
    let mut at = 0;
    while let Ok(data) = rustix::fs::seek(&from, SeekFrom::Data(at)) {
        at = rustix::fs::seek(&from, SeekFrom::Hole(data)).unwrap();
        let mut bytes = vec![0; (at - data) as usize];
        from.read_exact_at(&mut bytes, data).unwrap();
        for (page, offset) in bytes.chunks(4096).zip((data..).step_by(4096)) {
            if page.iter().any(|&byte| byte != 0) {
                to.write_all_at(page, offset).unwrap();
            }
        }
    }
}

/// Puts sixty values that no other bytes look like, number 30 a large one, and closes the store.
pub fn insert_to_be_damaged(store: Store) -> Vec<Vec<u8>> {
    let values: Vec<_> =
        (0..60).map(|n| Random(1_000 + n).bytes(if n == 30 { 100_000 } else { 40 })).collect();
    (0..).zip(&values).for_each(|(n, value)| drop(store.insert(key(n), value).unwrap()));
    store.close().unwrap();
    values
}

/// Flips a bit of a file in the only place where `bytes` are.
pub fn damage(path: &Path, bytes: &[u8]) {
    let mut content = std::fs::read(path).unwrap();
    let mut places = (0..content.len() - bytes.len()).filter(|&at| content[at..].starts_with(bytes));
    let (Some(at), None) = (places.next(), places.next()) else { panic!("the bytes are not in one place") };
    content[at] ^= 1;
    std::fs::write(path, content).unwrap();
}

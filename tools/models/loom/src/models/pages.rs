//! Index pages: frozen and saved beside a writer (D10), first touched beside one (C11), dropped beside readers (C10).
//!
//! A page is two words here. The writer always stores the same number in both, so what a checkpoint copied shows
//! whether it is one moment's.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use super::{Model, bounded, exhaustive};
use crate::file::pages::{IndexPages, Pager};
use crate::file::region::Region;
use crate::file::sums::Sums;
use crate::format::page_crc;
use crate::seam::{Pages as _, Words as _};
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};

pub(super) const MODELS: &[Model] = &[
    exhaustive("freeze", freeze),
    exhaustive("freeze-twice", freeze_twice),
    bounded("first-touch", 2, 4, first_touch),
    bounded("absent", 2, 3, absent),
    bounded("drop-copies", 2, 3, drop_copies),
];

/// One page of a store that is open.
struct Store {
    region: Region,
    pages: IndexPages,
    /// The writer lock.
    lock: Mutex<()>,
}

impl Store {
    /// A page of the file; `written` if a checkpoint has written it.
    fn opened(content: u64, written: bool) -> Arc<Self> {
        Self::over(Region::of(vec![content; 2]), content, written)
    }

    /// A page that is in use: it is copied for a checkpoint alone.
    fn in_use() -> Arc<Self> {
        let store = Self::over(Region::of(vec![0; 2]).exclusive(), 0, false);
        store.write(1);
        store
    }

    fn over(region: Region, content: u64, written: bool) -> Arc<Self> {
        let sums = Sums::fresh(1);
        if written {
            sums.set(0, crc(content)).unwrap();
        }
        let pages = IndexPages::reopened(region.clone(), None, 0, &Pager::new(0), sums);
        Arc::new(Store { region, pages, lock: Mutex::new(()) })
    }

    /// What an operation does, the lock included.
    fn write(&self, value: u64) {
        let _writer = self.lock.lock().unwrap();
        self.pages.touch(0, 2).unwrap();
        for word in 0..2 {
            self.pages.before_write(word);
            self.pages.store(word, value, Release);
        }
    }

    /// As `peek` does it, and `lookup` where that does not decide.
    fn read(&self) -> u64 {
        if !self.pages.is_touched(0, 2) {
            self.pages.touch(0, 2).unwrap();
        }
        self.pages.load(1, Acquire)
    }

    /// A checkpoint of what is there now.
    fn checkpoint(&self) {
        let (frozen, content) = {
            let _writer = self.lock.lock().unwrap();
            (self.pages.freeze(), self.pages.load(0, Relaxed))
        };
        for &page in &frozen {
            let copy = self.pages.copy_frozen(page).unwrap();
            assert_eq!(copy[..], page_of(content), "the content at the freeze");
            self.pages.sums().set(page, page_crc(&copy[..])).unwrap();
            self.region.file.lock().unwrap().fill(content);
        }
        self.pages.finish(&frozen);
    }

    /// After the last checkpoint the file is what the memory is.
    fn expect_in_file(&self, value: u64) {
        self.checkpoint();
        assert_eq!(*self.region.file.lock().unwrap(), [value; 2]);
        assert_eq!(self.read(), value);
    }
}

fn page_of(value: u64) -> [u8; 16] {
    std::array::from_fn(|i| value.to_le_bytes()[i % 8])
}

fn crc(value: u64) -> u32 {
    page_crc(&page_of(value))
}

/// Runs two threads beside this one.
fn beside(store: &Arc<Store>, others: [fn(&Store); 2], this: fn(&Store)) {
    let others = others.map(|other| {
        let store = Arc::clone(store);
        thread::spawn(move || other(&store))
    });
    this(store);
    others.into_iter().for_each(|other| other.join().unwrap());
}

/// A checkpoint copies a dirty page while the writer changes it again and a reader looks.
fn freeze() {
    let store = Store::in_use();
    beside(&store, [Store::checkpoint, |store| assert!(store.read() >= 1)], |store| store.write(2));
    store.expect_in_file(2);
}

/// The writer changes the page twice, and it may be copied in between.
fn freeze_twice() {
    let store = Store::in_use();
    beside(&store, [Store::checkpoint, |_| {}], |store| {
        store.write(2);
        store.write(3);
    });
    store.expect_in_file(3);
}

/// Readers verify a page while the writer, who was first or will be, changes it.
fn first_touch() {
    let store = Store::opened(7, true);
    let read = |store: &Store| assert!([7, 8].contains(&store.read()));
    beside(&store, [read, read], |store| store.write(8));
    store.expect_in_file(8);
}

/// The same with a page that no checkpoint wrote, over what the file holds there.
fn absent() {
    let store = Store::opened(7, false);
    let read = |store: &Store| assert!([0, 8].contains(&store.read()));
    beside(&store, [read, read], |store| store.write(8));
    store.expect_in_file(8);
}

/// A checkpoint drops the copies of clean pages while a reader and the writer touch them again.
fn drop_copies() {
    let store = Store::opened(7, true);
    assert_eq!(store.read(), 7);
    let checkpoint = |store: &Store| {
        store.checkpoint();
        let _writer = store.lock.lock().unwrap();
        store.pages.drop_clean_copies();
    };
    let read = |store: &Store| {
        let first = store.read();
        assert!(first >= 7 && store.read() >= first);
    };
    beside(&store, [checkpoint, read], |store| store.write(8));
    store.expect_in_file(8);
}

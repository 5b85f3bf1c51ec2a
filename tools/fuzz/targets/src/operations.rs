//! Working with a store whose file may have been damaged.

use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};
use tophash::sim::{Crash, SimDisk};
use tophash::{Batch, Durability, Error, Result, Store};

use crate::content::{KEYS, Stamp, key};
use crate::edit::{Damage, Harm};
use crate::open::{check, disk_with, iterate, reports, stamp_of};
use crate::samples::{Content, PATH, options};

/// Operations on one input; inserts of many keys count as one.
const MOST_OPERATIONS: usize = 48;
/// Room on the disk beyond the file, in bytes: enough for everything, if not one of the small ones.
const ROOM: [u64; 8] = [0, 4096, 1 << 15, 1 << 17, 1 << 19, 1 << 26, 1 << 26, 1 << 26];

#[derive(Arbitrary, Debug)]
struct Session {
    damage: Damage,
    room: u8,
    immediate: Rarely,
    small_memory: Rarely,
    operations: Vec<Operation>,
}

/// What makes every write slow is on once in eight times.
#[derive(Arbitrary, Debug)]
struct Rarely(u8);

impl Rarely {
    fn is_on(&self) -> bool {
        self.0 % 8 == 7
    }
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Insert { key: u16, id: u16, len: Len },
    InsertMany { from: u16, count: u8, step: u8, id: u16 },
    Remove { key: u16 },
    RemoveMany { from: u16, count: u8, step: u8 },
    Get { key: u16 },
    Iterate,
    WriteWhileIterating { key: u16, every: u8 },
    Clear,
    Sync,
    Checkpoint,
    Reports,
    Reopen,
    Kill,
    PowerCut { seed: u8 },
    Room { room: u8 },
}

#[derive(Arbitrary, Debug)]
enum Len {
    Short(u8),
    Long(u16),
    /// Beyond a small record, and beyond an ordinary segment.
    Large(u16),
}

/// A store at work.
struct Work<'s> {
    session: &'s Session,
    disk: SimDisk,
    harm: Harm,
    /// What the store holds, where the file was not damaged.
    content: Content,
    synced: bool,
    file_bytes: u64,
}

/// Opens a sample that may be damaged, and does what the input says.
pub fn operations(data: &[u8]) {
    let Ok(session) = Session::arbitrary(&mut Unstructured::new(data)) else { return };
    let damaged = session.damage.apply();
    let harm = match damaged.harm {
        Harm::OneBit => Harm::Damage,
        harm => harm,
    };
    let mut work = Work {
        session: &session,
        disk: disk_with(&damaged.bytes),
        harm,
        content: damaged.sample.content.clone(),
        synced: true,
        file_bytes: damaged.bytes.len() as u64,
    };
    work.set_room(session.room);
    let Some(mut store) = work.open() else { return };
    for operation in session.operations.iter().take(MOST_OPERATIONS) {
        store = match work.run(store, operation) {
            Some(store) => store,
            None => return,
        };
    }
    iterate(&store, work.harm);
    reports(&store, work.harm);
    work.check(store.close());
}

/// What an input does, for people.
pub fn describe_operations(data: &[u8]) -> String {
    match Session::arbitrary(&mut Unstructured::new(data)) {
        Ok(session) => format!("{}\n{session:#?}", session.damage.describe()),
        Err(_) => "nothing".to_owned(),
    }
}

impl Work<'_> {
    fn set_room(&self, room: u8) {
        let room = ROOM[usize::from(room) % ROOM.len()];
        self.disk.set_capacity(self.file_bytes.next_multiple_of(4096) + room);
    }

    fn open(&self) -> Option<Store> {
        let mut options = options(&self.disk).create(false).checkpoint_bytes(1 << 18);
        if self.session.immediate.is_on() {
            options = options.durability(Durability::Immediate);
        }
        if self.session.small_memory.is_on() {
            options = options.index_memory_limit(4096);
        }
        let store = self.check(options.open(Path::new(PATH)))?;
        if self.harm == Harm::None {
            assert_eq!(store.len(), self.content.len() as u64, "entries after opening");
        }
        Some(store)
    }

    /// A full disk is nobody's fault here.
    fn check<T>(&self, result: Result<T>) -> Option<T> {
        match result {
            Err(Error::NoSpace { .. }) => None,
            result => check(result, self.harm),
        }
    }

    fn run(&mut self, store: Store, operation: &Operation) -> Option<Store> {
        match *operation {
            Operation::Insert { key, id, ref len } => self.insert(&store, key, Stamp::new(id, len.bytes())),
            Operation::InsertMany { from, count, step, id } if id % 2 == 1 => {
                self.insert_together(&store, numbers(from, count, step), Stamp::new(id, 24));
            }
            Operation::InsertMany { from, count, step, id } => {
                for n in numbers(from, count, step) {
                    self.insert(&store, n, Stamp::new(id, 24));
                }
            }
            Operation::Remove { key } => self.remove(&store, key),
            Operation::RemoveMany { from, count, step } => {
                numbers(from, count, step).for_each(|n| self.remove(&store, n));
            }
            Operation::Get { key: n } => {
                let n = n % KEYS;
                let found = self.check(store.get(key(n)));
                if let Some(value) = found {
                    self.compare(n, value.as_deref());
                }
                self.check(store.contains_key(key(n)));
            }
            Operation::Iterate => {
                let entries = iterate(&store, self.harm);
                assert!(self.harm != Harm::None || entries == self.content.len() as u64);
            }
            Operation::WriteWhileIterating { key, every } => self.write_while_iterating(&store, key, every),
            Operation::Clear => {
                if self.check(store.clear()).is_some() {
                    self.content.clear();
                    self.synced = self.session.immediate.is_on();
                }
            }
            Operation::Sync => self.synced |= self.check(store.sync()).is_some(),
            Operation::Checkpoint => drop(self.check(store.checkpoint())),
            Operation::Reports => reports(&store, self.harm),
            Operation::Reopen => {
                self.synced |= self.check(store.close()).is_some();
                return self.open();
            }
            Operation::Kill => return self.crash(store, 0, Crash::Kill),
            Operation::PowerCut { seed } => return self.crash(store, seed.into(), Crash::Power),
            Operation::Room { room } => self.set_room(room),
        }
        Some(store)
    }

    fn insert(&mut self, store: &Store, n: u16, stamp: Stamp) {
        let n = n % KEYS;
        if let Some(previous) = self.check(store.insert(key(n), stamp.value_of(n))) {
            self.compare(n, previous.as_deref());
            self.content.insert(n, stamp);
            self.synced = self.session.immediate.is_on();
        }
    }

    /// And removes every fifth of them, which may be there twice.
    fn insert_together(&mut self, store: &Store, numbers: impl Iterator<Item = u16>, stamp: Stamp) {
        let (mut batch, mut content) = (Batch::new(), self.content.clone());
        for n in numbers {
            if n.is_multiple_of(5) {
                batch.remove(key(n));
                content.remove(&n);
            } else {
                batch.put(key(n), stamp.value_of(n));
                content.insert(n, stamp);
            }
        }
        if self.check(store.apply(&batch)).is_some() && !batch.is_empty() {
            self.content = content;
            self.synced = self.session.immediate.is_on();
        }
    }

    fn remove(&mut self, store: &Store, n: u16) {
        let n = n % KEYS;
        if let Some(previous) = self.check(store.remove(key(n))) {
            self.compare(n, previous.as_deref());
            if previous.is_some() {
                self.content.remove(&n);
                self.synced = self.session.immediate.is_on();
            }
        }
    }

    /// What the store had for a key before this operation.
    fn compare(&self, n: u16, value: Option<&[u8]>) {
        let stamp = value.map(|value| stamp_of(n, value, self.harm));
        if self.harm == Harm::None {
            assert_eq!(stamp, self.content.get(&n).copied(), "key {n}");
        }
    }

    fn write_while_iterating(&mut self, store: &Store, n: u16, every: u8) {
        let writes = store.iter().enumerate().step_by(usize::from(every) + 1).take(64);
        for (turn, entry) in writes {
            self.check(entry);
            let turn = turn as u16;
            if turn.is_multiple_of(3) {
                self.remove(store, n.wrapping_add(turn));
            } else {
                self.insert(store, n.wrapping_add(turn), Stamp::new(turn, 40));
            }
        }
    }

    fn crash(&mut self, store: Store, seed: u64, crash: Crash) -> Option<Store> {
        let after = self.disk.crash(seed, crash);
        after.write_back_one_in(0);
        self.disk.set_capacity(1 << 30);
        drop(store);
        self.disk = after;
        if crash == Crash::Power && !self.synced && self.harm == Harm::None {
            // Any prefix of the operations may be left; the crash tests see to which.
            self.harm = Harm::Damage;
        }
        self.open()
    }
}

impl Len {
    fn bytes(&self) -> u32 {
        match *self {
            Len::Short(len) => len.into(),
            Len::Long(len) => len.into(),
            Len::Large(more) => 65_536 + u32::from(more) % 14_000,
        }
    }
}

fn numbers(from: u16, count: u8, step: u8) -> impl Iterator<Item = u16> {
    (0..u16::from(count % 96)).map(move |n| from.wrapping_add(n.wrapping_mul(u16::from(step) + 1)) % KEYS)
}

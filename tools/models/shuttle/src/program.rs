//! One writer and two readers on one table, and what must hold of what they saw.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;

use crate::entries::Entries;
use crate::history::{Action, History, Operation, is_linearizable};
use crate::memory::{ModelHost, ModelPages, WRITING};
use crate::seam::Arrays as _;
use crate::table::{Array, Counters, Geometry, Growth, Host as _, LoadFactor, Table, Trigger};

/// Keys below this one are never removed; the writer replaces their values, and may clear the table.
const STAYING: u8 = 4;
const KEYS: u8 = 20;
const WRITES: usize = 10;
const READS: usize = 8;

/// What the writer did in all schedules: growths begun, ended, clears.
static TALLY: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

pub fn tally() -> String {
    let [begun, ended, clears] = [0, 1, 2].map(|i: usize| TALLY[i].load(Relaxed));
    format!("{begun} growths begun and {ended} ended beside readers, {clears} clears")
}

/// What was done to each key: by the writer, and by two readers.
#[derive(Default)]
struct Histories {
    keys: Mutex<HashMap<u8, History>>,
    time: AtomicU64,
}

impl Histories {
    fn now(&self) -> u64 {
        self.time.fetch_add(1, Relaxed)
    }

    fn note(&self, thread: usize, key: u8, begin: u64, action: Action) {
        let operation = Operation { begin, end: self.now(), action };
        let mut keys = self.keys.lock().unwrap();
        keys.entry(key).or_insert_with(|| vec![Vec::new(); 3])[thread].push(operation);
    }
}

struct Writer<E> {
    host: Arc<ModelHost>,
    entries: Arc<E>,
    table: Table<ModelPages>,
    values: HashMap<u8, u64>,
    last: u64,
}

impl<E: Entries> Writer<E> {
    fn new() -> Self {
        let host = Arc::new(ModelHost::of(E::SHAPE));
        let main = host.reserve(Array::<ModelPages>::main_bytes(E::SHAPE, 0)).unwrap();
        let geometry = Geometry { array: Arc::new(Array::new(E::SHAPE, 0, main)), old: None, clears: 0 };
        let counters = Counters { next_overflow: 1, ..Counters::default() };
        let table = Table::from_parts(geometry, counters, LoadFactor::default()).unwrap();
        host.publish(table.geometry());
        Writer { host, entries: Arc::default(), table, values: HashMap::new(), last: 0 }
    }

    /// Returns the new value and the one before.
    fn put(&mut self, key: u8) -> (u64, Option<u64>) {
        self.last += 1;
        let entry = (key, self.last);
        self.tally(|writer| writer.entries.put(&*writer.host, &mut writer.table, entry, Trigger::Live));
        (self.last, self.values.insert(key, self.last))
    }

    fn remove(&mut self, key: u8) -> Option<u64> {
        let before = self.values.remove(&key)?;
        self.tally(|writer| writer.entries.remove(&*writer.host, &mut writer.table, key, Trigger::Live));
        Some(before)
    }

    /// Counts the growths that a change begins and ends.
    fn tally(&mut self, change: impl FnOnce(&mut Self) -> Option<Growth>) {
        let grew = self.table.growing();
        TALLY[0].fetch_add(u64::from(change(self).is_some()), Relaxed);
        TALLY[1].fetch_add(u64::from(grew && !self.table.growing()), Relaxed);
    }

    fn clear(&mut self) {
        let plan = self.table.prepare_clear(&*self.host).unwrap();
        self.table.clear(&*self.host, plan);
        self.values.clear();
    }

    /// One random operation.
    fn step(&mut self, histories: &Histories) {
        let (begin, key) = (histories.now(), thread_rng().gen_range(0..KEYS));
        match thread_rng().gen_range(0..40) {
            0 => {
                TALLY[2].fetch_add(1, Relaxed);
                self.clear();
                self.host.finish();
                (0..KEYS).for_each(|key| histories.note(0, key, begin, Action::Clear));
            }
            1..10 if !self.table.growing() => {
                let kinds = [Growth::SameSize, Growth::Double, Growth::Shrink];
                let smallest = self.table.geometry().array.b() == 0;
                let growth = kinds[thread_rng().gen_range(0..if smallest { 2 } else { 3 })];
                TALLY[0].fetch_add(1, Relaxed);
                self.table.replay_growth(&*self.host, growth).unwrap();
                self.host.finish();
            }
            10..20 if key >= STAYING => {
                let before = self.remove(key);
                self.host.finish();
                histories.note(0, key, begin, Action::Remove(before));
            }
            _ => {
                let (value, before) = self.put(key);
                self.host.finish();
                histories.note(0, key, begin, Action::Put(value, before));
            }
        }
    }
}

/// One execution.
pub fn run<E: Entries>() {
    WRITING.with(|writing| writing.set(true));
    let mut writer = Writer::<E>::new();
    let filled = thread_rng().gen_range(STAYING..KEYS);
    for key in 0..filled {
        writer.put(key);
    }
    let initial = writer.values.clone();
    writer.host.begin();
    let histories = Arc::new(Histories::default());
    let reader = |read: fn(&Reader<E>) -> Option<Walked>| {
        let (host, entries) = (Arc::clone(&writer.host), Arc::clone(&writer.entries));
        let reader = Reader { host, entries, histories: Arc::clone(&histories) };
        thread::spawn(move || read(&reader))
    };
    let readers = [reader(Reader::get_some), reader(Reader::walk)];
    for _ in 0..WRITES {
        writer.step(&histories);
    }
    let walked = readers.into_iter().filter_map(|reader| reader.join().unwrap()).next();
    let keys = histories.keys.lock().unwrap();
    for (key, history) in &*keys {
        let initial = initial.get(key).copied();
        assert!(is_linearizable(history, initial), "key {key}, {initial:?} at first: {history:#?}");
    }
    walked.expect("the second reader walks").check(&keys);
}

struct Reader<E> {
    host: Arc<ModelHost>,
    entries: Arc<E>,
    histories: Arc<Histories>,
}

impl<E: Entries> Reader<E> {
    fn get_some(&self) -> Option<Walked> {
        self.look(1, READS);
        None
    }

    /// Looks keys up, some of them twice in a row.
    fn look(&self, thread: usize, times: usize) {
        let mut key = 0;
        for _ in 0..times {
            if thread_rng().gen_range(0..3) > 0 {
                key = thread_rng().gen_range(0..KEYS);
            }
            let begin = self.histories.now();
            let value = self.entries.look_up(|| self.host.published(), key);
            self.histories.note(thread, key, begin, Action::Get(value));
        }
    }

    /// Iterates, then looks some keys up.
    fn walk(&self) -> Option<Walked> {
        let begin = self.histories.now();
        let mut times = [0; KEYS as usize];
        for (key, _) in self.entries.walk(|| self.host.published(), thread_rng().r#gen()) {
            times[usize::from(key)] += 1;
        }
        let end = self.histories.now();
        self.look(2, 2);
        Some(Walked { begin, end, times })
    }
}

/// An iteration: from when to when, and how often each key appeared.
struct Walked {
    begin: u64,
    end: u64,
    times: [u32; KEYS as usize],
}

impl Walked {
    /// What was present throughout appeared exactly once; nothing appeared twice, unless it was another entry by then
    /// (C7).
    fn check(&self, keys: &HashMap<u8, History>) {
        for (key, times) in (0..KEYS).zip(self.times) {
            let writes = keys.get(&key).map_or(&[][..], |history| &history[0]);
            let during = || writes.iter().filter(|write| write.end > self.begin && write.begin < self.end);
            let gone = |write: &Operation| matches!(write.action, Action::Clear | Action::Remove(Some(_)));
            if !during().any(gone) {
                assert!(times <= 1, "key {key} appeared {times} times");
            }
            let cleared = writes.iter().any(|write| write.action == Action::Clear && write.begin < self.end);
            if key < STAYING && !cleared {
                assert_eq!(times, 1, "key {key} was there throughout");
            }
        }
    }
}

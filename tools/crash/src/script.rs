//! The main trace: everything that a store does in its life, in small.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tophash::report::WhichArray;
use tophash::sim::SimDisk;

use crate::content::{Key, Payload};
use crate::life::Op;
use crate::program::{PATH, Setup, Step};
use crate::subject::{Form, Subject};

/// Bytes of an ordinary value; records of these are all of one size.
pub const ORDINARY: usize = 26;

/// Keys of which the low five bits of the hash are the same, for each of the 32 values.
type Groups = BTreeMap<u64, Vec<Key>>;

/// The groups of this form's keys.
fn groups(form: Form) -> Arc<Groups> {
    static GROUPS: LazyLock<Mutex<BTreeMap<Form, Arc<Groups>>>> = LazyLock::new(Mutex::default);
    let mut known = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(known.entry(form).or_insert_with(|| Arc::new(new_groups(form))))
}

fn new_groups(form: Form) -> Groups {
    let options = Setup::ORDINARY.options(&SimDisk::new(0)).capacity(30_000);
    let store = Subject::open(options, Path::new(PATH), form).expect("a scratch store");
    for n in 0..8000 {
        store.insert(&form.key(format!("k{n:05}")), form.payload(n, 0)).expect("a scratch store");
    }
    let mut groups = Groups::new();
    for bucket in store.buckets(WhichArray::Current) {
        let bucket = bucket.expect("a scratch store");
        let keys = bucket.chain.iter().flat_map(|link| &link.cells).filter_map(|cell| cell.key.clone());
        groups.entry(bucket.index % 32).or_default().extend(keys);
    }
    groups.values_mut().for_each(|keys| keys.sort());
    groups
}

/// Writes scripts for stores of one form.
pub struct Script {
    form: Form,
    groups: Arc<Groups>,
    steps: Vec<Step>,
    next_id: u64,
    /// How many keys of each group were taken.
    taken: BTreeMap<u64, usize>,
}

impl Script {
    /// One for stores of this form.
    pub fn new(form: Form) -> Self {
        Script { form, groups: groups(form), steps: Vec::new(), next_id: 0, taken: BTreeMap::new() }
    }

    /// The form of the stores that it is for.
    pub fn form(&self) -> Form {
        self.form
    }

    /// A key that was never used, in the bucket with this number of a table of 32 buckets.
    pub fn key_in(&mut self, bucket: u64) -> Key {
        let taken = self.taken.entry(bucket).or_default();
        *taken += 1;
        self.groups[&bucket][*taken - 1].clone()
    }

    /// A key that was never used.
    pub fn key(&mut self) -> Key {
        self.key_in((self.next_id * 7) % 32)
    }

    /// A value that no other operation has.
    pub fn payload(&mut self, len: usize) -> Payload {
        self.next_id += 1;
        self.form.payload(self.next_id, len)
    }

    /// A value of so many bytes, or as many values as leave as much in the log.
    pub fn insert(&mut self, key: &Key, len: usize) {
        for _ in 0..self.form.writes_of(len) {
            let payload = self.payload(len);
            self.steps.push(Step::Do(Op::Insert(key.clone(), payload)));
        }
    }

    /// New keys with ordinary values; a sync after each `sync_every` of them.
    pub fn insert_new(&mut self, count: usize, sync_every: usize) -> Vec<Key> {
        let keys: Vec<Key> = (0..count)
            .map(|n| {
                let key = self.key();
                self.insert(&key, ORDINARY);
                if n % sync_every == sync_every - 1 {
                    self.sync();
                }
                key
            })
            .collect();
        keys
    }

    /// New keys whose buckets are the same in a table of `buckets` buckets.
    pub fn insert_into(&mut self, bucket: u64, buckets: u64, count: usize) -> Vec<Key> {
        let alike = 32 / buckets;
        (0..count as u64)
            .map(|n| {
                let key = self.key_in(bucket + n % alike * buckets);
                self.insert(&key, ORDINARY);
                key
            })
            .collect()
    }

    /// A large value that is replaced again and again, among small ones that stay: segments of the log are emptied, and
    /// what stays is moved out of others.
    pub fn churn(&mut self, rounds: usize) -> Vec<Key> {
        let large = self.key();
        let mut residents = Vec::new();
        for _ in 0..rounds {
            self.insert(&large, ROLLING);
            residents.extend(self.insert_new(1, 2));
        }
        residents
    }

    pub fn remove(&mut self, key: &Key) {
        self.steps.push(Step::Do(Op::Remove(key.clone())));
    }

    /// New keys and removals together.
    pub fn batch(&mut self, count: usize, len: usize, removed: &[Key]) -> Vec<Key> {
        let keys: Vec<_> = (0..count).map(|_| self.key()).collect();
        let removals = removed.iter().map(|key| Op::Remove(key.clone()));
        let ops = removals.chain(keys.iter().map(|key| Op::Insert(key.clone(), self.payload(len)))).collect();
        self.apply(ops);
        keys
    }

    /// These together.
    pub fn apply(&mut self, ops: Vec<Op>) {
        self.steps.push(Step::Do(Op::Batch(ops)));
    }

    pub fn clear(&mut self) {
        self.steps.push(Step::Do(Op::Clear));
    }

    pub fn sync(&mut self) {
        self.steps.push(Step::Sync);
    }

    pub fn checkpoint(&mut self) {
        self.steps.push(Step::Checkpoint);
    }

    pub fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub fn end(self) -> Vec<Step> {
        self.steps
    }
}

/// A whole life: growths of both kinds with checkpoints in their midst, overflow chunks, several segments, large
/// records, replacements, removals, a clear, clean and unclean ends of sessions.
pub fn whole_life(form: Form) -> Vec<Step> {
    let mut script = Script::new(form);

    // Growth to the same size, at B = 3: two chains one after the other leave many nearly empty overflow buckets.
    let residents = script.insert_new(6, 3);
    let first = script.insert_into(0, 8, 44);
    script.checkpoint();
    for (n, key) in first.iter().enumerate() {
        script.remove(key);
        if n % 16 == 15 {
            script.sync();
        }
    }
    let second = script.insert_into(1, 8, 27);
    script.checkpoint();
    script.insert_new(1, 2);
    script.checkpoint();
    script.insert(&residents[0], ORDINARY);
    script.remove(&second[3]);
    script.insert_new(4, 3);
    // All is synced, so that closing appends nothing.
    script.sync();
    script.push(Step::Reopen);

    // Doublings, B = 3 to 5, and a log of several segments with large records.
    let more = script.insert_new(40, 9);
    script.insert(&residents[1], 70_000);
    script.insert(&form.key(""), 0);
    for &key in [&more[0], &more[1], &residents[2], &more[2]].iter() {
        script.insert(key, 15_000);
        script.insert(key, 7);
    }
    script.sync();
    script.insert(&more[3], 20_000);
    script.insert_new(29, 10);
    script.checkpoint();
    script.insert_new(3, 2);
    script.checkpoint();
    script.insert(&form.key("k".repeat(300)), 40);
    script.insert_new(6, 4);
    script.push(Step::Kill);

    for key in &more[4..10] {
        script.insert(key, ORDINARY);
    }
    script.remove(&more[11]);
    script.sync();
    script.insert_new(10, 100);
    script.push(Step::PowerCut(1));

    script.insert_new(12, 5);
    script.checkpoint();
    script.clear();
    script.insert_new(5, 5);
    script.clear();
    script.insert_new(25, 8);
    script.push(Step::Reopen);

    // An overflow chunk at B = 5, then a doubling that retires it.
    script.insert_into(3, 32, 170);
    script.checkpoint();
    let last = script.insert_new(14, 5);
    script.checkpoint();
    script.insert_new(25, 9);
    last[..6].iter().for_each(|key| script.remove(key));
    script.checkpoint();
    script.insert_new(5, 9);

    // Segments of the log are emptied, moved out of, given back and begun again.
    script.churn(11);
    script.checkpoint();
    script.churn(4);
    script.sync();
    script.churn(3);
    script.push(Step::Compact);
    script.churn(4);
    // Batches: while a growth is under way, over several doublings, larger than a segment, with a clear.
    script.batch(3, ORDINARY, &last[6..8]);
    script.checkpoint();
    let many = script.batch(80, ORDINARY, &last[8..9]);
    script.sync();
    script.push(Step::Kill);
    script.batch(5, ROLLING, &many[..20]);
    let change = Op::Insert(many[30].clone(), script.payload(ORDINARY));
    script.apply(vec![change, Op::Remove(many[31].clone()), Op::Remove(form.key("never there"))]);
    script.push(Step::PowerCut(3));
    script.insert_new(3, 9);
    let fresh = Op::Insert(script.key(), script.payload(ORDINARY));
    script.apply(vec![Op::Clear, fresh]);
    script.batch(4, ORDINARY, &[]);
    script.end()
}

/// Bytes of values of which three fill a segment.
pub const ROLLING: usize = 20_000;

/// A few segments behind an unclean end, none of them synced.
pub fn rolling_log(form: Form) -> Vec<Step> {
    let mut script = Script::new(form);
    script.insert_new(1, 5);
    script.push(Step::Kill);
    for _ in 0..7 {
        let key = script.key();
        script.insert(&key, ROLLING);
    }
    script.end()
}

/// A small store with a doubling, a checkpoint in its midst, and clean and unclean ends.
pub fn short_life(form: Form) -> Vec<Step> {
    let mut script = Script::new(form);
    let keys = script.insert_new(10, 4);
    script.sync();
    script.push(Step::Reopen);
    script.insert_into(5, 8, 30);
    script.remove(&keys[1]);
    script.insert(&keys[2], ORDINARY);
    script.checkpoint();
    script.insert_new(14, 6);
    script.checkpoint();
    script.insert_new(2, 6);
    script.push(Step::Kill);
    script.insert_new(4, 3);
    script.checkpoint();
    script.insert(&keys[3], 3000);
    script.insert_new(3, 4);
    script.push(Step::PowerCut(1));
    script.insert_new(5, 3);
    script.clear();
    let few = script.insert_new(5, 4);
    script.push(Step::Reopen);
    script.batch(3, ORDINARY, &few[..2]);
    script.insert_new(3, 4);
    script.end()
}

/// A table that grows and shrinks, with checkpoints in the midst of both, and clean and unclean ends in a shrink.
pub fn shrinking_life(form: Form) -> Vec<Step> {
    let mut script = Script::new(form);
    let keys = script.insert_new(60, 20);
    script.checkpoint();
    // From 16 buckets to 8: twelve entries are less than an eighth of what 16 take.
    keys[..49].iter().for_each(|key| script.remove(key));
    script.checkpoint();
    script.remove(&keys[49]);
    script.sync();
    script.insert(&keys[59], ORDINARY);
    script.push(Step::Kill);
    script.remove(&keys[50]);
    script.checkpoint();
    // And on to four and to two, one after the other.
    keys[51..54].iter().for_each(|key| script.remove(key));
    script.checkpoint();
    script.remove(&keys[54]);
    script.push(Step::Reopen);
    keys[55..58].iter().for_each(|key| script.remove(key));
    script.sync();
    let more = script.insert_new(30, 9);
    more[..27].iter().for_each(|key| script.remove(key));
    script.push(Step::PowerCut(1));
    let last = script.insert_new(20, 7);
    script.sync();
    last[..18].iter().for_each(|key| script.remove(key));
    script.checkpoint();
    script.insert_new(3, 2);
    script.end()
}

/// The least that has a clean end and an unclean one, with a fresh segment behind it.
pub fn tiny_life(form: Form) -> Vec<Step> {
    let mut script = Script::new(form);
    script.insert_new(2, 2);
    script.push(Step::Reopen);
    script.insert_new(1, 5);
    script.push(Step::Kill);
    script.insert_new(3, 5);
    script.end()
}

/// A life without crashes of its own: growths, checkpoints in their midst, several segments, clean ends.
pub fn unlucky_life(form: Form) -> Vec<Step> {
    let mut script = Script::new(form);
    let keys = script.insert_new(8, 5);
    script.insert_into(2, 8, 30);
    script.checkpoint();
    script.remove(&keys[1]);
    script.insert(&keys[2], 60_000);
    script.insert(&keys[3], 30_000);
    script.insert_new(14, 9);
    script.checkpoint();
    script.insert_new(3, 5);
    script.sync();
    script.push(Step::Reopen);
    script.insert_new(6, 5);
    script.insert(&keys[4], 70_000);
    script.checkpoint();
    script.clear();
    script.insert_new(6, 4);
    script.checkpoint();
    script.batch(60, ORDINARY, &keys[..2]);
    script.batch(2, 40_000, &[]);
    script.insert_new(3, 4);
    script.end()
}

/// A life of more than two thousand calls: everything of the others, again and again, with writes beside syncs and
/// checkpoints, and no crashes.
pub fn long_life(form: Form) -> Vec<Step> {
    let mut script = Script::new(form);
    let mut residents = script.insert_new(8, 3);
    for round in 0..52 {
        let keys = script.insert_new(7, 3);
        script.remove(&residents[round]);
        script.insert(&keys[0], if round % 3 == 0 { ROLLING } else { 500 });
        script.sync();
        let ops = (0..5).map(|_| Op::Insert(script.key(), script.payload(ORDINARY))).collect();
        script.push(if round % 4 == 0 { Step::SyncBeside(ops) } else { Step::CheckpointBeside(ops) });
        for key in &keys[1..3] {
            script.insert(key, ORDINARY);
        }
        residents.extend(keys);
        match round % 17 {
            3 => script.insert(&residents[2], 70_000),
            5 => {
                let chain = script.insert_into(1, 8, 30);
                script.checkpoint();
                chain.iter().for_each(|key| script.remove(key));
            }
            9 => script.clear(),
            _ => {}
        }
        match round % 3 {
            0 => script.push(Step::Reopen),
            1 => script.checkpoint(),
            _ => script.sync(),
        }
    }
    script.end()
}

//! What a program does because a seed says so.

use crate::content::{Key, mix};
use crate::life::Op;
use crate::program::{Setup, Step};
use crate::script::{ORDINARY, ROLLING, Script};
use crate::subject::Form;

/// Numbers that follow from a seed.
pub struct Dice(u64);

impl Dice {
    /// The dice of this seed.
    pub fn new(seed: u64) -> Self {
        Dice(mix(seed))
    }

    /// A number below `bound`, which is more than 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % bound
    }

    /// A number in `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        if from.is_empty() { None } else { from.get(self.below(from.len() as u64) as usize) }
    }
}

/// A program that a seed made up.
#[derive(Clone, Debug)]
pub struct Workload {
    /// How it opens its store.
    pub setup: Setup,
    /// What it does.
    pub script: Vec<Step>,
}

/// Which steps a workload may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    /// Sessions end by a close, a kill or a power cut.
    Any,
    /// They end by a close.
    Clean,
}

impl Workload {
    /// The workload of this seed, of about so many steps, for a store of this form.
    pub fn random(seed: u64, form: Form, steps: u64, ends: Ends) -> Self {
        let mut dice = Dice::new(seed);
        let setup = match dice.below(10) {
            0 => Setup::IMMEDIATE,
            1 => Setup::CRAMPED,
            2 => Setup::ROOMY,
            3 => Setup::TIGHT,
            _ => Setup { capacity: [0, 8, 30, 100][dice.below(4) as usize], ..Setup::ORDINARY },
        };
        Self::with_setup(setup.with(form), dice, steps, ends)
    }

    /// One with this setup.
    pub fn with_setup(setup: Setup, dice: Dice, steps: u64, ends: Ends) -> Self {
        let mut writer = Writer { dice, setup, ends, script: Script::new(setup.form), keys: Vec::new() };
        writer.insert_new();
        (0..steps).for_each(|_| writer.step());
        Workload { setup, script: writer.script.end() }
    }
}

/// A few sessions that end before they sync, with records of one size.
pub fn rolling(dice: &mut Dice, form: Form, value_bytes: usize) -> Vec<Step> {
    let mut script = Script::new(form);
    for session in 0..dice.between(1, 3) {
        if session > 0 {
            script.push(match dice.below(4) {
                0 => Step::Kill,
                1 => Step::PowerCut(dice.below(1 << 40)),
                _ => Step::Reopen,
            });
        }
        // So many large ones that the log rolls on, perhaps twice.
        let inserts = if value_bytes == ROLLING { dice.between(5, 9) } else { dice.between(1, 8) };
        for _ in 0..inserts {
            let key = script.key();
            script.insert(&key, value_bytes);
            if dice.one_in(16) {
                script.sync();
            }
        }
    }
    script.end()
}

struct Writer {
    dice: Dice,
    setup: Setup,
    ends: Ends,
    script: Script,
    /// Keys that were inserted at some time.
    keys: Vec<Key>,
}

impl Writer {
    fn step(&mut self) {
        match self.dice.below(46) {
            0..=8 => self.insert_new(),
            9..=13 => self.replace(),
            14..=17 => self.remove(),
            18..=20 => self.insert_large(),
            21 if self.dice.one_in(2) => self.fill_and_empty_a_chain(),
            21 => self.empty(),
            22..=24 => self.script.sync(),
            25 => self.script.push(Step::CloseHandle),
            26..=27 => self.script.checkpoint(),
            28 if self.dice.one_in(2) => self.script.push(Step::Compact),
            28 => self.script.push(Step::Snapshot),
            29 if self.dice.one_in(3) => self.script.push(Step::BackUp),
            29 => self.script.push(Step::Look),
            30..=33 => self.write_beside(),
            34 if self.dice.one_in(3) => self.script.clear(),
            35..=37 => self.end_session(),
            38 => self.churn(),
            39..=42 => self.apply_batch(),
            _ => self.insert_new(),
        }
    }

    fn insert_new(&mut self) {
        let (count, sync_every) = (self.dice.between(1, 14), self.dice.between(2, 9));
        let keys = self.script.insert_new(count as usize, sync_every as usize);
        self.keys.extend(keys);
    }

    fn known_key(&mut self) -> Key {
        self.dice.pick(&self.keys).cloned().unwrap_or_else(|| self.script.form().key(""))
    }

    fn replace(&mut self) {
        for _ in 0..self.dice.between(1, 5) {
            let (key, len) = (self.known_key(), if self.dice.one_in(6) { 0 } else { ORDINARY });
            self.script.insert(&key, len);
        }
    }

    /// Some of the keys were removed before: removing an absent key must change nothing.
    fn remove(&mut self) {
        for _ in 0..self.dice.between(1, 5) {
            let key = self.known_key();
            self.script.remove(&key);
        }
    }

    /// Nearly everything goes, and the table shrinks.
    fn empty(&mut self) {
        let left = self.dice.below(6) as usize;
        let removed = self.keys.len().saturating_sub(left);
        let keys: Vec<Key> = self.keys.drain(..removed).collect();
        for key in keys {
            self.script.remove(&key);
            if self.dice.one_in(12) {
                self.script.checkpoint();
            }
        }
    }

    /// Together: of any size, so that some start a growth and some end it, or a few while one is under way.
    fn apply_batch(&mut self) {
        let (count, clears) = (1 << self.dice.below(7), self.dice.one_in(12));
        let mut ops: Vec<_> = if clears { vec![Op::Clear] } else { Vec::new() };
        ops.extend((0..self.dice.between(1, count)).map(|_| self.op_beside()));
        if self.dice.one_in(6) {
            ops.push(Op::Insert(self.known_key(), self.script.payload(ROLLING)));
        }
        self.script.apply(ops);
    }

    /// Values of which a few fill a log segment, or that need one of their own.
    fn insert_large(&mut self) {
        for _ in 0..self.dice.between(1, 3) {
            let len = match self.dice.below(4) {
                0 => 70_000,
                1 => self.dice.between(300, 9000) as usize,
                _ => ROLLING,
            };
            let key = if self.dice.one_in(2) { self.known_key() } else { self.script.key() };
            self.script.insert(&key, len);
            self.keys.push(key);
        }
    }

    /// Empties segments of the log.
    fn churn(&mut self) {
        let rounds = self.dice.between(2, 10) as usize;
        let keys = self.script.churn(rounds);
        self.keys.extend(keys);
        if self.dice.one_in(2) {
            self.script.checkpoint();
        }
    }

    /// Many overflow buckets and few entries: what a growth to the same size is for.
    fn fill_and_empty_a_chain(&mut self) {
        let bucket = self.dice.below(8);
        let keys = self.script.insert_into(bucket, 8, self.dice.between(20, 44) as usize);
        if self.dice.one_in(2) {
            self.script.checkpoint();
        }
        keys.iter().for_each(|key| self.script.remove(key));
    }

    /// A checkpoint or a sync while another thread writes. Not where that thread would have to wait for it.
    fn write_beside(&mut self) {
        match (self.setup.immediate, self.setup.index_memory_limit) {
            (true, _) => return self.script.checkpoint(),
            (false, Some(bytes)) => return self.write_beside_in_little_memory(bytes),
            (false, None) => {}
        }
        // The session has begun then, and has its segment.
        self.insert_new();
        if self.dice.one_in(3) {
            let ops = (0..self.dice.between(1, 2)).map(|_| self.op_beside()).collect();
            self.script.push(Step::SyncBeside(ops));
            // What came beside is not durable until it is synced in its turn.
            return if self.dice.one_in(2) {
                self.script.sync()
            };
        }
        let ops = (0..self.dice.between(4, 40)).map(|_| self.op_beside()).collect();
        self.script.push(Step::CheckpointBeside(ops));
    }

    /// A write in a growth makes up to eight pages dirty; from half of the memory on, it checkpoints itself.
    fn write_beside_in_little_memory(&mut self, bytes: u64) {
        self.script.checkpoint();
        if bytes / 2 >= 8 * 4096 {
            let keys = self.script.insert_new(1, 2);
            self.keys.extend(keys);
            let op = self.op_beside();
            self.script.push(Step::CheckpointBeside(vec![op]));
        }
    }

    fn op_beside(&mut self) -> Op {
        match self.dice.below(4) {
            0 => Op::Remove(self.known_key()),
            1 => Op::Insert(self.known_key(), self.script.payload(ORDINARY)),
            _ => {
                let key = self.script.key();
                self.keys.push(key.clone());
                Op::Insert(key, self.script.payload(ORDINARY))
            }
        }
    }

    fn end_session(&mut self) {
        let step = match (self.ends, self.dice.below(3)) {
            (Ends::Clean, _) | (_, 0) => Step::Reopen,
            (_, 1) => Step::Kill,
            _ => Step::PowerCut(self.dice.below(1 << 40)),
        };
        self.script.push(step);
        // The first append of a session is a moment of its own.
        if self.dice.one_in(2) {
            self.insert_new();
        }
    }
}

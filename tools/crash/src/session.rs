//! What a process does with a store because a seed says so: the child does it, its parent knows it.

use std::time::Duration;

use tophash::{Durability, Options};

use crate::content::{Key, Payload, mix_all};
use crate::life::Op;
use crate::subject::Form;
use crate::workload::Dice;

/// One step of a session.
#[derive(Clone, Debug)]
pub enum Step {
    Op(Op),
    Sync,
    Checkpoint,
}

/// What a session does most.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// Inserts new keys, so that the table doubles again and again.
    Fill,
    /// Inserts and removes as much, which leaves overflow buckets with few entries.
    Churn,
    /// Replaces what is there.
    Replace,
    /// Removes what earlier sessions left, so that the table is halved again and again.
    Empty,
}

/// A session of a store: how it is opened, and its steps, which do not end by themselves.
#[derive(Clone, Debug)]
pub struct Session {
    seed: u64,
    form: Form,
    number: u64,
    durability: Durability,
    background: bool,
    checkpoint_bytes: Option<u64>,
    habit: Habit,
    /// One step in so many is a sync; 0 for none.
    syncs: u64,
    /// The same for checkpoints.
    checkpoints: u64,
    /// It closes the store after so many operations.
    closes_after: Option<u64>,
}

impl Session {
    /// Session number `number` of the store that this seed is about.
    pub fn new(seed: u64, form: Form, number: u64) -> Self {
        let mut dice = Dice::new(mix_all(&[seed, number, 1]));
        let durability = match dice.below(8) {
            0 => Durability::Immediate,
            1 | 2 => Durability::Buffered,
            3 => Durability::default(),
            _ => Durability::Interval(Duration::from_millis(dice.between(1, 30))),
        };
        Session {
            seed,
            form,
            number,
            durability,
            background: dice.below(4) > 0,
            checkpoint_bytes: [None, None, Some(20_000), Some(200_000)][dice.below(4) as usize],
            habit: [Habit::Fill, Habit::Fill, Habit::Churn, Habit::Replace, Habit::Empty]
                [dice.below(5) as usize],
            syncs: [0, 4000, 600, 60][dice.below(4) as usize],
            checkpoints: [0, 0, 5000, 700][dice.below(4) as usize],
            closes_after: dice.one_in(6).then(|| below_a_power_of_two(&mut dice, 12)),
        }
    }

    /// How the store is opened.
    pub fn options(&self) -> Options {
        let mut dice = Dice::new(self.seed);
        let options = Options::new()
            .seed(self.seed)
            .capacity([0, 0, 100, 3000][dice.below(4) as usize])
            .durability(self.durability)
            .background(self.background);
        match self.checkpoint_bytes {
            Some(bytes) => options.checkpoint_bytes(bytes),
            None => options,
        }
    }

    /// Short keys of several lengths, and long ones every so often; where all have the same, of that one.
    fn key(&self, session: u64, nth: u64) -> Key {
        let mut name = format!("{session}.{nth}").into_bytes();
        let len = if nth % 101 == 7 { 300 } else { name.len() as u64 + nth % 9 };
        name.resize(len as usize, b'-');
        self.form.key(name)
    }

    /// Whether every acknowledged operation is durable.
    pub fn is_immediate(&self) -> bool {
        self.durability == Durability::Immediate
    }

    /// Whether it ends by closing the store, if nothing ends it before.
    pub fn closes(&self) -> bool {
        self.closes_after.is_some()
    }

    /// What it does; ends where the store is closed.
    pub fn steps(&self) -> impl Iterator<Item = Step> {
        let dice = Dice::new(mix_all(&[self.seed, self.number, 2]));
        let mut steps = Steps { session: self, dice, inserted: 0, payloads: 0 };
        let mut left = self.closes_after.unwrap_or(u64::MAX);
        std::iter::from_fn(move || {
            let step = (left > 0).then(|| steps.next())?;
            left -= u64::from(matches!(step, Step::Op(_)));
            Some(step)
        })
    }

    /// The operations among them.
    pub fn ops(&self) -> impl Iterator<Item = Op> {
        self.steps().filter_map(|step| match step {
            Step::Op(op) => Some(op),
            Step::Sync | Step::Checkpoint => None,
        })
    }
}

/// A number from 1 on, of any size up to 2 to the `bits`.
pub fn below_a_power_of_two(dice: &mut Dice, bits: u64) -> u64 {
    let bits = dice.between(0, bits);
    dice.between(1, 1 << bits)
}

struct Steps<'s> {
    session: &'s Session,
    dice: Dice,
    /// New keys so far.
    inserted: u64,
    payloads: u64,
}

impl Steps<'_> {
    fn next(&mut self) -> Step {
        let Session { syncs, checkpoints, .. } = *self.session;
        if syncs > 0 && self.dice.one_in(syncs) {
            return Step::Sync;
        }
        if checkpoints > 0 && self.dice.one_in(checkpoints) {
            return Step::Checkpoint;
        }
        if self.dice.one_in(20_000) {
            return Step::Op(Op::Clear);
        }
        if self.dice.one_in(100) {
            let count = below_a_power_of_two(&mut self.dice, 9);
            return Step::Op(Op::Batch((0..count).map(|_| self.write()).collect()));
        }
        Step::Op(self.write())
    }

    /// A write to one key.
    fn write(&mut self) -> Op {
        let Session { habit, .. } = *self.session;
        let (new, replaced) = match habit {
            Habit::Fill => (13, 1),
            Habit::Churn => (7, 2),
            Habit::Replace => (2, 11),
            Habit::Empty => (0, 1),
        };
        let step = self.dice.below(16);
        if step < new {
            self.inserted += 1;
            let key = self.session.key(self.session.number, self.inserted);
            Op::Insert(key, self.payload())
        } else if step < new + replaced {
            let key = self.known_key();
            Op::Insert(key, self.payload())
        } else {
            Op::Remove(self.known_key())
        }
    }

    fn payload(&mut self) -> Payload {
        self.payloads += 1;
        let len = match self.dice.below(2000) {
            0 => 70_000,
            1..30 => self.dice.between(300, 9000),
            _ => self.dice.below(100),
        };
        self.session.form.payload(1 << 48 | self.session.number << 32 | self.payloads, len as usize)
    }

    /// Most of these were inserted by this session or by one before it.
    fn known_key(&mut self) -> Key {
        let session = self.session.number - self.dice.below(4).min(self.session.number);
        let mine = session == self.session.number;
        let nth = below_a_power_of_two(&mut self.dice, 13);
        self.session.key(session, if mine { 1 + nth % self.inserted.max(1) } else { nth })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_what_a_session_does() {
        let steps = |seed, number| {
            let session = Session::new(seed, Form::Records, number);
            let steps: Vec<_> = session.steps().take(300).map(|step| format!("{step:?}")).collect();
            (format!("{session:?}"), steps)
        };
        assert_eq!(steps(1, 2), steps(1, 2));
        assert_ne!(steps(1, 2).1, steps(1, 3).1);
        assert_ne!(steps(1, 2).1, steps(2, 2).1);
    }

    #[test]
    fn a_session_that_closes_ends() {
        let closing: Vec<_> =
            (0..100).map(|number| Session::new(5, Form::Words, number)).filter(Session::closes).collect();
        assert!(closing.len() > 5);
        for session in closing {
            assert_eq!(session.ops().count() as u64, session.closes_after.unwrap());
        }
    }
}

//! Fills a small disk, and empties the store on it (D9).

use tophash::Error;
use tophash::sim::{Crash, SimDisk};

use crate::illness::ROOMY;
use crate::image::{Expected, goes_on, judge, judge_read_only, judge_store};
use crate::life::{Life, Op};
use crate::program::Setup;
use crate::subject::{Form, Subject};

/// How a full store is emptied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Emptying {
    /// Every entry is removed.
    Remove,
    /// All at once.
    Clear,
}

/// A disk to fill.
#[derive(Clone, Copy, Debug)]
pub struct Filling {
    /// The form of the store that fills it.
    pub form: Form,
    /// What the disk does by chance.
    pub disk_seed: u64,
    /// Its room.
    pub bytes: u64,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// A sync after so many insertions.
    pub sync_one_in: u64,
    /// A checkpoint after so many.
    pub checkpoint_one_in: u64,
    /// What is done when it is full.
    pub emptying: Emptying,
}

/// What became of a full store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Emptied {
    /// Entries when the disk was full.
    pub stored: usize,
    /// Removals that succeeded.
    pub removed: usize,
    /// Of these, after removals were refused and a checkpoint came to their help.
    pub helped: usize,
    /// The store was checkpointed when it was empty, with no more room than before.
    pub checkpointed: bool,
    /// Entries that it took after that.
    pub taken_again: usize,
}

impl Filling {
    /// Fills the disk, empties the store, and goes on when there is room.
    pub fn run(&self) -> Result<Emptied, String> {
        let disk = SimDisk::with_capacity(self.disk_seed, self.bytes);
        let store =
            Setup::ORDINARY.with(self.form).open(&disk).map_err(|error| format!("opening: {error}"))?;
        let mut life = Life::new(self.form);
        let stored = self.fill(&store, &mut life)?;
        show(&store, &life)?;
        store.sync().map_err(|error| format!("what is there can be synced: {error}"))?;
        look_at_crashes(&disk, &life)?;
        let mut emptied = Emptied { stored, ..Emptied::default() };
        match self.emptying {
            Emptying::Clear => {
                store.clear().map_err(|error| format!("clearing a full store: {error}"))?;
                life.push(Op::Clear);
            }
            Emptying::Remove => remove_all(&store, &mut life, &mut emptied)?,
        }
        show(&store, &life)?;
        store.sync().map_err(|error| format!("syncing a full disk: {error}"))?;
        emptied.checkpointed = store.checkpoint().is_ok();
        look_at_crashes(&disk, &life)?;
        emptied.taken_again = self.fill(&store, &mut life)?;
        disk.set_capacity(ROOMY);
        let payload = self.form.payload(1 << 40, self.value_bytes);
        let op = Op::Insert(self.form.key("there is room"), payload);
        op.run(&store).map_err(|error| format!("with room: {error}"))?;
        life.push(op);
        store.checkpoint().map_err(|error| format!("checkpoint with room: {error}"))?;
        goes_on(&disk, store, &life, life.len())?;
        Ok(emptied)
    }

    /// Inserts until there is no room; returns how much was inserted.
    fn fill(&self, store: &Subject, life: &mut Life) -> Result<usize, String> {
        let first = life.len() as u64;
        for n in first.. {
            let payload = self.form.payload(n, self.value_bytes);
            let op = Op::Insert(self.form.key(format!("k{n:05}")), payload);
            match op.run(store) {
                Ok(()) => life.push(op),
                Err(Error::NoSpace { .. }) => return Ok((n - first) as usize),
                Err(error) => return Err(format!("not the error to expect: {error:?}")),
            }
            if n % self.sync_one_in == 0 {
                store.sync().map_err(|error| format!("syncing: {error}"))?;
            }
            if n % self.checkpoint_one_in == 0 {
                expect_no_space(store.checkpoint())?;
            }
        }
        Ok(0)
    }
}

/// Removes every entry; where a removal finds no room, a checkpoint may find some.
fn remove_all(store: &Subject, life: &mut Life, emptied: &mut Emptied) -> Result<(), String> {
    let keys: Vec<_> = life.content_after(life.len()).keys().cloned().collect();
    for key in keys {
        let op = Op::Remove(key);
        match op.run(store) {
            Ok(()) => {}
            Err(Error::NoSpace { .. }) => {
                expect_no_space(store.checkpoint())?;
                match op.run(store) {
                    Ok(()) => emptied.helped += 1,
                    Err(Error::NoSpace { .. }) => return Ok(()),
                    Err(error) => return Err(format!("removing: {error:?}")),
                }
            }
            Err(error) => return Err(format!("removing: {error:?}")),
        }
        emptied.removed += 1;
        life.push(op);
    }
    Ok(())
}

fn expect_no_space(done: tophash::Result<()>) -> Result<(), String> {
    match done {
        Ok(()) | Err(Error::NoSpace { .. }) => Ok(()),
        Err(error) => Err(format!("a full disk, but {error:?}")),
    }
}

fn show(store: &Subject, life: &Life) -> Result<(), String> {
    judge_store(store, Expected { life, least: life.len(), most: life.len() }).map(drop)
}

/// What a crash leaves on a full disk can be read and opened there. All is synced.
fn look_at_crashes(disk: &SimDisk, life: &Life) -> Result<(), String> {
    for kind in [Crash::Power, Crash::Kill] {
        let expected = Expected { life, least: life.len(), most: life.len() };
        judge_read_only(&disk.crash(life.len() as u64, kind), expected)?;
        judge(&disk.crash(life.len() as u64, kind), expected)
            .map_err(|error| format!("{kind:?}: {error}"))?;
    }
    Ok(())
}

//! Stores of numbers under numbers, for the workload `ids`: typed ones as they are, those of bytes through [`Bytes`].

use std::cell::RefCell;

use anyhow::{Result, ensure};

use super::Engine;

/// A store of numbers under numbers, used by one thread.
pub trait Ids {
    /// One committed write, visible to readers when this returns.
    fn put(&self, id: u64, number: u64) -> Result<()>;

    fn get(&self, id: u64) -> Result<Option<u64>>;

    /// Adds to the number of an id that is there, in one write where the engine can.
    fn add(&self, id: u64, delta: i64) -> Result<()>;

    fn remove(&self, id: u64) -> Result<()>;

    /// Every entry, in the engine's order.
    fn iterate(&self, visit: &mut dyn FnMut(u64, u64)) -> Result<()>;

    /// What was written is on disk when this returns.
    fn sync(&self) -> Result<()>;

    fn close(self: Box<Self>) -> Result<()>;
}

/// An engine that keeps bytes. Ids have the byte order of this machine, which LMDB asks of integer keys; numbers are big-endian,
/// as those that tkrzw and Kyoto Cabinet can add to.
pub struct Bytes {
    engine: Box<dyn Engine>,
    value: RefCell<Vec<u8>>,
}

impl Bytes {
    pub fn new(engine: Box<dyn Engine>) -> Self {
        Bytes { engine, value: RefCell::default() }
    }
}

impl Ids for Bytes {
    fn put(&self, id: u64, number: u64) -> Result<()> {
        self.engine.put(&id.to_ne_bytes(), &number.to_be_bytes())
    }

    fn get(&self, id: u64) -> Result<Option<u64>> {
        let value = &mut *self.value.try_borrow_mut()?;
        if !self.engine.get(&id.to_ne_bytes(), value)? {
            return Ok(None);
        }
        Ok(Some(u64::from_be_bytes(value[..].try_into()?)))
    }

    fn add(&self, id: u64, delta: i64) -> Result<()> {
        self.engine.add(&id.to_ne_bytes(), delta, &mut *self.value.try_borrow_mut()?)
    }

    fn remove(&self, id: u64) -> Result<()> {
        self.engine.remove(&id.to_ne_bytes())
    }

    fn iterate(&self, visit: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let mut wrong = 0_u64;
        self.engine.iterate(&mut |id, number| match (id.try_into(), number.try_into()) {
            (Ok(id), Ok(number)) => visit(u64::from_ne_bytes(id), u64::from_be_bytes(number)),
            _ => wrong += 1,
        })?;
        ensure!(wrong == 0, "{wrong} entries are not of 8 bytes each");
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.engine.sync()
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.engine.close()
    }
}

/// The big-endian number that is `delta` more; `None` for bytes that are no number.
pub fn sum(number: &[u8], delta: i64) -> Option<[u8; 8]> {
    let number = u64::from_be_bytes(number.try_into().ok()?);
    Some(number.wrapping_add_signed(delta).to_be_bytes())
}

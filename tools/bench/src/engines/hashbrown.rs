//! The bound: the standard hash table in memory, with the store's hash.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher};
use std::sync::RwLock;

use anyhow::{Context, Result, anyhow};
use siphasher::sip::SipHasher13;

use super::ids::Ids;
use super::{Engine, copy_out};

type Entries = hashbrown::HashMap<Box<[u8]>, Box<[u8]>, Sip>;

/// For one thread: no lock.
pub fn alone() -> Map<RefCell<Entries>> {
    Map(RefCell::default())
}

/// For several threads.
pub fn locked() -> Map<RwLock<Entries>> {
    Map(RwLock::default())
}

pub struct Map<C>(C);

/// What gives access to the entries through a shared reference.
trait Access {
    fn read<T>(&self, work: impl FnOnce(&Entries) -> T) -> Result<T>;
    fn write<T>(&self, work: impl FnOnce(&mut Entries) -> T) -> Result<T>;
}

impl Access for RefCell<Entries> {
    fn read<T>(&self, work: impl FnOnce(&Entries) -> T) -> Result<T> {
        Ok(work(&*self.try_borrow()?))
    }

    fn write<T>(&self, work: impl FnOnce(&mut Entries) -> T) -> Result<T> {
        Ok(work(&mut *self.try_borrow_mut()?))
    }
}

impl Access for RwLock<Entries> {
    fn read<T>(&self, work: impl FnOnce(&Entries) -> T) -> Result<T> {
        Ok(work(&*RwLock::read(self).map_err(|_| anyhow!("another thread panicked"))?))
    }

    fn write<T>(&self, work: impl FnOnce(&mut Entries) -> T) -> Result<T> {
        Ok(work(&mut *RwLock::write(self).map_err(|_| anyhow!("another thread panicked"))?))
    }
}

/// Numbers as they are, for one thread.
#[derive(Default)]
pub struct Numbers(RefCell<hashbrown::HashMap<u64, u64, Sip>>);

impl Ids for Numbers {
    fn put(&self, id: u64, number: u64) -> Result<()> {
        self.0.try_borrow_mut()?.insert(id, number);
        Ok(())
    }

    fn get(&self, id: u64) -> Result<Option<u64>> {
        Ok(self.0.try_borrow()?.get(&id).copied())
    }

    fn add(&self, id: u64, delta: i64) -> Result<()> {
        let mut numbers = self.0.try_borrow_mut()?;
        let number = numbers.get_mut(&id).context("an id is missing")?;
        *number = number.wrapping_add_signed(delta);
        Ok(())
    }

    fn remove(&self, id: u64) -> Result<()> {
        self.0.try_borrow_mut()?.remove(&id);
        Ok(())
    }

    fn iterate(&self, visit: &mut dyn FnMut(u64, u64)) -> Result<()> {
        self.0.try_borrow()?.iter().for_each(|(id, number)| visit(*id, *number));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl<C: Access> Engine for Map<C> {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.write(|entries| drop(entries.insert(Box::from(key), Box::from(value))))
    }

    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        self.0.read(|entries| copy_out(value, entries.get(key)))
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        self.0.write(|entries| drop(entries.remove(key)))
    }

    fn iterate(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        self.0.read(|entries| entries.iter().for_each(|(key, value)| visit(key, value)))
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// SipHash-1-3 over the key's bytes alone, as the store hashes them.
#[derive(Clone, Default)]
pub struct Sip;

pub struct SipBytes(SipHasher13);

impl BuildHasher for Sip {
    type Hasher = SipBytes;

    fn build_hasher(&self) -> SipBytes {
        SipBytes(SipHasher13::new_with_key(&[1; 16]))
    }
}

impl Hasher for SipBytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    // The length that a slice hashes before its bytes is no part of the store's hash.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

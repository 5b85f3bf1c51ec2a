//! LMDB, by `heed`: one transaction a call.

use anyhow::{Context, Result};
use heed::types::Bytes;
use heed::{
    CommitOrAbort, Comparator, Database, DefaultComparator, Env, EnvFlags, EnvOpenOptions, IntegerComparator,
};

use super::ids::sum;
use super::{Engine, Mode, Settings, copy_out};
use crate::data::{Key, Value};

pub type OfBytes = Lmdb<DefaultComparator>;
/// Its keys are integers in the byte order of this machine.
pub type OfIntegers = Lmdb<IntegerComparator>;

pub struct Lmdb<C> {
    env: Env,
    entries: Database<'static, Bytes, Bytes, C>,
}

impl<C: Comparator + 'static> Lmdb<C> {
    pub fn open(settings: &Settings) -> Result<Self> {
        // Room for pages that are half empty, for the free list, and for every page written twice.
        let map_bytes =
            (settings.entries as usize * settings.widths.entry() * 8 + (1 << 30)).next_multiple_of(1 << 20);
        let mut options = EnvOpenOptions::new();
        options.map_size(map_bytes);
        // SAFETY: The flags keep LMDB's own locks and give up no more than what a system crash loses. Nobody else
        // opens or changes the files in this directory, and this process opens them once at a time.
        let env = unsafe { options.flags(flags(settings)).open(&settings.dir)? };
        let transaction = env.write_txn()?;
        let entries = env
            .create_databases_and_commit(transaction, |opener, transaction| {
                let options = opener.database_options().types().key_comparator();
                options.create(transaction).map(CommitOrAbort::<_, ()>::Commit)
            })?
            .unwrap_commit();
        Ok(Lmdb { env, entries })
    }
}

fn flags(settings: &Settings) -> EnvFlags {
    match (settings.mode, settings.larger_than_memory) {
        (Mode::Durable, _) => EnvFlags::empty(),
        (Mode::Buffered, false) => EnvFlags::WRITE_MAP | EnvFlags::MAP_ASYNC,
        (Mode::Buffered, true) => EnvFlags::NO_SYNC | EnvFlags::NO_READ_AHEAD,
    }
}

impl<C: Comparator + 'static> Engine for Lmdb<C> {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        self.entries.put(&mut transaction, key, value)?;
        Ok(transaction.commit()?)
    }

    fn put_batch(&self, entries: &[(Key, Value)]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (key, value) in entries {
            self.entries.put(&mut transaction, key, value)?;
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        let transaction = self.env.read_txn()?;
        Ok(copy_out(value, self.entries.get(&transaction, key)?))
    }

    fn add(&self, key: &[u8], delta: i64, _: &mut Vec<u8>) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        let old = self.entries.get(&transaction, key)?.context("a key is missing")?;
        let new = sum(old, delta).context("no number")?;
        self.entries.put(&mut transaction, key, &new)?;
        Ok(transaction.commit()?)
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        self.entries.delete(&mut transaction, key)?;
        Ok(transaction.commit()?)
    }

    fn iterate(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let transaction = self.env.read_txn()?;
        for entry in self.entries.iter(&transaction)? {
            let (key, value) = entry?;
            visit(key, value);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        // LMDB syncs nothing by itself when it is closed.
        self.env.force_sync()?;
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}

//! RocksDB, built from source by the crate `rocksdb`.

use anyhow::Result;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DataBlockIndexType, IteratorMode, Options, WriteBatch, WriteOptions,
};

use super::{Engine, Mode, Settings, copy_out};
use crate::data::{Key, Value};

pub struct Rocks {
    db: DB,
    write: WriteOptions,
}

impl Rocks {
    pub fn open(settings: &Settings) -> Result<Self> {
        let mut write = WriteOptions::default();
        write.set_sync(settings.mode == Mode::Durable);
        Ok(Rocks { db: DB::open(&options(settings)?, settings.dir.join("rocksdb"))?, write })
    }
}

fn options(settings: &Settings) -> Result<Options> {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(usize::try_from(settings.cache_bytes)?));
    blocks.set_bloom_filter(10.0, false);
    blocks.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    options.increase_parallelism(i32::try_from(std::thread::available_parallelism()?.get())?);
    options.set_bytes_per_sync(1 << 20);
    options.set_level_compaction_dynamic_level_bytes(true);
    Ok(options)
}

impl Engine for Rocks {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.db.put_opt(key, value, &self.write)?)
    }

    fn put_batch(&self, entries: &[(Key, Value)]) -> Result<()> {
        let mut batch = WriteBatch::default();
        for (key, value) in entries {
            batch.put(key, value);
        }
        Ok(self.db.write_opt(batch, &self.write)?)
    }

    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        Ok(copy_out(value, self.db.get_pinned(key)?))
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        Ok(self.db.delete_opt(key, &self.write)?)
    }

    fn iterate(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.db.iterator(IteratorMode::Start) {
            let (key, value) = entry?;
            visit(&key, &value);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.db.flush_wal(true)?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}

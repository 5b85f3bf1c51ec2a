//! The open file: what readers load without a lock, and the writer behind its lock.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::file::arrays::ArraySpace;
use crate::file::checkpoint::Checkpointer;
use crate::file::create::{self, FirstArray};
use crate::file::epoch::{Domain, Pin};
use crate::file::fork::Process;
use crate::file::group::Group;
use crate::file::headers::Headers;
use crate::file::log::Log;
use crate::file::log::writer::LogWriter;
use crate::file::media::{Access, Media, Volume};
use crate::file::pages::IndexPages;
use crate::file::region::{Published, RecordBytes};
use crate::file::space::Space;
use crate::file::sync::Syncer;
use crate::format::bucket::Hash;
use crate::format::header::{Header, Identity};
use crate::mutants::{Mutant, kept};
use crate::options::Options;
use crate::seam::Arrays;
use crate::store::moving::Compactor;
use crate::store::upkeep::LastWrite;
use crate::store::value::Value;
use crate::table::{
    Array, Cells as _, Geometry, HashKind, Host, KeyHasher, Slot, Table, in_record, lookup, peek,
};
use crate::upkeep::records::PinnedRecords;
use crate::upkeep::recover::{Recovered, recover};

/// One open file.
pub(crate) struct Core {
    pub(super) path: PathBuf,
    /// The process that opened it (C15).
    pub(super) process: Process,
    pub(super) options: Options,
    pub(super) media: Arc<dyn Media>,
    pub(super) domain: Arc<Domain>,
    pub(super) geometry: Published<Geometry<IndexPages>>,
    pub(super) log: Arc<Log>,
    pub(super) hasher: KeyHasher,
    pub(super) hash_kind: HashKind,
    pub(super) arrays: ArraySpace,
    /// Entries in the table. Stored by the writer (Relaxed: it is a number alone, nothing is read because of it).
    count: Apart<AtomicU64>,
    /// The header that the file was opened with.
    pub(super) opened_with: Header,
    /// Opening found a log to replay or a journal to put in place.
    pub(super) recovered: bool,
    /// Bytes of the log that opening replayed.
    pub(super) replayed_bytes: u64,
    pub(super) writer: Apart<Mutex<Writer>>,
    /// What a read-only store does not have.
    pub(super) files: Apart<Option<Files>>,
}

/// What every write changes, on cache lines of its own: a reader's core would have to fetch what lies beside it again.
#[repr(align(128))]
pub(super) struct Apart<T>(T);

impl<T> Deref for Apart<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// What only the writer has: the table and the end of the log.
pub(super) struct Writer {
    pub(super) table: Table<IndexPages>,
    pub(super) log: Option<LogWriter>,
    pub(super) compactor: Compactor,
}

/// The parts of an open file that write.
pub(super) struct Files {
    pub(super) space: Arc<Space>,
    pub(super) syncer: Arc<Syncer>,
    pub(super) headers: Arc<Headers>,
    pub(super) checkpointer: Checkpointer,
    /// The highest epoch of an earlier session.
    pub(super) last_epoch: u64,
    /// The epoch of this session is durable, and records may be appended. Stored once (Release) under the writer
    /// lock; loaded Acquire by writes before they take it.
    pub(super) session: AtomicBool,
    /// Bytes appended by operations since the store was opened; Release by the writer, Acquire by who measures.
    pub(super) appended: Arc<AtomicU64>,
    /// The part of them that is durable. Stored (Release) by whoever has the turn to sync.
    pub(super) synced: AtomicU64,
    /// Bytes appended at the last checkpoint; what was replayed counts as appended after it.
    pub(super) checkpointed: AtomicU64,
    /// Bytes replayed at the opening that no checkpoint covers yet.
    pub(super) replayed: AtomicU64,
    /// Checkpoints take turns; held over the whole of one.
    pub(super) checkpointing: Mutex<()>,
    /// Compactions of everything take turns. Taken before all other locks.
    pub(super) compacting: Mutex<()>,
    /// Held while a background thread has space in hand that is neither the log's nor free: a spare segment on its
    /// way to the log, or what no reader sees any more on its way back. Taken before the writer lock.
    pub(super) in_hand: Mutex<()>,
    pub(super) group: Group,
    pub(super) last_sync: Mutex<Instant>,
    /// Taken by whoever looks whether the store rests.
    pub(super) last_write: Mutex<LastWrite>,
    /// The log would like space to be prepared; a hint from the writer to the background thread.
    pub(super) wants_space: AtomicBool,
    /// Bytes appended at which a write looks again at what the background threads should do; behind the writer lock.
    pub(super) look_at: AtomicU64,
    /// Where a growth is put off: bytes appended at which to look for room again.
    pub(super) grow_at: AtomicU64,
    /// A write has looked, and nobody has woken the threads since. Relaxed: a hint.
    pub(super) looked: AtomicBool,
    /// Emptied segments wait for a checkpoint with so much space that one is due; a hint from the writer.
    pub(super) space_waits: AtomicBool,
    /// Microseconds that a write should wait, because of the space that waits for a checkpoint. Stored under the writer lock,
    /// taken by the next write that looks. Relaxed: a hint.
    pub(super) pause_us: AtomicU64,
    /// Where one could not be made for that: bytes appended at which to try again.
    pub(super) make_room_at: AtomicU64,
    /// A write lacked room that a checkpoint could give back, and nobody has made one since. Relaxed: a hint.
    pub(super) lacked_room: AtomicBool,
    /// Checkpoints that were due and failed.
    pub(super) failed_checkpoints: AtomicU64,
    /// After one of them: bytes appended at which to try again.
    pub(super) retry_at: AtomicU64,
    pub(super) closed: AtomicBool,
}

impl Core {
    pub(super) fn open(path: &Path, options: Options) -> Result<Core> {
        let media = open_file(path, &options)?;
        let (verify_reads, limit) = (options.verify_reads, options.index_memory_limit);
        let recovered = recover(path, &media, options.read_only, options.schema, verify_reads, limit)?;
        // No session has begun: whoever named the file may have been killed before the name was durable (D22).
        if !options.read_only && recovered.header.epoch == 0 && kept(Mutant::DirectorySync) {
            options.volume.sync_directory(path).map_err(Error::io("syncing the directory"))?;
        }
        Core::assemble(path, options, media, recovered)
    }

    fn assemble(path: &Path, options: Options, media: Arc<dyn Media>, parts: Recovered) -> Result<Core> {
        let compactor = Compactor::new(options.checked_dead_ratio()?);
        let Recovered { header, domain, log, arrays, mut table, .. } = parts;
        table.keep_room_for(options.capacity);
        let mut log_writer = None;
        let files = match parts.durable {
            None => None,
            Some(durable) => {
                let (space, syncer, headers) = (durable.space, durable.syncer, durable.headers);
                let writer = LogWriter::new(
                    Arc::clone(&log),
                    Arc::clone(&media),
                    Arc::clone(&space),
                    Arc::clone(&domain),
                    header.identity,
                    parts.log_end,
                )?;
                let appended = Arc::clone(writer.appended());
                log_writer = Some(writer);
                let checkpointer = Checkpointer::new(
                    Arc::clone(&media),
                    Arc::clone(&space),
                    Arc::clone(&syncer),
                    Arc::clone(&headers),
                    durable.catalog,
                );
                Some(Files {
                    space,
                    syncer,
                    headers,
                    checkpointer,
                    last_epoch: parts.last_epoch,
                    session: AtomicBool::new(false),
                    appended,
                    synced: AtomicU64::new(0),
                    checkpointed: AtomicU64::new(0),
                    replayed: AtomicU64::new(parts.replayed_bytes),
                    checkpointing: Mutex::new(()),
                    compacting: Mutex::new(()),
                    in_hand: Mutex::new(()),
                    group: Group::new(),
                    last_sync: Mutex::new(Instant::now()),
                    last_write: Mutex::new(LastWrite::now()),
                    wants_space: AtomicBool::new(false),
                    look_at: AtomicU64::new(0),
                    grow_at: AtomicU64::new(0),
                    looked: AtomicBool::new(false),
                    space_waits: AtomicBool::new(false),
                    lacked_room: AtomicBool::new(false),
                    make_room_at: AtomicU64::new(0),
                    pause_us: AtomicU64::new(0),
                    failed_checkpoints: AtomicU64::new(0),
                    retry_at: AtomicU64::new(0),
                    closed: AtomicBool::new(false),
                })
            }
        };
        if let Some(files) = &files {
            files.space.begin_punching();
        }
        Ok(Core {
            path: path.to_owned(),
            process: Process::current(),
            options,
            media,
            geometry: Published::new(&domain, Arc::clone(table.geometry())),
            domain,
            log,
            hasher: parts.hasher,
            hash_kind: parts.hash_kind,
            arrays,
            count: Apart(AtomicU64::new(table.counters().count)),
            opened_with: header,
            replayed_bytes: parts.replayed_bytes,
            recovered: parts.unclean || parts.replayed_bytes > 0,
            writer: Apart(Mutex::new(Writer { table, log: log_writer, compactor })),
            files: Apart(files),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Tells readers how many entries there are. The caller holds the writer lock.
    #[inline]
    pub(super) fn set_count(&self, count: u64) {
        self.count.store(count, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn pin(&self) -> Result<Pin<'_>> {
        self.process.check()?;
        Ok(self.domain.pin())
    }

    /// The arrays as they are published now.
    #[inline]
    pub(super) fn published<'p>(&self, pin: &'p Pin<'_>) -> &'p Geometry<IndexPages> {
        self.geometry.load(pin)
    }

    #[inline]
    pub(super) fn records<'a, 's>(&'a self, pin: &'a Pin<'s>) -> PinnedRecords<'a, 's> {
        PinnedRecords { log: &self.log, pin, hasher: &self.hasher }
    }

    #[inline]
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>> {
        let hash = self.hasher.hash(key);
        Value::find(self.pin()?, |pin| self.get_under(pin, hash, key))
    }

    /// [`Core::get`] under a pin.
    #[inline]
    pub(super) fn get_under<'p>(
        &self,
        pin: &'p Pin<'_>,
        hash: Hash,
        key: &[u8],
    ) -> Result<Option<RecordBytes<'p>>> {
        let small = |slot: Slot<'_, IndexPages>| match slot.position_for(hash) {
            Some(position) => self.log.small_value(pin, position, key),
            None => Some(None),
        };
        match peek(self.published(pin), hash, small) {
            Some(decided) => Ok(decided),
            None => self.get_anywhere(pin, hash, key),
        }
    }

    /// [`Core::get`] for the few keys that a look at one bucket does not decide.
    #[inline(never)]
    fn get_anywhere<'p>(&self, pin: &'p Pin<'_>, hash: Hash, key: &[u8]) -> Result<Option<RecordBytes<'p>>> {
        let value = |position| self.log.value(pin, position, key);
        lookup(|| self.published(pin), hash, |slot| in_record(slot, hash, value))
    }

    pub(super) fn get_key_value(&self, key: &[u8]) -> Result<Option<(Value<'_>, Value<'_>)>> {
        let pin = self.pin()?;
        let (hash, records) = (self.hasher.hash(key), self.records(&pin));
        match lookup(|| self.published(&pin), hash, |slot| records.find(slot, hash, key))? {
            Some(record) => Ok(Some((Value::keep(&pin, record.key()), Value::keep(&pin, record.value()?)))),
            None => Ok(None),
        }
    }

    pub(super) fn contains_key(&self, key: &[u8]) -> Result<bool> {
        let pin = self.pin()?;
        let (hash, records) = (self.hasher.hash(key), self.records(&pin));
        Ok(lookup(|| self.published(&pin), hash, |slot| records.find(slot, hash, key))?.is_some())
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.files.is_none()
    }

    /// The parts that write.
    #[inline]
    pub(super) fn files(&self) -> Result<&Files> {
        match &*self.files {
            Some(files) => Ok(files),
            None => Err(Error::ReadOnly),
        }
    }

    /// A write that panicked may have left the table half changed; nobody writes after it. Reopening recovers.
    #[inline]
    pub(super) fn lock_writer(&self) -> Result<MutexGuard<'_, Writer>> {
        self.check_outside()?;
        self.writer.lock().map_err(|_| Error::Poisoned)
    }

    /// For reports, which only look.
    pub(super) fn lock_writer_to_look(&self) -> Result<MutexGuard<'_, Writer>> {
        self.check_outside()?;
        Ok(self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Before the leases end: however the close went, they must leave the log alone that a replay needs.
        if let Some(files) = &*self.files {
            files.space.end_punching();
        }
    }
}

impl Writer {
    /// The log's end; only a store that writes has one.
    #[inline]
    pub(super) fn log(&mut self) -> Result<&mut LogWriter> {
        match &mut self.log {
            Some(log) => Ok(log),
            None => Err(Error::ReadOnly),
        }
    }
}

impl Arrays for Core {
    type Pages = IndexPages;

    fn reserve(&self, bytes: u64) -> Result<IndexPages> {
        self.arrays.reserve(bytes)
    }
}

impl Host for Core {
    fn publish(&self, geometry: &Arc<Geometry<IndexPages>>) {
        self.geometry.replace(Arc::clone(geometry));
    }

    fn has_room_to_grow(&self, geometry: &Geometry<IndexPages>, array_bytes: u64) -> bool {
        self.leaves_room_when_grown(geometry, array_bytes)
    }

    fn check_room_for_chunk(&self, geometry: &Geometry<IndexPages>, chunk_bytes: u64) -> Result<()> {
        let space = &self.files()?.space;
        self.leaves_room(space, geometry, chunk_bytes.saturating_mul(2)).map_err(|needed_bytes| {
            Error::NoSpace { what: "overflow buckets and the next checkpoint", needed_bytes }
        })
    }
}

/// Opens and locks the file, or makes it.
fn open_file(path: &Path, options: &Options) -> Result<Arc<dyn Media>> {
    let access = if options.read_only { Access::Read } else { Access::Write };
    // Twice or more only when others make, replace or remove the file at the same time.
    for _ in 0..16 {
        let opened = options.volume.open(path, access).map_err(Error::io("opening the file"))?;
        if opened.is_some() && options.must_be_new {
            let source = std::io::ErrorKind::AlreadyExists.into();
            return Err(Error::Io { action: "making the file", source });
        }
        let Some(media) = opened else {
            if options.read_only || !options.create {
                return Err(Error::Io {
                    action: "opening the file",
                    source: rustix::io::Errno::NOENT.into(),
                });
            }
            match create_file(&*options.volume, path, options)? {
                Some(media) => return Ok(media),
                None => continue,
            }
        };
        if !media.try_lock(access).map_err(Error::io("locking the file"))? && kept(Mutant::LockTaken) {
            let holder = media.lock_holder();
            return Err(Error::Locked { path: path.to_owned(), holder, read_only: options.read_only });
        }
        // Between opening and locking, the path may have come to name another file (D22).
        if media.is_at(path).unwrap_or(false) || !kept(Mutant::InodeCompared) {
            return Ok(media);
        }
    }
    let busy = std::io::ErrorKind::ResourceBusy.into();
    Err(Error::Io { action: "opening a file that keeps being replaced", source: busy })
}

fn create_file(volume: &dyn Volume, path: &Path, options: &Options) -> Result<Option<Arc<dyn Media>>> {
    let load_factor = options.checked_load_factor()?;
    let b = load_factor.b_for(options.capacity)?;
    let mut random = [0; 48];
    match options.seed {
        Some(seed) => fill_from_seed(seed, &mut random),
        None => fill_random(&mut random)?,
    }
    let part = |from: usize| std::array::from_fn(|i| random[from + i]);
    let identity = Identity {
        file_id: part(0),
        hash_id: options.hash.id(),
        hash0: part(16),
        log_secret: part(32),
        load_factor: load_factor.hundredths(),
        schema: options.schema.unwrap_or_default(),
    };
    let shape = identity.schema.layout.shape();
    let array = FirstArray { b, bytes: Array::<IndexPages>::main_bytes(shape, b), next_overflow: 1 << b };
    create::create(volume, path, identity, array)
}

fn fill_random(bytes: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::io::retry_on_intr(|| rustix::rand::getrandom(&mut bytes[filled..], flags))
            .map_err(|errno| Error::Io { action: "getting random numbers", source: errno.into() })?;
    }
    Ok(())
}

fn fill_from_seed(seed: u64, bytes: &mut [u8]) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        let hash = crc32fast::hash(&[&seed.to_le_bytes()[..], &[at as u8]].concat());
        *byte = hash as u8;
    }
}

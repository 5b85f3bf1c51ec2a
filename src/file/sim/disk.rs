//! The disk: its files, its space, its hook and its faults.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::calls::{Call, CallKind, Counters, Failure, Fault, due};
use super::crash::{Crash, Moment};
use super::file::{Durable, File, LENGTH_LIMIT};
use super::handle::SimFile;
use super::names::{FileId, Names};
use super::pages::{PAGE, PageSet, Pages, page_of};
use super::random::Random;
use crate::file::media::{Access, Media, Volume, sealed};
use crate::format::PAGE_BYTES;

/// Stores into mapped memory are that much more frequent than calls, and a write-back looks at all mapped pages.
const STORES_PER_CALL: u64 = 4;

type Hook = Arc<dyn Fn(&SimDisk, &Call) + Send + Sync>;

/// A disk in memory that knows what is durable, and that fails and crashes on demand. A clone is another handle
/// of the same disk.
///
/// See the [module](crate::sim) for what it simulates.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// What a crash does not change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    capacity_pages: u64,
    write_back_one_in: u64,
}

/// All of a disk.
pub(super) struct State {
    pub(super) files: BTreeMap<FileId, File>,
    pub(super) names: Names,
    pub(super) random: Random,
    settings: Settings,
    next_id: u64,
    hook: Option<Hook>,
    faults: Vec<Fault>,
    counters: Counters,
}

impl SimDisk {
    /// An empty disk of 1 GiB.
    ///
    /// The seed decides about everything that the disk does by chance: the same seed and the same calls give
    /// the same disk. (Calls of several threads are in the same order only if the program sees to it.)
    pub fn new(seed: u64) -> Self {
        Self::with_capacity(seed, 1 << 30)
    }

    /// An empty disk with room for `bytes`, rounded down to pages of 4096 bytes. Beyond it, calls fail with
    /// `ENOSPC`. A file can't be longer than 1 GiB, however sparse.
    pub fn with_capacity(seed: u64, bytes: u64) -> Self {
        let settings = Settings { capacity_pages: bytes / PAGE_BYTES, write_back_one_in: 16 };
        Self::assemble(BTreeMap::new(), Names::default(), settings, 0, seed)
    }

    pub(super) fn assemble(
        files: BTreeMap<FileId, File>,
        names: Names,
        settings: Settings,
        next_id: u64,
        seed: u64,
    ) -> Self {
        let state = State {
            files,
            names,
            random: Random::new(seed),
            settings,
            next_id,
            hook: None,
            faults: Vec::new(),
            counters: Counters::default(),
        };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Changes the room on the disk, in bytes; less than what is in use is a full disk.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().settings.capacity_pages = bytes / PAGE_BYTES;
    }

    /// Bytes that no file occupies.
    pub fn free_bytes(&self) -> u64 {
        self.state().free_pages() * PAGE_BYTES
    }

    /// How often, once in how many calls, some unsynced sectors become durable before any sync asks for them, so
    /// that what a crash finds is neither the newest nor the last synced version of a sector; stores into mapped
    /// memory do it a quarter as often. 16 at first; 0 is never.
    pub fn write_back_one_in(&self, calls: u64) {
        self.state().settings.write_back_one_in = calls;
    }

    /// Has `hook` called before each call and each store into mapped memory takes effect, in place of an earlier
    /// hook. No lock of the disk is held meanwhile: the hook may [`crash`](SimDisk::crash) it, and it may panic
    /// to end the program there. It should not call into the program: that may wait for a lock it holds.
    pub fn on_call(&self, hook: impl Fn(&SimDisk, &Call) + Send + Sync + 'static) {
        let earlier = self.state().hook.replace(Arc::new(hook));
        // Not under the lock: it may own handles of this disk.
        drop(earlier);
    }

    /// Takes the hook away.
    pub fn off_call(&self) {
        let earlier = self.state().hook.take();
        drop(earlier);
    }

    /// Adds a failure to come.
    pub fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Takes back all failures to come. What looked clean after a failed sync still does.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// What the disk has done so far.
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    /// Keeps this moment, to make crash images of it.
    pub fn freeze(&self) -> Moment {
        let mut state = self.state();
        Moment {
            files: state.files.iter_mut().map(|(id, file)| (*id, file.freeze())).collect(),
            names: state.names.clone(),
            settings: state.settings,
            next_id: state.next_id,
        }
    }

    /// A new disk with what a crash at this moment leaves; this one goes on. The same as
    /// `freeze().crash(seed, kind)`.
    pub fn crash(&self, seed: u64, kind: Crash) -> SimDisk {
        self.freeze().crash(seed, kind)
    }

    /// Puts a durable file there, in place of one of the same name: handles of that one keep what they have.
    ///
    /// # Panics
    /// When `bytes` are more than 1 GiB.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        self.put_allocated(path.as_ref(), bytes, 0..bytes.len().div_ceil(PAGE));
    }

    /// The same for a file that has holes in place of pages of zeros, as a copy may have.
    ///
    /// # Panics
    /// When `bytes` are more than 1 GiB.
    pub fn put_sparse(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let used = bytes.chunks(PAGE).map(|page| page.iter().any(|&byte| byte != 0));
        self.put_allocated(
            path.as_ref(),
            bytes,
            used.enumerate().filter(|(_, used)| *used).map(|(page, _)| page),
        );
    }

    fn put_allocated(&self, path: &Path, bytes: &[u8], pages: impl Iterator<Item = usize>) {
        assert!(bytes.len() as u64 <= LENGTH_LIMIT, "a simulated file has at most {LENGTH_LIMIT} bytes");
        let mut state = self.state();
        let mut allocated = PageSet::default();
        pages.for_each(|page| allocated.insert(page));
        let pages = Pages::from_bytes(bytes);
        let id = state.new_file(File::new(Durable { pages, length: bytes.len() as u64, allocated }));
        state.names.put(path, id);
        state.collect_garbage();
    }

    /// Changes bytes of a file as failing hardware does: those that programs see and those that are durable, without
    /// a call. Private mappings keep what they have.
    ///
    /// # Panics
    /// When there is no such file, or the bytes do not lie within it.
    pub fn overwrite(&self, path: impl AsRef<Path>, offset: u64, bytes: &[u8]) {
        let mut state = self.state();
        let id = state.names.get(path.as_ref()).expect("a file to overwrite");
        let file = state.files.get_mut(&id).expect("each name leads to a file");
        let end = offset.checked_add(bytes.len() as u64);
        assert!(end.is_some_and(|end| end <= file.length()), "the bytes to overwrite lie within the file");
        file.damage(offset, bytes);
    }

    /// What programs read in a file; `None` where there is none.
    pub fn contents(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let mut state = self.state();
        let id = state.names.get(path.as_ref())?;
        let frozen = state.files.get_mut(&id)?.freeze();
        let pages = frozen.cached();
        let mut bytes = Vec::with_capacity(frozen.length as usize + PAGE);
        for page in 0..page_of(frozen.length.next_multiple_of(PAGE_BYTES)) {
            pages.words(page).iter().for_each(|word| bytes.extend_from_slice(&word.to_ne_bytes()));
        }
        bytes.truncate(frozen.length as usize);
        Some(bytes)
    }

    /// The names of all files, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().names.paths().cloned().collect()
    }

    /// The disk's own lock, without a call being counted. A hook that panicked leaves nothing half done.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call: counts it, tells the hook, writes back by chance; returns how it is to fail.
    pub(super) fn begin(
        &self,
        kind: CallKind,
        offset: u64,
        len: u64,
    ) -> (MutexGuard<'_, State>, Option<Failure>) {
        let mut state = self.state();
        let call = Call { number: state.counters.total(), kind, offset, len };
        state.counters.count(&call);
        if let Some(hook) = state.hook.clone() {
            drop(state);
            hook(self, &call);
            drop(hook);
            state = self.state();
        }
        state.write_back_by_chance(kind);
        let failure = due(&mut state.faults, &call);
        state.counters.failures += u64::from(failure.is_some());
        (state, failure)
    }

    /// Begins a call that fails without any effect.
    pub(super) fn begin_plain(
        &self,
        kind: CallKind,
        offset: u64,
        len: u64,
    ) -> io::Result<MutexGuard<'_, State>> {
        match self.begin(kind, offset, len) {
            (state, None) => Ok(state),
            (_, Some(failure)) => Err(failure.error(kind)),
        }
    }
}

impl State {
    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn new_file(&mut self, file: File) -> FileId {
        let id = FileId(self.new_id());
        self.files.insert(id, file);
        id
    }

    /// Pages of space that are left.
    pub(super) fn free_pages(&self) -> u64 {
        let used = self.files.iter().filter(|(id, file)| file.handles > 0 || self.names.leads_to(**id));
        let used: u64 = used.map(|(_, file)| file.pages_allocated()).sum();
        self.settings.capacity_pages.saturating_sub(used)
    }

    /// Forgets files that nobody has open and that no crash can bring back.
    pub(super) fn collect_garbage(&mut self) {
        let State { files, names, .. } = self;
        files.retain(|id, file| file.handles > 0 || names.mention(*id));
    }

    fn write_back_by_chance(&mut self, kind: CallKind) {
        let stretch = if kind == CallKind::Store { STORES_PER_CALL } else { 1 };
        if self.random.one_in(self.settings.write_back_one_in * stretch) {
            let State { files, random, counters, .. } = self;
            counters.early_sectors += files.values_mut().map(|file| file.write_back(random)).sum::<u64>();
        }
    }

    fn open(&mut self, disk: &SimDisk, id: FileId, access: Access) -> Arc<dyn Media> {
        let handle = self.new_id();
        if let Some(file) = self.files.get_mut(&id) {
            file.handles += 1;
        }
        Arc::new(SimFile::new(disk.clone(), id, handle, access))
    }
}

impl sealed::Sealed for SimDisk {}

impl Volume for SimDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Option<Arc<dyn Media>>> {
        let mut state = self.begin_plain(CallKind::Open, 0, 0)?;
        Ok(state.names.get(path).map(|id| state.open(self, id, access)))
    }

    fn create_temporary(&self, path: &Path) -> io::Result<(PathBuf, Arc<dyn Media>)> {
        let mut state = self.begin_plain(CallKind::Create, 0, 0)?;
        let name = path.file_name().ok_or(Errno::INVAL)?.to_string_lossy();
        let names = (0..).map(|attempt: u64| path.with_file_name(format!(".{name}.{attempt}.tmp")));
        let temporary = names.into_iter().find(|name| state.names.get(name).is_none()).ok_or(Errno::EXIST)?;
        let id = state.new_file(File::new(Durable::default()));
        state.names.create(&temporary, id);
        let media = state.open(self, id, Access::Write);
        Ok((temporary, media))
    }

    fn publish(&self, temporary: &Path, path: &Path) -> io::Result<bool> {
        let mut state = self.begin_plain(CallKind::Publish, 0, 0)?;
        let id = state.names.get(temporary).ok_or(Errno::NOENT)?;
        let free = state.names.get(path).is_none();
        if free {
            state.names.rename(temporary, path, id);
        }
        Ok(free)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin_plain(CallKind::Remove, 0, 0)?;
        state.names.get(path).ok_or(Errno::NOENT)?;
        state.names.remove(path);
        state.collect_garbage();
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin_plain(CallKind::SyncDirectory, 0, 0)?;
        state.names.sync(path);
        state.collect_garbage();
        Ok(())
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let files: Vec<_> = state.names.paths().collect();
        f.debug_struct("SimDisk").field("files", &files).field("calls", &state.counters.total()).finish()
    }
}

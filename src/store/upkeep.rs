//! What is due beside the writes: syncs, checkpoints, space made ready ahead. Done by the background threads, or between
//! the writes of a store that has none.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::file::log::spare::Wanted;
use crate::file::log::writer::{LogWriter, Purpose};
use crate::file::pages::IndexPages;
use crate::options::Durability;
use crate::store::core::{Core, Files, Writer};
use crate::table::{NextArray, Table};

/// Checkpoint after this much log, unless an option or a large table says otherwise. More often, and a fill waits more,
/// since each checkpoint writes nearly the whole table; less often, and opening after a crash takes longer. Of a million
/// entries that were being put in, in single runs: 60 ms with 8 MiB, 120 with 16, 175 with 32; 174 with 16 in `tools/bench`.
const CHECKPOINT_BYTES: u64 = 16 << 20;

/// After a checkpoint that failed, the next one waits for this much log.
const CHECKPOINT_RETRY_BYTES: u64 = 1 << 20;

/// A store rests when nobody has written for so long. It checkpoints then what it would have come to much later: its log is
/// free space, and an opening after a crash has next to nothing to replay.
const REST: Duration = Duration::from_secs(1);

/// But not for less than this share of the log that makes a checkpoint due: one that is written to a little every few seconds
/// would checkpoint each time, which is more work than the writes.
const REST_SHARE: u64 = 16;

/// When somebody wrote last, as far as somebody looked.
pub(super) struct LastWrite {
    /// Bytes appended by then.
    appended: u64,
    seen: Instant,
}

impl LastWrite {
    pub(super) fn now() -> Self {
        LastWrite { appended: 0, seen: Instant::now() }
    }

    /// Whether nobody has written for a while: so many bytes are appended now.
    fn is_long_ago(&mut self, appended: u64, now: Instant) -> bool {
        if appended != self.appended {
            *self = LastWrite { appended, seen: now };
        }
        now.duration_since(self.seen) >= REST
    }
}

impl Core {
    /// Whether a write has looked at what the background threads should do, since the last time.
    #[inline]
    pub(super) fn has_looked(&self) -> bool {
        let Some(files) = &*self.files else { return false };
        let looked = files.looked.load(Ordering::Relaxed);
        if looked {
            files.looked.store(false, Ordering::Relaxed);
        }
        looked
    }

    /// Waits, where checkpoints are to give space back first; with no lock held and no pin.
    #[inline]
    pub(super) fn wait_if_due(&self) {
        if let Some(files) = &*self.files
            && (files.pause_us.load(Ordering::Relaxed) > 0 || files.lacked_room.load(Ordering::Relaxed))
        {
            self.wait(files);
        }
    }

    #[cold]
    fn wait(&self, files: &Files) {
        std::thread::sleep(Duration::from_micros(files.pause_us.swap(0, Ordering::Relaxed)));
        if files.lacked_room.load(Ordering::Relaxed) {
            self.make_room(files);
        }
    }

    /// Whether log space should be prepared.
    #[inline]
    pub(super) fn preparation_is_due(&self) -> bool {
        self.files.as_ref().is_some_and(|files| files.wants_space.load(Ordering::Relaxed))
    }

    /// Whether the log since the last checkpoint is long enough for another.
    #[inline]
    pub(super) fn checkpoint_is_due(&self) -> bool {
        let Some(files) = &*self.files else { return false };
        !retries_later(files)
            && (self.log_is_longer_than(files, self.checkpoint_bound())
                || files.space_waits.load(Ordering::Relaxed)
                || self.memory_is_short())
    }

    /// Whether nobody has written for a while, and a checkpoint is worth it.
    pub(super) fn checkpoint_at_rest_is_due(&self, files: &Files, now: Instant) -> bool {
        // An opening alone changes nothing, whatever an earlier session has left.
        if !files.session.load(Ordering::Relaxed) {
            return false;
        }
        let appended = files.appended.load(Ordering::Acquire);
        let mut last_write = files.last_write.lock().unwrap_or_else(PoisonError::into_inner);
        last_write.is_long_ago(appended, now)
            && !retries_later(files)
            && (self.log_is_longer_than(files, self.checkpoint_bound() / REST_SHARE)
                || self.emptied_log_is_worth_a_checkpoint())
    }

    /// Whether the log since the last checkpoint is longer than that.
    fn log_is_longer_than(&self, files: &Files, bytes: u64) -> bool {
        // What was replayed counts too, once somebody writes: an opening alone changes nothing.
        files.session.load(Ordering::Relaxed) && self.log_bytes_since_checkpoint() > bytes
    }

    /// Whether half of the memory that index pages may take has changed since the last checkpoint.
    #[inline]
    pub(super) fn memory_is_short(&self) -> bool {
        let pager = self.arrays.pager();
        pager.dirty_bytes() > pager.limit_bytes() / 2
    }

    fn checkpoint_bound(&self) -> u64 {
        // A bucket holds some five entries.
        let index_bytes = self.count() * self.layout().shape().bytes() / 5;
        self.options.checkpoint_bytes.unwrap_or(CHECKPOINT_BYTES.max(index_bytes / 2))
    }

    /// Bytes of the log that a crash now would have to replay.
    pub(super) fn log_bytes_since_checkpoint(&self) -> u64 {
        self.files.as_ref().map_or(self.replayed_bytes, |files| {
            let appended = files.appended.load(Ordering::Acquire);
            let checkpointed = files.checkpointed.load(Ordering::Relaxed);
            appended - checkpointed.min(appended) + files.replayed.load(Ordering::Relaxed)
        })
    }

    /// What is due between the writes of a store without background threads.
    pub(super) fn do_upkeep(&self) {
        self.keep_durable();
        let wants_space = self.preparation_is_due();
        if wants_space || self.domain.waiting() > 0 {
            self.prepare_ahead();
        }
    }

    /// Prepares the next log segment and what the writer comes to next in this one, and takes back what readers left
    /// behind.
    pub(super) fn prepare_ahead(&self) -> Option<Duration> {
        let files = self.files.as_ref()?;
        let in_hand = files.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        self.prepare_log(files);
        let wanted = |writer: MutexGuard<'_, Writer>| {
            let array = self.array_wanted(&writer.table)?;
            self.leaves_room_when_grown(writer.table.geometry(), array.bytes).then_some(array)
        };
        let array = self.writer.lock().ok().and_then(wanted);
        if let Some(array) = array {
            self.arrays.reserve_ahead(array.bytes, array.imminent, || self.prepare_log(files));
        }
        self.drop_array_of_the_past();
        let given_up = |writer: MutexGuard<'_, Writer>| writer.log.as_ref().map_or(0, LogWriter::given_up);
        if self.domain.waiting() > 0 || self.writer.lock().map_or(0, given_up) > 0 {
            self.collect();
        }
        drop(in_hand);
        None
    }

    fn prepare_log(&self, files: &Files) {
        let left = self.writer.lock().ok().and_then(|mut writer| Some(writer.log.as_mut()?.take_left()));
        drop(left);
        let wanted = || {
            let writer = self.writer.lock().ok()?;
            let wanted = writer.log.as_ref()?.space_wanted()?;
            let is_spare = matches!(wanted, Wanted::Spare(_));
            let room = !is_spare || self.leaves_room_for_log(files, &writer, 0, Purpose::Add).is_ok();
            room.then_some(wanted)
        };
        while let Some(wanted) = wanted() {
            let Ok(space) = wanted.prepare() else { break };
            if let Ok(mut writer) = self.writer.lock()
                && let Some(log) = writer.log.as_mut()
            {
                log.take(space);
            }
        }
    }

    /// Gives back what was reserved ahead of a growth that began without it, or of one that a clear put off.
    fn drop_array_of_the_past(&self) {
        let Some(ahead) = self.arrays.ahead() else { return };
        let Ok(writer) = self.lock_writer_to_look() else { return };
        let next = writer.table.next_array();
        drop(writer);
        if next.is_none_or(|next| next.bytes != ahead.bytes()) {
            drop(self.arrays.give_up_ahead());
        }
    }

    /// The array to be reserved ahead of a growth. A store without background threads reserves it when it grows.
    #[inline]
    pub(super) fn array_wanted(&self, table: &Table<IndexPages>) -> Option<NextArray> {
        let next = table.next_array().filter(|_| self.options.background)?;
        self.arrays.wants_ahead(next.bytes, next.imminent).then_some(next)
    }

    /// Checkpoints and syncs where that is due. A checkpoint that fails is counted (the store goes on with its log alone,
    /// and `stats` says so), and the write that can't go on without it meets the error. Returns how long to wait for what
    /// is due next.
    pub(super) fn keep_durable(&self) -> Option<Duration> {
        let files = self.files.as_ref()?;
        // Between the writes of a store without background threads nobody rests.
        let rests = || self.options.background && self.checkpoint_at_rest_is_due(files, Instant::now());
        let due = self.checkpoint_is_due() || rests();
        if due && self.run_checkpoint(files, false).is_err() {
            files.failed_checkpoints.fetch_add(1, Ordering::Relaxed);
            let appended = files.appended.load(Ordering::Acquire);
            files.retry_at.store(appended + CHECKPOINT_RETRY_BYTES, Ordering::Relaxed);
        }
        let Durability::Interval(interval) = self.options.durability else { return None };
        let appended = files.appended.load(Ordering::Acquire);
        if appended == files.synced.load(Ordering::Acquire) {
            return Some(interval);
        }
        let since = files.last_sync.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if since >= interval {
            let _ = self.sync_to(files, appended);
            return None;
        }
        Some(interval - since)
    }
}

/// Whether a checkpoint failed a moment ago.
fn retries_later(files: &Files) -> bool {
    files.appended.load(Ordering::Acquire) < files.retry_at.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::sim::SimDisk;
    use crate::{Options, Store};

    fn open() -> Store {
        Options::new().media(SimDisk::new(1)).background(false).checkpoint_bytes(64 << 10).open("a").unwrap()
    }

    /// Whether a checkpoint is due in so many milliseconds, if nobody writes until then.
    fn is_due_in(store: &Store, begin: Instant, ms: u64) -> bool {
        let core = store.core();
        core.checkpoint_at_rest_is_due(core.files().unwrap(), begin + Duration::from_millis(ms))
    }

    #[test]
    fn a_store_at_rest_checkpoints_once() {
        let (store, begin) = (open(), Instant::now());
        store.insert("key", [1; 5 << 10]).unwrap();
        assert!(!is_due_in(&store, begin, 10_000), "somebody has just written");
        assert!(!is_due_in(&store, begin, 10_999));
        assert!(is_due_in(&store, begin, 11_000));
        store.insert("key", [2; 5 << 10]).unwrap();
        assert!(!is_due_in(&store, begin, 11_500), "somebody has written again");
        assert!(!is_due_in(&store, begin, 12_499));
        assert!(is_due_in(&store, begin, 12_500));
        store.checkpoint().unwrap();
        assert!(!is_due_in(&store, begin, 100_000), "nothing has changed since");
        store.insert("key", [3; 3 << 10]).unwrap();
        assert!(!is_due_in(&store, begin, 200_000) && !is_due_in(&store, begin, 300_000), "that is little");
    }

    #[test]
    fn a_store_at_rest_gives_back_what_little_log_has_emptied() {
        let (disk, begin) = (SimDisk::new(1), Instant::now());
        let options = Options::new().media(disk).background(false).checkpoint_bytes(1 << 40);
        let store = options.clone().open("a").unwrap();
        store.insert("key", vec![1; 3 << 20]).unwrap();
        assert!(!is_due_in(&store, begin, 10_000) && !is_due_in(&store, begin, 20_000), "all is live");
        store.insert("another", vec![1; 3 << 20]).unwrap();
        store.remove("key").unwrap();
        assert!(!is_due_in(&store, begin, 30_000), "somebody has just written");
        assert!(is_due_in(&store, begin, 40_000));
        drop(store);

        let store = options.open("a").unwrap();
        assert!(!is_due_in(&store, begin, 50_000) && !is_due_in(&store, begin, 60_000), "nobody has written");
    }
}

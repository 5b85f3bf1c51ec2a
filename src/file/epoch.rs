//! Epochs: what readers may still see is not taken away (C14).
//!
//! A reader *pins* itself before it looks: it announces the epoch it saw in a slot of its own. Whoever unlinks
//! something *retires* it: the thing is kept with the epoch of that moment, the epoch is raised, and the thing
//! is dropped once no slot announces an epoch that old. Only the writer and the background thread collect;
//! a reader never frees anything, and nothing waits for a reader.
//!
//! After Fraser, *Practical lock-freedom* (2004), reduced to what one writer needs.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, Weak};

use crate::file::barrier::{self, Barrier};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, OnceLock, thread_local};

/// Slots that every domain has; each further block has twice as many as the one before.
const FIRST_BLOCK: usize = 64;
const BLOCKS: usize = 20;
const IDLE: u64 = 0;

/// One thread's announcement. Alone on its cache lines, because readers store into it all the time.
#[repr(align(128))]
struct Slot {
    /// The epoch its thread saw when it pinned, `IDLE` when it is not pinned. Stored by the thread, loaded by
    /// collectors; the barrier orders it against the loads of what is protected.
    epoch: AtomicU64,
    /// How many pins the thread holds. Only the owning thread touches it.
    depth: AtomicU32,
    taken: AtomicBool,
}

impl Slot {
    fn new() -> Self {
        Slot { epoch: AtomicU64::new(IDLE), depth: AtomicU32::new(0), taken: AtomicBool::new(false) }
    }
}

struct Retired {
    epoch: u64,
    _thing: Box<dyn Any + Send>,
}

/// The readers of one store and what waits for them.
pub(crate) struct Domain {
    id: u64,
    epoch: AtomicU64,
    barrier: Barrier,
    first: [Slot; FIRST_BLOCK],
    blocks: [OnceLock<Box<[Slot]>>; BLOCKS],
    limbo: Mutex<Vec<Retired>>,
}

static NEXT_DOMAIN: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

thread_local! {
    /// The domain this thread used last, and its slot there.
    static LAST: Cell<(u64, usize)> = const { Cell::new((0, 0)) };
    /// Every slot of this thread; given back when the thread ends.
    static SLOTS: RefCell<ThreadSlots> = const { RefCell::new(ThreadSlots(Vec::new())) };
}

struct ThreadSlots(Vec<(u64, usize, Weak<Domain>)>);

impl Drop for ThreadSlots {
    fn drop(&mut self) {
        LAST.set((0, 0));
        for (_, index, domain) in &self.0 {
            if let Some(domain) = domain.upgrade() {
                domain.release_slot(*index);
            }
        }
    }
}

impl Domain {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(Barrier::new())
    }

    /// A domain in which nothing is ever collected: that of a store that is only read.
    pub(crate) fn without_collector() -> Arc<Self> {
        Self::with(Barrier::without_heavy_side())
    }

    fn with(barrier: Barrier) -> Arc<Self> {
        Arc::new(Domain {
            id: NEXT_DOMAIN.fetch_add(1, Ordering::Relaxed),
            epoch: AtomicU64::new(1),
            barrier,
            first: std::array::from_fn(|_| Slot::new()),
            blocks: std::array::from_fn(|_| OnceLock::new()),
            limbo: Mutex::new(Vec::new()),
        })
    }

    /// Spares readers their fence from now on, where the system can. May take some milliseconds.
    pub(crate) fn spare_readers_the_fence(&self) {
        if barrier::register() {
            let _no_collector = self.lock_limbo();
            self.barrier.make_one_sided();
        }
    }

    /// Announces that this thread looks, until the pin is dropped. Pins of one thread nest.
    #[inline]
    pub(crate) fn pin(self: &Arc<Self>) -> Pin<'_> {
        let slot = self.slot(self.my_slot());
        let depth = slot.depth.load(Ordering::Relaxed);
        slot.depth.store(depth + 1, Ordering::Relaxed);
        if depth == 0 {
            // Acquire pairs with the Release in `retire`: who sees the raised epoch sees the unlinking before it.
            // Release: who sees this announcement, and not the IDLE before it that it replaces, must have the loads
            // of the slot's last pin behind it all the same.
            slot.epoch.store(self.epoch.load(Ordering::Acquire), Ordering::Release);
            // The announcement comes before every load of what it protects; pairs with the heavy side in `collect`.
            self.barrier.light();
        }
        Pin { slot, not_send: PhantomData }
    }

    /// Keeps `thing`, which was unlinked before this call, until no reader can see it and someone collects.
    /// Unmapping an array takes its time, so a writer leaves that to the background thread.
    pub(crate) fn retire<T: Send + 'static>(&self, thing: T) {
        let epoch = self.epoch.fetch_add(1, Ordering::AcqRel);
        self.lock_limbo().push(Retired { epoch, _thing: Box::new(thing) });
    }

    /// Drops what no reader can see any more. Never called by a reader.
    pub(crate) fn collect(&self) {
        let free: Vec<Retired> = {
            // The lock comes first: everything in limbo was unlinked before the fence then. What is retired after
            // the slots were read may be seen by a reader who pinned after that.
            let mut limbo = self.lock_limbo();
            // Pairs with the light side in `pin`: either a slot shows its epoch here, or its thread sees the unlinking.
            if !self.barrier.heavy() {
                return;
            }
            let oldest = self.oldest_pin();
            limbo.extract_if(.., |retired| retired.epoch < oldest).collect()
        };
        drop(free);
    }

    /// How many retired things still wait for a reader.
    pub(crate) fn waiting(&self) -> usize {
        self.lock_limbo().len()
    }

    fn oldest_pin(&self) -> u64 {
        self.slots()
            .map(|slot| slot.epoch.load(Ordering::Acquire))
            .filter(|&e| e != IDLE)
            .min()
            .unwrap_or(u64::MAX)
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        let blocks = self.blocks.iter().map_while(OnceLock::get);
        self.first.iter().chain(blocks.flat_map(|block| block.iter()))
    }

    fn lock_limbo(&self) -> MutexGuard<'_, Vec<Retired>> {
        self.limbo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn slot(&self, index: usize) -> &Slot {
        self.first.get(index).unwrap_or_else(|| self.slot_behind_first(index))
    }

    #[cold]
    fn slot_behind_first(&self, index: usize) -> &Slot {
        let block = (index / FIRST_BLOCK + 1).ilog2() as usize;
        let first = FIRST_BLOCK * ((1 << block) - 1);
        let slots = || (0..FIRST_BLOCK << block).map(|_| Slot::new()).collect();
        &self.blocks[block - 1].get_or_init(slots)[index - first]
    }

    #[inline]
    fn my_slot(self: &Arc<Self>) -> usize {
        let (domain, index) = LAST.get();
        if domain == self.id { index } else { self.find_my_slot() }
    }

    #[cold]
    fn find_my_slot(self: &Arc<Self>) -> usize {
        let index = SLOTS.try_with(|slots| {
            let mine = &mut slots.borrow_mut().0;
            mine.retain(|(_, _, domain)| domain.strong_count() > 0);
            if let Some((_, index, _)) = mine.iter().find(|(id, _, _)| *id == self.id) {
                return *index;
            }
            let index = self.take_slot();
            mine.push((self.id, index, Arc::downgrade(self)));
            index
        });
        // A thread that is ending can't remember a slot; the one it takes now is not given back.
        let index = index.unwrap_or_else(|_| self.take_slot());
        LAST.set((self.id, index));
        index
    }

    fn take_slot(&self) -> usize {
        let mut index = 0;
        while self.slot(index).taken.swap(true, Ordering::AcqRel) {
            index += 1;
        }
        index
    }

    fn release_slot(&self, index: usize) {
        let slot = self.slot(index);
        // A leaked guard keeps its slot, and with it everything it may show, for ever.
        if slot.depth.load(Ordering::Relaxed) == 0 {
            slot.taken.store(false, Ordering::Release);
        }
    }
}

/// A reader's announcement; what it loads stays mapped until it is dropped. Stays in its thread (`!Send`).
pub(crate) struct Pin<'s> {
    slot: &'s Slot,
    not_send: PhantomData<*const ()>,
}

impl<'s> Pin<'s> {
    /// Whether this pin protects what `domain` retires.
    pub(crate) fn is_of(&self, domain: &Domain) -> bool {
        domain.slots().any(|slot| std::ptr::eq(slot, self.slot))
    }
}

impl Clone for Pin<'_> {
    fn clone(&self) -> Self {
        self.slot.depth.store(self.slot.depth.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Pin { slot: self.slot, not_send: PhantomData }
    }
}

impl Drop for Pin<'_> {
    #[inline]
    fn drop(&mut self) {
        let depth = self.slot.depth.load(Ordering::Relaxed) - 1;
        self.slot.depth.store(depth, Ordering::Relaxed);
        if depth == 0 {
            // Release: every load under the pin comes before it.
            self.slot.epoch.store(IDLE, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tell(Arc<AtomicBool>);

    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn retire(domain: &Domain) -> Arc<AtomicBool> {
        let dropped = Arc::new(AtomicBool::new(false));
        domain.retire(Tell(Arc::clone(&dropped)));
        dropped
    }

    #[test]
    fn what_a_reader_may_see_is_kept() {
        let domain = Domain::new();
        let outer = domain.pin();
        let inner = outer.clone();
        let seen = retire(&domain);
        drop(outer);
        domain.collect();
        assert!(!seen.load(Ordering::SeqCst), "a nested pin still stands");
        drop(inner);
        domain.collect();
        assert!(seen.load(Ordering::SeqCst));
    }

    #[test]
    fn a_later_reader_keeps_nothing_older() {
        let domain = Domain::new();
        let early = domain.pin();
        let seen = retire(&domain);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _late = domain.pin();
                domain.collect();
                assert!(!seen.load(Ordering::SeqCst));
            });
        });
        drop(early);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _late = domain.pin();
                domain.collect();
                assert!(seen.load(Ordering::SeqCst));
            });
        });
    }

    #[test]
    fn slots_of_ended_threads_are_used_again() {
        let domain = Domain::new();
        for _ in 0..3 * FIRST_BLOCK {
            std::thread::scope(|scope| {
                scope.spawn(|| drop(domain.pin()));
            });
        }
        assert!(domain.blocks[0].get().is_none());
    }

    #[test]
    fn a_collector_that_is_overtaken_frees_nothing_in_use() {
        use crate::file::region::Published;

        let domain = Domain::new();
        let value = || {
            let dropped = Arc::new(AtomicBool::new(false));
            (Arc::clone(&dropped), Tell(dropped))
        };
        let published = Published::new(&domain, Arc::new(value()));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        domain.collect();
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..if cfg!(miri) { 60 } else { 1_000_000 } {
                    published.replace(Arc::new(value()));
                }
                stop.store(true, Ordering::Relaxed);
            });
            while !stop.load(Ordering::Relaxed) {
                let pin = domain.pin();
                let (dropped, _) = published.load(&pin);
                let dropped = Arc::clone(dropped);
                std::hint::spin_loop();
                assert!(!dropped.load(Ordering::SeqCst), "dropped under a pin");
            }
        });
    }
}

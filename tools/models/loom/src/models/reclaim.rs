//! Reclamation: what a pinned reader sees is not dropped (C14), and the whole of a geometry's switch with it (C3).

use std::sync::{Arc, Mutex, Weak};

use loom::thread;

use super::rig::Rig;
use super::{Model, bounded};
use crate::entries::Entries as _;
use crate::file::epoch::Domain;
use crate::file::region::Published;
use crate::format::bucket::Shape;
use crate::kernel;
use crate::memory::{Memory, ModelPages, ModelRecords, Tracked};
use crate::seam::Arrays;
use crate::table::{Array, Geometry, Growth, Host};

pub(super) const MODELS: &[Model] = &[
    bounded("reclaim", 2, 4, reclaim),
    bounded("reclaim-twice", 2, 4, reclaim_twice),
    bounded("slots", 2, 3, slots),
    bounded("switch-pinned", 2, 2, switch_pinned),
    bounded("one-sided", 3, 4, one_sided),
    bounded("one-sided-twice", 2, 3, one_sided_twice),
    bounded("spare", 2, 3, spare),
];

/// A published value that tells whoever looks at it after it was dropped.
struct Tell {
    gone: Arc<Tracked<bool>>,
}

impl Tell {
    fn look(&self) {
        assert!(!self.gone.get(), "dropped under a pin");
    }
}

impl Drop for Tell {
    fn drop(&mut self) {
        self.gone.set(true);
    }
}

/// A published value with its readers, and the bytes of all values to the end of the execution: a reader that was
/// betrayed finds out instead of crashing.
struct Shared {
    domain: Arc<Domain>,
    published: Published<Tell>,
    kept: Mutex<Vec<Bytes>>,
}

type Bytes = (Weak<Tell>, Arc<Tracked<bool>>);

impl Shared {
    fn new() -> Arc<Self> {
        let domain = Domain::new();
        let kept = Mutex::default();
        let published = Published::new(&domain, value(&kept));
        Arc::new(Shared { domain, published, kept })
    }

    fn replace(&self) {
        self.published.replace(value(&self.kept));
    }

    fn read(&self) {
        let pin = self.domain.pin();
        self.published.load(&pin).look();
    }
}

/// Empties `domain` and keeps it until the next execution. A thread that ends holds it for a moment, and may be the
/// last: `std`'s counter would order that drop behind everything, but loom does not know of it.
fn outlive(domain: &Arc<Domain>) {
    static LAST: Mutex<Option<Arc<Domain>>> = Mutex::new(None);
    domain.collect();
    assert_eq!(domain.waiting(), 0, "no reader is left");
    *LAST.lock().unwrap() = Some(Arc::clone(domain));
}

fn value(kept: &Mutex<Vec<Bytes>>) -> Arc<Tell> {
    let gone = Arc::new(Tracked::new(false));
    let value = Arc::new(Tell { gone: Arc::clone(&gone) });
    kept.lock().unwrap().push((Arc::downgrade(&value), gone));
    value
}

fn beside(readers: [fn(&Shared); 2], write: fn(&Shared)) {
    let shared = Shared::new();
    let readers = readers.map(|read| {
        let shared = Arc::clone(&shared);
        thread::spawn(move || read(&shared))
    });
    write(&shared);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    outlive(&shared.domain);
}

/// The same with a kernel that can interrupt the others; `first` is done before they run.
fn interrupted(others: [fn(&Shared); 2], first: fn(&Shared), write: fn(&Shared)) {
    let threads: [_; 2] = kernel::boot();
    let shared = Shared::new();
    first(&shared);
    let mut others = others.into_iter();
    let others = threads.map(|thread| {
        let (shared, other) = (Arc::clone(&shared), others.next().expect("as many"));
        thread::spawn(move || kernel::interruptible(thread, || other(&shared)))
    });
    write(&shared);
    others.into_iter().for_each(|other| other.join().unwrap());
    outlive(&shared.domain);
}

/// A value is replaced and collected under two readers.
fn reclaim() {
    beside([Shared::read, Shared::read], |shared| {
        shared.replace();
        shared.domain.collect();
    });
}

fn read_twice(shared: &Shared) {
    shared.read();
    shared.read();
}

/// Two values, and a reader that comes back.
fn reclaim_twice() {
    beside([read_twice, |_| {}], |shared| {
        shared.replace();
        shared.domain.collect();
        shared.replace();
        shared.domain.collect();
    });
}

/// The slot of a reader that ended is taken by the next one.
fn slots() {
    beside([Shared::read, Shared::read], |shared| {
        shared.replace();
        shared.domain.collect();
        shared.read();
    });
}

/// `reclaim` where the kernel fences for the readers.
fn one_sided() {
    interrupted(
        [Shared::read, Shared::read],
        |shared| shared.domain.spare_readers_the_fence(),
        |shared| {
            shared.replace();
            shared.domain.collect();
        },
    );
}

/// `reclaim-twice` where the kernel fences for the reader.
fn one_sided_twice() {
    interrupted(
        [read_twice, |_| {}],
        |shared| shared.domain.spare_readers_the_fence(),
        |shared| {
            shared.replace();
            shared.domain.collect();
            shared.replace();
            shared.domain.collect();
        },
    );
}

/// Readers are spared their fence while one of them reads and values are collected.
fn spare() {
    interrupted(
        [Shared::read, |shared| shared.domain.spare_readers_the_fence()],
        |_| {},
        |shared| {
            shared.replace();
            shared.domain.collect();
            shared.replace();
            shared.domain.collect();
        },
    );
}

/// The store's own way of publishing: the library's pointer and epochs.
struct PinnedHost {
    memory: Memory,
    domain: Arc<Domain>,
    published: Published<Geometry<ModelPages>>,
    kept: Mutex<Vec<Kept>>,
}

/// Keeps the bytes of a geometry and of its array, not what is in them.
struct Kept(#[allow(dead_code)] Weak<Geometry<ModelPages>>, #[allow(dead_code)] Weak<Array<ModelPages>>);

impl Kept {
    fn of(geometry: &Arc<Geometry<ModelPages>>) -> Self {
        Kept(Arc::downgrade(geometry), Arc::downgrade(&geometry.array))
    }
}

impl Arrays for PinnedHost {
    type Pages = ModelPages;

    fn reserve(&self, bytes: u64) -> crate::error::Result<ModelPages> {
        Ok(self.memory.zeroed(bytes))
    }
}

impl Host for PinnedHost {
    fn publish(&self, geometry: &Arc<Geometry<ModelPages>>) {
        self.kept.lock().unwrap().push(Kept::of(geometry));
        self.published.replace(Arc::clone(geometry));
    }
}

/// A growth begins, moves its bucket and ends under pinned readers, and the old array is given back.
fn switch_pinned() {
    let memory = Memory::of(Shape::RECORD);
    let main = memory.zeroed(Array::<ModelPages>::main_bytes(Shape::RECORD, 0));
    // Here, because a model's stack is small.
    let domain = Domain::new();
    let mut rig = Rig::<ModelRecords, _>::over(0, main, |geometry| {
        let published = Published::new(&domain, Arc::clone(geometry));
        PinnedHost { memory, domain, published, kept: vec![Kept::of(geometry)].into() }
    });
    rig.put(0, 1);
    let readers = [(); 2].map(|()| {
        let (host, records) = (Arc::clone(&rig.host), Arc::clone(&rig.entries));
        thread::spawn(move || {
            let pin = host.domain.pin();
            assert!(records.look_up(|| host.published.load(&pin), 0) >= Some(1));
        })
    });
    rig.grow(Growth::SameSize);
    rig.put(0, 2);
    rig.host.domain.collect();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    outlive(&rig.host.domain);
}

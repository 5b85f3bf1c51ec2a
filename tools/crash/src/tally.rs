//! Counts crash images and keeps what was wrong with them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Instant;

/// So many wrong images are enough to know.
const ENOUGH: u64 = 24;
/// So many of them are told in full.
const TOLD: usize = 12;

/// Counts images and keeps what was wrong with them.
pub struct Tally {
    name: &'static str,
    begun: Instant,
    images: AtomicU64,
    moments: AtomicU64,
    wrong: AtomicU64,
    complaints: Mutex<Vec<String>>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(name: &'static str) -> Self {
        Tally {
            name,
            begun: Instant::now(),
            images: AtomicU64::new(0),
            moments: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            complaints: Mutex::new(Vec::new()),
        }
    }

    /// Counts a moment of which images are made.
    pub fn moment(&self) {
        self.moments.fetch_add(1, Ordering::Relaxed);
    }

    /// Judges one image, unless more than enough were wrong. A panic is as bad as an error.
    pub fn image(&self, label: impl Fn() -> String, judge: impl FnOnce() -> Result<(), String>) {
        if self.wrong.load(Ordering::Relaxed) > ENOUGH {
            return;
        }
        self.images.fetch_add(1, Ordering::Relaxed);
        if let Err(complaint) = without_panic(judge) {
            self.wrong.fetch_add(1, Ordering::Relaxed);
            let mut complaints = self.complaints();
            if complaints.len() < TOLD {
                complaints.push(format!("{}: {complaint}", label()));
            }
        }
    }

    /// How many images were judged.
    pub fn images(&self) -> u64 {
        self.images.load(Ordering::Relaxed)
    }

    /// How many moments they were made of.
    pub fn moments(&self) -> u64 {
        self.moments.load(Ordering::Relaxed)
    }

    /// The first thing that was wrong.
    pub fn first_complaint(&self) -> Option<String> {
        self.complaints().first().cloned()
    }

    /// Says how much was done, and panics if anything was wrong.
    #[track_caller]
    pub fn end(&self) {
        let wrong = self.wrong.load(Ordering::Relaxed);
        let (images, moments, time) = (self.images(), self.moments(), self.begun.elapsed());
        println!("{}: {images} images of {moments} moments in {time:.1?}, {wrong} wrong", self.name);
        assert!(wrong == 0, "{wrong} of {images} images are wrong:\n{}", self.complaints().join("\n"));
    }

    fn complaints(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `judge`; a panic in it becomes a complaint that says where it happened.
pub fn without_panic(judge: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(judge)).unwrap_or_else(|_| {
        let told = LAST_PANIC.with(Cell::take);
        Err(told.unwrap_or_else(|| "a panic".into()))
    })
}

thread_local! {
    static LAST_PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// From now on panics are kept for [`without_panic`] instead of being printed.
pub fn keep_panics() {
    static KEPT: Once = Once::new();
    KEPT.call_once(|| {
        std::panic::set_hook(Box::new(|panic| LAST_PANIC.set(Some(panic.to_string()))));
    });
}

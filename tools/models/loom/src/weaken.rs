//! Weakening one ordering on purpose.
//!
//! A *site* is a place that names an ordering: a line of the library's source, or one of the named accesses of the
//! model's own memory. A *weakening* is a site and the half of its ordering that is taken away. Every run notes the
//! weakenings that it could have suffered, so that none is forgotten.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::sync::{LazyLock, Mutex, OnceLock};

use crate::mutants;

/// What is taken away of an ordering.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Half {
    Acquire,
    Release,
    /// The total order among fences; what is left is `AcqRel`.
    SeqCst,
    /// The Acquire of a compare-exchange that fails.
    Failure,
}

impl Half {
    pub(crate) const BOTH: [Half; 2] = [Half::Acquire, Half::Release];
    pub(crate) const FENCE: [Half; 3] = [Half::Acquire, Half::Release, Half::SeqCst];

    /// The ordering without this half; `None` if it has no such half.
    fn without(self, order: Ordering) -> Option<Ordering> {
        match (self, order) {
            (Half::Acquire | Half::Failure, Ordering::Acquire) => Some(Ordering::Relaxed),
            (Half::Release, Ordering::Release) => Some(Ordering::Relaxed),
            (Half::Acquire, Ordering::AcqRel) => Some(Ordering::Release),
            (Half::Release, Ordering::AcqRel) => Some(Ordering::Acquire),
            (Half::SeqCst, Ordering::SeqCst) => Some(Ordering::AcqRel),
            _ => None,
        }
    }
}

/// The weakenings of this process, by name; none in a plain run.
static CHOSEN: OnceLock<Vec<String>> = OnceLock::new();

/// What a site's ordering has become, decided when it first came by.
static DECIDED: LazyLock<Mutex<HashMap<(Site, Ordering), Ordering>>> = LazyLock::new(Mutex::default);

/// The names of the weakenings that came by.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Site {
    Line(&'static Location<'static>),
    Named(&'static str),
}

/// Weakens orderings from here on.
pub(crate) fn choose(names: Vec<String>) {
    CHOSEN.set(names).expect("once a process");
}

/// The names of the weakenings that came by.
pub(crate) fn seen() -> Vec<String> {
    SEEN.lock().unwrap().iter().cloned().collect()
}

/// The ordering that a line of the library's source gets.
#[track_caller]
pub(crate) fn weakened(order: Ordering, halves: &[Half]) -> Ordering {
    decide(Site::Line(Location::caller()), order, halves)
}

/// Whether the store of this line of the library's source is left out, rather than weakened.
#[track_caller]
pub(crate) fn is_left_out() -> bool {
    static STORES: LazyLock<Mutex<HashMap<Site, bool>>> = LazyLock::new(Mutex::default);
    let Some(chosen) = mutants::left_out() else { return false };
    let site = Site::Line(Location::caller());
    *STORES.lock().unwrap().entry(site).or_insert_with(|| site.to_string() == chosen)
}

/// The ordering that a named access of the model's memory gets.
pub(crate) fn at(name: &'static str, order: Ordering) -> Ordering {
    decide(Site::Named(name), order, &Half::BOTH)
}

/// The same of a fence.
pub(crate) fn at_fence(name: &'static str, order: Ordering) -> Ordering {
    decide(Site::Named(name), order, &Half::FENCE)
}

fn decide(site: Site, order: Ordering, halves: &[Half]) -> Ordering {
    if order == Ordering::Relaxed {
        return order;
    }
    let mut decided = DECIDED.lock().unwrap();
    *decided.entry((site, order)).or_insert_with(|| {
        let mut result = order;
        for &half in halves {
            let Some(weaker) = half.without(order) else { continue };
            let name = format!("{site} | {half:?}");
            if CHOSEN.get().is_some_and(|chosen| chosen.contains(&name)) {
                result = weaker;
            }
            SEEN.lock().unwrap().insert(name);
        }
        result
    })
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Site::Line(place) => Source(place).fmt(f),
            Site::Named(name) => f.write_str(name),
        }
    }
}

/// A line of the library's source, by what stands there: numbers would go stale.
struct Source<'a>(&'a Location<'a>);

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.file();
        let file = path.rsplit_once("src/").map_or(path, |(_, file)| file);
        let source = std::fs::read_to_string(format!("{}/{file}", crate::LIBRARY)).unwrap_or_default();
        let line = source.lines().nth(self.0.line() as usize - 1).unwrap_or("?").trim();
        // Of equal lines in one file the later ones are numbered.
        let earlier = source.lines().take(self.0.line() as usize - 1).filter(|other| other.trim() == line);
        match earlier.count() {
            0 => write!(f, "{file}: {line}"),
            n => write!(f, "{file}: {line} ({})", n + 1),
        }
    }
}

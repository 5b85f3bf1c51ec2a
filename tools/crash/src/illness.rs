//! What is wrong with a disk, and the errors that this may lead to.

use tophash::Error;
use tophash::sim::{Failure, Fault};

/// Room on the disk when it is not full.
pub const ROOMY: u64 = 1 << 30;

/// What is wrong with a disk. Calls are counted from the first disk on, also when a crash makes another.
#[derive(Clone, Debug)]
pub struct Illness {
    /// Calls that fail.
    pub faults: Vec<Fault>,
    /// From this call on the disk has only so many bytes left.
    pub full: Option<(u64, u64)>,
    /// Steps from the first error, or from the full disk, until all of this is over.
    pub steps: usize,
    /// Steps of the script after that; all of them where it is `None`.
    pub aftermath: Option<usize>,
    /// One call in so many is where crashes are looked at, once something is wrong.
    pub crash_one_in: u64,
}

impl Illness {
    /// Nothing is wrong.
    pub const NONE: Illness =
        Illness { faults: Vec::new(), full: None, steps: 0, aftermath: None, crash_one_in: 0 };

    /// One failure, and nine steps with it.
    pub fn of(fault: Fault) -> Self {
        Illness { faults: vec![fault], steps: 9, crash_one_in: 60, ..Illness::NONE }
    }

    /// A disk with so many bytes left from this call on, for 14 steps.
    pub fn full(from: u64, room: u64) -> Self {
        Illness { full: Some((from, room)), steps: 14, crash_one_in: 60, ..Illness::NONE }
    }

    /// Whether one of the calls that fail may say that the disk is full.
    pub fn may_lack_space(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.failure, Failure::NoSpace | Failure::Short))
    }
}

/// Whether this is one of the errors that may come, on a handle that was poisoned before or is now, when calls have
/// failed or not.
pub fn is_typed(
    error: &Error,
    (was_poisoned, poisoned): (bool, bool),
    failed: bool,
    lacks_space: bool,
) -> bool {
    match error {
        Error::Poisoned => poisoned,
        _ if was_poisoned => false,
        Error::NoSpace { .. } => lacks_space,
        Error::Io { source, .. } => failed && source.kind() != std::io::ErrorKind::ResourceBusy,
        _ => false,
    }
}

//! Whole-file work: recovery, reports, verification.

pub(crate) mod inspect;
pub(crate) mod records;
pub(crate) mod recover;
pub(crate) mod verify;

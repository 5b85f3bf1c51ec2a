//! Whole-file work: recovery, reports, verification.
//!
//! * [`recover`]: the order of an opening; [`read`] maps what a header names, [`replay`] applies the log.
//! * [`records`]: the log as the table sees it.
//! * [`scan`]: the records of a segment, past damage; for verification and salvage.
//! * [`kept`]: a checkpoint that stays as it is beside a writer; [`backup`]: a copy of it.
//! * [`inspect`], [`verify`], [`extents`]: what [`Store`](crate::Store)'s reports are made of.

pub(crate) mod backup;
pub(crate) mod extents;
pub(crate) mod inspect;
pub(crate) mod kept;
mod read;
pub(crate) mod records;
pub(crate) mod recover;
mod replay;
pub(crate) mod scan;
pub(crate) mod verify;

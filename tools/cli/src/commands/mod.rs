//! One file per verb: its arguments, what it does, what it prints.

pub mod add;
pub mod backup;
pub mod buckets;
pub mod checkpoint;
pub mod clear;
pub mod compact;
pub mod completions;
pub mod create;
pub mod del;
pub mod dump;
pub mod export;
pub mod get;
pub mod growth;
pub mod import;
pub mod info;
pub mod man;
pub mod salvage;
pub mod set;
pub mod stats;
pub mod verify;

//! The command as a user runs it: the real binary on real files.

mod backup;
mod entries;
mod exit_codes;
mod import;
mod output;
mod reports;
mod salvage;
mod support;
mod typed;

//! The library's mutants; one can be left out.

#![allow(dead_code, reason = "most are about steps that no model has")]

use std::sync::OnceLock;

#[path = "../../../../src/mutants/table.rs"]
mod table;
pub use table::Mutant;

static LEFT_OUT: OnceLock<String> = OnceLock::new();

/// Leaves out what this mutant names, or a store of the library's source.
pub(crate) fn leave_out(step: &str) {
    LEFT_OUT.set(step.to_owned()).expect("once a process");
}

/// What is left out in this process.
pub(crate) fn left_out() -> Option<&'static str> {
    LEFT_OUT.get().map(String::as_str)
}

pub(crate) fn kept(mutant: Mutant) -> bool {
    left_out().is_none_or(|name| *name != format!("{mutant:?}"))
}

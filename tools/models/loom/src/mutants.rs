//! The library's mutants; one can be left out.

#![allow(dead_code, reason = "most are about steps that no model has")]

use std::sync::OnceLock;

#[path = "../../../../src/mutants/table.rs"]
mod table;
pub use table::Mutant;

static LEFT_OUT: OnceLock<String> = OnceLock::new();

/// Leaves out what this mutant names.
pub(crate) fn leave_out(mutant: &str) {
    LEFT_OUT.set(mutant.to_owned()).expect("once a process");
}

pub(crate) fn kept(mutant: Mutant) -> bool {
    LEFT_OUT.get().is_none_or(|name| *name != format!("{mutant:?}"))
}

//! The library's mutants; one can be on.

use std::sync::OnceLock;

#[path = "../../../../src/mutants/table.rs"]
mod table;
pub use table::Mutant;

pub static ON: OnceLock<Mutant> = OnceLock::new();

pub(crate) fn kept(mutant: Mutant) -> bool {
    ON.get() != Some(&mutant)
}

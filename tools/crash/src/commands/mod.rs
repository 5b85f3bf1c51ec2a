//! One file a verb.

pub mod faults;
pub mod flip;
#[cfg(feature = "mutants")]
mod mutants;
pub mod sim;

//! One file a verb.

pub mod faults;
pub mod flip;
#[cfg(feature = "mutants")]
mod mutants;
pub mod kill;
pub mod powercut;
pub mod sim;
pub mod worker;

//! One file a verb.

pub mod faults;
pub mod flip;
pub mod kill;
#[cfg(feature = "mutants")]
mod mutants;
pub mod powercut;
pub mod sim;
pub mod worker;

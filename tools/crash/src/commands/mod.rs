//! One file a verb.

#[cfg(feature = "mutants")]
mod mutants;
pub mod flip;
pub mod sim;

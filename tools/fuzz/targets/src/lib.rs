//! What the fuzzers of `tools/fuzz` do with an input.
//!
//! * [`open`]: a file that was damaged, or never was one, is opened and read in every way there is.
//! * [`operations`]: a file that may be damaged is opened and worked with.
//! * [`parsers`]: what the command parses.
//!
//! Each takes any bytes and panics where the product is wrong. An input is not a file but the way to one: which of
//! the `samples` it begins with, `edit`s, and which checksums `fix` sets right afterwards, because no fuzzer
//! guesses one. Where none is, the rule is *no wrong value*: what a store then yields for a key was once stored for
//! it. Where some are, the file is a forgery, and the rule is *no panic, no endless walk, no untyped error*.
//!
//! Plain stable Rust, so that `cargo test --workspace` replays the corpus.

mod content;
mod edit;
mod fix;
mod layout;
mod open;
mod operations;
mod parsers;
mod samples;

pub use open::{describe_open, open};
pub use operations::{describe_operations, operations};
pub use parsers::parsers;

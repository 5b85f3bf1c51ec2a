//! Maps with types: [`Store`](crate::Store) keeps bytes, these keep what the bytes mean.
//!
//! A file says what its keys and values are: its [`Schema`](crate::Schema) has the names of their types, and is compared
//! when it is opened. [`DynMap`] takes that for what it is, at run time.
//!
//! Behind each map stands a store, which is never handed out: whoever wrote bytes past the types could write what they do
//! not allow. Where both types have a fixed width of at most 128 bytes the cells of the table hold them (the *inline*
//! layout), else records do; [`bytes`] is where these two ways part, and nothing above it knows them.

mod built_in;
mod bytes;
mod dynamic;
mod file;

pub use dynamic::{DynIter, DynMap};

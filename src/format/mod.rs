//! Bytes only: every structure of the file, encode beside decode, pure and safe.
//!
//! `format.md` draws each of them once, with offsets; the code here asserts those offsets. Nothing in
//! this module knows a file, a lock or a thread.

pub mod bucket;

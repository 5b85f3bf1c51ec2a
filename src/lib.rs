//! Go's map, in a file.
mod error;
mod file;
#[doc(hidden)]
pub mod format;
mod seam;
#[doc(hidden)]
pub mod table;

pub use error::{Detail, Error, Result};

//! Maps with types: [`Store`](crate::Store) keeps bytes, these keep what the bytes mean.
//!
//! A type says by its [`Codec`] how its values are stored and what it is called. A file says what its keys and values are:
//! its [`Schema`](crate::Schema) has the names of their types, and is compared when it is opened. [`Map`] and [`Set`] are of
//! types that the program knows; [`DynMap`] takes a file for what it is, at run time.
//!
//! Behind each map stands a store, which is never handed out: whoever wrote bytes past the types could write what they do
//! not allow. Where both types have a fixed width of at most 128 bytes the cells of the table hold them (the *inline*
//! layout), else records do; `bytes` is where these two ways part, and nothing above it knows them.
//!
//! A change that is an error has changed nothing, and that goes for codecs too: one that may refuse the value before is
//! asked before that is replaced.

mod batch;
mod built_in;
pub(crate) mod bytes;
mod codec;
mod dynamic;
mod entry;
mod file;
mod integer;
mod iter;
mod many;
#[cfg(feature = "serde")]
mod postcard;
mod set;
mod snapshot;
mod typed;

pub use batch::MapBatch;
pub use codec::{Codec, Fixed, Key};
pub use dynamic::{DynIter, DynMap};
pub use entry::{Entry, ModifiedEntry};
pub use integer::Integer;
pub use iter::{MapIter, MapKeys, MapValues};
pub use many::MapGetMany;
#[cfg(feature = "serde")]
pub use postcard::{Named, Postcard};
pub use set::Set;
pub use snapshot::{DynSnapshot, MapSnapshot, MapSnapshotIter};
pub use typed::Map;

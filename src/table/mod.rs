//! Go's map over any memory of atomic words. Knows no file, no log and no lock.
//!
//! # What it is
//!
//! A hash table is an [`Array`] of 2^B *buckets*. A bucket has eight cells; the low B bits of a key's hash
//! choose the bucket, the top byte of the hash is kept as the cell's *tophash*, so that a lookup compares
//! eight cells at once and seldom touches a record that is not the one it wants. A ninth key goes to an
//! *overflow bucket* chained behind. A cell points at a record, which belongs to the layer above, or holds key and elem itself:
//! that is the *layout*, and [`Cells`] is all that the two differ in.
//!
//! # How it grows
//!
//! When the next key would exceed the load factor, the table takes an array of twice the size; when it has
//! about as many overflow buckets as buckets, most of them nearly empty after many removals, it takes one
//! of the same size, and the entries are packed densely again. Either way nothing is moved at once: the
//! array becomes the *old* one, and every put and remove *evacuates* the old bucket that its key belongs to
//! and one more, the one at `nevacuate`. An evacuated bucket keeps its cells and bears marks that say where
//! they went. When `nevacuate` has passed the last old bucket, the old array goes.
//!
//! # How it shrinks
//!
//! When a removal leaves less than an eighth of the entries that the table has room for, it takes an array of half the
//! size, which Go never does. That is a growth like the others, but for what is evacuated in one step (C6): the *pair* of
//! old buckets that become the same new one, so that this is whole at once, and `nevacuate` counts pairs. Two chains are
//! copied, then marked one after the other. A reader that finds a mark in its chain finds what was there in the new
//! array; one that finds none in the other goes on in that one, which is what it was.
//!
//! # Two phases
//!
//! Every change is prepared, then logged by the store, then made. [`Table::prepare_put`] and its siblings do
//! all that can fail (C12, D18): they touch the pages, walk the chains, check what a hostile file could have
//! put there, read the records that a split beyond B = 24 needs, and reserve memory; the result is a
//! [`Plan`]. [`Table::put`] and its siblings carry the plan out and can't fail. Between the two nothing else
//! may change the table. A put or a removal decides at its start whether a growth begins; a replay is told by the log
//! instead (D15), and everything else follows from the operations, cell for cell.
//!
//! A batch has its keys' buckets evacuated beforehand, in steps of their own that the log tells of; then each of its
//! changes is one of a cell, and does no growth work ([`Table::locate_settled`] and what follows it).
//!
//! # Who may touch what
//!
//! [`Table`] is the writer's: whoever holds the writer lock has it `&mut`. Readers hold a [`Geometry`], the
//! immutable set of arrays that the writer last published ([`Host::publish`]), and look at the buckets while
//! the writer changes them:
//!
//! * Every store of the writer is Release and every load of a tophash word, a cell or a link is Acquire (C4).
//!   A cell that has more than one word is stored under a sequence counter, and readers of it look there twice (C8).
//!   A cell is stored before the tophash that shows it, an overflow bucket filled before it is linked, and
//!   an evacuated chain is complete in the new array before the first mark is set in the old one.
//! * Evacuation and removal change tophash words only. So an evacuated chain can be walked for ever, and a
//!   reader that saw a tophash just before it went away still finds a whole cell under it. It may be another
//!   key's by then; the key is compared, so that shows. Or it may be the reader's own key, which is being put and
//!   has no tophash yet: what was found counts if there is a tophash still. A key that is present throughout a lookup
//!   has a cell of its own that nothing else is written to, and is found. A key that is missed was absent at
//!   some moment of the lookup: removed, and perhaps put back into a cell that the reader had passed.
//! * The marks of a chain are set head first, and after the geometry in which the chain is old was
//!   published. A walk that meets a mark starts again from the geometry (see [`lookup`]).
//!
//! # Invariants
//!
//! [`check()`] verifies them all.
//!
//! * Overflow buckets are taken in order and never given back: along a chain their indexes rise. So no chain
//!   of a damaged file can be a circle, and every walk is bounded.
//! * Behind an `EMPTY_REST` cell a chain is empty, and no chain ends in `EMPTY_ONE`.
//! * The chain of an old bucket is evacuated as a whole or not at all, and so are the two of a pair; below `nevacuate`
//!   all are.
//! * A bucket of the new array is blank until its old bucket is evacuated.

mod array;
mod assign;
mod batch;
mod cells;
mod check;
mod counters;
mod geometry;
mod grow;
mod hash;
mod inspect;
mod iter;
mod lookup;
mod plan;
mod relocate;
mod remove;
mod sequence;
mod slot;
mod warm;

#[cfg(test)]
mod heap;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub use array::BucketIndex;
pub use array::{Array, MAX_B};
pub use assign::{NextArray, Table};
pub use cells::{Cells, InlineCells, InlineEntry, InlineKey, InlinePut, KeyedCells, Name, in_record};
#[cfg(test)]
pub use check::Fault;
pub use check::{WhichArray, check};
pub use counters::{Counters, LoadFactor};
pub use geometry::{Geometry, Growth, Host, Old};
pub use grow::ClearPlan;
pub use hash::{HashKind, KeyHasher};
pub use inspect::{BucketCells, Shape, chain, shape};
pub use iter::Walk;
pub use lookup::{foresee, lookup, peek, prefetch, prefetch_to_change};
pub use plan::{Plan, Spot, Trigger};
pub use slot::Slot;

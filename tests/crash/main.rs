//! Crashes, failing calls, full disks and damage, over the simulated disk ([`tophash::sim`]).
//!
//! A *program* runs a script of operations on a simulated disk. At each of its calls, and at stores into mapped
//! memory, the disk is asked what a crash at this moment would leave; each such *image* is opened and compared with
//! what the rules of durability (D1 to D22) promise:
//!
//! * a store that was killed holds every acknowledged operation;
//! * one whose power was cut holds a prefix of them, with everything that was synced;
//! * both verify clean, have the table (cell for cell) that the undisturbed store had at that operation, and go on.
//!
//! * [`content`]: keys, values that can be recognised, and digests of whole stores.
//! * [`life`]: a history of operations, and what a store holds after each of them.
//! * [`script`]: the operations of the main trace.
//! * [`program`]: runs a script and says how far it is.
//! * [`image`]: opens what a crash left and judges it.
//! * the tests: [`everywhere`], [`recovery`], [`faults`], [`full_disk`], [`threads`], [`creation`], [`damage`].

mod content;
mod creation;
mod damage;
mod everywhere;
mod faults;
mod full_disk;
mod image;
mod life;
mod program;
mod recovery;
mod script;
mod threads;

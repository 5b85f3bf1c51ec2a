//! The crash kit: crashes, failing disks, kills, power cuts and damage, over the simulated disk
//! ([`tophash::sim`]) and over real ones.
//!
//! A *program* runs a script of operations on a simulated disk. At each of its calls, and at stores into mapped
//! memory, the disk is asked what a crash at this moment would leave; each such *image* is opened and compared with
//! what the rules of durability (D1 to D22) promise:
//!
//! * a store that was killed holds every acknowledged operation;
//! * one whose power was cut holds a prefix of them, with everything that was synced;
//! * both verify clean, have the table (cell for cell) that the undisturbed store had at that operation, and go on.
//!
//! * [`subject`]: the store that is attacked, in one of several forms.
//! * [`content`]: keys, values that can be recognised, and digests of whole stores.
//! * [`life`]: a history of operations, and what a store holds after each of them.
//! * [`script`]: what programs do in the tests; [`workload`]: what a seed makes them do.
//! * [`program`]: runs a script and says how far it is.
//! * [`held`]: snapshots that a program holds, and the copies that it makes.
//! * [`image`]: opens what a crash left and judges it.
//! * [`crashes`]: crashes a program everywhere.
//! * [`patient`]: a program on a disk that fails or is full: [`illness`] is what is wrong with it, [`chart`] what is
//!   known about the program.
//! * [`every_call`]: has each call of a program fail. [`creation`]: several programs that make one store.
//!   [`full_disk`]: fills a disk and empties it.
//! * [`recovery`]: crashes recoveries, and has them fail.
//! * [`damage`]: files with bits, sectors and ends that are not what was written; [`flip`]: every bit of one.
//! * [`suite`]: cycles that a seed decides about, made of all these.
//! * [`worker`]: the real process that does what a [`session`] says; [`process`]: its parent, which ends it.
//! * [`history`]: what its file must hold; [`kills`] and [`power`]: many such ends.
//! * [`volume`]: a real file system that loses its power.
//! * [`scratch`]: where files are.
//! * [`tally`]: counts images and keeps what was wrong with them.
//! * [`campaign`]: many cycles, each with a seed of its own.

pub mod beside;
pub mod campaign;
pub mod chart;
pub mod content;
pub mod crashes;
pub mod creation;
pub mod damage;
pub mod every_call;
pub mod flip;
pub mod full_disk;
pub mod held;
pub mod history;
pub mod illness;
pub mod image;
pub mod kills;
pub mod life;
pub mod patient;
pub mod power;
pub mod process;
pub mod program;
pub mod recovery;
pub mod scratch;
pub mod script;
pub mod session;
pub mod subject;
pub mod suite;
pub mod tally;
pub mod volume;
pub mod worker;
pub mod workload;

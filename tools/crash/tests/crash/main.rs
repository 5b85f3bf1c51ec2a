//! What the crash kit attacks, in small: crashes, failing calls, full disks and damage.

mod background;
mod creation;
mod damage;
mod everywhere;
mod faults;
mod full_disk;
mod recovery;
mod threads;

//! What goes wrong around the program: it is killed, the power fails, the disk is full or takes no writes, files are damaged,
//! lost or of another version, the clock is put back. `disks.rs` and `traces.rs` are the hands of these tests.
//!
//! Some need what not every machine has (the right to mount, `strace`, `libfaketime`): without it they say so, and pass.

mod clock;
mod damage;
mod descriptors;
mod disk_full;
pub mod disks;
mod kills;
mod lost_keys;
mod power_loss;
mod read_only;
mod restored_files;
pub mod traces;
mod two_servers;
mod versions;

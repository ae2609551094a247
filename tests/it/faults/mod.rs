//! Failures around the program: kills, power loss, full and read-only disks, damaged or lost files, files of another
//! version, networks that are cut, and clocks set back. `disks.rs`, `networks.rs` and `traces.rs` are helpers.
//!
//! Some tests need what not every machine has (permission to mount, network namespaces, `strace`, a C compiler): without it they print a
//! message and pass.

pub mod clock;
mod damage;
mod descriptors;
mod disk_full;
pub mod disks;
mod fail_over;
mod kills;
mod lost_disk;
mod lost_keys;
mod networks;
pub mod nodes;
mod partitions;
mod power_loss;
mod read_only;
mod restored_files;
mod standby;
pub mod traces;
mod two_servers;
mod versions;

//! Executors: where handlers run, and the threads of their own that three of these have.

use std::io;
use std::sync::Arc;

use crate::storage::{DATABASE_THREADS, Share, Supervisor, Threads};
use crate::tenancy::{Group, Pools};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In one turn of the layer's file: a `GET` reads, all others write.
    Turn,
    /// On a thread beside the lanes, for what touches two files, or the file system: it takes its turns itself.
    Steps,
    /// As `Steps`, on the few threads that hash passwords, which are slow and hungry.
    Hashing,
    /// As `Steps`, on the few threads for what takes seconds, and a file's write lane all that time.
    Bulk,
    /// At once, on the connection's own thread: it needs neither a file nor time, nor anything of its caller.
    Here,
}

impl Place {
    /// Those that have threads of their own.
    pub const WITH_THREADS: [Self; 3] = [Self::Steps, Self::Hashing, Self::Bulk];

    /// The name of its threads, in metrics too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Turn => DATABASE_THREADS,
            Self::Steps => "steps",
            Self::Hashing => "hashing",
            Self::Bulk => "bulk",
            Self::Here => "here",
        }
    }

    pub fn threads(self, executors: &Executors) -> Option<&Threads> {
        match self {
            Self::Steps => Some(&executors.steps),
            Self::Hashing => Some(&executors.hashing),
            Self::Bulk => Some(&executors.bulk),
            Self::Turn | Self::Here => None,
        }
    }

    /// The share of these threads that the workspaces of one account have. Hashing has none.
    pub fn share(self, group: &Group) -> Option<&Arc<Share>> {
        match self {
            Self::Steps => Some(&group.steps),
            Self::Bulk => Some(&group.bulk),
            Self::Hashing | Self::Turn | Self::Here => None,
        }
    }
}

/// The threads of the executors that have threads of their own.
pub struct Executors {
    pub steps: Threads,
    /// As few as there are processors: each hash keeps one busy, and its memory.
    hashing: Threads,
    /// For what keeps a database thread busy for seconds.
    bulk: Threads,
}

impl Executors {
    pub fn start(pools: Pools, hashing: usize, supervisor: &Arc<Supervisor>) -> io::Result<Self> {
        let start = |place: Place, count| Threads::start(place.name(), count, supervisor);
        Ok(Self {
            steps: start(Place::Steps, pools.steps)?,
            hashing: start(Place::Hashing, hashing)?,
            bulk: start(Place::Bulk, pools.bulk)?,
        })
    }
}

//! Executors: where handlers run, and the threads of their own that three of these have.

use std::io;
use std::sync::Arc;

use crate::storage::{DATABASE_THREADS, Share, Supervisor, Threads};
use crate::tenancy::{Group, Pools};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In one turn of the layer's file. A `GET` reads; all other methods write.
    Turn,
    /// On a blocking thread outside the lanes, for work on two files or on the file system. The handler takes its own
    /// turns.
    Steps,
    /// Like `Steps`, on the few threads for password hashing, which is slow and needs much memory.
    Hashing,
    /// Like `Steps`, on the few threads for work that takes seconds and holds a file's write lane meanwhile.
    Bulk,
    /// At once, on the connection's own thread. Such a handler is fast and uses neither a file nor the caller.
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
    /// One thread per processor: each hash occupies one, and its memory.
    hashing: Threads,
    /// For work that takes seconds.
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

//! Executors: where handlers run. Four of them have separate threads.

use std::io;
use std::sync::Arc;

use crate::storage::{DATABASE_THREADS, Share, Supervisor, Threads};
use crate::tenancy::{AccountGroup, Pools};

/// Sign-ins that wait for an identity provider at the same time.
const PROVIDER_THREADS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executor {
    /// In one turn of the layer's file. A `GET` reads; all other methods write.
    Transaction,
    /// On a blocking thread outside the lanes, for work on two files or on the file system. The handler takes its own
    /// turns.
    Blocking,
    /// Like `Blocking`, on the few threads for password hashing, which is slow and needs much memory.
    Hashing,
    /// Like `Blocking`, on the few threads for work that takes seconds and holds a file's write lane meanwhile.
    LongRunning,
    /// Like `Blocking`, on the few threads that wait for identity providers.
    Provider,
    /// At once, on the connection's own thread. Such a handler is fast and uses neither a file nor the caller.
    Inline,
}

impl Executor {
    /// The executors with separate threads.
    pub const WITH_THREADS: [Self; 4] = [Self::Blocking, Self::Hashing, Self::LongRunning, Self::Provider];

    /// The name of its threads, in metrics too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transaction => DATABASE_THREADS,
            Self::Blocking => "steps",
            Self::Hashing => "hashing",
            Self::LongRunning => "bulk",
            Self::Provider => "providers",
            Self::Inline => "here",
        }
    }

    pub fn threads(self, executors: &Executors) -> Option<&Threads> {
        match self {
            Self::Blocking => Some(&executors.blocking),
            Self::Hashing => Some(&executors.hashing),
            Self::LongRunning => Some(&executors.long_running),
            Self::Provider => Some(&executors.provider),
            Self::Transaction | Self::Inline => None,
        }
    }

    /// The share of these threads for the workspaces of one account. The others have no shares.
    pub fn share(self, group: &AccountGroup) -> Option<&Arc<Share>> {
        match self {
            Self::Blocking => Some(&group.blocking),
            Self::LongRunning => Some(&group.long_running),
            Self::Hashing | Self::Provider | Self::Transaction | Self::Inline => None,
        }
    }
}

/// The threads of the executors with separate threads.
pub struct Executors {
    pub blocking: Threads,
    /// One thread per processor: each hash occupies one, and its memory.
    hashing: Threads,
    /// For work that takes seconds.
    long_running: Threads,
    /// For requests to identity providers, which may take seconds.
    provider: Threads,
    /// One thread. A backup or a check takes minutes and holds no lane, so it must not keep requests from the threads
    /// above.
    pub background: Threads,
}

impl Executors {
    pub fn start(pools: Pools, hashing: usize, supervisor: &Arc<Supervisor>) -> io::Result<Self> {
        let start = |place: Executor, count| Threads::start(place.name(), count, supervisor);
        Ok(Self {
            blocking: start(Executor::Blocking, pools.blocking)?,
            hashing: start(Executor::Hashing, hashing)?,
            long_running: start(Executor::LongRunning, pools.long_running)?,
            provider: start(Executor::Provider, PROVIDER_THREADS)?,
            background: Threads::start("background", 1, supervisor)?,
        })
    }
}

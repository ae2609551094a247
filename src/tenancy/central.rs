//! The interface of the central file for the rest of the program: named reads and writes.
//!
//! The methods are in `central/`, each in the module that owns the rows. If several machines run one instance, these
//! methods are the requests to the machine that owns the central file. So only `central/` may pass closures to the
//! file.

use std::sync::Arc;

use rusqlite::Connection;

use crate::storage::{Fault, File};

pub struct Central {
    file: Arc<File>,
}

impl Central {
    pub fn new(file: Arc<File>) -> Self {
        Self { file }
    }

    /// Reads in a turn. For the modules of `central/`.
    pub fn read<T, E>(&self, work: impl FnMut(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        self.file.read(work)
    }

    /// Writes in a turn. For the modules of `central/`.
    pub fn write<T, E>(&self, work: impl FnMut(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        self.file.write(work)
    }

    /// The file, for requests of the central layer. Each runs in a turn of the file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }
}

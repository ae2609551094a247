//! The central file, as the rest of the program sees it: questions and changes that have names.
//!
//! The methods are in `central/`, each in the file of the rows that it reads or writes. A machine that does not own the
//! central file will have to ask the one that does: these methods are what it asks. Only `central/` takes turns in the file
//! by closures of its own.

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

    /// For requests of the central layer, which have their turns in it.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }
}

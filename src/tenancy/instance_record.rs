//! The row of the central file that identifies the instance: its id, and whether it is a demo.

use std::path::Path;

use rusqlite::Connection;
use uuid::Uuid;

use crate::storage::{self, uuid_column};

/// The data of the central file about its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceRecord {
    pub id: Uuid,
    pub is_demo: bool,
}

impl InstanceRecord {
    /// Reads the row. A central file of an earlier version has none until it is migrated.
    pub fn read(db: &Connection) -> rusqlite::Result<Option<Self>> {
        let has_table =
            db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'instance'")?.exists([])?;
        if !has_table {
            return Ok(None);
        }
        let row = db.query_row("SELECT id, is_demo FROM instance", [], |row| {
            Ok(Self { id: uuid_column(row, 0)?, is_demo: row.get(1)? })
        })?;
        Ok(Some(row))
    }

    /// Reads the row of the central file in a data directory, without migrating the file.
    pub fn of_data_dir(data: &Path) -> rusqlite::Result<Option<Self>> {
        Self::read(&storage::open_reader(&data.join("central.sqlite"))?)
    }

    /// Marks a new central file as a demo.
    pub fn mark_as_demo(central: &Path) -> anyhow::Result<()> {
        let mut db = storage::open_writer(central)?;
        storage::transaction(&mut db, |db| db.execute("UPDATE instance SET is_demo = 1", []))?;
        db.close().map_err(|(_, error)| error.into())
    }
}

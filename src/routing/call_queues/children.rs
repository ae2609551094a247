//! The time spans and exceptions inside a queue or a group. They are deleted with it.

use rusqlite::Connection;

use super::exceptions::RoutingException;
use super::parents::{OfParent, ParentType};
use super::time_spans::TimeSpan;
use crate::api::list::for_each_row;
use crate::api::{Result, entity_rows};
use crate::tenancy::ChangeRecorder;

/// Deletes all time spans and exceptions of a queue or a group.
pub fn delete_all(db: &Connection, recorder: &ChangeRecorder, kind: ParentType, id: i64) -> Result<()> {
    delete_each::<TimeSpan>(db, recorder, kind, id)?;
    delete_each::<RoutingException>(db, recorder, kind, id)
}

fn delete_each<T: OfParent>(db: &Connection, recorder: &ChangeRecorder, kind: ParentType, id: i64) -> Result<()> {
    for_each_row(db, T::PARENT[0], id, |row: T| {
        if row.parent() == (id, kind) { entity_rows::delete(db, recorder, &row) } else { Ok(()) }
    })
}

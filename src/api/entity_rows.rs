//! Writes rows of entities: each change with its checks, its indexes, its audit row and its webhook deliveries.

use rusqlite::Connection;

use super::entity::{Entity, ServerFields};
use super::error::Result;
use super::list::for_each_row;
use crate::tenancy::{ChangeRecorder, row_counts, text_indexes};
use crate::values::Timestamp;

/// A new row with its times.
pub fn timed<T: Entity>(mut new: T, now: Timestamp) -> T {
    let ServerFields { created_at, updated_at, .. } = new.server_fields();
    (*created_at, *updated_at) = (now, now);
    new
}

/// Adds a prepared row. Returns it as stored.
pub fn add<T: Entity>(db: &Connection, recorder: &ChangeRecorder, mut new: T) -> Result<T> {
    new.check(db, None)?;
    let brings_id = new.id() != 0;
    *new.server_fields().id = new.insert(db)?;
    if brings_id {
        row_counts::count_with_id(db, T::TABLE, new.id())?;
        text_indexes::note_with_id(db, T::TABLE, new.id())?;
    }
    new.index(db, None)?;
    recorder.created(db, T::RECORDED, &new)?;
    Ok(new)
}

/// Replaces a row by a prepared one, now. Returns it as stored.
pub fn change<T: Entity>(db: &Connection, recorder: &ChangeRecorder, old: &T, mut new: T) -> Result<T> {
    *new.server_fields().updated_at = recorder.at;
    rewrite(db, recorder, old, new)
}

/// Replaces a row by a prepared one that has its times. Returns it as stored.
pub fn rewrite<T: Entity>(db: &Connection, recorder: &ChangeRecorder, old: &T, mut new: T) -> Result<T> {
    new.check(db, Some(old))?;
    new.save(db, old)?;
    new.index(db, Some(old))?;
    recorder.updated(db, T::RECORDED, old, &new)?;
    Ok(new)
}

/// Deletes a row, and the rows inside it.
pub fn delete<T: Entity>(db: &Connection, recorder: &ChangeRecorder, row: &T) -> Result<()> {
    row.release(db, recorder)?;
    row.delete(db)?;
    Ok(recorder.deleted(db, T::RECORDED, row)?)
}

/// Merges `gone` into `old`, which becomes `new`. Everything that refers to `gone` and stays must refer to `old` already.
/// `gone` is deleted first: `new` may have a unique value of it.
pub fn merge<T: Entity>(db: &Connection, recorder: &ChangeRecorder, old: &T, mut new: T, gone: &T) -> Result<T> {
    gone.release(db, recorder)?;
    gone.delete(db)?;
    new.check(db, Some(old))?;
    new.save(db, old)?;
    new.index(db, Some(old))?;
    recorder.merged(db, T::RECORDED, (old, &new), gone)?;
    Ok(new)
}

/// Deletes every row with a value in a column.
pub fn delete_each<T: Entity>(
    db: &Connection,
    recorder: &ChangeRecorder,
    column: &'static str,
    value: i64,
) -> Result<()> {
    for_each_row(db, column, value, |row: T| delete(db, recorder, &row))
}

/// Moves every row of a customer to another one. Rows that it refers to move with it, and its indexes stay valid. Returns
/// the number of rows.
pub fn move_each<T: Entity>(db: &Connection, recorder: &ChangeRecorder, from: i64, to: i64) -> Result<usize> {
    redirect_each(db, recorder, "customer_id", from, |row: &mut T| row.set_customer(Some(to)))
}

/// Changes a reference of every row that has `value` in its column. Its indexes stay valid. Returns the number of rows.
pub fn redirect_each<T: Entity>(
    db: &Connection,
    recorder: &ChangeRecorder,
    column: &'static str,
    value: i64,
    redirect: impl Fn(&mut T),
) -> Result<usize> {
    let mut count = 0;
    for_each_row(db, column, value, |old: T| {
        let mut new = old.clone();
        redirect(&mut new);
        *new.server_fields().updated_at = recorder.at;
        new.save(db, &old)?;
        count += 1;
        Ok(recorder.updated(db, T::RECORDED, &old, &new)?)
    })?;
    Ok(count)
}

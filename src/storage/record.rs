//! The columns of a table, named once.

use rusqlite::{Connection, Row, ToSql};

/// A struct that is a row of a table. Implemented by `record!`.
///
/// Only the file of a resource writes its rows, so that every change is recorded.
pub trait Stored: Sized {
    const TABLE: &'static str;
    const COLUMNS: &'static str;
    /// The columns that SQL computes from others, each with its expression.
    const COMPUTED: &'static [(&'static str, &'static str)] = &[];

    /// Reads a row of `COLUMNS`.
    fn from_columns(row: &Row<'_>) -> rusqlite::Result<Self>;
    fn find(db: &Connection, id: i64) -> rusqlite::Result<Option<Self>>;
    /// Inserts the row and returns its key. SQLite assigns the key if `id` is 0.
    fn insert(&self, db: &Connection) -> rusqlite::Result<i64>;
    fn delete(&self, db: &Connection) -> rusqlite::Result<()>;
    /// The columns in which this row differs from another.
    fn columns_unlike(&self, other: &Self) -> Vec<&'static str>;
    /// The value of a column.
    fn value(&self, column: &str) -> &dyn ToSql;

    /// Writes what this row has changed of `old`, which the file has. SQLite writes each index again that has a column which
    /// the statement names, so it names no other columns.
    fn save(&self, db: &Connection, old: &Self) -> rusqlite::Result<()> {
        let changed = self.columns_unlike(old);
        let is_computed_anew = |from: &str| changed.iter().any(|column| from.contains(&format!(":{column}")));
        let computed = Self::COMPUTED.iter().filter(|(_, from)| is_computed_anew(from));
        let set = changed.iter().map(|column| format!("{column} = :{column}"));
        let set: Vec<String> = set.chain(computed.map(|(column, from)| format!("{column} = {from}"))).collect();
        if set.is_empty() {
            return Ok(());
        }
        let sql = format!("UPDATE {} SET {} WHERE id = :id", Self::TABLE, set.join(", "));
        let mut statement = db.prepare_cached(&sql)?;
        for index in 1..=statement.parameter_count() {
            let value = self.value(statement.parameter_name(index).unwrap_or_default().trim_start_matches(':'));
            statement.raw_bind_parameter(index, value)?;
        }
        statement.raw_execute().map(|_| ())
    }
}

/// Implements [`Stored`] for a struct whose fields are named like the columns of its table.
///
/// The first field is the integer key `id`. `with` names columns that SQL computes from the others and that are not
/// read. Parameters are named for people who read the SQL in a trace. They are bound by position: SQLite numbers them
/// in the order in which it first meets them.
macro_rules! record {
    ($type:ident in $table:literal { id, $($field:ident),+ $(,)? } $(with $($made:ident = $from:literal),+)?) => {
        impl $crate::storage::Stored for $type {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static str = concat!("id", $(", ", stringify!($field)),+);
            $(const COMPUTED: &'static [(&'static str, &'static str)] = &[$((stringify!($made), $from)),+];)?

            fn from_columns(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
                let mut column = 0..;
                let mut next = || column.next().expect("columns without end");
                Ok(Self { id: row.get(next())?, $($field: row.get(next())?),+ })
            }

            fn find(db: &rusqlite::Connection, id: i64) -> rusqlite::Result<Option<Self>> {
                use rusqlite::OptionalExtension;
                const SQL: &str =
                    concat!("SELECT id", $(", ", stringify!($field)),+, " FROM ", $table, " WHERE id = ?1");
                db.prepare_cached(SQL)?.query_row([id], Self::from_columns).optional()
            }

            fn insert(&self, db: &rusqlite::Connection) -> rusqlite::Result<i64> {
                const SQL: &str = concat!(
                    "INSERT INTO ", $table, " (id", $(", ", stringify!($field)),+ $($(, ", ", stringify!($made))+)?,
                    ") VALUES (nullif(:id, 0)", $(", :", stringify!($field)),+ $($(, ", ", $from)+)?, ")"
                );
                db.prepare_cached(SQL)?.insert(rusqlite::params![self.id, $(self.$field),+])
            }

            fn delete(&self, db: &rusqlite::Connection) -> rusqlite::Result<()> {
                db.prepare_cached(concat!("DELETE FROM ", $table, " WHERE id = ?1"))?.execute([self.id])?;
                Ok(())
            }

            fn columns_unlike(&self, other: &Self) -> Vec<&'static str> {
                let mut columns = Vec::new();
                $(if self.$field != other.$field {
                    columns.push(stringify!($field));
                })+
                columns
            }

            fn value(&self, column: &str) -> &dyn rusqlite::ToSql {
                $(if column == stringify!($field) {
                    return &self.$field;
                })+
                &self.id
            }
        }
    };
}
pub(crate) use record;

/// Reads a UUID column. UUIDs are stored as text, so that people can read them in the file.
pub fn uuid_column(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<uuid::Uuid> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error: uuid::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

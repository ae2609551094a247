//! Declares the columns of a resource once.

/// Ties a struct to its table. The field names are the column names in `COLUMNS`, `from_row`, `INSERT` and `UPDATE`.
///
/// The first field is the integer key `id`. `insert` returns the key; if `id` is 0, SQLite chooses it. `with` names a
/// column that SQL computes from the others and that is not read. Parameters have names in the SQL so that a trace is
/// readable. They are bound by position; SQLite numbers them in the order of their first use.
macro_rules! record {
    ($type:ident in $table:literal { id, $($field:ident),+ $(,)? } $(with $made:ident = $from:literal)?) => {
        impl $type {
            pub const COLUMNS: &'static str = concat!("id", $(", ", stringify!($field)),+);

            pub fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
                let mut column = 0..;
                let mut next = || column.next().expect("the range has no end");
                Ok(Self { id: row.get(next())?, $($field: row.get(next())?),+ })
            }

            fn insert(&self, db: &rusqlite::Connection) -> rusqlite::Result<i64> {
                const SQL: &str = concat!(
                    "INSERT INTO ", $table, " (id", $(", ", stringify!($field)),+ $(, ", ", stringify!($made))?,
                    ") VALUES (nullif(:id, 0)", $(", :", stringify!($field)),+ $(, ", ", $from)?, ")"
                );
                db.prepare_cached(SQL)?.insert(rusqlite::params![self.id, $(self.$field),+])
            }

            fn save(&self, db: &rusqlite::Connection) -> rusqlite::Result<()> {
                const SQL: &str = concat!(
                    "UPDATE ", $table, " SET id = id", $(", ", stringify!($field), " = :", stringify!($field)),+
                    $(, ", ", stringify!($made), " = ", $from)?,
                    " WHERE id = :id"
                );
                db.prepare_cached(SQL)?.execute(rusqlite::params![$(self.$field),+, self.id])?;
                Ok(())
            }

            pub fn find(db: &rusqlite::Connection, id: i64) -> rusqlite::Result<Option<Self>> {
                use rusqlite::OptionalExtension;
                const SQL: &str =
                    concat!("SELECT id", $(", ", stringify!($field)),+, " FROM ", $table, " WHERE id = ?1");
                db.prepare_cached(SQL)?.query_row([id], Self::from_row).optional()
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

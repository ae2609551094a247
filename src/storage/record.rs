//! The columns of a resource, named once.

/// Ties a struct to its table: the same names are its columns, in `COLUMNS`, in `from_row`, in `INSERT` and `UPDATE`.
///
/// The first field is the integer key `id`. `insert` leaves it to SQLite where it is 0, and answers the key.
/// `with` names a column that is made of the others by SQL, and not read.
/// Parameters have names in the SQL for whoever reads it in a trace; they are bound by place, which SQLite numbers in
/// the order in which it first meets them.
macro_rules! record {
    ($type:ident in $table:literal { id, $($field:ident),+ $(,)? } $(with $made:ident = $from:literal)?) => {
        impl $type {
            pub const COLUMNS: &'static str = concat!("id", $(", ", stringify!($field)),+);

            pub fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
                let mut column = 0..;
                let mut next = || column.next().expect("columns without end");
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

/// A UUID that is kept as text, for people who look into the file.
pub fn uuid_column(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<uuid::Uuid> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error: uuid::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

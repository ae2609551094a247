//! Small types with rules. A value that exists has passed its rules, so no other code checks them again.
//!
//! Each type parses itself from JSON, serializes as it was written, describes itself for OpenAPI, and can be stored in
//! SQLite. The error of the parser is a sentence that continues "The {field} ". `Default` is the blank that a request
//! body is laid over: for a required field, it is never an accepted value.

mod allowed_host;
pub mod checksum;
mod choice;
mod country;
mod custom_fields;
mod day;
mod days;
pub mod email;
mod email_domain;
mod flag;
pub mod integer;
pub mod json;
mod language;
mod locale;
mod networks;
pub mod normalize;
mod password;
pub mod phone;
mod public_address;
mod public_url;
mod row_id;
mod seconds;
mod subdomain;
mod text;
mod time_of_day;
mod time_zone;
mod timestamp;
mod token_ttl;
mod unique_list;
pub mod web_url;

pub use allowed_host::AllowedHost;
pub(crate) use choice::choice;
pub use country::Country;
pub use custom_fields::CustomFields;
pub use day::{Day, DayOfWeek, FullDate};
pub use days::Days;
pub use email::Email;
pub use email_domain::EmailDomain;
pub use flag::Flag;
pub use language::Language;
pub use locale::Locale;
pub use networks::Networks;
pub use password::{Password, prepare};
pub use public_address::is_public;
pub use public_url::PublicUrl;
pub use row_id::{RowId, id_in_query, nullable_id};
pub use seconds::Seconds;
pub use subdomain::Subdomain;
pub use text::{Name, Text};
pub use time_of_day::TimeOfDay;
pub use time_zone::TimeZone;
pub use timestamp::{Timestamp, civil};
pub use token_ttl::TokenTtl;
pub use unique_list::UniqueList;
pub use web_url::{UrlTemplate, WebUrl};

/// Implements SQLite storage for a newtype over `String`.
macro_rules! stored_as_text {
    ($type:ident $(<const $max:ident: usize>)?) => {
        impl$(<const $max: usize>)? rusqlite::ToSql for $type$(<$max>)? {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl$(<const $max: usize>)? rusqlite::types::FromSql for $type$(<$max>)? {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                String::column_result(value).map(Self)
            }
        }

        impl$(<const $max: usize>)? std::ops::Deref for $type$(<$max>)? {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl$(<const $max: usize>)? std::fmt::Display for $type$(<$max>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
use stored_as_text;

/// Implements `Deserialize` by `FromStr`. The error of `FromStr` is the sentence for the client.
macro_rules! read_from_text {
    ($type:ident) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(input)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use read_from_text;

/// Implements `JsonSchema` with this schema, always inline.
macro_rules! described {
    ($type:ident, $schema:expr) => {
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    };
}
pub(crate) use described;

/// Reads a list without duplicates, in its order. An error states the index of the bad item.
pub fn distinct<'de, D, T>(input: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de> + PartialEq,
{
    <Vec<T> as serde::Deserialize>::deserialize(input).map(unique)
}

/// Removes duplicates and keeps the order.
fn unique<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    let mut items = Vec::new();
    for item in all {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    items
}

/// Implements SQLite storage as JSON for a newtype. It is read without checking the rules, because a newer version may
/// have written it.
macro_rules! stored_as_json {
    ($type:ident) => {
        impl rusqlite::ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                let text = serde_json::to_string(&self.0);
                text.map(Into::into).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
            }
        }

        impl rusqlite::types::FromSql for $type {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                let read = serde_json::from_str(value.as_str()?);
                read.map(Self).map_err(|error| rusqlite::types::FromSqlError::Other(error.into()))
            }
        }
    };
}
pub(crate) use stored_as_json;

/// Implements SQLite storage for a newtype over `i64`.
macro_rules! stored_as_integer {
    ($type:ident) => {
        impl rusqlite::ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl rusqlite::types::FromSql for $type {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                i64::column_result(value).map(Self)
            }
        }
    };
}
use stored_as_integer;

//! Entities: rows of a workspace that are listed, read, created, changed and deleted by the same handlers (`crud.rs`).
//!
//! A resource declares an entity once, by `entity!`: its table, its fields with their filters and labels, and the
//! customer of a row. What differs from other resources is a method of [`Entity`] that the resource overrides.

use rusqlite::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::customer_scope::{CustomerOwned, Given, Scope};
use super::error::Result;
use super::list::Listable;
use crate::storage::Stored;
use crate::tenancy::journal::{ChangeRecorder, Recorded};
use crate::tenancy::phones::{self, PhoneColumns, PhoneText};
use crate::values::Timestamp;

/// The declaration of an entity. Implemented by `entity!`.
pub trait Declared: Stored + Listable + CustomerOwned + Clone + Send + 'static {
    /// The name in the audit log and in webhooks.
    const RECORDED: &'static Recorded;

    /// The resource of the permissions: `contact` of `contact.view`.
    const PERMISSIONS: &'static str;

    /// The phone numbers in the index.
    const NUMBERED: PhoneColumns;

    /// How a request names the customer that it is about.
    type Scope: Scope;

    fn id(&self) -> i64;

    /// The fields that only the server sets.
    fn server_fields(&mut self) -> ServerFields<'_>;

    /// The phone numbers of the row.
    fn phone_numbers(&self) -> Vec<(&'static str, &PhoneText)>;
}

/// The methods that an entity may override.
pub trait Entity: Declared {
    /// Completes a new row, or the replacement of `old`: assigns the customer that the caller or the file gives.
    fn prepare(&mut self, db: &Connection, _old: Option<&Self>, given: &Given<'_>) -> Result<()> {
        Self::Scope::assign(self, db, given)
    }

    /// Completes and checks a new row, or the replacement of `old`, right before it is written.
    fn check(&mut self, _db: &Connection, _old: Option<&Self>) -> Result<()> {
        Ok(())
    }

    /// Writes the indexes of the row, after it is written.
    fn index(&self, db: &Connection, old: Option<&Self>) -> Result<()> {
        let numbers = self.phone_numbers();
        match old {
            None => phones::insert(db, Self::TABLE, self.id(), &numbers)?,
            Some(old) if numbers != old.phone_numbers() => phones::save(db, Self::TABLE, self.id(), &numbers)?,
            Some(_) => {}
        }
        Ok(())
    }

    /// Deletes the rows inside the row and clears references to it, before it is deleted. May reject the deletion.
    fn release(&self, _db: &Connection, _author: &ChangeRecorder) -> Result<()> {
        Ok(())
    }
}

/// An entity that a body or a file creates and changes.
pub trait Editable: Entity + Default + PartialEq + DeserializeOwned + Serialize {
    /// The plural name in files and errors. In JSON, the rows may be under this name.
    const PLURAL: &'static str = Self::TABLE;

    /// The field that identifies a row of a file apart from its id.
    const KEY: Option<ImportKey> = None;
}

/// A field, and the SQL column in which it is looked up.
pub struct ImportKey {
    pub field: &'static str,
    pub column: &'static str,
}

/// An entity inside a parent. The path names the parent.
pub trait Nested: Editable {
    type Parent: Entity<Scope = Self::Scope>;

    /// The column that holds the id of the parent.
    const PARENT: &'static str;

    fn parent(&mut self) -> &mut i64;
}

/// The fields of a row that only the server sets.
pub struct ServerFields<'r> {
    pub id: &'r mut i64,
    pub created_at: &'r mut Timestamp,
    pub updated_at: &'r mut Timestamp,
}

/// Declares an entity: its struct, its table and its fields.
///
/// A field is a line of the struct, followed by its filter (a function of [`super::field`]) and its English and French
/// label. The macro adds `id`, `created_at` and `updated_at`.
macro_rules! entity {
    (
        $(#[$meta:meta])*
        pub struct $type:ident in $table:literal {
            $(
                $(#[$field_meta:meta])*
                $visible:vis $field:ident: $field_type:ty
                    => $kind:ident $(($($argument:expr),+))? $(.$method:ident($($value:expr),*))*
                    $(, $english:literal, $french:literal)?;
            )+
        }
        recorded: $recorded:expr, permissions: $permissions:literal, scope: $scope:ty;
        $(customer: $customer:ident;)?
        $(phones: [$($phone:ident),* $(,)?];)?
        $(phone_lists: [$($phone_list:ident),+];)?
        $(list: { $($property:ident: $setting:expr),+ $(,)? };)?
        $(also: [$($also:expr),+ $(,)?];)?
        $(computed: $($computed:ident = $from:literal),+;)?
    ) => {
        $(#[$meta])*
        pub struct $type {
            /// Id, assigned by the server.
            #[schemars(extend("readOnly" = true))]
            pub id: i64,
            $($(#[$field_meta])* $visible $field: $field_type,)+
            /// Time of creation (UTC).
            #[schemars(extend("readOnly" = true))]
            pub created_at: $crate::values::Timestamp,
            /// Time of the last change (UTC).
            #[schemars(extend("readOnly" = true))]
            pub updated_at: $crate::values::Timestamp,
        }

        $crate::storage::record!($type in $table {
            id, $($field,)+ created_at, updated_at,
        } $(with $($computed = $from),+)?);

        impl $crate::api::list::Listable for $type {
            const LISTING: $crate::api::list::ListSpec = {
                #[allow(unused_imports, reason = "no entity has fields of every kind")]
                use $crate::api::field::{
                    any_phone, choice, class, flag, integer, moment, object, phone, phone_number, phone_numbers, stored,
                    term, text, words,
                };
                const PLAIN: bool = <$scope as $crate::api::Scope>::NAMES_CUSTOMER;
                const FIELDS: &[$crate::api::field::Field] = &[
                    if PLAIN { integer("id").sorted() } else { integer("id").only_sorted() },
                    $($kind(stringify!($field) $($(, $argument)+)?)
                        $(.$method($($value),*))* $(.label($english, $french))?,)+
                    moment("created_at").sorted().label("Created", "Création"),
                    moment("updated_at").sorted().label("Changed", "Modification"),
                    $($($also,)+)?
                ];
                #[allow(clippy::needless_update, reason = "a resource may set every property")]
                $crate::api::list::ListSpec {
                    plain_filters: PLAIN,
                    $(customer: Some(stringify!($customer)),)?
                    $($($property: $setting,)+)?
                    ..$crate::api::list::ListSpec::of($table, <$type as $crate::storage::Stored>::COLUMNS, FIELDS)
                }
            };

            fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
                $crate::storage::Stored::from_columns(row)
            }
        }

        impl $crate::api::entity::Declared for $type {
            const RECORDED: &'static $crate::tenancy::journal::Recorded = $recorded;
            const PERMISSIONS: &'static str = $permissions;
            const NUMBERED: $crate::tenancy::phones::PhoneColumns = $crate::tenancy::phones::PhoneColumns {
                table: $table,
                columns: &[$($(stringify!($phone)),*)?],
                lists: &[$($(stringify!($phone_list)),+)?],
            };

            type Scope = $scope;

            fn id(&self) -> i64 {
                self.id
            }

            fn server_fields(&mut self) -> $crate::api::entity::ServerFields<'_> {
                let (id, created_at, updated_at) = (&mut self.id, &mut self.created_at, &mut self.updated_at);
                $crate::api::entity::ServerFields { id, created_at, updated_at }
            }

            fn phone_numbers(&self) -> Vec<(&'static str, &$crate::tenancy::phones::PhoneText)> {
                vec![$($((stringify!($phone), &self.$phone)),*)?]
            }
        }

        impl $crate::api::CustomerOwned for $type {
            $(
                fn customer_id(&self) -> Option<i64> {
                    $crate::api::CustomerColumn::get(&self.$customer)
                }

                fn set_customer(&mut self, customer: Option<i64>) {
                    $crate::api::CustomerColumn::set(&mut self.$customer, customer);
                }
            )?
        }
    };
}
pub(crate) use entity;

//! A merge of two customers: one is kept, the other is deleted. Everything that refers to the deleted one refers to the
//! kept one afterwards.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Customer;
use crate::api::{CallerScope, Ctx, Error, Id, Json, Query, Result, Saved, crud, entity_rows};
use crate::routing;
use crate::storage::Stored;
use crate::values::{Flag, RowId};
use crate::workspace::contacts::Contact;
use crate::workspace::crm::{chats::Chat, external_ids};
use crate::workspace::field_merge::{self, FieldChoices};
use crate::workspace::oauth::clients;
use crate::workspace::phone_calls::PhoneCall;
use crate::workspace::{duplicates, imports, integration_keys};

/// The other customer of a merge: `with` or `into`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("examples" = [{"with": 7, "fields": {"phone": "other"}}]))]
pub struct CustomerMerge {
    /// Id of the customer that is merged into this one and deleted. This requires the permission `customer.delete` too.
    with: Option<RowId>,
    /// The choice for each field that has one, by the name of the field. Only together with `with`. Without a choice, the
    /// customer keeps its value, and an empty field gets the other's. A number of the other customer is added in a free
    /// field, unless the customer has it. The notes of both are joined, and the custom fields united.
    fields: FieldChoices,
    /// Id of the customer to keep, instead of `with`. The customer in the path is merged into it and deleted. The fields of
    /// the kept customer do not change.
    into: Option<RowId>,
}

/// Options of a merge.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MovedKeys {
    /// Move the integration keys, OAuth clients and call-flow tokens to the customer that is kept. This requires the
    /// permissions to change them. Otherwise they are deleted.
    move_keys: Flag,
}

/// The customer that is kept, and the credentials that were deleted with the other customer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CustomerMerged {
    #[serde(flatten)]
    customer: Customer,
    /// The credentials that were deleted.
    ended: EndedCredentials,
    /// The rows that belonged to the deleted customer.
    moved: MovedFromCustomer,
}

/// Numbers of rows that moved from one customer to another.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MovedFromCustomer {
    /// Number of contacts.
    contacts: usize,
    /// Number of phone calls.
    phone_calls: usize,
    /// Number of chats.
    chats: usize,
    /// Number of rows of call routing, with those inside others.
    routing: usize,
}

/// Numbers of credentials that were bound to a customer and deleted with it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EndedCredentials {
    /// Number of deleted integration keys.
    #[schemars(range(min = 0))]
    integration_keys: i64,
    /// Number of deleted OAuth clients.
    #[schemars(range(min = 0))]
    oauth_clients: i64,
    /// Number of deleted call-flow tokens.
    #[schemars(range(min = 0))]
    cfd_tokens: i64,
}

impl EndedCredentials {
    /// Counts the credentials that are deleted together with a customer.
    fn with(db: &Connection, customer: i64) -> rusqlite::Result<Self> {
        db.prepare_cached(
            "SELECT (SELECT count(*) FROM integration_keys WHERE customer_id = ?1),
                    (SELECT count(*) FROM oauth_clients WHERE customer_id = ?1),
                    (SELECT count(*) FROM cfd_tokens WHERE customer_id = ?1)",
        )?
        .query_row([customer], |row| {
            Ok(Self { integration_keys: row.get(0)?, oauth_clients: row.get(1)?, cfd_tokens: row.get(2)? })
        })
    }
}

pub fn merge(
    ctx: &mut Ctx<'_>,
    Id(id): Id,
    Query(keys): Query<MovedKeys>,
    Json(merge): Json<CustomerMerge>,
) -> Result<Saved<CustomerMerged>> {
    let named: Customer = crud::find(ctx, &CallerScope, id)?;
    let other = |name: &str, other: RowId| {
        let other = Customer::find(ctx.db, other.get())?.filter(|other| other.id != id);
        other.ok_or_else(|| Error::invalid(format!("The selected {name} is invalid.")))
    };
    let (kept, merged, gone) = match (merge.with, merge.into) {
        (Some(with), None) => {
            ctx.require_permission("customer.delete")?;
            let gone = other("with", with)?;
            let merged = field_merge::merged(ctx.db, &named, &gone, &merge.fields)?;
            (named, merged, gone)
        }
        (None, Some(into)) if merge.fields.is_empty() => {
            let kept = other("into", into)?;
            (kept.clone(), kept, named)
        }
        (None, Some(_)) => return Err(Error::invalid("The fields field is prohibited when into is present.")),
        (Some(_), Some(_)) => return Err(Error::invalid("The with field is prohibited when into is present.")),
        (None, None) => return Err(Error::invalid("The with field is required when into is not present.")),
    };
    let moved = move_rows(ctx, gone.id, kept.id)?;
    // Credentials that are bound to the other customer were never granted access to the rows of this one.
    if keys.move_keys.0 {
        integration_keys::move_all(ctx, gone.id, kept.id)?;
        clients::move_all(ctx, gone.id, kept.id)?;
        routing::move_tokens(ctx, gone.id, kept.id)?;
    }
    let ended = EndedCredentials::with(ctx.db, gone.id)?;
    let customer = crud::merge_rows(ctx, &CallerScope, &kept, merged, &gone)?;
    Ok(Saved(CustomerMerged { customer, ended, moved }))
}

/// Moves everything of a customer but its credentials to another one.
fn move_rows(ctx: &Ctx<'_>, from: i64, to: i64) -> Result<MovedFromCustomer> {
    let (db, recorder) = (ctx.db, ctx.recorder()?);
    routing::check_may_merge(db, from, to)?;
    let moved = MovedFromCustomer {
        contacts: entity_rows::move_each::<Contact>(db, &recorder, from, to)?,
        phone_calls: entity_rows::move_each::<PhoneCall>(db, &recorder, from, to)?,
        chats: entity_rows::move_each::<Chat>(db, &recorder, from, to)?,
        routing: routing::move_all(db, &recorder, from, to)?,
    };
    external_ids::move_all(db, from, to)?;
    imports::move_all(db, from, to)?;
    duplicates::move_dismissals::<Customer>(db, from, to)?;
    Ok(moved)
}

#[cfg(test)]
mod tests;

//! The customer of a request. Every routing request names its customer in the query.

use std::collections::HashMap;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::api::list::{List, Listable};
use crate::api::{
    BlockingCtx, BodyKind, Ctx, CustomerOwned, Error, Given, Input, Operation, Query, Request, Result, Scope,
};
use crate::tenancy::customer_lookup;
use crate::values::Text;

/// The customer in the query. A customer in the body is rejected: it could only repeat the query or contradict it.
#[derive(Debug, Clone)]
pub struct CustomerParam {
    customer_account: Text<64>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct CustomerQuery {
    /// Account of the customer that the request is about. Optional for callers that are bound to one customer.
    #[schemars(example = &"CL000001")]
    customer_account: Text<64>,
}

impl Input for CustomerParam {
    fn read(request: &Request) -> Result<Self> {
        let Query(CustomerQuery { customer_account }) = Query::read(request)?;
        if request.accepts == BodyKind::Json && is_in(&request.body) {
            return Err(Self::prohibited());
        }
        Ok(Self { customer_account })
    }

    fn describe(operation: &mut Operation<'_>) {
        Query::<CustomerQuery>::describe(operation);
    }
}

/// Whether a body names a customer. Null does not count: clients send every field that they know.
fn is_in(body: &[u8]) -> bool {
    let fields = serde_json::from_slice::<HashMap<String, Option<IgnoredAny>>>(body);
    fields.is_ok_and(|fields| fields.get("customer_id").is_some_and(Option::is_some))
}

impl CustomerParam {
    /// The customer's id. A caller bound to one customer gets the same error for every other account, whether it exists
    /// or not.
    pub fn id(&self, ctx: &Ctx<'_>) -> Result<i64> {
        let account = self.customer_account.trim();
        if account.is_empty() {
            return ctx.bound_to().ok_or_else(|| Error::invalid("The customer account field is required."));
        }
        match (customer_lookup::with_account(ctx.db, account)?, ctx.bound_to()) {
            (named, Some(own)) if named != Some(own) => Err(Error::bound_to_customer()),
            (named, _) => named.ok_or_else(Error::customer_not_found),
        }
    }

    /// The error for a body, or an import row, that names a customer.
    pub fn prohibited() -> Error {
        Error::invalid("The customer id field is prohibited.")
    }
}

/// The customer in the query. If the query has none, the request is about all customers that the caller may see.
#[derive(Debug, Clone)]
pub struct OptionalCustomer(CustomerParam);

impl Input for OptionalCustomer {
    fn read(request: &Request) -> Result<Self> {
        CustomerParam::read(request).map(Self)
    }

    fn describe(operation: &mut Operation<'_>) {
        CustomerParam::describe(operation);
    }
}

impl OptionalCustomer {
    /// Limits a list to the customer.
    pub fn narrow<T: Listable>(&self, ctx: &Ctx<'_>, list: List<T>) -> Result<List<T>> {
        if self.0.customer_account.trim().is_empty() && ctx.bound_to().is_none() {
            return Ok(list);
        }
        self.0.narrow(ctx, list)
    }
}

impl Scope for CustomerParam {
    const NAMES_CUSTOMER: bool = true;

    fn customer(&self, ctx: &Ctx<'_>) -> Result<Option<i64>> {
        self.id(ctx).map(Some)
    }

    fn customer_of_import(self, ctx: &BlockingCtx<'_>) -> Result<Option<i64>> {
        ctx.read(move |ctx| self.customer(ctx))
    }

    fn narrow<T: Listable>(&self, ctx: &Ctx<'_>, list: List<T>) -> Result<List<T>> {
        Ok(list.restrict("customer_id", self.id(ctx)?))
    }

    /// Assigns the row to the customer of the request. A row of a file may name that customer. It must still exist when the
    /// file is imported.
    fn assign<T: CustomerOwned>(row: &mut T, db: &Connection, given: &Given<'_>) -> Result<()> {
        let customer = given.customer.ok_or_else(Error::customer_not_found)?;
        if given.is_import {
            if !customer_lookup::exists(db, customer)? {
                return Err(Error::customer_not_found());
            }
            if row.customer_id().is_some_and(|named| named != 0 && named != customer) {
                return Err(Self::prohibited());
            }
        }
        row.set_customer(Some(customer));
        Ok(())
    }
}

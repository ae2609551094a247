//! The customer of a request. Every routing request names its customer in the query.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::api::{Body, Call, Ctx, Error, Input, OfCustomer, Operation, Query, Result, Steps};
use crate::tenancy::customers;
use crate::values::Text;

/// The customer in the query. A customer in the body is rejected: it could only repeat the query or contradict it.
#[derive(Debug, Clone)]
pub struct Whose {
    customer_account: Text<64>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Named {
    /// Account of the customer that the request is about. Optional for callers that are bound to one customer.
    #[schemars(example = &"CL000001")]
    customer_account: Text<64>,
}

impl Input for Whose {
    fn read(call: &Call) -> Result<Self> {
        let Query(Named { customer_account }) = Query::read(call)?;
        if call.route.handler.body() == Body::Json && is_in(&call.body) {
            return Err(Self::prohibited());
        }
        Ok(Self { customer_account })
    }

    fn describe(operation: &mut Operation<'_>) {
        Query::<Named>::describe(operation);
    }
}

/// Whether a body names a customer. Null does not count: clients send every field that they know.
fn is_in(body: &[u8]) -> bool {
    let fields = serde_json::from_slice::<HashMap<String, Option<IgnoredAny>>>(body);
    fields.is_ok_and(|fields| fields.get("customer_id").is_some_and(Option::is_some))
}

impl Whose {
    /// The customer's id. A caller bound to one customer gets the same error for every other account, whether it exists
    /// or not.
    pub fn customer(&self, ctx: &Ctx<'_>) -> Result<i64> {
        let account = self.customer_account.trim();
        if account.is_empty() {
            return ctx.bound_to().ok_or_else(|| Error::invalid("The customer account field is required."));
        }
        match (customers::with_account(ctx.db, account)?, ctx.bound_to()) {
            (named, Some(own)) if named != Some(own) => Err(Error::bound()),
            (named, _) => named.ok_or_else(Error::customer_not_found),
        }
    }

    /// The same in a blocking handler.
    pub fn customer_beside(self, steps: &Steps<'_>) -> Result<i64> {
        steps.read(move |ctx| self.customer(ctx))
    }

    /// The row, if it exists and belongs to the customer.
    pub fn its<T: OfCustomer>(&self, ctx: &Ctx<'_>, found: Option<T>) -> Result<T> {
        let customer = self.customer(ctx)?;
        found.filter(|row| row.customer_id() == Some(customer)).ok_or_else(Error::not_found)
    }

    /// The error for a body, or an import row, that names a customer.
    pub fn prohibited() -> Error {
        Error::invalid("The customer id field is prohibited.")
    }
}

//! Whose data a request is about: every one names its customer, in its query.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::api::{Body, Call, Ctx, Error, Input, OfCustomer, Operation, Query, Result, Steps};
use crate::tenancy::customers;
use crate::values::Text;

/// The customer in the query of a request. One in the body is refused, since it could only say the same or be wrong.
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

/// Whether a body names a customer. Null names none: clients send every field that they know.
fn is_in(body: &[u8]) -> bool {
    let fields = serde_json::from_slice::<HashMap<String, Option<IgnoredAny>>>(body);
    fields.is_ok_and(|fields| fields.get("customer_id").is_some_and(Option::is_some))
}

impl Whose {
    /// The customer. A caller that is bound to one may name no other, be there such a one or not.
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

    /// The same, beside the lanes.
    pub fn customer_beside(self, steps: &Steps<'_>) -> Result<i64> {
        steps.read(move |ctx| self.customer(ctx))
    }

    /// A row that was looked for: it must be there, and the customer's.
    pub fn its<T: OfCustomer>(&self, ctx: &Ctx<'_>, found: Option<T>) -> Result<T> {
        let customer = self.customer(ctx)?;
        found.filter(|row| row.customer_id() == Some(customer)).ok_or_else(Error::not_found)
    }

    /// What is said of a body, or a row of a file, that names a customer.
    pub fn prohibited() -> Error {
        Error::invalid("The customer id field is prohibited.")
    }
}

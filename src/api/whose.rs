//! Customer scope: rows of customers, and callers who are bound to one customer.

use rusqlite::Connection;

use super::error::{Error, Result};
use super::handler::Ctx;
use crate::auth::Who;
use crate::tenancy::customers;

/// A row that belongs to a customer and is visible to callers who are bound to that customer.
pub trait OfCustomer {
    fn customer_id(&self) -> Option<i64>;

    /// Whether a caller who is bound to this customer sees the row. A caller who is bound to none sees all rows.
    fn is_seen_by(&self, customer: Option<i64>) -> bool {
        customer.is_none() || self.customer_id() == customer
    }
}

impl Ctx<'_> {
    /// The only customer that the caller sees, if the caller is bound to one.
    pub fn bound_to(&self) -> Option<i64> {
        match self.who {
            Who::Insider(insider) => insider.customer_id,
            Who::Outsider => None,
        }
    }

    /// A row that must exist and be visible to the caller.
    pub fn seen<T: OfCustomer>(&self, found: Option<T>) -> Result<T> {
        let bound_to = self.bound_to();
        found.filter(|row| row.is_seen_by(bound_to)).ok_or_else(Error::not_found)
    }

    /// The customer of a new row: the named one, which must be the caller's if the caller is bound to one; else the
    /// caller's.
    pub fn placed(&self, named: Option<i64>) -> Result<Option<i64>> {
        placed(named, self.bound_to())
    }

    /// The customer with this account, if the caller sees it.
    pub fn customer_with(&self, account: &str) -> Result<i64> {
        let found = customers::with_account(self.db, account)?;
        let seen = |id: &i64| self.bound_to().is_none_or(|own| own == *id);
        found.filter(seen).ok_or_else(Error::customer_not_found)
    }
}

/// The customer of a new row, for a caller who is bound to this customer or to none.
pub fn placed(named: Option<i64>, bound_to: Option<i64>) -> Result<Option<i64>> {
    match (named, bound_to) {
        (Some(named), Some(own)) if named != own => Err(Error::bound()),
        (named, own) => Ok(own.or(named)),
    }
}

/// Checks that a named customer exists.
pub fn check_customer(db: &Connection, named: Option<i64>) -> Result<()> {
    match named {
        Some(id) if !customers::exists(db, id)? => Err(Error::invalid("The selected customer id is invalid.")),
        _ => Ok(()),
    }
}

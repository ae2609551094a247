//! Whose a row is: rows of customers, and callers who are bound to one.

use rusqlite::Connection;

use super::error::{Error, Result};
use super::handler::Ctx;
use crate::auth::Who;
use crate::tenancy::customers;

/// A row that belongs to a customer, and is seen by callers who are bound to that one.
pub trait OfCustomer {
    fn customer_id(&self) -> Option<i64>;

    /// Whether somebody who is bound to this customer sees the row; who is bound to none sees all.
    fn is_seen_by(&self, customer: Option<i64>) -> bool {
        customer.is_none() || self.customer_id() == customer
    }
}

impl Ctx<'_> {
    /// The only customer that the caller sees, if it is bound to one.
    pub fn bound_to(&self) -> Option<i64> {
        match self.who {
            Who::Insider(insider) => insider.customer_id,
            Who::Outsider => None,
        }
    }

    /// A row that was looked for: it must be there, and be one that the caller sees.
    pub fn seen<T: OfCustomer>(&self, found: Option<T>) -> Result<T> {
        let bound_to = self.bound_to();
        found.filter(|row| row.is_seen_by(bound_to)).ok_or_else(Error::not_found)
    }

    /// The customer that a row is to belong to: the one that is named, which must be the caller's own where it has one;
    /// or that one, where none is named.
    pub fn placed(&self, named: Option<i64>) -> Result<Option<i64>> {
        placed(named, self.bound_to())
    }

    /// The customer that has an account, if the caller sees it.
    pub fn customer_with(&self, account: &str) -> Result<i64> {
        let found = customers::with_account(self.db, account)?;
        let seen = |id: &i64| self.bound_to().is_none_or(|own| own == *id);
        found.filter(seen).ok_or_else(Error::customer_not_found)
    }
}

/// The customer that a row is to belong to, made by a caller who is bound to one, or to none.
pub fn placed(named: Option<i64>, bound_to: Option<i64>) -> Result<Option<i64>> {
    match (named, bound_to) {
        (Some(named), Some(own)) if named != own => Err(Error::bound()),
        (named, own) => Ok(own.or(named)),
    }
}

/// A customer that is named must be there.
pub fn check_customer(db: &Connection, named: Option<i64>) -> Result<()> {
    match named {
        Some(id) if !customers::exists(db, id)? => Err(Error::invalid("The selected customer id is invalid.")),
        _ => Ok(()),
    }
}

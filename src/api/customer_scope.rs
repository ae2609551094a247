//! Customer scope: rows of customers, and callers who are bound to one customer.

use rusqlite::Connection;

use super::error::{Error, Result};
use super::handler::{BlockingCtx, Ctx};
use super::input::Input;
use super::list::{List, Listable};
use super::openapi::Operation;
use super::request::Request;
use crate::auth::Caller;
use crate::tenancy::customer_lookup;

/// A row that belongs to a customer and is visible to callers who are bound to that customer.
pub trait CustomerOwned {
    /// The customer, if the row belongs to one.
    fn customer_id(&self) -> Option<i64> {
        None
    }

    fn set_customer(&mut self, _customer: Option<i64>) {}

    /// Whether a caller who is bound to this customer sees the row. A caller who is bound to none sees all rows.
    fn is_visible_to(&self, customer: Option<i64>) -> bool {
        customer.is_none() || self.customer_id() == customer
    }
}

/// A column with the id of a customer, which may be null or not.
pub trait CustomerColumn {
    fn get(&self) -> Option<i64>;
    fn set(&mut self, customer: Option<i64>);
}

impl CustomerColumn for Option<i64> {
    fn get(&self) -> Option<i64> {
        *self
    }

    fn set(&mut self, customer: Option<i64>) {
        *self = customer;
    }
}

impl CustomerColumn for i64 {
    fn get(&self) -> Option<i64> {
        Some(*self)
    }

    fn set(&mut self, customer: Option<i64>) {
        *self = customer.unwrap_or(*self);
    }
}

/// The facts that a row does not contain, from the caller or the file.
pub struct Given<'a> {
    /// The only customer whose rows the caller may write, if there is one.
    pub customer: Option<i64>,
    /// Whether the body or the file names a field.
    pub names: &'a dyn Fn(&str) -> bool,
    pub is_import: bool,
}

/// How a request names its customer.
pub trait Scope: Input {
    /// Whether the query names the customer. Such lists accept filters by their plain name, and such bodies may repeat
    /// `customer_id` as null.
    const NAMES_CUSTOMER: bool;

    /// The only customer whose rows the request reaches. `None` is the whole workspace.
    fn customer(&self, ctx: &Ctx<'_>) -> Result<Option<i64>>;

    /// Like `customer`, for an import, which runs outside a turn.
    fn customer_of_import(self, ctx: &BlockingCtx<'_>) -> Result<Option<i64>>;

    /// Limits a list to the scope.
    fn narrow<T: Listable>(&self, ctx: &Ctx<'_>, list: List<T>) -> Result<List<T>>;

    /// Assigns a new or changed row to its customer.
    fn assign<T: CustomerOwned>(row: &mut T, db: &Connection, given: &Given<'_>) -> Result<()>;
}

/// The scope of the caller: the customer that the caller is bound to, or the whole workspace. The request names no
/// customer.
#[derive(Debug, Clone, Copy)]
pub struct CallerScope;

impl Input for CallerScope {
    fn read(_: &Request) -> Result<Self> {
        Ok(Self)
    }

    fn describe(_: &mut Operation<'_>) {}
}

impl Scope for CallerScope {
    const NAMES_CUSTOMER: bool = false;

    fn customer(&self, ctx: &Ctx<'_>) -> Result<Option<i64>> {
        Ok(ctx.bound_to())
    }

    fn customer_of_import(self, ctx: &BlockingCtx<'_>) -> Result<Option<i64>> {
        Ok(ctx.principal()?.customer_id)
    }

    /// Every list is limited to the customer of its caller already.
    fn narrow<T: Listable>(&self, _: &Ctx<'_>, list: List<T>) -> Result<List<T>> {
        Ok(list)
    }

    fn assign<T: CustomerOwned>(row: &mut T, _: &Connection, given: &Given<'_>) -> Result<()> {
        let customer = placed(row.customer_id(), given.customer)?;
        row.set_customer(customer);
        Ok(())
    }
}

impl Ctx<'_> {
    /// The only customer that the caller sees, if the caller is bound to one.
    pub fn bound_to(&self) -> Option<i64> {
        match self.caller {
            Caller::Principal(principal) => principal.customer_id,
            Caller::Anonymous => None,
        }
    }

    /// A row that must exist and be visible to the caller.
    pub fn require_visible<T: CustomerOwned>(&self, found: Option<T>) -> Result<T> {
        let bound_to = self.bound_to();
        found.filter(|row| row.is_visible_to(bound_to)).ok_or_else(Error::not_found)
    }

    /// The customer of a new row: the named one, which must be the caller's if the caller is bound to one; else the
    /// caller's.
    pub fn assign_customer(&self, named: Option<i64>) -> Result<Option<i64>> {
        placed(named, self.bound_to())
    }

    /// The customer with this account, if the caller sees it.
    pub fn customer_with(&self, account: &str) -> Result<i64> {
        let found = customer_lookup::with_account(self.db, account)?;
        let seen = |id: &i64| self.bound_to().is_none_or(|own| own == *id);
        found.filter(seen).ok_or_else(Error::customer_not_found)
    }
}

/// The customer of a new row, for a caller who is bound to this customer or to none.
pub fn placed(named: Option<i64>, bound_to: Option<i64>) -> Result<Option<i64>> {
    match (named, bound_to) {
        (Some(named), Some(own)) if named != own => Err(Error::bound_to_customer()),
        (named, own) => Ok(own.or(named)),
    }
}

/// Checks that a named customer exists.
pub fn check_customer(db: &Connection, named: Option<i64>) -> Result<()> {
    match named {
        Some(id) if !customer_lookup::exists(db, id)? => Err(Error::invalid("The selected customer id is invalid.")),
        _ => Ok(()),
    }
}

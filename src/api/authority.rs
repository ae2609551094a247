//! Authority over things that let others act: users, roles, keys, invitations, OAuth clients and grants, webhooks.
//!
//! One rule: a caller may only touch a thing whose permissions the caller could grant. The caller needs every
//! permission of the thing before the change and after it. Each handler that creates, changes, renews or deletes such a
//! thing checks this here.

use super::error::{Error, Result};
use crate::auth::{Permissions, Principal};

/// Rejects a caller who lacks a permission of one of these states of a thing.
pub fn require_grantable<'p>(caller: &Principal, states: impl IntoIterator<Item = &'p Permissions>) -> Result<()> {
    match states.into_iter().find_map(|permissions| caller.permissions.first_missing(permissions)) {
        Some(missing) => Err(Error::MissingPermission(missing.to_owned().into())),
        None => Ok(()),
    }
}

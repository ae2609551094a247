//! Authority over what lets others act: people, roles, keys, invitations, OAuth clients and grants, webhooks.
//!
//! One rule: nobody touches what they could not give. A change is made by a caller who has every permission of the thing,
//! as it is and as it will be. Each handler that creates, changes, renews or deletes such a thing asks here.

use super::error::{Error, Result};
use crate::auth::{Insider, Permissions};

/// Refuses a caller who lacks a permission of one of these states of a thing.
pub fn may_touch<'p>(caller: &Insider, states: impl IntoIterator<Item = &'p Permissions>) -> Result<()> {
    match states.into_iter().find_map(|permissions| caller.permissions.lacks(permissions)) {
        Some(missing) => Err(Error::MissingPermission(missing.to_owned().into())),
        None => Ok(()),
    }
}

//! The central API: accounts, sessions, tokens, workspaces, the instance itself. One file a resource.

pub mod accounts;
pub mod instance;
pub mod session;
pub mod tokens;
pub mod workspaces;

use crate::api::Route;

/// Every table of the layer.
pub const ROUTES: &[&[Route]] =
    &[accounts::ROUTES, session::ROUTES, tokens::ROUTES, workspaces::ROUTES, instance::ROUTES];

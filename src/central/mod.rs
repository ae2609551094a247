//! The central API: accounts, sessions, forgotten passwords, tokens, workspaces, invitations, the instance itself. One
//! file a resource.

pub mod accounts;
pub mod instance;
pub mod invitations;
pub mod memberships;
pub mod outbox;
pub mod password;
pub mod session;
pub mod tokens;
pub mod workspaces;

use crate::api::Resource;

/// Every table of the layer.
pub const RESOURCES: &[Resource] = &[
    Resource { name: "Session", routes: session::ROUTES },
    Resource { name: "Account", routes: accounts::ROUTES },
    Resource { name: "Password", routes: password::ROUTES },
    Resource { name: "Tokens", routes: tokens::ROUTES },
    Resource { name: "Workspaces", routes: workspaces::ROUTES },
    Resource { name: "Invitations", routes: invitations::ROUTES },
    Resource { name: "Instance", routes: instance::ROUTES },
];

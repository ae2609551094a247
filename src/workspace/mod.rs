//! The workspace API: sessions on a workspace's host, who may do what in it, and its data. One file a resource.

pub mod contacts;
pub mod customers;
pub mod integration_keys;
pub mod invitations;
pub mod roles;
pub mod session;
pub mod users;

use crate::api::Resource;

/// Every table of the layer.
pub const RESOURCES: &[Resource] = &[
    Resource { name: "Session", routes: session::ROUTES },
    Resource { name: "Users", routes: users::ROUTES },
    Resource { name: "Invitations", routes: invitations::ROUTES },
    Resource { name: "Roles and permissions", routes: roles::ROUTES },
    Resource { name: "Integration keys", routes: integration_keys::ROUTES },
    Resource { name: "Customers", routes: customers::ROUTES },
    Resource { name: "Contacts", routes: contacts::ROUTES },
];

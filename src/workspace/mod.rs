//! The workspace API: sessions on a workspace's host, its users, customers and contacts. One file a resource.

pub mod contacts;
pub mod customers;
pub mod session;
pub mod users;

use crate::api::Resource;

/// Every table of the layer.
pub const RESOURCES: &[Resource] = &[
    Resource { name: "Session", routes: session::ROUTES },
    Resource { name: "Customers", routes: customers::ROUTES },
    Resource { name: "Contacts", routes: contacts::ROUTES },
];

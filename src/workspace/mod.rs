//! The workspace API: sessions on a workspace's host, its users, customers and contacts. One file a resource.

pub mod contacts;
pub mod customers;
pub mod session;
pub mod users;

use crate::api::Route;

/// Every table of the layer.
pub const ROUTES: &[&[Route]] = &[session::ROUTES, customers::ROUTES, contacts::ROUTES];

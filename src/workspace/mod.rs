//! The workspace API: sessions on a workspace's host, who may do what in it, and its data. One file a resource.

pub mod audit_log;
pub mod contacts;
pub mod crm;
pub mod customers;
pub mod indexes;
pub mod integration_keys;
pub mod invitations;
pub mod oauth;
pub mod organisations;
pub mod phone_calls;
pub mod roles;
pub mod session;
pub mod settings;
pub mod users;
pub mod webhook_deliveries;
pub mod webhooks;

use crate::api::Resource;

/// Every table of the layer.
pub const RESOURCES: &[Resource] = &[
    Resource::new("Session", session::ROUTES),
    Resource::new("Settings", settings::ROUTES),
    Resource::new("Organisations", organisations::ROUTES),
    Resource::new("Users", users::ROUTES),
    Resource::new("Invitations", invitations::ROUTES),
    Resource::new("Roles and permissions", roles::ROUTES),
    Resource::new("Integration keys", integration_keys::ROUTES),
    Resource::new("OAuth clients", oauth::clients::ROUTES),
    Resource::new("OAuth grants", oauth::grants::ROUTES),
    Resource::new("OAuth", oauth::token::ROUTES),
    Resource::new("Customers", customers::ROUTES),
    Resource::new("Contacts", contacts::ROUTES),
    Resource::new("Phone calls", phone_calls::ROUTES),
    Resource::new("CRM look-up", crm::ROUTES),
    Resource::new("Audit log", audit_log::ROUTES),
    Resource::new("Webhooks", webhooks::ROUTES),
    Resource::new("Webhook deliveries", webhook_deliveries::ROUTES),
];

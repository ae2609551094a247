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
    Resource::new("Session", "Log in to this workspace, and out.", session::ROUTES),
    Resource::new("Settings", "What holds for the whole workspace.", settings::ROUTES),
    Resource::new(
        "Organisations",
        "The legal entities of the workspace. There is always at least one.",
        organisations::ROUTES,
    ),
    Resource::new("Users", "The accounts that are members of this workspace, each with a role.", users::ROUTES),
    Resource::new("Invitations", "Invite people into this workspace by mail.", invitations::ROUTES),
    Resource::new("Roles", "What users may do. Three roles are built in; a workspace adds its own.", roles::ROUTES),
    Resource::new(
        "Integration keys",
        "Credentials of programs that work in this workspace without a person.",
        integration_keys::ROUTES,
    ),
    Resource::new(
        "OAuth clients",
        "Programs that may ask for tokens of this workspace (RFC 6749).",
        oauth::clients::ROUTES,
    ),
    Resource::new("OAuth grants", "What people have approved for OAuth clients.", oauth::grants::ROUTES),
    Resource::new(
        "OAuth",
        "Get, renew, revoke and introspect OAuth tokens (RFC 6749, 7009, 7662, 8414).",
        oauth::token::ROUTES,
    ),
    Resource::new("Customers", "The companies and people that the workspace serves.", customers::ROUTES),
    Resource::new("Contacts", "People who can be called, of a customer or on their own.", contacts::ROUTES),
    Resource::new("Phone calls", "The journal of phone calls.", phone_calls::ROUTES),
    Resource::new(
        "CRM look-up",
        "What a PBX asks while a phone rings, and what it journals after a call or chat.",
        crm::ROUTES,
    ),
    Resource::new("Audit log", "Who changed what in the workspace, when, and from where.", audit_log::ROUTES),
    Resource::new(
        "Webhooks",
        "URLs that are notified of changes by signed messages (Standard Webhooks 1.0).",
        webhooks::ROUTES,
    ),
    Resource::new(
        "Webhook deliveries",
        "The messages that were sent to a webhook, and their outcome.",
        webhook_deliveries::ROUTES,
    ),
];

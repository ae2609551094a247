//! The workspace API: sessions, access control and the data of a workspace. One file per resource.

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

/// The resources of this layer.
pub const RESOURCES: &[Resource] = &[
    Resource::new("Session", "Log in to this workspace and log out.", session::ROUTES),
    Resource::new("Settings", "Settings of the whole workspace.", settings::ROUTES),
    Resource::new(
        "Organisations",
        "The legal entities of the workspace. There is always at least one.",
        organisations::ROUTES,
    ),
    Resource::new("Users", "The accounts that are members of this workspace, each with a role.", users::ROUTES),
    Resource::new("Invitations", "Invite people to this workspace by mail.", invitations::ROUTES),
    Resource::new(
        "Roles",
        "Sets of permissions for users. Three roles are built in, and a workspace can add its own.",
        roles::ROUTES,
    ),
    Resource::new(
        "Integration keys",
        "Credentials for programs that work in this workspace without a user.",
        integration_keys::ROUTES,
    ),
    Resource::new(
        "OAuth clients",
        "Programs that can request tokens of this workspace (RFC 6749).",
        oauth::clients::ROUTES,
    ),
    Resource::new("OAuth grants", "Access that users have approved for OAuth clients.", oauth::grants::ROUTES),
    Resource::new(
        "OAuth",
        "Get, renew, revoke and introspect OAuth tokens (RFC 6749, 7009, 7662, 8414).",
        oauth::token::ROUTES,
    ),
    Resource::new("Customers", "The companies and people that the workspace serves.", customers::ROUTES),
    Resource::new("Contacts", "People who can be called. A contact may belong to a customer.", contacts::ROUTES),
    Resource::new("Phone calls", "The journal of phone calls.", phone_calls::ROUTES),
    Resource::new(
        "CRM look-up",
        "Look up a caller while a phone rings, and journal calls and chats. For PBXs.",
        crm::ROUTES,
    ),
    Resource::new("Audit log", "Changes in the workspace with their time, actor and address.", audit_log::ROUTES),
    Resource::new(
        "Webhooks",
        "URLs that are notified of changes by signed messages (Standard Webhooks 1.0).",
        webhooks::ROUTES,
    ),
    Resource::new("Webhook deliveries", "Messages to a webhook and their outcome.", webhook_deliveries::ROUTES),
];

//! The central API: accounts, sessions, forgotten passwords, tokens, workspaces, invitations, the instance itself. One
//! file a resource.

pub mod account_admin;
pub mod accounts;
pub mod audit_log;
pub mod email_verification;
pub mod instance;
pub mod invitations;
pub mod mails;
pub mod memberships;
pub mod notices;
pub mod outbox;
pub mod password;
pub mod quotas;
pub mod registration;
pub mod second_factor;
pub mod session;
pub mod tokens;
pub mod webhook_workspaces;
pub mod workspace_files;
pub mod workspaces;

use crate::api::Resource;

/// Every table of the layer.
pub const RESOURCES: &[Resource] = &[
    Resource::new("Session", session::ROUTES),
    Resource::new("Registration", registration::ROUTES),
    Resource::new("Account", accounts::ROUTES),
    Resource::new("Email verification", email_verification::ROUTES),
    Resource::new("Second factor", second_factor::ROUTES),
    Resource::new("Password", password::ROUTES),
    Resource::new("Tokens", tokens::ROUTES),
    Resource::new("Workspaces", workspaces::ROUTES),
    Resource::new("Members", memberships::ROUTES),
    Resource::new("Workspace files", workspace_files::ROUTES),
    Resource::new("Invitations", invitations::ROUTES),
    Resource::new("Audit log", audit_log::ROUTES),
    Resource::new("Instance", instance::ROUTES),
];

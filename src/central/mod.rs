//! The central API: accounts, sessions, passwords, tokens, workspaces, invitations and the instance. One file per
//! resource.

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

/// All resources of the layer.
pub const RESOURCES: &[Resource] = &[
    Resource::new("Session", "Log in and out, and move between the central API and workspaces.", session::ROUTES),
    Resource::new(
        "Registration",
        "Register an account, optionally with a first workspace or an invitation.",
        registration::ROUTES,
    ),
    Resource::new("Account", "Accounts of people. One account may be a member of many workspaces.", accounts::ROUTES),
    Resource::new(
        "Email verification",
        "Verify the email address of an account with a mailed code.",
        email_verification::ROUTES,
    ),
    Resource::new(
        "Second factor",
        "One-time passwords (RFC 6238) and recovery codes, required at login.",
        second_factor::ROUTES,
    ),
    Resource::new("Password", "Reset a forgotten password with a mailed code.", password::ROUTES),
    Resource::new(
        "Tokens",
        "Sessions of people and tokens of programs. Each is valid for the central API or one workspace.",
        tokens::ROUTES,
    ),
    Resource::new(
        "Workspaces",
        "Create, rename, transfer and delete workspaces. Each has its own subdomain and database.",
        workspaces::ROUTES,
    ),
    Resource::new("Members", "The accounts that belong to a workspace.", memberships::ROUTES),
    Resource::new("Workspace files", "Export a whole workspace as one file.", workspace_files::ROUTES),
    Resource::new("Invitations", "Invitations that are addressed to you.", invitations::ROUTES),
    Resource::new(
        "Audit log",
        "Events of accounts, tokens and workspaces, with time, actor and address.",
        audit_log::ROUTES,
    ),
    Resource::new("Instance", "Information about the server, for its operators.", instance::ROUTES),
];

//! The central API: accounts, sessions, forgotten passwords, tokens, workspaces, invitations, the instance itself. One
//! file a resource.

pub mod account_admin;
pub mod accounts;
pub mod audit_log;
pub mod credentials;
pub mod email_verification;
pub mod instance;
pub mod invitations;
pub mod mails;
pub mod memberships;
pub mod notices;
pub mod outbox;
pub mod own_account;
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
    Resource::new("Session", "Log in and out, and move between the central API and workspaces.", session::ROUTES),
    Resource::new(
        "Registration",
        "Register an account, and with it a first workspace or a place in one.",
        registration::ROUTES,
    ),
    Resource::new(
        "Account",
        "People, wherever they work. One account may be a member of many workspaces.",
        own_account::ROUTES,
    ),
    Resource::new(
        "Email verification",
        "Verify the address of an account by a mailed code.",
        email_verification::ROUTES,
    ),
    Resource::new(
        "Second factor",
        "One-time passwords (RFC 6238) and recovery codes, asked for at login.",
        second_factor::ROUTES,
    ),
    Resource::new("Password", "Choose a new password by a mailed code.", password::ROUTES),
    Resource::new(
        "Tokens",
        "Sessions of people and tokens of programs: who may act, where, and until when.",
        tokens::ROUTES,
    ),
    Resource::new(
        "Workspaces",
        "Create, rename, transfer and delete workspaces. Each has a subdomain and a database of its own.",
        workspaces::ROUTES,
    ),
    Resource::new("Members", "The accounts that belong to a workspace.", memberships::ROUTES),
    Resource::new("Workspace files", "A whole workspace as one file.", workspace_files::ROUTES),
    Resource::new("Invitations", "Invitations that are addressed to you.", invitations::ROUTES),
    Resource::new(
        "Audit log",
        "What happened to accounts, tokens and workspaces: when, by whom and from where.",
        audit_log::ROUTES,
    ),
    Resource::new("Instance", "The server itself, for its operators.", instance::ROUTES),
];

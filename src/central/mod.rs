//! The central API: accounts, sessions, passwords, tokens, workspaces, invitations and the instance. One file per
//! resource.

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

/// All resources of the layer.
pub const RESOURCES: &[Resource] = &[
    session::RESOURCE,
    registration::RESOURCE,
    own_account::RESOURCE,
    email_verification::RESOURCE,
    second_factor::RESOURCE,
    password::RESOURCE,
    tokens::RESOURCE,
    workspaces::RESOURCE,
    memberships::RESOURCE,
    workspace_files::RESOURCE,
    invitations::RESOURCE,
    audit_log::RESOURCE,
    instance::RESOURCE,
];

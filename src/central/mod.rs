//! The central API: accounts, sessions, passwords, tokens, workspaces, invitations and the instance. One file per
//! resource.

pub mod account_admin;
pub mod account_session;
pub mod accounts;
pub mod backup_status;
pub mod central_audit_log;
pub mod credentials;
pub mod departures;
pub mod email_verification;
pub mod instance_figures;
pub mod instance_info;
pub mod instance_mails;
pub mod instance_workspaces;
pub mod invitations;
pub mod linked_identities;
pub mod login_challenges;
pub mod mail_templates;
pub mod memberships;
pub mod notices;
pub mod outbox;
pub mod own_account;
pub mod password_recovery;
pub mod provider_sign_in;
pub mod quotas;
pub mod registration;
pub mod second_factor;
pub mod server_status;
pub mod tokens;
pub mod webhook_workspaces;
pub mod workspace_entry;
pub mod workspace_files;
pub mod workspace_lifecycle;
pub mod workspace_provider;
pub mod workspace_rows;
pub mod workspaces;

use crate::api::Resource;

/// All resources of the layer.
pub const RESOURCES: &[Resource] = &[
    account_session::RESOURCE,
    registration::RESOURCE,
    own_account::RESOURCE,
    accounts::RESOURCE,
    email_verification::RESOURCE,
    second_factor::RESOURCE,
    linked_identities::RESOURCE,
    workspace_provider::RESOURCE,
    password_recovery::RESOURCE,
    tokens::RESOURCE,
    workspaces::RESOURCE,
    memberships::RESOURCE,
    workspace_files::RESOURCE,
    invitations::RESOURCE,
    central_audit_log::RESOURCE,
    instance_info::RESOURCE,
    instance_figures::RESOURCE,
    instance_workspaces::RESOURCE,
    instance_mails::RESOURCE,
];

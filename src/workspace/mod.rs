//! The workspace API: sessions, access control and the data of a workspace. One file per resource.

pub mod audit_log;
pub mod contacts;
pub mod crm;
pub mod customers;
mod duplicates;
pub mod events;
mod field_merge;
pub mod group_roles;
pub mod imports;
pub mod integration_keys;
pub mod oauth;
pub mod organisations;
pub mod permission_catalog;
pub mod phone_calls;
pub mod roles;
pub mod search_indexes;
pub mod settings;
pub mod users;
pub mod webhook_deliveries;
pub mod webhooks;
pub mod workspace_invitations;
pub mod workspace_search;
pub mod workspace_session;

use crate::api::Resource;
use crate::tenancy::journal::Recorded;

/// The resources of this layer.
pub const RESOURCES: &[Resource] = &[
    workspace_session::RESOURCE,
    settings::RESOURCE,
    organisations::RESOURCE,
    users::RESOURCE,
    workspace_invitations::RESOURCE,
    roles::RESOURCE,
    integration_keys::RESOURCE,
    oauth::clients::RESOURCE,
    oauth::grants::RESOURCE,
    oauth::token_endpoint::RESOURCE,
    customers::RESOURCE,
    contacts::RESOURCE,
    phone_calls::RESOURCE,
    imports::RESOURCE,
    workspace_search::RESOURCE,
    events::RESOURCE,
    crm::RESOURCE,
    crm::chats::RESOURCE,
    audit_log::RESOURCE,
    webhooks::RESOURCE,
    webhook_deliveries::RESOURCE,
];

/// Every resource of the layer, and of call routing.
pub fn resources() -> impl Iterator<Item = &'static Resource> {
    RESOURCES.iter().chain(crate::routing::RESOURCES)
}

/// Every resource whose changes the audit log records.
pub fn recorded() -> impl Iterator<Item = &'static Recorded> {
    resources().flat_map(|resource| resource.recorded.iter().copied())
}

/// The names of these resources.
pub const RECORDED_NAMES: &[&str] =
    &recorded_names::<{ count_recorded(RESOURCES) + count_recorded(crate::routing::RESOURCES) }>();

const fn count_recorded(resources: &[Resource]) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < resources.len() {
        count += resources[at].recorded.len();
        at += 1;
    }
    count
}

const fn recorded_names<const N: usize>() -> [&'static str; N] {
    let mut names = [""; N];
    let (mut count, mut layer) = (0, 0);
    while layer < 2 {
        let resources = if layer == 0 { RESOURCES } else { crate::routing::RESOURCES };
        let mut at = 0;
        while at < resources.len() {
            let mut kind = 0;
            while kind < resources[at].recorded.len() {
                names[count] = resources[at].recorded[kind].name;
                (count, kind) = (count + 1, kind + 1);
            }
            at += 1;
        }
        layer += 1;
    }
    names
}

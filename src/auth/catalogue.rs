//! The catalogue of permissions: every right there is in a workspace, by resource and action.

use super::permissions::Permissions;

/// A resource, what is done to it, and how people say so.
pub struct Group {
    pub resource: &'static str,
    /// Each with what follows "Can" in a sentence.
    pub actions: &'static [(&'static str, &'static str)],
}

/// In the order in which people read it. A wildcard of a role stands for names of this list, also of those that a later
/// version adds.
pub const CATALOGUE: &[Group] = &[
    Group {
        resource: "customer",
        actions: &[
            ("view", "see customers"),
            ("create", "create customers"),
            ("update", "change customers"),
            ("delete", "delete customers"),
        ],
    },
    Group {
        resource: "contact",
        actions: &[
            ("view", "see contacts"),
            ("create", "create contacts"),
            ("update", "change contacts"),
            ("delete", "delete contacts"),
        ],
    },
    Group {
        resource: "phone-call",
        actions: &[
            ("view", "see phone calls"),
            ("create", "record phone calls"),
            ("update", "change phone calls"),
            ("delete", "delete phone calls"),
        ],
    },
    Group { resource: "crm", actions: &[("lookup", "look up callers and journal calls, as a PBX does")] },
    Group {
        resource: "routing",
        actions: &[
            ("view", "see call routing"),
            ("create", "create call routing"),
            ("update", "change call routing"),
            ("delete", "delete call routing"),
        ],
    },
    Group {
        resource: "organisation",
        actions: &[
            ("view", "see the workspace's organisations"),
            ("create", "create organisations"),
            ("update", "change organisations"),
            ("delete", "delete organisations"),
        ],
    },
    Group {
        resource: "user",
        actions: &[
            ("view", "see users"),
            ("invite", "invite users, and see and cancel invitations"),
            ("update", "change users and their roles"),
            ("delete", "remove users"),
        ],
    },
    Group { resource: "role", actions: &[("manage", "create, change and delete roles")] },
    Group {
        resource: "integration-key",
        actions: &[
            ("view", "see integration keys"),
            ("create", "create integration keys"),
            ("update", "change and rotate integration keys"),
            ("delete", "delete integration keys"),
        ],
    },
    Group {
        resource: "oauth-client",
        actions: &[
            ("view", "see OAuth clients"),
            ("create", "create OAuth clients"),
            ("update", "change OAuth clients"),
            ("delete", "delete OAuth clients"),
        ],
    },
    Group {
        resource: "webhook",
        actions: &[
            ("view", "see webhooks"),
            ("create", "create webhooks"),
            ("update", "change webhooks"),
            ("delete", "delete webhooks"),
        ],
    },
    Group { resource: "audit", actions: &[("view", "see the audit log")] },
    Group { resource: "workspace", actions: &[("manage", "change the workspace's settings")] },
];

/// Every name of the catalogue: `customer.view`.
pub fn names() -> impl Iterator<Item = String> {
    let group =
        |group: &'static Group| group.actions.iter().map(move |(action, _)| format!("{}.{action}", group.resource));
    CATALOGUE.iter().flat_map(group)
}

/// What these permissions let somebody do, for people.
pub fn in_words(permissions: &Permissions) -> Vec<String> {
    let all = CATALOGUE.iter().flat_map(|group| {
        group.actions.iter().map(move |(action, can)| (format!("{}.{action}", group.resource), *can))
    });
    all.filter(|(name, _)| permissions.cover(name)).map(|(_, can)| can.to_owned()).collect()
}

/// Whether a role may name this: a permission of the catalogue, all of a resource, or all.
pub fn knows(name: &str) -> bool {
    let Some((resource, action)) = name.split_once('.') else { return name == "*" };
    let group = CATALOGUE.iter().find(|group| group.resource == resource);
    group.is_some_and(|group| action == "*" || group.actions.iter().any(|(known, _)| *known == action))
}

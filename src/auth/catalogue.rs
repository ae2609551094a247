//! The catalogue of permissions of a workspace, by resource and action.

use crate::values::Language;

/// A resource and its actions, with their descriptions.
pub struct Group {
    pub resource: &'static str,
    /// Each action with the words that follow "Can" in a sentence, in English and in French.
    pub actions: &'static [(&'static str, &'static str, &'static str)],
}

/// In the order of display. A wildcard in a role stands for the names in this list, including names that a later
/// version adds.
pub const CATALOGUE: &[Group] = &[
    Group {
        resource: "customer",
        actions: &[
            ("view", "see customers", "voir les clients"),
            ("create", "create customers", "créer des clients"),
            ("update", "change customers", "modifier les clients"),
            ("delete", "delete customers", "supprimer des clients"),
        ],
    },
    Group {
        resource: "contact",
        actions: &[
            ("view", "see contacts", "voir les contacts"),
            ("create", "create contacts", "créer des contacts"),
            ("update", "change contacts", "modifier les contacts"),
            ("delete", "delete contacts", "supprimer des contacts"),
        ],
    },
    Group {
        resource: "phone-call",
        actions: &[
            ("view", "see phone calls", "voir les appels"),
            ("create", "record phone calls", "enregistrer des appels"),
            ("update", "change phone calls", "modifier les appels"),
            ("delete", "delete phone calls", "supprimer des appels"),
        ],
    },
    Group {
        resource: "crm",
        actions: &[(
            "lookup",
            "look up callers and journal calls, as a PBX does",
            "identifier les appelants et journaliser les appels, comme un standard",
        )],
    },
    Group {
        resource: "routing",
        actions: &[
            ("view", "see call routing", "voir le routage des appels"),
            ("create", "create call routing", "créer des règles de routage des appels"),
            ("update", "change call routing", "modifier le routage des appels"),
            ("delete", "delete call routing", "supprimer des règles de routage des appels"),
        ],
    },
    Group {
        resource: "organisation",
        actions: &[
            ("view", "see the workspace's organisations", "voir les organisations de l’espace de travail"),
            ("create", "create organisations", "créer des organisations"),
            ("update", "change organisations", "modifier les organisations"),
            ("delete", "delete organisations", "supprimer des organisations"),
        ],
    },
    Group {
        resource: "user",
        actions: &[
            ("view", "see users", "voir les utilisateurs"),
            (
                "invite",
                "invite users, and see and cancel invitations",
                "inviter des utilisateurs, voir et annuler les invitations",
            ),
            ("update", "change users and their roles", "modifier les utilisateurs et leurs rôles"),
            ("delete", "remove users", "retirer des utilisateurs"),
        ],
    },
    Group {
        resource: "role",
        actions: &[("manage", "create, change and delete roles", "créer, modifier et supprimer des rôles")],
    },
    Group {
        resource: "integration-key",
        actions: &[
            ("view", "see integration keys", "voir les clés d’intégration"),
            ("create", "create integration keys", "créer des clés d’intégration"),
            ("update", "change and rotate integration keys", "modifier et renouveler les clés d’intégration"),
            ("delete", "delete integration keys", "supprimer des clés d’intégration"),
        ],
    },
    Group {
        resource: "oauth-client",
        actions: &[
            ("view", "see OAuth clients", "voir les clients OAuth"),
            ("create", "create OAuth clients", "créer des clients OAuth"),
            ("update", "change OAuth clients", "modifier les clients OAuth"),
            ("delete", "delete OAuth clients", "supprimer des clients OAuth"),
        ],
    },
    Group {
        resource: "webhook",
        actions: &[
            ("view", "see webhooks", "voir les webhooks"),
            ("create", "create webhooks", "créer des webhooks"),
            ("update", "change webhooks", "modifier les webhooks"),
            ("delete", "delete webhooks", "supprimer des webhooks"),
        ],
    },
    Group { resource: "audit", actions: &[("view", "see the audit log", "voir le journal d’audit")] },
    Group {
        resource: "workspace",
        actions: &[("manage", "change the workspace's settings", "modifier les paramètres de l’espace de travail")],
    },
];

/// Every name of the catalogue: `customer.view`.
pub fn names() -> impl Iterator<Item = String> {
    let group =
        |group: &'static Group| group.actions.iter().map(move |(action, ..)| format!("{}.{action}", group.resource));
    CATALOGUE.iter().flat_map(group)
}

/// Every name with the description of the permission in a language.
pub fn in_words(language: Language) -> impl Iterator<Item = (String, &'static str)> {
    CATALOGUE.iter().flat_map(move |group| {
        group.actions.iter().map(move |(action, english, french)| {
            let can = match language {
                Language::English => *english,
                Language::French => *french,
            };
            (format!("{}.{action}", group.resource), can)
        })
    })
}

/// Whether a role may contain this name: a permission of the catalogue, `{resource}.*` or `*`.
pub fn knows(name: &str) -> bool {
    let Some((resource, action)) = name.split_once('.') else { return name == "*" };
    let group = CATALOGUE.iter().find(|group| group.resource == resource);
    group.is_some_and(|group| action == "*" || group.actions.iter().any(|(known, ..)| *known == action))
}

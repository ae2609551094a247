//! How the console shows OAuth clients.

use crate::api::field::{Field, labelled};
use crate::api::resource_view::{ResourceView, Widget, button, group, label, quick_filter, related};

/// The fields, with their labels.
pub const FIELDS: &[Field] = &[
    labelled("name", "Name", "Nom"),
    labelled("client_id", "Client identifier", "Identifiant du client"),
    labelled("redirect_uris", "Redirect addresses", "Adresses de redirection"),
    labelled("grants", "Ways to get access", "Modes d’accès"),
    labelled("scopes", "Scopes", "Portées"),
    labelled("customer_id", "Customer", "Client"),
    labelled("confidential", "Can keep a secret", "Peut garder un secret"),
    labelled("active", "Active", "Actif"),
    labelled("access_token_ttl", "Lifetime of an access token", "Durée d’un jeton d’accès"),
    labelled("secret_last_four", "Secret ends with", "Fin du secret"),
    labelled("client_secret", "Secret", "Secret"),
];

pub const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "client_id", "grants", "customer_id", "confidential", "active"],
    groups: &[
        group("Program", "Application", &["name", "active", "customer_id", "client_id"]),
        group("Access", "Accès", &["grants", "redirect_uris", "confidential", "secret_last_four", "access_token_ttl"]),
        group("Scopes", "Portées", &["scopes"]),
    ],
    widgets: &[
        ("customer_id", Widget::Link("/customers")),
        ("redirect_uris", Widget::List),
        ("scopes", Widget::Scopes),
        ("access_token_ttl", Widget::Seconds),
    ],
    help: &[
        ("redirect_uris", label("One address per line, with https.", "Une adresse par ligne, avec https.")),
        (
            "confidential",
            label(
                "A program on a server can keep a secret. An app on a phone cannot.",
                "Un programme sur un serveur peut garder un secret. Une application mobile ne le peut pas.",
            ),
        ),
        (
            "access_token_ttl",
            label("Leave it empty for the default of the server.", "Laissez vide pour la durée par défaut du serveur."),
        ),
    ],
    quick_filters: &[
        quick_filter("Active", "Actifs", "filter[active]=true"),
        quick_filter("Disabled", "Désactivés", "filter[active]=false"),
    ],
    related: &[related("Granted access", "Accès accordés", "/oauth-grants", "client_id")],
    affected_by_delete: &[related("granted accesses end", "accès accordés prennent fin", "/oauth-grants", "client_id")],
    buttons: &[button(
        "rotate-secret",
        label("New secret", "Nouveau secret"),
        label(
            "The old secret stops working at once. The new one is shown once.",
            "L’ancien secret ne fonctionne plus aussitôt. Le nouveau est affiché une seule fois.",
        ),
    )],
    purpose: label(
        "Programs that people can let act for them, such as a phone system.",
        "Les applications qui peuvent agir au nom d’une personne, comme un standard.",
    ),
    singular: label("OAuth client", "un client OAuth"),
    secret: Some("client_secret"),
    ..ResourceView::DERIVED
};

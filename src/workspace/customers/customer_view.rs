//! How the console shows customers.

use crate::api::field::{Field, labelled};
use crate::api::resource_view::{
    Related, ResourceView, Widget, button, group, label, list_link, quick_filter, related,
};

/// The labels of fields that the entity does not have.
pub const FIELDS: &[Field] = &[
    labelled("contacts_count", "Number of contacts", "Nombre de contacts"),
    labelled("customer_id", "Customer", "Client"),
    labelled("civility", "Title", "Civilité"),
    labelled("first_name", "First name", "Prénom"),
    labelled("last_name", "Last name", "Nom"),
    labelled("email", "Email", "E-mail"),
    labelled("company", "Company", "Société"),
    labelled("phone_business_1", "Business phone", "Téléphone professionnel"),
    labelled("phone_business_2", "Business phone 2", "Téléphone professionnel 2"),
    labelled("phone_mobile_1", "Mobile", "Mobile"),
    labelled("phone_mobile_2", "Mobile 2", "Mobile 2"),
    labelled("phone_home_1", "Home phone", "Téléphone privé"),
    labelled("role", "Position", "Fonction"),
    labelled("service", "Department", "Service"),
    labelled("into", "Customer to keep", "Client à conserver"),
    labelled("move_keys", "Move keys and tokens too", "Transférer aussi les clés et jetons"),
    labelled("cascade", "Delete contacts and call routing too", "Supprimer aussi les contacts et le routage"),
    labelled("with", "Also show", "Afficher aussi"),
    labelled("ended", "Deleted credentials", "Accès supprimés"),
    labelled("a", "Customer", "Client"),
    labelled("b", "Other customer", "Autre client"),
];

/// The rows that a merge moves, and the credentials that it deletes.
const AFFECTED_BY_MERGE: &[Related] = &[
    related("contacts move", "contacts sont transférés", "/contacts", "customer_id"),
    related("calls move", "appels sont transférés", "/phone-calls", "customer_id"),
    related("chats move", "discussions sont transférées", "/crm/lookup/chats", "customer_id"),
    related(
        "call queues move",
        "files d’attente sont transférées",
        "/smart-routings/call-queues/queues",
        "customer_account",
    ),
    related(
        "queue groups move",
        "groupes de files sont transférés",
        "/smart-routings/call-queues/groups",
        "customer_account",
    ),
    related(
        "routing contacts move",
        "contacts de routage sont transférés",
        "/smart-routings/contacts",
        "customer_account",
    ),
    related("routing fields move", "champs de routage sont transférés", "/smart-routings/fields", "customer_account"),
    related("CTIs move", "CTI sont transférés", "/smart-routings/ctis", "customer_account"),
    related("geo lists move", "listes géographiques sont transférées", "/smart-routings/geo/lists", "customer_account"),
    related("surveys move", "enquêtes sont transférées", "/smart-routings/surveys", "customer_account"),
    related(
        "call-flow tokens are deleted, unless they move too",
        "jetons CFD sont supprimés, sauf s’ils sont transférés aussi",
        "/smart-routings/cfd-tokens",
        "customer_account",
    ),
    related(
        "integration keys are deleted, unless they move too",
        "clés d’intégration sont supprimées, sauf si elles sont transférées aussi",
        "/integration-keys",
        "customer_id",
    ),
    related(
        "OAuth clients are deleted, unless they move too",
        "clients OAuth sont supprimés, sauf s’ils sont transférés aussi",
        "/oauth-clients",
        "customer_id",
    ),
];

pub const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "customer_account", "main_address_city", "phone", "email_address", "vip", "active"],
    groups: &[
        group("Customer", "Client", &["name", "customer_account", "type", "vip", "active"]),
        group("Reach", "Coordonnées", &["phone", "mobile_phone", "fax", "email_address", "website"]),
        group("Main contact", "Contact principal", &["main_contact_first_name", "main_contact_last_name"]),
        group(
            "Address",
            "Adresse",
            &[
                "main_address_line1",
                "main_address_line2",
                "main_address_postal_code",
                "main_address_city",
                "main_address_country",
            ],
        ),
        group("Company", "Société", &["registration_number", "tax_registration_number", "activity_code"]),
        group("Notes", "Notes", &["comment", "custom_fields"]),
    ],
    widgets: &[
        ("website", Widget::Url),
        ("phone", Widget::Phone),
        ("mobile_phone", Widget::Phone),
        ("email_address", Widget::Email),
        ("comment", Widget::Lines),
        ("custom_fields", Widget::Pairs),
        ("contacts_count", Widget::Hidden),
        ("into", Widget::Link("/customers")),
    ],
    help: &[
        (
            "customer_account",
            label(
                "Your own number for the customer. Leave it empty to get the next free one.",
                "Votre propre numéro de client. Laissez-le vide pour obtenir le prochain numéro libre.",
            ),
        ),
        (
            "custom_fields",
            label(
                "Your own fields, each with a name and a value.",
                "Vos propres champs, chacun avec un nom et une valeur.",
            ),
        ),
    ],
    quick_filters: &[
        quick_filter("VIP", "VIP", "filter[vip]=true"),
        quick_filter("Active", "Actifs", "filter[active]=true"),
        quick_filter("Inactive", "Inactifs", "filter[active]=false"),
    ],
    related: &[
        related("Contacts", "Contacts", "/contacts", "customer_id"),
        related("Calls", "Appels", "/phone-calls", "customer_id"),
        related("Call queues", "Files d’attente", "/smart-routings/call-queues/queues", "customer_account"),
        related("Routing contacts", "Contacts de routage", "/smart-routings/contacts", "customer_account"),
        related("CTIs", "CTI", "/smart-routings/ctis", "customer_account"),
        related("Geo lists", "Listes géographiques", "/smart-routings/geo/lists", "customer_account"),
        related("Surveys", "Enquêtes", "/smart-routings/surveys", "customer_account"),
    ],
    affected_by_delete: &[
        related("contacts are deleted", "contacts sont supprimés", "/contacts", "customer_id"),
        related(
            "call queues are deleted",
            "files d’attente sont supprimées",
            "/smart-routings/call-queues/queues",
            "customer_account",
        ),
        related(
            "queue groups are deleted",
            "groupes de files sont supprimés",
            "/smart-routings/call-queues/groups",
            "customer_account",
        ),
        related(
            "routing contacts are deleted",
            "contacts de routage sont supprimés",
            "/smart-routings/contacts",
            "customer_account",
        ),
        related(
            "routing fields are deleted",
            "champs de routage sont supprimés",
            "/smart-routings/fields",
            "customer_account",
        ),
        related("CTIs are deleted", "CTI sont supprimés", "/smart-routings/ctis", "customer_account"),
        related(
            "geo lists are deleted",
            "listes géographiques sont supprimées",
            "/smart-routings/geo/lists",
            "customer_account",
        ),
        related("surveys are deleted", "enquêtes sont supprimées", "/smart-routings/surveys", "customer_account"),
        related(
            "call-flow tokens are deleted",
            "jetons CFD sont supprimés",
            "/smart-routings/cfd-tokens",
            "customer_account",
        ),
        related(
            "integration keys are deleted",
            "clés d’intégration sont supprimées",
            "/integration-keys",
            "customer_id",
        ),
        related("OAuth clients are deleted", "clients OAuth sont supprimés", "/oauth-clients", "customer_id"),
        related("calls lose their customer", "appels perdent leur client", "/phone-calls", "customer_id"),
        related("chats lose their customer", "discussions perdent leur client", "/crm/lookup/chats", "customer_id"),
    ],
    buttons: &[button(
        "merge",
        label("Merge with…", "Fusionner avec…"),
        label(
            "The other customer is merged into this one and deleted.",
            "L’autre client est fusionné dans celui-ci, puis supprimé.",
        ),
    )
    .affecting(AFFECTED_BY_MERGE)],
    purpose: label(
        "The companies and people that you serve.",
        "Les entreprises et les personnes dont vous prenez les appels.",
    ),
    list_links: &[list_link("Find duplicates", "Chercher les doublons", "/ui/customers/duplicates", "customer.delete")],
    singular: label("customer", "un client"),
    ..ResourceView::DERIVED
};

//! Contacts: people who can be called. A contact may belong to a customer.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::crm::chats::Chat;
use super::duplicates::{self, Criterion, Duplicated};
use super::field_merge::{self, FieldChoices};
use super::phone_calls::PhoneCall;
use crate::api::crud::{self, create, export, import, list, remove, remove_many, show, update};
use crate::api::entity::{Declared, Editable, Entity, entity};
use crate::api::entity_rows::redirect_each;
use crate::api::field::{Field, labelled};
use crate::api::resource::{MANAGER, MANAGER_AND_AGENT, PermissionGroup, Resource, action};
use crate::api::resource_view::{
    Related, ResourceView, Widget, button, group, label, list_link, quick_filter, related,
};
use crate::api::{
    CallerScope, Ctx, CustomerOwned, Error, Id, ImportKey, Json, Needs, Result, Route, Saved, check_customer, delete,
    get, long_running, post, put, run,
};
use crate::storage::Stored;
use crate::tenancy::journal::Recorded;
use crate::tenancy::phones::PhoneText;
use crate::values::{CustomFields, Email, Name, RowId, Text};

pub const RESOURCE: Resource =
    Resource::new("Contacts", "People who can be called. A contact may belong to a customer.", ROUTES)
        .permissions(&PERMISSIONS)
        .entity::<Contact>()
        .recorded(&[Contact::RECORDED, Contact::DISMISSAL])
        .more_fields(&[FIELDS, duplicates::FIELDS])
        .files::<Contact>()
        .samples(r#"{"last_name": "Lovelace"}"#, r#"{"first_name": "Zoé"}"#)
        .view(VIEW);

/// The labels of fields that the entity does not have.
const FIELDS: &[Field] = &[
    labelled("with", "Other contact", "Autre contact"),
    labelled("a", "Contact", "Contact"),
    labelled("b", "Other contact", "Autre contact"),
];

/// The rows that a merge moves.
const AFFECTED_BY_MERGE: &[Related] = &[
    related("calls move", "appels sont transférés", "/phone-calls", "contact_id"),
    related("chats move", "discussions sont transférées", "/crm/lookup/chats", "contact_id"),
];

const VIEW: ResourceView = ResourceView {
    title: &["civility", "first_name", "last_name"],
    columns: &["last_name", "first_name", "company", "phone_mobile_1", "phone_business_1", "email", "customer_id"],
    groups: &[
        group(
            "Person",
            "Identité",
            &["civility", "first_name", "last_name", "company", "role", "service", "customer_id"],
        ),
        group(
            "Phone numbers",
            "Téléphones",
            &["phone_mobile_1", "phone_business_1", "phone_business_2", "phone_mobile_2", "phone_home_1", "fax"],
        ),
        group("Online", "En ligne", &["email", "website"]),
        group("Notes", "Notes", &["comment", "custom_fields"]),
    ],
    widgets: &[
        ("website", Widget::Url),
        ("customer_id", Widget::Link("/customers")),
        ("email", Widget::Email),
        ("phone_business_1", Widget::Phone),
        ("phone_business_2", Widget::Phone),
        ("phone_mobile_1", Widget::Phone),
        ("phone_mobile_2", Widget::Phone),
        ("phone_home_1", Widget::Phone),
        ("comment", Widget::Lines),
        ("custom_fields", Widget::Pairs),
    ],
    help: &[(
        "custom_fields",
        label(
            "Your own fields, each with a name and a value.",
            "Vos propres champs, chacun avec un nom et une valeur.",
        ),
    )],
    quick_filters: &[quick_filter("Changed today", "Modifiés aujourd’hui", "filter[updated_at][on]={today}")],
    related: &[
        related("Calls", "Appels", "/phone-calls", "contact_id"),
        related("Chats", "Discussions", "/crm/lookup/chats", "contact_id"),
    ],
    affected_by_delete: &[
        related("calls lose their contact", "appels perdent leur contact", "/phone-calls", "contact_id"),
        related("chats lose their contact", "discussions perdent leur contact", "/crm/lookup/chats", "contact_id"),
    ],
    buttons: &[button(
        "merge",
        label("Merge with…", "Fusionner avec…"),
        label(
            "The other contact is merged into this one and deleted.",
            "L’autre contact est fusionné dans celui-ci, puis supprimé.",
        ),
    )
    .affecting(AFFECTED_BY_MERGE)],
    purpose: label("People who call or are called.", "Les personnes qui appellent ou que l’on appelle."),
    list_links: &[list_link("Find duplicates", "Chercher les doublons", "/ui/contacts/duplicates", "contact.delete")],
    singular: label("contact", "un contact"),
    ..ResourceView::DERIVED
};

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "contact",
    actions: &[
        action("view", "see contacts", "voir les contacts", MANAGER_AND_AGENT),
        action("create", "create contacts", "créer des contacts", MANAGER_AND_AGENT),
        action("update", "change contacts", "modifier les contacts", MANAGER_AND_AGENT),
        action("delete", "delete contacts", "supprimer des contacts", MANAGER),
    ],
};

const ROUTES: &[Route] = &[
    get("/contacts", &run(list::<Contact>), Needs::Scoped("contact.view"), "List contacts"),
    get("/contacts/export", &run(export::<Contact>), Needs::Scoped("contact.view"), "Export contacts as JSON or CSV"),
    get(
        "/contacts/duplicates",
        &run(duplicates::list::<Contact>),
        Needs::Scoped("contact.view"),
        "List contacts that may be the same, in pairs",
    )
    .named("listDuplicateContacts"),
    post(
        "/contacts/duplicates/dismiss",
        &run(duplicates::dismiss::<Contact>),
        Needs::Scoped("contact.update"),
        "Dismiss a pair of contacts that are not the same",
    )
    .named("dismissDuplicateContacts"),
    post(
        "/contacts/duplicates/restore",
        &run(duplicates::restore::<Contact>),
        Needs::Scoped("contact.update"),
        "Restore a dismissed pair of contacts",
    )
    .named("restoreDuplicateContacts"),
    get("/contacts/{id}", &run(show::<Contact>), Needs::Scoped("contact.view"), "Show a contact"),
    post("/contacts", &run(create::<Contact>), Needs::Scoped("contact.create"), "Create a contact"),
    post(
        "/contacts/import",
        &long_running(import::<Contact>),
        Needs::Scoped("contact.create"),
        "Import contacts from JSON or CSV",
    ),
    put("/contacts/{id}", &run(update::<Contact>), Needs::Scoped("contact.update"), "Change a contact"),
    post(
        "/contacts/{id}/merge",
        &run(merge),
        Needs::Scoped("contact.delete"),
        "Merge another contact into a contact; this also requires contact.update",
    )
    .named("mergeContacts")
    .changing("/contacts/{id}"),
    delete(
        "/contacts/bulk",
        &run(remove_many::<Contact>),
        Needs::Scoped("contact.delete"),
        "Delete contacts, all or none",
    ),
    delete("/contacts/{id}", &run(remove::<Contact>), Needs::Scoped("contact.delete"), "Delete a contact"),
];

entity! {
    /// A person who can be called.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct Contact in "contacts" {
        /// Id of the customer that the contact belongs to. Null if it belongs to none.
        #[serde(deserialize_with = "crate::values::nullable_id")]
        pub customer_id: Option<i64> => integer, "Customer", "Client";
        /// Form of address, for example `Mme`.
        pub civility: Option<Text<32>> => text, "Title", "Civilité";
        /// First name.
        #[schemars(example = &"Zoé")]
        pub first_name: Option<Text<255>> => text.sorted_by("fold(first_name)").searched(), "First name", "Prénom";
        /// Last name.
        #[schemars(example = &"Martin")]
        pub last_name: Name<255> => text.sorted_by_folded("folded_last_name", "fold(last_name)").searched(), "Last name", "Nom";
        /// Email address.
        pub email: Option<Email> => text.sorted_by("email COLLATE NOCASE").searched(), "Email", "E-mail";
        /// Company of the contact.
        pub company: Option<Text<255>> => text.sorted_by("fold(company)").searched(), "Company", "Société";
        /// Website. Free text.
        pub website: Option<Text<255>> => text, "Website", "Site web";
        /// Business phone number, stored as typed. Filters and the CRM look-up match every number in any format.
        pub phone_business_1: PhoneText => phone, "Business phone", "Téléphone professionnel";
        /// Second business phone number.
        pub phone_business_2: PhoneText => phone, "Business phone 2", "Téléphone professionnel 2";
        /// Mobile phone number.
        #[schemars(example = &"06 12 34 56 78")]
        pub phone_mobile_1: PhoneText => phone, "Mobile", "Mobile";
        /// Second mobile phone number.
        pub phone_mobile_2: PhoneText => phone, "Mobile 2", "Mobile 2";
        /// Private phone number.
        pub phone_home_1: PhoneText => phone, "Home phone", "Téléphone privé";
        /// Fax number.
        pub fax: PhoneText => phone, "Fax", "Fax";
        /// Position of the contact in the company.
        pub role: Option<Text<255>> => text.searched(), "Position", "Fonction";
        /// Department of the contact in the company.
        pub service: Option<Text<255>> => text.searched(), "Department", "Service";
        /// Notes. At most 10,000 characters.
        pub comment: Option<Text<10000>> => text.searched(), "Notes", "Notes";
        /// Additional fields as a JSON object. At most 16 KiB as text, nested at most 5 levels deep.
        pub custom_fields: CustomFields => object, "Custom fields", "Champs personnalisés";
    }
    recorded: &Recorded::announced("contact", "contact.view"), permissions: "contact", scope: CallerScope;
    customer: customer_id;
    phones: [phone_business_1, phone_business_2, phone_mobile_1, phone_mobile_2, phone_home_1, fax];
    list: { has_row_count: true };
    also: [any_phone("phone", "contacts"), term("contacts_fts")];
    computed: folded_last_name = "fold(:last_name)",
        folded_identity = "fold(concat(:first_name, ' ', :last_name, char(10), :company))";
}

/// The other contact, and whose value each field gets.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ContactMerge {
    /// Id of the contact that is merged into this one and deleted.
    with: RowId,
    /// The choice for each field that has one, by the name of the field. Without a choice, the contact keeps its value, and
    /// an empty field gets the other's. A number of the other contact is added in a free field, unless the contact has it.
    /// The notes of both are joined, and the custom fields united.
    #[schemars(example = &serde_json::json!({"email": "other", "phone_mobile_1": "kept"}))]
    fields: FieldChoices,
}

/// The merged contact, and the rows that moved to it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ContactMerged {
    #[serde(flatten)]
    contact: Contact,
    /// The rows that referred to the other contact.
    moved: MovedFromContact,
}

/// Numbers of rows that moved from one contact to another.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MovedFromContact {
    /// Number of phone calls.
    phone_calls: usize,
    /// Number of chats.
    chats: usize,
}

/// Calls and chats keep their customer, as they do when a contact moves to another customer.
fn merge(ctx: &mut Ctx<'_>, Id(id): Id, Json(merge): Json<ContactMerge>) -> Result<Saved<ContactMerged>> {
    ctx.require_permission("contact.update")?;
    let kept: Contact = crud::find(ctx, &CallerScope, id)?;
    let gone = Contact::find(ctx.db, merge.with.get())?.filter(|gone| gone.id != id);
    let gone = gone.filter(|gone| gone.is_visible_to(ctx.bound_to()));
    let gone = gone.ok_or_else(|| Error::invalid("The selected with is invalid."))?;
    let merged = field_merge::merged(ctx.db, &kept, &gone, &merge.fields)?;
    let recorder = ctx.recorder()?;
    let moved = MovedFromContact {
        phone_calls: redirect_each(ctx.db, &recorder, "contact_id", gone.id, |call: &mut PhoneCall| {
            call.contact_id = Some(id);
        })?,
        chats: redirect_each(ctx.db, &recorder, "contact_id", gone.id, |chat: &mut Chat| chat.contact_id = Some(id))?,
    };
    duplicates::move_dismissals::<Contact>(ctx.db, gone.id, id)?;
    let contact = crud::merge_rows(ctx, &CallerScope, &kept, merged, &gone)?;
    Ok(Saved(ContactMerged { contact, moved }))
}

impl Duplicated for Contact {
    const CRITERIA: &'static [Criterion; 3] = &[
        Criterion::phone("contacts"),
        Criterion::email("contacts", "email"),
        Criterion::name("contacts", "folded_identity"),
    ];
    const DISMISSED: &'static str = "dismissed_contact_pairs";
    const DISMISSAL: &'static Recorded = &Recorded::new("contact-dismissal", Some("contact.view"));
}

impl Entity for Contact {
    fn check(&mut self, db: &Connection, _: Option<&Self>) -> Result<()> {
        check_customer(db, self.customer_id)
    }
}

impl Editable for Contact {
    const KEY: Option<ImportKey> = Some(ImportKey { field: "email", column: "email COLLATE NOCASE" });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::test_runner::TestRunner;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::storage::Stored;
    use crate::tests::TestServer;

    #[test]
    fn a_contact_is_answered_whole_and_kept_as_it_was_sent() {
        let server = TestServer::new();
        let customer = server.admin().post("/customers", json!({"name": "Ada"})).created()["id"].clone();
        let sent = json!({
            "customer_id": customer, "civility": "Mme", "first_name": "Zoé", "last_name": "Lefèvre",
            "email": "Zoe@Example.com", "company": "Acme", "website": "https://example.com",
            "phone_business_1": "01 42 00 00 00", "phone_business_2": "+32 2 555 12 12", "phone_mobile_1": "0612345678",
            "phone_mobile_2": "+33 7 00 00 00 00", "phone_home_1": "0450000000", "fax": "0142000001",
            "role": "Directrice", "service": "Achats", "comment": "c", "custom_fields": {"a": null},
        });
        let made = server.admin().post("/contacts", sent.clone()).created();
        for (field, value) in sent.as_object().unwrap() {
            assert_eq!(&made[field], value, "{field}");
        }
        assert_eq!(server.admin().get(&format!("/contacts/{}", made["id"])).ok(), made);
    }

    /// A change writes the columns that it changes, and those that SQL computes from them.
    #[test]
    fn any_change_is_kept_with_what_is_computed_from_it() {
        let server = TestServer::new();
        server.admin().post("/contacts", json!({"last_name": "B"})).created();
        let names =
            [("first_name", false), ("last_name", true), ("company", false), ("email", false), ("comment", false)];
        let value = |is_required: bool| {
            let values = prop_oneof![Just(Value::Null), select(vec!["Zoé", "A", "é"]).prop_map(Value::from)];
            values.prop_filter("a required name", move |value| !is_required || !value.is_null())
        };
        let change = names.map(|(name, is_required)| match name {
            "email" => prop::option::of(Just(json!("a@example.com"))).boxed(),
            _ => prop::option::of(value(is_required)).boxed(),
        });
        let mut runner =
            TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) });
        let ran = runner.run(&change, |change| {
            let change: Map<String, Value> =
                names.iter().zip(change).filter_map(|((name, _), value)| Some(((*name).to_owned(), value?))).collect();
            let mut expected = server.admin().get("/contacts/1").ok();
            let changed = server.admin().put("/contacts/1", Value::from(change.clone())).created();
            expected.as_object_mut().unwrap().extend(change);
            expected["updated_at"] = changed["updated_at"].clone();
            prop_assert_eq!(&changed, &expected);
            prop_assert_eq!(server.admin().get("/contacts/1").ok(), expected);
            let computed = server.instance.registry.lease(server.acme.id).file().read(|db| {
                let wrong =
                    Contact::COMPUTED.iter().map(|(column, from)| format!("{column} IS NOT {}", from.replace(':', "")));
                let sql = format!("SELECT {} FROM contacts", wrong.collect::<Vec<_>>().join(" OR "));
                Ok::<_, Error>(db.query_row(&sql, [], |row| row.get::<_, bool>(0))?)
            });
            prop_assert!(!computed.unwrap(), "a computed column is wrong");
            Ok(())
        });
        ran.unwrap();
    }

    #[test]
    fn any_of_its_numbers_finds_a_contact_in_any_format_and_an_old_one_no_longer() {
        let server = TestServer::new();
        let numbers = json!({"last_name": "B", "phone_business_1": "01 42 00 00 00", "phone_home_1": "+49 30 123456"});
        server.admin().post("/contacts", numbers).created();
        let found =
            |number: &str| server.admin().get(&format!("/contacts?filter[phone]={number}")).ok()["total"].clone();
        for number in ["%2B33142000000", "0142000000", "0033142000000", "01.42.00.00.00", "004930123456", "3456"] {
            assert_eq!(found(number), 1, "{number}");
        }
        server.admin().put("/contacts/1", json!({"phone_business_1": "01 43 00 00 00"})).created();
        assert_eq!((found("0142000000"), found("0143000000")), (json!(0), json!(1)));
        server.admin().delete("/contacts/1").ok();
        assert_eq!(found("0143000000"), 0);
    }

    #[test]
    fn numbers_without_a_prefix_are_of_the_workspaces_country() {
        let server = TestServer::new();
        server.in_file(|db| {
            db.execute("UPDATE settings SET value = 'DE' WHERE name = 'default_country'", [])?;
            Ok(())
        });
        server.admin().post("/contacts", json!({"last_name": "B", "phone_business_1": "030 123456"})).created();
        assert_eq!(server.admin().get("/contacts?filter[phone]=%2B4930123456").ok()["total"], 1);
    }

    #[test]
    fn its_customer_must_be_there() {
        let server = TestServer::new();
        let answer = server.admin().post("/contacts", json!({"last_name": "B", "customer_id": 7}));
        answer.invalid(&["The selected customer id is invalid."]);
        server.admin().post("/contacts", json!({"last_name": "B"})).created();
        server.admin().put("/contacts/1", json!({"customer_id": 7})).invalid(&["The selected customer id is invalid."]);
        assert_eq!(server.admin().get("/contacts/1").ok()["customer_id"], Value::Null);
    }

    #[test]
    fn words_find_it_by_their_beginnings_whatever_was_changed_since() {
        let server = TestServer::new();
        server
            .admin()
            .post("/contacts", json!({"first_name": "Zoé", "last_name": "Lefèvre", "company": "Acme"}))
            .created();
        let found = |term: &str| server.admin().get(&format!("/contacts?filter[term]={term}")).ok()["total"].clone();
        assert_eq!((found("zoe%20lef"), found("acme"), found("martin")), (json!(1), json!(1), json!(0)));
        server.admin().put("/contacts/1", json!({"last_name": "Martin"})).created();
        assert_eq!((found("lefevre"), found("martin")), (json!(0), json!(1)));
    }

    #[test]
    fn an_agent_creates_and_changes_and_does_not_delete() {
        let server = TestServer::new();
        let agent = server.with_role("agent");
        agent.post("/contacts", json!({"last_name": "B"})).created();
        agent.put("/contacts/1", json!({"last_name": "C"})).created();
        agent.delete("/contacts/1").rejected(403, "missing_permission");
        agent.post("/customers", json!({"name": ""})).rejected(403, "missing_permission");
    }

    #[test]
    fn many_are_deleted_all_or_none() {
        let server = TestServer::new();
        for name in ["A", "B"] {
            server.admin().post("/contacts", json!({"last_name": name})).created();
        }
        server.admin().delete_with("/contacts/bulk", json!({"ids": [2, 9]})).rejected(422, "unknown_ids");
        assert_eq!(server.admin().get("/contacts").ok()["total"], 2);
        assert_eq!(server.admin().delete_with("/contacts/bulk", json!({"ids": [1, 2]})).ok()["deleted"], 2);
        assert_eq!(server.admin().get("/contacts").ok()["total"], 0);
    }
}

//! Organisations: the legal entities of the workspace itself. There is always at least one.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::crud::{create, remove, show, update};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::resource::{MANAGER, MANAGER_AND_AGENT, PermissionGroup, Resource, Section, action};
use crate::api::resource_view::{ResourceView, Widget, group, label};
use crate::api::{CallerScope, Ctx, Error, Needs, Ok200, Result, Route, delete, get, post, put, run};
use crate::storage::Stored;
use crate::tenancy::ChangeRecorder;
use crate::tenancy::journal::Recorded;
use crate::tenancy::phones::PhoneText;
use crate::values::{Email, Name, Text};

pub const RESOURCE: Resource =
    Resource::new("Organisations", "The legal entities of the workspace. There is always at least one.", ROUTES)
        .section(Section::Workspace)
        .permissions(&PERMISSIONS)
        .entity::<Organisation>()
        .samples(r#"{"name": "Acme SA"}"#, r#"{"capital": "10 000 EUR"}"#)
        .view(VIEW);

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "organisation_type", "main_address_city", "phone", "email_address"],
    groups: &[
        group("Organisation", "Organisation", &["name", "organisation_type", "slogan"]),
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
        group(
            "Registration",
            "Immatriculation",
            &["registration_number", "tax_registration_number", "activity_code", "capital"],
        ),
    ],
    widgets: &[
        ("website", Widget::Url),
        ("phone", Widget::Phone),
        ("mobile_phone", Widget::Phone),
        ("email_address", Widget::Email),
    ],
    purpose: label(
        "Your own legal entities. There is always at least one.",
        "Vos propres entités juridiques. Il y en a toujours au moins une.",
    ),
    singular: label("organisation", "une organisation"),
    ..ResourceView::DERIVED
};

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "organisation",
    actions: &[
        action(
            "view",
            "see the workspace's organisations",
            "voir les organisations de l’espace de travail",
            MANAGER_AND_AGENT,
        ),
        action("create", "create organisations", "créer des organisations", MANAGER),
        action("update", "change organisations", "modifier les organisations", MANAGER),
        action("delete", "delete organisations", "supprimer des organisations", MANAGER),
    ],
};

const ROUTES: &[Route] = &[
    get("/organisations", &run(list), Needs::Permission("organisation.view"), "List the workspace's organisations"),
    get(
        "/organisations/{id}",
        &run(show::<Organisation>),
        Needs::Permission("organisation.view"),
        "Show an organisation",
    ),
    post(
        "/organisations",
        &run(create::<Organisation>),
        Needs::Permission("organisation.create"),
        "Create an organisation",
    ),
    put(
        "/organisations/{id}",
        &run(update::<Organisation>),
        Needs::Permission("organisation.update"),
        "Change an organisation",
    ),
    delete(
        "/organisations/{id}",
        &run(remove::<Organisation>),
        Needs::Permission("organisation.delete"),
        "Delete an organisation, unless it is the last",
    ),
];

entity! {
    /// A legal entity of the workspace itself. The first one is created with the workspace and has its name.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct Organisation in "organisations" {
        /// Name of the organisation.
        #[schemars(example = &"Acme SAS")]
        pub name: Name<255> => stored, "Name", "Nom";
        /// Registration number of the company.
        pub registration_number: Option<Text<64>> => stored, "Registration number", "Numéro d’immatriculation";
        /// VAT or tax number.
        pub tax_registration_number: Option<Text<64>> => stored, "VAT number", "Numéro de TVA";
        /// Slogan, for letters.
        pub slogan: Option<Text<255>> => stored, "Slogan", "Slogan";
        /// Legal form as written, for example `SARL` or `GmbH`.
        pub organisation_type: Option<Text<64>> => stored, "Legal form", "Forme juridique";
        /// Share capital as written on letters, for example `10 000 EUR`.
        pub capital: Option<Text<64>> => stored, "Capital", "Capital";
        /// Code of the business activity, for example an NAF code.
        pub activity_code: Option<Text<64>> => stored, "Activity code", "Code d’activité";
        /// First name of the main contact.
        pub main_contact_first_name: Option<Text<255>> => stored, "Contact’s first name", "Prénom du contact";
        /// Last name of the main contact.
        pub main_contact_last_name: Option<Text<255>> => stored, "Contact’s last name", "Nom du contact";
        /// First line of the main address.
        pub main_address_line1: Option<Text<255>> => stored, "Address", "Adresse";
        /// Second line of the main address.
        pub main_address_line2: Option<Text<255>> => stored, "Address, line 2", "Adresse, ligne 2";
        /// Postcode of the main address.
        pub main_address_postal_code: Option<Text<32>> => stored, "Postal code", "Code postal";
        /// City of the main address.
        #[schemars(example = &"Paris")]
        pub main_address_city: Option<Text<255>> => stored, "City", "Ville";
        /// Country of the main address.
        pub main_address_country: Option<Text<64>> => stored, "Country", "Pays";
        /// Email address.
        pub email_address: Option<Email> => stored, "Email", "E-mail";
        /// Website. Free text.
        pub website: Option<Text<255>> => stored, "Website", "Site web";
        /// Phone number, stored as typed.
        pub phone: PhoneText => stored, "Phone", "Téléphone";
        /// Mobile phone number.
        pub mobile_phone: PhoneText => stored, "Mobile", "Mobile";
        /// Fax number.
        pub fax: PhoneText => stored, "Fax", "Fax";
    }
    recorded: &Recorded::announced("organisation", "organisation.view"), permissions: "organisation", scope: CallerScope;
}

fn list(ctx: &mut Ctx<'_>) -> Result<Ok200<Vec<Organisation>>> {
    let sql = format!("SELECT {} FROM organisations ORDER BY id", Organisation::COLUMNS);
    let mut statement = ctx.db.prepare_cached(&sql)?;
    let organisations = statement.query_map([], Organisation::from_columns)?.collect::<rusqlite::Result<_>>()?;
    Ok(Ok200(organisations))
}

impl Entity for Organisation {
    fn release(&self, db: &Connection, _: &ChangeRecorder) -> Result<()> {
        if db.prepare_cached("SELECT 1 FROM organisations WHERE id <> ?1")?.exists([self.id])? {
            return Ok(());
        }
        Err(Error::rejected("last_organisation", "The workspace must have at least one organisation."))
    }
}

impl Editable for Organisation {}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::storage;
    use crate::tests::TestServer;

    #[test]
    fn a_workspace_begins_with_one_that_is_named_as_it() {
        let server = TestServer::new();
        let listed = server.admin().get("/organisations").ok();
        assert_eq!(listed.as_array().map(Vec::len), Some(1));
        assert_eq!((&listed[0]["id"], &listed[0]["name"]), (&json!(1), &json!(server.acme.name)));
        assert_eq!(server.admin().get("/organisations/1").ok(), listed[0]);
    }

    #[test]
    fn an_organisation_is_answered_whole_and_kept_as_it_was_sent() {
        let server = TestServer::new();
        let sent = json!({
            "name": "Acme Télécom", "registration_number": "123 456 789", "tax_registration_number": "FR40123456789",
            "slogan": "On vous rappelle", "organisation_type": "SARL", "capital": "10 000 EUR",
            "activity_code": "61.10Z", "main_contact_first_name": "Zoé", "main_contact_last_name": "Lefèvre",
            "main_address_line1": "1 rue de la Paix", "main_address_line2": "Bât. B",
            "main_address_postal_code": "75002", "main_address_city": "Paris", "main_address_country": "France",
            "email_address": "Bonjour@Example.com", "website": "https://example.com", "phone": "01 42 00 00 00",
            "mobile_phone": "+33 6 12 34 56 78", "fax": "0142000001",
        });
        let made = server.admin().post("/organisations", sent.clone()).created();
        for (field, value) in sent.as_object().unwrap() {
            assert_eq!(&made[field], value, "{field}");
        }
        // All sent fields, and the three that the server sets.
        assert_eq!(made.as_object().unwrap().len(), sent.as_object().unwrap().len() + 3);
        assert_eq!(server.admin().get("/organisations/2").ok(), made);
        assert_eq!(server.admin().get("/organisations").ok()[1], made);

        let changed = server.admin().put("/organisations/2", json!({"slogan": null, "name": "Acme SA"})).created();
        assert_eq!((&changed["slogan"], &changed["name"]), (&Value::Null, &json!("Acme SA")));
        assert_eq!(changed["capital"], "10 000 EUR");
        assert_eq!(server.admin().get("/organisations/2").ok(), changed);
    }

    #[test]
    fn what_is_not_as_it_should_be_is_refused() {
        let server = TestServer::new();
        server.admin().post("/organisations", json!({})).invalid(&["The name field is required."]);
        server.admin().put("/organisations/1", json!({"name": " "})).invalid(&["The name field is required."]);
        server
            .admin()
            .put("/organisations/1", json!({"capital": 10000, "email_address": "zoe"}))
            .invalid(&["The capital must be a string.", "The email address must be a valid email address."]);
        server.admin().get("/organisations/2").rejected(404, "not_found");
        server.admin().put("/organisations/2", json!({})).rejected(404, "not_found");
        server.admin().delete("/organisations/2").rejected(404, "not_found");
    }

    #[test]
    fn the_last_one_stays() {
        let server = TestServer::new();
        server.admin().delete("/organisations/1").rejected(422, "last_organisation");
        server.admin().post("/organisations", json!({"name": "Acme SA"})).created();
        assert_eq!(server.admin().delete("/organisations/1").ok(), json!({"response": "ok"}));
        server.admin().delete("/organisations/2").rejected(422, "last_organisation");
    }

    #[test]
    fn an_agent_sees_them_and_does_not_change_them() {
        let server = TestServer::new();
        let agent = server.with_role("agent");
        agent.get("/organisations").ok();
        agent.post("/organisations", json!({"name": "Mine"})).rejected(403, "missing_permission");
        agent.put("/organisations/1", json!({"name": "Mine"})).rejected(403, "missing_permission");
        agent.delete("/organisations/1").rejected(403, "missing_permission");
        server.with_role("manager").put("/organisations/1", json!({"name": "Ours"})).created();
    }

    /// Opens a file of the previous version, which the program migrates.
    #[test]
    fn a_workspace_that_was_made_before_gets_one_and_the_template_none() {
        let folder = tempfile::tempdir().unwrap();
        for (name, expected) in [("workspace", 1), ("template", 0)] {
            let path = folder.path().join(name);
            storage::create_of_version(&path, storage::FileKind::Workspace, 2).unwrap();
            let mut db = storage::open_writer(&path).unwrap();
            if name == "workspace" {
                db.execute_batch(
                    "INSERT INTO workspace (id, created_at) VALUES ('it', 7);
                     INSERT INTO settings (name, value) VALUES ('default_country', 'DE');",
                )
                .unwrap();
            }
            storage::migrate(&mut db, storage::FileKind::Workspace).unwrap();
            let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(one("SELECT count(*) FROM organisations WHERE created_at = 7"), expected);
            assert_eq!(
                one("SELECT count(*) FROM settings WHERE name = 'phones_indexed_for' AND value = 'DE'"),
                expected
            );
        }
    }
}

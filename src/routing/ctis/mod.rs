//! CTIs: telephony programs of a customer, each with destinations by origin of a call.

pub mod cti_destinations;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::customer_param::CustomerParam;
use super::routing_tokens::{self, LastFour};
use crate::api::crud::{self, export, import, list, remove, remove_many, show, update};
use crate::api::entity::{Declared, Editable, Entity, entity};
use crate::api::field::{Field, labelled};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, button, group, label, related};
use crate::api::{
    Ctx, Given, Id, ImportKey, Json, Needs, Result, Route, Saved, Scope, delete, entity_rows, get, long_running, post,
    put, run,
};
use crate::storage::Stored;
use crate::tenancy::ChangeRecorder;
use crate::tenancy::journal::Recorded;
use crate::values::Name;
use cti_destinations::CtiDestination;

pub const RESOURCE: Resource =
    Resource::new("CTIs", "Telephony programs (CTIs) of a customer, with destinations by caller.", ROUTES)
        .french("CTI")
        .section(Section::Routing)
        .entity::<Cti>()
        .files::<Cti>()
        .more_fields(&[FIELDS])
        .folded(reindex_texts)
        .view(VIEW);

/// The labels of fields that the entity does not have.
const FIELDS: &[Field] = &[
    labelled("token", "Token", "Jeton"),
    labelled("cti_id", "CTI", "CTI"),
    labelled("cti", "CTI", "CTI"),
    labelled("origin", "Origin", "Origine"),
    labelled("destination", "Destination", "Destination"),
];

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "last_four", "created_at", "updated_at"],
    groups: &[group("CTI", "CTI", &["name", "last_four", "customer_id"])],
    widgets: &[("customer_id", Widget::Link("/customers"))],
    related: &[related("Destinations", "Destinations", "/smart-routings/ctis/{id}/destinations", "")],
    affected_by_delete: &[related(
        "destinations are deleted",
        "destinations sont supprimées",
        "/smart-routings/ctis/{id}/destinations",
        "",
    )],
    buttons: &[button(
        "regenerate-token",
        label("New token", "Nouveau jeton"),
        label(
            "The old token stops working at once. The new one is shown once.",
            "L’ancien jeton ne fonctionne plus aussitôt. Le nouveau est affiché une seule fois.",
        ),
    )],
    purpose: label(
        "Telephony programs that ask where a call goes, by its caller.",
        "Les programmes de téléphonie qui demandent où va un appel, selon l’appelant.",
    ),
    singular: label("CTI", "un CTI"),
    secret: Some("token"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/smart-routings/ctis", &run(list::<Cti>), Needs::Scoped("routing.view"), "List CTIs"),
    get(
        "/smart-routings/ctis/export",
        &run(export::<Cti>),
        Needs::Scoped("routing.view"),
        "Export CTIs as JSON or CSV",
    ),
    get(
        "/smart-routings/ctis/lookup",
        &run(cti_destinations::lookup),
        Needs::Lookup("routing.view"),
        "Look up the destination of a call by its origin",
    )
    .named("lookUpCti"),
    get("/smart-routings/ctis/{id}", &run(show::<Cti>), Needs::Scoped("routing.view"), "Show a CTI"),
    post(
        "/smart-routings/ctis",
        &run(create),
        Needs::Scoped("routing.create"),
        "Create a CTI; its token is shown only once",
    ),
    post(
        "/smart-routings/ctis/import",
        &long_running(import::<Cti>),
        Needs::Scoped("routing.create"),
        "Import CTIs from JSON or CSV",
    ),
    post(
        "/smart-routings/ctis/{id}/regenerate-token",
        &run(regenerate),
        Needs::Scoped("routing.update"),
        "Replace the token of a CTI; the old one stops working at once",
    )
    .named("regenerateCtiToken"),
    put("/smart-routings/ctis/{id}", &run(update::<Cti>), Needs::Scoped("routing.update"), "Change a CTI"),
    delete(
        "/smart-routings/ctis/bulk",
        &run(remove_many::<Cti>),
        Needs::Scoped("routing.delete"),
        "Delete CTIs, all or none",
    ),
    delete(
        "/smart-routings/ctis/{id}",
        &run(remove::<Cti>),
        Needs::Scoped("routing.delete"),
        "Delete a CTI and its destinations",
    ),
];

/// Folds the texts of the rows with ids above `after` and up to `last`.
fn reindex_texts(db: &Connection, after: i64, last: i64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO ctis_fts (rowid, name)
         SELECT id, fold(name) FROM ctis WHERE id > ?1 AND id <= ?2",
    )?
    .execute((after, last))?;
    Ok(())
}

/// Prefix of CTI tokens.
const PREFIX: &str = "cxt_";

const TABLE: &str = "ctis";

entity! {
    /// A telephony program (CTI) of a customer.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct Cti in "ctis" {
        /// Id of the customer that owns the CTI.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Display name of the CTI.
        #[schemars(example = &"Reception")]
        pub name: Name<255> => text.sorted_by("fold(name)"), "Name", "Nom";
        /// Last four characters of the token. Null for an imported CTI until it gets a token from `regenerate-token`.
        #[schemars(extend("readOnly" = true))]
        pub last_four: Option<LastFour> => text, "Last four characters", "Quatre derniers caractères";
    }
    recorded: &Recorded::announced("cti", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    also: [words(&["name"])];
}

/// A CTI together with its token.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CtiShown {
    #[serde(flatten)]
    cti: Cti,
    /// The token. The look-up accepts it instead of `cti_id`. It is shown only in this response.
    token: String,
}

fn create(ctx: &mut Ctx<'_>, scope: CustomerParam, Json(new): Json<Cti>) -> Result<Saved<CtiShown>> {
    let (token, last_four) = routing_tokens::generate(PREFIX)?;
    let cti = crud::create_row(ctx, &scope, Cti { last_four: Some(last_four), ..new })?;
    routing_tokens::save(ctx.db, TABLE, cti.id, &token)?;
    Ok(Saved(CtiShown { cti, token }))
}

fn regenerate(ctx: &mut Ctx<'_>, scope: CustomerParam, Id(id): Id) -> Result<Saved<CtiShown>> {
    let old = crud::find::<Cti>(ctx, &scope, id)?;
    let (token, last_four) = routing_tokens::generate(PREFIX)?;
    let cti = Cti { last_four: Some(last_four), updated_at: ctx.now, ..old.clone() };
    cti.save(ctx.db, &old)?;
    routing_tokens::save(ctx.db, TABLE, id, &token)?;
    ctx.recorder()?.updated(ctx.db, <Cti as Declared>::RECORDED, &old, &cti)?;
    Ok(Saved(CtiShown { cti, token }))
}

impl Entity for Cti {
    /// A file cannot set `last_four` either, and a file that changes nothing else changes nothing.
    fn prepare(&mut self, db: &Connection, old: Option<&Self>, given: &Given<'_>) -> Result<()> {
        if given.is_import {
            self.last_four = old.and_then(|old| old.last_four.clone());
        }
        CustomerParam::assign(self, db, given)
    }

    /// `last_four` follows the token. A body cannot change it.
    fn check(&mut self, _: &Connection, old: Option<&Self>) -> Result<()> {
        if let Some(old) = old {
            self.last_four.clone_from(&old.last_four);
        }
        Ok(())
    }

    fn release(&self, db: &Connection, recorder: &ChangeRecorder) -> Result<()> {
        entity_rows::delete_each::<CtiDestination>(db, recorder, cti_destinations::CTI, self.id)
    }
}

impl Editable for Cti {
    const KEY: Option<ImportKey> = Some(ImportKey { field: "name", column: "name" });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestServer};

    #[test]
    fn a_token_is_shown_once_and_ends_when_another_is_made() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let made = routing.post("/ctis", json!({"name": "A", "last_four": "mine"})).created();
        let (id, first) = (made["id"].as_i64().unwrap(), made["token"].as_str().unwrap().to_owned());
        assert!(first.starts_with("cxt_") && first.len() == 47, "{first}");
        assert_eq!(made["last_four"], &first[43..]);
        routing.create(&format!("/ctis/{id}/destinations"), json!({"origin": "*", "destination": "800"}));
        let found = |token: &str| routing.get(&format!("/ctis/lookup?token={token}&origin=204"));
        assert_eq!(found(&first).ok()["destination"], "800");
        let again = routing.post(&format!("/ctis/{id}/regenerate-token"), json!({})).created();
        let second = again["token"].as_str().unwrap();
        assert_eq!(found(second).ok()["cti"]["id"], id);
        found(&first).rejected(404, "not_found");
        // The token of another customer's CTI finds nothing.
        other.get(&format!("/ctis/lookup?token={second}&origin=204")).rejected(404, "not_found");
        other.post(&format!("/ctis/{id}/regenerate-token"), json!({})).rejected(404, "not_found");

        let changed = routing.put(&format!("/ctis/{id}"), json!({"name": "B", "last_four": "mine"})).created();
        assert_eq!((&changed["last_four"], &changed["token"]), (&json!(&second[43..]), &Value::Null));
        for shown in
            [routing.get(&format!("/ctis/{id}")).text, routing.get("/ctis").text, routing.get("/ctis/export").text]
        {
            assert!(!shown.contains(second) && !shown.contains(&first), "{shown}");
        }
        assert_eq!(server.admin().get("/audit-log?filter[action]=cti.updated").ok()["total"], 2);
        let file = server.in_file(|db| Ok(std::fs::read(db.path().unwrap()).unwrap()));
        assert!(!file.windows(43).any(|window| window == &second.as_bytes()[4..]), "the token is in the file");
    }

    #[test]
    fn what_an_export_wrote_changes_nothing_and_makes_no_token() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let token = routing.post("/ctis", json!({"name": "A"})).created()["token"].as_str().unwrap().to_owned();
        routing.create("/ctis/1/destinations", json!({"origin": "*", "destination": "800"}));
        let exported = routing.get("/ctis/export").ok();
        let counts = routing.post("/ctis/import?mode=upsert", exported.clone()).created();
        assert_eq!((&counts["created"], &counts["updated"]), (&json!(0), &json!(1)));
        assert_eq!(routing.get("/ctis/export").ok(), exported);
        routing.get(&format!("/ctis/lookup?token={token}&origin=1")).ok();
        routing
            .post("/ctis/import?mode=upsert", json!({"ctis": [{"name": "A"}, {"name": "B", "last_four": "mine"}]}))
            .created();
        let listed = routing.get("/ctis").ok();
        assert_eq!((&listed["total"], &listed["data"][1]["last_four"]), (&json!(2), &Value::Null));
        routing.delete_with("/ctis/bulk", json!({"ids": [1]})).ok();
        routing.get(&format!("/ctis/lookup?token={token}&origin=1")).rejected(404, "not_found");
    }
}

//! CTIs: telephony programs of a customer, each with destinations by origin of a call.

pub mod destinations;

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rows::{
    self, Routed, delete_each, export, import, imported, list, of, remove, remove_many, routed, show, update,
};
use super::tokens::{self, LastFour};
use super::whose::Whose;
use crate::api::list::{By, Filter, Listed, Listing, Sort};
use crate::api::{Created, Ctx, Id, Imports, Json, Key, Needs, Result, Route, bulk, delete, get, post, put, run};
use crate::tenancy::Author;
use crate::values::{Name, Timestamp};
use destinations::Destination;

pub const ROUTES: &[Route] = &[
    get("/smart-routings/ctis", &run(list::<Cti>), Needs::Scoped("routing.view"), "List CTIs"),
    get(
        "/smart-routings/ctis/export",
        &run(export::<Cti>),
        Needs::Scoped("routing.view"),
        "Export CTIs as JSON or CSV",
    ),
    get(
        "/smart-routings/ctis/lookup",
        &run(destinations::lookup),
        Needs::LookUp("routing.view"),
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
        &bulk(import::<Cti>),
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

/// Prefix of CTI tokens.
const PREFIX: &str = "cxt_";

const TABLE: &str = "ctis";

/// A telephony program (CTI) of a customer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Cti {
    /// Id of the CTI.
    #[schemars(extend("readOnly" = true))]
    pub id: i64,
    /// Id of the customer that owns the CTI.
    #[schemars(extend("readOnly" = true))]
    pub customer_id: i64,
    /// Display name of the CTI.
    #[schemars(example = &"Reception")]
    pub name: Name<255>,
    /// Last four characters of the token. Null for an imported CTI until it gets a token from `regenerate-token`.
    #[schemars(extend("readOnly" = true))]
    pub last_four: Option<LastFour>,
    /// Time of creation (UTC).
    #[schemars(extend("readOnly" = true))]
    pub created_at: Timestamp,
    /// Time of the last change (UTC).
    #[schemars(extend("readOnly" = true))]
    pub updated_at: Timestamp,
}

/// A CTI together with its token.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CtiShown {
    #[serde(flatten)]
    cti: Cti,
    /// The token. The look-up accepts it instead of `cti_id`. It is shown only in this response.
    token: String,
}

fn create(ctx: &mut Ctx<'_>, whose: Whose, Json(new): Json<Cti>) -> Result<Created<CtiShown>> {
    let customer = whose.customer(ctx)?;
    let (token, last_four) = tokens::make(PREFIX)?;
    let new = of(customer, Cti { last_four: Some(last_four), ..new }, ctx.now);
    let cti = rows::add(ctx.db, &ctx.author()?, new)?;
    tokens::keep(ctx.db, TABLE, cti.id, &token)?;
    Ok(Created(CtiShown { cti, token }))
}

fn regenerate(ctx: &mut Ctx<'_>, whose: Whose, Id(id): Id) -> Result<Created<CtiShown>> {
    let old = whose.its(ctx, Cti::find(ctx.db, id)?)?;
    let (token, last_four) = tokens::make(PREFIX)?;
    let cti = Cti { last_four: Some(last_four), updated_at: ctx.now, ..old.clone() };
    cti.save(ctx.db)?;
    tokens::keep(ctx.db, TABLE, id, &token)?;
    ctx.author()?.updated(ctx.db, RESOURCE, &old, &cti)?;
    Ok(Created(CtiShown { cti, token }))
}

const RESOURCE: &str = "cti";

routed!(Cti in "ctis", told of as "cti" { name, last_four });

impl Routed for Cti {
    /// `last_four` follows the token. A body cannot change it.
    fn check(&mut self, _: &Connection, old: Option<&Self>) -> Result<()> {
        if let Some(old) = old {
            self.last_four.clone_from(&old.last_four);
        }
        Ok(())
    }

    fn empty(&self, db: &Connection, author: &Author) -> Result<()> {
        delete_each::<Destination>(db, author, destinations::CTI, self.id)
    }
}

impl Imports for Cti {
    const NAME: &'static str = "ctis";
    const UPDATE: &'static str = "routing.update";
    const KEY: Option<Key> = Some(Key { field: "name", column: "name" });

    fn times(&mut self) -> (&mut Timestamp, &mut Timestamp) {
        (&mut self.created_at, &mut self.updated_at)
    }

    fn settled(
        self,
        db: &Connection,
        old: Option<&Self>,
        bound_to: Option<i64>,
        _: &dyn Fn(&str) -> bool,
    ) -> Result<Self> {
        let last_four = old.and_then(|old| old.last_four.clone());
        imported(db, Self { last_four, ..self }, bound_to)
    }

    fn add(db: &Connection, author: &Author, new: Self) -> Result<Self> {
        rows::add(db, author, new)
    }

    fn change(db: &Connection, author: &Author, old: &Self, new: Self) -> Result<Self> {
        rows::rewrite(db, author, old, new)
    }
}

impl Listed for Cti {
    const LISTING: Listing = Listing {
        table: TABLE,
        columns: Self::COLUMNS,
        filters: &[
            Filter { name: "id", by: By::Integer("id") },
            Filter { name: "customer_id", by: By::Integer("customer_id") },
            Filter { name: "name", by: By::Text("name") },
            Filter { name: "last_four", by: By::Text("last_four") },
            Filter { name: "created_at", by: By::Moment("created_at") },
            Filter { name: "updated_at", by: By::Moment("updated_at") },
            Filter { name: "term", by: By::Words(&["name"]) },
        ],
        plain_filters: true,
        sorts: &[
            Sort { name: "id", column: "id" },
            Sort { name: "name", column: "fold(name)" },
            Sort { name: "created_at", column: "created_at" },
            Sort { name: "updated_at", column: "updated_at" },
        ],
        newest_first: false,
        counted_by_triggers: false,
        customer: Some("customer_id"),
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Self::from_row(row)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::routing::testing::Desk;
    use crate::testing::Bench;

    #[test]
    fn a_token_is_shown_once_and_ends_when_another_is_made() {
        let bench = Bench::new();
        let (desk, other) = (Desk::new(&bench), Desk::new(&bench));
        let made = desk.post("/ctis", json!({"name": "A", "last_four": "mine"})).created();
        let (id, first) = (made["id"].as_i64().unwrap(), made["token"].as_str().unwrap().to_owned());
        assert!(first.starts_with("cxt_") && first.len() == 47, "{first}");
        assert_eq!(made["last_four"], &first[43..]);
        desk.made(&format!("/ctis/{id}/destinations"), json!({"origin": "*", "destination": "800"}));
        let found = |token: &str| desk.get(&format!("/ctis/lookup?token={token}&origin=204"));
        assert_eq!(found(&first).ok()["destination"], "800");
        let again = desk.post(&format!("/ctis/{id}/regenerate-token"), json!({})).created();
        let second = again["token"].as_str().unwrap();
        assert_eq!(found(second).ok()["cti"]["id"], id);
        found(&first).refused(404, "not_found");
        // The token of another customer's CTI finds nothing.
        other.get(&format!("/ctis/lookup?token={second}&origin=204")).refused(404, "not_found");
        other.post(&format!("/ctis/{id}/regenerate-token"), json!({})).refused(404, "not_found");

        let changed = desk.put(&format!("/ctis/{id}"), json!({"name": "B", "last_four": "mine"})).created();
        assert_eq!((&changed["last_four"], &changed["token"]), (&json!(&second[43..]), &Value::Null));
        for shown in [desk.get(&format!("/ctis/{id}")).text, desk.get("/ctis").text, desk.get("/ctis/export").text] {
            assert!(!shown.contains(second) && !shown.contains(&first), "{shown}");
        }
        assert_eq!(bench.admin().get("/audit-log?filter[action]=cti.updated").ok()["total"], 2);
        let file = bench.in_file(|db| Ok(std::fs::read(db.path().unwrap()).unwrap()));
        assert!(!file.windows(43).any(|window| window == &second.as_bytes()[4..]), "the token is in the file");
    }

    #[test]
    fn what_an_export_wrote_changes_nothing_and_makes_no_token() {
        let bench = Bench::new();
        let desk = Desk::new(&bench);
        let token = desk.post("/ctis", json!({"name": "A"})).created()["token"].as_str().unwrap().to_owned();
        desk.made("/ctis/1/destinations", json!({"origin": "*", "destination": "800"}));
        let exported = desk.get("/ctis/export").ok();
        let counts = desk.post("/ctis/import?mode=upsert", exported.clone()).created();
        assert_eq!((&counts["created"], &counts["updated"]), (&json!(0), &json!(1)));
        assert_eq!(desk.get("/ctis/export").ok(), exported);
        desk.get(&format!("/ctis/lookup?token={token}&origin=1")).ok();
        desk.post("/ctis/import?mode=upsert", json!({"ctis": [{"name": "A"}, {"name": "B", "last_four": "mine"}]}))
            .created();
        let listed = desk.get("/ctis").ok();
        assert_eq!((&listed["total"], &listed["data"][1]["last_four"]), (&json!(2), &Value::Null));
        desk.delete_with("/ctis/bulk", json!({"ids": [1]})).ok();
        desk.get(&format!("/ctis/lookup?token={token}&origin=1")).refused(404, "not_found");
    }
}

//! Contacts: people who can be called, of a customer or of nobody's.

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::list::{By, Filter, List, Listed, Listing, Sort};
use crate::api::{
    Changes, Created, Ctx, Deleted, Done, Error, Id, Ids, Json, Needs, Ok200, Page, Result, Route, delete, get, post,
    put, run,
};
use crate::storage::record;
use crate::tenancy::phones::{self, Typed};
use crate::values::{CustomFields, Email, Name, Text, Timestamp};

pub const ROUTES: &[Route] = &[
    get("/contacts", &run(list), Needs::Permission("contact.view"), "List contacts"),
    get("/contacts/{id}", &run(show), Needs::Permission("contact.view"), "Show a contact"),
    post("/contacts", &run(create), Needs::Permission("contact.create"), "Create a contact"),
    put("/contacts/{id}", &run(update), Needs::Permission("contact.update"), "Change a contact"),
    delete("/contacts/bulk", &run(remove_many), Needs::Permission("contact.delete"), "Delete contacts, all or none"),
    delete("/contacts/{id}", &run(remove), Needs::Permission("contact.delete"), "Delete a contact"),
];

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Contact {
    #[schemars(extend("readOnly" = true))]
    pub id: i64,
    pub customer_id: Option<i64>,
    pub civility: Option<Text<32>>,
    pub first_name: Option<Text<255>>,
    pub last_name: Name<255>,
    pub email: Option<Email>,
    pub company: Option<Text<255>>,
    pub website: Option<Text<255>>,
    /// As typed; found in any format, like every number here.
    pub phone_business_1: Typed,
    pub phone_business_2: Typed,
    pub phone_mobile_1: Typed,
    pub phone_mobile_2: Typed,
    pub phone_home_1: Typed,
    pub fax: Typed,
    pub role: Option<Text<255>>,
    pub service: Option<Text<255>>,
    pub comment: Option<Text<10000>>,
    pub custom_fields: CustomFields,
    #[schemars(extend("readOnly" = true))]
    pub created_at: Timestamp,
    #[schemars(extend("readOnly" = true))]
    pub updated_at: Timestamp,
}

fn list(ctx: &mut Ctx<'_>, list: List<Contact>) -> Result<Page<Contact>> {
    list.page(ctx)
}

fn show(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Ok200<Contact>> {
    Contact::find(ctx.db, id)?.map(Ok200).ok_or_else(Error::not_found)
}

fn create(ctx: &mut Ctx<'_>, Json(mut new): Json<Contact>) -> Result<Created<Contact>> {
    (new.created_at, new.updated_at) = (ctx.now, ctx.now);
    add(ctx.db, new).map(Created)
}

fn update(ctx: &mut Ctx<'_>, Id(id): Id, changes: Changes<Contact>) -> Result<Created<Contact>> {
    let old = Contact::find(ctx.db, id)?.ok_or_else(Error::not_found)?;
    let mut contact = changes.apply(&old)?;
    contact.updated_at = ctx.now;
    contact.check_customer(ctx.db)?;
    contact.save(ctx.db)?;
    if contact.numbers() != old.numbers() {
        phones::save(ctx.db, TABLE, id, &contact.numbers())?;
    }
    Ok(Created(contact))
}

fn remove(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    if delete_one(ctx.db, id)? { Ok(Done) } else { Err(Error::not_found()) }
}

fn remove_many(ctx: &mut Ctx<'_>, Json(ids): Json<Ids>) -> Result<Deleted> {
    let ids = ids.distinct()?;
    for id in &ids {
        if !delete_one(ctx.db, *id)? {
            return Err(Ids::unknown());
        }
    }
    Ok(Deleted(ids.len()))
}

const TABLE: &str = "contacts";

record!(Contact in "contacts" {
    id, customer_id, civility, first_name, last_name, email, company, website, phone_business_1, phone_business_2,
    phone_mobile_1, phone_mobile_2, phone_home_1, fax, role, service, comment, custom_fields, created_at, updated_at,
});

/// Adds a contact; answers it as it is kept.
pub fn add(db: &Connection, mut new: Contact) -> Result<Contact> {
    new.check_customer(db)?;
    new.id = new.insert(db)?;
    phones::insert(db, TABLE, new.id, &new.numbers())?;
    Ok(new)
}

fn delete_one(db: &Connection, id: i64) -> rusqlite::Result<bool> {
    Ok(db.prepare_cached("DELETE FROM contacts WHERE id = ?1")?.execute([id])? > 0)
}

impl Contact {
    fn numbers(&self) -> [(&'static str, &Typed); 6] {
        [
            ("phone_business_1", &self.phone_business_1),
            ("phone_business_2", &self.phone_business_2),
            ("phone_mobile_1", &self.phone_mobile_1),
            ("phone_mobile_2", &self.phone_mobile_2),
            ("phone_home_1", &self.phone_home_1),
            ("fax", &self.fax),
        ]
    }

    fn check_customer(&self, db: &Connection) -> Result<()> {
        let Some(id) = self.customer_id else { return Ok(()) };
        if db.prepare_cached("SELECT 1 FROM customers WHERE id = ?1")?.exists([id])? {
            Ok(())
        } else {
            Err(Error::invalid("The selected customer id is invalid."))
        }
    }
}

impl Listed for Contact {
    const LISTING: Listing = Listing {
        table: TABLE,
        columns: Self::COLUMNS,
        filters: &[
            Filter { name: "customer_id", by: By::Integer("customer_id") },
            Filter { name: "civility", by: By::Text("civility") },
            Filter { name: "first_name", by: By::Text("first_name") },
            Filter { name: "last_name", by: By::Text("last_name") },
            Filter { name: "email", by: By::Text("email") },
            Filter { name: "company", by: By::Text("company") },
            Filter { name: "website", by: By::Text("website") },
            Filter { name: "phone", by: By::Phone(TABLE) },
            Filter { name: "phone_business_1", by: By::Text("phone_business_1") },
            Filter { name: "phone_business_2", by: By::Text("phone_business_2") },
            Filter { name: "phone_mobile_1", by: By::Text("phone_mobile_1") },
            Filter { name: "phone_mobile_2", by: By::Text("phone_mobile_2") },
            Filter { name: "phone_home_1", by: By::Text("phone_home_1") },
            Filter { name: "fax", by: By::Text("fax") },
            Filter { name: "role", by: By::Text("role") },
            Filter { name: "service", by: By::Text("service") },
            Filter { name: "comment", by: By::Text("comment") },
            Filter { name: "created_at", by: By::Moment("created_at") },
            Filter { name: "updated_at", by: By::Moment("updated_at") },
            Filter { name: "term", by: By::Term("contacts_fts") },
        ],
        sorts: &[
            Sort { name: "id", column: "id" },
            Sort { name: "first_name", column: "first_name COLLATE NOCASE" },
            Sort { name: "last_name", column: "last_name COLLATE NOCASE" },
            Sort { name: "email", column: "email COLLATE NOCASE" },
            Sort { name: "company", column: "company COLLATE NOCASE" },
            Sort { name: "created_at", column: "created_at" },
            Sort { name: "updated_at", column: "updated_at" },
        ],
        newest_first: false,
        counted_by_triggers: true,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Self::from_row(row)
    }
}

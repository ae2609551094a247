//! Customers: the companies and people that the workspace serves.

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::contacts::Contact;
use crate::api::list::{By, Filter, List, Listed, Listing, Sort};
use crate::api::{
    Changes, Created, Ctx, Deleted, Done, Error, Id, Ids, Json, Needs, Ok200, Page, Query, Result, Route, delete, get,
    post, put, run,
};
use crate::storage::record;
use crate::tenancy::phones::{self, Typed};
use crate::values::{CustomFields, Email, Flag, Name, Text, Timestamp};

pub const ROUTES: &[Route] = &[
    get("/customers", &run(list), Needs::Permission("customer.view"), "List customers"),
    get("/customers/resolve", &run(resolve), Needs::Permission("customer.view"), "Find a customer's id by its account"),
    get("/customers/{id}", &run(show), Needs::Permission("customer.view"), "Show a customer"),
    get("/customers/{id}/contacts", &run(contacts), Needs::Permission("contact.view"), "List a customer's contacts"),
    post("/customers", &run(create), Needs::Permission("customer.create"), "Create a customer"),
    put("/customers/{id}", &run(update), Needs::Permission("customer.update"), "Change a customer"),
    delete("/customers/bulk", &run(remove_many), Needs::Permission("customer.delete"), "Delete customers, all or none"),
    delete("/customers/{id}", &run(remove), Needs::Permission("customer.delete"), "Delete a customer"),
];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Customer {
    #[schemars(extend("readOnly" = true))]
    pub id: i64,
    /// Unique in the workspace; made as `CL000123` where a new customer has none.
    #[serde(deserialize_with = "account")]
    #[schemars(with = "Text<64>")]
    pub customer_account: Text<64>,
    pub name: Name<255>,
    #[serde(rename = "type")]
    pub kind: Option<Text<64>>,
    pub registration_number: Option<Text<64>>,
    pub tax_registration_number: Option<Text<64>>,
    pub activity_code: Option<Text<64>>,
    pub email_address: Option<Email>,
    /// As typed; found in any format.
    pub phone: Typed,
    pub mobile_phone: Typed,
    pub fax: Typed,
    pub website: Option<Text<255>>,
    pub main_contact_first_name: Option<Text<255>>,
    pub main_contact_last_name: Option<Text<255>>,
    pub main_address_line1: Option<Text<255>>,
    pub main_address_line2: Option<Text<255>>,
    pub main_address_postal_code: Option<Text<32>>,
    pub main_address_city: Option<Text<255>>,
    pub main_address_country: Option<Text<64>>,
    pub comment: Option<Text<10000>>,
    pub active: bool,
    pub vip: bool,
    pub custom_fields: CustomFields,
    #[schemars(extend("readOnly" = true))]
    pub created_at: Timestamp,
    #[schemars(extend("readOnly" = true))]
    pub updated_at: Timestamp,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ByAccount {
    customer_account: Name<64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Resolved {
    id: i64,
    customer_account: String,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Removal {
    /// Deletes the customer's contacts too.
    cascade: Flag,
}

fn list(ctx: &mut Ctx<'_>, list: List<Customer>) -> Result<Page<Customer>> {
    list.page(ctx)
}

fn resolve(ctx: &mut Ctx<'_>, Query(by): Query<ByAccount>) -> Result<Ok200<Resolved>> {
    let id = ctx
        .db
        .prepare_cached("SELECT id FROM customers WHERE customer_account = ?1")?
        .query_row([&by.customer_account], |row| row.get(0))
        .optional()?;
    let id = id.ok_or_else(|| Error::NotFound {
        code: "customer_not_found",
        message: "There is no customer with this account.".into(),
    })?;
    Ok(Ok200(Resolved { id, customer_account: by.customer_account.to_string() }))
}

fn show(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Ok200<Customer>> {
    Customer::find(ctx.db, id)?.map(Ok200).ok_or_else(Error::not_found)
}

fn contacts(ctx: &mut Ctx<'_>, Id(id): Id, list: List<Contact>) -> Result<Page<Contact>> {
    Customer::find(ctx.db, id)?.ok_or_else(Error::not_found)?;
    list.only("customer_id", id).page(ctx)
}

fn create(ctx: &mut Ctx<'_>, Json(mut new): Json<Customer>) -> Result<Created<Customer>> {
    (new.created_at, new.updated_at) = (ctx.now, ctx.now);
    add(ctx.db, new).map(Created)
}

fn update(ctx: &mut Ctx<'_>, Id(id): Id, changes: Changes<Customer>) -> Result<Created<Customer>> {
    let old = Customer::find(ctx.db, id)?.ok_or_else(Error::not_found)?;
    let mut customer = changes.apply(&old)?;
    if customer.customer_account.trim().is_empty() {
        customer.customer_account = old.customer_account.clone();
    }
    customer.updated_at = ctx.now;
    customer.save(ctx.db)?;
    if customer.numbers() != old.numbers() {
        phones::save(ctx.db, TABLE, id, &customer.numbers())?;
    }
    Ok(Created(customer))
}

fn remove(ctx: &mut Ctx<'_>, Id(id): Id, Query(removal): Query<Removal>) -> Result<Done> {
    Customer::find(ctx.db, id)?.ok_or_else(Error::not_found)?;
    delete_one(ctx.db, id, removal.cascade.0)?;
    Ok(Done)
}

fn remove_many(ctx: &mut Ctx<'_>, Query(removal): Query<Removal>, Json(ids): Json<Ids>) -> Result<Deleted> {
    let ids = ids.distinct()?;
    for id in &ids {
        Customer::find(ctx.db, *id)?.ok_or_else(Ids::unknown)?;
        delete_one(ctx.db, *id, removal.cascade.0)?;
    }
    Ok(Deleted(ids.len()))
}

const TABLE: &str = "customers";

record!(Customer in "customers" {
    id, customer_account, name, kind, registration_number, tax_registration_number, activity_code, email_address,
    phone, mobile_phone, fax, website, main_contact_first_name, main_contact_last_name, main_address_line1,
    main_address_line2, main_address_postal_code, main_address_city, main_address_country, comment, active, vip,
    custom_fields, created_at, updated_at,
});

/// Adds a customer, with an account made for it where it has none; answers it as it is kept.
pub fn add(db: &Connection, mut new: Customer) -> Result<Customer> {
    if new.customer_account.trim().is_empty() {
        new.customer_account = next_account(db)?;
    }
    new.id = new.insert(db)?;
    phones::insert(db, TABLE, new.id, &new.numbers())?;
    Ok(new)
}

/// `CL` and the number that the next customer gets, or the first after it that nobody took by hand.
fn next_account(db: &Connection) -> Result<Text<64>> {
    let next: i64 = db
        .prepare_cached("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'customers'), 0) + 1")?
        .query_row([], |row| row.get(0))?;
    let mut taken = db.prepare_cached("SELECT 1 FROM customers WHERE customer_account = ?1")?;
    for number in next.. {
        let account = format!("CL{number:06}");
        if !taken.exists([&account])? {
            return Text::parse(account).map_err(Error::Internal);
        }
    }
    unreachable!("numbers have no end")
}

fn delete_one(db: &Connection, id: i64, cascade: bool) -> Result<()> {
    if cascade {
        db.prepare_cached("DELETE FROM contacts WHERE customer_id = ?1")?.execute([id])?;
    } else if db.prepare_cached("SELECT 1 FROM contacts WHERE customer_id = ?1")?.exists([id])? {
        return Err(Error::refused(
            "customer_has_contacts",
            "The customer has contacts: delete them first, or with it by ?cascade=1.",
        ));
    }
    db.prepare_cached("DELETE FROM customers WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// An account may be left out, or null: one is made, or the old one stays.
fn account<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Text<64>, D::Error> {
    Option::deserialize(input).map(Option::unwrap_or_default)
}

impl Customer {
    fn numbers(&self) -> [(&'static str, &Typed); 3] {
        [("phone", &self.phone), ("mobile_phone", &self.mobile_phone), ("fax", &self.fax)]
    }
}

/// A customer of whom nothing is known: what the body of a new one is laid over.
impl Default for Customer {
    fn default() -> Self {
        Self {
            active: true,
            id: 0,
            customer_account: Text::default(),
            name: Name::default(),
            kind: None,
            registration_number: None,
            tax_registration_number: None,
            activity_code: None,
            email_address: None,
            phone: None,
            mobile_phone: None,
            fax: None,
            website: None,
            main_contact_first_name: None,
            main_contact_last_name: None,
            main_address_line1: None,
            main_address_line2: None,
            main_address_postal_code: None,
            main_address_city: None,
            main_address_country: None,
            comment: None,
            vip: false,
            custom_fields: CustomFields::default(),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }
    }
}

impl Listed for Customer {
    const LISTING: Listing = Listing {
        table: TABLE,
        columns: Self::COLUMNS,
        filters: &[
            Filter { name: "name", by: By::Text("name") },
            Filter { name: "email_address", by: By::Text("email_address") },
            Filter { name: "phone", by: By::Phone(TABLE) },
            Filter { name: "customer_account", by: By::Text("customer_account") },
            Filter { name: "city", by: By::Text("main_address_city") },
            Filter { name: "country", by: By::Text("main_address_country") },
            Filter { name: "active", by: By::Flag("active") },
            Filter { name: "vip", by: By::Flag("vip") },
            Filter { name: "created_at", by: By::Moment("created_at") },
            Filter { name: "updated_at", by: By::Moment("updated_at") },
            Filter { name: "term", by: By::Term("customers_fts") },
        ],
        sorts: &[
            Sort { name: "id", column: "id" },
            Sort { name: "name", column: "name COLLATE NOCASE" },
            Sort { name: "customer_account", column: "customer_account" },
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

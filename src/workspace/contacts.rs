//! Contacts: people who can be called. A contact may belong to a customer.

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::list::{By, Filter, List, Listed, Listing, Sort, each_of};
use crate::api::{
    Changes, Counts, Created, Ctx, Deleted, Done, Export, Format, Id, Ids, Imports, Json, Key, Needs, OfCustomer,
    Ok200, Page, Result, Route, Sheet, Steps, bulk, check_customer, delete, get, placed, post, put, run,
};
use crate::storage::record;
use crate::tenancy::Author;
use crate::tenancy::phones::{self, Numbered, Typed};
use crate::values::{CustomFields, Email, Name, Text, Timestamp};

pub const ROUTES: &[Route] = &[
    get("/contacts", &run(list), Needs::Scoped("contact.view"), "List contacts"),
    get("/contacts/export", &run(export), Needs::Scoped("contact.view"), "Export contacts as JSON or CSV"),
    get("/contacts/{id}", &run(show), Needs::Scoped("contact.view"), "Show a contact"),
    post("/contacts", &run(create), Needs::Scoped("contact.create"), "Create a contact"),
    post("/contacts/import", &bulk(import), Needs::Scoped("contact.create"), "Import contacts from JSON or CSV"),
    put("/contacts/{id}", &run(update), Needs::Scoped("contact.update"), "Change a contact"),
    delete("/contacts/bulk", &run(remove_many), Needs::Scoped("contact.delete"), "Delete contacts, all or none"),
    delete("/contacts/{id}", &run(remove), Needs::Scoped("contact.delete"), "Delete a contact"),
];

/// A person who can be called.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Contact {
    /// Id of the contact.
    #[schemars(extend("readOnly" = true))]
    pub id: i64,
    /// Id of the customer that the contact belongs to. Null if it belongs to none.
    #[serde(deserialize_with = "crate::values::nullable_id")]
    pub customer_id: Option<i64>,
    /// Form of address, for example `Mme`.
    pub civility: Option<Text<32>>,
    /// First name.
    #[schemars(example = &"Zoé")]
    pub first_name: Option<Text<255>>,
    /// Last name.
    #[schemars(example = &"Martin")]
    pub last_name: Name<255>,
    /// Email address.
    pub email: Option<Email>,
    /// Company of the contact.
    pub company: Option<Text<255>>,
    /// Website. Free text.
    pub website: Option<Text<255>>,
    /// Business phone number, stored as typed. Filters and the CRM look-up match every number in any format.
    pub phone_business_1: Typed,
    /// Second business phone number.
    pub phone_business_2: Typed,
    /// Mobile phone number.
    #[schemars(example = &"06 12 34 56 78")]
    pub phone_mobile_1: Typed,
    /// Second mobile phone number.
    pub phone_mobile_2: Typed,
    /// Private phone number.
    pub phone_home_1: Typed,
    /// Fax number.
    pub fax: Typed,
    /// Position of the contact in the company.
    pub role: Option<Text<255>>,
    /// Department of the contact in the company.
    pub service: Option<Text<255>>,
    /// Notes. At most 10,000 characters.
    pub comment: Option<Text<10000>>,
    /// Additional fields as a JSON object. At most 16 KiB as text, nested at most 5 levels deep.
    pub custom_fields: CustomFields,
    /// Time of creation (UTC).
    #[schemars(extend("readOnly" = true))]
    pub created_at: Timestamp,
    /// Time of the last change (UTC).
    #[schemars(extend("readOnly" = true))]
    pub updated_at: Timestamp,
}

fn list(ctx: &mut Ctx<'_>, list: List<Contact>) -> Result<Page<Contact>> {
    list.page(ctx)
}

fn export(ctx: &mut Ctx<'_>, list: List<Contact>, format: Format) -> Result<Export<Contact>> {
    list.export(ctx, format)
}

fn import(steps: &Steps<'_>, sheet: Sheet<Contact>) -> Result<Counts> {
    sheet.import(steps)
}

fn show(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Ok200<Contact>> {
    ctx.seen(Contact::find(ctx.db, id)?).map(Ok200)
}

fn create(ctx: &mut Ctx<'_>, Json(mut new): Json<Contact>) -> Result<Created<Contact>> {
    (new.created_at, new.updated_at) = (ctx.now, ctx.now);
    new.customer_id = ctx.placed(new.customer_id)?;
    add(ctx.db, &ctx.author()?, new).map(Created)
}

fn update(ctx: &mut Ctx<'_>, Id(id): Id, changes: Changes<Contact>) -> Result<Created<Contact>> {
    let old = ctx.seen(Contact::find(ctx.db, id)?)?;
    let mut new = changes.apply(&old)?;
    new.updated_at = ctx.now;
    new.customer_id = ctx.placed(new.customer_id)?;
    change(ctx.db, &ctx.author()?, &old, new).map(Created)
}

fn remove(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    let contact = ctx.seen(Contact::find(ctx.db, id)?)?;
    delete_one(ctx.db, &ctx.author()?, &contact)?;
    Ok(Done)
}

fn remove_many(ctx: &mut Ctx<'_>, Ids(ids): Ids) -> Result<Deleted> {
    let author = ctx.author()?;
    for id in &ids {
        let contact = ctx.seen(Contact::find(ctx.db, *id)?).map_err(|_| Ids::unknown())?;
        delete_one(ctx.db, &author, &contact)?;
    }
    Ok(Deleted(ids.len()))
}

const TABLE: &str = "contacts";
const RESOURCE: &str = "contact";

/// The columns with indexed phone numbers.
pub const NUMBERED: Numbered = Numbered {
    table: TABLE,
    columns: &["phone_business_1", "phone_business_2", "phone_mobile_1", "phone_mobile_2", "phone_home_1", "fax"],
    lists: &[],
};

record!(Contact in "contacts" {
    id, customer_id, civility, first_name, last_name, email, company, website, phone_business_1, phone_business_2,
    phone_mobile_1, phone_mobile_2, phone_home_1, fax, role, service, comment, custom_fields, created_at, updated_at,
} with folded_last_name = "fold(:last_name)");

/// Inserts a contact and returns it as stored.
pub fn add(db: &Connection, author: &Author, mut new: Contact) -> Result<Contact> {
    check_customer(db, new.customer_id)?;
    new.id = new.insert(db)?;
    phones::insert(db, TABLE, new.id, &new.numbers())?;
    author.created(db, RESOURCE, &new)?;
    Ok(new)
}

/// Replaces a stored contact and returns it as stored.
pub fn change(db: &Connection, author: &Author, old: &Contact, new: Contact) -> Result<Contact> {
    check_customer(db, new.customer_id)?;
    new.save(db)?;
    if new.numbers() != old.numbers() {
        phones::save(db, TABLE, new.id, &new.numbers())?;
    }
    author.updated(db, RESOURCE, old, &new)?;
    Ok(new)
}

/// Moves all contacts of one customer to another.
pub fn move_all(db: &Connection, author: &Author, from: i64, to: i64) -> Result<()> {
    each_of(db, "customer_id", from, |old: Contact| {
        change(db, author, &old, Contact { customer_id: Some(to), updated_at: author.at, ..old.clone() }).map(|_| ())
    })
}

/// Deletes all contacts of a customer.
pub fn delete_all(db: &Connection, author: &Author, customer: i64) -> Result<()> {
    each_of(db, "customer_id", customer, |contact| Ok(delete_one(db, author, &contact)?))
}

fn delete_one(db: &Connection, author: &Author, contact: &Contact) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM contacts WHERE id = ?1")?.execute([contact.id])?;
    author.deleted(db, RESOURCE, contact)
}

impl OfCustomer for Contact {
    fn customer_id(&self) -> Option<i64> {
        self.customer_id
    }
}

impl Imports for Contact {
    const NAME: &'static str = TABLE;
    const UPDATE: &'static str = "contact.update";
    const KEY: Option<Key> = Some(Key { field: "email", column: "email COLLATE NOCASE" });

    fn times(&mut self) -> (&mut Timestamp, &mut Timestamp) {
        (&mut self.created_at, &mut self.updated_at)
    }

    fn settled(
        mut self,
        _: &Connection,
        _: Option<&Self>,
        bound_to: Option<i64>,
        _: &dyn Fn(&str) -> bool,
    ) -> Result<Self> {
        self.customer_id = placed(self.customer_id, bound_to)?;
        Ok(self)
    }

    fn add(db: &Connection, author: &Author, new: Self) -> Result<Self> {
        add(db, author, new)
    }

    fn change(db: &Connection, author: &Author, old: &Self, new: Self) -> Result<Self> {
        change(db, author, old, new)
    }
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
            Filter { name: "custom_fields", by: By::Field("custom_fields") },
            Filter { name: "term", by: By::Term("contacts_fts") },
        ],
        plain_filters: false,
        sorts: &[
            Sort { name: "id", column: "id" },
            Sort { name: "first_name", column: "fold(first_name)" },
            Sort { name: "last_name", column: "folded_last_name" },
            Sort { name: "email", column: "email COLLATE NOCASE" },
            Sort { name: "company", column: "fold(company)" },
            Sort { name: "created_at", column: "created_at" },
            Sort { name: "updated_at", column: "updated_at" },
        ],
        newest_first: false,
        counted_by_triggers: true,
        customer: Some("customer_id"),
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Self::from_row(row)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::Bench;

    #[test]
    fn a_contact_is_answered_whole_and_kept_as_it_was_sent() {
        let bench = Bench::new();
        let customer = bench.admin().post("/customers", json!({"name": "Ada"})).created()["id"].clone();
        let sent = json!({
            "customer_id": customer, "civility": "Mme", "first_name": "Zoé", "last_name": "Lefèvre",
            "email": "Zoe@Example.com", "company": "Acme", "website": "https://example.com",
            "phone_business_1": "01 42 00 00 00", "phone_business_2": "+32 2 555 12 12", "phone_mobile_1": "0612345678",
            "phone_mobile_2": "+33 7 00 00 00 00", "phone_home_1": "0450000000", "fax": "0142000001",
            "role": "Directrice", "service": "Achats", "comment": "c", "custom_fields": {"a": null},
        });
        let made = bench.admin().post("/contacts", sent.clone()).created();
        for (field, value) in sent.as_object().unwrap() {
            assert_eq!(&made[field], value, "{field}");
        }
        assert_eq!(bench.admin().get(&format!("/contacts/{}", made["id"])).ok(), made);
    }

    #[test]
    fn any_of_its_numbers_finds_a_contact_in_any_format_and_an_old_one_no_longer() {
        let bench = Bench::new();
        let numbers = json!({"last_name": "B", "phone_business_1": "01 42 00 00 00", "phone_home_1": "+49 30 123456"});
        bench.admin().post("/contacts", numbers).created();
        let found =
            |number: &str| bench.admin().get(&format!("/contacts?filter[phone]={number}")).ok()["total"].clone();
        for number in ["%2B33142000000", "0142000000", "0033142000000", "01.42.00.00.00", "004930123456", "3456"] {
            assert_eq!(found(number), 1, "{number}");
        }
        bench.admin().put("/contacts/1", json!({"phone_business_1": "01 43 00 00 00"})).created();
        assert_eq!((found("0142000000"), found("0143000000")), (json!(0), json!(1)));
        bench.admin().delete("/contacts/1").ok();
        assert_eq!(found("0143000000"), 0);
    }

    #[test]
    fn numbers_without_a_prefix_are_of_the_workspaces_country() {
        let bench = Bench::new();
        bench.in_file(|db| {
            db.execute("UPDATE settings SET value = 'DE' WHERE name = 'default_country'", [])?;
            Ok(())
        });
        bench.admin().post("/contacts", json!({"last_name": "B", "phone_business_1": "030 123456"})).created();
        assert_eq!(bench.admin().get("/contacts?filter[phone]=%2B4930123456").ok()["total"], 1);
    }

    #[test]
    fn its_customer_must_be_there() {
        let bench = Bench::new();
        let answer = bench.admin().post("/contacts", json!({"last_name": "B", "customer_id": 7}));
        answer.invalid(&["The selected customer id is invalid."]);
        bench.admin().post("/contacts", json!({"last_name": "B"})).created();
        bench.admin().put("/contacts/1", json!({"customer_id": 7})).invalid(&["The selected customer id is invalid."]);
        assert_eq!(bench.admin().get("/contacts/1").ok()["customer_id"], Value::Null);
    }

    #[test]
    fn words_find_it_by_their_beginnings_whatever_was_changed_since() {
        let bench = Bench::new();
        bench
            .admin()
            .post("/contacts", json!({"first_name": "Zoé", "last_name": "Lefèvre", "company": "Acme"}))
            .created();
        let found = |term: &str| bench.admin().get(&format!("/contacts?filter[term]={term}")).ok()["total"].clone();
        assert_eq!((found("zoe%20lef"), found("acme"), found("martin")), (json!(1), json!(1), json!(0)));
        bench.admin().put("/contacts/1", json!({"last_name": "Martin"})).created();
        assert_eq!((found("lefevre"), found("martin")), (json!(0), json!(1)));
    }

    #[test]
    fn an_agent_creates_and_changes_and_does_not_delete() {
        let bench = Bench::new();
        let agent = bench.with_role("agent");
        agent.post("/contacts", json!({"last_name": "B"})).created();
        agent.put("/contacts/1", json!({"last_name": "C"})).created();
        agent.delete("/contacts/1").refused(403, "missing_permission");
        agent.post("/customers", json!({"name": ""})).refused(403, "missing_permission");
    }

    #[test]
    fn many_are_deleted_all_or_none() {
        let bench = Bench::new();
        for name in ["A", "B"] {
            bench.admin().post("/contacts", json!({"last_name": name})).created();
        }
        bench.admin().delete_with("/contacts/bulk", json!({"ids": [2, 9]})).refused(422, "unknown_ids");
        assert_eq!(bench.admin().get("/contacts").ok()["total"], 2);
        assert_eq!(bench.admin().delete_with("/contacts/bulk", json!({"ids": [1, 2]})).ok()["deleted"], 2);
        assert_eq!(bench.admin().get("/contacts").ok()["total"], 0);
    }
}

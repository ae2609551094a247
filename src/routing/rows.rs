//! What all rows of call routing have in common: each is one customer's, each is made, changed and deleted under the same
//! rules, and what is inside a row goes with it. What differs from one to another is in its own file.

use rusqlite::Connection;
use serde::de::DeserializeOwned;

use super::whose::Whose;
use crate::api::list::{List, Listed, each_of};
use crate::api::{
    Changes, Counts, Created, Ctx, Deleted, Done, Error, Export, Format, Id, Ids, Imports, Inner, Json, OfCustomer,
    Ok200, Page, Result, Sheet, Steps,
};
use crate::tenancy::{Author, customers};
use crate::values::Timestamp;

/// A row as its table keeps it. Implemented by the macro `routed`.
pub trait Kept: Listed + OfCustomer + Clone + Default + DeserializeOwned + Send + 'static {
    /// What the audit log calls it.
    const RESOURCE: &'static str;

    fn of_server(&mut self) -> OfServer<'_>;
    fn find(db: &Connection, id: i64) -> rusqlite::Result<Option<Self>>;
    fn insert(&self, db: &Connection) -> rusqlite::Result<i64>;
    fn save(&self, db: &Connection) -> rusqlite::Result<()>;
    fn delete(&self, db: &Connection) -> rusqlite::Result<()>;
}

/// The fields of a row that no body sets.
pub struct OfServer<'r> {
    pub id: &'r mut i64,
    pub customer_id: &'r mut i64,
    pub created_at: &'r mut Timestamp,
    pub updated_at: &'r mut Timestamp,
}

/// What differs from one resource to another.
pub trait Routed: Kept {
    /// Finds the row good, or says what is wrong with it, before it is written in the place of `old`, or as a new one.
    fn check(&mut self, _db: &Connection, _old: Option<&Self>) -> Result<()> {
        Ok(())
    }

    /// Writes what the row is found by, beside it.
    fn index(&self, _db: &Connection, _old: Option<&Self>) -> Result<()> {
        Ok(())
    }

    /// Deletes what is inside the row, and lets go of it whatever else names it.
    fn empty(&self, _db: &Connection, _author: &Author) -> Result<()> {
        Ok(())
    }
}

/// A row inside another, which the path names.
pub trait Inside: Routed {
    type Parent: Kept;

    /// The column that holds the parent's id.
    const PARENT: &'static str;

    fn parent(&mut self) -> &mut i64;
}

pub fn list<T: Routed>(ctx: &mut Ctx<'_>, whose: Whose, list: List<T>) -> Result<Page<T>> {
    list.only("customer_id", whose.customer(ctx)?).page(ctx)
}

pub fn export<T: Routed>(ctx: &mut Ctx<'_>, whose: Whose, list: List<T>, format: Format) -> Result<Export<T>> {
    list.only("customer_id", whose.customer(ctx)?).export(ctx, format)
}

pub fn import<T: Routed + Imports>(steps: &Steps<'_>, whose: Whose, sheet: Sheet<T>) -> Result<Counts> {
    let customer = whose.customer_beside(steps)?;
    sheet.import_within(steps, Some(customer))
}

pub fn show<T: Routed>(ctx: &mut Ctx<'_>, whose: Whose, Id(id): Id) -> Result<Ok200<T>> {
    whose.its(ctx, T::find(ctx.db, id)?).map(Ok200)
}

pub fn create<T: Routed>(ctx: &mut Ctx<'_>, whose: Whose, Json(new): Json<T>) -> Result<Created<T>> {
    let customer = whose.customer(ctx)?;
    add(ctx.db, &ctx.author()?, of(customer, new, ctx.now)).map(Created)
}

pub fn update<T: Routed>(ctx: &mut Ctx<'_>, whose: Whose, Id(id): Id, changes: Changes<T>) -> Result<Created<T>> {
    let old = whose.its(ctx, T::find(ctx.db, id)?)?;
    let new = changes.apply(&old)?;
    change(ctx.db, &ctx.author()?, &old, new).map(Created)
}

pub fn remove<T: Routed>(ctx: &mut Ctx<'_>, whose: Whose, Id(id): Id) -> Result<Done> {
    let row: T = whose.its(ctx, T::find(ctx.db, id)?)?;
    delete(ctx.db, &ctx.author()?, &row)?;
    Ok(Done)
}

pub fn remove_many<T: Routed>(ctx: &mut Ctx<'_>, whose: Whose, Ids(ids): Ids) -> Result<Deleted> {
    let (customer, author) = (whose.customer(ctx)?, ctx.author()?);
    for id in &ids {
        let row = T::find(ctx.db, *id)?.filter(|row| row.customer_id() == Some(customer));
        delete(ctx.db, &author, &row.ok_or_else(Ids::unknown)?)?;
    }
    Ok(Deleted(ids.len()))
}

pub fn list_in<T: Inside>(ctx: &mut Ctx<'_>, whose: Whose, Id(parent): Id, list: List<T>) -> Result<Page<T>> {
    whose.its(ctx, T::Parent::find(ctx.db, parent)?)?;
    list.only(T::PARENT, parent).page(ctx)
}

pub fn show_in<T: Inside>(ctx: &mut Ctx<'_>, whose: Whose, parent: Id, inner: Inner) -> Result<Ok200<T>> {
    find_in(ctx, &whose, parent, inner).map(Ok200)
}

pub fn create_in<T: Inside>(
    ctx: &mut Ctx<'_>,
    whose: Whose,
    Id(parent): Id,
    Json(mut new): Json<T>,
) -> Result<Created<T>> {
    whose.its(ctx, T::Parent::find(ctx.db, parent)?)?;
    *new.parent() = parent;
    create(ctx, whose, Json(new))
}

pub fn update_in<T: Inside>(
    ctx: &mut Ctx<'_>,
    whose: Whose,
    parent: Id,
    inner: Inner,
    changes: Changes<T>,
) -> Result<Created<T>> {
    let old: T = find_in(ctx, &whose, parent, inner)?;
    let mut new = changes.apply(&old)?;
    *new.parent() = parent.0;
    change(ctx.db, &ctx.author()?, &old, new).map(Created)
}

pub fn remove_in<T: Inside>(ctx: &mut Ctx<'_>, whose: Whose, parent: Id, inner: Inner) -> Result<Done> {
    let row: T = find_in(ctx, &whose, parent, inner)?;
    delete(ctx.db, &ctx.author()?, &row)?;
    Ok(Done)
}

fn find_in<T: Inside>(ctx: &Ctx<'_>, whose: &Whose, Id(parent): Id, Inner(id): Inner) -> Result<T> {
    let mut row: T = whose.its(ctx, T::find(ctx.db, id)?)?;
    if *row.parent() == parent { Ok(row) } else { Err(Error::not_found()) }
}

/// A new row, as a customer's.
pub fn of<T: Kept>(customer: i64, mut new: T, now: Timestamp) -> T {
    let OfServer { customer_id, created_at, updated_at, .. } = new.of_server();
    (*customer_id, *created_at, *updated_at) = (customer, now, now);
    new
}

/// Adds a row; answers it as it is kept.
pub fn add<T: Routed>(db: &Connection, author: &Author, mut new: T) -> Result<T> {
    new.check(db, None)?;
    *new.of_server().id = new.insert(db)?;
    new.index(db, None)?;
    author.created(db, T::RESOURCE, &new)?;
    Ok(new)
}

/// Makes of a row that is there what it is to be, by a request; answers it as it is kept.
pub fn change<T: Routed>(db: &Connection, author: &Author, old: &T, mut new: T) -> Result<T> {
    *new.of_server().updated_at = author.at;
    rewrite(db, author, old, new)
}

/// The same, with the times that it has.
pub fn rewrite<T: Routed>(db: &Connection, author: &Author, old: &T, mut new: T) -> Result<T> {
    new.check(db, Some(old))?;
    new.save(db)?;
    new.index(db, Some(old))?;
    author.updated(db, T::RESOURCE, old, &new)?;
    Ok(new)
}

pub fn delete<T: Routed>(db: &Connection, author: &Author, row: &T) -> Result<()> {
    row.empty(db, author)?;
    row.delete(db)?;
    Ok(author.deleted(db, T::RESOURCE, row)?)
}

/// Deletes every row whose column is this.
pub fn delete_each<T: Routed>(db: &Connection, author: &Author, column: &'static str, value: i64) -> Result<()> {
    each_of(db, column, value, |row: T| delete(db, author, &row))
}

/// Lets every row of a customer be another's, as it is: what it refers to moves with it, and it is found as before.
pub fn move_each<T: Routed>(db: &Connection, author: &Author, from: i64, to: i64) -> Result<()> {
    each_of(db, "customer_id", from, |old: T| {
        let new = of(to, old.clone(), author.at);
        new.save(db)?;
        Ok(author.updated(db, T::RESOURCE, &old, &new)?)
    })
}

/// A row out of a file is the customer's for whom the file is, whom it may name; who must still be there.
pub fn imported<T: Kept>(db: &Connection, mut row: T, customer: Option<i64>) -> Result<T> {
    let customer = customer.ok_or_else(Error::customer_not_found)?;
    if !customers::exists(db, customer)? {
        return Err(Error::customer_not_found());
    }
    let named = row.of_server().customer_id;
    if ![0, customer].contains(named) {
        return Err(Whose::prohibited());
    }
    *named = customer;
    Ok(row)
}

/// Ties a struct to its table, as [`crate::storage::record!`] does, and to what the audit log calls it. The struct has
/// `id`, `customer_id`, `created_at` and `updated_at` besides the columns that are named.
macro_rules! routed {
    ($type:ident in $table:literal, told of as $resource:literal { $($field:ident),+ $(,)? }) => {
        $crate::storage::record!($type in $table { id, customer_id, $($field),+, created_at, updated_at });

        impl $crate::api::OfCustomer for $type {
            fn customer_id(&self) -> Option<i64> {
                Some(self.customer_id)
            }
        }

        impl $crate::routing::rows::Kept for $type {
            const RESOURCE: &'static str = $resource;

            fn of_server(&mut self) -> $crate::routing::rows::OfServer<'_> {
                $crate::routing::rows::OfServer {
                    id: &mut self.id,
                    customer_id: &mut self.customer_id,
                    created_at: &mut self.created_at,
                    updated_at: &mut self.updated_at,
                }
            }

            fn find(db: &rusqlite::Connection, id: i64) -> rusqlite::Result<Option<Self>> {
                Self::find(db, id)
            }

            fn insert(&self, db: &rusqlite::Connection) -> rusqlite::Result<i64> {
                self.insert(db)
            }

            fn save(&self, db: &rusqlite::Connection) -> rusqlite::Result<()> {
                self.save(db)
            }

            fn delete(&self, db: &rusqlite::Connection) -> rusqlite::Result<()> {
                db.prepare_cached(concat!("DELETE FROM ", $table, " WHERE id = ?1"))?.execute([self.id])?;
                Ok(())
            }
        }
    };
}
pub(super) use routed;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::routing::testing::Desk;
    use crate::testing::Bench;

    #[test]
    fn every_request_names_its_customer_and_reaches_that_one_alone() {
        let bench = Bench::new();
        let (desk, other) = (Desk::new(&bench), Desk::new(&bench));
        let (id, theirs) = (desk.made("/fields", json!({"name": "A"})), other.made("/fields", json!({"name": "B"})));
        let path = format!("/smart-routings/fields/{id}");
        let required = "The customer account field is required.";
        bench.admin().get("/smart-routings/fields").invalid(&[required]);
        bench.admin().get(&format!("{path}?customer_account=%20")).invalid(&[required]);
        bench.admin().post("/smart-routings/fields", json!({"name": "C"})).invalid(&[required]);
        bench.admin().put(&path, json!({"name": "C"})).invalid(&[required]);
        bench.admin().delete(&path).invalid(&[required]);
        bench.admin().get("/smart-routings/fields?customer_account=X").refused(404, "customer_not_found");
        for (method, body) in [("GET", None), ("PUT", Some(json!({"name": "C"}))), ("DELETE", None)] {
            let path = desk.path(&format!("/fields/{theirs}"));
            desk.client.send(method.parse().unwrap(), &path, body).refused(404, "not_found");
        }
        assert_eq!((desk.ids("/fields"), other.ids("/fields")), (vec![id], vec![theirs]));
        assert_eq!(other.get(&format!("/fields/{theirs}")).ok()["name"], "B");
    }

    #[test]
    fn who_is_bound_to_a_customer_need_not_name_it_and_may_name_no_other() {
        let bench = Bench::new();
        let (desk, other) = (Desk::new(&bench), Desk::new(&bench));
        let id = desk.made("/fields", json!({"name": "A"}));
        let theirs = other.made("/fields", json!({"name": "B"}));
        let bound = bench.key(&["routing.*"], Some(desk.customer));
        assert_eq!(bound.get("/smart-routings/fields").ok()["data"][0]["id"], id);
        bound.get(&desk.path("/fields")).ok();
        for account in [other.account.as_str(), "nobody's"] {
            bound.get(&format!("/smart-routings/fields?customer_account={account}")).refused(403, "forbidden");
        }
        bound.get(&format!("/smart-routings/fields/{theirs}")).refused(404, "not_found");
        let made = bound.post("/smart-routings/fields", json!({"name": "C"})).created();
        assert_eq!(made["customer_id"], desk.customer);
        let import = json!([{"id_code": "A1"}]);
        bound.post("/smart-routings/contacts/import", import.clone()).created();
        bound.post(&other.path("/contacts/import"), import).refused(403, "forbidden");
        assert_eq!((desk.ids("/contacts").len(), other.ids("/contacts").len()), (1, 0));
    }

    #[test]
    fn a_body_names_no_customer_and_does_not_move_what_is_inside_another() {
        let bench = Bench::new();
        let (desk, other) = (Desk::new(&bench), Desk::new(&bench));
        let prohibited = &["The customer id field is prohibited."];
        desk.post("/fields", json!({"name": "A", "customer_id": desk.customer})).invalid(prohibited);
        let field = desk.made("/fields", json!({"name": "A", "customer_id": null}));
        desk.put(&format!("/fields/{field}"), json!({"customer_id": other.customer})).invalid(prohibited);
        let twice = format!(r#"{{"customer_id": {}, "customer_id": {}}}"#, desk.customer, other.customer);
        let path = desk.path(&format!("/fields/{field}"));
        desk.client.ask(http::Method::PUT, &path, "application/json", twice).invalid(prohibited);
        let second = desk.made("/fields", json!({"name": "B"}));
        let option = desk.post(&format!("/fields/{field}/options"), json!({"name": "O", "routing_field_id": second}));
        let option = option.created();
        assert_eq!(option["routing_field_id"], field);
        let path = format!("/fields/{field}/options/{}", option["id"]);
        assert_eq!(desk.put(&path, json!({"routing_field_id": second})).created()["routing_field_id"], field);
        let elsewhere = format!("/fields/{second}/options/{}", option["id"]);
        desk.get(&elsewhere).refused(404, "not_found");
        desk.put(&elsewhere, json!({"name": "P"})).refused(404, "not_found");
        desk.delete(&elsewhere).refused(404, "not_found");
        other.get(&path).refused(404, "not_found");
        other.post(&format!("/fields/{field}/options"), json!({"name": "O"})).refused(404, "not_found");
        other.get(&format!("/fields/{field}/options")).refused(404, "not_found");
        assert_eq!(desk.get(&path).ok()["name"], "O");
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name_and_answers_as_made() {
        let bench = Bench::new();
        let desk = Desk::new(&bench);
        let made = desk.post("/contacts", json!({"company": "Acme", "first_name": "Zoé"})).created();
        let changed = desk.put("/contacts/1", json!({"first_name": "Ada"})).created();
        assert_eq!((&changed["company"], &changed["first_name"]), (&json!("Acme"), &json!("Ada")));
        assert_eq!(changed["created_at"], made["created_at"]);
        for empty in [json!([]), json!({})] {
            assert_eq!(desk.put("/contacts/1", empty).created()["company"], "Acme");
        }
        assert_eq!(desk.put("/contacts/1", json!({"company": null})).created()["company"], Value::Null);
    }

    #[test]
    fn many_of_a_customer_are_deleted_all_or_none() {
        let bench = Bench::new();
        let (desk, other) = (Desk::new(&bench), Desk::new(&bench));
        let ids: Vec<i64> = (0..3).map(|_| desk.made("/contacts", json!({}))).collect();
        let theirs = other.made("/contacts", json!({}));
        desk.delete_with("/contacts/bulk", json!({"ids": [ids[0], theirs]})).refused(422, "unknown_ids");
        assert_eq!(desk.ids("/contacts"), ids);
        let gone = desk.delete_with("/contacts/bulk", json!({"ids": ids[..2]})).ok();
        assert_eq!(gone, json!({"response": "ok", "deleted": 2}));
        assert_eq!((desk.ids("/contacts"), other.ids("/contacts")), (vec![ids[2]], vec![theirs]));
    }

    #[test]
    fn what_is_inside_goes_with_it_and_all_of_it_is_accounted_for() {
        let bench = Bench::new();
        let desk = Desk::new(&bench);
        let field = desk.made("/fields", json!({"name": "A"}));
        let options = format!("/fields/{field}/options");
        let (first, _) = (desk.made(&options, json!({"name": "1"})), desk.made(&options, json!({"name": "2"})));
        desk.post("/fields", json!({"name": "B", "default_option_id": first}))
            .invalid(&["The selected default option id is invalid."]);
        let other = desk.made("/fields", json!({"name": "B"}));
        desk.put(&format!("/fields/{other}"), json!({"default_option_id": first}))
            .invalid(&["The selected default option id is invalid."]);
        desk.put(&format!("/fields/{field}"), json!({"default_option_id": first})).created();
        desk.delete(&format!("{options}/{first}")).ok();
        assert_eq!(desk.get(&format!("/fields/{field}")).ok()["default_option_id"], Value::Null);
        desk.delete(&format!("/fields/{field}")).ok();
        let told = bench.admin().get("/audit-log?sort=id&per_page=100").ok();
        let told: Vec<&str> =
            told["data"].as_array().unwrap().iter().filter_map(|row| row["action"].as_str()).collect();
        let end =
            ["routing-field.updated", "routing-option.deleted", "routing-option.deleted", "routing-field.deleted"];
        assert!(told.ends_with(&end), "{told:?}");
    }
}

//! The handlers of entities: list, export, import, show, create, update and delete, one row or many.
//!
//! Every handler first reads the scope of the request: the customer whose rows it reaches. A row outside the scope gets
//! the same response as a row that does not exist.

use super::customer_scope::{Given, Scope};
use super::entity::{Editable, Entity, Nested};
use super::entity_rows;
use super::error::{Error, Result};
use super::export::Export;
use super::handler::{BlockingCtx, Ctx};
use super::ids::Ids;
use super::import::{ImportBody, ImportCounts};
use super::input::{Changes, Id, InnerId, Json};
use super::list::List;
use super::media_type::Format;
use super::pagination::Page;
use super::response::{Deleted, Done, Ok200, Saved};

pub fn list<T: Entity>(ctx: &mut Ctx<'_>, scope: T::Scope, list: List<T>) -> Result<Page<T>> {
    scope.narrow(ctx, list)?.page(ctx)
}

pub fn export<T: Entity + Default>(
    ctx: &mut Ctx<'_>,
    scope: T::Scope,
    list: List<T>,
    format: Format,
) -> Result<Export<T>> {
    scope.narrow(ctx, list)?.export(ctx, format)
}

pub fn import<T: Editable>(ctx: &BlockingCtx<'_>, scope: T::Scope, body: ImportBody<T>) -> Result<ImportCounts> {
    let customer = scope.customer_of_import(ctx)?;
    body.import(ctx, customer)
}

pub fn show<T: Entity>(ctx: &mut Ctx<'_>, scope: T::Scope, Id(id): Id) -> Result<Ok200<T>> {
    find(ctx, &scope, id).map(Ok200)
}

pub fn create<T: Editable>(ctx: &mut Ctx<'_>, scope: T::Scope, Json(new): Json<T>) -> Result<Saved<T>> {
    create_row(ctx, &scope, new).map(Saved)
}

pub fn update<T: Editable>(ctx: &mut Ctx<'_>, scope: T::Scope, Id(id): Id, changes: Changes<T>) -> Result<Saved<T>> {
    let old = find(ctx, &scope, id)?;
    let new = changes.apply(&old)?;
    update_row(ctx, &scope, &old, new, &|field| changes.mentions(field)).map(Saved)
}

pub fn remove<T: Entity>(ctx: &mut Ctx<'_>, scope: T::Scope, Id(id): Id) -> Result<Done> {
    let row: T = find(ctx, &scope, id)?;
    entity_rows::delete(ctx.db, &ctx.recorder()?, &row)?;
    Ok(Done)
}

pub fn remove_many<T: Entity>(ctx: &mut Ctx<'_>, scope: T::Scope, Ids(ids): Ids) -> Result<Deleted> {
    let (customer, recorder) = (scope.customer(ctx)?, ctx.recorder()?);
    for id in &ids {
        let row = T::find(ctx.db, *id)?.filter(|row| row.is_visible_to(customer));
        entity_rows::delete(ctx.db, &recorder, &row.ok_or_else(Ids::unknown_id)?)?;
    }
    Ok(Deleted(ids.len()))
}

pub fn list_nested<T: Nested>(ctx: &mut Ctx<'_>, scope: T::Scope, Id(parent): Id, list: List<T>) -> Result<Page<T>> {
    find::<T::Parent>(ctx, &scope, parent)?;
    list.restrict(T::PARENT, parent).page(ctx)
}

pub fn show_nested<T: Nested>(ctx: &mut Ctx<'_>, scope: T::Scope, parent: Id, inner: InnerId) -> Result<Ok200<T>> {
    find_nested(ctx, &scope, parent, inner).map(Ok200)
}

pub fn create_nested<T: Nested>(
    ctx: &mut Ctx<'_>,
    scope: T::Scope,
    Id(parent): Id,
    Json(mut new): Json<T>,
) -> Result<Saved<T>> {
    find::<T::Parent>(ctx, &scope, parent)?;
    *new.parent() = parent;
    create_row(ctx, &scope, new).map(Saved)
}

pub fn update_nested<T: Nested>(
    ctx: &mut Ctx<'_>,
    scope: T::Scope,
    parent: Id,
    inner: InnerId,
    changes: Changes<T>,
) -> Result<Saved<T>> {
    let old: T = find_nested(ctx, &scope, parent, inner)?;
    let mut new = changes.apply(&old)?;
    *new.parent() = parent.0;
    update_row(ctx, &scope, &old, new, &|field| changes.mentions(field)).map(Saved)
}

pub fn remove_nested<T: Nested>(ctx: &mut Ctx<'_>, scope: T::Scope, parent: Id, inner: InnerId) -> Result<Done> {
    let row: T = find_nested(ctx, &scope, parent, inner)?;
    entity_rows::delete(ctx.db, &ctx.recorder()?, &row)?;
    Ok(Done)
}

/// A row in the scope of the request.
pub fn find<T: Entity>(ctx: &Ctx<'_>, scope: &T::Scope, id: i64) -> Result<T> {
    let customer = scope.customer(ctx)?;
    T::find(ctx.db, id)?.filter(|row| row.is_visible_to(customer)).ok_or_else(Error::not_found)
}

fn find_nested<T: Nested>(ctx: &Ctx<'_>, scope: &T::Scope, Id(parent): Id, InnerId(id): InnerId) -> Result<T> {
    let mut row: T = find(ctx, scope, id)?;
    if *row.parent() == parent { Ok(row) } else { Err(Error::not_found()) }
}

/// Creates a row for the request.
pub fn create_row<T: Entity>(ctx: &Ctx<'_>, scope: &T::Scope, new: T) -> Result<T> {
    create_for(ctx, scope.customer(ctx)?, new)
}

/// Creates a row for the request, in a scope that was read before.
pub fn create_for<T: Entity>(ctx: &Ctx<'_>, customer: Option<i64>, new: T) -> Result<T> {
    let given = Given { customer, names: &|_| true, is_import: false };
    let mut new = entity_rows::timed(new, ctx.now);
    new.prepare(ctx.db, None, &given)?;
    entity_rows::add(ctx.db, &ctx.recorder()?, new)
}

/// Merges `gone` into `old` for the request. `old` becomes `new`.
pub fn merge_rows<T: Entity>(ctx: &Ctx<'_>, scope: &T::Scope, old: &T, mut new: T, gone: &T) -> Result<T> {
    let given = Given { customer: scope.customer(ctx)?, names: &|_| true, is_import: false };
    *new.server_fields().updated_at = ctx.now;
    new.prepare(ctx.db, Some(old), &given)?;
    entity_rows::merge(ctx.db, &ctx.recorder()?, old, new, gone)
}

/// Changes a row for the request. `names` reports whether the request names a field.
pub fn update_row<T: Entity>(
    ctx: &Ctx<'_>,
    scope: &T::Scope,
    old: &T,
    mut new: T,
    names: &dyn Fn(&str) -> bool,
) -> Result<T> {
    let given = Given { customer: scope.customer(ctx)?, names, is_import: false };
    *new.server_fields().updated_at = ctx.now;
    new.prepare(ctx.db, Some(old), &given)?;
    entity_rows::rewrite(ctx.db, &ctx.recorder()?, old, new)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestServer};

    #[test]
    fn every_request_names_its_customer_and_reaches_that_one_alone() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let (id, theirs) =
            (routing.create("/fields", json!({"name": "A"})), other.create("/fields", json!({"name": "B"})));
        let path = format!("/smart-routings/fields/{id}");
        let required = "The customer account field is required.";
        server.admin().get("/smart-routings/fields").invalid(&[required]);
        server.admin().get(&format!("{path}?customer_account=%20")).invalid(&[required]);
        server.admin().post("/smart-routings/fields", json!({"name": "C"})).invalid(&[required]);
        server.admin().put(&path, json!({"name": "C"})).invalid(&[required]);
        server.admin().delete(&path).invalid(&[required]);
        server.admin().get("/smart-routings/fields?customer_account=X").rejected(404, "customer_not_found");
        for (method, body) in [("GET", None), ("PUT", Some(json!({"name": "C"}))), ("DELETE", None)] {
            let path = routing.path(&format!("/fields/{theirs}"));
            routing.client.send(method.parse().unwrap(), &path, body).rejected(404, "not_found");
        }
        assert_eq!((routing.ids("/fields"), other.ids("/fields")), (vec![id], vec![theirs]));
        assert_eq!(other.get(&format!("/fields/{theirs}")).ok()["name"], "B");
    }

    #[test]
    fn who_is_bound_to_a_customer_need_not_name_it_and_may_name_no_other() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let id = routing.create("/fields", json!({"name": "A"}));
        let theirs = other.create("/fields", json!({"name": "B"}));
        let bound = server.key(&["routing.*"], Some(routing.customer));
        assert_eq!(bound.get("/smart-routings/fields").ok()["data"][0]["id"], id);
        bound.get(&routing.path("/fields")).ok();
        for account in [other.account.as_str(), "nobody's"] {
            bound.get(&format!("/smart-routings/fields?customer_account={account}")).rejected(403, "forbidden");
        }
        bound.get(&format!("/smart-routings/fields/{theirs}")).rejected(404, "not_found");
        let made = bound.post("/smart-routings/fields", json!({"name": "C"})).created();
        assert_eq!(made["customer_id"], routing.customer);
        let import = json!([{"id_code": "A1"}]);
        bound.post("/smart-routings/contacts/import", import.clone()).created();
        bound.post(&other.path("/contacts/import"), import).rejected(403, "forbidden");
        assert_eq!((routing.ids("/contacts").len(), other.ids("/contacts").len()), (1, 0));
    }

    #[test]
    fn a_body_names_no_customer_and_does_not_move_what_is_inside_another() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let prohibited = &["The customer id field is prohibited."];
        routing.post("/fields", json!({"name": "A", "customer_id": routing.customer})).invalid(prohibited);
        let field = routing.create("/fields", json!({"name": "A", "customer_id": null}));
        routing.put(&format!("/fields/{field}"), json!({"customer_id": other.customer})).invalid(prohibited);
        let twice = format!(r#"{{"customer_id": {}, "customer_id": {}}}"#, routing.customer, other.customer);
        let path = routing.path(&format!("/fields/{field}"));
        routing.client.ask(http::Method::PUT, &path, "application/json", twice).invalid(prohibited);
        let second = routing.create("/fields", json!({"name": "B"}));
        let option =
            routing.post(&format!("/fields/{field}/options"), json!({"name": "O", "routing_field_id": second}));
        let option = option.created();
        assert_eq!(option["routing_field_id"], field);
        let path = format!("/fields/{field}/options/{}", option["id"]);
        assert_eq!(routing.put(&path, json!({"routing_field_id": second})).created()["routing_field_id"], field);
        let elsewhere = format!("/fields/{second}/options/{}", option["id"]);
        routing.get(&elsewhere).rejected(404, "not_found");
        routing.put(&elsewhere, json!({"name": "P"})).rejected(404, "not_found");
        routing.delete(&elsewhere).rejected(404, "not_found");
        other.get(&path).rejected(404, "not_found");
        other.post(&format!("/fields/{field}/options"), json!({"name": "O"})).rejected(404, "not_found");
        other.get(&format!("/fields/{field}/options")).rejected(404, "not_found");
        assert_eq!(routing.get(&path).ok()["name"], "O");
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name_and_answers_as_made() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let made = routing.post("/contacts", json!({"company": "Acme", "first_name": "Zoé"})).created();
        let changed = routing.put("/contacts/1", json!({"first_name": "Ada"})).created();
        assert_eq!((&changed["company"], &changed["first_name"]), (&json!("Acme"), &json!("Ada")));
        assert_eq!(changed["created_at"], made["created_at"]);
        for empty in [json!([]), json!({})] {
            assert_eq!(routing.put("/contacts/1", empty).created()["company"], "Acme");
        }
        assert_eq!(routing.put("/contacts/1", json!({"company": null})).created()["company"], Value::Null);
    }

    #[test]
    fn many_of_a_customer_are_deleted_all_or_none() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let ids: Vec<i64> = (0..3).map(|_| routing.create("/contacts", json!({}))).collect();
        let theirs = other.create("/contacts", json!({}));
        routing.delete_with("/contacts/bulk", json!({"ids": [ids[0], theirs]})).rejected(422, "unknown_ids");
        assert_eq!(routing.ids("/contacts"), ids);
        let gone = routing.delete_with("/contacts/bulk", json!({"ids": ids[..2]})).ok();
        assert_eq!(gone, json!({"response": "ok", "deleted": 2}));
        assert_eq!((routing.ids("/contacts"), other.ids("/contacts")), (vec![ids[2]], vec![theirs]));
    }

    #[test]
    fn what_is_inside_goes_with_it_and_all_of_it_is_accounted_for() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let field = routing.create("/fields", json!({"name": "A"}));
        let options = format!("/fields/{field}/options");
        let (first, _) =
            (routing.create(&options, json!({"name": "1"})), routing.create(&options, json!({"name": "2"})));
        routing
            .post("/fields", json!({"name": "B", "default_option_id": first}))
            .invalid(&["The selected default option id is invalid."]);
        let other = routing.create("/fields", json!({"name": "B"}));
        routing
            .put(&format!("/fields/{other}"), json!({"default_option_id": first}))
            .invalid(&["The selected default option id is invalid."]);
        routing.put(&format!("/fields/{field}"), json!({"default_option_id": first})).created();
        routing.delete(&format!("{options}/{first}")).ok();
        assert_eq!(routing.get(&format!("/fields/{field}")).ok()["default_option_id"], Value::Null);
        routing.delete(&format!("/fields/{field}")).ok();
        let told = server.admin().get("/audit-log?sort=id&per_page=100").ok();
        let told: Vec<&str> =
            told["data"].as_array().unwrap().iter().filter_map(|row| row["action"].as_str()).collect();
        let end =
            ["routing-field.updated", "routing-option.deleted", "routing-option.deleted", "routing-field.deleted"];
        assert!(told.ends_with(&end), "{told:?}");
    }
}

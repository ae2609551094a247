//! The handlers of entities: list, export, import, show, create, update and delete, one row or many.
//!
//! Every handler first reads the scope of the request: the customer whose rows it reaches. A row outside the scope is
//! answered as one that does not exist.

use rusqlite::Connection;

use super::customer_scope::Scope;
use super::entity::{Editable, Entity, Given, Nested, ServerFields};
use super::error::{Error, Result};
use super::export::{Export, Format};
use super::handler::{Ctx, Steps};
use super::ids::Ids;
use super::import::{Counts, Sheet};
use super::input::{Changes, Id, Inner, Json};
use super::list::{List, each_of};
use super::page::Page;
use super::reply::{Created, Deleted, Done, Ok200};
use crate::tenancy::Author;

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

pub fn import<T: Editable>(steps: &Steps<'_>, scope: T::Scope, sheet: Sheet<T>) -> Result<Counts> {
    let customer = scope.customer_of_import(steps)?;
    sheet.import(steps, customer)
}

pub fn show<T: Entity>(ctx: &mut Ctx<'_>, scope: T::Scope, Id(id): Id) -> Result<Ok200<T>> {
    find(ctx, &scope, id).map(Ok200)
}

pub fn create<T: Editable>(ctx: &mut Ctx<'_>, scope: T::Scope, Json(new): Json<T>) -> Result<Created<T>> {
    create_row(ctx, &scope, new).map(Created)
}

pub fn update<T: Editable>(ctx: &mut Ctx<'_>, scope: T::Scope, Id(id): Id, changes: Changes<T>) -> Result<Created<T>> {
    let old = find(ctx, &scope, id)?;
    let new = changes.apply(&old)?;
    update_row(ctx, &scope, &old, new, &|field| changes.name(field)).map(Created)
}

pub fn remove<T: Entity>(ctx: &mut Ctx<'_>, scope: T::Scope, Id(id): Id) -> Result<Done> {
    let row: T = find(ctx, &scope, id)?;
    delete(ctx.db, &ctx.author()?, &row)?;
    Ok(Done)
}

pub fn remove_many<T: Entity>(ctx: &mut Ctx<'_>, scope: T::Scope, Ids(ids): Ids) -> Result<Deleted> {
    let (customer, author) = (scope.customer(ctx)?, ctx.author()?);
    for id in &ids {
        let row = T::find(ctx.db, *id)?.filter(|row| row.is_seen_by(customer));
        delete(ctx.db, &author, &row.ok_or_else(Ids::unknown)?)?;
    }
    Ok(Deleted(ids.len()))
}

pub fn list_nested<T: Nested>(ctx: &mut Ctx<'_>, scope: T::Scope, Id(parent): Id, list: List<T>) -> Result<Page<T>> {
    find::<T::Parent>(ctx, &scope, parent)?;
    list.only(T::PARENT, parent).page(ctx)
}

pub fn show_nested<T: Nested>(ctx: &mut Ctx<'_>, scope: T::Scope, parent: Id, inner: Inner) -> Result<Ok200<T>> {
    find_nested(ctx, &scope, parent, inner).map(Ok200)
}

pub fn create_nested<T: Nested>(
    ctx: &mut Ctx<'_>,
    scope: T::Scope,
    Id(parent): Id,
    Json(mut new): Json<T>,
) -> Result<Created<T>> {
    find::<T::Parent>(ctx, &scope, parent)?;
    *new.parent() = parent;
    create_row(ctx, &scope, new).map(Created)
}

pub fn update_nested<T: Nested>(
    ctx: &mut Ctx<'_>,
    scope: T::Scope,
    parent: Id,
    inner: Inner,
    changes: Changes<T>,
) -> Result<Created<T>> {
    let old: T = find_nested(ctx, &scope, parent, inner)?;
    let mut new = changes.apply(&old)?;
    *new.parent() = parent.0;
    update_row(ctx, &scope, &old, new, &|field| changes.name(field)).map(Created)
}

pub fn remove_nested<T: Nested>(ctx: &mut Ctx<'_>, scope: T::Scope, parent: Id, inner: Inner) -> Result<Done> {
    let row: T = find_nested(ctx, &scope, parent, inner)?;
    delete(ctx.db, &ctx.author()?, &row)?;
    Ok(Done)
}

/// A row in the scope of the request.
pub fn find<T: Entity>(ctx: &Ctx<'_>, scope: &T::Scope, id: i64) -> Result<T> {
    let customer = scope.customer(ctx)?;
    T::find(ctx.db, id)?.filter(|row| row.is_seen_by(customer)).ok_or_else(Error::not_found)
}

fn find_nested<T: Nested>(ctx: &Ctx<'_>, scope: &T::Scope, Id(parent): Id, Inner(id): Inner) -> Result<T> {
    let mut row: T = find(ctx, scope, id)?;
    if *row.parent() == parent { Ok(row) } else { Err(Error::not_found()) }
}

/// Creates a row for the request.
pub fn create_row<T: Entity>(ctx: &Ctx<'_>, scope: &T::Scope, mut new: T) -> Result<T> {
    let given = Given { customer: scope.customer(ctx)?, names: &|_| true, is_import: false };
    let ServerFields { created_at, updated_at, .. } = new.server_fields();
    (*created_at, *updated_at) = (ctx.now, ctx.now);
    new.prepare(ctx.db, None, &given)?;
    add(ctx.db, &ctx.author()?, new)
}

/// Changes a row for the request. `names` tells which fields the request names.
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
    rewrite(ctx.db, &ctx.author()?, old, new)
}

/// Adds a prepared row. Returns it as stored.
pub fn add<T: Entity>(db: &Connection, author: &Author, mut new: T) -> Result<T> {
    new.check(db, None)?;
    *new.server_fields().id = new.insert(db)?;
    new.index(db, None)?;
    author.created(db, T::RECORDED, &new)?;
    Ok(new)
}

/// Replaces a row by a prepared one, now. Returns it as stored.
pub fn change<T: Entity>(db: &Connection, author: &Author, old: &T, mut new: T) -> Result<T> {
    *new.server_fields().updated_at = author.at;
    rewrite(db, author, old, new)
}

/// Replaces a row by a prepared one that has its times. Returns it as stored.
pub fn rewrite<T: Entity>(db: &Connection, author: &Author, old: &T, mut new: T) -> Result<T> {
    new.check(db, Some(old))?;
    new.save(db)?;
    new.index(db, Some(old))?;
    author.updated(db, T::RECORDED, old, &new)?;
    Ok(new)
}

/// Deletes a row, and the rows inside it.
pub fn delete<T: Entity>(db: &Connection, author: &Author, row: &T) -> Result<()> {
    row.release(db, author)?;
    row.delete(db)?;
    Ok(author.deleted(db, T::RECORDED, row)?)
}

/// Deletes every row with a value in a column.
pub fn delete_each<T: Entity>(db: &Connection, author: &Author, column: &'static str, value: i64) -> Result<()> {
    each_of(db, column, value, |row: T| delete(db, author, &row))
}

/// Moves every row of a customer to another one. Rows that it refers to move with it, and its indexes stay valid.
pub fn move_each<T: Entity>(db: &Connection, author: &Author, from: i64, to: i64) -> Result<()> {
    each_of(db, "customer_id", from, |old: T| {
        let mut new = old.clone();
        new.set_customer(Some(to));
        *new.server_fields().updated_at = author.at;
        new.save(db)?;
        Ok(author.updated(db, T::RECORDED, &old, &new)?)
    })
}

//! The framework for endpoints: a table of routes, plain functions as handlers, inputs that declare the source of a
//! value, replies that declare their status, and one error type. It knows no resource.

mod authority;
pub mod body;
mod call;
mod cell;
mod coding;
mod conditions;
pub mod crud;
mod csv_text;
mod cursor;
mod customer_scope;
mod disclosure;
mod document;
mod encoding;
pub mod entity;
pub mod entity_rows;
mod error;
mod export;
pub mod field;
mod handler;
mod idempotency;
mod ids;
mod import;
mod input;
pub mod list;
mod media_type;
pub mod openapi;
mod page;
pub mod perform;
mod reply;
pub mod resource;
mod route;
mod router;
mod rows;
mod tries;

pub use authority::may_touch;
pub use call::{Address, Call, in_service, language};
pub use coding::{Coding, Packer};
pub use customer_scope::{CallerScope, CustomerColumn, Given, OfCustomer, Scope, check_customer, placed};
pub use document::{Document, Kept};
pub use entity::Key;
pub use error::{Error, Result};
pub use export::{Export, export_all};
pub use handler::{Ctx, Handler, Inputs, Steps, bulk, hashing, here, run, steps};
pub use ids::Ids;
pub use import::{Counts, Importer, Mode, Sheet};
pub use input::{
    Changes, Code, Form, Id, Inner, Input, Json, Link, OAuthForm, Query, Uuid, decode, form_field, pairs, required,
};
pub use list::List;
pub use media_type::{Body, Format, MediaType};
pub use openapi::Operation;
pub use page::Page;
pub use reply::{
    Answer, Content, Created, Deleted, Done, FileReply, Html, Json200, Ok200, Pieces, Redirect, Reply, Stylesheet,
    Visited, Xml, json, rendered,
};
pub use resource::{Audience, Resource};
pub use route::{Layer, Needs, Route, delete, get, post, put};
pub use router::Router;
pub use rows::Rows;
pub use tries::{Counted, Tries};

//! The framework for endpoints: a table of routes, plain functions as handlers, inputs that declare the source of a
//! value, replies that declare their status, and one error type. It knows no resource.

mod authority;
pub mod body;
mod call;
mod cell;
mod coding;
mod conditions;
mod csv_text;
mod cursor;
mod disclosure;
mod document;
mod encoding;
mod error;
mod export;
mod handler;
mod idempotency;
mod ids;
mod import;
mod input;
pub mod list;
pub mod openapi;
mod page;
pub mod perform;
mod reply;
mod route;
mod router;
mod rows;
mod tries;
mod whose;

pub use authority::may_touch;
pub use call::{Address, Call, in_service};
pub use coding::{Coding, Packer};
pub use document::{Document, Kept};
pub use error::{Error, Result};
pub use export::{Export, Format, export_all};
pub use handler::{Ctx, Handler, Inputs, Place, Steps, bulk, hashing, here, run, steps};
pub use ids::Ids;
pub use import::{Counts, Importer, Imports, Key, Mode, Sheet};
pub use input::{
    Body, Changes, Code, Form, Id, Inner, Input, Json, Link, MediaType, OAuthForm, Query, Uuid, decode, pairs, required,
};
pub use list::List;
pub use openapi::Operation;
pub use page::Page;
pub use reply::{
    Answer, Content, Created, Deleted, Done, FileReply, Html, Json200, Ok200, Pieces, Redirect, Reply, Stylesheet,
    Visited, Xml, json, rendered,
};
pub use route::{Audience, Layer, Needs, Resource, Route, delete, get, post, put};
pub use router::Router;
pub use rows::Rows;
pub use tries::{Counted, Tries};
pub use whose::{OfCustomer, check_customer, placed};

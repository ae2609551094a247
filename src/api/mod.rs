//! The framework for endpoints: a table of routes, plain functions as handlers, inputs that declare the source of a
//! value, replies that declare their status, and one error type. It knows no resource.

mod access;
mod authority;
mod cached_document;
mod charset;
mod compression;
mod conditions;
pub mod crud;
mod csv_cell;
mod csv_text;
mod customer_scope;
mod disclosure;
pub mod entity;
pub mod entity_rows;
mod error;
pub mod execute;
mod export;
pub mod field;
mod handler;
mod idempotency;
mod ids;
mod import;
mod import_file;
mod import_in_parts;
mod inner_request;
mod input;
pub mod json_body;
pub mod list;
mod media_type;
pub mod openapi;
mod pagination;
mod rate_limit;
pub mod request;
pub mod resource;
pub mod resource_view;
mod response;
mod route;
mod router;
mod row_writer;

pub use access::{Audience, Layer, Needs};
pub use authority::require_grantable;
pub use cached_document::{CachedContent, CachedDocument};
pub use compression::{ContentCoding, Packer};
pub use csv_cell::{CsvField, rewrite as rewrite_cell};
pub use customer_scope::{CallerScope, CustomerColumn, CustomerOwned, Given, Scope, check_customer, placed};
pub use entity::ImportKey;
pub use error::{Error, Problem, Result};
pub use export::{Export, export_all, fields};
pub use handler::{BlockingCtx, Ctx, Handler, Inputs, blocking, hashing, inline, long_running, run, with_provider};
pub use ids::Ids;
pub use import::{ImportBody, ImportCounts, ImportFollower, ImportMode, Importer, LONGEST, MOST_ROWS, check_count};
pub use import_file::{FileRow, ImportRows, ImportText};
pub use import_in_parts::ImportStart;
pub use inner_request::{InnerRequest, InnerResponse};
pub use input::{
    Changes, Form, Id, InnerId, Input, Json, LinkQuery, OAuthForm, PathCode, Query, RowsFile, Uuid, decode, form_field,
    form_pairs, pairs, period_bound, required,
};
pub use list::{Filters, List};
pub use media_type::{BodyKind, Format, MAX_FILE, MediaType};
pub use openapi::{Operation, ParameterIn};
pub use pagination::Page;
pub use rate_limit::{RateLimit, RateLimitedAttempt};
pub use request::{Address, MultipartForm, Request, UploadedFile, language, require_active};
pub use resource::Resource;
pub use response::{
    Accepted, ApiResponse, ByteStream, Content, Deleted, Done, EventPosition, EventStream, FileResponse, Html,
    IntoResponse, Json200, Ok200, PageOrRedirect, PlainText, Redirect, Relayed, Saved, StaticAsset, Xml, json, render,
};
pub use route::{Route, delete, get, post, put};
pub use router::Router;

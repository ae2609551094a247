//! A resource: one part of the API, declared once in its own file. The router, the permission catalog, the audit log,
//! webhooks, the indexes, the command line, the description of the API and the tests read this value.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection;

use super::access::Audience;
use super::csv_cell::CsvField;
use super::customer_scope::Scope;
use super::entity::{Editable, Entity};
use super::error::Result;
use super::export::export_all;
use super::field::{COMMON, Field, Label};
use super::handler::BlockingCtx;
use super::import::{ImportCounts, ImportFollower, Importer};
use super::import_file::{ImportRows, ImportText};
use super::import_in_parts::ImportStart;
use super::input::Input;
use super::media_type::Format;
use super::resource_view::ResourceView;
use super::response::ByteStream;
use super::route::Route;
use crate::storage::File;
use crate::tenancy::journal::Recorded;
use crate::tenancy::phones::PhoneColumns;

/// A part of the API.
#[derive(Clone, Copy)]
pub struct Resource {
    /// The name that people read, in the plural.
    pub name: &'static str,
    /// The same in French.
    pub french_name: &'static str,
    /// A description of one or two sentences.
    pub about: &'static str,
    pub routes: &'static [Route],
    pub audience: Audience,
    pub section: Section,
    /// The permissions that belong to the resource.
    pub permissions: Option<&'static PermissionGroup>,
    /// The changes that the audit log records.
    pub recorded: &'static [&'static Recorded],
    /// The table of its rows.
    pub table: Option<EntityTable>,
    /// The fields that people see, with their labels.
    pub fields: &'static [Field],
    /// Labels of the fields of its requests and responses that are not among `fields`.
    pub more_fields: &'static [&'static [Field]],
    /// How the console shows the resource.
    pub view: ResourceView,
    /// Import and export of its rows.
    pub files: Option<&'static dyn Files>,
    /// Bodies for the test of every route: one that creates a row, and one that changes it.
    pub samples: Option<[&'static str; 2]>,
}

/// Indexes rows by normalized text. The values are the last id before the first row, and the id of the last row.
pub type Fold = fn(&Connection, i64, i64) -> rusqlite::Result<()>;

/// The table of a resource's rows.
#[derive(Debug, Clone, Copy)]
pub struct EntityTable {
    pub name: &'static str,
    pub fields: &'static [Field],
    /// The phone numbers in the index.
    pub numbers: PhoneColumns,
    /// The columns that SQL computes from others, each with its expression.
    pub computed: &'static [(&'static str, &'static str)],
    /// Indexes further normalized text of the rows with ids above the first value, up to the second.
    pub fold: Option<Fold>,
}

/// Where people look for a resource. Permissions are listed in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Data,
    Routing,
    Team,
    Integrations,
    History,
    Workspace,
}

/// The permissions of a resource.
#[derive(Debug)]
pub struct PermissionGroup {
    /// The first part of their names: `contact` of `contact.view`.
    pub resource: &'static str,
    pub actions: &'static [PermissionAction],
}

/// A permission: an action on a resource.
#[derive(Debug)]
pub struct PermissionAction {
    /// The second part of its name: `view` of `contact.view`.
    pub name: &'static str,
    /// The words after "Can", in English and in French.
    pub can: Label,
    /// The built-in roles that have it, besides `admin`, which has every permission.
    pub roles: &'static [&'static str],
}

/// The built-in roles that an action may name.
pub const MANAGER: &[&str] = &["manager"];
pub const AGENT: &[&str] = &["agent"];
pub const MANAGER_AND_AGENT: &[&str] = &["manager", "agent"];

pub const fn action(
    name: &'static str,
    english: &'static str,
    french: &'static str,
    roles: &'static [&'static str],
) -> PermissionAction {
    PermissionAction { name, can: Label { english, french }, roles }
}

impl Resource {
    /// A part of the API, in the section for data.
    pub const fn new(name: &'static str, about: &'static str, routes: &'static [Route]) -> Self {
        Self {
            name,
            french_name: name,
            about,
            routes,
            audience: Audience::Programs,
            section: Section::Data,
            permissions: None,
            recorded: &[],
            table: None,
            fields: &[],
            more_fields: &[],
            view: ResourceView::DERIVED,
            files: None,
            samples: None,
        }
    }

    /// Pages that people reach by links.
    pub const fn pages(name: &'static str, routes: &'static [Route]) -> Self {
        Self { audience: Audience::People, ..Self::new(name, "", routes) }
    }

    /// Routes for the operation of the server.
    pub const fn operations(name: &'static str, routes: &'static [Route]) -> Self {
        Self { audience: Audience::Operators, ..Self::new(name, "", routes) }
    }

    #[must_use]
    pub const fn french(self, french_name: &'static str) -> Self {
        Self { french_name, ..self }
    }

    #[must_use]
    pub const fn section(self, section: Section) -> Self {
        Self { section, ..self }
    }

    #[must_use]
    pub const fn permissions(self, permissions: &'static PermissionGroup) -> Self {
        Self { permissions: Some(permissions), ..self }
    }

    #[must_use]
    pub const fn recorded(self, recorded: &'static [&'static Recorded]) -> Self {
        Self { recorded, ..self }
    }

    /// The table, and the name in the audit log, of an entity.
    #[must_use]
    pub const fn entity<T: Entity>(self) -> Self {
        let table = EntityTable {
            name: T::TABLE,
            fields: T::LISTING.fields,
            numbers: T::NUMBERED,
            computed: T::COMPUTED,
            fold: None,
        };
        Self { recorded: const { &[T::RECORDED] }, table: Some(table), fields: table.fields, ..self }
    }

    /// Adds a function that indexes further normalized text.
    #[must_use]
    pub const fn folded(self, fold: fn(&Connection, i64, i64) -> rusqlite::Result<()>) -> Self {
        match self.table {
            Some(table) => Self { table: Some(EntityTable { fold: Some(fold), ..table }), ..self },
            None => self,
        }
    }

    #[must_use]
    pub const fn table(self, table: EntityTable) -> Self {
        Self { table: Some(table), fields: table.fields, ..self }
    }

    #[must_use]
    pub const fn fields(self, fields: &'static [Field]) -> Self {
        Self { fields, ..self }
    }

    /// Adds labels of fields that are in requests and responses alone.
    #[must_use]
    pub const fn more_fields(self, more_fields: &'static [&'static [Field]]) -> Self {
        Self { more_fields, ..self }
    }

    #[must_use]
    pub const fn view(self, view: ResourceView) -> Self {
        Self { view, ..self }
    }

    /// Lets the command line import and export files of an entity.
    #[must_use]
    pub const fn files<T: Editable>(self) -> Self {
        Self { files: Some(const { &FilesOf::<T>(PhantomData) }), ..self }
    }

    #[must_use]
    pub const fn samples(self, create: &'static str, change: &'static str) -> Self {
        Self { samples: Some([create, change]), ..self }
    }

    /// The label of a field of its requests, responses or filters. A field may have another name in filters.
    pub fn label_of(&self, field: &str) -> Option<Label> {
        let of = |known: &&Field| (known.name == field || known.column == field) && !known.label.english.is_empty();
        self.fields
            .iter()
            .chain(self.more_fields.iter().copied().flatten())
            .chain(COMMON)
            .find(of)
            .map(|known| known.label)
    }

    /// The name of a route's operation: `listCallQueues`, `createCallQueue`. A route that is not a usual one of a collection
    /// has its own name.
    pub fn operation_id(&self, route: &Route) -> String {
        if let Some(name) = route.name {
            return name.to_owned();
        }
        let words =
            self.name.split([' ', '-']).map(|word| word[..1].to_ascii_uppercase() + &word[1..].to_ascii_lowercase());
        let plural: String = words.collect();
        let singular = match plural.strip_suffix("ies") {
            Some(stem) => format!("{stem}y"),
            None => plural.strip_suffix('s').unwrap_or(&plural).to_owned(),
        };
        let (_, last) = route.path.rsplit_once('/').unwrap_or_default();
        match (route.method.as_str(), last) {
            ("GET", "export") => format!("export{plural}"),
            ("POST", "import") => format!("import{plural}"),
            ("DELETE", "bulk") => format!("delete{plural}"),
            ("POST", "bulk") => format!("create{plural}"),
            ("GET", last) if last.starts_with('{') => format!("get{singular}"),
            ("GET", _) => format!("list{plural}"),
            ("POST", _) => format!("create{singular}"),
            ("PUT", _) => format!("update{singular}"),
            (_, _) => format!("delete{singular}"),
        }
    }
}

/// Import and export of a resource, for callers who know only its name.
pub trait Files: Sync {
    /// The name that people type: `phone-calls`.
    fn name(&self) -> String;

    /// Whether every row belongs to a customer that the caller must name.
    fn need_customer(&self) -> bool;

    /// The resource of the permissions: `contact` of `contact.create`.
    fn permissions(&self) -> &'static str;

    /// The names of the fields by which an import finds existing rows.
    fn keys(&self) -> Vec<&'static str>;

    /// The fields that a file may have.
    fn fields(&self) -> Vec<CsvField>;

    /// The customer of an import that a request asks for.
    fn customer(&self, ctx: &BlockingCtx<'_>) -> Result<Option<i64>>;

    /// The rows and columns in a text. In CSV, the delimiter is the one with the most column names that `is_known`
    /// accepts.
    fn text(&self, text: Bytes, format: Format, is_known: &dyn Fn(&str) -> bool) -> Result<ImportText>;

    /// The rows in a text. A column has the name of the field that it contains.
    fn rows(&self, text: Bytes, format: Format) -> Result<ImportRows>;

    /// Writes all rows or none, apart from those that the importer leaves out.
    fn import(
        &self,
        importer: Importer,
        file: &Arc<File>,
        rows: ImportRows,
        longest: Duration,
        follower: Box<dyn ImportFollower>,
    ) -> Result<ImportCounts>;

    /// Writes the rows in many short transactions, apart from those that are refused.
    fn import_in_parts(
        &self,
        importer: Importer,
        file: &Arc<File>,
        rows: ImportRows,
        start: ImportStart,
        follower: Box<dyn ImportFollower>,
    ) -> Result<ImportCounts>;

    /// All rows, or those of a customer.
    fn export(&self, format: Format, customer: Option<i64>) -> Result<Box<dyn ByteStream>>;
}

struct FilesOf<T>(PhantomData<fn() -> T>);

impl<T: Editable> Files for FilesOf<T> {
    fn name(&self) -> String {
        T::TABLE.replace('_', "-")
    }

    fn need_customer(&self) -> bool {
        T::Scope::NAMES_CUSTOMER
    }

    fn permissions(&self) -> &'static str {
        T::PERMISSIONS
    }

    fn keys(&self) -> Vec<&'static str> {
        ["id"].into_iter().chain(T::KEY.map(|key| key.field)).collect()
    }

    fn fields(&self) -> Vec<CsvField> {
        CsvField::all::<T>()
    }

    fn customer(&self, ctx: &BlockingCtx<'_>) -> Result<Option<i64>> {
        T::Scope::read(ctx.request)?.customer_of_import(ctx)
    }

    fn text(&self, text: Bytes, format: Format, is_known: &dyn Fn(&str) -> bool) -> Result<ImportText> {
        ImportText::read(text, format, T::PLURAL, is_known)
    }

    fn rows(&self, text: Bytes, format: Format) -> Result<ImportRows> {
        ImportRows::find::<T>(text, format, T::PLURAL)
    }

    fn import(
        &self,
        importer: Importer,
        file: &Arc<File>,
        rows: ImportRows,
        longest: Duration,
        follower: Box<dyn ImportFollower>,
    ) -> Result<ImportCounts> {
        importer.import::<T>(file, rows, longest, follower)
    }

    fn import_in_parts(
        &self,
        importer: Importer,
        file: &Arc<File>,
        rows: ImportRows,
        start: ImportStart,
        follower: Box<dyn ImportFollower>,
    ) -> Result<ImportCounts> {
        importer.import_in_parts::<T>(file, rows, start, follower)
    }

    fn export(&self, format: Format, customer: Option<i64>) -> Result<Box<dyn ByteStream>> {
        export_all::<T>(format, customer)
    }
}

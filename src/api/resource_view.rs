//! How people see a resource in the console: which fields are columns, how a form groups them, what a record is called.
//!
//! Everything here is optional. The console derives the rest from the resource, its routes and its schema: a resource
//! without a view has all its pages.

use super::field::Label;

/// The appearance of a resource in the console.
#[derive(Debug, Clone, Copy)]
pub struct ResourceView {
    /// Fields whose values, joined by blanks, name a record. By default the first text field.
    pub title: &'static [&'static str],
    /// The columns of the list. The first is the link to the record. By default the first six fields.
    pub columns: &'static [&'static str],
    /// The fields of detail page and form, in groups. Fields in no group follow at the end.
    pub groups: &'static [FieldGroup],
    /// How fields are shown and edited, if the schema does not say enough.
    pub widgets: &'static [(&'static str, Widget)],
    /// A sentence below the input of a field.
    pub help: &'static [(&'static str, Label)],
    /// Filters of one click above the list.
    pub quick_filters: &'static [QuickFilter],
    /// A chart above the list.
    pub chart: Option<ChartView>,
    /// Lists on the detail page.
    pub related: &'static [Related],
    /// Rows that a deletion takes along or changes.
    pub affected_by_delete: &'static [Related],
    /// The labels of the routes `POST {path}/{id}/{verb}`, in English and French.
    pub buttons: &'static [Button],
    /// Forms for new records of other resources, with values of the record filled in.
    pub shortcuts: &'static [Shortcut],
    /// Links of the list to pages of the console that are written by hand.
    pub list_links: &'static [ListLink],
    /// Links of a record to pages of the console that are written by hand.
    pub record_links: &'static [RecordLink],
    /// The purpose, for an empty list.
    pub purpose: Label,
    /// One record. English has no article, French has one: "contact", "un contact".
    pub singular: Label,
    /// The field of a response that is a secret, which is shown once.
    pub secret: Option<&'static str>,
    /// Whether requests send the secret as a Bearer token.
    pub is_bearer: bool,
    /// Whether a form for a new record can start as a copy of another.
    pub is_copied: bool,
    /// A flag of records that nobody may change or delete.
    pub fixed_if: Option<&'static str>,
}

/// Fields under a heading.
#[derive(Debug, Clone, Copy)]
pub struct FieldGroup {
    pub label: Label,
    pub fields: &'static [&'static str],
}

/// How a field is shown and edited. Without a widget, the type in the schema decides: a text, a number, a box, a list, a
/// choice or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Widget {
    /// A phone number, shown as a `tel:` link.
    Phone,
    /// An address, shown as a `mailto:` link.
    Email,
    /// A link to another server.
    Url,
    /// A text of several lines.
    Lines,
    /// A date.
    Day,
    /// A time of day.
    Clock,
    /// A number of seconds, shown as minutes and seconds.
    Seconds,
    /// A JSON object of names and values.
    Pairs,
    /// A secret: never shown, and never filled in again.
    Secret,
    /// Permissions, as a matrix of resources and actions.
    Permissions,
    /// Scopes of programs: permissions without wildcards.
    Scopes,
    /// Names of webhook events, as boxes.
    Events,
    /// A list of values, one per line.
    List,
    /// The id of a record of another resource, by the path of its list: `/customers`. Shown by its name.
    Link(&'static str),
    /// The id of a record whose kind another field names: that field, and for each of its values the path of a list.
    LinkBy(&'static str, &'static [(&'static str, &'static str)]),
    /// Neither shown nor edited.
    Hidden,
}

impl Widget {
    /// Whether the field holds the id of another record.
    pub const fn is_link(self) -> bool {
        matches!(self, Self::Link(_) | Self::LinkBy(..))
    }
}

/// A filter of one click.
#[derive(Debug, Clone, Copy)]
pub struct QuickFilter {
    pub label: Label,
    /// The query. `{today}` stands for the day, in the workspace's time zone.
    pub query: &'static str,
}

/// A chart of the number of records by hour or day.
#[derive(Debug, Clone, Copy)]
pub struct ChartView {
    /// The path of the route that counts them. It takes `from`, `to`, `by` and the filters of the list.
    pub summary: &'static str,
    /// The time by which it counts.
    pub moment: &'static str,
}

/// Rows of another resource that belong to a record.
#[derive(Debug, Clone, Copy)]
pub struct Related {
    pub label: Label,
    /// The path of the list. `{id}` stands for the id of the record.
    pub path: &'static str,
    /// The filter that compares the id of the record. Empty if the path contains the id. `customer_account` is not a
    /// filter but the parameter of call routing: it takes the account of a customer.
    pub filter: &'static str,
    /// Further filters, as a query.
    pub fixed_query: &'static str,
}

/// A route `POST {path}/{id}/{verb}` or `POST {path}/{verb}`, as a button.
#[derive(Debug, Clone, Copy)]
pub struct Button {
    /// The last part of the path.
    pub verb: &'static str,
    pub label: Label,
    /// What happens, for the page that asks for confirmation or for the fields of the request.
    pub about: Label,
    /// Whether the list runs it for all records of a filter.
    pub is_for_many: bool,
    /// Rows that it moves, changes or deletes together with the record.
    pub affected: &'static [Related],
    /// Fields of the record and their values. The button is shown for records that have all of them.
    pub only_if: &'static [(&'static str, &'static str)],
}

pub const fn label(english: &'static str, french: &'static str) -> Label {
    Label { english, french }
}

pub const fn group(english: &'static str, french: &'static str, fields: &'static [&'static str]) -> FieldGroup {
    FieldGroup { label: label(english, french), fields }
}

pub const fn quick_filter(english: &'static str, french: &'static str, query: &'static str) -> QuickFilter {
    QuickFilter { label: label(english, french), query }
}

pub const fn related(english: &'static str, french: &'static str, path: &'static str, filter: &'static str) -> Related {
    Related { label: label(english, french), path, filter, fixed_query: "" }
}

impl Related {
    /// Adds filters, as a query.
    #[must_use]
    pub const fn only(self, fixed_query: &'static str) -> Self {
        Self { fixed_query, ..self }
    }
}

/// A link to the form for a new record of another resource.
#[derive(Debug, Clone, Copy)]
pub struct Shortcut {
    pub label: Label,
    /// The path of the other resource's list.
    pub path: &'static str,
    /// The fields that are filled in, each with the field of this record.
    pub fields: &'static [(&'static str, &'static str)],
    /// The shortcut exists only if this field has this value. `""` stands for an empty field.
    pub only_if: &'static [(&'static str, &'static str)],
}

/// A link of a list to a page of the console that is written by hand.
#[derive(Debug, Clone, Copy)]
pub struct ListLink {
    pub label: Label,
    /// The address of the page.
    pub page: &'static str,
    /// The permission that a person needs to see the link.
    pub permission: &'static str,
}

pub const fn list_link(
    english: &'static str,
    french: &'static str,
    page: &'static str,
    permission: &'static str,
) -> ListLink {
    ListLink { label: label(english, french), page, permission }
}

/// A link of a record to a page of the console that is written by hand.
#[derive(Debug, Clone, Copy)]
pub struct RecordLink {
    pub label: Label,
    /// The path of the page. `{id}` stands for the id of the record, `{account}` for the account of its customer.
    pub page: &'static str,
    /// The link exists only if this field has this value. `""` stands for an empty field.
    pub only_if: &'static [(&'static str, &'static str)],
}

pub const fn button(verb: &'static str, button_label: Label, about: Label) -> Button {
    Button { verb, label: button_label, about, is_for_many: false, affected: &[], only_if: &[] }
}

impl Button {
    /// Shows the button only for records with these values.
    #[must_use]
    pub const fn only_if(self, only_if: &'static [(&'static str, &'static str)]) -> Self {
        Self { only_if, ..self }
    }

    /// The list runs the action for all records of a filter.
    #[must_use]
    pub const fn for_many(self) -> Self {
        Self { is_for_many: true, ..self }
    }

    /// The page of the action counts these rows.
    #[must_use]
    pub const fn affecting(self, affected: &'static [Related]) -> Self {
        Self { affected, ..self }
    }
}

impl ResourceView {
    /// A view in which everything is derived.
    pub const DERIVED: Self = Self {
        title: &[],
        columns: &[],
        groups: &[],
        widgets: &[],
        help: &[],
        quick_filters: &[],
        chart: None,
        related: &[],
        affected_by_delete: &[],
        buttons: &[],
        shortcuts: &[],
        list_links: &[],
        record_links: &[],
        purpose: label("", ""),
        singular: label("", ""),
        secret: None,
        is_bearer: false,
        is_copied: false,
        fixed_if: None,
    };
}

//! The console: pages with which people do all their work. Each page runs routes of the API, so it has no right and no
//! rule of its own.
//!
//! Most pages are generic: they follow from the resources of a layer, their views and the schemas of their routes
//! (`catalog.rs`). Pages that combine several resources are written by hand, one file each.

mod action_page;
mod affected_records;
mod audit_page;
mod caller_page;
mod catalog;
mod central;
mod chart;
mod choice_matrix;
mod conflict_page;
mod console_page;
mod day_page;
mod delete_page;
mod detail_page;
mod display;
mod duplicates_page;
mod form;
mod form_page;
mod holidays_page;
mod home_page;
mod hours_owner;
mod import_page;
mod language_page;
mod links;
mod list_chart;
mod list_page;
mod me_page;
mod merge_page;
mod page;
mod pbx_page;
mod queues_now;
mod resource_page;
mod route_form;
mod routing_page;
mod schema;
mod search_page;
mod secret_page;
mod settings_page;
mod survey_page;
mod tester_page;
mod texts;
mod week_page;
mod zones_page;

use std::sync::LazyLock;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api::{Layer, Resource, Route, get, post};
use catalog::{Collection, collections};
use resource_page::{PageKind, ResourcePage};

/// The pages that are written by hand.
const BY_HAND: &[Resource] = &[
    Resource::pages("Home page", home_page::ROUTES),
    Resource::pages("Search page", search_page::ROUTES),
    Resource::pages("Audit log page", audit_page::ROUTES),
    Resource::pages("Routing pages", routing_page::ROUTES),
    Resource::pages("Week pages", week_page::ROUTES),
    Resource::pages("Day pages", day_page::ROUTES),
    Resource::pages("Pages of closed days", holidays_page::ROUTES),
    Resource::pages("Tester page", tester_page::ROUTES),
    Resource::pages("Survey pages", survey_page::ROUTES),
    Resource::pages("Zone pages", zones_page::ROUTES),
    Resource::pages("Caller pages", caller_page::ROUTES),
    Resource::pages("PBX pages", pbx_page::ROUTES),
    Resource::pages("Own page", me_page::ROUTES),
    Resource::pages("Form of the settings", settings_page::ROUTES),
    Resource::pages("Duplicates pages", duplicates_page::ROUTES),
    Resource::pages("Merge pages", merge_page::ROUTES),
];

/// Pages of both layers.
pub const SHARED: &[Resource] = &[Resource::pages("Language page", language_page::ROUTES)];

/// Routes of the API without a page, and the reason. `*` stands for the beginning of any path.
pub const WITHOUT_PAGE: &[(Layer, &str, &str, &str)] = &[
    (Layer::Workspace, "GET", "/crm/lookup/phone-calls", "the list of phone calls shows the same records"),
    (Layer::Workspace, "GET", "/customers/{id}/contacts", "the list of contacts shows the same records"),
    (Layer::Workspace, "GET", "/permissions", "the form of a role shows them"),
    (Layer::Workspace, "GET", "/whoami", "each page shows the person and the workspace"),
    (Layer::Workspace, "POST", "/switch-to", "people enter a workspace from its sign-in page"),
    (Layer::Central, "POST", "/switch-to", "people enter a workspace from its sign-in page"),
    (Layer::Workspace, "GET", "/", "a description for programs"),
    (Layer::Central, "GET", "/", "a description for programs"),
    (Layer::Workspace, "GET", "/openapi.json", "a description for programs"),
    (Layer::Central, "GET", "/openapi.json", "a description for programs"),
    (Layer::Workspace, "GET", "/.well-known/oauth-authorization-server", "a description for programs"),
    (Layer::Workspace, "POST", "/oauth/token", "the protocol of OAuth, for programs"),
    (Layer::Workspace, "POST", "/oauth/introspect", "the protocol of OAuth, for programs"),
    (Layer::Workspace, "POST", "/oauth/revoke", "the protocol of OAuth, for programs"),
    (Layer::Workspace, "GET", "/crm/lookup/contacts/search", "a PBX looks callers up; people have the search"),
    (Layer::Workspace, "GET", "/crm/lookup/caller-name", "a PBX looks callers up; people have the search"),
    (Layer::Workspace, "GET", "/crm/lookup/caller-name/{key}", "a PBX looks callers up; people have the search"),
    (Layer::Workspace, "POST", "/crm/lookup/contacts", "a PBX creates contacts; people have the form of contacts"),
    (Layer::Workspace, "POST", "/crm/lookup/phone-calls", "a PBX records calls; people have the form of calls"),
    (Layer::Workspace, "PUT", "/crm/lookup/phone-calls/{id}", "a PBX records calls; people have the form of calls"),
    (Layer::Workspace, "GET", "/smart-routings/call-queues/queues/states", "the first page shows the queues"),
    (Layer::Workspace, "GET", "/smart-routings/surveys/summaries", "the first page shows the means"),
    (Layer::Workspace, "POST", "/smart-routings/call-queues/time-spans/bulk", "people add time spans one by one"),
    (Layer::Workspace, "POST", "*/import", "people import a file in steps"),
    (Layer::Workspace, "GET", "/imports", "the page with the form for a file lists the imports of its resource"),
    (Layer::Central, "GET", "/user-invites", "the first page of the central host shows the invitations of the person"),
];

/// Routes of the API that pages run which are written by hand.
#[cfg(test)]
const RUN_BY_HAND: &[(Layer, &str, &str)] = &[
    (Layer::Workspace, "GET", "/search"),
    (Layer::Workspace, "POST", "/imports"),
    (Layer::Workspace, "GET", "/imports/{id}"),
    (Layer::Workspace, "PUT", "/imports/{id}"),
    (Layer::Workspace, "POST", "/imports/{id}/check"),
    (Layer::Workspace, "POST", "/imports/{id}/run"),
    (Layer::Workspace, "GET", "/imports/{id}/refused.csv"),
    (Layer::Workspace, "DELETE", "/imports/{id}"),
    (Layer::Workspace, "GET", "/phone-calls/summary"),
    (Layer::Workspace, "GET", "/customers/resolve"),
    (Layer::Workspace, "GET", "/contacts/duplicates"),
    (Layer::Workspace, "POST", "/contacts/duplicates/dismiss"),
    (Layer::Workspace, "POST", "/contacts/duplicates/restore"),
    (Layer::Workspace, "GET", "/customers/duplicates"),
    (Layer::Workspace, "POST", "/customers/duplicates/dismiss"),
    (Layer::Workspace, "POST", "/customers/duplicates/restore"),
    (Layer::Workspace, "GET", "/crm/template"),
    (Layer::Workspace, "GET", "/events"),
    (Layer::Workspace, "GET", "/ringing-calls"),
    (Layer::Workspace, "GET", "/smart-routings/call-queues/lookup"),
    (Layer::Workspace, "GET", "/smart-routings/contacts/lookup"),
    (Layer::Workspace, "GET", "/smart-routings/ctis/lookup"),
    (Layer::Workspace, "GET", "/smart-routings/geo/destinations/lookup"),
    (Layer::Workspace, "GET", "/smart-routings/geo/lists/{id}/zones"),
    (Layer::Workspace, "GET", "/smart-routings/surveys/{id}/summary"),
    (Layer::Workspace, "GET", "/smart-routings/call-queues/queues/{id}/week"),
    (Layer::Workspace, "GET", "/smart-routings/call-queues/groups/{id}/week"),
    (Layer::Workspace, "POST", "/smart-routings/call-queues/time-spans/replace"),
    (Layer::Workspace, "GET", "/smart-routings/call-queues/exceptions/holidays/calendar"),
    (Layer::Central, "GET", "/whoami"),
    (Layer::Central, "GET", "/instance"),
    (Layer::Central, "GET", "/instance/backups"),
    (Layer::Central, "GET", "/instance/findings"),
    (Layer::Central, "GET", "/instance/figures"),
    (Layer::Central, "GET", "/tokens"),
    (Layer::Central, "GET", "/workspaces"),
    (Layer::Central, "GET", "/workspaces/{id}"),
    (Layer::Central, "GET", "/workspaces/{id}/export"),
    (Layer::Central, "GET", "/account/identities"),
    (Layer::Central, "GET", "/workspaces/{id}/identity-provider"),
    (Layer::Central, "GET", "/account/second-factor"),
    (Layer::Central, "POST", "/login"),
    (Layer::Central, "POST", "/login/second-factor"),
    (Layer::Central, "POST", "/logout"),
    (Layer::Central, "POST", "/register"),
    (Layer::Central, "POST", "/password/forgot"),
    (Layer::Central, "POST", "/password/reset"),
    (Layer::Central, "POST", "/account/email/verify"),
    (Layer::Central, "POST", "/account/email/undo"),
    (Layer::Central, "POST", "/account/second-factor"),
    (Layer::Central, "DELETE", "/account/second-factor"),
    (Layer::Central, "POST", "/account/second-factor/recovery-codes"),
    (Layer::Central, "GET", "/user-invites/code/{code}"),
    (Layer::Central, "POST", "/user-invites/{id}/accept"),
    (Layer::Workspace, "POST", "/login"),
    (Layer::Workspace, "POST", "/login/second-factor"),
    (Layer::Workspace, "POST", "/logout"),
];

/// The routes of the API that pages run.
#[cfg(test)]
pub fn run_by_pages(layer: Layer) -> Vec<(String, &'static str)> {
    let of_collections = collections(layer).iter().flat_map(|of| {
        let own = [of.list, of.show, of.create, of.update, of.remove, of.remove_many, of.export];
        own.into_iter().flatten().chain(of.actions.iter().map(|action| action.route))
    });
    let of_collections = of_collections.map(|route| (route.method.to_string(), route.path));
    let by_hand =
        RUN_BY_HAND.iter().filter(|(of, ..)| *of == layer).map(|(_, method, path)| ((*method).to_owned(), *path));
    let forms = central::forms().filter(|_| layer == Layer::Central).map(|form| (form.method.to_owned(), form.route));
    of_collections.chain(by_hand).chain(forms).collect()
}

/// The reasons why a route has no page.
pub fn reasons_without_page(layer: Layer, method: &Method, path: &str) -> impl Iterator<Item = &'static str> {
    WITHOUT_PAGE.iter().filter_map(move |(of, name, known, reason)| {
        let is_path = known.strip_prefix('*').map_or(*known == path, |end| path.ends_with(end));
        (*of == layer && *name == method.as_str() && is_path).then_some(*reason)
    })
}

/// The pages of a workspace.
pub fn workspace_resources() -> Vec<Resource> {
    static GENERIC: LazyLock<Vec<Resource>> = LazyLock::new(|| generic(Layer::Workspace, BY_HAND));
    [BY_HAND, SHARED, &GENERIC].concat()
}

/// The pages of the central host.
pub fn central_resources() -> Vec<Resource> {
    static ALL: LazyLock<Vec<Resource>> = LazyLock::new(|| {
        let by_hand = central::by_hand();
        let generic = generic(Layer::Central, &by_hand);
        [&by_hand, SHARED, &generic].concat()
    });
    ALL.to_vec()
}

/// The generic pages of a layer. A page that is written by hand takes the place of a generic one.
fn generic(layer: Layer, by_hand: &[Resource]) -> Vec<Resource> {
    let is_by_hand = |path: &str| by_hand.iter().flat_map(|resource| resource.routes).any(|route| route.path == path);
    let of_collection = |collection: &'static Collection| {
        let routes: Vec<Route> = routes(collection).into_iter().filter(|route| !is_by_hand(route.path)).collect();
        let name = leak(format!("{} pages", collection.resource.name));
        Resource::pages(name, Vec::leak(routes))
    };
    collections(layer).iter().map(of_collection).collect()
}

/// The page routes of a collection. They live as long as the program.
fn routes(collection: &'static Collection) -> Vec<Route> {
    let mut routes = Vec::new();
    let base = collection.page;
    let one = match collection.is_single() {
        true => base.to_owned(),
        false => format!("{base}/{{{}}}", if base.contains("{id}") { "inner_id" } else { "id" }),
    };
    let name = within_sentence(collection.resource.name);
    let mut add = |changes: bool, path: String, kind: PageKind, of: Option<&'static Route>, summary: String| {
        let Some(of) = of else { return };
        let handler: &'static ResourcePage = Box::leak(Box::new(ResourcePage { collection, kind }));
        let make = if changes { post } else { get };
        routes.push(make(leak(path), handler, of.needs, leak(summary)));
    };
    let Collection { list, show, create, update, remove, export, import, .. } = *collection;
    add(false, base.to_owned(), PageKind::List, list, format!("Show the list of {name} as a page"));
    add(false, format!("{base}/export"), PageKind::Export, export, format!("Download {name} as a file"));
    let of_import = format!("{base}/import/{{id}}");
    add(false, format!("{base}/import"), PageKind::ImportFile, import, format!("Show the form to import {name}"));
    add(true, format!("{base}/import"), PageKind::UploadFile, import, format!("Upload a file with {name} from a form"));
    add(false, of_import.clone(), PageKind::Import, import, format!("Show an import of {name}"));
    add(
        true,
        of_import.clone(),
        PageKind::ImportStep,
        import,
        format!("Run a step of an import of {name}, or delete it"),
    );
    let refused = format!("{of_import}/refused.csv");
    add(false, refused, PageKind::RefusedRows, import, format!("Download the refused rows of an import of {name}"));
    add(false, format!("{base}/new"), PageKind::New, create, format!("Show the form for new {name}"));
    add(true, format!("{base}/new"), PageKind::Create, create, format!("Create one of the {name} from a form"));
    add(false, format!("{base}/bulk"), PageKind::AskDeleteMany, remove, format!("Ask before {name} are deleted"));
    add(true, format!("{base}/bulk"), PageKind::DeleteMany, remove, format!("Delete {name} from a page"));
    add(false, one.clone(), PageKind::Show, show, format!("Show one of the {name} as a page"));
    add(false, format!("{one}/edit"), PageKind::Edit, show.and(update), format!("Show the form of one of the {name}"));
    add(true, format!("{one}/edit"), PageKind::Update, update, format!("Change one of the {name} from a form"));
    add(
        false,
        format!("{one}/delete"),
        PageKind::AskDelete,
        remove,
        format!("Ask before one of the {name} is deleted"),
    );
    add(true, format!("{one}/delete"), PageKind::Delete, remove, format!("Delete one of the {name} from a page"));
    for (at, action) in collection.actions.iter().enumerate() {
        let owner = if action.is_of_record { one.as_str() } else { base };
        let path = format!("{owner}/{}", action.verb);
        let words = action.verb.replace('-', " ");
        add(false, path.clone(), PageKind::AskAction(at), Some(action.route), format!("Ask before: {words}, {name}"));
        add(true, path, PageKind::Act(at), Some(action.route), format!("Run from a page: {words}, {name}"));
        if action.is_for_many {
            let (path, of) = (format!("{base}/bulk/{}", action.verb), Some(action.route));
            add(false, path.clone(), PageKind::AskActionMany(at), of, format!("Ask before: {words}, several {name}"));
            add(true, path, PageKind::ActMany(at), of, format!("Run from a page: {words}, several {name}"));
        }
    }
    routes
}

/// A name that begins a sentence, as it is written inside one. Abbreviations stay: "OAuth clients", "CTIs".
fn within_sentence(name: &str) -> String {
    let mut letters = name.chars();
    match (letters.next(), letters.next()) {
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(name.chars().skip(1)).collect()
        }
        _ => name.to_owned(),
    }
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// Encodes a segment of a path, or a value of a query.
fn encode(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

/// A query from its names and values.
fn query<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        query.append_pair(name.as_ref(), value.as_ref());
    }
    query.finish()
}

/// The names and values of a query.
fn pairs_of(query: &str) -> Vec<(String, String)> {
    crate::api::pairs(query).collect()
}

//! Tests over the views of all resources: what a view names exists, and people have a word for everything in both
//! languages.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::Value;

use crate::api::field::Label;
use crate::api::resource_view::{Related, ResourceView, Widget};
use crate::api::{Audience, Layer, Resource};
use crate::tests::description;
use crate::workspace;

/// Resources of programs alone, with the reason.
const WITHOUT_LABELS: &[(&str, &str)] = &[("OAuth", "the protocol of RFC 6749, which no person fills in")];

/// The frame around rows, and responses without a record.
const FRAME: &[&str] = &[
    "response",
    "data",
    "count",
    "per_page",
    "current_page",
    "last_page",
    "total",
    "total_is_minimum",
    "from",
    "to",
    "path",
    "first_page_url",
    "last_page_url",
    "next_page_url",
    "prev_page_url",
    "next_cursor",
    "prev_cursor",
    "cursor",
    "count_to",
    "page",
];

/// Fields that every record may have, outside of all groups.
const OF_THE_RECORD: &[&str] = &["id", "created_at", "updated_at"];

/// Routes `POST` that are no buttons, with the reason.
const WITHOUT_BUTTON: &[(&str, &str)] = &[
    ("import", "a page of its own"),
    ("bulk", "several records in one body"),
    ("replace", "the pages of a day of the week"),
    ("test", "declared at the webhook"),
    ("dismiss", "the page of duplicates"),
    ("restore", "the page of duplicates"),
];

/// The description of a layer, with its references resolved on demand.
struct Document(Value);

type Properties = BTreeMap<String, Value>;

impl Document {
    fn of(layer: Layer) -> Self {
        Self(description(layer))
    }

    fn resolve<'v>(&'v self, schema: &'v Value) -> &'v Value {
        match schema["$ref"].as_str() {
            Some(place) => self.resolve(self.0.pointer(place.trim_start_matches('#')).unwrap()),
            None => schema,
        }
    }

    /// The properties of an object, of the rows of a list, or of the rows of a page.
    fn properties(&self, schema: &Value) -> Properties {
        let schema = self.resolve(schema);
        let mut found = Properties::new();
        for part in ["allOf", "anyOf", "oneOf"].iter().flat_map(|key| schema[*key].as_array().into_iter().flatten()) {
            found.extend(self.properties(part));
        }
        if schema["type"] == "array" {
            found.extend(self.properties(&schema["items"]));
        }
        let own = schema["properties"].as_object().into_iter().flatten();
        found.extend(own.map(|(name, schema)| (name.clone(), schema.clone())));
        if let (Some(rows), true) = (found.get("data"), found.contains_key("per_page")) {
            return self.properties(rows);
        }
        found
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        self.0["paths"][path].get(method.to_lowercase())
    }

    fn request(&self, operation: &Value) -> Properties {
        let bodies = operation["requestBody"]["content"].as_object().into_iter().flatten();
        bodies.flat_map(|(_, body)| self.properties(&body["schema"])).collect()
    }

    fn response(&self, operation: &Value) -> Properties {
        let all = operation["responses"].as_object().into_iter().flatten();
        let good = all.filter(|(status, _)| status.starts_with('2'));
        let bodies = good.flat_map(|(_, response)| self.resolve(response)["content"].as_object().into_iter().flatten());
        bodies.flat_map(|(_, body)| self.properties(&body["schema"])).collect()
    }

    /// The parameters of the query, without the frame of `filter[…]`.
    fn query(&self, operation: &Value) -> BTreeMap<String, Value> {
        let all = operation["parameters"].as_array().into_iter().flatten().map(|parameter| self.resolve(parameter));
        let query = all.filter(|parameter| parameter["in"] == "query");
        query.map(|parameter| (parameter["name"].as_str().unwrap().to_owned(), parameter["schema"].clone())).collect()
    }
}

/// Every resource of the API, with its layer.
fn resources() -> impl Iterator<Item = (Layer, &'static Resource)> {
    let central = crate::central_resources().map(|resource| (Layer::Central, resource));
    let workspace = workspace::resources().map(|resource| (Layer::Workspace, resource));
    central.chain(workspace).filter(|(_, resource)| resource.audience == Audience::Programs)
}

fn documents() -> impl Fn(Layer) -> &'static Document {
    let (central, workspace) = (Document::of(Layer::Central), Document::of(Layer::Workspace));
    let (central, workspace): (&'static Document, &'static Document) =
        (Box::leak(Box::new(central)), Box::leak(Box::new(workspace)));
    move |layer| if layer == Layer::Central { central } else { workspace }
}

fn is_said(label: Label) -> bool {
    !label.english.trim().is_empty() && !label.french.trim().is_empty()
}

/// The related records that a view names: on its page, and before a deletion or another action.
pub fn related(view: &ResourceView) -> impl Iterator<Item = &'static Related> + use<> {
    let affected = view.buttons.iter().flat_map(|button| button.affected);
    view.related.iter().chain(view.affected_by_delete).chain(affected)
}

#[test]
fn every_field_of_requests_responses_and_filters_has_a_label_in_both_languages() {
    let document = documents();
    let mut missing = BTreeSet::new();
    for (layer, resource) in resources().filter(|(_, own)| !WITHOUT_LABELS.iter().any(|(name, _)| *name == own.name)) {
        let document = document(layer);
        let hidden =
            |field: &str| resource.view.widgets.contains(&(Box::leak(field.to_owned().into()), Widget::Hidden));
        for route in resource.routes {
            let operation = document.operation(route.method.as_str(), route.path).unwrap();
            let mut names: BTreeSet<String> = document.request(operation).into_keys().collect();
            names.extend(document.response(operation).into_keys());
            names.extend(document.query(operation).into_keys().map(|name| {
                let inner = name.strip_prefix("filter[").and_then(|rest| rest.split([']', '.']).next());
                inner.unwrap_or(&name).split('[').next().unwrap().to_owned()
            }));
            for name in names.iter().filter(|name| !FRAME.contains(&name.as_str()) && !hidden(name)) {
                let label = resource.label_of(name);
                if !label.is_some_and(|label| is_said(label) && label.english != name) {
                    missing.insert(format!("{}: {name} ({} {})", resource.name, route.method, route.path));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The path of the list of a view, and of its records.
fn collection(resource: &Resource) -> Option<&'static str> {
    let is_list = |path: &str| !path.ends_with('}') && !path.ends_with("/export") && !path.ends_with("/lookup");
    resource.routes.iter().find(|route| route.method == "GET" && is_list(route.path)).map(|route| route.path)
}

/// The fields of the records, and those of the bodies that create and change them.
fn fields_of(document: &Document, resource: &Resource) -> (Properties, Properties) {
    let (mut rows, mut bodies) = (Properties::new(), Properties::new());
    let list = collection(resource);
    for route in resource.routes {
        let operation = document.operation(route.method.as_str(), route.path).unwrap();
        let is_record = list.is_some_and(|list| {
            route.path == list
                || route.path.strip_prefix(list).is_some_and(|rest| rest.starts_with("/{") && rest.ends_with('}'))
        });
        match route.method.as_str() {
            "GET" if is_record => rows.extend(document.response(operation)),
            "POST" if is_record => bodies.extend(document.request(operation)),
            // A person changes their own account without its id.
            "PUT" => bodies.extend(document.request(operation)),
            _ => {}
        }
    }
    (rows, bodies)
}

#[test]
fn every_field_of_a_resource_with_groups_is_in_one_group_or_hidden() {
    let document = documents();
    let mut wrong = BTreeSet::new();
    for (layer, resource) in resources().filter(|(_, resource)| !resource.view.groups.is_empty()) {
        let (rows, bodies) = fields_of(document(layer), resource);
        let known: BTreeSet<&String> = rows.keys().chain(bodies.keys()).collect();
        let grouped: Vec<&str> = resource.view.groups.iter().flat_map(|group| group.fields).copied().collect();
        for name in known.iter().filter(|name| !OF_THE_RECORD.contains(&name.as_str())) {
            let places = grouped.iter().filter(|field| **field == name.as_str()).count();
            let hidden =
                resource.view.widgets.iter().any(|(field, widget)| field == *name && *widget == Widget::Hidden);
            if places + usize::from(hidden) != 1 {
                wrong.insert(format!("{}: {name} is in {places} groups, hidden: {hidden}", resource.name));
            }
        }
        for field in grouped.iter().filter(|field| !known.iter().any(|name| name == *field)) {
            wrong.insert(format!("{}: no field {field}", resource.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The path with its parameters as the description names them.
fn has_list(document: &Document, path: &str) -> bool {
    document.operation("GET", path).is_some()
}

/// Whether the list has the filter, or the parameter, and takes the value.
fn takes(document: &Document, path: &str, pair: &str) -> bool {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let Some(operation) = document.operation("GET", path) else { return false };
    let query = document.query(operation);
    let Some(schema) = query.get(name) else { return false };
    let choices = document.resolve(schema)["enum"].as_array();
    value.is_empty() || value == "{today}" || choices.is_none_or(|choices| choices.iter().any(|one| one == value))
}

#[test]
fn what_a_view_names_exists() {
    let document = documents();
    let router = crate::router().unwrap();
    let mut wrong = BTreeSet::new();
    for (layer, resource) in resources() {
        let (document, view, name) = (document(layer), &resource.view, resource.name);
        let (rows, _) = fields_of(document, resource);
        let mut fields: BTreeSet<String> = rows.keys().cloned().collect();
        for route in resource.routes {
            let operation = document.operation(route.method.as_str(), route.path).unwrap();
            fields.extend(document.request(operation).into_keys());
            fields.extend(document.response(operation).into_keys());
        }
        let mut expect = |holds: bool, text: String| {
            if !holds {
                wrong.insert(format!("{name}: {text}"));
            }
        };
        for field in view.title.iter().chain(view.columns) {
            expect(rows.contains_key(*field), format!("no row has {field}"));
        }
        for field in view.widgets.iter().map(|(field, _)| field).chain(view.help.iter().map(|(field, _)| field)) {
            expect(fields.contains(*field), format!("no field {field}"));
        }
        expect(view.secret.is_none_or(|field| fields.contains(field)), "no secret".into());
        for (field, widget) in view.widgets {
            match widget {
                Widget::Link(path) => expect(has_list(document, path), format!("{field}: no list {path}")),
                Widget::LinkBy(by, lists) => {
                    expect(fields.contains(*by), format!("{field}: no field {by}"));
                    let choices = rows.get(*by).map(|schema| document.resolve(schema)["enum"].clone());
                    for (value, path) in *lists {
                        let known = choices.as_ref().and_then(Value::as_array);
                        expect(
                            known.is_none_or(|known| known.iter().any(|one| one == value)),
                            format!("{by}: {value}"),
                        );
                        expect(has_list(document, path), format!("{field}: no list {path}"));
                    }
                }
                _ => {}
            }
        }
        let list = collection(resource).unwrap_or_default();
        for filter in view.quick_filters {
            for pair in filter.query.split('&') {
                expect(takes(document, list, pair), format!("no filter {pair}"));
            }
        }
        for related in related(view) {
            expect(has_list(document, related.path), format!("no list {}", related.path));
            let page = match related.path.strip_prefix("/smart-routings") {
                Some(rest) => format!("/ui/routing/{{account}}{rest}"),
                None => format!("/ui{}", related.path),
            };
            let has_page = router.route(layer, &Method::GET, &page).is_some();
            expect(has_page, format!("the console has no list {}", related.path));
            let filter = match related.filter {
                "" | "customer_account" => related.filter.to_owned(),
                filter => format!("filter[{filter}]"),
            };
            expect(filter.is_empty() == related.path.contains("{id}"), format!("{} and {filter}", related.path));
            for pair in related.fixed_query.split('&').chain([filter.as_str()]).filter(|pair| !pair.is_empty()) {
                expect(takes(document, related.path, pair), format!("{} has no {pair}", related.path));
            }
        }
        for shortcut in view.shortcuts {
            let target = document.operation("POST", shortcut.path);
            let known = target.map(|operation| document.request(operation)).unwrap_or_default();
            for (name, field) in shortcut.fields {
                expect(known.contains_key(*name), format!("{} has no {name}", shortcut.path));
                expect(rows.contains_key(*field), format!("no row has {field}"));
            }
            for (field, _) in shortcut.only_if {
                expect(rows.contains_key(*field), format!("no row has {field}"));
            }
        }
        for link in view.record_links {
            let path = link.page.replace("{id}", "1").replace("{account}", "A");
            expect(router.find(layer, &path).is_some(), format!("no page {}", link.page));
            for (field, _) in link.only_if {
                expect(rows.contains_key(*field), format!("no row has {field}"));
            }
        }
        for button in view.buttons {
            let ends = format!("/{}", button.verb);
            let is_route = resource.routes.iter().any(|route| route.method == "POST" && route.path.ends_with(&ends));
            expect(is_route, format!("no route {}", button.verb));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_view_has_all_its_words_in_both_languages() {
    for (_, resource) in resources().filter(|(_, resource)| !resource.view.columns.is_empty()) {
        let view = &resource.view;
        let groups = view.groups.iter().map(|group| group.label);
        let help = view.help.iter().map(|(_, text)| *text);
        let filters = view.quick_filters.iter().map(|filter| filter.label);
        let related = related(view).map(|related| related.label);
        let buttons = view.buttons.iter().flat_map(|button| [button.label, button.about]);
        let own = [view.purpose, view.singular];
        let shortcuts = view.shortcuts.iter().map(|shortcut| shortcut.label);
        let links = view.record_links.iter().map(|link| link.label);
        for label in
            groups.chain(help).chain(shortcuts).chain(links).chain(filters).chain(related).chain(buttons).chain(own)
        {
            assert!(is_said(label), "{}: {label:?}", resource.name);
        }
        assert!((1..=7).contains(&view.columns.len()), "{}", resource.name);
        assert!(!view.title.is_empty(), "{}", resource.name);
    }
}

#[test]
fn every_resource_with_a_list_has_a_view_and_every_other_action_a_button() {
    for (_, resource) in resources() {
        let list = collection(resource).filter(|path| {
            ![path.contains("second-factor"), path.ends_with("/identity-provider"), *path == "/whoami"].contains(&true)
        });
        let single = [
            "/settings",
            "/account/identities",
            "/instance",
            "/instance/backups",
            "/instance/findings",
            "/instance/figures",
        ];
        let is_list = list.is_some_and(|path| !single.contains(&path))
            && !["OAuth", "Imports", "Events"].contains(&resource.name);
        let is_lookup =
            (resource.name.ends_with("look-up") || resource.name == "Search") && resource.view.columns.is_empty();
        let is_one_file = resource.name == "Workspace files";
        assert!(!is_list || is_lookup || is_one_file || !resource.view.columns.is_empty(), "{}", resource.name);
        for route in resource.routes.iter().filter(|route| route.method == "POST" && !resource.view.columns.is_empty())
        {
            let (_, verb) = route.path.rsplit_once('/').unwrap();
            let is_new = resource.routes.iter().any(|other| other.method == "GET" && other.path == route.path);
            let has_button = resource.view.buttons.iter().any(|button| button.verb == verb)
                || WITHOUT_BUTTON.iter().any(|(name, _)| *name == verb);
            let is_of_a_pbx = route.path.starts_with("/crm/");
            assert!(is_new || has_button || is_of_a_pbx, "{} {}", route.method, route.path);
        }
    }
}

//! The collections of the console: which records there are, and which routes list, show and change them. Everything is
//! derived from the resources of a layer and from the description of their routes.

use std::sync::LazyLock;

use http::Method;
use serde_json::Value;

use super::schema::{self, FieldSpec, FieldType};
use crate::api::field::Label;
use crate::api::openapi::{self, resolve};
use crate::api::resource::Resource;
use crate::api::resource_view::Related;
use crate::api::{Audience, Layer, Route, Router};
use crate::values::PublicUrl;

/// Records of one kind, or a single record, such as the settings.
pub struct Collection {
    pub resource: Resource,
    /// The path of the list in the API. `{id}` stands for a value.
    pub path: &'static str,
    /// The path of the list in the console.
    pub page: &'static str,
    /// Whether each request names a customer. The path of the page then contains the customer's account.
    pub names_customer: bool,
    pub list: Option<&'static Route>,
    pub show: Option<&'static Route>,
    pub create: Option<&'static Route>,
    pub update: Option<&'static Route>,
    pub remove: Option<&'static Route>,
    pub remove_many: Option<&'static Route>,
    pub export: Option<&'static Route>,
    pub import: Option<&'static Route>,
    pub actions: Vec<Action>,
    /// The fields of a record.
    pub record: Vec<FieldSpec>,
    /// The fields of a form for a new record.
    pub creation: Vec<FieldSpec>,
    /// The fields of a form for changes.
    pub change: Vec<FieldSpec>,
    /// The options of a deletion.
    pub deletion: Vec<FieldSpec>,
    pub filters: Vec<Filter>,
    pub sorts: Vec<String>,
    /// Whether the list has pages. Otherwise it is one short array.
    pub has_pages: bool,
}

/// A route that does something else than to create, change or delete: `POST {path}/{id}/{verb}`.
pub struct Action {
    pub route: &'static Route,
    pub verb: &'static str,
    /// Whether the path names a record.
    pub is_of_record: bool,
    /// Whether the list runs it for all records of a filter.
    pub is_for_many: bool,
    pub label: Label,
    pub about: Label,
    /// Rows that it moves, changes or deletes together with the record.
    pub affected: &'static [Related],
    /// The values of a record for which it is shown.
    pub only_if: &'static [(&'static str, &'static str)],
    pub fields: Vec<FieldSpec>,
}

/// A filter of a list.
pub struct Filter {
    /// The name in the query: `filter[name]`.
    pub parameter: String,
    pub field: String,
    pub label: Label,
    pub kind: FilterInput,
}

/// The input of a filter.
#[derive(Debug, PartialEq)]
pub enum FilterInput {
    Text,
    Number,
    Flag,
    Choice(Vec<String>),
    /// From one day to another.
    Days,
}

impl Collection {
    /// The number of values in the path before the id of a record, without the customer's account.
    pub fn parents(&self) -> usize {
        self.path.matches('{').count()
    }

    /// Whether a record may not be changed or deleted.
    pub fn is_fixed(&self, record: &Value) -> bool {
        self.resource.view.fixed_if.is_some_and(|field| record[field] == true)
    }

    /// Whether there is only one record.
    pub fn is_single(&self) -> bool {
        self.list.is_none()
    }

    /// The path of a page, with the values of its path filled in.
    pub fn page_of(&self, values: &[String]) -> String {
        fill(self.page, values)
    }

    pub fn field(&self, name: &str) -> Option<&FieldSpec> {
        self.record.iter().find(|field| field.name == name)
    }

    /// The label of a field of any form of the collection.
    pub fn label_of(&self, name: &str) -> Option<Label> {
        let actions = self.actions.iter().flat_map(|action| &action.fields);
        let mut all = self.creation.iter().chain(&self.change).chain(&self.record).chain(actions);
        all.find(|field| field.name == name).map(|field| field.label)
    }

    /// The names of the fields that name a record.
    pub fn title_fields(&self) -> Vec<&str> {
        if !self.resource.view.title.is_empty() {
            return self.resource.view.title.to_vec();
        }
        let is_name = |field: &&FieldSpec| field.kind == FieldType::Text && !field.is_read_only;
        self.record.iter().find(is_name).map(|field| field.name.as_str()).into_iter().collect()
    }

    /// The columns of the list.
    pub fn columns(&self) -> Vec<&FieldSpec> {
        let named = self.resource.view.columns;
        if !named.is_empty() {
            return named.iter().filter_map(|name| self.field(name)).collect();
        }
        let is_shown = |field: &&FieldSpec| field.name != "id" && field.kind != FieldType::Object;
        self.record.iter().filter(is_shown).take(6).collect()
    }

    /// The filter behind the search box.
    pub fn search(&self) -> Option<&Filter> {
        let first = self.title_fields().first().map(|name| (*name).to_owned());
        let by = |name: &str| self.filters.iter().find(|filter| filter.field == name);
        by("term").or_else(|| first.and_then(|name| by(&name)).filter(|filter| filter.kind == FilterInput::Text))
    }
}

/// Fills values into a path.
pub fn fill(path: &str, values: &[String]) -> String {
    let mut values = values.iter();
    let segments = path.split('/').map(|segment| match segment.starts_with('{') {
        true => values.next().map_or_else(String::new, |value| super::encode(value)),
        false => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

/// What the description of a layer says.
struct Catalog {
    collections: Vec<Collection>,
    /// For each route that changes something, a collection with the fields of its body alone.
    forms: Vec<Collection>,
}

fn catalog(layer: Layer) -> &'static Catalog {
    static CENTRAL: LazyLock<Catalog> = LazyLock::new(|| {
        let resources: Vec<Resource> = crate::central_resources().copied().collect();
        Catalog::read(Layer::Central, &resources)
    });
    static WORKSPACE: LazyLock<Catalog> = LazyLock::new(|| {
        let resources: Vec<Resource> = crate::workspace::resources().copied().collect();
        Catalog::read(Layer::Workspace, &resources)
    });
    match layer {
        Layer::Central => &CENTRAL,
        Layer::Workspace => &WORKSPACE,
    }
}

/// The collections of a layer.
pub fn collections(layer: Layer) -> &'static [Collection] {
    &catalog(layer).collections
}

/// The collection with this path in the API.
pub fn collection(layer: Layer, path: &str) -> Option<&'static Collection> {
    collections(layer).iter().find(|collection| collection.path == path)
}

/// The form of a route of the central API: a collection with the fields of the route's body alone.
pub fn central_form(method: &str, path: &str) -> Option<&'static Collection> {
    let is_own = |route: &Route| route.method == method && route.path == path;
    catalog(Layer::Central).forms.iter().find(|form| form.create.is_some_and(is_own))
}

impl Catalog {
    fn read(layer: Layer, resources: &[Resource]) -> Self {
        let router = match layer {
            Layer::Central => Router::new(resources, &[]),
            Layer::Workspace => Router::new(&[], resources),
        };
        let Ok(router) = router else { return Self { collections: Vec::new(), forms: Vec::new() } };
        let document = openapi::document(&router, layer, &PublicUrl::new("http", "localhost", 80));
        let programs = || resources.iter().filter(|resource| resource.audience == Audience::Programs);
        let mut collections: Vec<Collection> =
            programs().flat_map(|resource| of_resource(layer, resource, &document)).collect();
        collections.sort_by_key(|collection| collection.resource.section);
        // Only the central host has forms of single routes.
        let with_forms = programs().filter(|_| layer == Layer::Central);
        let routes = with_forms.flat_map(|resource| resource.routes.iter().map(move |route| (resource, route)));
        let form = |(resource, route): (&Resource, &'static Route)| Collection {
            create: Some(route),
            creation: body_fields(resource, &document, route),
            ..Collection::read(resource, &document, route.path, &Value::Null)
        };
        let forms = routes.filter(|(_, route)| route.method != Method::GET).map(form).collect();
        Self { collections, forms }
    }
}

/// The collections of a resource. Its lists come first, then single records.
fn of_resource(layer: Layer, resource: &Resource, document: &Value) -> Vec<Collection> {
    let route =
        |method: Method, path: &str| resource.routes.iter().find(|route| route.method == method && route.path == path);
    let mut found = Vec::new();
    for list in resource.routes.iter().filter(|route| route.method == Method::GET) {
        let operation = &document["paths"][list.path]["get"];
        let shape = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let Some((item, has_pages)) = list_item(document, shape) else { continue };
        if list.path.ends_with("/export")
            || super::reasons_without_page(layer, &Method::GET, list.path).next().is_some()
        {
            continue;
        }
        let one = resource.routes.iter().find(|route| {
            let rest = route.path.strip_prefix(list.path).and_then(|rest| rest.strip_prefix("/{"));
            rest.is_some_and(|rest| !rest.contains('/'))
        });
        let one = one.map_or("", |route| route.path);
        found.push(Collection {
            show: route(Method::GET, one),
            update: route(Method::PUT, one),
            // A deletion that is confirmed in its body has a page by hand.
            remove: route(Method::DELETE, one).filter(|route| body_fields(resource, document, route).is_empty()),
            remove_many: route(Method::DELETE, &format!("{}/bulk", list.path)),
            export: route(Method::GET, &format!("{}/export", list.path)),
            import: route(Method::POST, &format!("{}/import", list.path)).filter(|_| resource.files.is_some()),
            create: route(Method::POST, list.path),
            actions: actions(resource, document, list.path, one),
            list: Some(list),
            has_pages,
            ..Collection::read(resource, document, list.path, item)
        });
    }
    for show in resource.routes.iter().filter(|route| route.method == Method::GET && !route.path.contains('{')) {
        if let Some(update) = route(Method::PUT, show.path) {
            let item =
                &document["paths"][show.path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
            let actions = actions(resource, document, show.path, show.path);
            let read = Collection::read(resource, document, show.path, item);
            found.push(Collection { show: Some(show), update: Some(update), actions, ..read });
        }
    }
    for collection in &mut found {
        collection.read_forms(document);
    }
    found
}

/// The schema of an item, if the response is a list, and whether the list has pages.
fn list_item<'d>(document: &'d Value, shape: &'d Value) -> Option<(&'d Value, bool)> {
    let shape = resolve(document, shape);
    if shape["type"] == "array" {
        return Some((&shape["items"], false));
    }
    let page = resolve(document, shape["anyOf"].get(0)?);
    Some((page["properties"]["data"].get("items")?, true))
}

fn actions(resource: &Resource, document: &Value, list: &str, one: &str) -> Vec<Action> {
    let is_one = |route: &&'static Route| route.method == Method::POST;
    let routes = resource.routes.iter().filter(is_one);
    let named = routes.filter_map(|route| {
        let (parent, verb) = route.path.rsplit_once('/')?;
        let is_of_record = !one.is_empty() && parent == one && one != list;
        ((is_of_record || parent == list) && !["import", "bulk", "replace"].contains(&verb) && !verb.starts_with('{'))
            .then_some((route, verb, is_of_record))
    });
    let made = named.map(|(route, verb, is_of_record)| {
        let declared = resource.view.buttons.iter().find(|button| button.verb == verb);
        Action {
            route,
            verb,
            is_of_record,
            is_for_many: is_of_record && declared.is_some_and(|button| button.is_for_many),
            label: declared.map_or_else(|| schema::label(resource, &verb.replace('-', " ")), |button| button.label),
            about: declared.map_or(Label { english: "", french: "" }, |button| button.about),
            affected: declared.map_or(&[], |button| button.affected),
            only_if: declared.map_or(&[], |button| button.only_if),
            fields: request_fields(resource, document, route),
        }
    });
    made.collect()
}

/// The fields of a request's body.
fn body_fields(resource: &Resource, document: &Value, route: &Route) -> Vec<FieldSpec> {
    let body = &operation(document, route)["requestBody"];
    let schema = &resolve(document, body)["content"]["application/json"]["schema"];
    schema::fields(document, schema, resource)
}

/// The fields of a request: those of its body and those of its query.
fn request_fields(resource: &Resource, document: &Value, route: &Route) -> Vec<FieldSpec> {
    let mut fields = body_fields(resource, document, route);
    for option in schema::query_fields(document, operation(document, route), resource) {
        match fields.iter_mut().find(|field| field.name == option.name) {
            // The request takes it in either place.
            Some(field) => field.is_required |= option.is_required,
            None => fields.push(option),
        }
    }
    fields
}

fn operation<'d>(document: &'d Value, route: &Route) -> &'d Value {
    &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()]
}

impl Collection {
    fn read(resource: &Resource, document: &Value, path: &'static str, item: &Value) -> Self {
        let empty = Vec::new();
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap_or(&empty);
        let parameters: Vec<&Value> = parameters.iter().map(|parameter| resolve(document, parameter)).collect();
        let is_given = parameters.iter().any(|parameter| parameter["name"] == "customer_account");
        let routing = path.strip_prefix("/smart-routings").filter(|_| is_given);
        let page = match routing {
            Some(rest) => format!("/ui/routing/{{account}}{rest}"),
            None => format!("/ui{path}"),
        };
        let filters: Vec<Filter> = parameters.iter().filter_map(|parameter| filter(resource, parameter)).collect();
        let mut record = schema::fields(document, item, resource);
        // The schema of a response may not list the values of a choice. Its filter does.
        for field in record.iter_mut().filter(|field| field.kind == FieldType::Text) {
            let choices = filters.iter().find(|filter| filter.field == field.name).map(|filter| &filter.kind);
            if let Some(FilterInput::Choice(choices)) = choices {
                field.kind = FieldType::Choice(choices.clone());
            }
        }
        // The pattern of `sort` is `^-?(a|b)(,-?(a|b))*$`, in one more pair of brackets.
        let sorts = parameters.iter().find(|parameter| parameter["name"] == "sort");
        let pattern = sorts.and_then(|sort| sort["schema"]["pattern"].as_str()).unwrap_or_default();
        let sorts = pattern.split_once('(').and_then(|(_, rest)| rest.split_once('(')).map(|(_, rest)| rest);
        let sorts = sorts.and_then(|rest| rest.split(')').next()).unwrap_or_default();
        Self {
            resource: *resource,
            path,
            page: Box::leak(page.into_boxed_str()),
            names_customer: routing.is_some(),
            list: None,
            show: None,
            create: None,
            update: None,
            remove: None,
            remove_many: None,
            export: None,
            import: None,
            actions: Vec::new(),
            record,
            creation: Vec::new(),
            change: Vec::new(),
            deletion: Vec::new(),
            filters,
            sorts: sorts.split('|').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            has_pages: false,
        }
    }

    /// Reads the forms, and the whole record if a list shows less of it.
    fn read_forms(&mut self, document: &Value) {
        if let Some(show) = self.show {
            let shape =
                &document["paths"][show.path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
            for field in schema::fields(document, shape, &self.resource) {
                if self.field(&field.name).is_none() {
                    self.record.push(field);
                }
            }
        }
        self.creation = self.create.map(|route| request_fields(&self.resource, document, route)).unwrap_or_default();
        // A change has no options: `dry_run` is not a field of the form.
        self.change = self.update.map(|route| body_fields(&self.resource, document, route)).unwrap_or_default();
        self.deletion = self.remove.map(|route| request_fields(&self.resource, document, route)).unwrap_or_default();
    }
}

/// A filter from its parameter. Operators and members belong to the filter of their field.
fn filter(resource: &Resource, parameter: &Value) -> Option<Filter> {
    let name = parameter["name"].as_str()?;
    let field = name.strip_prefix("filter[")?.strip_suffix(']')?;
    if field.contains(['.', ']']) {
        return None;
    }
    let schema = &parameter["schema"];
    let choices = schema::choices(schema);
    let kind = match (schema["type"].as_str(), schema["format"].as_str()) {
        _ if !choices.is_empty() => FilterInput::Choice(choices),
        (Some("boolean"), _) => FilterInput::Flag,
        (Some("integer"), _) => FilterInput::Number,
        (_, Some("date-time")) => FilterInput::Days,
        _ => FilterInput::Text,
    };
    Some(Filter { parameter: name.to_owned(), field: field.to_owned(), label: schema::label(resource, field), kind })
}

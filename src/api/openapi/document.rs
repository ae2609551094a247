//! The OpenAPI document of a layer, from the table of routes.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::components;
use super::operation::{Operation, ParameterIn};
use super::schemas::Schemas;

use crate::api::access::Audience;
use crate::api::access::{Layer, Needs};
use crate::api::resource::Resource;
use crate::api::route::Route;
use crate::api::router::Router;
use crate::api::{disclosure, idempotency};
use crate::executors::Executor;
use crate::values::PublicUrl;

/// The description of one layer, with this public URL.
pub fn document(router: &Router, layer: Layer, url: &PublicUrl) -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    let resources = || router.resources(layer).iter().filter(|resource| resource.audience == Audience::Programs);
    for resource in resources() {
        for route in resource.routes {
            let path = paths.entry(route.path).or_insert_with(|| json!({}));
            path[route.method.as_str().to_ascii_lowercase()] = describe(router, layer, resource, route, &mut schemas);
        }
    }
    let parameters = components::share_parameters(&mut paths);
    let info = json!({
        "title": format!("cx-engine, {} API", layer.name()),
        "version": env!("CARGO_PKG_VERSION"),
        "description": about(layer),
        "contact": {"name": "The operator of this server", "url": url.central()},
        "license": {"name": "MIT", "identifier": "MIT"},
    });
    object([
        ("openapi", json!("3.1.0")),
        ("info", info),
        ("servers", json!([components::server(layer, url)])),
        ("security", json!([{"bearer": []}])),
        ("tags", resources().map(|tag| json!({"name": tag.name, "description": tag.about})).collect()),
        ("paths", paths.into()),
        ("components", components::all(layer, url, schemas.take(), parameters)),
    ])
}

/// An object of these values. `json!` would copy them.
pub(super) fn object<const N: usize>(parts: [(&str, Value); N]) -> Value {
    parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Resolves a reference. Any other value is returned as it is.
pub fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let path = value["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
    path.and_then(|path| document.pointer(path)).unwrap_or(value)
}

fn about(layer: Layer) -> &'static str {
    match layer {
        Layer::Central => {
            "Accounts, workspaces, invitations and tokens, on the central host. Send a token of the central API as \
             `Authorization: Bearer …`. `POST /switch-to` gives a token for a workspace."
        }
        Layer::Workspace => {
            "Everything inside one workspace, on the workspace's host. Send a token of this workspace, or an integration \
             key, as `Authorization: Bearer …`."
        }
    }
}

impl Operation<'_> {
    /// Adds the conditional headers of a route that shows, changes or deletes a resource.
    fn conditions(&mut self, route: &Route, shows: Option<&Route>) {
        let tag = r#"(W/)?"[!#-~]*""#;
        let pattern = format!("^(\\*|{tag}(, ?{tag})*)$");
        let tags = json!({"type": "string", "pattern": pattern, "examples": ["\"5d41402abc4b2a76\""]});
        let resource = route.handler.resource();
        if route.method == Method::GET && resource.is_some() {
            let about = "ETag of a response that you have, or several. If one is still current, the response is 304.";
            self.parameter(ParameterIn::Header, "If-None-Match", about, false, tags.clone());
            let about = "ETag of the state that you expect, or several. If the resource has changed since, the response \
                         is 412.";
            self.parameter(ParameterIn::Header, "If-Match", about, false, tags);
            self.error_response(StatusCode::PRECONDITION_FAILED);
            self.responses.insert(
                StatusCode::NOT_MODIFIED.as_str().into(),
                json!({"description": "Not modified. The response that you have is current."}),
            );
            self.with_etag(StatusCode::OK);
            self.with_etag(StatusCode::NOT_MODIFIED);
        } else if let Some(shows) = shows.filter(|_| route.has_preconditions()) {
            let about = match route.changes {
                None => {
                    "ETag from GET of this path, or several. If the resource has changed since, the response is 412 \
                         and nothing is changed."
                }
                Some(_) => {
                    "ETag from GET of the resource with this id, or several. If the resource has changed since, \
                            the response is 412 and nothing is changed."
                }
            };
            self.parameter(ParameterIn::Header, "If-Match", about, false, tags.clone());
            let about =
                "ETags, or `*` for any. If the resource has one of them, the response is 412 and nothing is changed.";
            self.parameter(ParameterIn::Header, "If-None-Match", about, false, tags);
            self.error_response(StatusCode::PRECONDITION_FAILED);
            if route.method == Method::PUT && resource == shows.handler.resource() {
                self.with_etag(StatusCode::CREATED);
            }
        }
    }

    /// Adds `Idempotency-Key` to a route whose requests must not run twice.
    fn idempotency(&mut self, route: &Route) {
        if !idempotency::counts_for(&route.method, route.needs) {
            return;
        }
        let about = "Unique text for each request. A repeat within 24 hours with the same token, path, query \
                     and body does nothing and gets the first response. A rejected request may be sent again with the same \
                     key.";
        let key = json!({
            "type": "string", "minLength": 1, "maxLength": idempotency::LONGEST, "pattern": "^[!-~]+$",
            "examples": ["order-4711"],
        });
        self.parameter(ParameterIn::Header, "Idempotency-Key", about, false, key);
        for (_, response) in &mut self.responses {
            response["headers"]["Idempotency-Replayed"] = json!({"$ref": "#/components/headers/IdempotencyReplayed"});
        }
    }
}

fn describe(router: &Router, layer: Layer, resource: &Resource, route: &Route, schemas: &mut Schemas) -> Value {
    let mut operation = Operation::new(route.path, route.handler.body().types(), schemas);
    route.handler.describe(&mut operation);
    operation.conditions(route, router.show_route(layer, route));
    operation.idempotency(route);
    let Operation { parameters, body, mut responses, refusals: mut statuses, .. } = operation;
    statuses.extend(error_responses(route, layer, body.is_some()));
    statuses.sort();
    for status in statuses {
        responses.insert(status.as_str().into(), components::refusal(status));
    }
    let mut described = object([
        ("operationId", json!(resource.operation_id(route))),
        ("tags", json!([resource.name])),
        ("summary", json!(route.summary)),
        ("description", json!(access(router, layer, route))),
        ("parameters", parameters.into()),
        ("responses", responses.into()),
    ]);
    if let Some(body) = body {
        described["requestBody"] = body;
    }
    if let Some(security) = components::security(layer, route) {
        described["security"] = security;
    }
    described
}

/// The requirement for callers, and the limits of the response.
fn access(router: &Router, layer: Layer, route: &Route) -> String {
    let needs = match route.needs {
        Needs::Permission(name) => format!("Requires the permission `{name}`."),
        Needs::Self_(name) => format!("Requires the permission `{name}`, except for your own user."),
        Needs::OwnOr(name) => format!("Requires the permission `{name}`, except for your own rows."),
        Needs::Scoped(name) => {
            format!(
                "Requires the permission `{name}`. A caller that is bound to a customer reaches that customer's rows."
            )
        }
        Needs::Lookup(name) => format!(
            "Requires the permission `{name}`, or the token of a call flow. A caller that is bound to a customer reaches \
             that customer's rows."
        ),
        Needs::Operator => "For operators of the instance only.".to_owned(),
        Needs::Member => "For members of the workspace only.".to_owned(),
        Needs::Owner => "For the owner of the workspace only.".to_owned(),
        Needs::Principal => "For every user and integration key of the workspace.".to_owned(),
        Needs::Own => "For every user and integration key of the workspace, for their own rows.".to_owned(),
        Needs::SignedIn => "Requires a token.".to_owned(),
        Needs::AnyToken => "Requires a token, of the central API or of a workspace.".to_owned(),
        Needs::Anyone => "Requires no token.".to_owned(),
    };
    match disclosure::needed_to_view(router, layer, route) {
        Some(view) => {
            format!(
                "{needs} Without the permission `{view}`, the response has only the id and the fields that were sent."
            )
        }
        None => needs,
    }
}

/// The errors that a route may return apart from those of its handler.
fn error_responses(route: &Route, layer: Layer, has_body: bool) -> Vec<StatusCode> {
    // 404 also means an unknown host or workspace. 400 also means malformed HTTP.
    let mut statuses = vec![
        StatusCode::BAD_REQUEST,
        StatusCode::NOT_FOUND,
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::SERVICE_UNAVAILABLE,
        // Also for reads: opening a file needs disk space.
        StatusCode::INSUFFICIENT_STORAGE,
    ];
    if route.needs != Needs::Anyone || route.handler.executor() == Executor::Hashing {
        statuses.push(StatusCode::UNAUTHORIZED);
    }
    if route.needs != Needs::Anyone || layer == Layer::Workspace || route.handler.executor() == Executor::Hashing {
        statuses.push(StatusCode::FORBIDDEN);
    }
    if route.method != Method::GET {
        statuses.push(StatusCode::UNPROCESSABLE_ENTITY);
    }
    if has_body {
        statuses.extend([
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ]);
    }
    statuses
}

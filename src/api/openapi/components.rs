//! The parts that all operations share: server, security schemes, errors, headers.

use std::collections::HashMap;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::document::object;
use crate::api::access::{Layer, Needs};
use crate::api::media_type::BodyKind;
use crate::api::route::Route;
use crate::auth::Scopes;
use crate::values::PublicUrl;

/// The base URL of a layer. A workspace's URL has its subdomain as a variable.
pub(super) fn server(layer: Layer, url: &PublicUrl) -> Value {
    match layer {
        Layer::Central => json!({"url": format!("{}/api", url.central()), "description": "The central host."}),
        Layer::Workspace => json!({
            "url": format!("{}/api", url.workspace("{workspace}")),
            "description": "A workspace's own host. `workspace` is its subdomain.",
            "variables": {"workspace": {"default": "acme"}},
        }),
    }
}

pub(super) fn all(
    layer: Layer,
    url: &PublicUrl,
    mut schemas: Map<String, Value>,
    parameters: Map<String, Value>,
) -> Value {
    schemas.insert("ApiError".into(), error_schema());
    schemas.insert("InvalidRequest".into(), invalid_schema());
    let mut responses: Map<String, Value> =
        REFUSALS.iter().map(|refusal| (refusal.key.to_owned(), refusal.response())).collect();
    responses.insert(FAILURE.into(), failure_response());
    let headers = json!({
        "ETag": {"description": "Names this state of the resource.", "schema": {"type": "string"}},
        "IdempotencyReplayed": {
            "description": "`true` if this is the response to an earlier request.", "schema": {"type": "string"},
        },
    });
    object([
        ("schemas", schemas.into()),
        ("parameters", parameters.into()),
        ("headers", headers),
        ("responses", responses.into()),
        ("securitySchemes", security_schemes(layer, url)),
    ])
}

fn security_schemes(layer: Layer, url: &PublicUrl) -> Value {
    let bearer = json!({
        "type": "http", "scheme": "bearer", "bearerFormat": "PASETO v4.local",
        "description": "A token, or in a workspace an integration key.",
    });
    if layer == Layer::Central {
        return json!({"bearer": bearer});
    }
    let host = url.workspace("acme");
    let scopes: Map<String, Value> =
        Scopes::descriptions().map(|(name, description)| (name, description.into())).collect();
    let flow = |also: Value| {
        let mut flow = json!({
            "tokenUrl": format!("{host}/api/oauth/token"), "refreshUrl": format!("{host}/api/oauth/token"), "scopes": scopes,
        });
        flow.as_object_mut().expect("an object").extend(also.as_object().cloned().into_iter().flatten());
        flow
    };
    json!({
        "bearer": bearer,
        "oauth2": {
            "type": "oauth2",
            "description": "OAuth 2.0, for programs that act for a user or for themselves. Replace the workspace `acme` with \
                            your own.",
            "flows": {
                "authorizationCode": flow(json!({"authorizationUrl": format!("{host}/oauth/authorize")})),
                "clientCredentials": flow(json!({})),
            },
        },
        "basic": {
            "type": "http", "scheme": "basic",
            "description": "The id and the secret of an OAuth client (RFC 6749, section 2.3.1).",
        },
    })
}

/// How a caller signs in for a route, if a token is not the only way.
pub(super) fn security(layer: Layer, route: &Route) -> Option<Value> {
    match (route.needs, layer) {
        // A client may also send its secret in the body, or have none.
        (Needs::Anyone, _) if route.handler.body() == BodyKind::OAuthForm => Some(json!([{"basic": []}, {}])),
        (Needs::Anyone, _) => Some(json!([])),
        (needs, Layer::Workspace) => {
            let scopes: Vec<&str> = needs.permission().into_iter().filter(|name| *name != "*").collect();
            Some(json!([{"bearer": []}, {"oauth2": scopes}]))
        }
        (_, Layer::Central) => None,
    }
}

struct FailureSchema {
    status: StatusCode,
    key: &'static str,
    about: &'static str,
}

const REFUSALS: &[FailureSchema] = &[
    FailureSchema {
        status: StatusCode::BAD_REQUEST,
        key: "BadRequest",
        about: "The request is malformed, or a parameter is invalid.",
    },
    FailureSchema {
        status: StatusCode::UNAUTHORIZED,
        key: "Unauthorized",
        about: "The token is missing, invalid, expired or revoked; or the credentials are wrong.",
    },
    FailureSchema { status: StatusCode::FORBIDDEN, key: "Forbidden", about: "The caller lacks the permission." },
    FailureSchema {
        status: StatusCode::NOT_FOUND,
        key: "NotFound",
        about: "The resource, workspace or host does not exist.",
    },
    FailureSchema {
        status: StatusCode::REQUEST_TIMEOUT,
        key: "RequestTimeout",
        about: "The body did not arrive in time.",
    },
    FailureSchema {
        status: StatusCode::PRECONDITION_FAILED,
        key: "PreconditionFailed",
        about: "The resource is not in the state that `If-Match` or `If-None-Match` names.",
    },
    FailureSchema { status: StatusCode::PAYLOAD_TOO_LARGE, key: "PayloadTooLarge", about: "The body is too large." },
    FailureSchema {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        key: "UnsupportedMediaType",
        about: "The body has a media type that the operation does not read.",
    },
    FailureSchema {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        key: "UnprocessableEntity",
        about: "The request is valid, but the current state forbids it.",
    },
    FailureSchema {
        status: StatusCode::TOO_MANY_REQUESTS,
        key: "TooManyRequests",
        about: "Retry after `Retry-After` seconds.",
    },
];

impl FailureSchema {
    fn response(&self) -> Value {
        if self.status == StatusCode::BAD_REQUEST {
            let invalid = json!({"$ref": "#/components/schemas/InvalidRequest"});
            response(self.about, json!({"oneOf": [invalid, error()]}))
        } else {
            response(self.about, error())
        }
    }
}

fn response(description: &str, schema: Value) -> Value {
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

fn error() -> Value {
    json!({"$ref": "#/components/schemas/ApiError"})
}

/// The response for an error with this status.
pub(super) fn refusal(status: StatusCode) -> Value {
    let key = match REFUSALS.iter().find(|refusal| refusal.status == status) {
        Some(refusal) => refusal.key,
        None if status.is_server_error() => FAILURE,
        None => panic!("the status {status} is described nowhere"),
    };
    json!({"$ref": format!("#/components/responses/{key}")})
}

const FAILURE: &str = "ServerError";

fn failure_response() -> Value {
    let about = "500: the server failed. 503: it is overloaded or shutting down; nothing was changed. Retry after `Retry-After` \
                 seconds. 504: the store of the server has not responded, and the change may be done or not; read the \
                 resource, or repeat the request with the same `Idempotency-Key`. 507: its disk is full.";
    response(about, error())
}

/// Moves each parameter that several operations share to `components` and refers to it.
pub(super) fn share_parameters(paths: &mut Map<String, Value>) -> Map<String, Value> {
    let operations = paths.values_mut().flat_map(|path| path.as_object_mut().into_iter().flat_map(Map::values_mut));
    let parameters = operations.flat_map(|operation| operation["parameters"].as_array_mut().into_iter().flatten());
    // Equal parameters, in the order of the first ones.
    let mut groups: Vec<Vec<&mut Value>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for parameter in parameters {
        let place = *known.entry(parameter.to_string()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(parameter),
            None => groups.push(vec![parameter]),
        }
    }
    let mut shared = Map::new();
    for group in groups.into_iter().filter(|group| group.len() > 1) {
        let name = component_name(group[0]["name"].as_str().unwrap_or_default());
        let mut numbered = (1..).map(|n| if n == 1 { name.clone() } else { format!("{name}{n}") });
        let key = numbered.find(|key| !shared.contains_key(key)).unwrap_or_default();
        let reference = json!({"$ref": format!("#/components/parameters/{key}")});
        for parameter in group {
            let described = std::mem::replace(parameter, reference.clone());
            shared.entry(&key).or_insert(described);
        }
    }
    shared.sort_keys();
    shared
}

/// `filter[created_at][gte]` becomes `FilterCreatedAtGte`.
fn component_name(parameter: &str) -> String {
    let words = parameter.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

fn error_schema() -> Value {
    json!({
        "type": "object", "required": ["message", "error"],
        "description": "An error.",
        "properties": {
            "message": {
                "type": "string", "description": "A sentence for people.", "examples": ["The resource does not exist."],
            },
            "error": {"type": "string", "description": "A code for programs.", "examples": ["not_found"]},
            "hint": {
                "type": "array", "items": {"type": "string"}, "description": "One sentence for each invalid field.",
            },
        },
    })
}

fn invalid_schema() -> Value {
    json!({
        "type": "object", "required": ["response", "hint"],
        "description": "One or more invalid parameters.",
        "properties": {
            "response": {
                "type": "string", "description": "Always the same sentence.",
                "examples": ["bad request: please check body parameters."],
            },
            "hint": {
                "type": "array", "items": {"type": "string"}, "description": "One sentence for each problem.",
                "examples": [["The name field is required."]],
            },
            "count": {
                "type": "integer", "description": "In an import: the number of bad rows. The first 100 have a hint.",
            },
        },
    })
}

//! Fuzzes the body of every route that takes one: a valid body with other values in its documented fields, with foreign
//! fields, and with corrupted text.

use std::cell::RefCell;
use std::collections::HashMap;

use http::Method;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::odd_inputs::{self, Slip};
use super::{WatchedServer, each};
use crate::api::{Layer, Route, openapi};
use crate::tests::every_route::{Sample, is_console, owner, sample};
use crate::tests::{description, router};

/// The changes to the valid body of a route.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct BodyCase {
    layer: String,
    method: String,
    path: String,
    /// Fields and their new values.
    fields: Vec<(String, Value)>,
    slips: Vec<Slip>,
}

/// Fields that no client may set.
pub const FOREIGN: &[&str] = &[
    "id",
    "created_at",
    "updated_at",
    "customer_id",
    "user_id",
    "owner",
    "role",
    "operator",
    "secret",
    "__proto__",
    "",
];

/// After this number of requests, start again with a fresh server.
const WORN: usize = 500;

struct Stage {
    world: WatchedServer,
    samples: HashMap<(String, String, String), Sample>,
    asked: usize,
}

/// Each route that takes a body, with the names of its fields. `console_forms.rs` has the forms of the console.
pub fn routes() -> Vec<(Layer, &'static Route, Vec<String>)> {
    let router = router();
    let mut found = Vec::new();
    for layer in [Layer::Central, Layer::Workspace] {
        let document = description(layer);
        for route in router.routes(layer).filter(|route| !is_console(layer, route)) {
            let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let mut fields: Vec<String> = FOREIGN.iter().map(|&name| name.to_owned()).collect();
            collect(&document, body, &mut fields);
            if route.method != Method::GET {
                found.push((layer, route, fields));
            }
        }
    }
    found
}

/// Collects the names of all fields in a schema.
fn collect(document: &Value, schema: &Value, into: &mut Vec<String>) {
    match openapi::resolve(document, schema) {
        Value::Object(parts) => {
            for (name, part) in parts {
                if let ("properties", Value::Object(fields)) = (name.as_str(), part) {
                    into.extend(fields.keys().cloned());
                }
                collect(document, part, into);
            }
        }
        Value::Array(parts) => parts.iter().for_each(|part| collect(document, part, into)),
        _ => {}
    }
}

fn cases() -> impl Strategy<Value = BodyCase> {
    let routes = routes();
    (0..routes.len()).prop_flat_map(move |which| {
        let (layer, route, names) = routes[which].clone();
        let fields = vec((select(names), odd_inputs::value()), 0..5);
        let slips = prop_oneof![3 => Just(Vec::new()), 1 => vec(odd_inputs::slip(), 1..4)];
        (fields, slips).prop_map(move |(fields, slips)| BodyCase {
            layer: layer.name().to_owned(),
            method: route.method.to_string(),
            path: route.path.to_owned(),
            fields,
            slips,
        })
    })
}

/// The first object in a body. It has the body's fields.
pub fn innermost(body: &mut Value) -> Option<&mut Map<String, Value>> {
    match body {
        Value::Object(fields) => Some(fields),
        Value::Array(items) => items.first_mut().and_then(innermost),
        _ => None,
    }
}

#[test]
fn a_body_is_taken_or_refused_and_what_is_refused_changes_nothing() {
    let fresh = || Stage { world: WatchedServer::new(), samples: HashMap::new(), asked: 0 };
    let stage = RefCell::new(fresh());
    let routes = routes();
    each("bodies", cases(), |case| {
        let mut stage = stage.borrow_mut();
        let known = routes.iter().find(|(layer, route, _)| {
            (layer.name(), route.method.as_str(), route.path) == (&*case.layer, &*case.method, &*case.path)
        });
        let (layer, route, _) = known.unwrap_or_else(|| panic!("there is no such route: {case:?}"));
        if stage.asked == WORN {
            *stage = fresh();
        }
        stage.asked += 1;
        let Stage { world, samples, .. } = &mut *stage;
        let key = (case.layer.clone(), case.method.clone(), case.path.clone());
        let Sample { path, body } =
            samples.entry(key.clone()).or_insert_with(|| sample(&world.server, *layer, route)).clone();
        let mut body = body.unwrap_or_else(|| Value::Object(Map::new()));
        if let Some(fields) = innermost(&mut body) {
            fields.extend(case.fields.iter().cloned());
        }
        let text = odd_inputs::slipped(&body.to_string(), &case.slips);
        let client = owner(&world.server, *layer);
        let answer = world.holds(|| client.ask(route.method.clone(), &path, "application/json", text));
        if !answer.status.is_client_error() {
            samples.remove(&key);
            // The request may have deleted an account or a workspace, or changed a password.
            if *layer == Layer::Central {
                *stage = fresh();
            }
        }
    });
}

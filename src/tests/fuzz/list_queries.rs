//! Fuzzes the query of every list: filters, sorting, pages and cursors.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::{Deserialize, Serialize};

use super::odd_inputs::{self, Slip};
use super::{WatchedServer, each};
use crate::api::{Layer, openapi};
use crate::tests::routing_endpoints::CreatedRows as Routed;
use crate::tests::{RoutingClient, description};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ListCase {
    path: String,
    query: Vec<(String, String)>,
    /// The corruption of a cursor from an earlier response. `None` sends no cursor.
    cursor: Option<Vec<Slip>>,
}

/// Every list that can be sorted, with the names of its query parameters.
fn lists() -> Vec<(String, Vec<String>)> {
    let document = description(Layer::Workspace);
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let parameters = methods["get"]["parameters"].as_array();
        let parameters = parameters.into_iter().flatten().map(|parameter| openapi::resolve(&document, parameter));
        let names = parameters.filter(|parameter| parameter["in"] == "query");
        let names: Vec<String> = names.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
        if names.iter().any(|name| name == "sort") {
            found.push((path.clone(), names));
        }
    }
    found
}

fn cases() -> impl Strategy<Value = ListCase> {
    let sorts = vec![
        "id",
        "-id",
        "name",
        "-name",
        "created_at",
        "id,name",
        "-created_at,id",
        "id,id",
        ",",
        "-",
        "--id",
        "nothing",
    ];
    select(lists()).prop_flat_map(move |(path, names)| {
        let name = prop_oneof![8 => select(names), 1 => odd_inputs::text(), 1 => odd_inputs::text().prop_map(|name| format!("filter[{name}]"))];
        let value = prop_oneof![4 => odd_inputs::text(), 1 => select(sorts.clone()).prop_map(str::to_owned), 1 => Just("estimate".to_owned())];
        let sort = prop::option::of(select(sorts.clone()).prop_map(|sort| ("sort".to_owned(), sort.to_owned())));
        (vec((name, value), 0..4), sort, prop::option::of(vec(odd_inputs::slip(), 0..3))).prop_map(move |(mut query, sort, cursor)| {
            query.extend(sort);
            ListCase { path: path.clone(), query, cursor }
        })
    })
}

#[test]
fn a_list_is_answered_or_its_query_refused() {
    let world = WatchedServer::new();
    let routing = RoutingClient::new(&world.server);
    Routed::make(&routing);
    let admin = world.server.admin();
    for row in 0..3 {
        admin.post("/customers", serde_json::json!({"name": format!("Ada {row}")})).created();
        admin.post("/contacts", serde_json::json!({"last_name": "Ada", "customer_id": 1})).created();
        admin.post("/phone-calls", serde_json::json!({"direction": "inbound"})).created();
    }
    each("lists", cases(), |case| {
        let path = case.path.replace("{id}", "1");
        let (path, mut query) = match path.starts_with("/smart-routings") {
            true => (path, format!("customer_account={}", routing.account)),
            false => (path, "a=b".to_owned()),
        };
        for (name, value) in &case.query {
            query += &format!("&{}={}", odd_inputs::encoded(name), odd_inputs::encoded(value));
        }
        if let Some(slips) = &case.cursor {
            let path = format!("{path}?{query}&cursor=&per_page=1");
            if !odd_inputs::is_target(&path) {
                return;
            }
            let begun = admin.get(&path);
            let next = serde_json::from_str::<serde_json::Value>(&begun.text).unwrap_or_default();
            let cursor = odd_inputs::slipped(next["next_cursor"].as_str().unwrap_or("e30"), slips);
            query += &format!("&cursor={}", odd_inputs::encoded(&String::from_utf8_lossy(&cursor)));
        }
        let path = format!("{path}?{query}");
        if !odd_inputs::is_target(&path) {
            return;
        }
        let answer = world.holds(|| admin.get(&path));
        assert!([200, 400, 404].contains(&answer.status.as_u16()), "{answer:?}");
    });
}

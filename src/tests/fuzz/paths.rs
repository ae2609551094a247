//! Fuzzes values in paths: a value leads to a row or to nothing.

use http::Method;
use http::header::CONTENT_DISPOSITION;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::{Deserialize, Serialize};

use super::{WatchedServer, each, odd_inputs};
use crate::api::Layer;
use crate::tests::every_route::owner;
use crate::tests::router;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PathCase {
    layer: String,
    method: String,
    path: String,
    values: Vec<String>,
}

fn routes() -> Vec<(Layer, Method, &'static str)> {
    let router = router();
    let of =
        |layer| -> Vec<_> { router.routes(layer).map(|route| (layer, route.method.clone(), route.path)).collect() };
    [of(Layer::Central), of(Layer::Workspace)].concat()
}

/// A value as written in a path, percent-encoded or not.
fn value() -> impl Strategy<Value = String> {
    let parts = vec![
        "..",
        ".",
        "%2e%2e",
        "%2f",
        "%5c",
        "..%5c",
        "%00",
        "%ff",
        "%",
        "1",
        "-1",
        "0",
        "acme",
        "%20",
        "+",
        "*",
        "bulk",
        "import",
        "export",
        "9223372036854775807",
        "9223372036854775808",
        "00000000-0000-0000-0000-000000000000",
        "etc",
        "passwd",
        "central.sqlite",
        "%0d%0a",
    ];
    let encoded = odd_inputs::text()
        .prop_map(|text| percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC).to_string());
    prop_oneof![3 => vec(select(parts), 1..5).prop_map(|parts| parts.concat()), 1 => encoded]
}

fn cases() -> impl Strategy<Value = PathCase> {
    (select(routes()), vec(value(), 3)).prop_map(|((layer, method, path), values)| PathCase {
        layer: layer.name().to_owned(),
        method: method.to_string(),
        path: path.to_owned(),
        values,
    })
}

#[test]
fn a_value_in_a_path_leads_to_a_row_or_to_nothing() {
    let world = WatchedServer::new();
    let data = world.server.instance.config.data_dir.clone();
    let files = files_in(&data);
    each("paths", cases(), |case| {
        let layer = if case.layer == "central" { Layer::Central } else { Layer::Workspace };
        let mut path = case.path.clone();
        for value in &case.values {
            // A route without parameters gets a value appended.
            let Some((before, rest)) = path.split_once('{') else { break };
            let (_, after) = rest.split_once('}').unwrap();
            path = format!("{before}{value}{after}");
        }
        if !case.path.contains('{') {
            path = format!("{path}/{}", case.values[0]);
        }
        if !odd_inputs::is_target(&path) {
            return;
        }
        let client = owner(&world.server, layer);
        let method = Method::from_bytes(case.method.as_bytes()).unwrap();
        let answer = world.holds(|| client.send(method, &path, None));
        if let Some(named) = answer.headers.get(CONTENT_DISPOSITION) {
            let named = named.to_str().unwrap();
            assert!(!named.contains("..") && !named.contains('/') && !named.contains('\\'), "{named}");
        }
        assert!(!answer.text.contains("root:x:") && !answer.text.contains("SQLite format"), "{answer:?}");
        assert_eq!(files_in(&data), files, "{path}");
    });
}

/// The number of files in a folder and below it, without the companion files of open SQLite files.
fn files_in(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_in(&path) } else { usize::from(!is_beside(&path)) }).sum()
}

fn is_beside(path: &std::path::Path) -> bool {
    path.to_string_lossy().ends_with("-wal") || path.to_string_lossy().ends_with("-shm")
}

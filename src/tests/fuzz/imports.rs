//! Fuzzes imports in CSV and JSON: a file is imported completely or not at all.

use http::Method;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::{Deserialize, Serialize};

use super::odd_inputs::{self, Slip};
use super::{WatchedServer, each};
use crate::tests::RoutingClient;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ImportCase {
    path: String,
    names: Vec<String>,
    rows: Vec<Vec<String>>,
    slips: Vec<Slip>,
    csv: bool,
    query: String,
}

const FILES: &[(&str, &[&str])] = &[
    ("/customers/import", &["id", "name", "phone", "vip", "created_at", "custom_fields", "customer_account"]),
    ("/contacts/import", &["id", "last_name", "email", "phone_home_1", "customer_id", "updated_at", "custom_fields"]),
    ("/phone-calls/import", &["id", "direction", "contact_id", "duration", "answered", "started_at"]),
    ("/smart-routings/contacts/import", &["id", "id_code", "last_name", "telecoms", "active", "telecom_destination"]),
    ("/smart-routings/ctis/import", &["id", "name", "active", "comment"]),
];

const QUERIES: &[&str] = &["", "mode=upsert", "mode=create", "dry_run=1", "mode=upsert&dry_run=true", "mode=x"];

fn cases() -> impl Strategy<Value = ImportCase> {
    select(FILES).prop_flat_map(|(path, names)| {
        let name = prop_oneof![12 => select(names).prop_map(str::to_owned), 1 => odd_inputs::text()];
        let slips = prop_oneof![2 => Just(Vec::new()), 1 => vec(odd_inputs::slip(), 1..4)];
        let cells = vec(vec(odd_inputs::text(), 0..6), 0..4);
        (vec(name, 1..6), cells, slips, any::<bool>(), select(QUERIES)).prop_map(
            move |(names, rows, slips, csv, query)| ImportCase {
                path: path.to_owned(),
                names,
                rows,
                slips,
                csv,
                query: query.to_owned(),
            },
        )
    })
}

/// The text of the file, after its corruption.
fn written(case: &ImportCase) -> Vec<u8> {
    let text = if case.csv {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        for record in std::iter::once(&case.names).chain(&case.rows) {
            writer.write_record(record).unwrap();
        }
        String::from_utf8(writer.into_inner().unwrap()).unwrap()
    } else {
        let row = |cells: &Vec<String>| -> serde_json::Map<_, _> {
            case.names.iter().cloned().zip(cells.iter().map(|cell| serde_json::Value::from(cell.as_str()))).collect()
        };
        serde_json::to_string(&case.rows.iter().map(row).collect::<Vec<_>>()).unwrap()
    };
    odd_inputs::slipped(&text, &case.slips)
}

#[test]
fn a_file_is_taken_whole_or_not_at_all() {
    let world = WatchedServer::new();
    let routing = RoutingClient::new(&world.server);
    let admin = world.server.admin();
    each("imports", cases(), |case| {
        let whose = if case.path.starts_with("/smart-routings") { routing.account.as_str() } else { "" };
        let path = format!("{}?customer_account={whose}&{}", case.path, case.query);
        let kind = if case.csv { "text/csv" } else { "application/json" };
        let before = world.versions();
        let answer = world.holds(|| admin.ask(Method::POST, &path, kind, written(case)));
        if case.query.contains("dry_run") {
            assert_eq!(world.versions(), before, "{answer:?}");
        }
    });
}

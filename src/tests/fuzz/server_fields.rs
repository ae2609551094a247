//! Names foreign columns in the body of every route: no request may set a column that its route does not offer.

use http::Method;
use rusqlite::Connection;
use serde_json::json;

use super::WatchedServer;
use super::bodies::{FOREIGN, innermost, routes};
use crate::tests::every_route::{Sample, owner, sample};

/// Values that appear nowhere else. The text is short enough for every text field.
const MARKS: [&str; 2] = ["987654321", "\u{a4}\u{a4}\u{a4}\u{a4}"];

#[test]
fn a_body_sets_what_its_route_asks_for_and_nothing_else() {
    let names: Vec<String> = WatchedServer::new().files.iter().flat_map(columns).collect();
    assert!(["password_hash", "permissions", "customer_id"].iter().all(|name| names.iter().any(|other| other == name)));
    for (layer, route, own) in routes() {
        // The form fields of pages are not documented.
        if ![Method::POST, Method::PUT].contains(&route.method)
            || route.path.starts_with("/ui/")
            || route.path == "/oauth/authorize"
            // The body is a file, which is kept as it is.
            || route.path == "/imports"
        {
            continue;
        }
        let foreign = || FOREIGN.iter().map(|&name| name.to_owned()).chain(names.iter().cloned());
        let own = &own[FOREIGN.len()..];
        // Send a number and a text: a field that expects one of them rejects the other.
        for mark in MARKS {
            let world = WatchedServer::new();
            let value = mark.parse::<i64>().map_or_else(|_| json!(mark), |number| json!(number));
            let Sample { path, body } = sample(&world.server, layer, route);
            let mut body = body.filter(|body| *body != json!([])).unwrap_or_else(|| json!({}));
            let fields = innermost(&mut body).expect("a body has an object in it");
            fields.extend(foreign().filter(|name| !own.contains(name)).map(|name| (name, value.clone())));
            let client = owner(&world.server, layer);
            let answer = loop {
                let answer = client.send(route.method.clone(), &path, Some(body.clone()));
                if answer.status != 400 {
                    break answer;
                }
                // Drop the fields that are rejected by name, and send the rest again.
                let fields = innermost(&mut body).expect("the body still has an object in it");
                let sent = fields.len();
                let is_refused = |name: &str| {
                    let name = name.replace('_', " ");
                    [format!("The {name} "), format!("The selected {name} ")]
                        .iter()
                        .any(|said| answer.text.contains(said))
                };
                fields.retain(|name, sent| *sent != value || !is_refused(name));
                assert!(fields.len() < sent, "{} {path}: {answer:?}", route.method);
            };
            assert!(answer.status.is_success(), "{} {path}: {answer:?}", route.method);
            for file in &world.files {
                assert_eq!(marked(file, mark), Vec::<String>::new(), "{} {path} with {mark}", route.method);
            }
        }
    }
}

fn tables(db: &Connection) -> Vec<String> {
    let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual')";
    db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn columns_of(db: &Connection, table: &str) -> Vec<String> {
    let mut columns = db.prepare("SELECT name FROM pragma_table_info(?1)").unwrap();
    columns.query_map([table], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// The names of all columns in a file.
fn columns(db: &Connection) -> Vec<String> {
    tables(db).iter().flat_map(|table| columns_of(db, table)).collect()
}

/// The columns of a file that contain the mark.
fn marked(db: &Connection, mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for table in tables(db) {
        for column in columns_of(db, &table) {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM \"{table}\" WHERE instr(\"{column}\", ?1))");
            if db.query_row(&sql, [mark], |row| row.get(0)).unwrap() {
                found.push(format!("{table}.{column}"));
            }
        }
    }
    found
}

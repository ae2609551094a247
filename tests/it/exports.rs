//! Exports from the real program, read by slow clients.

use std::process::Command;

use serde_json::{Value, json};

use crate::client::Request;
use crate::process::run;
use crate::test_server::{TestServer, Who, eventually, sqlite};

/// Enough rows to exceed all buffers between program and client.
const MANY: i64 = 40_000;

fn bench_with_contacts() -> (TestServer, crate::test_server::Team) {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    server.stop();
    let file = sqlite(&server.file(&acme.workspace));
    file.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO contacts (last_name, comment, custom_fields, created_at, updated_at)
         SELECT 'Name ' || i, hex(zeroblob(200)), '{}', 0, 0 FROM n",
        [MANY],
    )
    .unwrap();
    drop(file);
    server.start();
    (server, acme)
}

/// Starts an export and reads only its head.
fn begun(
    server: &TestServer,
    who: &Who,
    headers: &[(&str, &str)],
) -> (crate::client::Connection, crate::client::Answer) {
    let request = Request {
        method: "GET",
        path: "/api/contacts/export",
        host: &who.host,
        token: who.token.as_deref(),
        headers,
        body: None,
    };
    let mut connection = server.connect();
    connection.send(request.text()).unwrap();
    let head = connection.receive_head().unwrap().unwrap();
    assert_eq!(head.status, 200);
    (connection, head)
}

#[test]
fn who_reads_slowly_holds_up_nobody_and_gets_all_of_it() {
    let (server, acme) = bench_with_contacts();
    let mut stalled: Vec<_> = (0..8).map(|_| begun(&server, &acme.inside, &[]).0).collect();
    // More exports than threads, and the server still works.
    server.customer(&acme.inside, "Renault");
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    server.delete(&acme.inside, "/contacts/39999").ok();

    let text = stalled.pop().unwrap().receive_chunks().unwrap();
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    // The row was deleted during the export. Reading by key skips it and returns every other row once.
    assert_eq!(ids, (1..=MANY).filter(|id| *id != 39_999).collect::<Vec<_>>());
}

#[test]
fn csv_is_for_who_accepts_it() {
    let (server, acme) = bench_with_contacts();
    let (mut connection, head) = begun(&server, &acme.inside, &[("Accept", "text/csv")]);
    assert_eq!(head.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    assert_eq!(head.header("content-disposition"), Some("attachment; filename=\"contacts.csv\""));
    let text = connection.receive_chunks().unwrap();
    assert_eq!(text.lines().count() as i64, MANY + 1);
    assert!(text.starts_with("id,customer_id,civility,"), "{}", &text[..80]);
}

/// A slow reader does not keep a file from the trash. The response ends too early, so the reader can detect it.
#[test]
fn a_workspace_that_is_deleted_ends_its_exports() {
    let (server, acme) = bench_with_contacts();
    let (mut connection, _) = begun(&server, &acme.inside, &[]);
    let confirmed = Some(json!({"subdomain": "acme"}));
    server.send(&acme.owner, "DELETE", &format!("/workspaces/{}", acme.workspace), confirmed).ok();
    let trash = server.data().join("trash").join(format!("{}.sqlite", acme.workspace));
    eventually("its file is in the trash", || trash.exists());
    eventually("it is closed", || server.open_files(".sqlite") == server.open_files("central.sqlite"));
    connection.receive_chunks().unwrap_err();
}

/// curl decompresses it.
#[test]
fn a_list_and_an_export_are_packed_for_whoever_takes_that() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let rows: String = (0..3_000).map(|n| format!("Name {n}\n")).collect();
    let headers = [("Content-Type", "text/csv")];
    let body = format!("name\n{rows}");
    let request = Request {
        method: "POST",
        path: "/api/customers/import",
        host: &acme.host,
        token: acme.token.as_deref(),
        headers: &headers,
        body: Some(&body),
    };
    server.ask(&request).created();
    let ask = |path: &str, packed: bool| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-S", "-w", "\n%{size_download}", "-H", &format!("Host: {}", acme.host)]);
        curl.args(["-H", &format!("Authorization: Bearer {}", acme.token.as_deref().unwrap())]);
        if packed {
            curl.arg("--compressed");
        }
        let said = run(curl.arg(format!("http://{}/api{path}", server.address())), "").ok();
        let (text, size) = said.rsplit_once('\n').unwrap();
        (text.to_owned(), size.parse::<usize>().unwrap())
    };
    for path in ["/customers?per_page=500", "/customers/export", "/customers/export?format=csv"] {
        let ((plain, all), (unpacked, few)) = (ask(path, false), ask(path, true));
        assert!(plain == unpacked && plain.len() == all, "{path}");
        assert!(few * 3 < all, "{path}: {few} of {all}");
    }
    // A single resource may contain a secret, and is short.
    let (one, size) = ask("/customers/1", true);
    assert_eq!(one.len(), size);
}

//! Imports into the real program: by the API while others work there, and by the command line while the server runs.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::client::{Answer, Connection, Request};
use crate::process::{document, run};
use crate::test_server::{TestServer, Who, eventually};

const MANY: usize = 20_000;

/// This many contacts, in CSV.
fn contacts(many: usize) -> String {
    let rows = (1..=many)
        .map(|n| format!("Name {n},n{n}@example.com,01 42 {:02} {:02} {:02}\n", n / 10_000, n / 100 % 100, n % 100));
    "last_name,email,phone_business_1\n".to_owned() + &rows.collect::<String>()
}

fn request<'r>(who: &'r Who, headers: &'r [(&'r str, &'r str)], body: Option<&'r str>) -> Request<'r> {
    let token = who.token.as_deref();
    Request { method: "POST", path: "/api/contacts/import", host: &who.host, token, headers, body }
}

fn import(server: &TestServer, who: &Who, csv: &str) -> Answer {
    server.ask(&request(who, &[("Content-Type", "text/csv")], Some(csv)))
}

/// Announces a body and sends a part of it.
fn begun(server: &TestServer, who: &Who, length: usize, part: &str) -> Connection {
    let length = length.to_string();
    let headers = [("Content-Type", "text/csv"), ("Content-Length", length.as_str())];
    let mut connection = server.connect();
    connection.send(request(who, &headers, None).text()).unwrap();
    // The server may have rejected the request already.
    let _ = connection.send(part);
    connection
}

/// Uploads contacts for an import in steps. Returns the path of the import.
fn upload(server: &TestServer, who: &Who) -> String {
    let (csv, headers) = (contacts(MANY), [("Content-Type", "text/csv")]);
    let upload = Request { path: "/api/imports?resource=contacts", ..request(who, &headers, Some(&csv)) };
    format!("/imports/{}", server.ask(&upload).created()["id"])
}

fn total(server: &TestServer, who: &Who) -> i64 {
    server.get(who, "/contacts?per_page=1").ok()["total"].as_i64().unwrap()
}

/// A check writes nothing, so others of the workspace write meanwhile, however short they are ready to wait.
#[test]
fn a_check_of_a_large_file_keeps_nobody_from_writing() {
    let server = TestServer::with(&["--turn-timeout", "0.5"]);
    let acme = server.team("acme");
    let path = upload(&server, &acme.inside);
    let begun = server.post(&acme.inside, &format!("{path}/check"), json!({}));
    assert_eq!(begun.status, 202, "{begun:?}");
    let mut writes = 0;
    let checked = loop {
        let import = server.get(&acme.inside, &path).ok();
        if import["state"] != "checking" {
            break import;
        }
        server.customer(&acme.inside, "Renault");
        writes += 1;
    };
    assert_eq!((&checked["state"], &checked["counts"]["created"]), (&json!("checked"), &json!(MANY)), "{checked}");
    assert!(writes > 5, "{writes} writes");
    assert_eq!(total(&server, &acme.inside), 0);
}

/// A run writes in parts. Others write in between, and a record that they make impossible is left out.
#[test]
fn a_run_of_a_large_file_keeps_nobody_from_writing() {
    let server = TestServer::with(&["--turn-timeout", "0.5"]);
    let acme = server.team("acme");
    let path = upload(&server, &acme.inside);
    server.put(&acme.inside, &path, json!({"mode": "upsert", "key": "email"})).created();
    let step = |step: &str| {
        let begun = server.post(&acme.inside, &format!("{path}/{step}"), json!({}));
        assert_eq!(begun.status, 202, "{begun:?}");
    };
    step("check");
    eventually("the check ends", || server.get(&acme.inside, &path).ok()["state"] == "checked");
    step("run");
    let (mut writes, mut is_twice) = (0, false);
    let done = loop {
        let import = server.get(&acme.inside, &path).ok();
        if import["state"] != "running" {
            break import;
        }
        if import["counts"]["created"].as_i64() > Some(0) && !is_twice {
            for _ in 0..2 {
                let same = json!({"last_name": "Ada", "email": format!("n{MANY}@example.com")});
                server.post(&acme.inside, "/contacts", same).created();
            }
            is_twice = true;
        }
        server.customer(&acme.inside, "Renault");
        writes += 1;
    };
    assert!(writes > 5 && is_twice, "{writes} writes");
    let counts = json!({"created": MANY - 1, "changed": 0, "unchanged": 0, "refused": 1});
    assert_eq!((&done["state"], &done["counts"], &done["refused_left_out"]), (&json!("done"), &counts, &json!(true)));
    assert_eq!(done["refused"][0]["line"], MANY + 1, "{done}");
    let refused = server.download(&acme.inside, &format!("{path}/refused.csv"));
    assert!(refused.contains("The email matches several contacts: use an id."), "{refused}");
    assert_eq!(total(&server, &acme.inside), MANY as i64 + 1);
}

#[test]
fn a_large_file_is_taken_while_others_go_on_and_nobody_sees_a_part_of_it() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    let (csv, is_done) = (contacts(MANY), AtomicBool::new(false));
    let (mut reads, mut writes) = (0, 0);
    thread::scope(|scope| {
        let importing = scope.spawn(|| {
            let answer = import(&server, &acme.inside, &csv);
            is_done.store(true, Ordering::Release);
            answer.created()
        });
        while !is_done.load(Ordering::Acquire) {
            let seen = total(&server, &acme.inside);
            assert!(seen == 0 || seen == MANY as i64, "{seen}");
            reads += 1;
            server.customer(&zeta.inside, "Renault");
            writes += 1;
        }
        let counts =
            json!({"response": "ok", "created": MANY, "updated": 0, "encoding": "UTF-8", "ignored_columns": []});
        assert_eq!(importing.join().unwrap(), counts);
    });
    assert!(reads > 5 && writes > 5, "{reads} reads, {writes} writes");
    assert_eq!(total(&server, &acme.inside), MANY as i64);
    assert_eq!(server.get(&acme.inside, "/contacts?filter[phone]=%2B33142010203").ok()["total"], 1);
    assert!(server.cli(&["doctor"]).ok().contains("no problems found"));
}

#[test]
fn a_file_with_a_bad_row_changes_nothing() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let answer = import(&server, &acme.inside, &(contacts(3_000) + "Last,nobody,\n"));
    answer.invalid(&["row 3001: The email must be a valid email address."]);
    assert_eq!((total(&server, &acme.inside), &answer.json()["count"]), (0, &json!(1)));
    server.post(&acme.inside, "/contacts", json!({"last_name": "Ada"})).created();
}

#[test]
fn a_file_may_be_larger_than_other_bodies_and_not_larger_than_32_mib() {
    const LARGEST: usize = 32 * 1024 * 1024;
    let server = TestServer::new();
    let acme = server.team("acme");
    let large = format!("last_name,unknown\nAda,{}\n", "x".repeat(LARGEST - 23));
    assert_eq!(large.len(), LARGEST);
    assert_eq!(import(&server, &acme.inside, &large).created()["created"], 1);
    begun(&server, &acme.inside, LARGEST + 1, "last_name\n")
        .receive()
        .unwrap()
        .unwrap()
        .refused(413, "payload_too_large");
    let json = [("Content-Type", "application/json"), ("Content-Length", "1048577")];
    let mut connection = server.connect();
    connection.send(Request { path: "/api/contacts", ..request(&acme.inside, &json, None) }.text()).unwrap();
    connection.receive().unwrap().unwrap().refused(413, "payload_too_large");
    assert_eq!(total(&server, &acme.inside), 1);
}

/// Sends half of a body of 2 MiB. By then the server has reserved memory for it, or has rejected it.
fn half_sent(server: &TestServer, who: &Who) -> Connection {
    let part = format!("last_name,unknown\nAda,{}", "x".repeat(1024 * 1024 + 1024));
    begun(server, who, 2 * 1024 * 1024, &part)
}

/// A slow upload is in memory for long. The memory for large uploads is limited, one account gets at most half of it,
/// and small uploads always fit.
#[test]
fn only_so_many_large_files_arrive_at_once_and_fewer_of_one_account() {
    let server = TestServer::new();
    let (acme, zeta, last) = (server.team("acme"), server.team("zeta"), server.team("last"));
    let second = server.workspace(&acme.owner, "second");
    let second = server.enter(&acme.owner, &second);
    let csv = format!("last_name,unknown\nBo,{}\n", "x".repeat(2 * 1024 * 1024));

    // Uploads are added until the memory is full. An upload can be rejected itself, if the import took the last memory.
    let mut waiting = Vec::new();
    eventually("one account has no more room", || {
        waiting.push(half_sent(&server, if waiting.len() % 2 == 0 { &acme.inside } else { &second }));
        import(&server, &acme.inside, &csv).status == 503
    });
    import(&server, &second, &csv).refused(503, "overloaded");
    assert_eq!(import(&server, &acme.inside, "last_name\nAda\n").created()["created"], 1);
    import(&server, &zeta.inside, &csv).created();
    eventually("there is no more room", || {
        waiting.push(half_sent(&server, &zeta.inside));
        import(&server, &last.inside, &csv).status == 503
    });
    import(&server, &last.inside, "last_name\nAda\n").created();
    drop(waiting);
    eventually("there is room again", || import(&server, &acme.inside, &csv).status == 201);
    import(&server, &last.inside, &csv).created();
}

/// Memory is reserved neither for announced bytes nor for callers without the permission.
#[test]
fn who_may_not_import_takes_no_room_for_large_files() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let nobody = acme.inside.clone().with(&json!("cxk_nobody"));
    let announced: Vec<Connection> = (0..20).map(|_| begun(&server, &nobody, 33_000_000, "l")).collect();
    let csv = format!("last_name,unknown\nBo,{}\n", "x".repeat(2 * 1024 * 1024));
    import(&server, &acme.inside, &csv).created();
    import(&server, &nobody, &csv).refused(401, "token_invalid");
    let key = json!({"name": "reads", "permissions": ["contact.view"]});
    let key = acme.inside.clone().with(&server.post(&acme.inside, "/integration-keys", key).created()["key"]);
    // The request is rejected when it exceeds the usual size, before its end.
    half_sent(&server, &key).receive().unwrap().unwrap().refused(403, "missing_permission");
    assert_eq!(announced.len(), 20);
}

#[test]
fn of_a_file_whose_client_goes_away_nothing_is_kept() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let csv = contacts(1_000);
    drop(begun(&server, &acme.inside, csv.len(), &csv[..csv.len() / 2]));
    eventually("the server has noticed", || server.log().contains("\"status\":400"));
    assert_eq!(total(&server, &acme.inside), 0);
    assert_eq!(import(&server, &acme.inside, &csv).created()["created"], 1_000);
}

#[test]
fn the_command_line_imports_and_exports_beside_a_server() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.team("zeta");
    let folder = server.data().parent().unwrap().to_owned();
    fs::write(folder.join("new.csv"), contacts(2_000)).unwrap();
    let import = |rest: &[&str]| server.cli(&[&["workspace", "import"], rest].concat());
    let dry = import(&["acme", "contacts", "new.csv", "--dry-run"]).ok();
    assert_eq!(dry.trim(), "2000 would be created, 0 updated; nothing was changed");
    assert_eq!(total(&server, &acme.inside), 0);
    let done = import(&["acme", "contacts", "new.csv", "--json"]).ok();
    assert_eq!(serde_json::from_str::<Value>(&done).unwrap(), json!({"response": "ok", "created": 2000, "updated": 0}));
    assert_eq!(total(&server, &acme.inside), 2_000);
    let last = server.get(&acme.inside, "/audit-log?per_page=1").ok()["data"][0].clone();
    assert_eq!((&last["action"], &last["actor"]["type"]), (&json!("contact.created"), &json!("system")));

    let export = |rest: &[&str]| server.cli(&[&["workspace", "export"], rest].concat());
    assert_eq!(export(&["acme", "contacts", "--output", "out.csv"]).ok(), "");
    assert!(fs::read_to_string(folder.join("out.csv")).unwrap().starts_with("id,customer_id,"));
    assert!(!folder.join("out.csv.part").exists());
    assert_eq!(import(&["zeta", "contacts", "out.csv"]).ok().trim(), "2000 created, 0 updated");
    let json = export(&["zeta", "contacts"]).ok();
    assert_eq!(json, export(&["acme", "contacts", "--format", "json"]).ok());
    let piped = ["workspace", "import", "zeta", "contacts", "-", "--format", "json", "--mode", "upsert"];
    assert_eq!(server.cli_with(&piped, &json).ok().trim(), "0 created, 2000 updated");
}

#[test]
fn a_command_that_cannot_be_done_says_why_and_leaves_nothing() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let folder = server.data().parent().unwrap().to_owned();
    fs::write(folder.join("bad.csv"), "last_name,email\nAda,\n,x\n").unwrap();
    fs::write(folder.join("calls.txt"), "direction\ninbound\n").unwrap();
    let import = |rest: &[&str]| server.cli(&[&["workspace", "import"], rest].concat());
    let said = import(&["acme", "contacts", "bad.csv"]).failed();
    let row = "row 2: The last name field is required. The email must be a valid email address.";
    assert!(said.contains("nothing was imported") && said.contains(row), "{said}");
    assert!(import(&["acme", "contacts", "missing.csv"]).failed().contains("missing.csv"));
    assert!(import(&["nowhere", "contacts", "bad.csv"]).failed().contains("nowhere"));
    assert!(import(&["acme", "phone-calls", "calls.txt"]).failed().contains("--format"));
    assert_eq!(import(&["acme", "users", "bad.csv"]).code, Some(2));
    assert_eq!(import(&["acme", "contacts", "bad.csv", "--mode", "replace"]).code, Some(2));
    let elsewhere = ["workspace", "export", "acme", "contacts", "--output", "missing/out.csv"];
    assert!(server.cli(&elsewhere).failed().contains("missing/out.csv"));
    assert_eq!(total(&server, &acme.inside), 0);
}

/// The block of `docs/import-export.md`, unchanged.
#[test]
fn the_lines_of_the_documentation_import_and_export() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.post(&acme.inside, "/contacts", json!({"last_name": "Martin"})).created();
    let chapter = document("docs/import-export.md");
    let block = chapter.split_once("```sh\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    let script = block
        .replace("localhost:8080", &format!("localhost:{}", server.address().port()))
        .replace("cx-engine ", concat!(env!("CARGO_BIN_EXE_cx-engine"), " "));
    let mut shell = Command::new("sh");
    shell.current_dir(server.data().parent().unwrap()).env("TOKEN", acme.inside.token.as_deref().unwrap());
    let said = run(shell.args(["-ec", &script]), "").ok();
    let expected = "{\"response\":\"ok\",\"created\":0,\"updated\":1,\"encoding\":\"UTF-8\",\"ignored_columns\":[]}\
                    0 created, 1 updated\n";
    assert_eq!(said, expected);
}

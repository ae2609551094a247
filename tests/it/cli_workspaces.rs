//! `cx-engine workspace` and `doctor`, with and without a running server.

use std::fs;

use serde_json::{Value, json};

use crate::test_server::{TestServer, email, sqlite, text};

#[test]
fn a_workspace_made_by_the_command_line_is_served_at_once() {
    let server = TestServer::new();
    let ada = server.register("ada");
    let owner = email("ada");
    let said = server.cli(&["workspace", "create", "--name", "Acme Télécom", "--owner", &owner]).ok();
    assert!(said.contains("acme-telecom"), "{said}");
    let id = text(&listed(&server)[0]["id"]);
    assert!(said.contains(&id), "{said}");
    server.customer(&server.enter(&ada, &id), "Renault");

    let again = ["workspace", "create", "--name", "x", "--subdomain", "acme-telecom", "--owner", &owner];
    assert!(server.cli(&again).failed().contains("taken"));
    let nobodys = ["workspace", "create", "--name", "x", "--owner", "nobody@example.com"];
    assert!(server.cli(&nobodys).failed().contains("nobody@example.com"));
    let reserved = ["workspace", "create", "--name", "x", "--subdomain", "www", "--owner", &owner];
    assert!(server.cli(&reserved).failed().contains("subdomain"));
}

#[test]
fn a_whole_instance_is_set_up_without_a_server() {
    let mut server = TestServer::new();
    server.stop();
    let create = ["account", "create", "--name", "Ada", "--email", "ada@example.com"];
    server.cli_with(&create, "a long enough one\n").ok();
    server.cli(&["workspace", "create", "--name", "Acme", "--owner", "ada@example.com"]).ok();
    server.start();
    let id = text(&listed(&server)[0]["id"]);
    server.customer(&server.enter(&server.log_in("ada"), &id), "Renault");
}

#[test]
fn workspaces_are_listed_with_their_state() {
    let server = TestServer::new();
    for name in ["acme", "beta", "zeta"] {
        server.team(name);
    }
    server.cli(&["workspace", "suspend", "beta"]).ok();
    server.cli(&["workspace", "delete", "zeta", "--confirm", "zeta"]).ok();
    let rows = listed(&server);
    let rows =
        rows.as_array().unwrap().iter().map(|row| (text(&row["subdomain"]), text(&row["status"]), text(&row["owner"])));
    let row = |name: &str, status: &str| (name.to_owned(), status.to_owned(), email(name));
    assert_eq!(rows.collect::<Vec<_>>(), [row("acme", "active"), row("beta", "suspended"), row("zeta", "trashed")]);
    let table = server.cli(&["workspace", "list"]).ok();
    assert!(table.lines().count() == 4 && table.starts_with("SUBDOMAIN"), "{table}");
    assert!(server.cli(&["workspace", "restore", "acme"]).failed().contains("acme"), "it is not in the trash");
}

#[test]
fn doctor_finds_nothing_where_all_is_well() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    assert!(server.cli(&["doctor"]).ok().contains("no problems found"));
    assert_eq!(server.cli(&["doctor", "--json"]).ok().trim(), "[]");
    server.stop();
    assert!(server.cli(&["doctor"]).ok().contains("no problems found"));
}

#[test]
fn doctor_names_a_file_that_is_missing_and_one_that_is_nobodys() {
    let mut server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    server.stop();
    let stray = "018f0000-0000-7000-8000-0000000000aa";
    fs::create_dir_all(server.file(stray).parent().unwrap()).unwrap();
    fs::rename(server.file(&acme.workspace), server.file(stray)).unwrap();

    let typed = server.cli(&["doctor"]);
    assert_eq!(typed.code, Some(3), "{typed:?}");
    assert!(typed.out.contains(&acme.workspace) && typed.out.contains("missing"), "{}", typed.out);
    assert!(typed.out.contains(stray), "{}", typed.out);
    assert!(!typed.out.contains(&zeta.workspace), "{}", typed.out);
    let findings: Value = serde_json::from_str(&server.cli(&["doctor", "--json"]).out).unwrap();
    assert_eq!(findings.as_array().map(Vec::len), Some(2), "{findings}");
}

#[test]
fn a_workspace_whose_file_is_missing_is_an_error_of_its_own_alone() {
    let mut server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    server.stop();
    fs::remove_file(server.file(&acme.workspace)).unwrap();
    server.start();
    let answer = server.get(&acme.inside, "/customers");
    answer.refused(503, "workspace_damaged");
    assert!(!answer.text.contains("sqlite") && !answer.text.contains('/'), "{}", answer.text);
    assert!(!server.file(&acme.workspace).exists(), "no empty workspace takes its place");
    server.customer(&zeta.inside, "Citroën");
}

#[test]
fn doctor_finds_what_is_damaged_inside_a_file() {
    let mut server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    server.customer(&acme.inside, "Renault");
    server.stop();
    sqlite(&server.file(&acme.workspace)).execute_batch("UPDATE row_counts SET rows = 7").unwrap();
    fs::write(server.file(&zeta.workspace), "this is no database, and was one".repeat(500)).unwrap();
    let typed = server.cli(&["doctor"]);
    assert_eq!(typed.code, Some(3), "{typed:?}");
    for found in [&acme.workspace, "count of customers", "count of phone calls", &zeta.workspace] {
        assert!(typed.out.contains(found), "no {found} in {}", typed.out);
    }
    let fixed = server.cli(&["doctor", "--fix"]);
    assert_eq!((fixed.code, fixed.out.matches(" is wrong (fixed)").count()), (Some(3), 4), "{}", fixed.out);
    let left = server.cli(&["doctor", "--json"]).out;
    let left: Value = serde_json::from_str(&left).unwrap();
    assert_eq!(left[0]["what"], zeta.workspace.as_str(), "{left}");
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
}

#[test]
fn doctor_finds_numbers_that_are_not_yet_read_by_a_new_country_and_a_change_mends_them() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    server.stop();
    let half_done = "UPDATE settings SET value = 'DE' WHERE name = 'default_country'";
    sqlite(&server.file(&acme.workspace)).execute_batch(half_done).unwrap();
    let typed = server.cli(&["doctor"]);
    assert_eq!(typed.code, Some(3), "{typed:?}");
    assert!(typed.out.contains(&acme.workspace) && typed.out.contains("phone numbers"), "{}", typed.out);
    server.start();
    server.put(&acme.inside, "/settings", json!({"default_country": "DE"})).created();
    assert!(server.cli(&["doctor"]).ok().contains("no problems found"));
}

fn listed(server: &TestServer) -> Value {
    serde_json::from_str(&server.cli(&["workspace", "list", "--json"]).ok()).unwrap()
}

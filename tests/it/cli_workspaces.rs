//! `cx-engine workspace` and `doctor`, with and without a running server.

use std::fs;

use serde_json::{Value, json};

use crate::bench::{Bench, email, sqlite, text};

#[test]
fn a_workspace_made_by_the_command_line_is_served_at_once() {
    let bench = Bench::new();
    let ada = bench.register("ada");
    let owner = email("ada");
    let said = bench.cli(&["workspace", "create", "--name", "Acme Télécom", "--owner", &owner]).ok();
    assert!(said.contains("acme-telecom"), "{said}");
    let id = text(&listed(&bench)[0]["id"]);
    assert!(said.contains(&id), "{said}");
    bench.customer(&bench.enter(&ada, &id), "Renault");

    let again = ["workspace", "create", "--name", "x", "--subdomain", "acme-telecom", "--owner", &owner];
    assert!(bench.cli(&again).failed().contains("taken"));
    let nobodys = ["workspace", "create", "--name", "x", "--owner", "nobody@example.com"];
    assert!(bench.cli(&nobodys).failed().contains("nobody@example.com"));
    let reserved = ["workspace", "create", "--name", "x", "--subdomain", "www", "--owner", &owner];
    assert!(bench.cli(&reserved).failed().contains("subdomain"));
}

#[test]
fn a_whole_instance_is_set_up_without_a_server() {
    let mut bench = Bench::new();
    bench.stop();
    let create = ["account", "create", "--name", "Ada", "--email", "ada@example.com"];
    bench.cli_with(&create, "a long enough one\n").ok();
    bench.cli(&["workspace", "create", "--name", "Acme", "--owner", "ada@example.com"]).ok();
    bench.start();
    let id = text(&listed(&bench)[0]["id"]);
    bench.customer(&bench.enter(&bench.log_in("ada"), &id), "Renault");
}

#[test]
fn workspaces_are_listed_with_their_state() {
    let bench = Bench::new();
    for name in ["acme", "beta", "zeta"] {
        bench.team(name);
    }
    bench.cli(&["workspace", "suspend", "beta"]).ok();
    bench.cli(&["workspace", "delete", "zeta", "--confirm", "zeta"]).ok();
    let rows = listed(&bench);
    let rows =
        rows.as_array().unwrap().iter().map(|row| (text(&row["subdomain"]), text(&row["status"]), text(&row["owner"])));
    let row = |name: &str, status: &str| (name.to_owned(), status.to_owned(), email(name));
    assert_eq!(rows.collect::<Vec<_>>(), [row("acme", "active"), row("beta", "suspended"), row("zeta", "trashed")]);
    let table = bench.cli(&["workspace", "list"]).ok();
    assert!(table.lines().count() == 4 && table.starts_with("SUBDOMAIN"), "{table}");
    assert!(bench.cli(&["workspace", "restore", "acme"]).failed().contains("acme"), "it is not in the trash");
}

#[test]
fn doctor_finds_nothing_where_all_is_well() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    bench.customer(&acme.inside, "Renault");
    assert!(bench.cli(&["doctor"]).ok().contains("no problems found"));
    assert_eq!(bench.cli(&["doctor", "--json"]).ok().trim(), "[]");
    bench.stop();
    assert!(bench.cli(&["doctor"]).ok().contains("no problems found"));
}

#[test]
fn doctor_names_a_file_that_is_missing_and_one_that_is_nobodys() {
    let mut bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    bench.stop();
    let stray = "018f0000-0000-7000-8000-0000000000aa";
    fs::create_dir_all(bench.file(stray).parent().unwrap()).unwrap();
    fs::rename(bench.file(&acme.workspace), bench.file(stray)).unwrap();

    let typed = bench.cli(&["doctor"]);
    assert_eq!(typed.code, Some(3), "{typed:?}");
    assert!(typed.out.contains(&acme.workspace) && typed.out.contains("missing"), "{}", typed.out);
    assert!(typed.out.contains(stray), "{}", typed.out);
    assert!(!typed.out.contains(&zeta.workspace), "{}", typed.out);
    let findings: Value = serde_json::from_str(&bench.cli(&["doctor", "--json"]).out).unwrap();
    assert_eq!(findings.as_array().map(Vec::len), Some(2), "{findings}");
}

#[test]
fn a_workspace_whose_file_is_missing_is_an_error_of_its_own_alone() {
    let mut bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    bench.stop();
    fs::remove_file(bench.file(&acme.workspace)).unwrap();
    bench.start();
    let answer = bench.get(&acme.inside, "/customers");
    answer.refused(503, "workspace_damaged");
    assert!(!answer.text.contains("sqlite") && !answer.text.contains('/'), "{}", answer.text);
    assert!(!bench.file(&acme.workspace).exists(), "no empty workspace takes its place");
    bench.customer(&zeta.inside, "Citroën");
}

#[test]
fn doctor_finds_what_is_damaged_inside_a_file() {
    let mut bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    bench.customer(&acme.inside, "Renault");
    bench.stop();
    sqlite(&bench.file(&acme.workspace)).execute_batch("UPDATE row_counts SET rows = 7").unwrap();
    fs::write(bench.file(&zeta.workspace), "this is no database, and was one".repeat(500)).unwrap();
    let typed = bench.cli(&["doctor"]);
    assert_eq!(typed.code, Some(3), "{typed:?}");
    for found in [&acme.workspace, "count of customers", "count of phone calls", &zeta.workspace] {
        assert!(typed.out.contains(found), "no {found} in {}", typed.out);
    }
}

#[test]
fn doctor_finds_numbers_that_are_not_yet_read_by_a_new_country_and_a_change_mends_them() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    bench.stop();
    let half_done = "UPDATE settings SET value = 'DE' WHERE name = 'default_country'";
    sqlite(&bench.file(&acme.workspace)).execute_batch(half_done).unwrap();
    let typed = bench.cli(&["doctor"]);
    assert_eq!(typed.code, Some(3), "{typed:?}");
    assert!(typed.out.contains(&acme.workspace) && typed.out.contains("phone numbers"), "{}", typed.out);
    bench.start();
    bench.put(&acme.inside, "/settings", json!({"default_country": "DE"})).created();
    assert!(bench.cli(&["doctor"]).ok().contains("no problems found"));
}

fn listed(bench: &Bench) -> Value {
    serde_json::from_str(&bench.cli(&["workspace", "list", "--json"]).ok()).unwrap()
}

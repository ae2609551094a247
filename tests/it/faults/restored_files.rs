//! `workspace restore-file`: a workspace gets the content of an exported file, but keeps its own name and members.

use std::fs;

use serde_json::json;

use super::disks::files_below;
use crate::test_server::{Team, TestServer, email};

fn export(server: &TestServer, acme: &Team) -> String {
    server.customer(&acme.inside, "Renault");
    let file = server.data().with_file_name("acme.sqlite").to_str().unwrap().to_owned();
    server.cli(&["workspace", "export-file", "acme", &file]).ok();
    server.customer(&acme.inside, "Peugeot");
    file
}

#[test]
fn members_are_those_that_there_are_now_in_the_roles_that_they_have_now() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let [zoe, _, kim] = ["zoe", "max", "kim"].map(|name| server.register(name));
    let add = |name: &str, role: &str| {
        server.cli(&["user", "add", &email(name), "--workspace", "acme", "--role", role]).ok();
    };
    add("zoe", "admin");
    add("max", "manager");
    let file = export(&server, &acme);
    let users = server.get(&acme.inside, "/users").ok();
    let zoes = users["data"].as_array().unwrap().iter().find(|user| user["email"] == email("zoe")).unwrap();
    server.put(&acme.inside, &format!("/users/{}", zoes["id"]), json!({"role_id": 3})).created();
    server.cli(&["user", "remove", &email("max"), "--workspace", "acme"]).ok();
    add("kim", "manager");
    server.put(&acme.owner, &format!("/workspaces/{}", acme.workspace), json!({"name": "Acme SA"})).created();

    let said = server.cli(&["workspace", "restore-file", "acme", &file]).ok();
    assert!(said.contains(&format!("no longer a member: {}", email("max"))), "{said}");
    assert!(said.contains(&format!("now a member: {}", email("kim"))), "{said}");
    // The same token as before; the audit log names who was added and removed.
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    let users = server.get(&acme.inside, "/users?sort=email").ok();
    let users: Vec<_> =
        users["data"].as_array().unwrap().iter().map(|user| (&user["email"], &user["role"]["name"])).collect();
    let expected = [("acme", "admin"), ("kim", "manager"), ("zoe", "agent")];
    let expected = expected.map(|(name, role)| (json!(email(name)), json!(role)));
    assert_eq!(users, expected.iter().map(|(email, role)| (email, role)).collect::<Vec<_>>());
    assert_eq!(server.get(&acme.owner, &format!("/workspaces/{}", acme.workspace)).ok()["name"], "Acme SA");
    for who in [&zoe, &kim] {
        server.get(&server.enter(who, &acme.workspace), "/customers").ok();
    }
    server.is_sound();
}

#[test]
fn the_file_that_it_had_lies_in_the_trash_and_one_that_was_lost_is_no_obstacle() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let file = export(&server, &acme);
    let said = server.cli(&["workspace", "restore-file", "acme", &file]).ok();
    let replaced = files_below(&server.data().join("trash"), &[".sqlite"]);
    assert_eq!(replaced.len(), 1, "{replaced:?}");
    assert!(said.contains(replaced[0].file_name().unwrap().to_str().unwrap()), "{said}");
    assert!(fs::metadata(&file).is_ok(), "the file is copied");

    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    // The server still has the file open and must not continue to write to it.
    fs::remove_file(server.file(&acme.workspace)).unwrap();
    server.customer(&acme.inside, "into nowhere");
    let said = server.cli(&["workspace", "restore-file", "acme", &file]).ok();
    assert!(!said.contains("the old file"), "{said}");
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    server.customer(&acme.inside, "Citroën");
    assert_eq!(server.customers(&acme.inside), ["Renault", "Citroën"]);
    server.is_sound();
}

#[test]
fn a_file_of_another_workspace_and_one_that_is_damaged_are_refused_and_change_nothing() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    let file = export(&server, &acme);
    let said = server.cli(&["workspace", "restore-file", "zeta", &file]).failed();
    assert!(said.contains(&acme.workspace) && said.contains("import-file"), "{said}");
    fs::write(&file, "nonsense").unwrap();
    server.cli(&["workspace", "restore-file", "acme", &file]).failed();
    let missing = server.data().with_file_name("missing.sqlite");
    server.cli(&["workspace", "restore-file", "acme", missing.to_str().unwrap()]).failed();
    assert_eq!(server.customers(&acme.inside), ["Renault", "Peugeot"]);
    assert!(server.customers(&zeta.inside).is_empty());
    assert_eq!(files_below(&server.data().join("copies"), &[""]), Vec::<std::path::PathBuf>::new());
    server.is_sound();
}

#[test]
fn one_that_is_suspended_stays_so_and_one_in_the_trash_comes_out_of_it() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    let file = export(&server, &acme);
    server.cli(&["workspace", "suspend", "acme"]).ok();
    server.cli(&["workspace", "restore-file", "acme", &file]).ok();
    server.get(&acme.inside, "/customers").refused(403, "workspace_suspended");
    server.cli(&["workspace", "resume", "acme"]).ok();
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    server.stop();
    server.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
    server.cli(&["workspace", "restore-file", "acme", &file]).ok();
    server.is_sound();
    server.start();
    assert_eq!(server.customers(&server.enter(&acme.owner, &acme.workspace)), ["Renault"]);
}

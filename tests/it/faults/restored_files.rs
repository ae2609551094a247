//! `workspace restore-file`: a workspace gets the content of an exported file, but keeps its own name and members.

use std::fs;

use serde_json::json;

use super::disks::files_below;
use crate::bench::{Bench, Team, email};

fn export(bench: &Bench, acme: &Team) -> String {
    bench.customer(&acme.inside, "Renault");
    let file = bench.data().with_file_name("acme.sqlite").to_str().unwrap().to_owned();
    bench.cli(&["workspace", "export-file", "acme", &file]).ok();
    bench.customer(&acme.inside, "Peugeot");
    file
}

#[test]
fn members_are_those_that_there_are_now_in_the_roles_that_they_have_now() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    let [zoe, _, kim] = ["zoe", "max", "kim"].map(|name| bench.register(name));
    let add = |name: &str, role: &str| {
        bench.cli(&["user", "add", &email(name), "--workspace", "acme", "--role", role]).ok();
    };
    add("zoe", "admin");
    add("max", "manager");
    let file = export(&bench, &acme);
    let users = bench.get(&acme.inside, "/users").ok();
    let zoes = users["data"].as_array().unwrap().iter().find(|user| user["email"] == email("zoe")).unwrap();
    bench.put(&acme.inside, &format!("/users/{}", zoes["id"]), json!({"role_id": 3})).created();
    bench.cli(&["user", "remove", &email("max"), "--workspace", "acme"]).ok();
    add("kim", "manager");
    bench.put(&acme.owner, &format!("/workspaces/{}", acme.workspace), json!({"name": "Acme SA"})).created();

    let said = bench.cli(&["workspace", "restore-file", "acme", &file]).ok();
    assert!(said.contains(&format!("no longer a member: {}", email("max"))), "{said}");
    assert!(said.contains(&format!("now a member: {}", email("kim"))), "{said}");
    // The same token as before; the audit log names who was added and removed.
    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
    let users = bench.get(&acme.inside, "/users?sort=email").ok();
    let users: Vec<_> =
        users["data"].as_array().unwrap().iter().map(|user| (&user["email"], &user["role"]["name"])).collect();
    let expected = [("acme", "admin"), ("kim", "manager"), ("zoe", "agent")];
    let expected = expected.map(|(name, role)| (json!(email(name)), json!(role)));
    assert_eq!(users, expected.iter().map(|(email, role)| (email, role)).collect::<Vec<_>>());
    assert_eq!(bench.get(&acme.owner, &format!("/workspaces/{}", acme.workspace)).ok()["name"], "Acme SA");
    for who in [&zoe, &kim] {
        bench.get(&bench.enter(who, &acme.workspace), "/customers").ok();
    }
    bench.is_sound();
}

#[test]
fn the_file_that_it_had_lies_in_the_trash_and_one_that_was_lost_is_no_obstacle() {
    let bench = Bench::new();
    let acme = bench.team("acme");
    let file = export(&bench, &acme);
    let said = bench.cli(&["workspace", "restore-file", "acme", &file]).ok();
    let replaced = files_below(&bench.data().join("trash"), &[".sqlite"]);
    assert_eq!(replaced.len(), 1, "{replaced:?}");
    assert!(said.contains(replaced[0].file_name().unwrap().to_str().unwrap()), "{said}");
    assert!(fs::metadata(&file).is_ok(), "the file is copied");

    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
    // The server still has the file open and must not continue to write to it.
    fs::remove_file(bench.file(&acme.workspace)).unwrap();
    bench.customer(&acme.inside, "into nowhere");
    let said = bench.cli(&["workspace", "restore-file", "acme", &file]).ok();
    assert!(!said.contains("the old file"), "{said}");
    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
    bench.customer(&acme.inside, "Citroën");
    assert_eq!(bench.customers(&acme.inside), ["Renault", "Citroën"]);
    bench.is_sound();
}

#[test]
fn a_file_of_another_workspace_and_one_that_is_damaged_are_refused_and_change_nothing() {
    let bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    let file = export(&bench, &acme);
    let said = bench.cli(&["workspace", "restore-file", "zeta", &file]).failed();
    assert!(said.contains(&acme.workspace) && said.contains("import-file"), "{said}");
    fs::write(&file, "nonsense").unwrap();
    bench.cli(&["workspace", "restore-file", "acme", &file]).failed();
    let missing = bench.data().with_file_name("missing.sqlite");
    bench.cli(&["workspace", "restore-file", "acme", missing.to_str().unwrap()]).failed();
    assert_eq!(bench.customers(&acme.inside), ["Renault", "Peugeot"]);
    assert!(bench.customers(&zeta.inside).is_empty());
    assert_eq!(files_below(&bench.data().join("copies"), &[""]), Vec::<std::path::PathBuf>::new());
    bench.is_sound();
}

#[test]
fn one_that_is_suspended_stays_so_and_one_in_the_trash_comes_out_of_it() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    let file = export(&bench, &acme);
    bench.cli(&["workspace", "suspend", "acme"]).ok();
    bench.cli(&["workspace", "restore-file", "acme", &file]).ok();
    bench.get(&acme.inside, "/customers").refused(403, "workspace_suspended");
    bench.cli(&["workspace", "resume", "acme"]).ok();
    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
    bench.stop();
    bench.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
    bench.cli(&["workspace", "restore-file", "acme", &file]).ok();
    bench.is_sound();
    bench.start();
    assert_eq!(bench.customers(&bench.enter(&acme.owner, &acme.workspace)), ["Renault"]);
}

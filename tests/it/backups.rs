//! Backups: taken while the server is written to, verified, pruned, and restored completely or by workspace after
//! various failures.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;

use serde_json::{Value, json};

use crate::faults::disks::{Disk, files_below};
use crate::test_server::{PASSWORD, Team, TestServer, central, email, eventually, sqlite, text};
use crate::writers::write_until_gone;

/// The backup folder, next to the data directory.
fn shelf(server: &TestServer) -> PathBuf {
    server.data().with_file_name("backups")
}

/// Runs a command with the backup folder.
fn typed(server: &TestServer, arguments: &[&str]) -> crate::process::Typed {
    let folder = shelf(server);
    server.cli(&[arguments, &["--backup-dir", folder.to_str().unwrap()]].concat())
}

/// Takes a backup; returns its name.
fn back_up(server: &TestServer, arguments: &[&str]) -> String {
    let said = typed(server, &[&["backup", "--json"], arguments].concat()).ok();
    text(&serde_json::from_str::<Value>(&said).unwrap()["name"])
}

fn list(server: &TestServer) -> Vec<Value> {
    serde_json::from_str(&typed(server, &["backups", "--json"]).ok()).unwrap()
}

fn names(server: &TestServer) -> Vec<String> {
    list(server).iter().map(|backup| text(&backup["name"])).collect()
}

/// The packed file of a workspace in a backup.
fn packed(server: &TestServer, backup: &str, workspace: &str) -> PathBuf {
    shelf(server).join(backup).join(format!("workspaces/{workspace}.sqlite.zst"))
}

/// All rows of all tables with user data, as text.
pub fn contents(file: &Path) -> Vec<String> {
    let db = sqlite(file);
    let tables = ["customers", "contacts", "users", "settings", "audit_log", "organisations"];
    let rows = |table: &str| {
        let mut statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let values: Vec<rusqlite::types::Value> = (0..columns).map(|n| row.get(n).unwrap()).collect();
            Ok(format!("{table}: {values:?}"))
        };
        statement.query_map([], row).unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    tables.iter().flat_map(|table| rows(table)).collect()
}

/// The drill: after a total loss, the backup contains everything that was acknowledged before it began, and nothing
/// that was never sent.
#[test]
fn everything_is_lost_and_comes_back_as_it_was_while_it_was_backed_up() {
    let mut server = TestServer::new();
    let teams = [server.team("acme"), server.team("zeta")];
    let (told, heard) = channel();
    let (mut before, mut after, mut name) = (BTreeSet::new(), BTreeSet::new(), String::new());
    thread::scope(|scope| {
        let server = &server;
        for n in 0..4 {
            let (team, told) = (&teams[n % 2], told.clone());
            scope.spawn(move || write_until_gone(server, &team.inside, &format!("client {n}"), &told));
        }
        drop(told);
        before.extend(heard.iter().take(200));
        name = back_up(server, &[]);
        // Whenever a copy is taken, its counts and contents are from the same moment.
        for _ in 0..20 {
            back_up(server, &["acme"]);
        }
        after.extend(heard.iter().take(200));
        server.kill();
        after.extend(heard);
    });
    server.ended();
    fs::remove_dir_all(server.data()).unwrap();

    let into = server.data();
    let said = typed(&server, &["restore", "--into", into.to_str().unwrap()]).ok();
    assert!(said.contains(&name), "{said}");
    server.is_sound();
    server.start();
    // Tokens from that time are valid, because their keys were restored too.
    let there = teams.iter().flat_map(|team| server.customers(&team.inside));
    let there: Vec<String> = there.collect();
    let once: BTreeSet<String> = there.iter().cloned().collect();
    assert_eq!(once.len(), there.len(), "nothing is there twice");
    for name in &before {
        assert!(once.contains(name), "{name} was answered before the backup began");
    }
    // The last request of each client may be unacknowledged.
    let unanswered = once.iter().filter(|&name| !before.contains(name) && !after.contains(name));
    assert!(unanswered.count() <= 4);
    assert!(once.len() < before.len() + after.len(), "the backup is older than the end");
    for team in &teams {
        server.customer(&team.inside, "Life goes on");
        server.get(&team.owner, "/workspaces").ok();
    }
    server.is_sound();
}

#[test]
fn what_is_restored_is_the_same_row_by_row_and_what_is_packed_is_plain_sqlite() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    server.post(&acme.inside, "/contacts", json!({"last_name": "Lefèvre", "customer_id": 1})).created();
    server.stop();
    let name = back_up(&server, &[]);
    let into = server.data().with_file_name("new");
    typed(&server, &["restore", "--into", into.to_str().unwrap(), "--backup", &name]).ok();
    let file = server.file(&acme.workspace);
    let restored = into.join(file.strip_prefix(server.data()).unwrap());
    assert_eq!(contents(&restored), contents(&file));
    assert!(contents(&file).len() >= 6, "{:?}", contents(&file));
    for private in [shelf(&server).join(&name), into.join("keys"), into] {
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o700, "{}", private.display());
    }
}

#[test]
fn one_workspace_is_put_back_to_a_chosen_backup_while_it_is_served_and_the_others_stay() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    server.customer(&acme.inside, "Renault");
    let first = back_up(&server, &[]);
    server.customer(&acme.inside, "Peugeot");
    let second = back_up(&server, &["acme"]);
    server.customer(&acme.inside, "Citroën");
    server.customer(&zeta.inside, "a neighbour's");

    typed(&server, &["restore", "acme"]).ok();
    assert_eq!(server.customers(&acme.inside), ["Renault", "Peugeot"]);
    let said = typed(&server, &["restore", &acme.workspace, "--backup", &first]).ok();
    assert!(said.contains(&first), "{said}");
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    // The state of this morning, next to the current workspace.
    typed(&server, &["restore", "acme", "--backup", &second, "--as", "acme-then"]).ok();
    let workspaces = server.get(&acme.owner, "/workspaces?filter[subdomain]=acme-then").ok();
    let then = server.enter(&acme.owner, &text(&workspaces["data"][0]["id"]));
    assert_eq!(server.customers(&then), ["Renault", "Peugeot"]);
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    assert_eq!(server.customers(&zeta.inside), ["a neighbour's"]);
    // A date before any backup, and a backup of another workspace.
    typed(&server, &["restore", "acme", "--at", "2020-01-01"]).failed();
    typed(&server, &["restore", "zeta", "--backup", &second]).failed();
    typed(&server, &["restore", "acme", "--at", "yesterday"]).failed();
    typed(&server, &["restore", "nobody"]).failed();
    let whole = typed(&server, &["restore", "--into", "new", "--backup", &second]).failed();
    assert!(whole.contains("one workspace"), "{whole}");
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    server.is_sound();
}

#[test]
fn one_that_is_in_the_trash_and_one_that_is_gone_for_good_come_back() {
    let mut server = TestServer::with(&["--trash-days", "0"]);
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    back_up(&server, &[]);
    server.stop();
    server.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
    let trashed = back_up(&server, &[]);
    assert!(packed(&server, &trashed, &acme.workspace).exists());
    typed(&server, &["restore", "acme"]).ok();
    server.start();
    assert_eq!(server.customers(&server.enter(&acme.owner, &acme.workspace)), ["Renault"]);

    server.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
    server.restart();
    let is_gone = || server.instance(&acme.owner)["workspaces_in_trash"] == 0;
    eventually("it is gone for good", is_gone);
    typed(&server, &["restore", "acme", "--owner", &email("nobody")]).failed();
    let said = typed(&server, &["restore", "acme"]).ok();
    assert!(said.contains(&acme.workspace), "it is the same one: {said}");
    assert_eq!(server.customers(&server.enter(&acme.owner, &acme.workspace)), ["Renault"]);
    server.is_sound();
}

#[test]
fn what_has_not_changed_is_kept_once_and_outlives_the_backup_that_it_was_first_in() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    let first = back_up(&server, &[]);
    server.customer(&zeta.inside, "Renault");
    let second = back_up(&server, &[]);
    let inode = |name: &str, team: &Team| fs::metadata(packed(&server, name, &team.workspace)).unwrap().ino();
    assert_eq!(inode(&first, &acme), inode(&second, &acme));
    assert_ne!(inode(&first, &zeta), inode(&second, &zeta));

    let alone = back_up(&server, &["acme"]);
    let third = back_up(&server, &["--keep-last", "2"]);
    assert_eq!(names(&server), [second.clone(), alone.clone(), third.clone()], "those of one workspace are apart");
    let newer = back_up(&server, &["acme", "--keep-last", "1"]);
    assert_eq!(names(&server), [second, third.clone(), newer.clone()]);
    assert_eq!(back_up(&server, &["--keep-daily", "1"]), *names(&server).last().unwrap());
    assert_eq!(names(&server).len(), 2, "{:?}", names(&server));
    let said = typed(&server, &["backups", "--verify"]).ok();
    assert!(said.contains("no problems found"), "{said}");
}

#[test]
fn what_was_changed_since_it_was_packed_is_found_and_is_not_restored() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    server.customer(&acme.inside, "Renault");
    let name = back_up(&server, &[]);
    // A valid zstd and SQLite file, but not the packed one.
    fs::copy(packed(&server, &name, &zeta.workspace), packed(&server, &name, &acme.workspace)).unwrap();
    let said = typed(&server, &["backups", "--verify", &name]).failed();
    assert!(
        said.contains("acme: ") && said.contains("does not match its checksum") && !said.contains("zeta: "),
        "{said}"
    );
    typed(&server, &["restore", "acme"]).failed();
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    typed(&server, &["restore", "zeta"]).ok();
    fs::write(packed(&server, &name, &acme.workspace), "nonsense").unwrap();
    typed(&server, &["restore", "acme"]).failed();
    let into = server.data().with_file_name("new");
    typed(&server, &["restore", "--into", into.to_str().unwrap()]).failed();
    assert!(!into.join("central.sqlite").exists(), "nothing that can be served");
    // The backup packs a file again if the last manifest is unreadable.
    fs::write(shelf(&server).join(&name).join("manifest.json"), "{}").unwrap();
    let said = typed(&server, &["backups"]).failed();
    assert!(said.contains("manifest.json"), "{said}");
    assert_eq!(files_below(&server.data().join("copies"), &[""]), Vec::<PathBuf>::new());
    server.is_sound();
}

#[test]
fn a_workspace_that_is_damaged_is_named_and_its_last_backup_is_kept() {
    let mut server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    server.customer(&acme.inside, "Renault");
    let good = back_up(&server, &[]);
    server.stop();
    fs::write(server.file(&acme.workspace), "nonsense").unwrap();
    let failed = typed(&server, &["backup", "--keep-last", "1"]).failed();
    assert!(failed.contains("acme") && failed.contains(&acme.workspace) && failed.contains("older"), "{failed}");
    let [older, newer] = names(&server).try_into().unwrap();
    assert_eq!(older, good);
    assert!(packed(&server, &newer, &zeta.workspace).exists() && !packed(&server, &newer, &acme.workspace).exists());
    typed(&server, &["backup", "acme"]).failed();
    assert_eq!(names(&server).len(), 2, "a backup of nothing is none");
    server.start();
    typed(&server, &["restore", "acme"]).ok();
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    assert_eq!(back_up(&server, &["--keep-last", "1"]), names(&server)[0]);
    assert_eq!(names(&server).len(), 1);
}

#[test]
fn a_folder_that_is_not_empty_a_newer_version_and_a_second_at_once_are_refused() {
    let server = TestServer::new();
    server.team("acme");
    let name = back_up(&server, &[]);
    let data = server.data();
    let said = typed(&server, &["restore", "--into", data.to_str().unwrap()]).failed();
    assert!(said.contains("is not empty"), "{said}");
    server.is_sound();

    let lock = File::create(shelf(&server).join("lock")).unwrap();
    lock.lock().unwrap();
    let said = typed(&server, &["backup"]).failed();
    assert!(said.contains("another backup"), "{said}");
    drop(lock);

    let path = shelf(&server).join(&name).join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["central"]["version"] = json!(1000);
    fs::write(&path, manifest.to_string()).unwrap();
    let said = typed(&server, &["restore", "--into", "new"]).failed();
    assert!(said.contains("1000") && said.contains("newer"), "{said}");
    assert!(!server.data().with_file_name("new").exists());
}

#[test]
fn what_was_interrupted_is_no_backup_and_goes_with_the_next() {
    let server = TestServer::new();
    server.team("acme");
    let left = shelf(&server).join("20270101T000000Z.unfinished");
    fs::create_dir_all(left.join("workspaces")).unwrap();
    fs::write(left.join("manifest.json"), "half").unwrap();
    assert_eq!(names(&server), Vec::<String>::new());
    let name = back_up(&server, &[]);
    assert_eq!(names(&server), [name]);
    assert!(!left.exists());
}

#[test]
fn on_a_disk_that_is_full_there_is_an_error_and_nothing_else() {
    let Some(disk) = Disk::in_memory(8) else { return };
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    let folder = disk.data();
    let backup = ["backup", "--backup-dir", folder.to_str().unwrap()];
    disk.fill_but(8192);
    let said = server.cli(&backup).failed();
    assert!(said.contains("No space left"), "{said}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "the lock");
    disk.free();
    server.cli(&backup).ok();
}

/// A new central file would lose the owners of the existing workspaces.
#[test]
fn a_central_file_that_is_lost_is_not_begun_anew_where_there_are_workspaces() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    back_up(&server, &[]);
    server.stop();
    fs::remove_file(server.data().join("central.sqlite")).unwrap();
    let said = server.refused_start();
    assert!(said.contains("central.sqlite") && said.contains("restore"), "{said}");
    assert!(!server.data().join("central.sqlite").exists());
    let into = server.data().with_file_name("new");
    typed(&server, &["restore", "--into", into.to_str().unwrap()]).ok();
    fs::rename(into.join("central.sqlite"), server.data().join("central.sqlite")).unwrap();
    server.start();
    server.customer(&acme.inside, "Renault");
    server.post(&central(), "/login", json!({"email": email("acme"), "password": PASSWORD})).ok();
}

//! Backups: taken while the server is written to, verified, pruned, and restored completely or by workspace after
//! various failures.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;

use serde_json::{Value, json};

use crate::bench::{Bench, PASSWORD, Team, central, email, eventually, sqlite, text};
use crate::faults::disks::{Disk, files_below};
use crate::writers::write_until_gone;

/// The backup folder, next to the data directory.
fn shelf(bench: &Bench) -> PathBuf {
    bench.data().with_file_name("backups")
}

/// Runs a command with the backup folder.
fn typed(bench: &Bench, arguments: &[&str]) -> crate::process::Typed {
    let folder = shelf(bench);
    bench.cli(&[arguments, &["--backup-dir", folder.to_str().unwrap()]].concat())
}

/// Takes a backup; returns its name.
fn back_up(bench: &Bench, arguments: &[&str]) -> String {
    let said = typed(bench, &[&["backup", "--json"], arguments].concat()).ok();
    text(&serde_json::from_str::<Value>(&said).unwrap()["name"])
}

fn list(bench: &Bench) -> Vec<Value> {
    serde_json::from_str(&typed(bench, &["backups", "--json"]).ok()).unwrap()
}

fn names(bench: &Bench) -> Vec<String> {
    list(bench).iter().map(|backup| text(&backup["name"])).collect()
}

/// The packed file of a workspace in a backup.
fn packed(bench: &Bench, backup: &str, workspace: &str) -> PathBuf {
    shelf(bench).join(backup).join(format!("workspaces/{workspace}.sqlite.zst"))
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
    let mut bench = Bench::new();
    let teams = [bench.team("acme"), bench.team("zeta")];
    let (told, heard) = channel();
    let (mut before, mut after, mut name) = (BTreeSet::new(), BTreeSet::new(), String::new());
    thread::scope(|scope| {
        let bench = &bench;
        for n in 0..4 {
            let (team, told) = (&teams[n % 2], told.clone());
            scope.spawn(move || write_until_gone(bench, &team.inside, &format!("client {n}"), &told));
        }
        drop(told);
        before.extend(heard.iter().take(200));
        name = back_up(bench, &[]);
        // Whenever a copy is taken, its counts and contents are from the same moment.
        for _ in 0..20 {
            back_up(bench, &["acme"]);
        }
        after.extend(heard.iter().take(200));
        bench.kill();
        after.extend(heard);
    });
    bench.ended();
    fs::remove_dir_all(bench.data()).unwrap();

    let into = bench.data();
    let said = typed(&bench, &["restore", "--into", into.to_str().unwrap()]).ok();
    assert!(said.contains(&name), "{said}");
    bench.is_sound();
    bench.start();
    // Tokens from that time are valid, because their keys were restored too.
    let there = teams.iter().flat_map(|team| bench.customers(&team.inside));
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
        bench.customer(&team.inside, "Life goes on");
        bench.get(&team.owner, "/workspaces").ok();
    }
    bench.is_sound();
}

#[test]
fn what_is_restored_is_the_same_row_by_row_and_what_is_packed_is_plain_sqlite() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    bench.customer(&acme.inside, "Renault");
    bench.post(&acme.inside, "/contacts", json!({"last_name": "Lefèvre", "customer_id": 1})).created();
    bench.stop();
    let name = back_up(&bench, &[]);
    let into = bench.data().with_file_name("new");
    typed(&bench, &["restore", "--into", into.to_str().unwrap(), "--backup", &name]).ok();
    let file = bench.file(&acme.workspace);
    let restored = into.join(file.strip_prefix(bench.data()).unwrap());
    assert_eq!(contents(&restored), contents(&file));
    assert!(contents(&file).len() >= 6, "{:?}", contents(&file));
    for private in [shelf(&bench).join(&name), into.join("keys"), into] {
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o700, "{}", private.display());
    }
}

#[test]
fn one_workspace_is_put_back_to_a_chosen_backup_while_it_is_served_and_the_others_stay() {
    let bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    bench.customer(&acme.inside, "Renault");
    let first = back_up(&bench, &[]);
    bench.customer(&acme.inside, "Peugeot");
    let second = back_up(&bench, &["acme"]);
    bench.customer(&acme.inside, "Citroën");
    bench.customer(&zeta.inside, "a neighbour's");

    typed(&bench, &["restore", "acme"]).ok();
    assert_eq!(bench.customers(&acme.inside), ["Renault", "Peugeot"]);
    let said = typed(&bench, &["restore", &acme.workspace, "--backup", &first]).ok();
    assert!(said.contains(&first), "{said}");
    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
    // The state of this morning, next to the current workspace.
    typed(&bench, &["restore", "acme", "--backup", &second, "--as", "acme-then"]).ok();
    let workspaces = bench.get(&acme.owner, "/workspaces?filter[subdomain]=acme-then").ok();
    let then = bench.enter(&acme.owner, &text(&workspaces["data"][0]["id"]));
    assert_eq!(bench.customers(&then), ["Renault", "Peugeot"]);
    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
    assert_eq!(bench.customers(&zeta.inside), ["a neighbour's"]);
    // A date before any backup, and a backup of another workspace.
    typed(&bench, &["restore", "acme", "--at", "2020-01-01"]).failed();
    typed(&bench, &["restore", "zeta", "--backup", &second]).failed();
    typed(&bench, &["restore", "acme", "--at", "yesterday"]).failed();
    typed(&bench, &["restore", "nobody"]).failed();
    let whole = typed(&bench, &["restore", "--into", "new", "--backup", &second]).failed();
    assert!(whole.contains("one workspace"), "{whole}");
    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
    bench.is_sound();
}

#[test]
fn one_that_is_in_the_trash_and_one_that_is_gone_for_good_come_back() {
    let mut bench = Bench::with(&["--trash-days", "0"]);
    let acme = bench.team("acme");
    bench.customer(&acme.inside, "Renault");
    back_up(&bench, &[]);
    bench.stop();
    bench.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
    let trashed = back_up(&bench, &[]);
    assert!(packed(&bench, &trashed, &acme.workspace).exists());
    typed(&bench, &["restore", "acme"]).ok();
    bench.start();
    assert_eq!(bench.customers(&bench.enter(&acme.owner, &acme.workspace)), ["Renault"]);

    bench.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
    bench.restart();
    let is_gone = || bench.instance(&acme.owner)["workspaces_in_trash"] == 0;
    eventually("it is gone for good", is_gone);
    typed(&bench, &["restore", "acme", "--owner", &email("nobody")]).failed();
    let said = typed(&bench, &["restore", "acme"]).ok();
    assert!(said.contains(&acme.workspace), "it is the same one: {said}");
    assert_eq!(bench.customers(&bench.enter(&acme.owner, &acme.workspace)), ["Renault"]);
    bench.is_sound();
}

#[test]
fn what_has_not_changed_is_kept_once_and_outlives_the_backup_that_it_was_first_in() {
    let bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    let first = back_up(&bench, &[]);
    bench.customer(&zeta.inside, "Renault");
    let second = back_up(&bench, &[]);
    let inode = |name: &str, team: &Team| fs::metadata(packed(&bench, name, &team.workspace)).unwrap().ino();
    assert_eq!(inode(&first, &acme), inode(&second, &acme));
    assert_ne!(inode(&first, &zeta), inode(&second, &zeta));

    let alone = back_up(&bench, &["acme"]);
    let third = back_up(&bench, &["--keep-last", "2"]);
    assert_eq!(names(&bench), [second.clone(), alone.clone(), third.clone()], "those of one workspace are apart");
    let newer = back_up(&bench, &["acme", "--keep-last", "1"]);
    assert_eq!(names(&bench), [second, third.clone(), newer.clone()]);
    assert_eq!(back_up(&bench, &["--keep-daily", "1"]), *names(&bench).last().unwrap());
    assert_eq!(names(&bench).len(), 2, "{:?}", names(&bench));
    let said = typed(&bench, &["backups", "--verify"]).ok();
    assert!(said.contains("no problems found"), "{said}");
}

#[test]
fn what_was_changed_since_it_was_packed_is_found_and_is_not_restored() {
    let bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    bench.customer(&acme.inside, "Renault");
    let name = back_up(&bench, &[]);
    // A valid zstd and SQLite file, but not the packed one.
    fs::copy(packed(&bench, &name, &zeta.workspace), packed(&bench, &name, &acme.workspace)).unwrap();
    let said = typed(&bench, &["backups", "--verify", &name]).failed();
    assert!(
        said.contains("acme: ") && said.contains("does not match its checksum") && !said.contains("zeta: "),
        "{said}"
    );
    typed(&bench, &["restore", "acme"]).failed();
    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
    typed(&bench, &["restore", "zeta"]).ok();
    fs::write(packed(&bench, &name, &acme.workspace), "nonsense").unwrap();
    typed(&bench, &["restore", "acme"]).failed();
    let into = bench.data().with_file_name("new");
    typed(&bench, &["restore", "--into", into.to_str().unwrap()]).failed();
    assert!(!into.join("central.sqlite").exists(), "nothing that can be served");
    // The backup packs a file again if the last manifest is unreadable.
    fs::write(shelf(&bench).join(&name).join("manifest.json"), "{}").unwrap();
    let said = typed(&bench, &["backups"]).failed();
    assert!(said.contains("manifest.json"), "{said}");
    assert_eq!(files_below(&bench.data().join("copies"), &[""]), Vec::<PathBuf>::new());
    bench.is_sound();
}

#[test]
fn a_workspace_that_is_damaged_is_named_and_its_last_backup_is_kept() {
    let mut bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    bench.customer(&acme.inside, "Renault");
    let good = back_up(&bench, &[]);
    bench.stop();
    fs::write(bench.file(&acme.workspace), "nonsense").unwrap();
    let failed = typed(&bench, &["backup", "--keep-last", "1"]).failed();
    assert!(failed.contains("acme") && failed.contains(&acme.workspace) && failed.contains("older"), "{failed}");
    let [older, newer] = names(&bench).try_into().unwrap();
    assert_eq!(older, good);
    assert!(packed(&bench, &newer, &zeta.workspace).exists() && !packed(&bench, &newer, &acme.workspace).exists());
    typed(&bench, &["backup", "acme"]).failed();
    assert_eq!(names(&bench).len(), 2, "a backup of nothing is none");
    bench.start();
    typed(&bench, &["restore", "acme"]).ok();
    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
    assert_eq!(back_up(&bench, &["--keep-last", "1"]), names(&bench)[0]);
    assert_eq!(names(&bench).len(), 1);
}

#[test]
fn a_folder_that_is_not_empty_a_newer_version_and_a_second_at_once_are_refused() {
    let bench = Bench::new();
    bench.team("acme");
    let name = back_up(&bench, &[]);
    let data = bench.data();
    let said = typed(&bench, &["restore", "--into", data.to_str().unwrap()]).failed();
    assert!(said.contains("is not empty"), "{said}");
    bench.is_sound();

    let lock = File::create(shelf(&bench).join("lock")).unwrap();
    lock.lock().unwrap();
    let said = typed(&bench, &["backup"]).failed();
    assert!(said.contains("another backup"), "{said}");
    drop(lock);

    let path = shelf(&bench).join(&name).join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["central"]["version"] = json!(1000);
    fs::write(&path, manifest.to_string()).unwrap();
    let said = typed(&bench, &["restore", "--into", "new"]).failed();
    assert!(said.contains("1000") && said.contains("newer"), "{said}");
    assert!(!bench.data().with_file_name("new").exists());
}

#[test]
fn what_was_interrupted_is_no_backup_and_goes_with_the_next() {
    let bench = Bench::new();
    bench.team("acme");
    let left = shelf(&bench).join("20270101T000000Z.unfinished");
    fs::create_dir_all(left.join("workspaces")).unwrap();
    fs::write(left.join("manifest.json"), "half").unwrap();
    assert_eq!(names(&bench), Vec::<String>::new());
    let name = back_up(&bench, &[]);
    assert_eq!(names(&bench), [name]);
    assert!(!left.exists());
}

#[test]
fn on_a_disk_that_is_full_there_is_an_error_and_nothing_else() {
    let Some(disk) = Disk::in_memory(8) else { return };
    let bench = Bench::new();
    let acme = bench.team("acme");
    bench.customer(&acme.inside, "Renault");
    let folder = disk.data();
    let backup = ["backup", "--backup-dir", folder.to_str().unwrap()];
    disk.fill_but(8192);
    let said = bench.cli(&backup).failed();
    assert!(said.contains("No space left"), "{said}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "the lock");
    disk.free();
    bench.cli(&backup).ok();
}

/// A new central file would lose the owners of the existing workspaces.
#[test]
fn a_central_file_that_is_lost_is_not_begun_anew_where_there_are_workspaces() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    back_up(&bench, &[]);
    bench.stop();
    fs::remove_file(bench.data().join("central.sqlite")).unwrap();
    let said = bench.refused_start();
    assert!(said.contains("central.sqlite") && said.contains("restore"), "{said}");
    assert!(!bench.data().join("central.sqlite").exists());
    let into = bench.data().with_file_name("new");
    typed(&bench, &["restore", "--into", into.to_str().unwrap()]).ok();
    fs::rename(into.join("central.sqlite"), bench.data().join("central.sqlite")).unwrap();
    bench.start();
    bench.customer(&acme.inside, "Renault");
    bench.post(&central(), "/login", json!({"email": email("acme"), "password": PASSWORD})).ok();
}

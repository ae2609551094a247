//! Which commands create an instance, and which backups in a folder belong to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{Server, Typed, program, run};
use crate::test_server::{PASSWORD, TestServer, sqlite, text};

/// The arguments of each command that requires some. A command that is missing here fails the test.
const ARGUMENTS: &[(&str, &str)] = &[
    ("account create", "--name Ada --email ada@example.com"),
    ("account delete", "ada@example.com --confirm ada@example.com"),
    ("account disable", "ada@example.com"),
    ("account list", ""),
    ("account rename", "ada@example.com --name Ada"),
    ("account reset-second-factor", "ada@example.com"),
    ("account set-password", "ada@example.com"),
    ("account unlock", "ada@example.com"),
    ("backup", ""),
    ("backup-key", ""),
    ("backups", ""),
    ("cluster check", ""),
    ("cluster drain", "one"),
    ("cluster leave", ""),
    ("cluster move", "00 one"),
    ("cluster restore", "--into restored"),
    ("cluster status", ""),
    ("completions", "bash"),
    ("demo", ""),
    ("doctor", "--fix"),
    ("health", ""),
    ("mail test", "ada@example.com"),
    ("man", "/dev/null/man1"),
    ("openapi", "central"),
    ("restore", "acme"),
    ("routes", ""),
    ("serve", ""),
    ("status", ""),
    ("token list", "ada@example.com"),
    ("token revoke", "1"),
    ("token rotate-keys", "--lost"),
    ("upgrade check", ""),
    ("upgrade revert", ""),
    ("user add", "ada@example.com --workspace acme"),
    ("user list", "--workspace acme"),
    ("user remove", "ada@example.com --workspace acme"),
    ("user set-role", "ada@example.com --workspace acme --role agent"),
    ("workspace allow-passwords", "acme"),
    ("workspace create", "--name Acme --owner ada@example.com"),
    ("workspace delete", "acme --confirm acme"),
    ("workspace export", "acme customers"),
    ("workspace export-file", "acme acme.sqlite"),
    ("workspace import", "acme customers customers.csv"),
    ("workspace import-file", "acme.sqlite --owner ada@example.com"),
    ("workspace list", ""),
    ("workspace rename", "acme --name Acme"),
    ("workspace restore", "acme"),
    ("workspace restore-file", "acme acme.sqlite"),
    ("workspace resume", "acme"),
    ("workspace suspend", "acme"),
];

/// These create an instance.
const CREATING: [&str; 3] = ["account create", "demo", "serve"];

/// These need no instance: they print parts of the program, or send a request to a server.
const WITHOUT: [&str; 11] = [
    "backup-key",
    "cluster check",
    "cluster drain",
    "cluster move",
    "cluster restore",
    "cluster status",
    "completions",
    "health",
    "man",
    "openapi",
    "routes",
];

/// Every command of the tree, from the output of `cx-engine help`.
pub fn commands(folder: &Path, path: &[String]) -> Vec<String> {
    let help = run(program(folder).args(path).arg("--help"), "").ok();
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return vec![path.join(" ")] };
    let names = listed.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.flat_map(|name| commands(folder, &[path, &[name.to_owned()]].concat())).collect()
}

/// Every path below a folder, with its size and time of change.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (u64, Option<std::time::SystemTime>)> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        let data = fs::symlink_metadata(&path).unwrap();
        found.extend(contents(&path));
        found.insert(path, (data.len(), data.modified().ok()));
    }
    found
}

#[test]
fn no_command_but_serve_demo_and_account_create_creates_an_instance() {
    let folder = tempfile::tempdir().unwrap();
    let (typo, empty) = (folder.path().join("typo"), folder.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    for file in ["customers.csv", "acme.sqlite"] {
        fs::write(folder.path().join(file), "name\nRenault\n").unwrap();
    }
    let all = commands(folder.path(), &[]);
    let known: Vec<&str> = ARGUMENTS.iter().map(|(command, _)| *command).collect();
    assert!(all.iter().all(|command| known.contains(&command.as_str())), "a command is not in the table: {all:?}");
    assert_eq!(all.len(), known.len(), "a command of the table is gone: {all:?}");
    let before = contents(folder.path());
    for (command, arguments) in ARGUMENTS.iter().filter(|(command, _)| !CREATING.contains(command)) {
        for data in [&typo, &empty] {
            let mut typed = program(folder.path());
            typed.args(command.split(' ')).args(arguments.split(' ').filter(|word| !word.is_empty()));
            let typed = run(typed.arg("--data-dir").arg(data), &format!("{PASSWORD}\n"));
            if !WITHOUT.contains(command) {
                let said = typed.failed();
                let expected = format!("no data directory at {}", data.display());
                assert!(said.contains(&expected), "{command}: {said}");
            }
            assert_eq!(contents(folder.path()), before, "{command} left something behind");
        }
    }
}

#[test]
fn an_account_that_cannot_be_created_creates_no_instance() {
    let folder = tempfile::tempdir().unwrap();
    for (email, password) in [("ada", PASSWORD), ("ada@example.com", "short")] {
        let create = ["account", "create", "--name", "Ada", "--email", email];
        run(program(folder.path()).args(create), password).failed();
        assert!(!folder.path().join("data").exists());
    }
    run(program(folder.path()).args(["account", "create", "--name", "Ada", "--email", "ada@example.com"]), PASSWORD)
        .ok();
    assert!(folder.path().join("data/central.sqlite").exists());
}

#[test]
fn a_server_that_cannot_listen_leaves_no_folder_behind() {
    let server = TestServer::new();
    let folder = tempfile::tempdir().unwrap();
    let taken = server.address().to_string();
    for command in ["serve", "demo"] {
        let said = run(program(folder.path()).args([command, "--listen", &taken]), "").failed();
        assert!(said.contains(&format!("{taken} is in use")) && !said.contains("os error"), "{said}");
        assert!(!folder.path().join("data").exists(), "{command}");
        let nowhere = ["--tls-certificate", "nowhere.pem", "--tls-key", "nowhere.pem", "--listen", "127.0.0.1:0"];
        run(program(folder.path()).arg(command).args(nowhere), "").failed();
        assert!(!folder.path().join("data").exists(), "{command} without its certificate");
    }
}

/// An instance without a server, and backups in a folder that others use too.
struct Instance {
    folder: PathBuf,
    shelf: PathBuf,
}

impl Instance {
    fn new(root: &Path, name: &str) -> Self {
        let made = Self { folder: root.join(name), shelf: root.join("shelf") };
        fs::create_dir(&made.folder).unwrap();
        let account = ["account", "create", "--name", "Ada", "--email", "ada@example.com"];
        run(program(&made.folder).args(account), PASSWORD).ok();
        made.typed(&["workspace", "create", "--name", name, "--subdomain", name, "--owner", "ada@example.com"]).ok();
        made
    }

    fn typed(&self, arguments: &[&str]) -> Typed {
        run(program(&self.folder).args(arguments).env("CX_BACKUP_DIR", &self.shelf), "")
    }

    fn back_up(&self, arguments: &[&str]) -> String {
        let said = self.typed(&[&["backup", "--json"], arguments].concat()).ok();
        text(&serde_json::from_str::<Value>(&said).unwrap()["name"])
    }

    fn names(&self, arguments: &[&str]) -> Vec<String> {
        let said = self.typed(&[&["backups", "--json"], arguments].concat()).ok();
        let listed: Vec<Value> = serde_json::from_str(&said).unwrap();
        listed.iter().map(|backup| text(&backup["name"])).collect()
    }

    fn id(&self) -> String {
        let central = sqlite(&self.folder.join("data/central.sqlite"));
        central.query_row("SELECT id FROM instance", [], |row| row.get(0)).unwrap()
    }

    fn manifest(&self, name: &str) -> PathBuf {
        self.shelf.join(name).join("manifest.json")
    }
}

#[test]
fn instances_that_share_a_folder_keep_restore_and_delete_only_their_own_backups() {
    let root = tempfile::tempdir().unwrap();
    let (acme, zeta) = (Instance::new(root.path(), "acme"), Instance::new(root.path(), "zeta"));
    assert_ne!(acme.id(), zeta.id());
    let of_acme = acme.back_up(&[]);
    let alone = acme.back_up(&["acme"]);
    let of_zeta = [zeta.back_up(&["--keep-last", "1"]), zeta.back_up(&["--keep-last", "1"])];
    assert_eq!(acme.names(&[]), [of_acme.clone(), alone.clone()]);
    assert_eq!(zeta.names(&[]), [of_zeta[1].clone()], "it deleted its own");
    assert_eq!(zeta.names(&["--all"]).len(), 3);

    let listed = zeta.typed(&["backups"]).ok();
    assert!(listed.contains(&format!("2 backups of the instance {}", acme.id())), "{listed}");
    let said = zeta.typed(&["restore", "acme"]).failed();
    assert!(said.contains("no workspace acme, and no backup of it") && said.contains(&acme.id()), "{said}");
    let said = zeta.typed(&["restore", "acme", "--backup", &of_acme]).failed();
    assert!(said.contains("a backup of another instance") && said.contains(&acme.id()), "{said}");
    let said = zeta.typed(&["backups", &of_acme]).failed();
    assert!(said.contains("--all"), "{said}");
    zeta.typed(&["backups", &of_acme, "--all", "--verify"]).ok();
    // The instance in the data directory is the default.
    zeta.typed(&["restore", "--into", "again"]).ok();
    assert!(zeta.folder.join("again/central.sqlite").exists());
}

#[test]
fn a_restored_instance_keeps_its_id_and_its_backups_also_on_a_new_machine() {
    let root = tempfile::tempdir().unwrap();
    let (acme, zeta) = (Instance::new(root.path(), "acme"), Instance::new(root.path(), "zeta"));
    let (of_acme, of_zeta) = (acme.back_up(&[]), zeta.back_up(&[]));
    let id = acme.id();
    let machine = Instance { folder: root.path().join("machine"), shelf: acme.shelf.clone() };
    fs::create_dir(&machine.folder).unwrap();
    assert_eq!(machine.names(&["--all"]).len(), 2, "without an instance, the folder can be listed");
    machine.typed(&["backups", "--all", "--verify"]).ok();
    // With two instances, the command needs a choice.
    let said = machine.typed(&["restore", "--into", "data"]).failed();
    assert!(said.contains("several instances") && said.contains(&id) && said.contains(&zeta.id()), "{said}");
    assert!(!machine.folder.join("data").exists());
    machine.typed(&["restore", "--into", "data", "--instance", &id]).ok();
    assert_eq!(machine.id(), id);
    assert_eq!(machine.names(&[]), [of_acme]);
    machine.typed(&["restore", "acme"]).ok();
    machine.typed(&["restore", "--into", "named", "--backup", &of_zeta]).ok();
    let newer = machine.back_up(&["--keep-last", "1"]);
    assert_eq!(machine.names(&[]), [newer]);
    assert_eq!(zeta.names(&[]), [of_zeta]);
}

/// Versions before 0.2 wrote no id. If an instance can open such a backup with its keys, it keeps and prunes it.
#[test]
fn a_backup_that_names_no_instance_is_known_by_its_keys_and_is_else_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let (acme, zeta) = (Instance::new(root.path(), "acme"), Instance::new(root.path(), "zeta"));
    let (whole, alone, theirs) = (acme.back_up(&[]), acme.back_up(&["acme"]), zeta.back_up(&[]));
    for name in [&whole, &alone, &theirs] {
        let path = acme.manifest(name);
        let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        manifest.as_object_mut().unwrap().remove("instance").unwrap();
        fs::write(&path, manifest.to_string()).unwrap();
    }
    assert_eq!(acme.names(&[]), std::slice::from_ref(&whole));
    let listed = acme.typed(&["backups"]).ok();
    assert!(listed.contains("2 backups of an earlier version"), "{listed}");
    acme.typed(&["restore", "acme"]).ok();
    acme.typed(&["restore", "acme", "--backup", &alone]).ok();
    acme.typed(&["restore", "acme", "--backup", &theirs]).failed();
    let newer = acme.back_up(&["--keep-last", "1"]);
    assert_eq!(acme.names(&[]), [newer]);
    assert_eq!(acme.names(&["--all"]).len(), 3, "those of which nobody knows whose they are stay");
    assert!(acme.manifest(&theirs).exists() && acme.manifest(&alone).exists());
}

#[test]
fn the_demo_has_a_folder_of_its_own_and_refuses_any_other_instance() {
    let server = TestServer::new();
    server.team("acme");
    let said = server.cli(&["demo", "--listen", "127.0.0.1:0", "--data-dir", "data"]).failed();
    assert!(said.contains("not a demo") && said.contains("published password"), "{said}");
    assert!(!server.cli(&["account", "list"]).ok().contains("demo@example.com"));

    let folder = server.data().parent().unwrap().to_owned();
    let mut demo = program(&folder);
    demo.args(["demo", "--listen", "127.0.0.1:0"]);
    let mut demo = Server::start(demo, &folder);
    let accounts = server.cli(&["account", "list", "--data-dir", "data/demo"]).ok();
    assert!(accounts.contains("demo@example.com") && !accounts.contains("acme@example.com"), "{accounts}");
    assert!(!server.cli(&["account", "list"]).ok().contains("demo@example.com"));
    demo.stop();
    // If others can reach the server, `serve` rejects the published password.
    let said = server.cli(&["serve", "--data-dir", "data/demo", "--listen", "0.0.0.0:0"]).failed();
    assert!(said.contains("published"), "{said}");
    let mut served = program(&folder);
    served.args(["serve", "--data-dir", "data/demo", "--listen", "127.0.0.1:0"]);
    assert!(Server::start(served, &folder).stop().success());
    server.is_sound();
}

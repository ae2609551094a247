//! An update of the program: the files follow in the background, and the way back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Typed, program, run};
use crate::test_server::{TestServer, at, eventually, sqlite, text};

/// The files of an instance of an older version, compressed: two workspaces with a customer each.
const OLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/older_instance");

/// The versions of its files.
const CENTRAL: i64 = 13;
const WORKSPACES: i64 = 17;

struct Older {
    folder: TempDir,
}

impl Older {
    fn new() -> Self {
        let older = Self { folder: tempfile::tempdir().unwrap() };
        for entry in fs::read_dir(OLDER).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            let name = entry.file_stem().unwrap().to_str().unwrap();
            let path = match name.strip_suffix(".sqlite").unwrap() {
                "central" => older.data().join(name),
                id => older.data().join("workspaces").join(&id[id.len() - 2..]).join(name),
            };
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, zstd::decode_all(fs::File::open(entry).unwrap()).unwrap()).unwrap();
        }
        fs::create_dir(older.data().join("keys")).unwrap();
        for key in fs::read_dir(format!("{OLDER}/keys")).unwrap().map(|entry| entry.unwrap()) {
            let path = older.data().join("keys").join(key.file_name());
            fs::copy(key.path(), &path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        older
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn files(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.data().join("workspaces")).unwrap().map(|entry| entry.unwrap().path());
        let files = folders.filter(|path| path.is_dir()).flat_map(|folder| fs::read_dir(folder).unwrap());
        files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().unwrap() == "sqlite").collect()
    }

    fn upgrade(&self, command: &str) -> Typed {
        run(program(self.folder.path()).args(["upgrade", command]), "")
    }

    fn check(&self) -> (Option<i32>, Value) {
        let typed = run(program(self.folder.path()).args(["upgrade", "check", "--json"]), "");
        (typed.code, serde_json::from_str(&typed.out).unwrap())
    }

    /// The versions of the central file and of the workspaces.
    fn versions(&self) -> (i64, Vec<i64>) {
        let found = self.check().1;
        let workspaces = found["workspaces"].as_array().unwrap().iter().map(|known| known["version"].as_i64().unwrap());
        (found["central"].as_i64().unwrap(), workspaces.collect())
    }
}

fn customers(file: &Path) -> i64 {
    sqlite(file).query_row("SELECT count(*) FROM customers", [], |row| row.get(0)).unwrap()
}

fn copies(data: &Path) -> usize {
    fs::read_dir(data.join("before-update")).map_or(0, Iterator::count)
}

#[test]
fn the_files_are_copied_and_updated_in_the_background_and_can_be_put_back() {
    let older = Older::new();
    let (code, before) = older.check();
    assert_eq!((code, older.versions()), (Some(0), (CENTRAL, vec![WORKSPACES])));
    assert!(before["bytes_to_copy"].as_u64().unwrap() > 1_000_000, "{before}");
    assert!(older.upgrade("check").ok().contains("2 workspaces"));

    let mut server = TestServer::on(&older.data(), &[]);
    let known = |name: &str| before["program"][name].as_i64().unwrap();
    let updated = (known("central"), vec![known("workspaces")]);
    eventually("all files are updated", || older.versions() == updated);
    assert_eq!(copies(&older.data()), 3);
    let ada = server.log_in("ada");
    let workspaces = server.get(&ada, "/workspaces").ok();
    for workspace in workspaces["data"].as_array().unwrap() {
        let inside = server.enter(&ada, &text(&workspace["id"]));
        assert_eq!(server.customers(&inside), [format!("Customer of {}", text(&workspace["subdomain"]))]);
        server.customer(&inside, "written later");
    }
    assert!(older.upgrade("revert").failed().contains("another server is running"));
    assert!(server.stop().success());
    let note = older.data().join("central.sqlite.stored");
    fs::write(&note, "").unwrap();
    assert!(older.upgrade("revert").failed().contains("cluster restore --at"));
    fs::remove_file(note).unwrap();

    let said = older.upgrade("revert").ok();
    assert!(said.contains("2 workspaces as before the update"), "{said}");
    assert_eq!(older.versions(), (CENTRAL, vec![WORKSPACES]));
    for file in older.files() {
        assert_eq!(customers(&file), 1);
    }
    let aside = fs::read_dir(older.data().join("set-aside")).unwrap().map(|entry| entry.unwrap().path());
    let workspaces = aside.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with("central"));
    assert_eq!(workspaces.map(|path| customers(&path)).collect::<Vec<_>>(), [2, 2]);
    assert!(older.upgrade("revert").failed().contains("nothing can be put back"));

    // The newer program may be started again.
    server.start();
    eventually("all files are updated again", || older.versions() == updated);
}

#[test]
fn a_file_that_cannot_be_copied_is_not_updated() {
    let older = Older::new();
    fs::write(older.data().join("before-update"), "in the way").unwrap();
    let said = run(program(older.folder.path()).args(["serve", "--listen", "127.0.0.1:0"]), "").failed();
    assert!(said.contains("before its update") || said.contains("before-update"), "{said}");
    assert_eq!(older.versions(), (CENTRAL, vec![WORKSPACES]));
}

#[test]
fn a_damaged_file_stops_the_update_of_no_other() {
    let older = Older::new();
    let files = older.files();
    let damaged = files[0].clone();
    let mut content = fs::read(&damaged).unwrap();
    content[4096..].fill(7);
    fs::write(&damaged, content).unwrap();
    let server = TestServer::on(&older.data(), &[]);
    eventually("the other is updated", || older.check().1["workspaces"].as_array().unwrap().len() == 2);
    let ada = server.log_in("ada");
    let workspaces = server.get(&ada, "/workspaces").ok();
    let answers = workspaces["data"].as_array().unwrap().iter().map(|workspace| {
        let answer = server.post(&ada, "/switch-to", json!({"workspace_id": workspace["id"]}));
        match answer.status {
            200 => server.get(&at(&text(&workspace["subdomain"])).with(&answer.ok()["token"]), "/customers").status,
            status => status,
        }
    });
    let mut answers: Vec<u16> = answers.collect();
    answers.sort_unstable();
    assert_eq!(answers, [200, 503]);
}

#[test]
fn files_of_a_newer_program_are_named() {
    let older = Older::new();
    let newer = older.files().remove(0);
    let db = sqlite(&newer);
    db.pragma_update(None, "user_version", 999).unwrap();
    drop(db);
    let (code, found) = older.check();
    assert_eq!(code, Some(3));
    assert_eq!(found["problems"], json!(["a newer program has updated 1 workspace"]));
    fs::write(&newer, "no database").unwrap();
    let (code, found) = older.check();
    assert_eq!(code, Some(3));
    let named = text(&found["unreadable"][0]["path"]);
    assert!(newer.ends_with(&named), "{found}");
}

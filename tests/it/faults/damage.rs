//! Damaged files, while the server runs and while it does not: only the affected workspace notices.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::json;

use crate::test_server::{PASSWORD, Team, TestServer, central, email, eventually, sqlite};

/// The page size of SQLite.
const PAGE: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// Everything after the first page is overwritten.
    Overwritten,
    /// The header is overwritten: SQLite does not recognize the file.
    Foreign,
    /// The second half is missing.
    Truncated,
    Empty,
}

const ALL: [Damage; 4] = [Damage::Overwritten, Damage::Foreign, Damage::Truncated, Damage::Empty];

impl Damage {
    fn does_to(self, path: &Path) {
        let mut file = File::options().write(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        let (from, to) = match self {
            Self::Overwritten => (PAGE, length),
            Self::Foreign => (0, PAGE),
            Self::Truncated => return file.set_len(length / 2 / PAGE * PAGE).unwrap(),
            Self::Empty => return file.set_len(0).unwrap(),
        };
        file.seek(SeekFrom::Start(from)).unwrap();
        file.write_all(&vec![0xA5; usize::try_from(to - from).unwrap()]).unwrap();
    }
}

/// Checkpoints the WAL of a file. The change by another program makes the server drop its cached pages.
fn settle(path: &Path) {
    let file = sqlite(path);
    file.execute_batch("CREATE TABLE another (program); DROP TABLE another").unwrap();
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        .map(|busy| assert_eq!(busy, 0))
        .unwrap();
}

/// Creates a customer in `acme`, exports the workspace, and creates another customer that the exported file lacks.
fn exported(server: &TestServer, acme: &Team) -> String {
    server.customer(&acme.inside, "Renault");
    let file = server.data().with_file_name("acme.sqlite");
    server.cli(&["workspace", "export-file", "acme", file.to_str().unwrap()]).ok();
    server.customer(&acme.inside, "Peugeot");
    file.to_str().unwrap().to_owned()
}

/// Checks that the damage of `acme` is reported, that `zeta` is unaffected, and that a restore fixes it.
fn is_found_and_mended(server: &TestServer, acme: &Team, zeta: &Team, file: &str, damage: Damage) {
    eventually("the damage is met with", || server.get(&acme.inside, "/customers").status != 200);
    for answer in [
        server.get(&acme.inside, "/customers"),
        server.get(&acme.inside, "/customers/1"),
        server.post(&acme.inside, "/customers", json!({"name": "refused"})),
    ] {
        answer.refused(503, "workspace_damaged");
    }
    assert_eq!(server.customers(&zeta.inside), ["a neighbour's"]);
    server.get(&acme.owner, "/workspaces").ok();
    assert!(server.whole_log().contains(&acme.workspace), "{damage:?}");
    let (said, code) = server.doctor();
    assert_eq!(code, Some(3), "{damage:?}: {said}");
    assert!(said.contains(&acme.workspace) && !said.contains(&zeta.workspace), "{damage:?}: {said}");

    let said = server.cli(&["workspace", "restore-file", "acme", file]).ok();
    assert!(said.contains("restored acme from"), "{damage:?}: {said}");
    assert_eq!(server.customers(&acme.inside), ["Renault"], "{damage:?}");
    server.customer(&acme.inside, "Citroën");
    server.is_sound();
}

#[test]
fn a_workspace_whose_file_is_damaged_while_the_server_runs_is_found_and_mended_beside_the_others() {
    let server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    server.customer(&zeta.inside, "a neighbour's");
    let file = exported(&server, &acme);
    for damage in ALL {
        settle(&server.file(&acme.workspace));
        damage.does_to(&server.file(&acme.workspace));
        is_found_and_mended(&server, &acme, &zeta, &file, damage);
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn a_workspace_whose_file_is_damaged_while_no_server_runs_is_found_and_mended_beside_the_others() {
    let mut server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    server.customer(&zeta.inside, "a neighbour's");
    let file = exported(&server, &acme);
    for damage in ALL {
        server.stop();
        damage.does_to(&server.file(&acme.workspace));
        server.start();
        is_found_and_mended(&server, &acme, &zeta, &file, damage);
    }
}

#[test]
fn a_server_whose_central_file_is_damaged_does_not_start_and_names_it() {
    let mut server = TestServer::new();
    server.team("acme");
    server.stop();
    let path = server.data().join("central.sqlite");
    let good = fs::read(&path).unwrap();
    for damage in ALL {
        damage.does_to(&path);
        let said = server.refused_start();
        assert!(said.contains("central.sqlite"), "{damage:?}: {said}");
        fs::write(&path, &good).unwrap();
    }
    server.start();
    server.is_sound();
}

#[test]
fn a_server_whose_central_file_is_damaged_while_it_runs_says_so_and_does_not_fall() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    let path = server.data().join("central.sqlite");
    settle(&path);
    let good = fs::read(&path).unwrap();
    Damage::Overwritten.does_to(&path);
    let log_in = || server.post(&central(), "/login", json!({"email": email("acme"), "password": PASSWORD}));
    eventually("the damage is met with", || log_in().status != 200);
    log_in().refused(503, "server_damaged");
    server.get(&acme.owner, "/workspaces").refused(503, "server_damaged");
    assert!(!server.log().contains("panicked"), "{}", server.log());
    server.kill();
    server.ended();
    for log in ["-wal", "-shm"] {
        let _ = fs::remove_file(path.with_file_name(format!("central.sqlite{log}")));
    }
    fs::write(&path, good).unwrap();
    server.start();
    server.log_in("acme");
}

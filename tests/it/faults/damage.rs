//! Damaged files, while the server runs and while it does not: only the affected workspace notices.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::json;

use crate::bench::{Bench, PASSWORD, Team, central, email, eventually, sqlite};

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
fn exported(bench: &Bench, acme: &Team) -> String {
    bench.customer(&acme.inside, "Renault");
    let file = bench.data().with_file_name("acme.sqlite");
    bench.cli(&["workspace", "export-file", "acme", file.to_str().unwrap()]).ok();
    bench.customer(&acme.inside, "Peugeot");
    file.to_str().unwrap().to_owned()
}

/// Checks that the damage of `acme` is reported, that `zeta` is unaffected, and that a restore fixes it.
fn is_found_and_mended(bench: &Bench, acme: &Team, zeta: &Team, file: &str, damage: Damage) {
    eventually("the damage is met with", || bench.get(&acme.inside, "/customers").status != 200);
    for answer in [
        bench.get(&acme.inside, "/customers"),
        bench.get(&acme.inside, "/customers/1"),
        bench.post(&acme.inside, "/customers", json!({"name": "refused"})),
    ] {
        answer.refused(503, "workspace_damaged");
    }
    assert_eq!(bench.customers(&zeta.inside), ["a neighbour's"]);
    bench.get(&acme.owner, "/workspaces").ok();
    assert!(bench.whole_log().contains(&acme.workspace), "{damage:?}");
    let (said, code) = bench.doctor();
    assert_eq!(code, Some(3), "{damage:?}: {said}");
    assert!(said.contains(&acme.workspace) && !said.contains(&zeta.workspace), "{damage:?}: {said}");

    let said = bench.cli(&["workspace", "restore-file", "acme", file]).ok();
    assert!(said.contains("restored acme from"), "{damage:?}: {said}");
    assert_eq!(bench.customers(&acme.inside), ["Renault"], "{damage:?}");
    bench.customer(&acme.inside, "Citroën");
    bench.is_sound();
}

#[test]
fn a_workspace_whose_file_is_damaged_while_the_server_runs_is_found_and_mended_beside_the_others() {
    let bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    bench.customer(&zeta.inside, "a neighbour's");
    let file = exported(&bench, &acme);
    for damage in ALL {
        settle(&bench.file(&acme.workspace));
        damage.does_to(&bench.file(&acme.workspace));
        is_found_and_mended(&bench, &acme, &zeta, &file, damage);
    }
    assert!(!bench.log().contains("panicked"), "{}", bench.log());
}

#[test]
fn a_workspace_whose_file_is_damaged_while_no_server_runs_is_found_and_mended_beside_the_others() {
    let mut bench = Bench::new();
    let (acme, zeta) = (bench.team("acme"), bench.team("zeta"));
    bench.customer(&zeta.inside, "a neighbour's");
    let file = exported(&bench, &acme);
    for damage in ALL {
        bench.stop();
        damage.does_to(&bench.file(&acme.workspace));
        bench.start();
        is_found_and_mended(&bench, &acme, &zeta, &file, damage);
    }
}

#[test]
fn a_server_whose_central_file_is_damaged_does_not_start_and_names_it() {
    let mut bench = Bench::new();
    bench.team("acme");
    bench.stop();
    let path = bench.data().join("central.sqlite");
    let good = fs::read(&path).unwrap();
    for damage in ALL {
        damage.does_to(&path);
        let said = bench.refused_start();
        assert!(said.contains("central.sqlite"), "{damage:?}: {said}");
        fs::write(&path, &good).unwrap();
    }
    bench.start();
    bench.is_sound();
}

#[test]
fn a_server_whose_central_file_is_damaged_while_it_runs_says_so_and_does_not_fall() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    let path = bench.data().join("central.sqlite");
    settle(&path);
    let good = fs::read(&path).unwrap();
    Damage::Overwritten.does_to(&path);
    let log_in = || bench.post(&central(), "/login", json!({"email": email("acme"), "password": PASSWORD}));
    eventually("the damage is met with", || log_in().status != 200);
    log_in().refused(503, "server_damaged");
    bench.get(&acme.owner, "/workspaces").refused(503, "server_damaged");
    assert!(!bench.log().contains("panicked"), "{}", bench.log());
    bench.kill();
    bench.ended();
    for log in ["-wal", "-shm"] {
        let _ = fs::remove_file(path.with_file_name(format!("central.sqlite{log}")));
    }
    fs::write(&path, good).unwrap();
    bench.start();
    bench.log_in("acme");
}

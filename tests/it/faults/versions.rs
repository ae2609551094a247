//! Files of other versions: newer files are rejected by name, older ones are migrated or stay unchanged.

use std::fs;
use std::path::Path;

use refinery::{Runner, Target, load_sql_migrations};

use crate::test_server::{Team, TestServer, email, sqlite};

/// A version that no file has yet.
const LATER: i64 = 9_999;

fn version(path: &Path) -> i64 {
    sqlite(path).query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

fn set_version(path: &Path, version: i64) {
    sqlite(path).pragma_update(None, "user_version", version).unwrap();
}

#[test]
fn a_workspace_of_a_newer_version_is_left_alone_and_the_others_go_on() {
    let mut server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    server.stop();
    let path = server.file(&acme.workspace);
    let known = version(&path);
    set_version(&path, LATER);
    server.start();
    server.get(&acme.inside, "/customers").refused(503, "workspace_damaged");
    server.customer(&zeta.inside, "a neighbour's");
    let said = format!("has version {LATER}, but this program supports versions up to {known}");
    assert!(server.whole_log().contains(&said) && server.log().contains(&acme.workspace), "{}", server.log());
    let (doctor, code) = server.doctor();
    assert_eq!(code, Some(3), "{doctor}");
    assert!(doctor.contains(&acme.workspace) && doctor.contains(&said), "{doctor}");
    assert_eq!(version(&path), LATER);
    set_version(&path, known);
    server.customer(&acme.inside, "Renault");
}

#[test]
fn a_server_whose_central_file_is_of_a_newer_version_does_not_start_and_names_it() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    server.stop();
    let path = server.data().join("central.sqlite");
    let known = version(&path);
    set_version(&path, LATER);
    for said in [server.refused_start(), server.cli(&["doctor"]).failed()] {
        assert!(said.contains("central.sqlite") && said.contains(&LATER.to_string()), "{said}");
        assert!(said.contains(&format!("up to {known}")), "{said}");
    }
    assert_eq!(version(&path), LATER);
    set_version(&path, known);
    server.start();
    server.customer(&acme.inside, "Renault");
}

/// Two versions before the one with call routing: if the second migration fails, the first must be undone too.
const EARLIER: i32 = 7;

/// Creates a workspace's file of an earlier version, with a foreign table whose name a later migration needs.
fn make_earlier(path: &Path, team: &Team) {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/workspace");
    let migrations = load_sql_migrations(migrations).unwrap();
    let mut db = sqlite(path);
    db.pragma_update(None, "journal_mode", "wal").unwrap();
    Runner::new(&migrations).set_target(Target::Version(EARLIER)).run(&mut db).unwrap();
    let moment = 1_700_000_000;
    db.execute("INSERT INTO workspace (id, created_at) VALUES (?1, ?2)", (&team.workspace, moment)).unwrap();
    db.execute(
        "INSERT INTO users (account_id, name, account_name, email, role_id, created_at, updated_at)
         SELECT 1, 'Ada', 'Ada', ?1, id, ?2, ?2 FROM roles WHERE name = 'admin'",
        (email("acme"), moment),
    )
    .unwrap();
    db.execute("CREATE TABLE routing_options (obstacle)", []).unwrap();
    db.pragma_update(None, "user_version", EARLIER).unwrap();
}

#[test]
fn a_migration_that_fails_leaves_the_file_as_it_was_and_is_done_once_nothing_is_in_its_way() {
    let mut server = TestServer::new();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    server.stop();
    let path = server.file(&acme.workspace);
    fs::remove_file(&path).unwrap();
    make_earlier(&path, &acme);
    let before = fs::read(&path).unwrap();
    server.start();
    for _ in 0..2 {
        server.get(&acme.inside, "/customers").refused(503, "workspace_damaged");
    }
    server.customer(&zeta.inside, "a neighbour's");
    let log = server.whole_log();
    assert!(log.contains("a migration failed; the file is unchanged") && log.contains(&acme.workspace), "{log}");
    server.stop();
    assert_eq!(version(&path), i64::from(EARLIER));
    assert!(fs::read(&path).unwrap() == before, "no byte has changed");

    sqlite(&path).execute("DROP TABLE routing_options", []).unwrap();
    server.start();
    server.customer(&acme.inside, "Renault");
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    assert_eq!(version(&path), version(&server.file(&zeta.workspace)));
    server.is_sound();
}

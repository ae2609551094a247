//! Missing or invalid files in `data/keys`: no server silently creates a new key, which would log everyone out and make
//! repeated requests run again.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::test_server::TestServer;

fn key(server: &TestServer) -> PathBuf {
    fs::read_dir(server.data().join("keys")).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn a_server_whose_key_is_gone_does_not_start_until_it_is_back() {
    let mut server = TestServer::new();
    let acme = server.team("acme").inside;
    server.keyed_customer(&acme, "Renault").created();
    server.stop();
    let (key, elsewhere) = (key(&server), server.data().with_file_name("elsewhere"));
    fs::rename(&key, &elsewhere).unwrap();
    let said = server.refused_start();
    assert!(said.contains("data/keys has no key") && said.contains("rotate-keys --lost"), "{said}");
    fs::remove_dir(key.parent().unwrap()).unwrap();
    assert!(server.refused_start().contains("data/keys has no key"));
    assert!(server.cli(&["workspace", "list"]).failed().contains("data/keys has no key"));
    assert!(!key.parent().unwrap().exists(), "nothing is made in its place");

    fs::create_dir(key.parent().unwrap()).unwrap();
    fs::rename(&elsewhere, &key).unwrap();
    server.start();
    let again = server.keyed_customer(&acme, "Renault");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(server.customers(&acme), ["Renault"]);
}

#[test]
fn where_there_is_no_backup_of_it_another_is_asked_for_and_everybody_logs_in_again() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    assert!(server.cli(&["token", "rotate-keys", "--lost"]).failed().contains("no keys are lost"));
    server.stop();
    fs::remove_file(key(&server)).unwrap();
    server.cli(&["token", "rotate-keys", "--lost"]).ok();
    server.start();
    server.get(&acme.inside, "/customers").refused(401, "token_invalid");
    let inside = server.enter(&server.log_in("acme"), &acme.workspace);
    assert_eq!(server.customers(&inside), ["Renault"]);
    server.is_sound();
}

#[test]
fn a_key_that_others_can_read_and_one_that_is_none_are_refused_by_name() {
    let mut server = TestServer::new();
    server.register("ada");
    server.stop();
    let key = key(&server);
    let name = key.file_name().unwrap().to_str().unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let said = server.refused_start();
    assert!(said.contains(name) && said.contains("chmod 600"), "{said}");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let good = fs::read(&key).unwrap();
    fs::write(&key, &good[..20]).unwrap();
    let said = server.refused_start();
    assert!(said.contains(name) && said.contains("is not a key"), "{said}");
    fs::write(&key, good).unwrap();
    server.start();
}

//! Missing or invalid files in `data/keys`: no server silently creates a new key, which would log everyone out and make
//! repeated requests run again.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::bench::Bench;

fn key(bench: &Bench) -> PathBuf {
    fs::read_dir(bench.data().join("keys")).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn a_server_whose_key_is_gone_does_not_start_until_it_is_back() {
    let mut bench = Bench::new();
    let acme = bench.team("acme").inside;
    bench.keyed_customer(&acme, "Renault").created();
    bench.stop();
    let (key, elsewhere) = (key(&bench), bench.data().with_file_name("elsewhere"));
    fs::rename(&key, &elsewhere).unwrap();
    let said = bench.refused_start();
    assert!(said.contains("data/keys has no key") && said.contains("rotate-keys --lost"), "{said}");
    fs::remove_dir(key.parent().unwrap()).unwrap();
    assert!(bench.refused_start().contains("data/keys has no key"));
    assert!(bench.cli(&["workspace", "list"]).failed().contains("data/keys has no key"));
    assert!(!key.parent().unwrap().exists(), "nothing is made in its place");

    fs::create_dir(key.parent().unwrap()).unwrap();
    fs::rename(&elsewhere, &key).unwrap();
    bench.start();
    let again = bench.keyed_customer(&acme, "Renault");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(bench.customers(&acme), ["Renault"]);
}

#[test]
fn where_there_is_no_backup_of_it_another_is_asked_for_and_everybody_logs_in_again() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    bench.customer(&acme.inside, "Renault");
    assert!(bench.cli(&["token", "rotate-keys", "--lost"]).failed().contains("no keys are lost"));
    bench.stop();
    fs::remove_file(key(&bench)).unwrap();
    bench.cli(&["token", "rotate-keys", "--lost"]).ok();
    bench.start();
    bench.get(&acme.inside, "/customers").refused(401, "token_invalid");
    let inside = bench.enter(&bench.log_in("acme"), &acme.workspace);
    assert_eq!(bench.customers(&inside), ["Renault"]);
    bench.is_sound();
}

#[test]
fn a_key_that_others_can_read_and_one_that_is_none_are_refused_by_name() {
    let mut bench = Bench::new();
    bench.register("ada");
    bench.stop();
    let key = key(&bench);
    let name = key.file_name().unwrap().to_str().unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let said = bench.refused_start();
    assert!(said.contains(name) && said.contains("chmod 600"), "{said}");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let good = fs::read(&key).unwrap();
    fs::write(&key, &good[..20]).unwrap();
    let said = bench.refused_start();
    assert!(said.contains(name) && said.contains("is not a key"), "{said}");
    fs::write(&key, good).unwrap();
    bench.start();
}

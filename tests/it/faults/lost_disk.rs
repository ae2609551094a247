//! A server whose files are kept in an object store: the disk is lost, the store fails, or another server writes to it.
//!
//! The long form: `cargo test --test it faults::lost_disk -- --ignored`.

use std::fs;
use std::thread;

use serde_json::json;
use tempfile::TempDir;

use super::kills::kill_while_customers_are_made;
use crate::process::{program, run};
use crate::s3_stub::{Fault, S3Stub};
use crate::test_server::TestServer;

/// A store, and the flags with which a server uses it.
pub struct Store {
    stub: S3Stub,
    /// All but the name of the server.
    flags: Vec<String>,
    _keys: TempDir,
}

impl Store {
    pub fn new(more: &[&str]) -> Self {
        Self::of(S3Stub::start(), more)
    }

    pub fn of(stub: S3Stub, more: &[&str]) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let (key, secret) = stub.key_files(keys.path());
        let flags = [
            "--store-url",
            &stub.url(),
            "--store-key-file",
            key.to_str().unwrap(),
            "--store-secret-file",
            secret.to_str().unwrap(),
        ];
        let flags = flags.iter().chain(more).map(|&flag| flag.to_owned()).collect();
        Self { stub, flags, _keys: keys }
    }

    pub fn stub(&self) -> &S3Stub {
        &self.stub
    }

    pub fn server(&self) -> TestServer {
        TestServer::with(&self.flags())
    }

    pub fn flags(&self) -> Vec<&str> {
        self.flags_of("one")
    }

    /// The flags of a server with a name.
    pub fn flags_of<'a>(&'a self, node: &'a str) -> Vec<&'a str> {
        self.flags.iter().map(String::as_str).chain(["--node-name", node]).collect()
    }
}

/// Everything that the disk of the server had.
fn lose_disk(server: &TestServer) {
    fs::remove_dir_all(server.data()).unwrap();
}

#[test]
fn every_write_that_was_answered_survives_a_kill_and_the_loss_of_the_disk() {
    kill_and_lose_disk(4);
}

#[test]
#[ignore = "the long form"]
fn every_write_that_was_answered_survives_the_loss_of_a_thousand_disks() {
    // A round waits until the lease of the killed server has ended, so eight servers have their rounds at the same time.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| kill_and_lose_disk(125));
        }
    });
}

fn kill_and_lose_disk(rounds: usize) {
    let store = Store::new(&[]);
    // A store across a network, not one in memory.
    store.stub.fault(Fault::Delay(5));
    kill_while_customers_are_made(store.server(), rounds, lose_disk);
}

#[test]
fn a_killed_server_that_acknowledges_by_its_disk_loses_nothing_while_the_disk_is_there() {
    let store = Store::new(&["--acknowledge", "local"]);
    kill_while_customers_are_made(store.server(), 4, |server| server.is_sound());
}

#[test]
fn accounts_workspaces_and_what_commands_wrote_survive_the_loss_of_the_disk() {
    let store = Store::new(&[]);
    let mut server = store.server();
    let (acme, gone) = (server.team("acme"), server.team("gone"));
    server.customer(&acme.inside, "Renault");
    server.customer(&gone.inside, "Peugeot");
    let workspace = format!("/workspaces/{}", gone.workspace);
    server.send(&gone.owner, "DELETE", &workspace, Some(json!({"subdomain": "gone"}))).ok();
    let grace = ["account", "create", "--name", "Grace", "--email", "grace@example.com"];
    server.cli_with(&grace, "a long enough one\n").ok();
    // The server stores within a second what a command wrote, and all that is left when it stops.
    assert!(server.stop().success(), "{}", server.log());
    lose_disk(&server);
    server.start();
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    server.cli(&["workspace", "restore", "gone"]).ok();
    assert_eq!(server.customers(&server.enter(&gone.owner, &gone.workspace)), ["Peugeot"]);
    assert!(server.cli(&["account", "list"]).ok().contains("grace@example.com"));
    server.is_sound();
}

#[test]
fn a_store_that_does_not_respond_makes_the_outcome_unknown_and_a_repeat_is_safe() {
    let store = Store::new(&["--turn-timeout", "1"]);
    let server = store.server();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    // A search indexes what is not indexed yet. Otherwise the jobs may have a commit under way when the store is cut off.
    server.get(&acme.inside, "/search?q=Renault").ok();
    store.stub.fault(Fault::CutOff);
    server.keyed_customer(&acme.inside, "Peugeot").refused(504, "outcome_unknown");
    server.get(&acme.inside, "/customers").refused(503, "overloaded");
    store.stub.heal();
    // Until the store is asked again, the lane is closed.
    while server.keyed_customer(&acme.inside, "Peugeot").status != 201 {}
    assert_eq!(server.customers(&acme.inside), ["Renault", "Peugeot"]);
}

#[test]
fn a_server_without_its_store_or_with_the_store_of_another_is_refused_and_writes_nothing() {
    let (store, other) = (Store::new(&[]), Store::new(&[]));
    let mut server = store.server();
    server.team("acme");
    other.server().stop();
    assert!(server.stop().success());
    let objects = (store.stub.objects(), other.stub.objects());
    let serve = |flags: &[&str]| {
        let mut command = program(server.data().parent().unwrap());
        run(command.args(["serve", "--listen", "127.0.0.1:0"]).args(flags), "").failed()
    };
    assert!(serve(&[]).contains("is kept in a store"));
    assert!(serve(&other.flags()).contains("the store belongs to another instance"));
    let empty = Store::new(&[]);
    assert!(serve(&empty.flags()).contains("had it before"));
    let of_probes =
        |objects: Vec<String>| objects.into_iter().filter(|key| !key.starts_with("probe/")).collect::<Vec<_>>();
    assert_eq!((of_probes(store.stub.objects()), of_probes(other.stub.objects())), objects);
}

#[test]
fn an_object_that_is_lost_takes_only_its_own_workspace_out_of_service() {
    let store = Store::new(&[]);
    let mut server = store.server();
    let (acme, zeta) = (server.team("acme"), server.team("zeta"));
    for name in ["Renault", "Peugeot"] {
        server.customer(&acme.inside, name);
        server.customer(&zeta.inside, name);
    }
    server.kill();
    server.ended();
    lose_disk(&server);
    store.stub.damage(&format!("files/{}/seg/00000002", acme.workspace));
    server.start();
    server.get(&acme.inside, "/customers").refused(503, "workspace_damaged");
    assert_eq!(server.customers(&zeta.inside), ["Renault", "Peugeot"]);
    assert!(server.log().contains("segment 2"), "{}", server.log());
}

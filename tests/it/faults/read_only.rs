//! A data directory that is read-only, from the start or suddenly.

use serde_json::json;

use super::disks::Disk;
use crate::test_server::{PASSWORD, TestServer, central, email};

#[test]
fn a_server_does_not_start_where_it_cannot_write_and_names_the_folder() {
    let Some(disk) = Disk::in_memory(16) else { return };
    let mut server = TestServer::on(&disk.data(), &[]);
    server.team("acme");
    server.stop();
    disk.write_protect();
    let said = server.refused_start();
    assert!(said.contains("data cannot be written to: Read-only file system"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn where_the_disk_fails_what_is_written_is_refused_and_reads_go_on() {
    let Some(disk) = Disk::in_file() else { return };
    let server = TestServer::on(&disk.data(), &[]);
    let acme = server.team("acme");
    let renault = server.customer(&acme.inside, "Renault");
    disk.fail();
    let refused = server.post(&acme.inside, "/customers", json!({"name": "refused"}));
    refused.refused(503, "read_only");
    assert!(refused.header("retry-after").is_some());
    server.delete(&acme.inside, &format!("/customers/{renault}")).refused(503, "read_only");
    server.post(&central(), "/login", json!({"email": email("acme"), "password": PASSWORD})).refused(503, "read_only");
    server.post(&acme.owner, "/workspaces", json!({"name": "refused"})).refused(503, "read_only");
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    assert_eq!(server.get(&acme.owner, "/workspaces").ok()["total"], 1);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

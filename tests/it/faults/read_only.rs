//! A data directory that is read-only, from the start or suddenly.

use serde_json::json;

use super::disks::Disk;
use crate::bench::{Bench, PASSWORD, central, email};

#[test]
fn a_server_does_not_start_where_it_cannot_write_and_names_the_folder() {
    let Some(disk) = Disk::in_memory(16) else { return };
    let mut bench = Bench::on(&disk.data(), &[]);
    bench.team("acme");
    bench.stop();
    disk.write_protect();
    let said = bench.refused_start();
    assert!(said.contains("data cannot be written to: Read-only file system"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn where_the_disk_fails_what_is_written_is_refused_and_reads_go_on() {
    let Some(disk) = Disk::in_file() else { return };
    let bench = Bench::on(&disk.data(), &[]);
    let acme = bench.team("acme");
    let renault = bench.customer(&acme.inside, "Renault");
    disk.fail();
    let refused = bench.post(&acme.inside, "/customers", json!({"name": "refused"}));
    refused.refused(503, "read_only");
    assert!(refused.header("retry-after").is_some());
    bench.delete(&acme.inside, &format!("/customers/{renault}")).refused(503, "read_only");
    bench.post(&central(), "/login", json!({"email": email("acme"), "password": PASSWORD})).refused(503, "read_only");
    bench.post(&acme.owner, "/workspaces", json!({"name": "refused"})).refused(503, "read_only");
    assert_eq!(bench.customers(&acme.inside), ["Renault"]);
    assert_eq!(bench.get(&acme.owner, "/workspaces").ok()["total"], 1);
    assert!(!bench.log().contains("panicked"), "{}", bench.log());
}

//! Two servers cannot share a data directory, but one can run on a copy.

use std::process::Command;

use crate::test_server::TestServer;

#[test]
fn a_second_server_on_the_same_data_is_refused_and_the_first_goes_on() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    let said = server.refused_start();
    assert!(said.contains("another server is running on data"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    server.customer(&acme, "Renault");
    assert_eq!(server.customers(&acme), ["Renault"]);
}

#[test]
fn a_server_on_a_copy_has_what_the_first_had_and_goes_its_own_way() {
    let mut server = TestServer::new();
    let acme = server.team("acme").inside;
    server.customer(&acme, "Renault");
    server.stop();
    let copy = server.data().with_file_name("copy");
    assert!(Command::new("cp").arg("-a").arg(server.data()).arg(&copy).status().unwrap().success());
    server.start();
    let other = TestServer::on(&copy, &[]);
    server.customer(&acme, "Peugeot");
    other.customer(&acme, "Citroën");
    assert_eq!(server.customers(&acme), ["Renault", "Peugeot"]);
    assert_eq!(other.customers(&acme), ["Renault", "Citroën"]);
}

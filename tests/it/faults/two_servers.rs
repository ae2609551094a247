//! Two servers cannot share a data directory, but one can run on a copy.

use std::process::Command;

use crate::bench::Bench;

#[test]
fn a_second_server_on_the_same_data_is_refused_and_the_first_goes_on() {
    let bench = Bench::new();
    let acme = bench.team("acme").inside;
    let said = bench.refused_start();
    assert!(said.contains("another server is running on data"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    bench.customer(&acme, "Renault");
    assert_eq!(bench.customers(&acme), ["Renault"]);
}

#[test]
fn a_server_on_a_copy_has_what_the_first_had_and_goes_its_own_way() {
    let mut bench = Bench::new();
    let acme = bench.team("acme").inside;
    bench.customer(&acme, "Renault");
    bench.stop();
    let copy = bench.data().with_file_name("copy");
    assert!(Command::new("cp").arg("-a").arg(bench.data()).arg(&copy).status().unwrap().success());
    bench.start();
    let other = Bench::on(&copy, &[]);
    bench.customer(&acme, "Peugeot");
    other.customer(&acme, "Citroën");
    assert_eq!(bench.customers(&acme), ["Renault", "Peugeot"]);
    assert_eq!(other.customers(&acme), ["Renault", "Citroën"]);
}

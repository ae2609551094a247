//! Workspaces in which little goes on, and figures of all: what they hold of the machine, and what is told of them.

use serde_json::json;

use crate::bench::{Bench, central};
use crate::client::Request;

#[test]
fn a_quiet_workspace_has_its_file_open_once_and_a_long_read_opens_it_once_more() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    let rows: Vec<_> = (0..3000).map(|n| json!({"name": format!("Customer {n}")})).collect();
    bench.post(&acme.inside, "/customers/import", json!(rows)).created();
    bench.restart();
    let file = format!("{}.sqlite", acme.workspace);
    assert_eq!(bench.open_files(&file), 0);
    for _ in 0..3 {
        bench.get(&acme.inside, "/customers/1").ok();
        bench.put(&acme.inside, "/customers/1", json!({"comment": "Called"})).created();
    }
    assert_eq!(bench.open_files(&file), 1);
    // Every row is compared.
    let found = bench.get(&acme.inside, "/customers?filter[name]=2999").ok();
    assert_eq!(found["total"], 1);
    assert_eq!(bench.open_files(&file), 2);
    bench.get(&acme.inside, "/customers/1").ok();
    assert_eq!(bench.open_files(&file), 2);
}

#[test]
fn metrics_are_told_where_they_are_wanted_and_say_how_writes_were_grouped() {
    let quiet = Bench::new();
    let metrics = Request { method: "GET", path: "/metrics", host: "10.0.0.1", ..Request::default() };
    quiet.ask(&metrics).refused(404, "unknown_host");
    quiet.ask(&Request { host: &central().host, ..metrics }).refused(404, "route_not_found");

    let bench = Bench::with(&["--metrics", "true"]);
    let acme = bench.team("acme").inside;
    let figure = |name: &str| -> f64 {
        let answer = bench.ask(&metrics);
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
        let line = answer
            .text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("{name}: {answer:?}"));
        line.trim().parse().unwrap()
    };
    let (writes, groups) = ("cx_engine_write_group_size_sum ", "cx_engine_write_group_size_count ");
    let before = (figure(writes), figure(groups));
    for n in 0..5 {
        bench.customer(&acme, &format!("Customer {n}"));
    }
    let now = (figure(writes), figure(groups));
    assert!(now.0 - before.0 >= 5.0 && now.1 - before.1 >= 5.0, "{before:?} {now:?}: one after the other");
    assert!(figure("cx_engine_write_group_duration_seconds_sum ") > 0.0);
    assert_eq!(figure("cx_engine_open_workspaces "), 1.0);
    assert!(figure("cx_engine_files_opened_total ") >= 2.0);
}

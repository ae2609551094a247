//! Workspaces in which little goes on: what they hold of the machine.

use serde_json::json;

use crate::bench::Bench;

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
    }
    // Last: who reads right after a write was answered may come while the log is looked after, and is then let in beside it.
    bench.put(&acme.inside, "/customers/1", json!({"comment": "Called"})).created();
    assert_eq!(bench.open_files(&file), 1);
    // Every row is compared.
    let found = bench.get(&acme.inside, "/customers?filter[name]=2999").ok();
    assert_eq!(found["total"], 1);
    assert_eq!(bench.open_files(&file), 2);
    bench.get(&acme.inside, "/customers/1").ok();
    assert_eq!(bench.open_files(&file), 2);
}

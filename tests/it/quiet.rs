//! Quiet workspaces: the files that they keep open.

use serde_json::json;

use crate::bench::{Bench, eventually};

#[test]
fn a_quiet_workspace_has_its_file_open_once_and_a_long_read_opens_it_once_more() {
    let mut bench = Bench::new();
    let acme = bench.team("acme");
    let rows: Vec<_> = (0..3000).map(|n| json!({"name": format!("Customer {n}")})).collect();
    bench.post(&acme.inside, "/customers/import", json!(rows)).created();
    let file = format!("{}.sqlite", acme.workspace);
    // Shortly after the start, the server's maintenance may use the file at the same moment and open a reader.
    eventually("it has its file open once, and once more after a long read", || {
        bench.restart();
        let mut open = vec![bench.open_files(&file)];
        for _ in 0..3 {
            bench.get(&acme.inside, "/customers/1").ok();
        }
        bench.put(&acme.inside, "/customers/1", json!({"comment": "Called"})).created();
        open.push(bench.open_files(&file));
        // This request compares every row.
        assert_eq!(bench.get(&acme.inside, "/customers?filter[name]=2999").ok()["total"], 1);
        open.push(bench.open_files(&file));
        bench.get(&acme.inside, "/customers/1").ok();
        open.push(bench.open_files(&file));
        open == [0, 1, 2, 2]
    });
}

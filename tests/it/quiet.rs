//! Quiet workspaces: the files that they keep open.

use serde_json::json;

use crate::test_server::{TestServer, eventually};

#[test]
fn a_quiet_workspace_has_its_file_open_once_and_a_long_read_opens_it_once_more() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    let rows: Vec<_> = (0..3000).map(|n| json!({"name": format!("Customer {n}")})).collect();
    server.post(&acme.inside, "/customers/import", json!(rows)).created();
    let file = format!("{}.sqlite", acme.workspace);
    // Shortly after the start, the server's maintenance may use the file at the same moment and open a reader.
    eventually("it has its file open once, and once more after a long read", || {
        server.restart();
        let mut open = vec![server.open_files(&file)];
        for _ in 0..3 {
            server.get(&acme.inside, "/customers/1").ok();
        }
        server.put(&acme.inside, "/customers/1", json!({"comment": "Called"})).created();
        open.push(server.open_files(&file));
        // This request compares every row.
        assert_eq!(server.get(&acme.inside, "/customers?filter[name]=2999").ok()["total"], 1);
        open.push(server.open_files(&file));
        server.get(&acme.inside, "/customers/1").ok();
        open.push(server.open_files(&file));
        open == [0, 1, 2, 2]
    });
}

//! `cx-engine health`, as a container or a monitor runs it: its exit code says whether the server is ready.

use std::net::TcpListener;

use crate::process::{Server, Typed, program, run};
use crate::test_server::{TestServer, eventually};

/// Runs the command in its own folder, and checks that it creates nothing there.
fn health(listen: &str) -> Typed {
    let folder = tempfile::tempdir().unwrap();
    let typed = run(program(folder.path()).arg("health").env("CX_LISTEN", listen), "");
    assert!(!folder.path().join("data").exists());
    typed
}

#[test]
fn a_server_that_is_ready_is_told_in_one_line() {
    for (listen, reached) in [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")] {
        let folder = tempfile::tempdir().unwrap();
        let mut serve = program(folder.path());
        serve.args(["serve", "--listen", &format!("{listen}:0")]);
        let server = Server::start(serve, folder.path());
        let port = server.address.port();
        assert_eq!(health(&format!("{listen}:{port}")).ok(), format!("http://{reached}:{port} is ready\n"));
    }
}

#[test]
fn a_server_that_is_not_ready_is_told_with_what_it_says() {
    let mut bench = TestServer::new();
    let acme = bench.team("acme");
    let body = r#"{"name":"Renault"}"#;
    let mut last = bench.begin(&acme.inside, body);
    bench.terminate();
    eventually("the server is about to stop", || {
        let asked = health(&bench.address().to_string());
        asked.code == Some(1) && asked.err.contains("is not ready: 503") && asked.err.contains("shutting_down")
    });
    last.send(body).unwrap();
    last.receive().unwrap().unwrap().created();
    assert!(bench.ended().success());
}

#[test]
fn where_nothing_listens_or_nothing_is_answered_it_fails() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let said = health(&address).failed();
    assert!(said.contains(&address) && said.contains("timeout"), "{said}");
    drop(silent);
    let said = health(&address).failed();
    assert!(said.contains(&address) && said.contains("refused"), "{said}");
    let said = health("127.0.0.1:0").failed();
    assert!(said.contains("listen"), "{said}");
}

//! The systemd protocols of the service: state notifications, and sockets that systemd opens.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::client::{Connection, PATIENCE, Request};
use crate::process::{LOG, Server, free_ports, not_run, program, run};
use crate::test_server::{TestServer, eventually};

const HEALTH: Request<'_> =
    Request { method: "GET", path: "/healthz", host: "localhost", token: None, headers: &[], body: None };

#[test]
fn it_is_told_when_the_server_is_ready_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let told = UnixDatagram::bind(&path).unwrap();
    told.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut text = [0; 1000];
        let length = told.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let mut bench = TestServer::within(&[("NOTIFY_SOCKET", path.to_str().unwrap())], &[]);
    let ready = next();
    assert!(ready.lines().any(|line| line == "READY=1"), "{ready}");
    assert!(ready.contains(&format!("STATUS=listening on http://{}", bench.address())), "{ready}");
    assert!(bench.stop().success());
    let stopping = next();
    assert!(stopping.lines().any(|line| line == "STOPPING=1"), "{stopping}");
}

/// `systemd-socket-activate` is systemd's own tool to test this.
#[test]
fn a_socket_that_it_opened_is_served() {
    if run(Command::new("systemd-socket-activate").arg("--version"), "").code != Some(0) {
        not_run("there is no systemd-socket-activate here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [port] = free_ports();
    let free = SocketAddr::from(([127, 0, 0, 1], port));
    let served = program(folder.path());
    let mut activated = Command::new("systemd-socket-activate");
    activated.current_dir(folder.path()).args(["-l", &free.to_string()]);
    for (name, value) in served.get_envs() {
        activated.arg("-E").arg(format!("{}={}", name.display(), value.unwrap().display()));
    }
    // The passed socket overrides `--listen`.
    activated.arg(served.get_program()).args(["serve", "--listen", "192.0.2.1:1"]);
    // systemd starts the program for the first connection, which waits for its response.
    let starter = std::thread::spawn(move || {
        let mut first = None;
        eventually("systemd listens", || {
            first = Connection::open(free).ok();
            first.is_some()
        });
        first.unwrap().ask(&HEALTH).unwrap()
    });
    let mut server = Server::start(activated, folder.path());
    assert_eq!(server.address, free);
    assert_eq!(starter.join().unwrap().status, 200);
    assert!(server.stop().success(), "{}", std::fs::read_to_string(folder.path().join(LOG)).unwrap());
}

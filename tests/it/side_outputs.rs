//! Side outputs: the log and the output of commands. If they are not read or cannot be written, everything else
//! continues.

use std::fs;
use std::io::{BufRead, BufReader, pipe};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::client::{Answer, Connection, Request};
use crate::process::{Server, program, run};
use crate::test_server::{PASSWORD, eventually};

/// Requests whose log lines fill a pipe (64 KiB) more than once.
const MANY: usize = 600;

fn serve(folder: &Path) -> Command {
    let mut command = program(folder);
    command.args(["serve", "--listen", "127.0.0.1:0", "--metrics", "true"]);
    command
}

fn post(connection: &mut Connection, path: &str, token: Option<&str>, body: &str) -> Answer {
    let request = Request { method: "POST", path, host: "localhost", token, body: Some(body), ..Request::default() };
    connection.ask(&request).unwrap()
}

fn get(connection: &mut Connection, path: &str) -> Answer {
    connection.ask(&Request { method: "GET", path, host: "localhost", ..Request::default() }).unwrap()
}

/// Checks that requests get responses and mail is sent, whatever happens to the log.
fn works(server: &Server, folder: &Path) {
    let mut connection = Connection::open(server.address).unwrap();
    let account = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD}).to_string();
    post(&mut connection, "/api/register", None, &account).created();
    for _ in 0..MANY {
        assert_eq!(get(&mut connection, "/healthz").status, 200);
    }
    post(&mut connection, "/api/password/forgot", None, r#"{"email":"ada@example.com"}"#);
    let outbox = folder.join("data/outbox");
    eventually("the mail is in its file", || fs::read_dir(&outbox).is_ok_and(|mut files| files.next().is_some()));
    assert_eq!(get(&mut connection, "/readyz").status, 200);
}

fn dropped_lines(server: &Server) -> u64 {
    let page = get(&mut Connection::open(server.address).unwrap(), "/metrics").text;
    let line = page.lines().find_map(|line| line.strip_prefix("cx_engine_log_lines_dropped_total ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (_unread, log) = pipe().unwrap();
    let mut server = Server::start_with_log(serve(folder.path()), folder.path(), log.into());
    works(&server, folder.path());
    assert!(server.stop().success());
}

#[test]
fn a_log_whose_reader_has_gone_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, log) = pipe().unwrap();
    let mut server = Server::start_with_log(serve(folder.path()), folder.path(), log.into());
    let mut lines = BufReader::new(reader).lines();
    lines.next().unwrap().unwrap();
    drop(lines);
    works(&server, folder.path());
    assert!(dropped_lines(&server) as usize > MANY);
    assert!(server.stop().success());
}

#[test]
fn a_log_on_a_full_disk_stops_nothing_and_its_lines_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut server = Server::start_with_log(serve(folder.path()), folder.path(), full.into());
    works(&server, folder.path());
    assert!(dropped_lines(&server) as usize > MANY);
    assert!(server.stop().success());
}

#[test]
fn a_server_starts_where_nobody_can_read_that_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let [port] = crate::process::free_ports();
    let mut command = program(folder.path());
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]).stdin(Stdio::null());
    let (gone, stdout) = pipe().unwrap();
    drop(gone);
    let mut server = crate::process::Process(command.stdout(stdout).stderr(Stdio::null()).spawn().unwrap());
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    eventually("it listens", || Connection::open(address).is_ok());
    assert_eq!(get(&mut Connection::open(address).unwrap(), "/healthz").status, 200);
    assert_eq!(server.0.try_wait().unwrap(), None);
}

const COMMANDS: [&[&str]; 7] = [
    &["routes"],
    &["routes", "--json"],
    &["openapi", "workspace"],
    &["completions", "bash"],
    &["serve", "--print-config"],
    &["account", "list"],
    &["--help"],
];

/// A folder with an instance.
fn folder_with_instance() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let create = ["account", "create", "--name", "Ada", "--email", "ada@example.com"];
    run(program(folder.path()).args(create), PASSWORD).ok();
    folder
}

#[test]
fn a_command_that_cannot_print_fails_with_one_sentence() {
    let folder = folder_with_instance();
    for command in COMMANDS {
        let mut typed = Command::new("sh");
        let script = "exec \"$@\" >/dev/full";
        typed.args(["-c", script, "sh"]).arg(program(folder.path()).get_program()).args(command);
        typed.current_dir(folder.path()).env_clear();
        let said = run(&mut typed, "").failed();
        assert!(said.starts_with("cx-engine: cannot write to stdout: ") && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_command_whose_reader_has_gone_ends_quietly() {
    let folder = folder_with_instance();
    for command in COMMANDS {
        let (gone, stdout) = pipe().unwrap();
        drop(gone);
        let ended = program(folder.path()).args(command).stdout(stdout).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), ""));
    }
}

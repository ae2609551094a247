//! File owners: root creates no files in the data directory of another user, because that user's server could not
//! start.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::process::{not_run, program, run};
use crate::test_server::{PASSWORD, TestServer, eventually};

const SOMEBODY: u32 = 1234;

/// Commands that root may run on a machine with a server. Reads are included: SQLite creates a WAL next to a file that
/// it reads.
const COMMANDS: [&[&str]; 9] = [
    &["account", "list"],
    &["workspace", "list"],
    &["token", "rotate-keys"],
    &["token", "rotate-keys", "--lost"],
    &["doctor"],
    &["backup"],
    &["backups", "--verify"],
    &["restore", "acme"],
    &["serve", "--listen", "127.0.0.1:0"],
];

/// Creates an instance in the usual folder.
fn create(folder: &Path) {
    let account = ["account", "create", "--name", "Ada", "--email", "ada@example.com"];
    run(program(folder).args(account), PASSWORD).ok();
}

/// Every file and folder with its time of change.
fn all_below(folder: &Path) -> Vec<(String, i64, i64)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let known = path.metadata().unwrap();
            found.push((path.display().to_string(), known.ctime(), known.ctime_nsec()));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn root_is_refused_where_the_data_are_anothers_and_told_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    create(folder.path());
    if chown(&data, Some(SOMEBODY), None).is_err() {
        not_run("only root can give a folder away, and only root is refused");
        return;
    }
    let refused = |whose: &Path, word: &str| {
        let before = all_below(folder.path());
        for command in COMMANDS {
            let said = run(program(folder.path()).args(command), "").failed();
            assert!(said.contains(&whose.display().to_string()), "{command:?}: {said}");
            assert!(said.contains(&format!("sudo -u {word} cx-engine")), "{command:?}: {said}");
        }
        assert_eq!(all_below(folder.path()), before);
    };
    refused(Path::new("data"), "'#1234'");
    // `daemon` is user 1 on every Unix.
    chown(&data, Some(1), None).unwrap();
    refused(Path::new("data"), "daemon");
    // The folder belongs to root, like one that an administrator created for a service.
    chown(&data, Some(0), None).unwrap();
    chown(data.join("central.sqlite"), Some(SOMEBODY), None).unwrap();
    refused(Path::new("data/central.sqlite"), "'#1234'");
    chown(data.join("central.sqlite"), Some(0), None).unwrap();
    run(program(folder.path()).args(["account", "list"]), "").ok();
}

#[test]
fn root_makes_no_instance_in_anothers_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    run(program(folder.path()).args(["backup"]), "").failed();
    create(folder.path());
    run(program(folder.path()).args(["backup"]), "").ok();
    fs::create_dir(&other).unwrap();
    if chown(&other, Some(SOMEBODY), None).is_err() {
        not_run("only root can give a folder away, and only root is refused");
        return;
    }
    let made = run(program(folder.path()).args(["restore", "--into", "other"]), "").failed();
    assert!(made.contains("other belongs to '#1234'"), "{made}");
    let made = run(program(folder.path()).args(["--data-dir", "other", "serve"]), "").failed();
    assert!(made.contains("other belongs to '#1234'"), "{made}");
    assert!(all_below(&other).is_empty());
    // A restore to another folder changes nothing here.
    let backups = data.join("backups").display().to_string();
    chown(&data, Some(SOMEBODY), None).unwrap();
    run(program(folder.path()).args(["restore", "--into", "third", "--backup-dir", &backups]), "").ok();
}

/// The files and folders below a folder, and the folder itself, to which other users have access.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut paths: Vec<String> = all_below(folder).into_iter().map(|(path, ..)| path).collect();
    paths.push(folder.display().to_string());
    paths.retain(|path| fs::metadata(path).unwrap().mode() & 0o077 != 0);
    paths
}

#[test]
fn whatever_a_command_makes_is_its_users_alone_whatever_the_umask_is() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    server.post(&acme.inside, "/user-invites", json!({"email": "grace@example.com", "role_id": 3})).created();
    let outbox = server.data().join("outbox");
    eventually("the mail is in its file", || fs::read_dir(&outbox).is_ok_and(|mut files| files.next().is_some()));
    let folder = server.data().parent().unwrap().to_owned();
    let typed = |arguments: &[&str]| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "umask 000; exec \"$@\"", "sh"]).arg(program(&folder).get_program()).args(arguments);
        run(shell.current_dir(&folder).env_clear(), "").ok()
    };
    typed(&["backup"]);
    typed(&["workspace", "export", "acme", "customers", "--output", "customers.csv"]);
    typed(&["workspace", "create", "--name", "Zeta", "--subdomain", "zeta", "--owner", "acme@example.com"]);
    typed(&["restore", "--into", "restored"]);
    for made in ["data", "restored"] {
        assert_eq!(open_to_others(&folder.join(made)), [""; 0]);
    }
    assert_eq!(fs::metadata(folder.join("customers.csv")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_data_folder_that_is_open_to_others_is_closed_at_the_start() {
    let mut server = TestServer::new();
    assert!(server.stop().success());
    let data = server.data();
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open(&data, 0o755);
    open(&data.join("workspaces"), 0o777);
    open(&data.join("central.sqlite"), 0o644);
    open(&data.join("server.lock"), 0o666);
    server.start();
    assert_eq!(open_to_others(&data), [""; 0]);
    assert!(server.whole_log().contains("was open to others"), "{}", server.log());
}

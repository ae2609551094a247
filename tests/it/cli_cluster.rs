//! `cx-engine cluster`, on an object store of the tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Typed, program, run};
use crate::s3_stub::{Fault, S3Stub};
use crate::test_server::{Team, TestServer, eventually, text};
use crate::tls::Files;

/// The command on the bucket of a stub.
fn check(stub: &S3Stub, folder: &Path) -> Command {
    let (key, secret) = stub.key_files(folder);
    let mut command = program(folder);
    command.args(["cluster", "check"]).env("CX_STORE_URL", stub.url()).env("CX_NODE_NAME", "node-a");
    command.env("CX_STORE_KEY_FILE", key).env("CX_STORE_SECRET_FILE", secret);
    command
}

#[test]
fn a_store_that_honours_conditions_passes_step_by_step() {
    let (stub, folder) = (S3Stub::start(), tempfile::tempdir().unwrap());
    let said = run(&mut check(&stub, folder.path()), "").ok();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() == 10 && lines[..9].iter().all(|line| line.contains(" ms  ok      ")), "{said}");
    assert!(lines[1].ends_with("reject a second create") && lines[9].contains("can be used"), "{said}");
    let printed = run(check(&stub, folder.path()).arg("--json"), "").ok();
    let steps: Value = serde_json::from_str(&printed).unwrap();
    assert!(steps.as_array().unwrap().len() == 9 && steps[0]["milliseconds"].is_u64(), "{printed}");
    assert_eq!((&steps[8]["step"], &steps[8]["ok"]), (&"delete them".into(), &true.into()));
    assert_eq!(stub.objects(), [""; 0]);
    assert!(!folder.path().join("data").exists(), "the data directory is not used");
}

#[test]
fn a_store_that_lies_or_rejects_the_keys_fails_with_the_reason() {
    let (stub, folder) = (S3Stub::start(), tempfile::tempdir().unwrap());
    for (fault, part) in [
        (Fault::IgnoreIfNoneMatch, "ignores the condition If-None-Match"),
        (Fault::IgnoreIfMatch, "ignores the condition If-Match"),
        (Fault::RacyCreates, "at the same time"),
        (Fault::Reject(403, "InvalidAccessKeyId"), "does not know the access key in store_key_file"),
        (Fault::Reject(403, "SignatureDoesNotMatch"), "store_secret_file"),
        (Fault::Reject(404, "NoSuchBucket"), "there is no bucket \"bucket\""),
        (Fault::Clock(-3600), "Correct the clock of this machine"),
        (Fault::CutOff, "gave no final answer"),
    ] {
        stub.fault(fault);
        let said = run(&mut check(&stub, folder.path()), "").failed();
        assert!(said.contains(part) && !said.contains("stub-secret") && !said.contains("X-Amz"), "{said}");
        stub.heal();
    }
}

#[test]
fn without_a_store_or_its_keys_the_settings_are_wrong() {
    let (stub, folder) = (S3Stub::start(), tempfile::tempdir().unwrap());
    let said = run(program(folder.path()).args(["cluster", "check"]), "").wrong_use();
    assert!(said.contains("no object store is configured: set store_url"), "{said}");
    let said = run(check(&stub, folder.path()).env("CX_STORE_KEY_FILE", "missing"), "").wrong_use();
    assert!(said.contains("store_key_file: cannot read missing"), "{said}");
    fs::write(folder.path().join("two"), "two keys").unwrap();
    let said = run(check(&stub, folder.path()).env("CX_STORE_SECRET_FILE", "two"), "").wrong_use();
    assert!(said.contains("store_secret_file: two must contain one key") && !said.contains("two keys"), "{said}");
    let said = run(check(&stub, folder.path()).env("CX_STORE_URL", "http://203.0.114.1/cx-data"), "").wrong_use();
    assert!(said.contains("http:// only to a loopback or private address"), "{said}");
    assert_eq!(stub.requests().total(), 0);
}

/// Any server with TLS shows it: the certificate is checked before a request is sent.
#[test]
fn a_store_without_a_trusted_certificate_is_refused() {
    let (stub, folder, files) = (S3Stub::start(), tempfile::tempdir().unwrap(), Files::new());
    let (certificate, key) = (files.certificate(), files.key());
    let flags = ["--tls-certificate", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let server = TestServer::with(&flags);
    let url = format!("https://localhost:{}/bucket", server.address().port());
    let said = run(check(&stub, folder.path()).env("CX_STORE_URL", url), "").failed();
    assert!(said.contains("Certificates are checked against the roots of this system"), "{said}");
}

/// A server whose files are kept in a store.
pub struct Kept {
    pub stub: S3Stub,
    keys: TempDir,
    pub server: TestServer,
}

impl Kept {
    fn new() -> Self {
        Self::with(&[])
    }

    /// With flags for `serve`.
    pub fn with(flags: &[&str]) -> Self {
        let (stub, keys) = (S3Stub::start(), tempfile::tempdir().unwrap());
        let environment = settings(&stub, keys.path());
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self { server: TestServer::within(&environment, flags), stub, keys }
    }

    /// A command with the store of this server, on its data directory.
    pub fn command(&self, arguments: &[&str]) -> Typed {
        self.command_on(&self.stub, arguments)
    }

    /// The same with another store.
    fn command_on(&self, stub: &S3Stub, arguments: &[&str]) -> Typed {
        let folder = self.server.data().parent().unwrap().to_owned();
        run(program(&folder).args(arguments).envs(settings(stub, self.keys.path())), "")
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.command(&["cluster", "status", "--json"]).ok()).unwrap()
    }

    /// What the store has of a workspace.
    fn status_of(&self, workspace: &str) -> Value {
        let status = self.status();
        let found = status["files"].as_array().unwrap().iter().find(|file| file["file"] == workspace);
        found.unwrap_or_else(|| panic!("{status}")).clone()
    }

    /// Creates customers until the store has a commit that is later by a second or more, and one more. Returns the time of the
    /// last commit before, and the name of the last customer.
    fn until_a_later_second(&self, team: &Team) -> (String, String) {
        let at = text(&self.status_of(&team.workspace)["last_commit_at"]);
        let mut names = (0..).map(|n| format!("Later {n}"));
        eventually("the store has a later commit", || {
            self.server.customer(&team.inside, &names.next().unwrap());
            text(&self.status_of(&team.workspace)["last_commit_at"]) > at
        });
        // The later commit may be of texts that the server has indexed.
        let last = names.next().unwrap();
        self.server.customer(&team.inside, &last);
        (at, last)
    }

    /// Restores into a new folder next to the keys.
    fn restore(&self, name: &str, arguments: &[&str]) -> (PathBuf, String) {
        let into = self.keys.path().join(name);
        let said = self.command(&[&["cluster", "restore", "--into", into.to_str().unwrap()], arguments].concat()).ok();
        (into, said)
    }
}

/// The settings of a store, as environment variables.
fn settings(stub: &S3Stub, folder: &Path) -> Vec<(&'static str, String)> {
    let (key, secret) = stub.key_files(folder);
    vec![
        ("CX_STORE_URL", stub.url()),
        ("CX_NODE_NAME", "node-a".into()),
        ("CX_STORE_KEY_FILE", key.display().to_string()),
        ("CX_STORE_SECRET_FILE", secret.display().to_string()),
    ]
}

/// The customers of the workspace, as a server without a store says.
fn customers(data: &Path) -> Vec<String> {
    let server = TestServer::on(data, &[]);
    let owner = server.log_in("acme");
    let workspace = text(&server.get(&owner, "/workspaces").ok()["data"][0]["id"]);
    server.customers(&server.enter(&owner, &workspace))
}

/// The content of all files of a folder. Files that only coordinate the processes of the machine do not count.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.to_str().unwrap().ends_with("-shm") && fs::metadata(&path).unwrap().len() > 0 {
                found.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_status_says_what_the_store_has_of_each_file() {
    let kept = Kept::new();
    let team = kept.server.team("acme");
    kept.server.customer(&team.inside, "Renault");
    let status = kept.status();
    let files = status["files"].as_array().unwrap();
    assert_eq!((&status["url"], files.len()), (&kept.stub.url().into(), 2), "{status}");
    assert_eq!((&status["instance"], &status["data_dir_problem"]), (&status["data_dir"]["instance"], &Value::Null));
    let acme = files.iter().find(|file| file["file"] == team.workspace.as_str()).unwrap();
    assert_eq!((&acme["subdomain"], &acme["problem"]), (&"acme".into(), &Value::Null), "{acme}");
    assert!(acme["segment"].as_u64() >= Some(2) && acme["snapshot_bytes"].as_u64() > Some(1000), "{acme}");
    assert_eq!(acme["segments_behind"].as_u64().unwrap() + 1, acme["segment"].as_u64().unwrap(), "{acme}");
    assert!(text(&acme["last_commit_at"]) >= text(&acme["snapshot_at"]), "{acme}");
    let sum: u64 = files.iter().map(|file| file["bytes"].as_u64().unwrap()).sum();
    assert_eq!(status["bytes"], sum);
    assert_eq!(status["data_dir"]["not_stored"], serde_json::json!([]));
    let said = kept.command(&["cluster", "status"]).ok();
    assert!(said.contains("2 files") && said.contains("central ") && said.contains("  acme  "), "{said}");

    // Elsewhere there is no data directory, and no subdomains.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = program(elsewhere.path());
    command.args(["cluster", "status", "--json"]).envs(settings(&kept.stub, kept.keys.path()));
    let status: Value = serde_json::from_str(&run(&mut command, "").ok()).unwrap();
    assert_eq!((&status["data_dir"], &status["files"][0]["subdomain"]), (&Value::Null, &Value::Null));
    assert!(!elsewhere.path().join("data").exists());
    let said = run(program(elsewhere.path()).args(["cluster", "status"]), "").wrong_use();
    assert!(said.contains("no object store is configured: set store_url"), "{said}");
}

#[test]
fn files_that_no_server_has_stored_yet_are_listed() {
    let mut server = TestServer::new();
    let team = server.team("acme");
    server.stop();
    let (stub, keys) = (S3Stub::start(), tempfile::tempdir().unwrap());
    let folder = server.data().parent().unwrap().to_owned();
    let status = || run(program(&folder).args(["cluster", "status"]).envs(settings(&stub, keys.path())), "").ok();
    let said = status();
    assert!(said.contains("the store is empty") && said.contains("2 files"), "{said}");
    assert!(said.contains(&format!("{} (acme): it was not opened by a server", team.workspace)), "{said}");
    assert_eq!(stub.objects(), [""; 0], "nothing is written");
}

#[test]
fn an_instance_is_restored_into_a_new_folder_and_is_served_without_its_store() {
    let mut kept = Kept::new();
    let team = kept.server.team("acme");
    kept.server.customer(&team.inside, "Renault");
    kept.server.kill();
    kept.server.ended();
    let (into, said) = kept.restore("new", &[]);
    assert!(said.contains("restored 2 files and the keys") && said.contains("not tied to the store"), "{said}");
    let again = kept.command(&["cluster", "restore", "--into", into.to_str().unwrap()]).failed();
    assert!(again.contains("is not empty: restore into a new folder"), "{again}");
    assert_eq!(customers(&into), ["Renault"]);

    // A damaged log does not keep the other files from their restore.
    kept.stub.damage(&format!("files/{}/seg/00000001", team.workspace));
    let into = kept.keys.path().join("damaged");
    let said = kept.command(&["cluster", "restore", "--into", into.to_str().unwrap()]);
    assert!(said.code == Some(1) && said.out.contains("restored 1 file and the keys"), "{said:?}");
    assert!(said.err.contains(&team.workspace) && said.err.contains("incomplete: 1 workspace missing"), "{said:?}");
}

#[test]
fn an_earlier_state_is_restored_and_is_not_tied_to_the_store() {
    let mut kept = Kept::new();
    let team = kept.server.team("acme");
    kept.server.customer(&team.inside, "Renault");
    let (at, last) = kept.until_a_later_second(&team);
    let (one, said) = kept.restore("one", &["--at", &at, "--workspace", &team.workspace]);
    let file = one.join(format!("{}.sqlite", team.workspace));
    assert!(said.contains(&format!("its last commit is from {at}")) && file.exists(), "{said}");
    let again = ["cluster", "restore", "--into", one.to_str().unwrap(), "--workspace", &team.workspace];
    assert!(kept.command(&again).failed().contains("exists already"));
    let unknown = ["cluster", "restore", "--into", "other", "--workspace", "018f5c2b-7a3e-7cc0-9f14-3f2f1f7b7a10"];
    assert!(kept.command(&unknown).failed().contains("the store has no workspace"));

    let (all, said) = kept.restore("all", &["--at", &at]);
    assert!(
        said.contains(&format!("the last commit is from {at}")) && said.contains("not tied to the store"),
        "{said}"
    );
    let then = customers(&all);
    assert!(then.contains(&"Renault".to_owned()) && !then.contains(&last), "{then:?}");
    let refused = kept.command(&["serve", "--listen", "127.0.0.1:0", "--data-dir", all.to_str().unwrap()]).failed();
    assert!(refused.contains("used without the store since"), "{refused}");
    let early = ["cluster", "restore", "--into", "early", "--at", "2020-01-01"];
    assert!(kept.command(&early).failed().contains("the store has nothing from 2020-01-01T23:59:59Z or before"));
    let wrong = ["cluster", "restore", "--into", "wrong", "--at", "yesterday"];
    assert!(kept.command(&wrong).failed().contains("--at must be a valid date"));

    // One workspace goes back while the server runs, and the store has the result.
    kept.command(&["workspace", "restore-file", &team.workspace, file.to_str().unwrap()]).ok();
    eventually("the workspace is as it was", || {
        kept.server.customers(&kept.server.enter(&team.owner, &team.workspace)) == then
    });
    kept.server.stop();
    let (newest, _) = kept.restore("newest", &[]);
    assert_eq!(customers(&newest), then);
}

#[test]
fn a_data_directory_leaves_its_store() {
    let mut kept = Kept::new();
    let team = kept.server.team("acme");
    kept.server.customer(&team.inside, "Renault");
    assert!(kept.command(&["cluster", "leave"]).failed().contains("another server is running"));
    kept.server.stop();
    let refused = kept.server.refused_start();
    assert!(refused.contains("is kept in a store") && refused.contains("cluster leave"), "{refused}");
    let objects = kept.stub.objects();
    assert!(kept.server.cli(&["cluster", "leave"]).ok().contains("is independent of the store: 2 files"));
    assert!(kept.server.cli(&["cluster", "leave"]).ok().contains("no file of"));
    let refused = kept.command(&["serve", "--listen", "127.0.0.1:0"]).failed();
    assert!(refused.contains("used without the store since"), "{refused}");
    assert_eq!(customers(&kept.server.data()), ["Renault"]);
    assert_eq!(kept.stub.objects(), objects);
    let missing = kept.server.cli(&["cluster", "leave", "--data-dir", "nowhere"]).failed();
    assert!(missing.contains("no data directory at nowhere"), "{missing}");
}

#[test]
fn the_store_of_another_instance_is_refused_and_nothing_is_written() {
    let (mut ours, mut theirs) = (Kept::new(), Kept::new());
    for kept in [&mut ours, &mut theirs] {
        kept.server.team("acme");
        kept.server.stop();
    }
    let (objects, data) = (theirs.stub.objects(), content(&ours.server.data()));
    let refused = ours.command_on(&theirs.stub, &["serve", "--listen", "127.0.0.1:0"]).failed();
    assert!(refused.contains("the store belongs to another instance"), "{refused}");
    assert_eq!(theirs.stub.objects(), objects);
    assert_eq!(content(&ours.server.data()), data);
    let said = ours.command_on(&theirs.stub, &["cluster", "status"]).ok();
    assert!(said.contains("is another instance") && !said.contains("acme"), "{said}");
}

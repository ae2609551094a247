//! `cx-engine cluster`, on an object store of the tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::process::{program, run};
use crate::s3_stub::{Fault, S3Stub};
use crate::test_server::TestServer;
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

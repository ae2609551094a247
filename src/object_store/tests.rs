use std::path::PathBuf;
use std::time::Duration;

use super::s3_stub::{Fault, S3Stub};
use super::*;

/// A stub, and a client for a folder of its bucket.
struct Shared {
    stub: S3Stub,
    store: ObjectStore,
    folder: tempfile::TempDir,
}

fn shared() -> Shared {
    let (stub, folder) = (S3Stub::start(), tempfile::tempdir().unwrap());
    let (key_file, secret_file) = stub.key_files(folder.path());
    let store = open(&format!("{}/acme/cx", stub.url()), key_file, secret_file).unwrap();
    Shared { stub, store, folder }
}

fn open(url: &str, key_file: PathBuf, secret_file: PathBuf) -> anyhow::Result<ObjectStore> {
    let url = url.parse().expect("an address of a store");
    ObjectStore::open(&StoreSettings {
        url,
        region: "us-east-1".into(),
        key_file,
        secret_file,
        purpose: StorePurpose::Commits,
    })
}

#[track_caller]
fn unknown<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Unknown(_))), "{result:?}");
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>, code: &str, part: &str) {
    match result {
        Err(StoreError::Refused { code: found, message, .. }) => {
            assert!(found == code && message.contains(part), "{found}: {message}");
        }
        other => panic!("{code} is expected, not {other:?}"),
    }
}

#[test]
fn an_object_is_created_once_and_read_by_every_node() {
    let Shared { stub, store, .. } = shared();
    let tag = store.create("files/1/seg/00000001", b"pages").unwrap();
    assert_eq!(store.create("files/1/seg/00000001", b"others"), Err(StoreError::Precondition));
    assert_eq!(store.get("files/1/seg/00000001").unwrap(), Some(Object { body: b"pages".to_vec(), tag }));
    assert_eq!(store.get("files/1/seg/00000002").unwrap(), None);
    assert_eq!(stub.objects(), ["acme/cx/files/1/seg/00000001"]);
}

#[test]
fn an_object_is_replaced_by_the_one_who_read_it_last() {
    let Shared { stub, store, .. } = shared();
    let first = store.create("placement", b"one").unwrap();
    let second = store.replace("placement", b"two", &first).unwrap();
    assert_ne!(first, second);
    assert_eq!(store.replace("placement", b"three", &first), Err(StoreError::Precondition));
    assert_eq!(store.get("placement").unwrap().unwrap().body, b"two");
    stub.remove("acme/cx/placement");
    assert_eq!(store.replace("placement", b"three", &second), Err(StoreError::Precondition));
    assert_eq!(stub.objects(), [""; 0]);
}

#[test]
fn files_are_sent_and_received_whole() {
    let Shared { stub, store, folder } = shared();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&from, &content).unwrap();
    store.create_from_file("files/1/snap/00000001", &from).unwrap();
    assert_eq!(store.create_from_file("files/1/snap/00000001", &from), Err(StoreError::Precondition));
    assert!(store.get_to_file("files/1/snap/00000001", &to).unwrap());
    assert_eq!(std::fs::read(&to).unwrap(), content);
    // A download that ends early leaves the file as it was.
    stub.fault(Fault::Truncate(1));
    std::fs::write(&to, "the old one").unwrap();
    unknown(store.get_to_file("files/1/snap/00000001", &to));
    assert_eq!(std::fs::read(&to).unwrap(), b"the old one");
    assert!(!store.get_to_file("files/1/snap/00000002", &to).unwrap());
    assert_eq!(std::fs::read(&to).unwrap(), b"the old one");
    let mut names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["from", "stub-key.id", "stub-key.secret", "to"]);
    refused(store.create_from_file("a", &folder.path().join("missing")), "LocalFile", "missing");
    std::fs::write(&from, "").unwrap();
    store.create_from_file("empty", &from).unwrap();
    assert!(store.get_to_file("empty", &to).unwrap());
    assert_eq!(std::fs::read(&to).unwrap(), b"");
}

#[test]
fn lists_have_all_pages_in_order_and_only_the_own_folder() {
    let Shared { stub, store, folder } = shared();
    stub.page(2);
    for n in [5, 1, 3, 2, 4] {
        store.create(&format!("files/1/seg/{n:08}"), &vec![0; n]).unwrap();
    }
    store.create("files/2/seg/00000001", b"").unwrap();
    store.create("keys/a b+c%é", b"").unwrap();
    let (key, secret) = stub.key_files(folder.path());
    let other = open(&stub.url(), key, secret).unwrap();
    other.create("files/3/seg/00000001", b"").unwrap();
    let keys = |prefix, after| -> Vec<String> {
        store.list(prefix, after).unwrap().into_iter().map(|object| object.key).collect()
    };
    let segments: Vec<String> = (1..=5).map(|n| format!("files/1/seg/{n:08}")).collect();
    assert_eq!(keys("files/1/seg/", None), segments);
    assert_eq!(keys("files/1/seg/", Some("files/1/seg/00000002")), segments[2..]);
    assert_eq!(keys("files/9/", None), [""; 0]);
    assert_eq!(keys("keys/", None), ["keys/a b+c%é"]);
    assert_eq!(keys("", None).len(), 7);
    assert_eq!(other.list("", None).unwrap().len(), 8);
    assert_eq!(store.list("files/1/", None).unwrap()[4].size, 5);
    assert_eq!(store.list_folders("files/").unwrap(), ["1", "2"]);
    assert_eq!(store.list_folders("").unwrap(), ["files", "keys"]);
    assert_eq!(other.list_folders("files/").unwrap(), ["3"]);
}

#[test]
fn what_does_not_exist_can_be_deleted() {
    let Shared { stub, store, .. } = shared();
    store.create("a", b"a").unwrap();
    store.delete("a").unwrap();
    store.delete("a").unwrap();
    assert_eq!(stub.objects(), [""; 0]);
}

#[test]
fn a_change_without_an_answer_is_unknown_and_is_not_repeated() {
    let Shared { stub, store, .. } = shared();
    store.get("a").unwrap();
    stub.fault(Fault::Unanswered(1));
    unknown(store.create("a", b"mine"));
    assert_eq!(stub.requests().put, 1);
    // The repetition shows whose object it is.
    assert_eq!(store.create("a", b"mine"), Err(StoreError::Precondition));
    assert_eq!(store.get("a").unwrap().unwrap().body, b"mine");
}

#[test]
fn a_busy_or_failing_store_is_asked_again() {
    let Shared { stub, store, .. } = shared();
    for status in [408, 409, 429, 500, 503] {
        stub.fault(Fault::Answer(status, 2));
        unknown(store.create("a", b"a"));
        unknown(store.list("", None));
        stub.heal();
    }
    assert_eq!(stub.objects(), [""; 0]);
    stub.fault(Fault::Reject(400, "RequestTimeout"));
    unknown(store.create("a", b"a"));
    stub.heal();
    stub.fault(Fault::CutOff);
    unknown(store.get("a"));
    unknown(store.delete("a"));
    stub.heal();
    stub.fault(Fault::Delay(50));
    let started = std::time::Instant::now();
    store.create("a", b"a").unwrap();
    assert!(started.elapsed() >= Duration::from_millis(50));
    stub.fault(Fault::Truncate(1));
    unknown(store.get("a"));
}

#[test]
fn a_store_that_is_not_there_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let (key, secret) = S3Stub::start().key_files(folder.path());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    unknown(open(&format!("http://{free}/bucket"), key, secret).unwrap().get("a"));
}

#[test]
fn connections_are_kept_for_the_next_request() {
    let Shared { stub, store, .. } = shared();
    for n in 0..3 {
        store.create(&format!("{n}"), b"a").unwrap();
        store.get(&format!("{n}")).unwrap();
        store.get("missing").unwrap();
        assert_eq!(store.create(&format!("{n}"), b"a"), Err(StoreError::Precondition));
        store.list("", None).unwrap();
        store.delete(&format!("{n}")).unwrap();
    }
    assert_eq!(stub.connections(), 1);
}

#[test]
fn a_rejection_says_what_to_correct() {
    let Shared { stub, store, folder } = shared();
    for (status, code, part) in [
        (403, "InvalidAccessKeyId", "store_key_file"),
        (403, "SignatureDoesNotMatch", "store_secret_file"),
        (404, "NoSuchBucket", "no bucket \"bucket\""),
        (404, "NotFound", "The stub says 404"),
        (403, "AccessDenied", "to read, write and delete"),
        (501, "NotImplemented", "conditional requests"),
        (301, "PermanentRedirect", "store_region"),
        (400, "Odd", "The stub says 400"),
    ] {
        stub.fault(Fault::Reject(status, code));
        refused(store.create("a", b"a"), code, part);
        refused(store.get("a"), code, part);
        refused(store.delete("a"), code, part);
        refused(store.list("", None), code, part);
        stub.heal();
    }
    stub.fault(Fault::Clock(3600));
    refused(store.get("a"), "RequestTimeTooSkewed", "this machine says 20");
    stub.heal();
    let (key, secret) = stub.key_files_of(folder.path(), "stub-key");
    std::fs::write(&key, "another").unwrap();
    refused(open(&stub.url(), key.clone(), secret.clone()).unwrap().get("a"), "InvalidAccessKeyId", "store_key_file");
    std::fs::write(&key, "stub-key").unwrap();
    let elsewhere = stub.url().replace("/bucket", "/elsewhere");
    refused(open(&elsewhere, key, secret).unwrap().get("a"), "NoSuchBucket", "\"elsewhere\"");
    for key in ["", "a//b", "../a", "a/."] {
        refused(store.create(key, b""), "InvalidKey", key);
    }
}

#[test]
fn a_name_with_a_public_address_is_not_asked_without_tls() {
    // No connection is opened.
    let error = s3_client::agent(true).get("http://203.0.114.1/").call().unwrap_err();
    let error = StoreError::without_response(&error.into(), "s3.example.com", "store_url");
    refused(Err::<(), _>(error), "PlainHttp", "Use https://");
}

#[test]
fn a_key_file_has_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let (key, secret) = S3Stub::start().key_files(folder.path());
    let said = |key: &PathBuf| {
        format!("{:#}", open("https://s3.example.com/bucket", key.clone(), secret.clone()).err().unwrap())
    };
    assert!(said(&folder.path().join("missing")).contains("store_key_file: cannot read"));
    for wrong in ["", "\n", "two words", "two\nlines"] {
        std::fs::write(&key, wrong).unwrap();
        assert!(said(&key).contains("must contain one key"), "{wrong:?}");
    }
}

#[test]
fn an_address_is_a_bucket_in_the_path_or_at_aws() {
    let bucket = |url: &str, region: &str| {
        let parsed = url.parse::<StoreUrl>().ok()?;
        Some((parsed.bucket(region, StorePurpose::Commits).unwrap().base_url().to_string(), parsed.prefix().to_owned()))
    };
    for (url, base, prefix) in [
        ("https://account.r2.cloudflarestorage.com/data", "https://account.r2.cloudflarestorage.com/data/", ""),
        ("https://minio.example.com:9000/data/a/b/", "https://minio.example.com:9000/data/", "a/b/"),
        ("http://127.0.0.1:9000/data", "http://127.0.0.1:9000/data/", ""),
        ("http://[fd00::1]:9000/data", "http://[fd00::1]:9000/data/", ""),
        ("http://minio:9000/data", "http://minio:9000/data/", ""),
        ("s3://cx-data/a", "https://cx-data.s3.eu-west-3.amazonaws.com/", "a/"),
        ("s3://cx.data", "https://s3.eu-west-3.amazonaws.com/cx.data/", ""),
    ] {
        assert_eq!(bucket(url, "eu-west-3"), Some((base.to_owned(), prefix.to_owned())), "{url}");
    }
    assert_eq!(bucket("s3://cx-data", "cn-north-1").unwrap().0, "https://cx-data.s3.cn-north-1.amazonaws.com.cn/");
    for wrong in [
        "cx",
        "s3://",
        "s3://a",
        "https://s3.example.com",
        "https://s3.example.com/",
        "https://key:secret@s3.example.com/data",
        "https://s3.example.com/data?a=b",
        "https://s3.example.com/data#a",
        "https://s3.example.com/data/../other",
        "https://s3.example.com/data//a",
        "https://s3.example.com/data/a b",
        "https://s3.example.com/CX",
        "http://203.0.114.1/data",
        "ftp://s3.example.com/data",
    ] {
        assert_eq!(bucket(wrong, "eu-west-3"), None, "{wrong}");
    }
}

#[test]
fn the_probe_accepts_a_store_that_honours_conditions() {
    let Shared { stub, store, .. } = shared();
    let mut steps = Vec::new();
    store.probe("node", &mut |step| steps.push(step)).unwrap();
    assert!(steps.len() == 9 && steps.iter().all(|step| step.failure.is_none()), "{steps:?}");
    assert_eq!(stub.objects(), [""; 0]);
}

#[test]
fn the_probe_refuses_a_store_that_ignores_conditions() {
    for (fault, steps, part) in [
        (Fault::IgnoreIfNoneMatch, 2, "ignores the condition If-None-Match"),
        (Fault::IgnoreIfMatch, 5, "ignores the condition If-Match"),
        (Fault::RacyCreates, 7, "two creates of the same object at the same time"),
    ] {
        let Shared { stub, store, .. } = shared();
        stub.fault(fault);
        let mut seen = Vec::new();
        let said = store.probe("node", &mut |step| seen.push(step.failure)).unwrap_err();
        assert!(matches!(&said, ProbeError::Unsuitable(why) if why.contains(part)), "{said}");
        assert_eq!(seen.len(), steps, "{seen:?}");
        assert_eq!(seen.pop().flatten(), Some(said.to_string()));
        assert_eq!(stub.objects(), [""; 0], "the probe removes its objects");
    }
}

#[test]
fn the_probe_says_which_step_failed() {
    let Shared { stub, store, .. } = shared();
    stub.fault(Fault::Reject(403, "AccessDenied"));
    let said = store.probe("node", &mut |_| {}).unwrap_err();
    assert!(said.to_string().starts_with("create an object: ") && said.to_string().contains("AccessDenied"), "{said}");
}

#[test]
fn a_certificate_that_is_not_trusted_is_named() {
    let error = ureq::Error::Io(std::io::Error::other("invalid peer certificate: UnknownIssuer"));
    refused(
        Err::<(), _>(StoreError::without_response(&error.into(), "minio", "store_url")),
        "Certificate",
        "UnknownIssuer",
    );
    let error = ureq::Error::Io(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
    unknown(Err::<(), _>(StoreError::without_response(&error.into(), "minio", "store_url")));
}

//! Off-site backups: copied to an object store or by a command, encrypted, read again, pruned, and restored after a
//! total loss by a key that was never on the server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::backups::contents;
use crate::metrics::{figure, figures};
use crate::process::{Typed, not_run, packaged, program, run};
use crate::receiver::Receiver;
use crate::s3_stub::{Fault, S3Stub};
use crate::test_server::{Team, TestServer, email, eventually, sqlite, text};
use crate::webhooks::is_signed;

/// A pair of keys. The secret one is in a file that the server does not know.
struct Key {
    file: PathBuf,
    public: String,
}

/// A server, and a place for its backups.
struct Offsite {
    server: TestServer,
    stub: S3Stub,
    key: Key,
    /// The settings of the place, as environment variables.
    environment: Vec<(&'static str, String)>,
    elsewhere: TempDir,
}

impl Key {
    fn new(folder: &Path, name: &str) -> Self {
        let made = run(program(folder).arg("backup-key"), "");
        let public = made.err.trim().strip_prefix("Public key: ").unwrap().to_owned();
        let file = folder.join(name);
        let text = made.ok();
        assert!(text.contains(&format!("# public key: {public}\nAGE-SECRET-KEY-1")), "{text}");
        fs::write(&file, text).unwrap();
        Self { file, public }
    }
}

impl Offsite {
    fn new() -> Self {
        Self::with(&[], &[])
    }

    /// With more settings, and flags for `serve`.
    fn with(more: &[(&'static str, &str)], flags: &[&str]) -> Self {
        let (stub, elsewhere) = (S3Stub::start(), tempfile::tempdir().unwrap());
        let key = Key::new(elsewhere.path(), "key.txt");
        let (key_file, secret_file) = stub.key_files(elsewhere.path());
        let mut environment = vec![
            ("CX_BACKUP_TO", format!("{}/cx", stub.url())),
            ("CX_BACKUP_RECIPIENTS", key.public.clone()),
            ("CX_BACKUP_KEY_FILE", key_file.display().to_string()),
            ("CX_BACKUP_SECRET_FILE", secret_file.display().to_string()),
            ("CX_BACKUP_PART_MIB", "1".to_owned()),
        ];
        environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let given: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let server = TestServer::within(&given, flags);
        Self { server, stub, key, environment, elsewhere }
    }

    /// A command in the folder of the server, with the settings of the place.
    fn typed(&self, arguments: &[&str]) -> Typed {
        let folder = self.server.data().parent().unwrap().to_owned();
        run(program(&folder).args(arguments).envs(self.environment.iter().cloned()), "")
    }

    /// A command with the secret key, on the backups that are elsewhere.
    fn with_key(&self, arguments: &[&str]) -> Typed {
        self.typed(&[arguments, &["--offsite", "--identity", self.key.file.to_str().unwrap()]].concat())
    }

    /// Takes a backup; returns its name.
    fn back_up(&self, arguments: &[&str]) -> String {
        let said = self.typed(&[&["backup", "--json"], arguments].concat()).ok();
        text(&serde_json::from_str::<Value>(&said).unwrap()["name"])
    }

    /// The names of the backups that are elsewhere.
    fn names(&self) -> Vec<String> {
        let listed: Vec<Value> = serde_json::from_str(&self.typed(&["backups", "--offsite", "--json"]).ok()).unwrap();
        listed.iter().map(|backup| text(&backup["name"])).collect()
    }

    /// Loses the data directory with the backups in it, and restores all of it from elsewhere.
    fn lose_and_restore(&mut self) {
        self.server.kill();
        self.server.ended();
        fs::remove_dir_all(self.server.data()).unwrap();
        let into = self.server.data();
        self.with_key(&["restore", "--into", into.to_str().unwrap()]).ok();
        self.server.is_sound();
        self.server.start();
    }
}

/// Puts texts that cannot be compressed into the file of a workspace: more than two MiB.
fn fill(server: &TestServer, team: &Team) {
    for name in ["a", "b", "c"] {
        server.customer(&team.inside, name);
    }
    let db = sqlite(&server.file(&team.workspace));
    db.execute("UPDATE customers SET comment = hex(randomblob(800000))", []).unwrap();
}

/// The drill: everything is lost but the bucket and the secret key.
#[test]
fn everything_is_lost_and_comes_back_from_a_bucket_by_a_key_that_was_elsewhere() {
    let mut offsite = Offsite::new();
    let (acme, zeta) = (offsite.server.team("acme"), offsite.server.team("zeta"));
    fill(&offsite.server, &acme);
    offsite.server.customer(&zeta.inside, "Renault");
    let said = offsite.typed(&["backup"]).ok();
    assert!(said.contains("encrypted, read again and compared") && said.contains(&offsite.stub.url()), "{said}");
    offsite.server.customer(&zeta.inside, "came after the backup");

    let objects = offsite.stub.objects();
    let [name] = offsite.names().try_into().unwrap();
    let parts: Vec<&String> = objects.iter().filter(|object| object.ends_with(".age")).collect();
    assert!(parts.len() >= 3 && *parts[0] == format!("cx/{name}.000001.age"), "{objects:?}");
    assert_eq!(objects.len(), parts.len() + 2, "{objects:?}");
    for object in &objects {
        let body = offsite.stub.object(object).unwrap();
        assert!(body.len() <= 1 << 20, "{object} has {} bytes", body.len());
        for secret in ["acme", "zeta", "Renault", "SQLite", acme.workspace.as_str()] {
            assert!(!body.windows(secret.len()).any(|text| text == secret.as_bytes()), "{object} shows {secret}");
        }
    }
    let before = contents(&offsite.server.file(&acme.workspace));
    let key = fs::read_to_string(&offsite.key.file).unwrap();
    let secret = key.lines().last().unwrap();
    let found = Command::new("grep").args(["-rl", secret]).arg(offsite.server.data()).output().unwrap();
    assert!(found.stdout.is_empty(), "the secret key is on the server: {found:?}");

    offsite.lose_and_restore();
    assert_eq!(contents(&offsite.server.file(&acme.workspace)), before);
    // The tokens of that time are valid, because the keys came too.
    assert_eq!(offsite.server.customers(&zeta.inside), ["Renault"]);
    offsite.server.customer(&acme.inside, "Life goes on");
    offsite.back_up(&[]);
    assert_eq!(offsite.names().len(), 2, "the restored instance still owns the place");
}

#[test]
fn a_copy_is_a_tar_archive_that_the_program_age_decrypts() {
    let offsite = Offsite::new();
    let acme = offsite.server.team("acme");
    let name = offsite.back_up(&[]);
    let Some(age) = ["age", "rage"].into_iter().find(|program| Command::new(program).arg("--version").output().is_ok())
    else {
        return not_run("neither age nor rage is installed (apt-get install age)");
    };
    let folder = offsite.elsewhere.path();
    fs::write(folder.join("all.age"), offsite.stub.object(&format!("cx/{name}.000001.age")).unwrap()).unwrap();
    let script = format!("{age} -d -i key.txt all.age | tar x && zstd -dq central.sqlite.zst");
    let mut shell = Command::new("sh");
    let unpacked = run(shell.args(["-c", &script]).current_dir(folder), "");
    if unpacked.err.contains("zstd: not found") {
        return not_run("zstd is not installed");
    }
    unpacked.ok();
    assert!(folder.join("manifest.json").exists() && folder.join("keys").is_dir());
    assert!(folder.join(format!("workspaces/{}.sqlite.zst", acme.workspace)).exists());
    let central = sqlite(&folder.join("central.sqlite"));
    let owner: String = central.query_row("SELECT email FROM accounts", [], |row| row.get(0)).unwrap();
    assert_eq!(owner, email("acme"));
}

#[test]
fn one_workspace_comes_back_from_elsewhere_while_it_is_served() {
    let offsite = Offsite::new();
    let server = &offsite.server;
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    let first = offsite.back_up(&[]);
    server.customer(&acme.inside, "Peugeot");
    offsite.back_up(&[]);
    server.customer(&acme.inside, "Citroën");
    // A workspace that is newer than the newest backup that has another one.
    let zeta = server.team("zeta");

    let listed = offsite.with_key(&["backups", &first]).ok();
    assert!(listed.contains("acme") && listed.contains(&acme.workspace) && !listed.contains("zeta"), "{listed}");
    offsite.with_key(&["restore", "acme"]).ok();
    assert_eq!(server.customers(&acme.inside), ["Renault", "Peugeot"]);
    offsite.with_key(&["restore", "acme", "--backup", &first, "--as", "acme-then"]).ok();
    let workspaces = server.get(&acme.owner, "/workspaces?filter[subdomain]=acme-then").ok();
    let then = server.enter(&acme.owner, &text(&workspaces["data"][0]["id"]));
    assert_eq!(server.customers(&then), ["Renault"]);
    assert_eq!(server.customers(&acme.inside), ["Renault", "Peugeot"]);
    let said = offsite.with_key(&["restore", "zeta"]).failed();
    assert!(said.contains("no backup of zeta in"), "{said}");
    let said = offsite.with_key(&["restore", "acme", "--at", "2020-01-01"]).failed();
    assert!(said.contains("no backup of acme at or before 2020-01-01"), "{said}");
    let said = offsite.typed(&["restore", "acme", "--offsite"]).failed();
    assert!(said.contains("--identity"), "{said}");
    // One workspace is copied only if that is said.
    offsite.typed(&["backup", "zeta"]).ok();
    assert_eq!(offsite.names().len(), 2);
    let to = format!("{}/cx", offsite.stub.url());
    offsite.typed(&["backup", "zeta", "--to", &to]).ok();
    assert_eq!(offsite.names().len(), 3);
    offsite.with_key(&["restore", "zeta"]).ok();
    server.get(&zeta.inside, "/customers").ok();
    server.is_sound();
}

#[test]
fn with_another_key_nothing_is_read_and_the_right_one_is_named() {
    let offsite = Offsite::new();
    offsite.server.team("acme");
    offsite.back_up(&[]);
    let other = Key::new(offsite.elsewhere.path(), "other.txt");
    let other = other.file.to_str().unwrap();
    let into = ["restore", "--into", "new", "--offsite", "--identity"];
    let said = offsite.typed(&[&into[..], &[other]].concat()).failed();
    assert!(said.contains("no key in") && said.contains(&offsite.key.public), "{said}");
    let said =
        offsite.typed(&[&into[..], &[offsite.stub.key_files(offsite.elsewhere.path()).0.to_str().unwrap()]].concat());
    let said = said.failed();
    assert!(said.contains("AGE-SECRET-KEY-1") && !said.contains("stub-key\n"), "{said}");
    let said = offsite.typed(&["backups", "--offsite", "--verify", "--identity", other]).failed();
    assert!(said.contains("no key in"), "{said}");
    assert!(!offsite.server.data().with_file_name("new").exists(), "nothing is left behind");
    // Two recipients, of which each can read.
    let two = Key::new(offsite.elsewhere.path(), "two.txt");
    let recipients = ["backup", "--recipient", &two.public, "--recipient", &offsite.key.public];
    offsite.typed(&recipients).ok();
    for key in [&two, &offsite.key] {
        let name = offsite.names().pop().unwrap();
        let identity = ["--offsite", "--identity", key.file.to_str().unwrap()];
        offsite.typed(&[&["backups", &name], &identity[..]].concat()).ok();
    }
}

#[test]
fn a_copy_that_was_damaged_or_lost_a_part_is_found_and_the_one_before_is_restored() {
    let offsite = Offsite::new();
    let acme = offsite.server.team("acme");
    fill(&offsite.server, &acme);
    let first = offsite.back_up(&[]);
    let second = offsite.back_up(&[]);
    for verified in [offsite.typed(&["backups", "--offsite", "--verify"]), offsite.with_key(&["backups", "--verify"])] {
        let said = verified.ok();
        assert!(said.contains("2 backups") && said.contains("no problems found"), "{said}");
    }
    offsite.stub.damage(&format!("cx/{second}.000002.age"));
    let said = offsite.typed(&["backups", "--offsite", "--verify"]).failed();
    assert!(
        said.contains(&format!("{second}.000002.age is damaged")) && !said.contains(&format!("{first}: ")),
        "{said}"
    );
    let said = offsite.with_key(&["backups", "--verify"]).failed();
    assert!(said.contains(&format!("{second}.000002.age is damaged")), "{said}");
    let said = offsite.with_key(&["restore", "--into", "new"]).failed();
    assert!(said.contains("is damaged"), "{said}");
    assert!(!offsite.server.data().with_file_name("new").exists());
    offsite.with_key(&["restore", "--into", "new", "--backup", &first]).ok();

    offsite.stub.remove(&format!("cx/{second}.000002.age"));
    let listed = offsite.typed(&["backups", "--offsite"]);
    assert!(listed.code == Some(1) && listed.out.contains(&first) && !listed.out.contains(&second), "{listed:?}");
    assert!(listed.err.contains(&format!("{second}: {second}.000002.age is missing")), "{listed:?}");
    let said = offsite.with_key(&["restore", "--into", "newest"]).ok();
    assert!(said.contains(&format!("restored {first} into")), "the newest that can be used: {said}");
}

#[test]
fn a_store_that_is_full_lies_or_refuses_keeps_what_it_had_and_the_backup_stays_here() {
    let offsite = Offsite::new();
    let acme = offsite.server.team("acme");
    fill(&offsite.server, &acme);
    let good = offsite.back_up(&[]);
    let before = offsite.stub.objects();
    for (fault, part) in [
        (Fault::FullAfter(1), "XMinioStorageFull"),
        (Fault::Garble, "does not match its checksum"),
        (Fault::Reject(403, "AccessDenied"), "allow it to list the bucket"),
        (Fault::Reject(403, "InvalidAccessKeyId"), "the access key in backup_key_file"),
        (Fault::CutOff, "gave no final answer"),
    ] {
        offsite.stub.fault(fault);
        let said = offsite.typed(&["backup", "--keep-last", "1"]).failed();
        assert!(said.contains("is on this machine, but was not copied to") && said.contains(part), "{said}");
        assert!(!said.contains("X-Amz") && !said.contains("stub-secret"), "{said}");
        offsite.stub.heal();
        assert_eq!(offsite.stub.objects(), before, "the parts are deleted, and nothing else");
    }
    assert_eq!(offsite.names(), [good]);
    let local: Vec<Value> = serde_json::from_str(&offsite.typed(&["backups", "--json"]).ok()).unwrap();
    assert_eq!(local.len(), 1, "each is kept here, and replaces the one before");
    // An answer that is lost is no failure.
    offsite.stub.fault(Fault::Unanswered(1));
    offsite.back_up(&[]);
    assert_eq!(offsite.names().len(), 2);
    offsite.server.is_sound();
}

#[test]
fn rules_hold_elsewhere_too_and_touch_nothing_of_others() {
    let offsite = Offsite::new();
    offsite.server.team("acme");
    let first = offsite.back_up(&[]);
    let alone = offsite.back_up(&["acme", "--to", &format!("{}/cx", offsite.stub.url())]);
    let second = offsite.back_up(&[]);
    assert_eq!(offsite.names(), [first.clone(), alone.clone(), second.clone()]);
    // A file of another program, and a copy that cannot be used.
    let foreign = S3Object { offsite: &offsite, key: "cx/holidays.age" };
    foreign.put("photos");
    let unusable = S3Object { offsite: &offsite, key: "cx/20200101T000000Z.json" };
    unusable.put("{}");
    let said = offsite.typed(&["backup", "--keep-last", "2", "--json"]).ok();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["deleted_there"], json!([first]));
    let third = text(&said["name"]);
    let listed = offsite.typed(&["backups", "--offsite", "--json"]);
    assert!(listed.err.contains("20200101T000000Z: its list of parts is malformed"), "{listed:?}");
    for kept in [&alone, &second, &third] {
        assert!(listed.out.contains(kept), "{listed:?}");
    }
    assert_eq!(foreign.get().as_deref(), Some("photos"));
    assert!(unusable.get().is_some());
    let gone = [format!("cx/{first}.json"), format!("cx/{first}.000001.age")];
    assert!(!offsite.stub.objects().iter().any(|object| gone.contains(object)), "{:?}", offsite.stub.objects());
}

/// An object that another program wrote.
struct S3Object<'o> {
    offsite: &'o Offsite,
    key: &'o str,
}

impl S3Object<'_> {
    fn put(&self, body: &str) {
        self.offsite.stub.put_object(self.key, body.as_bytes());
    }

    fn get(&self) -> Option<String> {
        self.offsite.stub.object(self.key).map(|body| String::from_utf8(body).unwrap())
    }
}

#[test]
fn what_an_interrupted_copy_left_is_no_backup_and_goes_with_the_next() {
    let offsite = Offsite::new();
    offsite.server.team("acme");
    let left = S3Object { offsite: &offsite, key: "cx/20260101T000000Z.000001.age" };
    left.put("half");
    assert_eq!(offsite.names(), [""; 0]);
    let said = offsite.with_key(&["restore", "--into", "new"]).failed();
    assert!(said.contains("no backup of everything in"), "{said}");
    let name = offsite.back_up(&[]);
    assert_eq!(offsite.names(), [name]);
    assert_eq!(left.get(), None);
}

#[test]
fn a_place_belongs_to_one_instance() {
    let (offsite, other) = (Offsite::new(), TestServer::new());
    offsite.server.team("acme");
    other.team("zeta");
    offsite.back_up(&[]);
    let before = offsite.stub.objects();
    let folder = other.data().parent().unwrap().to_owned();
    let other_typed = |arguments: &[&str]| {
        run(program(&folder).args(arguments).envs(offsite.environment.iter().cloned()), "").failed()
    };
    let said = other_typed(&["backup", "--keep-last", "1"]);
    assert!(said.contains("belongs to another instance"), "{said}");
    let said = other_typed(&["restore", "zeta", "--offsite", "--identity", offsite.key.file.to_str().unwrap()]);
    assert!(said.contains("is a backup of another instance"), "{said}");
    assert_eq!(offsite.stub.objects(), before);
}

/// A command that keeps objects in a folder. It is broken while there is a file with that name.
fn hook(folder: &Path) -> PathBuf {
    let kept = folder.join("kept");
    fs::create_dir(&kept).unwrap();
    let script = format!(
        "#!/bin/sh\nset -e\ncd {}\nif [ -e ../broken ]; then cat ../broken >&2; exit 7; fi\ncase $1 in\n\
         put) cat >\"$2.new\"; mv \"$2.new\" \"$2\" ;;\nget) cat \"$2\" ;;\nlist) ls ;;\ndelete) rm \"$2\" ;;\nesac\n",
        kept.display()
    );
    let path = folder.join("hook");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_command_keeps_the_copies_where_it_likes() {
    let elsewhere = tempfile::tempdir().unwrap();
    let path = hook(elsewhere.path());
    let target = format!("command:{}", path.display());
    let mut offsite = Offsite::with(&[("CX_BACKUP_TO", &target)], &[]);
    let acme = offsite.server.team("acme");
    fill(&offsite.server, &acme);
    let first = offsite.back_up(&[]);
    let there = || fs::read_dir(elsewhere.path().join("kept")).unwrap().count();
    let objects = there();
    assert!(objects >= 5 && offsite.stub.requests().total() == 0, "{objects} objects");

    fs::write(elsewhere.path().join("broken"), "connecting…\nssh: connect to host backup: No route to host\n").unwrap();
    let said = offsite.typed(&["backup", "--keep-last", "1"]).failed();
    assert!(said.contains("`list` failed (exit status: 7): ssh: connect to host backup: No route to host"), "{said}");
    assert!(!said.contains("connecting"), "{said}");
    fs::remove_file(elsewhere.path().join("broken")).unwrap();
    assert_eq!((offsite.names(), there()), (vec![first], objects));

    let second = offsite.back_up(&["--keep-last", "1"]);
    assert_eq!(offsite.names(), [second]);
    let before = contents(&offsite.server.file(&acme.workspace));
    offsite.lose_and_restore();
    assert_eq!(contents(&offsite.server.file(&acme.workspace)), before);
}

/// The script of the package, on a server of SFTP that runs without SSH.
#[test]
fn the_script_of_the_package_keeps_the_copies_over_sftp() {
    let server = ["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server"];
    let found = server.into_iter().find(|path| Path::new(path).exists());
    let has_client = Command::new("sftp").arg("-h").output().is_ok();
    let Some(sftp_server) = found.filter(|_| has_client) else {
        return not_run("sftp or its server is not installed (apt-get install openssh-client openssh-sftp-server)");
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let kept = elsewhere.path().join("kept");
    fs::create_dir(&kept).unwrap();
    let script = fs::read_to_string(packaged("backup-sftp")).unwrap();
    let (before, rest) = script.split_once("    sftp -q -b - ").unwrap();
    let (_, after) = rest.split_once("\n}\n").unwrap();
    let script = format!("{before}    sftp -q -b - -D {sftp_server}\n}}\n{after}");
    let script = script.replace("FOLDER=cx-engine\n", &format!("FOLDER={}\n", kept.display()));
    let path = elsewhere.path().join("backup-sftp");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let target = format!("command:{}", path.display());
    let mut offsite = Offsite::with(&[("CX_BACKUP_TO", &target), ("PATH", "/usr/bin:/bin")], &[]);
    let acme = offsite.server.team("acme");
    fill(&offsite.server, &acme);
    offsite.back_up(&[]);
    let name = offsite.back_up(&["--keep-last", "1"]);
    assert_eq!(offsite.names(), [name]);
    offsite.typed(&["backups", "--offsite", "--verify"]).ok();
    let before = contents(&offsite.server.file(&acme.workspace));
    offsite.lose_and_restore();
    assert_eq!(contents(&offsite.server.file(&acme.workspace)), before);
    fs::remove_dir_all(&kept).unwrap();
    let said = offsite.typed(&["backup"]).failed();
    assert!(said.contains("`list` failed") && said.contains("No such file or directory"), "{said}");
}

#[test]
fn wrong_settings_stop_the_start_and_say_what_is_wrong() {
    let offsite = Offsite::new();
    let folder = offsite.elsewhere.path();
    let secret = fs::read_to_string(&offsite.key.file).unwrap().lines().last().unwrap().to_owned();
    fs::write(folder.join("plain"), "no program").unwrap();
    let with = |changes: &[(&str, &str)], arguments: &[&str]| {
        let mut command = program(folder);
        command.args(arguments).envs(offsite.environment.iter().cloned()).envs(changes.iter().copied());
        let said = run(&mut command, "");
        assert!(said.code == Some(1) || said.code == Some(2), "{said:?}");
        assert!(!folder.join("data").exists() && !said.err.contains(&secret), "{said:?}");
        said.err
    };
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let plain = format!("command:{}", folder.join("plain").display());
    for (changes, part) in [
        (&[("CX_BACKUP_TO", "ftp://backup.example.com/cx")][..], "it must be s3://BUCKET/PREFIX for AWS"),
        (&[("CX_BACKUP_TO", "command:hook")], "command:/PATH of a program"),
        (&[("CX_BACKUP_TO", "http://203.0.114.1/backups")], "http:// only to a loopback or private address"),
        (&[("CX_BACKUP_TO", "command:/nowhere")], "backup_to: cannot use /nowhere"),
        (&[("CX_BACKUP_TO", &plain)], "is not executable"),
        (&[("CX_BACKUP_RECIPIENTS", "")], "backup_to needs backup_recipients"),
        (&[("CX_BACKUP_RECIPIENTS", &secret)], "it must be public keys of age"),
        (&[("CX_BACKUP_RECIPIENTS", "age1nonsense")], "it must be public keys of age"),
        (&[("CX_BACKUP_KEY_FILE", "")], "needs backup_key_file and backup_secret_file"),
        (&[("CX_BACKUP_SECRET_FILE", "missing")], "backup_secret_file: cannot read missing"),
        (&[("CX_BACKUP_EXPECT", "tomorrow")], "like 36h or 1d"),
        (&[("CX_ALERT_WEBHOOK", "https://ops.example.com/")], "alert_webhook_secret_file"),
        (
            &[("CX_ALERT_WEBHOOK", "https://ops.example.com/"), ("CX_ALERT_WEBHOOK_SECRET_FILE", "plain")],
            "must be whsec_",
        ),
    ] {
        let said = with(changes, &serve);
        assert!(said.contains(part), "{changes:?}: {said}");
    }
    for (arguments, part) in [
        (&["backups", "--from", "ftp://backup.example.com"][..], "it must be s3://BUCKET/PREFIX"),
        (&["backups", "--identity", "key.txt"], "--identity"),
        (&["restore", "--into", "new", "--offsite", "--backup-dir", "shelf"], "cannot be used with"),
    ] {
        let said = with(&[], arguments);
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    assert_eq!(offsite.stub.requests().total(), 0);
}

/// The mails to one address, without a mail server.
fn mails(server: &TestServer, part: &str) -> usize {
    let files = fs::read_dir(server.data().join("outbox")).into_iter().flatten().flatten();
    files.filter(|file| fs::read_to_string(file.path()).is_ok_and(|mail| mail.contains(part))).count()
}

#[test]
fn operators_learn_once_that_backups_fail_and_once_that_they_work_again() {
    let (receiver, secret) = (Receiver::start(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let elsewhere = tempfile::tempdir().unwrap();
    let secret_file = elsewhere.path().join("webhook.secret");
    fs::write(&secret_file, format!("{secret}\n")).unwrap();
    let (url, secret_file) = (receiver.url(), secret_file.display().to_string());
    let more = [("CX_ALERT_WEBHOOK", url.as_str()), ("CX_ALERT_WEBHOOK_SECRET_FILE", secret_file.as_str())];
    let offsite = Offsite::with(&more, &["--metrics", "true"]);
    let server = &offsite.server;
    let operator = server.team("acme").owner;
    let good = offsite.back_up(&[]);
    let shown = server.get(&operator, "/instance/backups").ok();
    assert_eq!((&shown["status"]["name"], &shown["status"]["problem"]), (&json!(good), &Value::Null));
    assert_eq!((&shown["copied_to"], &shown["status"]["place"]), (&shown["status"]["place"], &shown["copied_to"]));
    assert!(figure(&figures(server), "backup_last_success_timestamp_seconds") > 1e9);
    assert_eq!(figure(&figures(server), "backup_failing"), 0.0);

    offsite.stub.fault(Fault::Reject(403, "AccessDenied"));
    offsite.typed(&["backup"]).failed();
    let told = receiver.next();
    assert!(is_signed(&told, secret), "{told:?}");
    assert_eq!((&told.json()["type"], &told.json()["data"]["last_backup"]), (&json!("backup.failed"), &json!(good)));
    assert!(text(&told.json()["data"]["problem"]).contains("AccessDenied"), "{told:?}");
    eventually("a mail", || mails(server, "The backup failed") == 1);
    offsite.typed(&["backup"]).failed();
    assert_eq!(figure(&figures(server), "backup_failing"), 1.0);
    let status = offsite.typed(&["status"]);
    assert!(status.out.contains("the last backup failed: ") && status.out.contains("off-site"), "{status:?}");
    let doctor = offsite.typed(&["doctor"]);
    assert!(doctor.code == Some(3) && doctor.out.contains("backups: the last backup failed: "), "{doctor:?}");

    offsite.stub.heal();
    // By the server this time.
    assert_eq!(server.post(&operator, "/instance/backups", json!({})).status, 202);
    let told = receiver.next();
    assert_eq!((&told.json()["type"], &told.json()["data"]["problem"]), (&json!("backup.recovered"), &Value::Null));
    eventually("a mail", || mails(server, "Backups work again") == 1);
    assert_eq!((mails(server, "The backup failed"), receiver.others().len()), (1, 0), "once for each streak");
    assert_eq!(offsite.names().len(), 2);
    let shown = server.get(&operator, "/instance/backups").ok();
    assert_eq!((&shown["job"]["state"], &shown["status"]["name"]), (&json!("done"), &shown["backups"][0]["name"]));
    server.is_sound();
    // A backup that stays here by a flag does not stand for the one that is expected elsewhere.
    offsite.typed(&["backup", "--to", ""]).ok();
    assert_eq!(offsite.names().len(), 2);
    let after = server.get(&operator, "/instance/backups").ok();
    assert_eq!(after["status"], shown["status"]);
}

/// The store accepts connections and says nothing.
#[test]
fn a_store_that_hangs_holds_up_neither_requests_nor_the_end_of_the_server() {
    let mut offsite = Offsite::new();
    let acme = offsite.server.team("acme");
    offsite.stub.fault(Fault::Delay(600_000));
    assert_eq!(offsite.server.post(&acme.owner, "/instance/backups", json!({})).status, 202);
    eventually("the copy has begun", || offsite.stub.requests().total() > 0);
    offsite.server.customer(&acme.inside, "Renault");
    let listed = offsite.server.get(&acme.owner, "/instance/backups").ok();
    assert_eq!((&listed["job"]["state"], listed["backups"].as_array().unwrap().len()), (&json!("running"), 1));
    assert!(offsite.server.stop().success(), "{}", offsite.server.log());
    offsite.stub.heal();
    offsite.server.start();
    assert_eq!(offsite.server.customers(&acme.inside), ["Renault"]);
    offsite.server.is_sound();
}

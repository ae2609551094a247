//! Whose files they are: root does not leave its own in the data directory of another user, whose server would not start.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use crate::process::{not_run, program, run};

const SOMEBODY: u32 = 1234;

/// What root may type on a machine with a server: also what reads alone, since SQLite makes a log beside what it reads.
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

/// Every file and folder, as it was last changed.
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
    run(program(folder.path()).args(["account", "list"]), "").ok();
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
    // `daemon` is user 1 wherever there is a Unix.
    chown(&data, Some(1), None).unwrap();
    refused(Path::new("data"), "daemon");
    // The folder is root's, as one that was made by hand for a service.
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
    run(program(folder.path()).args(["account", "list"]), "").ok();
    run(program(folder.path()).args(["backup"]), "").ok();
    fs::create_dir(&other).unwrap();
    if chown(&other, Some(SOMEBODY), None).is_err() {
        not_run("only root can give a folder away, and only root is refused");
        return;
    }
    let made = run(program(folder.path()).args(["restore", "--into", "other"]), "").failed();
    assert!(made.contains("other belongs to '#1234'"), "{made}");
    let made = run(program(folder.path()).args(["--data-dir", "other", "account", "list"]), "").failed();
    assert!(made.contains("other belongs to '#1234'"), "{made}");
    assert!(all_below(&other).is_empty());
    // What is restored elsewhere touches nothing of what there is.
    let backups = data.join("backups").display().to_string();
    chown(&data, Some(SOMEBODY), None).unwrap();
    run(program(folder.path()).args(["restore", "--into", "third", "--backup-dir", &backups]), "").ok();
}

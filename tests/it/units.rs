//! The units of `packaging/systemd`, checked by systemd: it knows every option, and the sandbox is tight.

use std::fs;
use std::process::Command;

use crate::process::{document, not_run, packaged, run};

/// Maximum exposure by `systemd-analyze security`, in tenths of 100. `docs/install.md` states it.
const MOST_EXPOSED: [(&str, u32); 2] = [("cx-engine.service", 11), ("cx-engine-backup.service", 11)];

/// A folder with the units, changed to an existing program. `None`, with a message, without systemd.
fn units() -> Option<tempfile::TempDir> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        not_run("there is no systemd-analyze");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(packaged("systemd")).unwrap() {
        let entry = entry.unwrap();
        let unit = fs::read_to_string(entry.path()).unwrap();
        let unit = unit.replace("/usr/bin/cx-engine", env!("CARGO_BIN_EXE_cx-engine"));
        fs::write(folder.path().join(entry.file_name()), unit).unwrap();
    }
    Some(folder)
}

#[test]
fn systemd_knows_all_that_the_units_say() {
    let Some(folder) = units() else { return };
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]);
    let verified = run(verify.args(fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path())), "");
    let ours = verified.err.lines().filter(|line| line.contains("cx-engine")).collect::<Vec<_>>();
    assert_eq!((verified.code, ours), (Some(0), Vec::new()), "{}", verified.err);
}

#[test]
fn the_services_reach_little_of_the_machine() {
    let Some(folder) = units() else { return };
    for (unit, most) in MOST_EXPOSED {
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--no-pager", "--offline=true", &format!("--threshold={most}")]);
        let said = run(security.arg(folder.path().join(unit)), "");
        assert_eq!(said.code, Some(0), "{unit} is more exposed than that: {}{}", said.out, said.err);
    }
    let stated = format!("exposure of {:.1} of 10", f64::from(MOST_EXPOSED[0].1) / 10.0);
    assert!(document("docs/install.md").contains(&stated), "docs/install.md does not speak of an {stated}");
}

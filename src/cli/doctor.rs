//! `cx-engine doctor`: finds damaged files, operations that a crash interrupted, and mail that could not be sent.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use rusqlite::Connection;
use serde::Serialize;
use uuid::Uuid;

use crate::api::Error;
use crate::central::workspace_lifecycle;
use crate::cli::output::outln;
use crate::instance::Instance;
use crate::storage::{self, FileKind};
use crate::tenancy::{lifecycle, members};
use crate::values::Timestamp;
use crate::workspace::search_indexes;

/// The exit code if problems were found.
const FOUND: u8 = 3;

/// The tables with row counts that triggers maintain.
const COUNTED: [&str; 4] = ["customers", "contacts", "phone_calls", "audit_log"];

/// A problem.
#[derive(Debug, Serialize)]
struct Finding {
    /// `central`, the id of a workspace, a path, or a mail.
    what: String,
    problem: String,
    /// True if it was fixed just now.
    fixed: bool,
}

/// The row of a workspace.
struct WorkspaceRow {
    id: Uuid,
    status: String,
}

pub fn run(instance: &Arc<Instance>, fix: bool, as_json: bool, now: Timestamp) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    check_file(&instance.config.data_dir.join("central.sqlite"), "central", FileKind::Central, &mut findings);
    let rows = rows(instance)?;
    let bar = ProgressBar::new(rows.len() as u64)
        .with_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} workspaces")?);
    for row in &rows {
        check_workspace(instance, row, fix, now, &mut findings)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    check_orphans(instance, &rows, fix, &mut findings)?;
    check_mail(instance, fix, now, &mut findings)?;

    if as_json {
        outln!("{}", serde_json::to_string_pretty(&findings)?);
    } else if findings.is_empty() {
        outln!("{} workspaces and the central file checked, no problems found", rows.len());
    } else {
        for finding in &findings {
            let fixed = if finding.fixed { " (fixed)" } else { "" };
            outln!("{}: {}{fixed}", finding.what, finding.problem);
        }
    }
    let sound = findings.iter().all(|finding| finding.fixed);
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

fn rows(instance: &Instance) -> anyhow::Result<Vec<WorkspaceRow>> {
    let rows = instance.central.workspace_statuses()?;
    Ok(rows.into_iter().map(|(id, status)| WorkspaceRow { id, status }).collect())
}

fn check_workspace(
    instance: &Arc<Instance>,
    row: &WorkspaceRow,
    fix: bool,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    let id = row.id;
    let (live, trashed) = (instance.registry.path(id), instance.trash_path(id));
    let what = id.to_string();
    // A running server may be in the middle of these operations, and finishes them itself.
    let fix = fix && !instance.is_running();
    match row.status.as_str() {
        "creating" => {
            if fix {
                workspace_lifecycle::undo_reservation(instance, id)?;
            }
            findings.push(Finding { what, problem: "its creation was interrupted".into(), fixed: fix });
        }
        "trashed" if live.exists() => {
            if fix {
                workspace_lifecycle::move_to_trash(instance, id)?;
            }
            findings.push(Finding {
                what,
                problem: "it was deleted, but its file is not in the trash".into(),
                fixed: fix,
            });
        }
        "trashed" => _ = check_contents(&trashed, id, &what, findings),
        _ => {
            if let Some(db) = check_contents(&live, id, &what, findings) {
                check_indexes(instance, &db, id, fix, findings)?;
                check_members(instance, &db, id, fix, now, findings)?;
            }
        }
    }
    Ok(())
}

/// Finds indexes that were built by other rules, after an update or a change of the default country, and are not
/// rebuilt yet. Files of an earlier version are skipped: they are migrated when first opened.
fn check_indexes(
    instance: &Instance,
    db: &Connection,
    id: Uuid,
    fix: bool,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    let is_current = |db| Ok::<_, rusqlite::Error>(!is_of_this_version(db)? || search_indexes::are_current(db)?);
    // A running server rebuilds them itself. An unreadable file has been reported already.
    if instance.is_running() || is_current(db).unwrap_or(true) {
        return Ok(());
    }
    if fix {
        search_indexes::bring_up_to_date(instance.registry.lease(id).file(), &mut { usize::MAX })?;
    }
    let problem = "its indexes of phone numbers and texts are out of date; a running server or --fix rebuilds them";
    findings.push(Finding { what: id.to_string(), problem: problem.into(), fixed: fix });
    Ok(())
}

fn is_of_this_version(db: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(version == FileKind::Workspace.version())
}

/// Finds users without a membership and members without a user, which a crash between the writes to two files leaves.
///
/// A user without a membership has no access, so the user is removed: that finishes a removal, or undoes an acceptance,
/// which can be repeated.
fn check_members(
    instance: &Instance,
    db: &Connection,
    id: Uuid,
    fix: bool,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    // An unreadable file has been reported already.
    let Ok(users) = accounts(db) else { return Ok(()) };
    let members = instance.central.member_ids(id)?;
    let mut found = |problem: String| findings.push(Finding { what: id.to_string(), problem, fixed: fix });
    for account_id in users.difference(&members).copied() {
        if fix {
            let (lease, recorder) = (instance.registry.lease(id), instance.system_recorder(id, now));
            lease.file().write(move |db| Ok::<_, Error>(members::remove(db, &recorder, account_id)?))?;
        }
        found(format!("account {account_id} is a user but not a member"));
    }
    for account_id in members.difference(&users).copied() {
        if fix {
            instance.central.end_membership(account_id, id, now)?;
        }
        found(format!("account {account_id} is a member but not a user"));
    }
    Ok(())
}

/// The accounts that are users, as a workspace's file says.
fn accounts(db: &Connection) -> rusqlite::Result<BTreeSet<i64>> {
    db.prepare("SELECT account_id FROM users")?.query_map([], |row| row.get(0))?.collect()
}

/// Finds files without a workspace: a manual copy, or the rest of a failed creation. They are moved to the trash, not
/// deleted.
fn check_orphans(
    instance: &Instance,
    rows: &[WorkspaceRow],
    fix: bool,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    let known: HashSet<Uuid> = rows.iter().map(|row| row.id).collect();
    let fix = fix && !instance.is_running();
    for folder in std::fs::read_dir(instance.config.data_dir.join("workspaces"))? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(folder)? {
            let path = file?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Uuid>().ok());
            let is_file = path.extension().is_some_and(|extension| extension == "sqlite");
            if let Some(id) = id.filter(|id| is_file && !known.contains(id)) {
                if fix {
                    lifecycle::move_file(&path, &instance.trash_path(id))?;
                }
                let problem = "the file belongs to no workspace".into();
                findings.push(Finding { what: path.display().to_string(), problem, fixed: fix });
            }
        }
    }
    Ok(())
}

/// Finds mail that failed for good, and queues it again; also while a server runs.
fn check_mail(instance: &Instance, fix: bool, now: Timestamp, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let letters = instance.central.dead_letters()?;
    for letter in letters {
        if fix {
            instance.central.queue_mail_again(letter.id, now)?;
        }
        let problem = format!(
            "{:?} to {} could not be sent after {} tries; last at {}: {}",
            letter.subject, letter.recipient, letter.tries, letter.last_tried_at, letter.last_error
        );
        findings.push(Finding { what: format!("mail {}", letter.id), problem, fixed: fix });
    }
    Ok(())
}

fn check_contents(path: &Path, id: Uuid, what: &str, findings: &mut Vec<Finding>) -> Option<Connection> {
    let db = check_file(path, what, FileKind::Workspace, findings)?;
    let is = |sql: &str| db.query_row(sql, [], |row| row.get::<_, bool>(0));
    let checks = [
        ("SELECT count(*) = 1 FROM workspace", "it has no workspace id"),
        ("SELECT EXISTS (SELECT 1 FROM users)", "it has no users"),
    ];
    let mut found: Vec<_> = checks.into_iter().map(|(sql, problem)| (is(sql), problem.to_owned())).collect();
    for table in COUNTED {
        found.push((is_counted(&db, table), format!("its count of {} is wrong", table.replace('_', " "))));
    }
    let mut problems: Vec<String> = Vec::new();
    for (sound, problem) in found {
        match sound {
            Ok(true) => {}
            Ok(false) => problems.push(problem),
            Err(error) => problems.push(error.to_string()),
        }
    }
    let named: Result<String, _> = db.query_row("SELECT id FROM workspace", [], |row| row.get(0));
    if named.is_ok_and(|named| named != id.to_string()) {
        problems.push("it is the file of another workspace".into());
    }
    findings.extend(problems.into_iter().map(|problem| Finding { what: what.into(), problem, fixed: false }));
    Some(db)
}

/// True if the maintained count of a table's rows is correct. A file that was last opened before the table existed has
/// neither.
fn is_counted(db: &Connection, table: &str) -> rusqlite::Result<bool> {
    let is_there = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1")?.exists([table])?;
    let sql = format!("SELECT rows = (SELECT count(*) FROM {table}) FROM row_counts WHERE name = ?1");
    if is_there { db.query_row(&sql, [table], |row| row.get(0)) } else { Ok(true) }
}

/// Runs SQLite's own checks. Returns the connection if more checks are possible.
fn check_file(path: &Path, what: &str, kind: FileKind, findings: &mut Vec<Finding>) -> Option<Connection> {
    let mut found = |problem: String| findings.push(Finding { what: what.into(), problem, fixed: false });
    if !path.exists() {
        found("its file is missing".into());
        return None;
    }
    let db = match storage::open_reader(path) {
        Ok(db) => db,
        Err(error) => {
            found(format!("its file cannot be opened: {error}"));
            return None;
        }
    };
    if let Err(error) = storage::check_version(&db, kind) {
        found(format!("its file cannot be used: {error:#}"));
        return None;
    }
    match storage::integrity_problems(&db) {
        Ok(problems) => problems.into_iter().for_each(found),
        Err(error) => {
            found(format!("its file is damaged: {error}"));
            return None;
        }
    }
    Some(db)
}

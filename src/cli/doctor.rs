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
use crate::central::workspaces;
use crate::cli::output::outln;
use crate::engine::Engine;
use crate::storage::{self, Kind};
use crate::tenancy::{life, members};
use crate::values::Timestamp;
use crate::workspace::indexes;

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
struct Row {
    id: Uuid,
    status: String,
}

pub fn run(engine: &Arc<Engine>, fix: bool, as_json: bool, now: Timestamp) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    check_file(&engine.config.data_dir.join("central.sqlite"), "central", Kind::Central, &mut findings);
    let rows = rows(engine)?;
    let bar = ProgressBar::new(rows.len() as u64)
        .with_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} workspaces")?);
    for row in &rows {
        check_workspace(engine, row, fix, now, &mut findings)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    check_orphans(engine, &rows, fix, &mut findings)?;
    check_mail(engine, fix, now, &mut findings)?;

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

fn rows(engine: &Engine) -> anyhow::Result<Vec<Row>> {
    let rows = engine.central.workspace_statuses()?;
    Ok(rows.into_iter().map(|(id, status)| Row { id, status }).collect())
}

fn check_workspace(
    engine: &Arc<Engine>,
    row: &Row,
    fix: bool,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    let id = row.id;
    let (live, trashed) = (engine.registry.path(id), engine.trash_path(id));
    let what = id.to_string();
    // A running server may be in the middle of these operations, and finishes them itself.
    let fix = fix && !engine.is_served();
    match row.status.as_str() {
        "creating" => {
            if fix {
                workspaces::give_up(engine, id)?;
            }
            findings.push(Finding { what, problem: "its creation was interrupted".into(), fixed: fix });
        }
        "trashed" if live.exists() => {
            if fix {
                workspaces::move_to_trash(engine, id)?;
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
                check_indexes(engine, &db, id, fix, findings)?;
                check_members(engine, &db, id, fix, now, findings)?;
            }
        }
    }
    Ok(())
}

/// Finds indexes that were built by other rules, after an update or a change of the default country, and are not
/// rebuilt yet. Files of an earlier version are skipped: they are migrated when first opened.
fn check_indexes(
    engine: &Engine,
    db: &Connection,
    id: Uuid,
    fix: bool,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    let is_current = |db| Ok::<_, rusqlite::Error>(!is_of_this_version(db)? || indexes::are_current(db)?);
    // A running server rebuilds them itself. An unreadable file has been reported already.
    if engine.is_served() || is_current(db).unwrap_or(true) {
        return Ok(());
    }
    if fix {
        indexes::bring_up_to_date(engine.registry.lease(id).file(), &mut { usize::MAX })?;
    }
    let problem = "its indexes of phone numbers and texts are out of date; a running server or --fix rebuilds them";
    findings.push(Finding { what: id.to_string(), problem: problem.into(), fixed: fix });
    Ok(())
}

fn is_of_this_version(db: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(version == Kind::Workspace.version())
}

/// Finds users without a membership and members without a user, which a crash between the writes to two files leaves.
///
/// A user without a membership has no access, so the user is removed: that finishes a removal, or undoes an acceptance,
/// which can be repeated.
fn check_members(
    engine: &Engine,
    db: &Connection,
    id: Uuid,
    fix: bool,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    // An unreadable file has been reported already.
    let Ok(users) = accounts(db) else { return Ok(()) };
    let members = engine.central.member_ids(id)?;
    let mut found = |problem: String| findings.push(Finding { what: id.to_string(), problem, fixed: fix });
    for account_id in users.difference(&members).copied() {
        if fix {
            let (lease, author) = (engine.registry.lease(id), engine.system(id, now));
            lease.file().write(move |db| Ok::<_, Error>(members::remove(db, &author, account_id)?))?;
        }
        found(format!("account {account_id} is a user but not a member"));
    }
    for account_id in members.difference(&users).copied() {
        if fix {
            engine.central.end_membership(account_id, id, now)?;
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
fn check_orphans(engine: &Engine, rows: &[Row], fix: bool, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let known: HashSet<Uuid> = rows.iter().map(|row| row.id).collect();
    let fix = fix && !engine.is_served();
    for folder in std::fs::read_dir(engine.config.data_dir.join("workspaces"))? {
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
                    life::move_file(&path, &engine.trash_path(id))?;
                }
                let problem = "the file belongs to no workspace".into();
                findings.push(Finding { what: path.display().to_string(), problem, fixed: fix });
            }
        }
    }
    Ok(())
}

/// Finds mail that failed for good, and queues it again; also while a server runs.
fn check_mail(engine: &Engine, fix: bool, now: Timestamp, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let letters = engine.central.dead_letters()?;
    for letter in letters {
        if fix {
            engine.central.queue_mail_again(letter.id, now)?;
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
    let db = check_file(path, what, Kind::Workspace, findings)?;
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
fn check_file(path: &Path, what: &str, kind: Kind, findings: &mut Vec<Finding>) -> Option<Connection> {
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
    match storage::problems(&db) {
        Ok(problems) => problems.into_iter().for_each(found),
        Err(error) => {
            found(format!("its file is damaged: {error}"));
            return None;
        }
    }
    Some(db)
}

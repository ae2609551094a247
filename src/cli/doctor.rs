//! `cx-engine doctor`: damage in files, what a crash left between two of them, and mail that could not be sent.

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

/// What the exit code says when something was found.
const FOUND: u8 = 3;

/// The tables whose rows triggers count.
const COUNTED: [&str; 4] = ["customers", "contacts", "phone_calls", "audit_log"];

/// One thing that is not as it should be.
#[derive(Debug, Serialize)]
struct Finding {
    /// `central`, a workspace's id, a path, or a mail.
    what: String,
    problem: String,
    /// Whether it was mended just now.
    fixed: bool,
}

/// A workspace's row.
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
        outln!("{} workspaces and the central file are sound", rows.len());
    } else {
        for finding in &findings {
            let fixed = if finding.fixed { " (mended)" } else { "" };
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
    // A server that runs is at these itself; what is found may be a moment of its work.
    let fix = fix && !engine.is_served();
    match row.status.as_str() {
        "creating" => {
            if fix {
                workspaces::give_up(engine, id)?;
            }
            findings.push(Finding { what, problem: "its creation was not finished".into(), fixed: fix });
        }
        "trashed" if live.exists() => {
            if fix {
                workspaces::move_to_trash(engine, id)?;
            }
            findings.push(Finding {
                what,
                problem: "it was deleted, and its file is not in the trash".into(),
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

/// Indexes of other rules than this program's: after an update, or another default country, until the jobs have written
/// them anew. A file of an earlier version is not looked at: it becomes one of this version when it is first opened.
fn check_indexes(
    engine: &Engine,
    db: &Connection,
    id: Uuid,
    fix: bool,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    let is_current = |db| Ok::<_, rusqlite::Error>(!is_of_this_version(db)? || indexes::are_current(db)?);
    // A server that runs is at it, and a file that cannot be read has been reported already.
    if engine.is_served() || is_current(db).unwrap_or(true) {
        return Ok(());
    }
    if fix {
        indexes::bring_up_to_date(engine.registry.lease(id).file(), &mut { usize::MAX })?;
    }
    let problem =
        "its phone numbers and texts are not all indexed by the rules of now: a server goes on with that, or --fix";
    findings.push(Finding { what: id.to_string(), problem: problem.into(), fixed: fix });
    Ok(())
}

fn is_of_this_version(db: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(version == Kind::Workspace.version())
}

/// Users whose account is no member, and members who are no users: between the two files a crash leaves these.
///
/// A user without a membership gets in nowhere: the removal is finished, or the acceptance, which can be repeated, undone.
fn check_members(
    engine: &Engine,
    db: &Connection,
    id: Uuid,
    fix: bool,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    // A file that cannot be read has been reported already.
    let Ok(users) = accounts(db) else { return Ok(()) };
    let members = engine.central.member_ids(id)?;
    let mut found = |problem: String| findings.push(Finding { what: id.to_string(), problem, fixed: fix });
    for account_id in users.difference(&members).copied() {
        if fix {
            let (lease, author) = (engine.registry.lease(id), engine.system(id, now));
            lease.file().write(move |db| Ok::<_, Error>(members::remove(db, &author, account_id)?))?;
        }
        found(format!("account {account_id} is a user and no member"));
    }
    for account_id in members.difference(&users).copied() {
        if fix {
            engine.central.end_membership(account_id, id, now)?;
        }
        found(format!("account {account_id} is a member and no user"));
    }
    Ok(())
}

/// The accounts that are users, as a workspace's file says.
fn accounts(db: &Connection) -> rusqlite::Result<BTreeSet<i64>> {
    db.prepare("SELECT account_id FROM users")?.query_map([], |row| row.get(0))?.collect()
}

/// Files that no row knows: a copy somebody made, or what is left of a creation that failed. They are not deleted.
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
                let problem = "a file of no workspace".into();
                findings.push(Finding { what: path.display().to_string(), problem, fixed: fix });
            }
        }
    }
    Ok(())
}

/// Mail that was given up; it is queued once more, also beside a server that runs.
fn check_mail(engine: &Engine, fix: bool, now: Timestamp, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let letters = engine.central.dead_letters()?;
    for letter in letters {
        if fix {
            engine.central.queue_mail_again(letter.id, now)?;
        }
        let problem = format!(
            "{:?} to {} could not be sent in {} tries; at {}: {}",
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
        ("SELECT count(*) = 1 FROM workspace", "it does not say which workspace it is"),
        ("SELECT EXISTS (SELECT 1 FROM users)", "it has no user"),
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

/// Whether the count that triggers keep of a table is right. A file that no server has opened since the table came into
/// being has neither.
fn is_counted(db: &Connection, table: &str) -> rusqlite::Result<bool> {
    let is_there = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1")?.exists([table])?;
    let sql = format!("SELECT rows = (SELECT count(*) FROM {table}) FROM row_counts WHERE name = ?1");
    if is_there { db.query_row(&sql, [table], |row| row.get(0)) } else { Ok(true) }
}

/// What SQLite itself finds; the connection, where there is one to go on with.
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

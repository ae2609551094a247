//! The problems of an instance: damaged files, operations that a crash interrupted, mail that could not be sent, a
//! certificate that ends, a store that does not take commits, backups that do not come. `cx-engine doctor` and operators
//! check the same. The data directory keeps the result of the last check.

pub mod instance_findings;

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::{Error, Resource};
use crate::central::backup_status::BackupState;
use crate::central::{server_status, workspace_lifecycle};
use crate::cluster;
use crate::durable_fs;
use crate::instance::Instance;
use crate::object_store::ObjectStore;
use crate::storage::{self, FileKind};
use crate::tenancy::row_counts::{self, COUNTED};
use crate::tenancy::{lifecycle, members};
use crate::tls_certificate::Validity;
use crate::values::{Timestamp, choice};
use crate::workspace::search_indexes;

/// All resources of the module, in the central API.
pub const RESOURCES: &[Resource] = &[instance_findings::RESOURCE];

/// The file with the result of the last check, in the data directory.
const LAST_CHECK: &str = "findings.json";

choice! {
    /// The kind of a problem.
    FindingKind {
        FILE_MISSING = "file_missing",
        FILE_UNUSABLE = "file_unusable",
        FILE_DAMAGED = "file_damaged",
        CONTENT_WRONG = "content_wrong",
        COUNT_WRONG = "count_wrong",
        CREATION_INTERRUPTED = "creation_interrupted",
        DELETION_INTERRUPTED = "deletion_interrupted",
        INDEXES_OUTDATED = "indexes_outdated",
        USER_WITHOUT_MEMBERSHIP = "user_without_membership",
        MEMBER_WITHOUT_USER = "member_without_user",
        FILE_WITHOUT_WORKSPACE = "file_without_workspace",
        MAIL_FAILED = "mail_failed",
        CERTIFICATE_UNREADABLE = "certificate_unreadable",
        CERTIFICATE_ENDING = "certificate_ending",
        CERTIFICATE_NOT_ISSUED = "certificate_not_issued",
        CERTIFICATE_NOT_RENEWED = "certificate_not_renewed",
        COMMITS_NOT_STORED = "commits_not_stored",
        BACKUP_FAILED = "backup_failed",
        BACKUP_MISSING = "backup_missing",
    }
}

choice! {
    /// How a finding is fixed.
    Remedy {
        FIX = "fix",
        STOP_AND_FIX = "stop_and_fix",
        WAIT = "wait",
        RESTORE = "restore",
        REPLACE_CERTIFICATE = "replace_certificate",
        CHECK_STORE = "check_store",
        CHECK_AUTHORITY = "check_authority",
        BACK_UP = "back_up",
    }
}

/// A problem.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    pub id: Uuid,
    /// `central`, the id of a workspace, a path, a mail, or `backups`.
    pub what: String,
    pub kind: FindingKind,
    /// A sentence about `what`, in English.
    pub problem: String,
    fix: Option<Fix>,
    /// True if it was fixed just now.
    #[serde(skip)]
    pub fixed: bool,
}

/// The result of a check.
#[derive(Debug, Serialize, Deserialize)]
pub struct Check {
    /// Start of the check.
    pub at: Timestamp,
    /// Number of checked workspaces.
    pub workspaces: usize,
    pub findings: Vec<Finding>,
}

/// A fix that the program can do. It first looks whether the finding is still true: a check may be a day old.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fix {
    UndoCreation(Uuid),
    FinishDeletion(Uuid),
    RebuildIndexes(Uuid),
    /// Counts the rows of one of the tables of `COUNTED` again.
    Count(Uuid, String),
    /// A user without a membership has no access. Removing the user finishes a removal, or undoes an acceptance, which
    /// can be repeated.
    RemoveUser(Uuid, i64),
    EndMembership(Uuid, i64),
    /// The file is moved to the trash, not deleted.
    MoveFile(PathBuf, Uuid),
    SendMailAgain(i64),
}

impl Check {
    /// Checks every file of an instance. `progress` learns how many workspaces of how many are done.
    pub fn run(
        instance: &Arc<Instance>,
        now: Timestamp,
        mut progress: impl FnMut(usize, usize),
    ) -> anyhow::Result<Self> {
        let mut findings = Vec::new();
        check_file(&instance.config.data_dir.join("central.sqlite"), "central", FileKind::Central, &mut findings);
        check_certificate(instance, now, &mut findings);
        check_certificates(instance, now, &mut findings);
        check_store(instance, &mut findings);
        check_backups(instance, now, &mut findings)?;
        let all = instance.central.workspace_statuses()?.into_iter().map(|(id, _)| id);
        // Each node checks the files that it serves.
        let ids: Vec<Uuid> = all.filter(|id| instance.serves(*id)).collect();
        for (done, id) in ids.iter().enumerate() {
            progress(done, ids.len());
            findings.extend(findings_of(instance, *id)?);
        }
        progress(ids.len(), ids.len());
        check_files_without_workspace(instance, &mut findings)?;
        check_mail(instance, &mut findings)?;
        Ok(Self { at: now, workspaces: ids.len(), findings })
    }

    /// The last check that was saved.
    pub fn last(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = data.join(LAST_CHECK);
        let check = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(anyhow::Error::from).and_then(|text| Ok(serde_json::from_slice(&text)?)),
        };
        check.map(Some).with_context(|| format!("{} cannot be read", path.display()))
    }

    /// Saves the check without what was fixed.
    pub fn save(&self, data: &Path) -> anyhow::Result<()> {
        let left = self.findings.iter().filter(|finding| !finding.fixed).cloned().collect();
        let check = Self { at: self.at, workspaces: self.workspaces, findings: left };
        durable_fs::write_private_file(&data.join(LAST_CHECK), &serde_json::to_vec(&check)?)
    }
}

impl Finding {
    fn new(what: impl Into<String>, kind: FindingKind, problem: impl Into<String>) -> Self {
        Self { id: Uuid::now_v7(), what: what.into(), kind, problem: problem.into(), fix: None, fixed: false }
    }

    fn fixed_by(self, fix: Fix) -> Self {
        Self { fix: Some(fix), ..self }
    }

    /// A running server finishes some operations itself, and is in the middle of others.
    pub fn remedy(&self, is_running: bool) -> Remedy {
        match &self.fix {
            Some(Fix::Count(..) | Fix::RemoveUser(..) | Fix::EndMembership(..) | Fix::SendMailAgain(_)) => Remedy::FIX,
            Some(Fix::RebuildIndexes(_) | Fix::UndoCreation(_)) if is_running => Remedy::WAIT,
            Some(_) if is_running => Remedy::STOP_AND_FIX,
            Some(_) => Remedy::FIX,
            None if [FindingKind::CERTIFICATE_ENDING, FindingKind::CERTIFICATE_UNREADABLE].contains(&self.kind) => {
                Remedy::REPLACE_CERTIFICATE
            }
            None if [FindingKind::CERTIFICATE_NOT_ISSUED, FindingKind::CERTIFICATE_NOT_RENEWED]
                .contains(&self.kind) =>
            {
                Remedy::CHECK_AUTHORITY
            }
            None if self.kind == FindingKind::COMMITS_NOT_STORED => Remedy::CHECK_STORE,
            None if [FindingKind::BACKUP_FAILED, FindingKind::BACKUP_MISSING].contains(&self.kind) => Remedy::BACK_UP,
            None => Remedy::RESTORE,
        }
    }

    /// Fixes the finding, if the program can do so now.
    pub fn fix(&mut self, instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<()> {
        if let Some(fix) = &self.fix
            && self.remedy(instance.is_running()) == Remedy::FIX
        {
            fix.run(instance, now)?;
            self.fixed = true;
        }
        Ok(())
    }
}

impl Fix {
    fn run(&self, instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<()> {
        match *self {
            Self::RebuildIndexes(id) | Self::Count(id, _) | Self::RemoveUser(id, _) | Self::EndMembership(id, _)
                if !instance.serves(id) || !is_in_service(instance, id)? => {}
            Self::UndoCreation(id) => workspace_lifecycle::undo_reservation(instance, id)?,
            Self::FinishDeletion(id) => workspace_lifecycle::move_to_trash(instance, id)?,
            Self::RebuildIndexes(id) => {
                search_indexes::bring_up_to_date(instance.registry.lease(id).file(), &mut { usize::MAX })?;
            }
            Self::Count(id, ref table) => {
                let Some(table) = COUNTED.into_iter().find(|known| known == table) else { return Ok(()) };
                let lease = instance.registry.lease(id);
                lease.file().write(move |db| Ok::<_, Error>(row_counts::recount(db, table)?))?;
            }
            Self::RemoveUser(id, account_id) => {
                if !instance.central.member_ids(id)?.contains(&account_id) {
                    let (lease, recorder) = (instance.registry.lease(id), instance.system_recorder(id, now));
                    lease.file().write(move |db| Ok::<_, Error>(members::remove(db, &recorder, account_id)?))?;
                }
            }
            Self::EndMembership(id, account_id) => {
                let lease = instance.registry.lease(id);
                let is_user = lease.file().read(move |db| Ok::<_, Error>(accounts(db)?.contains(&account_id)))?;
                if !is_user {
                    instance.central.end_membership(account_id, id, now)?;
                }
            }
            Self::MoveFile(ref path, id) => {
                let is_known = instance.central.workspace_statuses()?.iter().any(|(known, _)| *known == id);
                if path.exists() && !is_known {
                    lifecycle::move_file(path, &instance.trash_path(id))?;
                }
            }
            Self::SendMailAgain(id) => instance.central.queue_mail_again(id, now)?,
        }
        Ok(())
    }
}

fn is_in_service(instance: &Instance, id: Uuid) -> anyhow::Result<bool> {
    let status = instance.central.workspace_status(id)?;
    Ok(status.is_some_and(|status| ["active", "suspended"].contains(&status.as_str())))
}

/// Checks a workspace. A running server may be in the middle of an operation on two files, so only what a second look
/// finds as well is a finding.
fn findings_of(instance: &Arc<Instance>, id: Uuid) -> anyhow::Result<Vec<Finding>> {
    let look = || match instance.central.workspace_status(id)? {
        Some(status) => check_workspace(instance, id, &status),
        None => Ok(Vec::new()),
    };
    let found = look()?;
    if found.is_empty() { Ok(found) } else { look() }
}

fn check_workspace(instance: &Arc<Instance>, id: Uuid, status: &str) -> anyhow::Result<Vec<Finding>> {
    let (live, trashed) = (instance.registry.path(id), instance.trash_path(id));
    let mut findings = Vec::new();
    let is_missing = status != "creating" && !live.exists() && !trashed.exists();
    if is_missing && is_in_store(instance, &live, id, &mut findings) {
        return Ok(findings);
    }
    match status {
        // A running server is in the middle of it, or undoes it later.
        "creating" if instance.is_running() => {}
        "creating" => findings.push(
            Finding::new(id, FindingKind::CREATION_INTERRUPTED, "its creation was interrupted")
                .fixed_by(Fix::UndoCreation(id)),
        ),
        "trashed" if live.exists() => findings.push(
            Finding::new(id, FindingKind::DELETION_INTERRUPTED, "it was deleted, but its file is not in the trash")
                .fixed_by(Fix::FinishDeletion(id)),
        ),
        "trashed" => _ = check_contents(&trashed, id, &mut findings),
        _ => {
            if let Some(db) = check_contents(&live, id, &mut findings) {
                check_indexes(instance, &db, id, &mut findings);
                check_members(instance, &db, id, &mut findings)?;
            }
        }
    }
    Ok(findings)
}

/// Whether a missing file is only in the store so far. A server fetches it.
fn is_in_store(instance: &Instance, path: &Path, id: Uuid, findings: &mut Vec<Finding>) -> bool {
    match &instance.store_log {
        Some(log) => {
            if let Err(error) = log.bring_up_to_date(path) {
                findings.push(Finding::new(id, FindingKind::FILE_UNUSABLE, format!("{error:#}")));
            }
            !path.exists()
        }
        None => storage::is_stored(instance.central.file().path()),
    }
}

/// Finds indexes that were built by other rules, after an update or a change of the default country, and are not
/// rebuilt yet. Files of an earlier version are skipped: they are migrated when first opened.
fn check_indexes(instance: &Instance, db: &Connection, id: Uuid, findings: &mut Vec<Finding>) {
    let is_current = |db| Ok::<_, rusqlite::Error>(!is_of_this_version(db)? || search_indexes::are_current(db)?);
    // A running server rebuilds them itself. An unreadable file has been reported already.
    if instance.is_running() || is_current(db).unwrap_or(true) {
        return;
    }
    let problem = "its indexes of phone numbers and texts are out of date; a running server or --fix rebuilds them";
    findings.push(Finding::new(id, FindingKind::INDEXES_OUTDATED, problem).fixed_by(Fix::RebuildIndexes(id)));
}

fn is_of_this_version(db: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(version == FileKind::Workspace.version())
}

/// Finds users without a membership and members without a user, which a crash between the writes to two files leaves.
fn check_members(instance: &Instance, db: &Connection, id: Uuid, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    // An unreadable file has been reported already.
    let Ok(users) = accounts(db) else { return Ok(()) };
    let members = instance.central.member_ids(id)?;
    for account_id in users.difference(&members).copied() {
        let problem = format!("account {account_id} is a user but not a member");
        let found = Finding::new(id, FindingKind::USER_WITHOUT_MEMBERSHIP, problem);
        findings.push(found.fixed_by(Fix::RemoveUser(id, account_id)));
    }
    for account_id in members.difference(&users).copied() {
        let problem = format!("account {account_id} is a member but not a user");
        let found = Finding::new(id, FindingKind::MEMBER_WITHOUT_USER, problem);
        findings.push(found.fixed_by(Fix::EndMembership(id, account_id)));
    }
    Ok(())
}

/// The accounts that are users, as a workspace's file says.
fn accounts(db: &Connection) -> rusqlite::Result<BTreeSet<i64>> {
    db.prepare("SELECT account_id FROM users")?.query_map([], |row| row.get(0))?.collect()
}

/// Finds files without a workspace: a manual copy, or the rest of a failed creation.
fn check_files_without_workspace(instance: &Instance, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for folder in fs::read_dir(instance.config.data_dir.join("workspaces"))? {
        let folder = folder?.path();
        if folder.is_dir() {
            for file in fs::read_dir(folder)? {
                files.push(file?.path());
            }
        }
    }
    // Read after the files: a workspace has its row before its file.
    let known: HashSet<Uuid> = instance.central.workspace_statuses()?.into_iter().map(|(id, _)| id).collect();
    for path in files {
        let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Uuid>().ok());
        let is_file = path.extension().is_some_and(|extension| extension == "sqlite");
        if let Some(id) = id.filter(|id| is_file && !known.contains(id)) {
            let what = path.display().to_string();
            let found = Finding::new(what, FindingKind::FILE_WITHOUT_WORKSPACE, "the file belongs to no workspace");
            findings.push(found.fixed_by(Fix::MoveFile(path, id)));
        }
    }
    Ok(())
}

/// Finds mail that failed for good.
fn check_mail(instance: &Instance, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    for letter in instance.central.dead_letters()? {
        let problem = format!(
            "{:?} to {} could not be sent after {} tries; last at {}: {}",
            letter.subject, letter.recipient, letter.tries, letter.last_tried_at, letter.last_error
        );
        let found = Finding::new(format!("mail {}", letter.id), FindingKind::MAIL_FAILED, problem);
        findings.push(found.fixed_by(Fix::SendMailAgain(letter.id)));
    }
    Ok(())
}

fn check_certificate(instance: &Instance, now: Timestamp, findings: &mut Vec<Finding>) {
    let Some(files) = &instance.config.tls else { return };
    let what = files.certificate.display().to_string();
    match Validity::read(files) {
        Ok(validity) if validity.is_ending(now) => {
            let problem = match validity.expires_at > now {
                true => format!("the TLS certificate expires at {}", validity.expires_at),
                false => format!("the TLS certificate expired at {}", validity.expires_at),
            };
            findings.push(Finding::new(what, FindingKind::CERTIFICATE_ENDING, problem));
        }
        Ok(_) => {}
        Err(error) => {
            findings.push(Finding::new(what, FindingKind::CERTIFICATE_UNREADABLE, format!("{error:#}")));
        }
    }
}

/// Finds failed orders of certificates by ACME.
fn check_certificates(instance: &Instance, now: Timestamp, findings: &mut Vec<Finding>) {
    match server_status::certificates(instance, now) {
        Ok(summary) => findings.extend(summary.into_iter().flat_map(|summary| summary.problems).map(|found| {
            let kind = if found.is_ending {
                FindingKind::CERTIFICATE_NOT_RENEWED
            } else {
                FindingKind::CERTIFICATE_NOT_ISSUED
            };
            Finding::new(found.what, kind, found.problem)
        })),
        Err(error) => {
            findings.push(Finding::new("acme", FindingKind::CERTIFICATE_UNREADABLE, format!("{error:#}")));
        }
    }
}

/// Finds backups that fail or do not come.
fn check_backups(instance: &Instance, now: Timestamp, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let (status, expect) = (instance.central.backup_status()?, instance.config.backup_expect);
    let kind = match status.state(expect, now) {
        BackupState::FAILED => FindingKind::BACKUP_FAILED,
        _ => FindingKind::BACKUP_MISSING,
    };
    findings.extend(status.trouble(expect, now).map(|problem| Finding::new("backups", kind, problem)));
    Ok(())
}

/// Finds what keeps commits from the store. A server knows it; a command sends a request to the store.
fn check_store(instance: &Instance, findings: &mut Vec<Finding>) {
    let mut found = |what: String, problem: String| {
        findings.push(Finding::new(what, FindingKind::COMMITS_NOT_STORED, problem));
    };
    let trouble = match (&instance.store_log, &instance.config.store) {
        (Some(log), _) => {
            for file in log.overtaken_files() {
                found(file, "another server writes to the same store, so this one does not serve it any more".into());
            }
            log.trouble()
        }
        (None, Some(settings)) if storage::is_stored(&instance.config.data_dir.join("central.sqlite")) => {
            let read = ObjectStore::open(settings).and_then(|store| cluster::stored_instance(&store));
            match read {
                Ok(stored) if stored == Some(instance.record.id) => None,
                Ok(_) => Some("the store belongs to another instance, or to none".into()),
                Err(error) => Some(format!("{error:#}")),
            }
        }
        (None, _) => None,
    };
    if let (Some(trouble), Some(settings)) = (trouble, &instance.config.store) {
        found(settings.url.to_string(), format!("commits cannot be stored: {trouble}"));
    }
}

fn check_contents(path: &Path, id: Uuid, findings: &mut Vec<Finding>) -> Option<Connection> {
    let db = check_file(path, &id.to_string(), FileKind::Workspace, findings)?;
    let is = |sql: &str| db.query_row(sql, [], |row| row.get::<_, bool>(0));
    let checks = [
        ("SELECT count(*) = 1 FROM workspace", "it has no workspace id"),
        ("SELECT EXISTS (SELECT 1 FROM users)", "it has no users"),
    ];
    let wrong = |problem: String| Finding::new(id, FindingKind::CONTENT_WRONG, problem);
    let mut found = |sound: rusqlite::Result<bool>, finding: Finding| match sound {
        Ok(true) => {}
        Ok(false) => findings.push(finding),
        Err(error) => findings.push(wrong(error.to_string())),
    };
    for (sql, problem) in checks {
        found(is(sql), wrong(problem.into()));
    }
    for table in COUNTED {
        let problem = format!("its count of {} is wrong", table.replace('_', " "));
        let finding = Finding::new(id, FindingKind::COUNT_WRONG, problem).fixed_by(Fix::Count(id, table.to_owned()));
        found(row_counts::is_right(&db, table), finding);
    }
    let named: Result<String, _> = db.query_row("SELECT id FROM workspace", [], |row| row.get(0));
    let is_another = named.is_ok_and(|named| named != id.to_string());
    found(Ok(!is_another), wrong("it is the file of another workspace".into()));
    Some(db)
}

/// Runs SQLite's own checks. Returns the connection if more checks are possible.
fn check_file(path: &Path, what: &str, kind: FileKind, findings: &mut Vec<Finding>) -> Option<Connection> {
    let mut found = |kind, problem: String| findings.push(Finding::new(what, kind, problem));
    if !path.exists() {
        found(FindingKind::FILE_MISSING, "its file is missing".into());
        return None;
    }
    let db = match storage::open_reader(path) {
        Ok(db) => db,
        Err(error) => {
            found(FindingKind::FILE_UNUSABLE, format!("its file cannot be opened: {error}"));
            return None;
        }
    };
    if let Err(error) = storage::check_version(&db, kind) {
        found(FindingKind::FILE_UNUSABLE, format!("its file cannot be used: {error:#}"));
        return None;
    }
    match storage::integrity_problems(&db) {
        Ok(problems) => problems.into_iter().for_each(|problem| found(FindingKind::FILE_DAMAGED, problem)),
        Err(error) => {
            found(FindingKind::FILE_DAMAGED, format!("its file is damaged: {error}"));
            return None;
        }
    }
    Some(db)
}

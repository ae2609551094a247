//! The backups of the instance, for its operators: listed, taken and verified by the server. To restore one is a command.

use std::sync::Arc;

use anyhow::Context;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::{Backup, BackupScope, Ownership, RemoteRepository, Repository, Verification, WorkspaceFailure};
use crate::api::field::{Field, OF_JOBS, labelled};
use crate::api::resource::Resource;
use crate::api::{
    Accepted, BlockingCtx, Error, Input, Needs, Ok200, Operation, Request, Result, Route, blocking, get, post,
};
use crate::auth::Origin;
use crate::central::backup_status::{BackupOutcome, BackupStatus};
use crate::central::central_audit_log::CentralAuditEvent;
use crate::instance::Instance;
use crate::node_state::{BackupTask, BackupWork};
use crate::tenancy::{JobProgress, JobSlot};
use crate::values::Timestamp;

pub const RESOURCE: Resource = Resource::new("Backups", "The backups of the instance, for its operators.", ROUTES)
    .french("Sauvegardes")
    .fields(FIELDS)
    .more_fields(&[OF_JOBS]);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("backups", "Backups", "Sauvegardes"),
    labelled("folder", "Folder", "Dossier"),
    labelled("name", "Name", "Nom"),
    labelled("taken_at", "Taken", "Prise"),
    labelled("workspace", "Workspace", "Espace de travail"),
    labelled("workspaces", "Workspaces", "Espaces de travail"),
    labelled("bytes", "Size of the files", "Taille des fichiers"),
    labelled("packed_bytes", "Size", "Taille"),
    labelled("program", "Version", "Version"),
    labelled("failures", "Missing workspaces", "Espaces manquants"),
    labelled("verified_at", "Verified", "Vérifiée"),
    labelled("verified_again", "Verified again", "Vérifiée de nouveau"),
    labelled("problems", "Problems", "Problèmes"),
    labelled("is_good", "Good", "Bonne"),
    labelled("work", "Work", "Travail"),
    labelled("backup", "Backup", "Sauvegarde"),
    labelled("copied_to", "Copied to", "Copiée vers"),
    labelled("status", "State", "État"),
    labelled("place", "Copied to", "Copiée vers"),
    labelled("failing_since", "Failing since", "En échec depuis"),
];

const ROUTES: &[Route] = &[
    get(
        "/instance/backups",
        &blocking(list),
        Needs::Operator,
        "List the backups of the instance, and the progress of a new one (operators only)",
    )
    .named("listBackups"),
    post("/instance/backups", &blocking(take), Needs::Operator, "Create a backup of the instance (operators only)")
        .named("createBackup"),
    post(
        "/instance/backups/{id}/verify",
        &blocking(verify),
        Needs::Operator,
        "Verify every file of a backup again (operators only)",
    )
    .named("verifyBackup"),
];

/// The backups of the instance.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InstanceBackups {
    /// The backups, newest first. Backups of other instances in the same folder are not listed.
    backups: Vec<InstanceBackup>,
    /// The work that runs, or that ran last. Null if none ran since the server started.
    job: Option<BackupJob>,
    /// The folder with the backups, on the server.
    folder: String,
    /// Place outside the server that gets an encrypted copy of each backup of everything. Null if there is none.
    copied_to: Option<String>,
    /// The outcome of the last backups of everything, by this server or by a command.
    status: BackupStatus,
}

/// Work on a backup: it runs, or it was the last to run since the server started.
#[derive(Debug, Serialize, JsonSchema)]
struct BackupJob {
    #[serde(flatten)]
    task: BackupTask,
    #[serde(flatten)]
    progress: JobProgress,
}

/// A backup.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InstanceBackup {
    /// Name of the backup.
    #[schemars(example = &"20270329T020007Z")]
    name: String,
    /// Time of the backup (UTC).
    taken_at: Timestamp,
    /// Subdomain of the workspace, in a backup of one workspace. Null in a backup of everything.
    workspace: Option<String>,
    /// Number of workspaces in the backup.
    workspaces: usize,
    /// Size of the files, in bytes.
    bytes: u64,
    /// Size of the compressed files, in bytes. Files that did not change since an older backup are stored once.
    packed_bytes: u64,
    /// Version of cx-engine that took the backup.
    program: String,
    /// Workspaces that could not be read and are missing.
    failures: Vec<WorkspaceFailure>,
    /// Time of the last verification (UTC): each file is unpacked, compared with its checksum and checked by SQLite.
    verified_at: Timestamp,
    /// Whether the last verification came after the one that is part of each backup.
    verified_again: bool,
    /// Damaged files that the last verification found, a line each, in English.
    problems: Vec<String>,
    /// Whether the backup has everything and its last verification found no problem.
    is_good: bool,
}

/// The name of a backup in the path.
struct BackupName(String);

fn list(ctx: &BlockingCtx<'_>) -> Result<Ok200<InstanceBackups>> {
    // Read before the backups: if no work runs any more, they are as it left them.
    let job = ctx.instance.node.backup_jobs.last().map(BackupJob::of);
    let repository = repository(ctx.instance).map_err(unreadable)?;
    let own = repository.list().map_err(unreadable)?.own;
    Ok(Ok200(InstanceBackups {
        backups: own.iter().rev().map(InstanceBackup::of).collect(),
        job,
        folder: repository.folder().display().to_string(),
        copied_to: ctx.instance.config.backup_to.as_ref().map(ToString::to_string),
        status: ctx.instance.central.backup_status()?,
    }))
}

fn take(ctx: &BlockingCtx<'_>) -> Result<Accepted<BackupJob>> {
    let (now, origin) = (ctx.now, ctx.request.origin());
    begin(ctx, BackupTask { work: BackupWork::BACKUP, backup: None }, 0, move |instance, job| {
        let taken = take_and_copy(instance, job, &origin, now);
        let outcome = match &taken {
            Ok((name, place)) => BackupOutcome::Complete { name: name.clone(), taken_at: now, place: place.clone() },
            Err(error) => BackupOutcome::Failed { problem: format!("{error:#}") },
        };
        if let Err(error) = instance.central.record_backup(outcome, now) {
            tracing::error!(%error, "the outcome of a backup was not recorded");
        }
        Ok(taken?.0)
    })
}

/// Takes a backup of everything, and copies it to the place in the settings. Returns its name and the place.
fn take_and_copy(
    instance: &Instance,
    job: &JobSlot<BackupTask>,
    origin: &Origin,
    now: Timestamp,
) -> anyhow::Result<(String, Option<String>)> {
    let (repository, config) = (repository(instance)?, &instance.config);
    let progress = |done, of| job.progress(done, of);
    let log = instance.store_log.as_deref();
    let made = super::take(&config.data_dir, log, &repository, BackupScope::Everything, now, progress)?;
    let details = json!({"backup": made.name, "workspaces": made.manifest.workspaces.len()});
    instance.central.record_or_log(origin.clone(), CentralAuditEvent::new("backup.created").with(details.clone()));
    let place = match config.offsite()? {
        Some(settings) => {
            let place = RemoteRepository::open(&settings)?;
            place.upload(&made, &repository, &settings, &config.data_dir, |_| {}).with_context(|| {
                format!("{} is on this machine, but was not copied to {}", made.name, place.place())
            })?;
            instance.central.record_or_log(origin.clone(), CentralAuditEvent::new("backup.copied").with(details));
            Some(place.place())
        }
        None => None,
    };
    match made.manifest.failures.as_slice() {
        [] => Ok((made.name, place)),
        missing => {
            let names: Vec<&str> = missing.iter().map(|failure| failure.subdomain.as_str()).collect();
            anyhow::bail!("the backup {} is incomplete: it lacks {}", made.name, names.join(", "))
        }
    }
}

fn verify(ctx: &BlockingCtx<'_>, BackupName(name): BackupName) -> Result<Accepted<BackupJob>> {
    let own = repository(ctx.instance).and_then(|repository| repository.list()).map_err(unreadable)?.own;
    let backup = own.into_iter().find(|backup| backup.name == name).ok_or_else(Error::not_found)?;
    let (count, now, origin) = (backup.files().count(), ctx.now, ctx.request.origin());
    begin(ctx, BackupTask { work: BackupWork::VERIFICATION, backup: Some(name) }, count, move |instance, job| {
        let mut done = 0;
        let problems = backup.verify(&instance.temp_dir()?, || {
            done += 1;
            job.progress(done, count);
        })?;
        backup.save_verification(&Verification { at: now, problems: problems.clone() })?;
        let details = json!({"backup": backup.name, "problems": problems.len()});
        instance.central.record_or_log(origin, CentralAuditEvent::new("backup.verified").with(details));
        match problems.len() {
            0 => Ok(backup.name),
            1 => anyhow::bail!("1 of {count} files is damaged"),
            damaged => anyhow::bail!("{damaged} of {count} files are damaged"),
        }
    })
}

/// Begins work on a backup. Its result is the name of the backup.
fn begin(
    ctx: &BlockingCtx<'_>,
    task: BackupTask,
    of: usize,
    run: impl FnOnce(&Instance, &JobSlot<BackupTask>) -> anyhow::Result<String> + Send + 'static,
) -> Result<Accepted<BackupJob>> {
    let (instance, work) = (Arc::clone(ctx.instance), task.work);
    let run = move |job: &JobSlot<BackupTask>| {
        let backup = run(&instance, job)?;
        Ok(BackupTask { work, backup: Some(backup) })
    };
    let begun = ctx.instance.node.backup_jobs.begin(&ctx.instance.executors.background, task, of, ctx.now, run);
    begun.map(|begun| Accepted(BackupJob::of(begun))).ok_or_else(|| {
        Error::rejected("backup_running", "A backup is being taken or verified. Wait until it has ended.")
    })
}

fn repository(instance: &Instance) -> anyhow::Result<Repository> {
    Ok(Repository::new(&instance.config, Ownership::of_data_dir(&instance.config.data_dir)?))
}

fn unreadable(error: anyhow::Error) -> Error {
    tracing::error!(error = format!("{error:#}"), "the backups cannot be read");
    let message = "The backups cannot be read. `cx-engine backups` on the server states the reason.";
    Error::rejected("backups_unreadable", message)
}

impl BackupJob {
    fn of((task, progress): (BackupTask, JobProgress)) -> Self {
        Self { task, progress }
    }
}

impl InstanceBackup {
    fn of(backup: &Backup) -> Self {
        let (sizes, last, manifest) = (backup.sizes(), backup.last_verification(), &backup.manifest);
        Self {
            name: backup.name.clone(),
            taken_at: manifest.taken_at,
            workspace: backup.single_workspace().map(|workspace| workspace.subdomain.clone()),
            workspaces: manifest.workspaces.len(),
            bytes: sizes.bytes,
            packed_bytes: sizes.packed,
            program: manifest.program.clone(),
            failures: manifest.failures.clone(),
            is_good: backup.is_good(last.as_ref()),
            verified_at: last.as_ref().map_or(manifest.taken_at, |last| last.at),
            verified_again: last.is_some(),
            problems: last.map_or_else(Vec::new, |last| last.problems),
        }
    }
}

impl Input for BackupName {
    fn read(request: &Request) -> Result<Self> {
        request.path_values.first().cloned().map(Self).ok_or_else(Error::not_found)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.path_value(0, "Name of the backup.", json!({"type": "string", "examples": ["20270329T020007Z"]}));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use serde_json::{Value, json};

    use crate::node_state::{BackupTask, BackupWork};
    use crate::tests::TestServer;
    use crate::values::Timestamp;

    /// Begins work, and waits until it has ended.
    fn ended(server: &TestServer, path: &str) -> Value {
        let begun = server.central().post(path, json!({}));
        assert!(begun.status == 202 && begun.json()["state"] == "running", "{begun:?}");
        server.until_ended("/instance/backups")
    }

    #[test]
    fn an_operator_backs_up_and_a_damaged_file_is_found_by_the_next_verification() {
        let server = TestServer::new();
        assert_eq!(server.central().get("/instance/backups").ok()["backups"], json!([]));
        let listed = ended(&server, "/instance/backups");
        let (job, backup) = (&listed["job"], &listed["backups"][0]);
        let (name, folder) = (backup["name"].as_str().unwrap(), listed["folder"].as_str().unwrap());
        assert_eq!((&job["state"], &job["backup"], &job["problem"]), (&json!("done"), &backup["name"], &Value::Null));
        assert_eq!(
            (&backup["workspaces"], &backup["is_good"], &backup["verified_again"]),
            (&json!(2), &json!(true), &json!(false))
        );

        let verify = format!("/instance/backups/{name}/verify");
        let listed = ended(&server, &verify);
        assert_eq!((&listed["job"]["done"], &listed["job"]["of"]), (&json!(3), &json!(3)));
        assert_eq!(
            (&listed["backups"][0]["verified_again"], &listed["backups"][0]["is_good"]),
            (&json!(true), &json!(true))
        );

        let file = format!("{folder}/{name}/workspaces/{}.sqlite.zst", server.acme.id);
        fs::write(file, "nonsense").unwrap();
        let listed = ended(&server, &verify);
        assert_eq!(
            (&listed["job"]["state"], &listed["job"]["problem"]),
            (&json!("failed"), &json!("1 of 3 files is damaged"))
        );
        let damaged = &listed["backups"][0];
        let problem = damaged["problems"][0].as_str().unwrap();
        assert!(damaged["is_good"] == false && problem.starts_with("acme: "), "{damaged}");
        let events = server.central().get("/audit-log?filter[action]=backup.verified").ok();
        assert_eq!((&events["total"], &events["data"][0]["details"]["problems"]), (&json!(2), &json!(1)));

        server.central().post("/instance/backups/20270101T000000Z/verify", json!({})).rejected(404, "not_found");
        fs::write(format!("{folder}/{name}/manifest.json"), "nonsense").unwrap();
        server.central().get("/instance/backups").rejected(422, "backups_unreadable");
    }

    #[test]
    fn one_at_a_time() {
        let server = TestServer::new();
        let (disk, full) = mpsc::channel::<()>();
        let task = BackupTask { work: BackupWork::BACKUP, backup: None };
        let (jobs, threads) = (&server.instance.node.backup_jobs, &server.instance.executors.background);
        jobs.begin(threads, task, 0, Timestamp::now(), move |_| {
            full.recv()?;
            anyhow::bail!("the disk is full")
        });
        server.central().post("/instance/backups", json!({})).rejected(422, "backup_running");
        disk.send(()).unwrap();
        assert_eq!(server.until_ended("/instance/backups")["job"]["problem"], "the disk is full");
        assert_eq!(ended(&server, "/instance/backups")["job"]["state"], "done");
    }
}

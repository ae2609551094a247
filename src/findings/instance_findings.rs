//! The problems of the instance, for its operators: the server checks for them, and fixes those that it can.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::{Check, Finding, FindingKind, Remedy};
use crate::api::field::{Field, OF_JOBS, labelled};
use crate::api::resource::Resource;
use crate::api::{self, Accepted, BlockingCtx, Error, Needs, Ok200, Result, Route, blocking, get, post};
use crate::central::central_audit_log::CentralAuditEvent;
use crate::tenancy::JobProgress;
use crate::values::Timestamp;

pub const RESOURCE: Resource = Resource::new("Findings", "Problems of the instance, for its operators.", ROUTES)
    .french("Constats")
    .fields(FIELDS)
    .more_fields(&[OF_JOBS]);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("checked_at", "Last check", "Dernière vérification"),
    labelled("workspaces", "Workspaces", "Espaces de travail"),
    labelled("findings", "Findings", "Constats"),
    labelled("what", "What", "Quoi"),
    labelled("workspace", "Workspace", "Espace de travail"),
    labelled("kind", "Kind", "Nature"),
    labelled("remedy", "Remedy", "Remède"),
];

const ROUTES: &[Route] = &[
    get(
        "/instance/findings",
        &blocking(list),
        Needs::Operator,
        "List what the last check of the instance found, and the progress of a new check (operators only)",
    )
    .named("listFindings"),
    post(
        "/instance/findings/check",
        &blocking(check),
        Needs::Operator,
        "Check every file of the instance (operators only)",
    )
    .named("checkInstance"),
    post(
        "/instance/findings/{id}/fix",
        &blocking(fix),
        Needs::Operator,
        "Fix a finding, if the server can do so while it runs (operators only)",
    )
    .named("fixFinding"),
];

/// Result of the last check.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InstanceFindings {
    /// Start of the last check (UTC), by the server or by `cx-engine doctor`. Null if there was none.
    checked_at: Option<Timestamp>,
    /// Number of workspaces that the last check looked at.
    workspaces: usize,
    /// Problems, empty if the last check found none.
    findings: Vec<InstanceFinding>,
    /// The check that runs, or that ran last. Null if none ran since the server started.
    job: Option<JobProgress>,
}

/// A problem of the instance.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Finding")]
pub struct InstanceFinding {
    /// Id of the finding.
    id: Uuid,
    /// `central`, the id of a workspace, a path on the server, a mail with its number, the URL of the object store, `backups`, a
    /// host, or the URL of the authority that issues certificates.
    what: String,
    /// Subdomain of the workspace. Null if it is not about one.
    workspace: Option<String>,
    /// Kind of the problem.
    kind: FindingKind,
    /// A sentence about `what`, in English.
    problem: String,
    /// `fix`: this server can fix it. `stop_and_fix`: stop the server and run `cx-engine doctor --fix`. `wait`: the server
    /// fixes it by itself. `restore`: restore the file from a backup. `replace_certificate`: replace the files of
    /// `tls_certificate` and `tls_key`. `check_store`: run `cx-engine cluster check`. `check_authority`: the problem says why
    /// the authority issues no certificate; the server tries again by itself. `back_up`: correct the reason and take a
    /// backup.
    remedy: Remedy,
}

fn list(ctx: &BlockingCtx<'_>) -> Result<Ok200<InstanceFindings>> {
    // Read before the result: if no check runs any more, the result is that of the last one.
    let job = ctx.instance.node.checks.last().map(|((), progress)| progress);
    let last = Check::last(&ctx.instance.config.data_dir).map_err(unreadable)?;
    let found = last.as_ref().map_or(&[][..], |check| &check.findings);
    let names = ctx.instance.central.subdomains_of(found.iter().map(|finding| finding.what.clone()).collect())?;
    let finding = |found: &Finding| InstanceFinding {
        id: found.id,
        what: found.what.clone(),
        workspace: names.get(&found.what).cloned(),
        kind: found.kind,
        problem: found.problem.clone(),
        remedy: found.remedy(true),
    };
    Ok(Ok200(InstanceFindings {
        checked_at: last.as_ref().map(|check| check.at),
        workspaces: last.as_ref().map_or(0, |check| check.workspaces),
        findings: found.iter().map(finding).collect(),
        job,
    }))
}

fn check(ctx: &BlockingCtx<'_>) -> Result<Accepted<JobProgress>> {
    let (instance, now) = (Arc::clone(ctx.instance), ctx.now);
    let begun = ctx.instance.node.checks.begin(&ctx.instance.executors.background, (), 0, now, move |job| {
        let check = Check::run(&instance, now, |done, of| job.progress(done, of))?;
        check.save(&instance.config.data_dir)
    });
    begun.map(|((), progress)| Accepted(progress)).ok_or_else(|| {
        Error::rejected("check_running", "The instance is being checked. Wait until the check has ended.")
    })
}

fn fix(ctx: &BlockingCtx<'_>, api::Uuid(id): api::Uuid) -> Result<Ok200<InstanceFindings>> {
    let data = &ctx.instance.config.data_dir;
    let mut check = Check::last(data).map_err(unreadable)?.ok_or_else(Error::not_found)?;
    let found = check.findings.iter_mut().find(|finding| finding.id == id).ok_or_else(Error::not_found)?;
    if found.remedy(true) != Remedy::FIX {
        return Err(Error::rejected(
            "not_fixable",
            "The server cannot fix this while it runs. `remedy` says how it is fixed.",
        ));
    }
    let failed =
        |error: anyhow::Error| error.downcast::<Error>().unwrap_or_else(|error| Error::Internal(format!("{error:#}")));
    found.fix(ctx.instance, ctx.now).map_err(failed)?;
    let details = json!({"what": found.what, "kind": found.kind, "problem": found.problem});
    ctx.instance.central.record_or_log(ctx.request.origin(), CentralAuditEvent::new("finding.fixed").with(details));
    check.save(data).map_err(failed)?;
    list(ctx)
}

fn unreadable(error: anyhow::Error) -> Error {
    tracing::error!(error = format!("{error:#}"), "the findings cannot be read");
    let message = "The result of the last check cannot be read. Check the instance again.";
    Error::rejected("findings_unreadable", message)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use crate::api::Error;
    use crate::tests::TestServer;
    use crate::values::Timestamp;

    /// Checks the instance, and waits until that has ended.
    fn checked(server: &TestServer) -> Value {
        begin(server);
        ended(server)
    }

    fn begin(server: &TestServer) {
        let begun = server.central().post("/instance/findings/check", json!({}));
        assert!(begun.status == 202 && begun.json()["state"] == "running", "{begun:?}");
    }

    fn ended(server: &TestServer) -> Value {
        let listed = server.until_ended("/instance/findings");
        assert_eq!(listed["job"]["state"], "done", "{listed}");
        listed
    }

    fn in_central(server: &TestServer, sql: &'static str) {
        server.instance.central.write(move |db| Ok::<_, Error>(db.execute_batch(sql)?)).unwrap();
    }

    /// The findings, as (what, kind, remedy), by kind.
    fn findings(listed: &Value) -> Vec<(&str, &str, &str)> {
        let mut found: Vec<_> = listed["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| {
                let text = |name: &str| finding[name].as_str().unwrap();
                (finding["workspace"].as_str().unwrap_or(text("what")), text("kind"), text("remedy"))
            })
            .collect();
        found.sort_unstable_by_key(|(_, kind, _)| *kind);
        found
    }

    #[test]
    fn an_operator_checks_the_instance_and_fixes_what_the_server_can_fix() {
        let server = TestServer::new();
        let running = crate::instance::lock_data_dir(&server.instance.config.data_dir).unwrap();
        let listed = server.central().get("/instance/findings").ok();
        assert_eq!(
            (&listed["checked_at"], &listed["job"], &listed["findings"]),
            (&Value::Null, &Value::Null, &json!([]))
        );
        let listed = checked(&server);
        assert_eq!(
            (&listed["workspaces"], &listed["job"]["done"], &listed["findings"]),
            (&json!(2), &json!(2), &json!([]))
        );

        // A user without a membership, a member without a user, a mail that failed, a file without a workspace, and a
        // workspace without its file.
        server.join_acme("zoe@example.com", "agent");
        server.join_acme("max@example.com", "agent");
        in_central(
            &server,
            "DELETE FROM memberships WHERE account_id = (SELECT id FROM accounts WHERE email = 'zoe@example.com');
             INSERT INTO outbox (message_id, recipient, subject, text, html, tries, last_error, last_tried_at, created_at)
             VALUES ('m', 'ada@example.com', 'Hello', '', '', 5, 'refused', 1800000000, 1800000000)",
        );
        server.in_file(|db| Ok(db.execute("DELETE FROM users WHERE email = 'max@example.com'", []).map(|_| ())?));
        let other = server.instance.registry.path(server.other.id);
        fs::remove_file(&other).unwrap();
        let unknown = other.with_file_name("018f5c2b-7a3e-7cc0-9f14-3f2f1f7b7a10.sqlite");
        fs::write(&unknown, "").unwrap();
        let unknown = unknown.display().to_string();

        let listed = checked(&server);
        assert_eq!(
            findings(&listed),
            [
                ("other", "file_missing", "restore"),
                (unknown.as_str(), "file_without_workspace", "stop_and_fix"),
                ("mail 1", "mail_failed", "fix"),
                ("acme", "member_without_user", "fix"),
                ("acme", "user_without_membership", "fix"),
            ]
        );
        let by_kind = |kind: &str| {
            let found = listed["findings"].as_array().unwrap().iter().find(|finding| finding["kind"] == kind);
            format!("/instance/findings/{}/fix", found.unwrap()["id"].as_str().unwrap())
        };
        server.central().post(&by_kind("file_missing"), json!({})).rejected(422, "not_fixable");
        server.central().post(&by_kind("file_without_workspace"), json!({})).rejected(422, "not_fixable");
        for kind in ["mail_failed", "member_without_user", "user_without_membership"] {
            let fixed = server.central().post(&by_kind(kind), json!({})).ok();
            assert!(findings(&fixed).iter().all(|(_, left, _)| *left != kind), "{fixed}");
            server.central().post(&by_kind(kind), json!({})).rejected(404, "not_found");
        }
        assert_eq!(findings(&checked(&server)).len(), 2);
        let events = server.central().get("/audit-log?filter[action]=finding.fixed").ok();
        assert_eq!(events["total"], 3, "{events}");
        drop(running);
    }

    /// After the check, a member may join and a workspace may be deleted. The fix removes no member and touches no deleted
    /// workspace.
    #[test]
    fn a_fix_looks_whether_the_finding_is_still_true() {
        let server = TestServer::new();
        server.join_acme("zoe@example.com", "agent");
        in_central(&server, "DELETE FROM memberships WHERE account_id <> 1");
        let listed = checked(&server);
        assert_eq!(findings(&listed), [("acme", "user_without_membership", "fix")]);
        let acme = server.acme.id;
        server.instance.central.save_membership(2, acme, "agent", Timestamp::now()).unwrap();
        let id = listed["findings"][0]["id"].as_str().unwrap();
        let fixed = server.central().post(&format!("/instance/findings/{id}/fix"), json!({})).ok();
        assert_eq!(fixed["findings"], json!([]));
        assert_eq!(server.admin().get("/users").ok()["total"], 2);

        server.in_file(|db| Ok(db.execute("UPDATE row_counts SET rows = 7 WHERE name = 'contacts'", [])?));
        let listed = checked(&server);
        assert_eq!(findings(&listed), [("acme", "count_wrong", "fix")]);
        let fix = format!("/instance/findings/{}/fix", listed["findings"][0]["id"].as_str().unwrap());
        let removed = json!({"subdomain": "acme"});
        assert!(server.central().delete_with(&format!("/workspaces/{acme}"), removed).status.is_success());
        assert_eq!(server.central().post(&fix, json!({})).ok()["findings"], json!([]));
    }

    #[test]
    fn a_result_that_cannot_be_read_is_replaced_by_the_next_check() {
        let server = TestServer::new();
        let path = server.instance.config.data_dir.join("findings.json");
        fs::write(&path, "nonsense").unwrap();
        server.central().get("/instance/findings").rejected(422, "findings_unreadable");
        begin(&server);
        while server.central().get("/instance/findings").status != 200 {}
        assert_eq!(ended(&server)["findings"], json!([]));
    }
}

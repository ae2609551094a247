//! The backups of the instance, for its operators.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use super::super::display::{self, Shown, plain};
use super::super::page::{Frame, PageCtx};
use super::super::route_form::{FormTexts, RouteForm};
use super::instance_page::size;
use super::job_view::{InstanceState, JobView, TOO_OLD, begun};
use crate::api::{BlockingCtx, Html, InnerRequest, Needs, Result, Route, blocking, get};
use crate::pages::translations::Translations;
use crate::values::Timestamp;

pub const ROUTES: &[Route] =
    &[get("/ui/instance/backups", &blocking(page), Needs::Operator, "Show the backups as a page (operators only)")];

const LIST: &str = "/ui/instance/backups";

pub const FORMS: &[RouteForm] = &[
    RouteForm {
        done: begun,
        ..RouteForm::new(
            "/ui/instance/backups/new",
            "POST",
            "/instance/backups",
            &[],
            |words, _| FormTexts {
                title: words.back_up_title(),
                about: Some(words.back_up_about()),
                button: words.back_up_now(),
            },
            LIST,
        )
    },
    RouteForm {
        done: begun,
        ..RouteForm::new(
            "/ui/instance/backups/{id}/verify",
            "POST",
            "/instance/backups/{id}/verify",
            &[],
            |words, _| FormTexts {
                title: words.verify_title(),
                about: Some(words.verify_about()),
                button: words.verify_now(),
            },
            LIST,
        )
    },
];

#[derive(Template)]
#[template(path = "console/central/backups.html")]
struct BackupsPage<'a> {
    frame: &'a Frame,
    words: Translations,
    newest: InstanceState,
    job: Option<JobView>,
    backups: Vec<BackupRow>,
    folder: String,
    /// The place outside the server that gets copies.
    copied_to: Option<String>,
    /// Why the last backup failed, if no job on the page says so.
    failure: Option<String>,
    /// The commands that restore the newest good backup.
    restore: Vec<(String, String)>,
}

struct BackupRow {
    name: String,
    taken: Shown,
    content: String,
    missing: Option<String>,
    size: String,
    state: Shown,
    /// When it was last verified.
    verified: String,
    problems: Vec<String>,
    verify: String,
}

fn page(ctx: &BlockingCtx<'_>) -> Result<Html> {
    let page = PageCtx::of_blocking(ctx);
    let frame = Frame::of(&page)?;
    let words = frame.words;
    let found = page.send(InnerRequest::get("/instance/backups"))?.body;
    let folder = plain(&found["folder"]);
    let newest = newest_good(&found);
    let rendered = BackupsPage {
        words,
        newest: state_of(words, newest, ctx.now),
        job: job(words, &found["job"]),
        backups: list(&found).iter().map(|backup| row(&page, backup)).collect::<Result<_>>()?,
        restore: newest.map_or_else(Vec::new, |backup| {
            let from = format!("--backup {} --backup-dir {}", plain(&backup["name"]), quoted(&folder));
            vec![
                (words.restore_one(), format!("cx-engine restore {} {from}", words.subdomain_to_type())),
                (words.restore_all(), format!("cx-engine restore --into {} {from}", words.folder_to_type())),
            ]
        }),
        folder,
        copied_to: found["copied_to"].as_str().map(str::to_owned),
        failure: found["status"]["problem"].as_str().filter(|_| found["job"]["state"] != "failed").map(str::to_owned),
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)
}

/// The newest good backup, as another page shows it.
pub fn newest(page: &PageCtx<'_>, now: Timestamp) -> Result<InstanceState> {
    InstanceState::of(page, "/instance/backups", |found| state_of(page.words(), newest_good(found), now))
}

fn list(found: &Value) -> &[Value] {
    found["backups"].as_array().map_or(&[], Vec::as_slice)
}

fn newest_good(found: &Value) -> Option<&Value> {
    list(found).iter().find(|backup| backup["is_good"] == true)
}

fn state_of(words: Translations, newest: Option<&Value>, now: Timestamp) -> InstanceState {
    let Some(taken) = newest.and_then(|backup| plain(&backup["taken_at"]).parse::<Timestamp>().ok()) else {
        return InstanceState { sentence: words.no_good_backup(), is_problem: true };
    };
    let seconds = now.seconds() - taken.seconds();
    let age = display::age(words, seconds);
    match seconds > TOO_OLD {
        true => InstanceState { sentence: words.backup_too_old(&age), is_problem: true },
        false => InstanceState { sentence: words.newest_backup(&age), is_problem: false },
    }
}

fn job(words: Translations, job: &Value) -> Option<JobView> {
    let (state, backup) = (job["state"].as_str()?, plain(&job["backup"]));
    let is_new = job["work"] == "backup";
    let sentence = match (state, is_new) {
        ("running", true) => words.backup_running(),
        ("running", false) => words.verification_running(&backup),
        ("failed", true) => words.backup_failed(&plain(&job["problem"])),
        ("failed", false) => words.verification_failed(&backup, &plain(&job["problem"])),
        (_, true) => words.backup_done(&backup),
        (_, false) => words.verification_done(&backup),
    };
    let progress = if is_new { Translations::workspaces_done } else { Translations::files_done };
    Some(JobView::of(words, job, sentence, progress))
}

fn row(page: &PageCtx<'_>, backup: &Value) -> Result<BackupRow> {
    let (words, zone) = (page.words(), page.zone()?);
    let text = |name: &str| plain(&backup[name]);
    let moment = |name: &str| display::moment(words, &zone, &text(name));
    let names = |name: &str| backup[name].as_array().into_iter().flatten();
    let problems: Vec<String> = names("problems").map(plain).collect();
    let missing: Vec<String> = names("failures").map(|failure| plain(&failure["subdomain"])).collect();
    let workspaces = backup["workspaces"].as_i64().unwrap_or_default();
    let (word, tone) = match (problems.is_empty(), missing.is_empty()) {
        (false, _) => (words.backup_damaged(), "wrong"),
        (true, false) => (words.backup_incomplete(), "wrong"),
        (true, true) => (words.backup_good(), "good"),
    };
    let name = text("name");
    Ok(BackupRow {
        taken: moment("taken_at"),
        content: match backup["workspace"].as_str() {
            Some(workspace) => words.backup_of(workspace),
            None if workspaces == 1 => words.everything_in_one(),
            None => words.everything_in(&display::count(words, workspaces)),
        },
        missing: (!missing.is_empty()).then(|| words.backup_lacks(&missing.join(", "))),
        size: size(words, backup["packed_bytes"].as_i64().unwrap_or_default()),
        state: Shown::State { word, tone },
        verified: match backup["verified_again"] == true {
            true => words.verified_again(moment("verified_at").text()),
            false => words.verified_when_taken(),
        },
        verify: format!("{LIST}/{}/verify", super::super::encode(&name)),
        problems,
        name,
    })
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

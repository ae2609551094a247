//! The problems of the instance, for its operators.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use super::super::display::{self, plain};
use super::super::form_page::redirect;
use super::super::page::{Frame, PageCtx};
use super::super::route_form::{FormTexts, RouteForm};
use super::super::texts::choice_label;
use super::job_view::{InstanceState, JobView, TOO_OLD, begun};
use crate::api::{BlockingCtx, Html, InnerRequest, Needs, Result, Route, blocking, get};

use crate::pages::translations::Translations;
use crate::values::Timestamp;

pub const ROUTES: &[Route] =
    &[get("/ui/instance/findings", &blocking(page), Needs::Operator, "Show the findings as a page (operators only)")];

const LIST: &str = "/ui/instance/findings";

pub const FORMS: &[RouteForm] = &[
    RouteForm {
        done: begun,
        ..RouteForm::new(
            "/ui/instance/findings/check",
            "POST",
            "/instance/findings/check",
            &[],
            |words, _| FormTexts {
                title: words.check_title(),
                about: Some(words.check_about()),
                button: words.check_now(),
            },
            LIST,
        )
    },
    RouteForm {
        done: |page, form, _| redirect(page, form.back, "done"),
        ..RouteForm::new(
            "/ui/instance/findings/{id}/fix",
            "POST",
            "/instance/findings/{id}/fix",
            &[],
            |words, _| FormTexts { title: words.fix_title(), about: Some(words.fix_about()), button: words.fix() },
            LIST,
        )
    },
];

#[derive(Template)]
#[template(path = "console/central/findings.html")]
struct FindingsPage<'a> {
    frame: &'a Frame,
    words: Translations,
    last: InstanceState,
    job: Option<JobView>,
    findings: Vec<FindingRow>,
}

struct FindingRow {
    kind: String,
    what: String,
    /// The page that shows more about it.
    href: Option<String>,
    problem: String,
    remedy: String,
    /// The form that fixes it.
    fix: Option<String>,
}

fn page(ctx: &BlockingCtx<'_>) -> Result<Html> {
    let page = PageCtx::of_blocking(ctx);
    let frame = Frame::of(&page)?;
    let words = frame.words;
    let found = page.send(InnerRequest::get("/instance/findings"))?.body;
    let rendered = FindingsPage {
        words,
        last: state_of(words, &found, ctx.now),
        job: job(words, &found["job"]),
        findings: list(&found).iter().map(|finding| row(words, finding)).collect(),
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)
}

/// The result of the last check, as another page shows it.
pub fn last_check(page: &PageCtx<'_>, now: Timestamp) -> Result<InstanceState> {
    InstanceState::of(page, "/instance/findings", |found| state_of(page.words(), found, now))
}

fn list(found: &Value) -> &[Value] {
    found["findings"].as_array().map_or(&[], Vec::as_slice)
}

fn state_of(words: Translations, found: &Value, now: Timestamp) -> InstanceState {
    let Ok(checked) = plain(&found["checked_at"]).parse::<Timestamp>() else {
        return InstanceState { sentence: words.never_checked(), is_problem: true };
    };
    let seconds = now.seconds() - checked.seconds();
    let age = display::age(words, seconds);
    let (sentence, is_problem) = match list(found).len() {
        0 if seconds > TOO_OLD => (words.checked_too_long_ago(&age), true),
        0 => (words.check_found_nothing(&age), false),
        1 => (words.check_found_one(&age), true),
        number => (words.check_found_some(&age, &number.to_string()), true),
    };
    InstanceState { sentence, is_problem }
}

/// A check that runs or that failed. The result of a good one is on the page.
fn job(words: Translations, job: &Value) -> Option<JobView> {
    let sentence = match job["state"].as_str()? {
        "running" => words.check_running(),
        "failed" => words.check_failed(&plain(&job["problem"])),
        _ => return None,
    };
    Some(JobView::of(words, job, sentence, Translations::workspaces_done))
}

fn row(words: Translations, finding: &Value) -> FindingRow {
    let text = |name: &str| plain(&finding[name]);
    let (kind, remedy) = (text("kind"), text("remedy"));
    let (what, href) = match (finding["workspace"].as_str(), kind.as_str()) {
        (Some(subdomain), _) => (subdomain.to_owned(), None),
        (None, "mail_failed") => (text("what"), Some("/ui/instance/mails".to_owned())),
        (None, _) if finding["what"] == "central" => (words.central_file(), None),
        (None, _) => (text("what"), None),
    };
    FindingRow {
        fix: (remedy == "fix").then(|| format!("{LIST}/{}/fix", text("id"))),
        kind: choice_label(words, "kind", &kind),
        problem: text("problem"),
        remedy: choice_label(words, "remedy", &remedy),
        what,
        href,
    }
}

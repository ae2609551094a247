//! Pages for the operators of the server.

use askama::Template;
use http::StatusCode;
use serde_json::Map;

use super::super::display::{self, Shown, plain};
use super::super::form_page::redirect;
use super::super::page::{Frame, PageCtx};
use super::super::route_form::{FormTexts, RouteForm};
use super::backups_page;
use super::figures_chart::{self, HourFigures};
use super::findings_page;
use super::job_view::InstanceState;
use crate::api::{BlockingCtx, Html, InnerRequest, Needs, Result, Route, blocking, get};
use crate::central::instance_info;
use crate::pages::translations::Translations;
use crate::values::Language;

pub const ROUTES: &[Route] =
    &[get("/ui/instance", &blocking(page), Needs::Operator, "Show the instance as a page (operators only)")];

pub const FORMS: &[RouteForm] = &[RouteForm {
    is_danger: true,
    done: |page, form, _| redirect(page, form.back, "done"),
    ..RouteForm::new(
        "/ui/accounts/{id}/second-factor",
        "DELETE",
        "/accounts/{id}/second-factor",
        &[],
        |words, _| FormTexts {
            title: words.reset_second_factor(),
            about: Some(words.reset_second_factor_about()),
            button: words.remove(),
        },
        "/ui/accounts",
    )
}];

#[derive(Template)]
#[template(path = "console/central/instance.html")]
struct InstancePage<'a> {
    frame: &'a Frame,
    words: Translations,
    newest: InstanceState,
    checked: InstanceState,
    rows: Vec<(String, Shown)>,
    /// `None` before the end of the first minute.
    figures: Option<HourFigures>,
}

fn page(ctx: &BlockingCtx<'_>) -> Result<Html> {
    let page = PageCtx::of_blocking(ctx);
    let frame = Frame::of(&page)?;
    let (words, zone) = (frame.words, page.zone()?);
    let info = page.send(InnerRequest::get("/instance"))?.body;
    let empty = Map::new();
    let fields = info.as_object().unwrap_or(&empty).iter().filter(|(_, value)| !value.is_null());
    let rows = fields.map(|(name, value)| {
        let label = instance_info::RESOURCE.label_of(name).map_or_else(|| name.clone(), |label| words.label(label));
        let shown = match (name.as_str(), value.as_i64()) {
            ("disk_bytes", Some(bytes)) => Shown::Text(size(words, bytes)),
            ("started_at" | "certificate_expires_at", _) => display::moment(words, &zone, &plain(value)),
            ("accounts" | "workspaces", Some(number)) => Shown::Text(display::count(words, number)),
            _ => Shown::Text(plain(value)),
        };
        (label, shown)
    });
    let rendered = InstancePage {
        words,
        newest: backups_page::newest(&page, ctx.now)?,
        checked: findings_page::last_check(&page, ctx.now)?,
        rows: rows.collect(),
        figures: figures_chart::read(&page)?,
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)
}

/// A number of bytes for people.
pub fn size(words: Translations, bytes: i64) -> String {
    let (mega, unit) = match words.0 {
        Language::English => (bytes / 1_000_000, "MB"),
        Language::French => (bytes / 1_000_000, "Mo"),
    };
    format!("{}\u{a0}{unit}", display::count(words, mega.max(1)))
}

//! The page of a workspace on the central host. Its owner renames, hands over, exports and deletes it here.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use super::super::catalog::{Collection, collection};
use super::super::display::{self, Shown, plain};
use super::super::form_page::redirect;
use super::super::list_page::{self, Table};
use super::super::page::{Frame, PageCtx};
use super::super::resource_page::Place;
use super::super::route_form::{Choices, FormTexts, RouteForm};
use crate::api::{
    self, BlockingCtx, Ctx, Html, InnerRequest, Layer, Needs, Relayed, Result, Route, get, long_running, run,
};
use crate::pages::translations::Translations;

pub const ROUTES: &[Route] = &[
    get("/ui/workspaces/{id}", &run(page), Needs::Member, "Show a workspace as a page"),
    get("/ui/workspaces/{id}/export", &long_running(export), Needs::Owner, "Download a workspace from its page"),
];

pub const FORMS: &[RouteForm] = &[
    RouteForm {
        record: super::workspace,
        choices: |page, values, _| heirs(page, values).map(Some),
        ..RouteForm::new(
            "/ui/workspaces/{id}/transfer",
            "POST",
            "/workspaces/{id}/transfer",
            &["account_id"],
            |words, workspace| FormTexts {
                title: words.hand_over_workspace(&plain(&workspace["name"])),
                about: Some(words.hand_over_about()),
                button: words.hand_over(),
            },
            "/ui/workspaces/{id}",
        )
    },
    RouteForm {
        is_danger: true,
        record: |page, values| {
            let mut workspace = super::workspace(page, values)?;
            // The person types the subdomain.
            workspace["confirmed"] = workspace["subdomain"].take();
            workspace["days"] = page.request.instance.config.trash_days.into();
            Ok(workspace)
        },
        done: |page, _, _| redirect(page, "/ui", "in_trash"),
        ..RouteForm::new(
            "/ui/workspaces/{id}/delete",
            "DELETE",
            "/workspaces/{id}",
            &["subdomain"],
            |words, workspace| FormTexts {
                title: words.trash_workspace(&plain(&workspace["name"])),
                about: Some(words.trash_about(&plain(&workspace["confirmed"]), &plain(&workspace["days"]))),
                button: words.to_trash(),
            },
            "/ui/workspaces/{id}",
        )
    },
];

/// Members that the page lists.
const LISTED: &str = "10";

#[derive(Template)]
#[template(path = "console/central/workspace.html")]
struct WorkspacePage<'a> {
    frame: &'a Frame,
    words: Translations,
    name: String,
    /// The path of the page.
    base: String,
    url: String,
    role: String,
    is_owner: bool,
    state: String,
    tone: &'static str,
    created: Shown,
    open: Option<String>,
    members: Option<Table>,
}

fn page(ctx: &mut Ctx<'_>, _: api::Uuid) -> Result<Html> {
    let page = PageCtx::of_turn(ctx);
    let workspace = super::workspace(&page, &page.request.path_values)?;
    let frame = Frame::of(&page)?;
    let words = frame.words;
    let (state, tone) = super::state(words, &workspace);
    let url = plain(&workspace["url"]);
    let is_owner = workspace["owner"] == true;
    let rendered = WorkspacePage {
        words,
        name: plain(&workspace["name"]),
        base: format!("/ui/workspaces/{}", plain(&workspace["id"])),
        role: plain(&workspace["role"]),
        is_owner,
        state,
        tone,
        created: display::moment(words, &page.zone()?, &plain(&workspace["created_at"])),
        open: (workspace["status"] == "active").then(|| format!("{url}/ui/enter")),
        url,
        members: if is_owner { members(&page)? } else { None },
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)
}

fn member_list() -> Option<&'static Collection> {
    collection(Layer::Central, "/workspaces/{id}/members")
}

fn members(page: &PageCtx<'_>) -> Result<Option<Table>> {
    let Some(members) = member_list() else { return Ok(None) };
    let place = Place { parents: page.request.path_values.clone(), ..Place::default() };
    let records = list_page::read(page, members, &place, &[("per_page".into(), LISTED.into())])?;
    let columns = members.columns();
    Ok(Some(Table {
        caption: page.words().members(),
        columns: list_page::heads(page.words(), &columns),
        rows: list_page::rows(page, members, &place, &columns, &records.rows, None)?,
        bulk: None,
        previous: None,
        next: records.next,
        all: None,
    }))
}

/// The other members, by name.
fn heirs(page: &PageCtx<'_>, values: &[String]) -> Result<Choices> {
    let id = values.first().map(String::as_str).unwrap_or_default();
    let inner = InnerRequest::get("/workspaces/{id}/members").at(id).with_query("sort=name&per_page=500".into());
    let own = page.request.token()?.account_id;
    let members: Vec<Value> = super::rows(page, inner)?;
    let others = members.iter().filter(|member| member["id"] != own);
    Ok(others
        .map(|member| (plain(&member["id"]), format!("{} · {}", plain(&member["name"]), plain(&member["email"]))))
        .collect())
}

fn export(ctx: &BlockingCtx<'_>, api::Uuid(id): api::Uuid) -> Result<Relayed> {
    ctx.send_for_stream(InnerRequest::get("/workspaces/{id}/export").at(id)).map(Relayed)
}

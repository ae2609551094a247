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
        required: &["name", "issuer", "client_id"],
        record: identity_provider,
        ..RouteForm::new(
            "/ui/workspaces/{id}/identity-provider",
            "PUT",
            "/workspaces/{id}/identity-provider",
            &["name", "issuer", "client_id", "client_secret"],
            |words, provider| FormTexts {
                title: words.single_sign_on(),
                about: Some(words.identity_provider_about(&plain(&provider["callback_url"]))),
                button: words.save(),
            },
            "/ui/workspaces/{id}",
        )
    },
    RouteForm {
        is_danger: true,
        record: identity_provider,
        ..RouteForm::new(
            "/ui/workspaces/{id}/identity-provider/delete",
            "DELETE",
            "/workspaces/{id}/identity-provider",
            &[],
            |words, provider| FormTexts {
                title: words.remove_provider(&plain(&provider["name"])),
                about: Some(words.remove_provider_about()),
                button: words.remove(),
            },
            "/ui/workspaces/{id}",
        )
    },
    RouteForm {
        required: &[],
        record: |page, values| {
            let id = values.first().cloned().unwrap_or_default();
            Ok(page.send(InnerRequest::get("/instance/workspaces/{id}").at(id))?.body)
        },
        ..RouteForm::new(
            "/ui/instance/workspaces/{id}/identity-domains",
            "PUT",
            "/instance/workspaces/{id}/identity-domains",
            &["identity_domains"],
            |words, workspace| FormTexts {
                title: words.allow_provider(&plain(&workspace["name"])),
                about: Some(words.allow_provider_about()),
                button: words.save(),
            },
            "/ui/instance/workspaces/{id}",
        )
    },
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
    /// The name of the identity provider, blank if none is set. `None` if none is allowed.
    provider: Option<String>,
}

fn page(ctx: &mut Ctx<'_>, _: api::Uuid) -> Result<Html> {
    let page = PageCtx::of_turn(ctx);
    let workspace = super::workspace(&page, &page.request.path_values)?;
    let frame = Frame::of(&page)?;
    let words = frame.words;
    let (state, tone) = super::state(words, &workspace);
    let url = plain(&workspace["url"]);
    let is_owner = workspace["owner"] == true;
    let provider = match is_owner {
        true => identity_provider(&page, &page.request.path_values)?,
        false => Value::Null,
    };
    let is_allowed = provider["domains"].as_array().is_some_and(|domains| !domains.is_empty());
    let rendered = WorkspacePage {
        words,
        provider: is_allowed.then(|| provider["name"].as_str().unwrap_or_default().to_owned()),
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

fn identity_provider(page: &PageCtx<'_>, values: &[String]) -> Result<Value> {
    let id = values.first().cloned().unwrap_or_default();
    Ok(page.send(InnerRequest::get("/workspaces/{id}/identity-provider").at(id))?.body)
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

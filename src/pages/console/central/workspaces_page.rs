//! The first page of the central host: the workspaces of the person, and the invitations to answer.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use super::super::display::{self, plain};
use super::super::page::{Frame, PageCtx};
use super::super::route_form::{FormTexts, RouteForm};
use crate::api::{Ctx, Html, InnerRequest, Needs, Result, Route, get, run};
use crate::pages::translations::Translations;

pub const ROUTES: &[Route] = &[get("/ui", &run(page), Needs::SignedIn, "Show your workspaces and invitations")];

pub const FORMS: &[RouteForm] = &[
    RouteForm {
        done: |page, form, _| super::super::form_page::redirect(page, form.back, "accepted"),
        ..RouteForm::new(
            "/ui/user-invites/{id}/accept",
            "POST",
            "/user-invites/{id}/accept",
            &[],
            |words, _| FormTexts {
                title: words.accept_invitation(),
                about: Some(words.accept_about()),
                button: words.accept(),
            },
            "/ui",
        )
    },
    RouteForm {
        done: |page, form, _| super::super::form_page::redirect(page, form.back, "declined"),
        ..RouteForm::new(
            "/ui/user-invites/{id}/decline",
            "POST",
            "/user-invites/{id}/decline",
            &[],
            |words, _| FormTexts {
                title: words.decline_invitation(),
                about: Some(words.decline_about()),
                button: words.decline(),
            },
            "/ui",
        )
    },
];

#[derive(Template)]
#[template(path = "console/central/workspaces.html")]
struct WorkspacesPage<'a> {
    frame: &'a Frame,
    words: Translations,
    workspaces: Vec<WorkspaceCard>,
    has_more: bool,
    invitations: Vec<Invitation>,
}

struct WorkspaceCard {
    name: String,
    host: String,
    role: String,
    is_owner: bool,
    state: String,
    tone: &'static str,
    /// Where the person enters it. `None` if it is suspended.
    open: Option<String>,
    details: String,
}

struct Invitation {
    id: String,
    workspace: String,
    text: String,
    until: String,
}

fn page(ctx: &mut Ctx<'_>) -> Result<Html> {
    let page = PageCtx::of_turn(ctx);
    let frame = Frame::of(&page)?;
    let words = frame.words;
    let found = super::workspaces(&page)?;
    let invitations = super::rows(&page, InnerRequest::get("/user-invites").with_query("per_page=100".into()))?;
    let rendered = WorkspacesPage {
        words,
        has_more: found.len() == 100,
        workspaces: found.iter().map(|workspace| card(words, workspace)).collect(),
        invitations: invitations.iter().map(|invite| invitation(&page, invite)).collect::<Result<_>>()?,
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)
}

fn card(words: Translations, workspace: &Value) -> WorkspaceCard {
    let (state, tone) = super::state(words, workspace);
    let url = plain(&workspace["url"]);
    WorkspaceCard {
        name: plain(&workspace["name"]),
        host: url.split_once("://").map_or(url.as_str(), |(_, host)| host).to_owned(),
        role: plain(&workspace["role"]),
        is_owner: workspace["owner"] == true,
        open: (workspace["status"] == "active").then(|| format!("{url}/ui/enter")),
        details: format!("/ui/workspaces/{}", plain(&workspace["id"])),
        state,
        tone,
    }
}

fn invitation(page: &PageCtx<'_>, invite: &Value) -> Result<Invitation> {
    let words = page.words();
    let until = display::moment(words, &page.zone()?, &plain(&invite["expires_at"]));
    Ok(Invitation {
        id: plain(&invite["id"]),
        workspace: plain(&invite["workspace"]),
        text: words.invited_by(&plain(&invite["invited_by"]), &plain(&invite["role"])),
        until: words.invitation_until(until.text()),
    })
}

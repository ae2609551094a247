//! Connecting a PBX in three steps: a client, the template, and a sign that it works.

use askama::Template;
use http::StatusCode;

use super::display::{self, Shown, plain};
use super::page::{Frame, PageCtx};
use super::query;
use crate::api::{BlockingCtx, Ctx, Error, Html, InnerRequest, Needs, Relayed, Result, Route, blocking, get, run};
use crate::pages::translations::Translations;

pub const ROUTES: &[Route] = &[
    get("/ui/pbx", &blocking(page), Needs::Permission("workspace.manage"), "Show the steps to connect a PBX"),
    get("/ui/pbx/template", &run(template), Needs::Permission("workspace.manage"), "Download the template of a PBX"),
];

/// The scopes that the template of 3CX asks for.
const SCOPES: &str = "client,crm";

#[derive(Template)]
#[template(path = "console/pbx.html")]
struct PbxPage<'a> {
    frame: &'a Frame,
    words: Translations,
    clients: Vec<(String, String)>,
    new_client: String,
    /// The clients that a person authorized.
    grants: Vec<(String, Shown)>,
    /// The newest recorded call.
    newest: Option<Shown>,
}

fn page(ctx: &BlockingCtx<'_>) -> Result<Html> {
    let page = PageCtx::of_blocking(ctx);
    let frame = Frame::of(&page)?;
    let (words, zone) = (frame.words, page.zone()?);
    let clients = rows(&page, "/oauth-clients", "per_page=20")?;
    let clients = clients.iter().filter(|client| plain(&client["scopes"]).contains("crm"));
    let grants = rows(&page, "/oauth-grants", "per_page=20&sort=-id")?;
    let grants = grants.iter().filter(|grant| plain(&grant["scopes"]).contains("crm"));
    let calls = rows(&page, "/phone-calls", "per_page=1&sort=-id&cursor=")?;
    let new = [("name", "3CX"), ("grants", "authorization_code"), ("scopes", SCOPES)];
    let rendered = PbxPage {
        words,
        clients: clients
            .map(|client| (plain(&client["name"]), format!("/ui/oauth-clients/{}", plain(&client["id"]))))
            .collect(),
        new_client: format!("/ui/oauth-clients/new?{}", query(&new)),
        grants: grants
            .map(|grant| (plain(&grant["client"]), display::moment(words, &zone, &plain(&grant["created_at"]))))
            .collect(),
        newest: calls.first().map(|call| display::moment(words, &zone, &plain(&call["created_at"]))),
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)
}

fn template(ctx: &mut Ctx<'_>) -> Result<Relayed> {
    let page = PageCtx::of_turn(ctx);
    let pbx = page.query("pbx").unwrap_or_else(|| "3cx".to_owned());
    page.send_for_stream(InnerRequest::get("/crm/template").with_query(query(&[("pbx", &pbx)]))).map(Relayed)
}

/// The rows of a list. None, if the person may not see them.
fn rows(page: &PageCtx<'_>, path: &'static str, query: &str) -> Result<Vec<serde_json::Value>> {
    match page.send(InnerRequest::get(path).with_query(query.to_owned())) {
        Ok(found) => Ok(found.body["data"].as_array().cloned().unwrap_or_default()),
        Err(Error::MissingPermission(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

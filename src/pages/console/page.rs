//! What every page of the console needs: the routes of the API, the language, and the frame around its content.

use std::sync::Arc;

use http::header;
use jiff::ToSpan;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::Connection;
use serde_json::Value;

use super::catalog::{Collection, collection, collections};
use super::central;
use super::display;
use super::texts::section_label;
use crate::api::field::Label;
use crate::api::resource::Section;
use crate::api::{
    ApiResponse, BlockingCtx, Ctx, Error, Html, InnerRequest, InnerResponse, Input, IntoResponse, Layer, Needs,
    Request, Result, Route, render,
};
use crate::auth::{Caller, Principal};
use crate::pages::session::BrowserSession;
use crate::pages::sign_in::host_of;
use crate::pages::translations::Translations;
use crate::tenancy::locale_settings::WorkspaceLocale;
use crate::tenancy::{Current, WorkspaceEntry};
use crate::values::Language;

/// The context of a page: in a read turn, or outside the lanes.
#[derive(Clone, Copy)]
pub struct PageCtx<'a> {
    pub request: &'a Arc<Request>,
    pub caller: &'a Caller,
    db: Option<&'a Connection>,
}

impl<'a> PageCtx<'a> {
    pub fn new(request: &'a Arc<Request>, caller: &'a Caller, db: Option<&'a Connection>) -> Self {
        Self { request, caller, db }
    }

    pub fn of_turn(ctx: &Ctx<'a>) -> Self {
        Self { request: ctx.request, caller: ctx.caller, db: Some(ctx.db) }
    }

    pub fn of_blocking(ctx: &BlockingCtx<'a>) -> Self {
        Self { request: ctx.request, caller: ctx.caller, db: None }
    }

    pub fn words(&self) -> Translations {
        Translations::of(self.request)
    }

    /// Whether the page runs in a read turn.
    pub fn is_in_turn(&self) -> bool {
        self.db.is_some()
    }

    /// Runs a route of the API.
    pub fn send(&self, inner: InnerRequest) -> Result<InnerResponse> {
        match self.db {
            Some(db) => self.turn(db).send(inner),
            None => self.blocking().send(inner),
        }
    }

    /// Runs a route of the API that may respond with a file.
    pub fn send_for_stream(&self, inner: InnerRequest) -> Result<ApiResponse> {
        match self.db {
            Some(db) => self.turn(db).send_for_stream(inner),
            None => self.blocking().send_for_stream(inner),
        }
    }

    /// Changes several records, all or none.
    pub fn send_all(&self, inner: Vec<InnerRequest>) -> Result<()> {
        self.blocking().send_all(inner)
    }

    fn turn(&self, db: &'a Connection) -> Ctx<'a> {
        Ctx { db, caller: self.caller, now: self.request.now, request: self.request }
    }

    fn blocking(&self) -> BlockingCtx<'a> {
        let request = self.request;
        BlockingCtx { instance: &request.instance, caller: self.caller, now: request.now, request }
    }

    /// The time zone in which the page shows times.
    pub fn zone(&self) -> Result<TimeZone> {
        if let Some(zone) = self.request.time_zone() {
            return Ok(zone.clone());
        }
        if self.request.layer == Layer::Central {
            return Ok(TimeZone::UTC);
        }
        let zone = match self.db {
            Some(db) => WorkspaceLocale::of(db)?.zone,
            None => self.request.file().read(|db| Ok::<_, Error>(WorkspaceLocale::of(db)?.zone))?,
        };
        let _ = self.request.time_zone.set(zone.clone());
        Ok(zone)
    }

    /// The present local time.
    pub fn now(&self) -> Result<DateTime> {
        Ok(self.request.now.local(&self.zone()?))
    }

    /// The collection with this path in the API.
    pub fn collection(&self, path: &str) -> Result<&'static Collection> {
        collection(self.request.layer, path).ok_or_else(|| Error::Internal(format!("no collection {path}")))
    }

    /// The local day of today, or of some days before.
    pub fn days_ago(&self, days: i64) -> Result<String> {
        let today = self.now()?.date();
        Ok(today.checked_sub(days.days()).unwrap_or(today).to_string())
    }

    /// Whether the person may use a route.
    pub fn may(&self, route: &Route) -> bool {
        match (self.caller, route.needs) {
            (Caller::Principal(principal), needs) => may(principal, needs),
            (Caller::Anonymous, Needs::Operator) => self.request.token().is_ok_and(|token| token.operator),
            (Caller::Anonymous, _) => true,
        }
    }

    /// Whether the person has a permission.
    pub fn has_permission(&self, name: &str) -> bool {
        matches!(self.caller, Caller::Principal(principal) if principal.has_permission(name))
    }

    /// A field of the query.
    pub fn query(&self, name: &str) -> Option<String> {
        crate::api::pairs(&self.request.query).find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

fn may(principal: &Principal, needs: Needs) -> bool {
    needs.permission().is_none_or(|name| principal.has_permission(name))
}

/// A link of the navigation.
pub struct NavLink {
    pub label: String,
    pub href: String,
    pub is_current: bool,
}

pub struct NavSection {
    pub label: Option<String>,
    pub links: Vec<NavLink>,
}

/// Another workspace of the person.
pub struct PlaceLink {
    pub name: String,
    /// The beginning of a long name.
    pub short_name: String,
    /// The address at which the person enters it.
    pub href: String,
}

/// Workspaces in the menu of the person.
const MOST_PLACES: usize = 10;

/// Characters of a name in the menu of the person.
const LONGEST_PLACE: usize = 40;

/// The records of a page. The script says if they are changed after the page was read.
pub struct Followed {
    /// The kind of record, as events name it.
    pub resource: &'static str,
    /// The only record. `None`: a list.
    pub id: Option<i64>,
    /// The time as of which the page shows them, in UTC.
    pub seen: String,
}

/// The frame around a page: navigation, search, the person, and the message of the last change.
pub struct Frame {
    pub words: Translations,
    /// The name of the workspace, or of the program on the central host.
    pub place: String,
    /// Other workspaces of the person, the first ones by name.
    pub other_places: Vec<PlaceLink>,
    /// The list of all workspaces of the person.
    pub places: String,
    pub person: String,
    pub account: String,
    pub sections: Vec<NavSection>,
    pub has_search: bool,
    pub search: String,
    pub form_key: String,
    pub zone: String,
    pub notice: Option<String>,
    pub languages: Vec<(&'static str, &'static str, bool)>,
    pub path: String,
    pub follows: Option<Followed>,
    cookie: Option<String>,
}

impl Frame {
    pub fn of(page: &PageCtx<'_>) -> Result<Self> {
        let request = page.request;
        let words = page.words();
        let session = BrowserSession::read(request)?;
        let (form_key, cookie) = session.form_key()?;
        let central = request.instance.public_url().central();
        let mut other_places = Vec::new();
        let (place, places, person, account) = match (request.layer, page.caller) {
            (Layer::Workspace, Caller::Principal(principal)) => {
                let mut directory = request.instance.directory.current(&request.instance.keys)?;
                let listed = directory.by_id(request.workspace()?.id())?;
                other_places = self::other_places(request, &mut directory)?;
                let name = listed.map(|listed| listed.name).unwrap_or_default();
                (name, format!("{central}/ui"), principal.name.clone(), "/ui/me".to_owned())
            }
            _ => {
                let me = page.send(InnerRequest::get("/whoami"))?.body;
                let name = display::plain(&me["user"]["name"]);
                (host_of(&central).to_owned(), "/ui".to_owned(), name, "/ui/account".to_owned())
            }
        };
        let path = request.address.path.clone();
        let zone = page.zone()?;
        Ok(Self {
            words,
            place,
            other_places,
            places,
            person,
            account,
            sections: match request.layer {
                Layer::Central => central::sections(page, &path),
                Layer::Workspace => sections(page, &path),
            },
            has_search: request.layer == Layer::Workspace,
            search: page.query("q").unwrap_or_default(),
            form_key,
            zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            notice: page.query("done").and_then(|done| words.done(&done)),
            languages: vec![
                ("en", "English", words.0 == Language::English),
                ("fr", "Français", words.0 == Language::French),
            ],
            path,
            follows: None,
            cookie: cookie.map(|cookie| cookie.to_string()),
        })
    }

    /// The same frame of a page with a list of records.
    #[must_use]
    pub fn following_list(self, page: &PageCtx<'_>, collection: &Collection) -> Self {
        let seen = page.request.now.to_string();
        self.following(collection, None, seen)
    }

    /// The same frame of a page with one record.
    #[must_use]
    pub fn following_record(self, collection: &Collection, record: &Value) -> Self {
        let seen = display::plain(&record["updated_at"]);
        if seen.is_empty() { self } else { self.following(collection, record["id"].as_i64(), seen) }
    }

    fn following(self, collection: &Collection, id: Option<i64>, seen: String) -> Self {
        let recorded = collection.resource.recorded.first();
        Self { follows: recorded.map(|recorded| Followed { resource: recorded.name, id, seen }), ..self }
    }

    /// The page as a response. The template contains this frame.
    pub fn html(&self, status: http::StatusCode, template: &impl askama::Template) -> Result<Html> {
        Ok(Html::new(status, self.words.0, render(template)?).with_cookie(self.cookie.clone()).of_console())
    }

    /// The same, converted for the server.
    pub fn respond(
        &self,
        page: &PageCtx<'_>,
        status: http::StatusCode,
        template: &impl askama::Template,
    ) -> Result<ApiResponse> {
        self.html(status, template)?.into_response(page.request)
    }
}

/// The other workspaces that the person may enter.
fn other_places(request: &Request, directory: &mut Current<'_>) -> Result<Vec<PlaceLink>> {
    let (Ok(token), here) = (request.token(), request.workspace()?.id()) else { return Ok(Vec::new()) };
    let others = directory.of_member(token.account_id)?.into_iter().filter(|entry| entry.id != here);
    let public_url = request.instance.public_url();
    let link = |entry: WorkspaceEntry| PlaceLink {
        short_name: display::beginning(&entry.name, LONGEST_PLACE),
        href: format!("{}/ui/enter", public_url.workspace(&entry.subdomain)),
        name: entry.name,
    };
    Ok(others.take(MOST_PLACES).map(link).collect())
}

/// The sections that the person may open.
fn sections(page: &PageCtx<'_>, path: &str) -> Vec<NavSection> {
    let words = page.words();
    let is_current = |href: &str| path == href || path.starts_with(&format!("{href}/"));
    let link = |label: String, href: &str| NavLink { label, href: href.to_owned(), is_current: is_current(href) };
    let home = NavLink { label: words.home(), href: "/ui".into(), is_current: path == "/ui" };
    let mut sections = vec![NavSection { label: None, links: vec![home] }];
    let all =
        [Section::Data, Section::Routing, Section::Team, Section::Integrations, Section::History, Section::Workspace];
    for section in all {
        let mut links = Vec::new();
        let shown = collections(page.request.layer).iter().filter(|collection| {
            collection.resource.section == section
                && !collection.path.contains('{')
                && collection.list.or(collection.show).is_some_and(|route| page.may(route))
        });
        let shown: Vec<&Collection> = shown.collect();
        if section == Section::Routing && !shown.is_empty() {
            links.push(link(words.label(label("Routing", "Routage")), "/ui/routing"));
        }
        links.extend(
            shown
                .iter()
                .filter(|collection| !collection.names_customer)
                .map(|collection| link(collection.plural(words), collection.page)),
        );
        if section == Section::Workspace && !shown.is_empty() {
            links.push(link(words.label(label("Connect a PBX", "Connecter un PBX")), "/ui/pbx"));
        }
        if !links.is_empty() {
            sections.push(NavSection { label: section_label(section, words), links });
        }
    }
    sections
}

const fn label(english: &'static str, french: &'static str) -> Label {
    Label { english, french }
}

impl Collection {
    pub fn plural(&self, words: Translations) -> String {
        let resource = &self.resource;
        words.label(Label { english: resource.name, french: resource.french_name })
    }

    /// The name of one record of the collection.
    pub fn singular(&self, words: Translations) -> String {
        let declared = self.resource.view.singular;
        if !declared.english.is_empty() {
            return words.label(declared);
        }
        let plural = self.plural(words).to_lowercase();
        plural.strip_suffix('s').map(str::to_owned).unwrap_or(plural)
    }

    /// The name of a record.
    pub fn title(&self, record: &Value) -> String {
        let parts = self.title_fields();
        let parts = parts.iter().filter_map(|name| {
            let text = display::plain(display::at(record, name));
            (!text.is_empty()).then_some(text)
        });
        let title = parts.collect::<Vec<_>>().join(" ");
        if !title.trim().is_empty() {
            return title;
        }
        record["id"].as_i64().map_or_else(String::new, |id| format!("#{id}"))
    }
}

/// The address from which the person came to a record, if it is a page of this host.
pub fn back(page: &PageCtx<'_>) -> Option<String> {
    page.query("back").filter(|path| path.starts_with("/ui") && !path.contains(['\\', '\n', '\r']))
}

/// Whether the browser asks for a part of the page, as the script does.
pub fn accepts_part(page: &PageCtx<'_>, name: &str) -> bool {
    page.query("part").as_deref() == Some(name) && page.request.headers.contains_key(header::ACCEPT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::{TestBrowser, TestServer};

    /// The links of the menu with the other workspaces.
    fn menu<'b>(browser: &'b TestBrowser<'_>) -> Vec<&'b str> {
        let menu = browser.page.text.split("<summary class=\"link\">Other workspaces").nth(1).unwrap_or_default();
        menu.split("</details>").next().unwrap().split("<a class=\"link\" ").skip(1).map(str::trim_end).collect()
    }

    #[test]
    fn the_menu_of_the_person_leads_to_their_other_workspaces() {
        let server = TestServer::new();
        let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
        assert!(menu(&browser).is_empty(), "the central host lists them: {browser:?}");
        browser.go("http://acme.localhost/ui/enter");
        let all = "href=\"http://localhost/ui\">All workspaces</a>";
        assert_eq!(menu(&browser), ["href=\"http://other.localhost/ui/enter\">other</a>", all]);
        browser.go("http://other.localhost/ui/enter");
        assert_eq!(browser.url, "http://other.localhost/ui");
        assert_eq!(menu(&browser), ["href=\"http://acme.localhost/ui/enter\">acme</a>", all]);

        // A new name shows at once, as text.
        let acme = format!("/workspaces/{}", server.acme.id);
        let name = format!("<b>Zoé & Cie</b> {}", "x".repeat(200));
        server.central().put(&acme, json!({"name": name})).created();
        browser.go("/ui");
        let link = menu(&browser)[0];
        let escaped = name.replace('&', "&#38;").replace('<', "&#60;").replace('>', "&#62;");
        assert!(link.contains(&format!("title=\"{escaped}\">&#60;b&#62;Zoé &#38; Cie")), "{link}");
        assert!(link.ends_with(&format!("{}…</a>", "x".repeat(22))), "{link}");

        // A suspended workspace cannot be entered.
        let origin = crate::auth::Origin::system(crate::values::Timestamp::now());
        server.instance.central.set_workspace_status(server.acme.id, "suspended", origin).unwrap();
        browser.go("/ui");
        assert!(menu(&browser).is_empty() && browser.page.text.contains(all), "{browser:?}");
    }

    #[test]
    fn the_menu_of_the_person_has_the_first_ten_workspaces_by_name() {
        let server = TestServer::new();
        for number in (10..24).rev() {
            server.central().post("/workspaces", json!({"name": format!("Équipe {number}")})).created();
        }
        let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
        browser.go("http://other.localhost/ui/enter");
        let names: Vec<&str> = menu(&browser).iter().map(|link| link.split(['>', '<']).nth(1).unwrap()).collect();
        let expected = ["acme".to_owned()].into_iter().chain((10..19).map(|number| format!("Équipe {number}")));
        assert_eq!(names, expected.chain(["All workspaces".into()]).collect::<Vec<_>>());
    }

    #[test]
    fn a_person_with_one_workspace_has_no_menu_of_others() {
        let server = TestServer::new();
        server.join_acme("zoe@example.com", "agent");
        let mut zoe = TestBrowser::signed_in(&server, "zoe@example.com");
        zoe.go("http://acme.localhost/ui/enter");
        assert!(menu(&zoe).is_empty(), "{zoe:?}");
        assert!(zoe.page.text.contains("<a href=\"http://localhost/ui\">All workspaces</a>"), "{zoe:?}");
    }
}

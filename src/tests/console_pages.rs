//! Tests over every page of the console: who may open it, that it changes nothing, and that its HTML is sound in both
//! languages. The records come from the samples of the API's routes, so a new resource needs nothing here.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;

use crate::api::{Audience, Layer, Needs, Route, Router};
use crate::auth::TokenScope;
use crate::pages;
use crate::tests::every_route::{console_routes, sample};
use crate::tests::views::related;
use crate::tests::{TestResponse, TestServer};
use crate::values::Language;

const LAYERS: [Layer; 2] = [Layer::Central, Layer::Workspace];

fn host(layer: Layer) -> &'static str {
    if layer == Layer::Central { "localhost" } else { "acme.localhost" }
}

/// A person with the session of a browser.
pub struct Person<'s> {
    server: &'s TestServer,
    host: &'static str,
    session: Option<String>,
    language: &'static str,
}

impl<'s> Person<'s> {
    pub fn owner(server: &'s TestServer, layer: Layer) -> Self {
        let scope = match layer {
            Layer::Central => TokenScope::Central,
            Layer::Workspace => TokenScope::Workspace(server.acme.id),
        };
        Self::with(server, layer, Some(server.token("owner@example.com", scope)))
    }

    fn with(server: &'s TestServer, layer: Layer, session: Option<String>) -> Self {
        Self { server, host: host(layer), session, language: "en" }
    }

    fn speaking(&self, language: &'static str) -> Self {
        Self { server: self.server, host: self.host, session: self.session.clone(), language }
    }

    /// The key of this person's forms.
    pub fn form_key(&self) -> String {
        pages::form_key_of(self.session.as_deref().unwrap_or_default())
    }

    pub fn get(&self, url: &str) -> TestResponse {
        self.ask(Method::GET, url, String::new())
    }

    pub fn post(&self, url: &str, fields: &[(String, String)]) -> TestResponse {
        self.ask(Method::POST, url, form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish())
    }

    pub fn ask(&self, method: Method, url: &str, body: impl Into<Bytes>) -> TestResponse {
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::HOST, self.host)
            .header(header::ACCEPT_LANGUAGE, self.language)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(session) = &self.session {
            request = request.header(header::COOKIE, format!("cx_session={session}"));
        }
        self.server.send(request.body(Full::new(body.into())).unwrap())
    }
}

/// The routes of the API.
fn api_routes(router: &Router, layer: Layer) -> impl Iterator<Item = &'static Route> {
    let programs = router.resources(layer).iter().filter(|resource| resource.audience == Audience::Programs);
    programs.flat_map(|resource| resource.routes)
}

/// A path without the names of its parameters: `/contacts/{}`.
fn shape(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// The addresses of pages, with real records.
pub struct Addresses<'s> {
    server: &'s TestServer,
    router: Router,
    /// The requests of API routes, by layer and path.
    known: BTreeMap<(bool, String), String>,
}

impl<'s> Addresses<'s> {
    pub fn on(server: &'s TestServer) -> Self {
        Self { server, router: crate::router().unwrap(), known: BTreeMap::new() }
    }

    /// The address of a page. A page about a record is that of the record of the API's sample.
    pub fn of(&mut self, layer: Layer, page: &Route) -> String {
        if page.path.ends_with("/bulk") {
            let list = self.of_path(layer, page.path.trim_end_matches("/bulk"));
            return format!("{list}/bulk?ids=1");
        }
        self.of_path(layer, page.path)
    }

    /// The route of the API that a page for a new record runs, and the address of the page.
    pub fn creation(&mut self, layer: Layer, page: &Route) -> Option<(&'static Route, String)> {
        let path = page.path.trim_end_matches("/new");
        let path = match path.strip_prefix("/ui/routing/{account}") {
            Some(rest) => format!("/smart-routings{rest}"),
            None => path.trim_start_matches("/ui").to_owned(),
        };
        let wanted = shape(&path);
        let is_same = |route: &&'static Route| route.method == Method::POST && shape(route.path) == wanted;
        let route = { api_routes(&self.router, layer).find(is_same) }?;
        Some((route, self.of(layer, page)))
    }

    fn of_path(&mut self, layer: Layer, page: &str) -> String {
        if let Some((list, rest)) = page.split_once("/import/{id}") {
            let list = self.of_path(layer, list);
            return format!("{list}/import/{}{rest}", self.import(&list));
        }
        if !page.contains('{') {
            return match page {
                "/ui/search" => "/ui/search?q=walked".into(),
                path => path.to_owned(),
            };
        }
        let api = self.api_path(layer, page);
        let request = self.request(layer, api);
        let (path, query) = request.split_once('?').unwrap_or((&request, ""));
        let mut values =
            api.split('/').zip(path.split('/')).filter(|(name, _)| name.starts_with('{')).map(|(_, value)| value);
        let account = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "customer_account");
        let account = account.map(|(_, account)| account.into_owned());
        let filled = page.split('/').map(|segment| match segment {
            "{account}" => account.clone().expect("the sample names a customer"),
            segment if segment.starts_with('{') => values.next().expect("a value for each parameter").to_owned(),
            segment => segment.to_owned(),
        });
        filled.collect::<Vec<_>>().join("/")
    }

    /// An import with a refused record, of the records of a list. It is checked.
    fn import(&mut self, list: &str) -> String {
        let (resource, account) = match list.strip_prefix("/ui/routing/").and_then(|rest| rest.split_once('/')) {
            Some((account, "contacts")) => ("routing-contacts", account),
            Some((account, name)) => (name, account),
            None => (list.trim_start_matches("/ui/"), ""),
        };
        let admin = self.server.admin();
        let address = format!("/imports?resource={resource}&customer_account={account}");
        let made = || {
            let id = admin.post(&address, serde_json::json!([{"name": "walked", "id": "walked"}])).created()["id"]
                .to_string();
            admin.post(&format!("/imports/{id}/check"), serde_json::json!({}));
            while admin.get(&format!("/imports/{id}")).ok()["state"] == "checking" {}
            id
        };
        self.known.entry((false, format!("import {list}"))).or_insert_with(made).clone()
    }

    /// The path in the API that names the same records: that of the page, or of a part of it.
    fn api_path(&self, layer: Layer, page: &str) -> &'static str {
        let mut path = match page.strip_prefix("/ui/routing/{account}") {
            Some("" | "/test") => "/smart-routings/contacts".to_owned(),
            Some(rest) => format!("/smart-routings{rest}"),
            None => page.trim_start_matches("/ui").to_owned(),
        };
        let routes: Vec<&'static Route> = api_routes(&self.router, layer).collect();
        loop {
            let wanted = shape(&path);
            let same = |method: &str| {
                routes.iter().find(|route| route.method == method && shape(route.path) == wanted).copied()
            };
            if let Some(found) = ["GET", "PUT", "DELETE", "POST"].iter().find_map(|method| same(method)) {
                return found.path;
            }
            path = path.rsplit_once('/').unwrap_or_else(|| panic!("no route of the API is like {page}")).0.to_owned();
        }
    }

    /// The request of the API's sample for a path. It is made once: it creates its records.
    fn request(&mut self, layer: Layer, path: &'static str) -> String {
        let (server, router) = (self.server, &self.router);
        let make = || {
            let methods = [Method::GET, Method::PUT, Method::DELETE, Method::POST];
            let route = methods.iter().find_map(|method| router.route(layer, method, path)).unwrap();
            sample(server, layer, route).path
        };
        self.known.entry((layer == Layer::Central, path.to_owned())).or_insert_with(make).clone()
    }
}

/// The pages that are read, with their addresses.
fn read_pages<'s>(addresses: &mut Addresses<'s>) -> Vec<(Layer, &'static Route, String)> {
    let mut pages = Vec::new();
    for layer in LAYERS {
        for route in console_routes(layer).filter(|route| route.method == Method::GET) {
            pages.push((layer, route, addresses.of(layer, route)));
        }
    }
    pages
}

/// Everything that the workspace's file contains, apart from the times of use.
pub fn content(server: &TestServer) -> String {
    server.in_file(|db| {
        let mut tables = db.prepare(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%_fts%'
                 AND name NOT IN ('row_counts', 'text_indexes', 'changed_texts') AND name NOT LIKE 'sqlite_%'",
        )?;
        let tables = tables.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut all = String::new();
        for table in tables {
            let mut statement = db.prepare(&format!("SELECT * FROM {table}"))?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let values = (0..columns).map(|column| row.get_ref(column).map(|value| format!("{value:?}")));
                all.push_str(&format!("{table} {:?}\n", values.collect::<rusqlite::Result<Vec<_>>>()?));
            }
        }
        Ok(all)
    })
}

#[test]
fn a_page_opens_for_its_people_alone_and_no_refused_form_changes_anything() {
    let server = TestServer::new();
    let mut addresses = Addresses::on(&server);
    let acme = TokenScope::Workspace(server.acme.id);
    let mut wrong = BTreeSet::new();
    for layer in LAYERS {
        let pages: Vec<(&Route, String)> =
            console_routes(layer).map(|route| (route, addresses.of(layer, route))).collect();
        let (owner, nobody) = (Person::owner(&server, layer), Person::with(&server, layer, None));
        let other_scope = if layer == Layer::Central { acme } else { TokenScope::Central };
        let foreign = [
            server.token("owner@example.com", other_scope),
            server.token("owner@example.com", TokenScope::Workspace(server.other.id)),
        ];
        let foreign = foreign.map(|token| Person::with(&server, layer, Some(token)));
        let stranger = server.with_only(&["audit.view"]).token().unwrap().to_owned();
        let stranger = Person::with(&server, layer, Some(stranger));
        let before = content(&server);
        for (route, address) in &pages {
            let (method, needs) = (&route.method, route.needs);
            let name = format!("{method} {}", route.path);
            let mut expect = |holds: bool, text: &str, answer: &TestResponse| {
                if !holds {
                    wrong.insert(format!(
                        "{name}: {text}: {} {}",
                        answer.status,
                        &answer.text[..answer.text.len().min(300)]
                    ));
                }
            };
            let ask = |person: &Person<'_>, key: &str| {
                let body = if method == Method::POST { format!("form_key={key}") } else { String::new() };
                person.ask(method.clone(), address, body)
            };
            if needs != Needs::Anyone {
                for visitor in [&nobody].into_iter().chain(&foreign) {
                    let answer = ask(visitor, &visitor.form_key());
                    let to = answer.headers.get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
                    let is_sign_in = answer.status == 303 && to.starts_with("/ui/sign-in?to=%2Fui");
                    // A form is kept through the sign-in.
                    let keeps_form = *method == Method::POST
                        && answer.status == 401
                        && answer.text.contains("action=\"/ui/sign-in\"");
                    expect(is_sign_in || keeps_form, "without a session leads to sign-in", &answer);
                }
            }
            if method == Method::POST {
                for key in ["", "foreign"] {
                    let answer = ask(&owner, key);
                    expect(answer.status == 403, "a form without its key is refused", &answer);
                }
            }
            if let Some(permission) = needs.permission().filter(|name| *name != "audit.view")
                && !matches!(needs, Needs::OwnOr(_))
                && layer == Layer::Workspace
            {
                let answer = ask(&stranger, &stranger.form_key());
                expect(answer.status == 403, "a person without the permission is refused", &answer);
                let words = pages::Translations(Language::English);
                let named = words.choice("permissions", permission).unwrap_or_else(|| permission.to_owned());
                expect(unescaped(&answer.text).contains(&named), "the page names the missing permission", &answer);
            }
        }
        assert!(content(&server) == before, "a refused form changed something");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// No link leads a person to a page that they may not open.
#[test]
fn a_person_sees_no_link_to_a_page_that_they_may_not_open() {
    let server = TestServer::new();
    let mut addresses = Addresses::on(&server);
    let mut wrong = BTreeSet::new();
    let router = crate::router().unwrap();
    let pages = read_pages(&mut addresses);
    for only in ["contact.view", "routing.view"] {
        let token = server.with_only(&[only]).token().unwrap().to_owned();
        let person = Person::with(&server, Layer::Workspace, Some(token));
        for (layer, route, address) in &pages {
            if *layer != Layer::Workspace || route.needs.permission().is_some_and(|permission| permission != only) {
                continue;
            }
            let page = person.get(address);
            let links = elements(&page.text).into_iter().filter_map(|element| element.get("href").cloned());
            for link in links.filter(|link| link.starts_with("/ui/")) {
                let path = link.split(['?', '#']).next().unwrap();
                let found = router.find(Layer::Workspace, path).and_then(|found| found.route(&Method::GET).ok());
                let needed = found.filter(|route| !matches!(route.needs, Needs::Self_(_) | Needs::OwnOr(_)));
                if let Some(permission) = needed.and_then(|route| route.needs.permission())
                    && permission != only
                {
                    wrong.insert(format!("{only}: {} links to {path}", route.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The attributes of an element, with its name under `<`.
type Element = BTreeMap<String, String>;

/// The elements of a page, in order. The text behind an element is under `>`.
pub fn elements(html: &str) -> Vec<Element> {
    let mut found = Vec::new();
    for part in html.split('<').skip(1).filter(|part| !part.starts_with('!')) {
        let mut element = Element::new();
        let name: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '/').collect();
        let mut rest = &part[name.len()..];
        element.insert("<".into(), name);
        loop {
            rest = rest.trim_start();
            let Some(end) = rest.find(['=', '>', ' ', '\n']) else { break };
            let attribute = rest[..end].to_owned();
            match rest.as_bytes()[end] {
                b'>' => {
                    if !attribute.is_empty() {
                        element.insert(attribute, String::new());
                    }
                    rest = &rest[end + 1..];
                    break;
                }
                b'=' => {
                    let value = rest[end + 1..].strip_prefix('"').expect("attributes are quoted");
                    let (value, after) = value.split_once('"').unwrap();
                    element.insert(attribute, unescaped(value));
                    rest = after;
                }
                _ => {
                    element.insert(attribute, String::new());
                    rest = &rest[end..];
                }
            }
        }
        element.insert(">".into(), unescaped(rest));
        found.push(element);
    }
    found
}

/// The text without character references. Each is replaced once.
fn unescaped(text: &str) -> String {
    const KNOWN: [(&str, &str); 9] = [
        ("#34;", "\""),
        ("#38;", "&"),
        ("#39;", "'"),
        ("#60;", "<"),
        ("#62;", ">"),
        ("amp;", "&"),
        ("lt;", "<"),
        ("gt;", ">"),
        ("quot;", "\""),
    ];
    let (start, rest) = text.split_once('&').unwrap_or((text, ""));
    let mut plain = start.to_owned();
    if start.len() < text.len() {
        for part in rest.split('&') {
            let known = KNOWN.iter().find_map(|(name, meaning)| Some((meaning, part.strip_prefix(name)?)));
            match known {
                Some((meaning, rest)) => plain.extend([*meaning, rest]),
                None => plain.extend(["&", part]),
            }
        }
    }
    plain
}

/// Words that no French page has.
const ENGLISH: &[&str] = &[
    "the",
    "of",
    "and",
    "is",
    "are",
    "was",
    "this",
    "that",
    "with",
    "without",
    "from",
    "not",
    "no",
    "your",
    "you",
    "it",
    "its",
    "has",
    "have",
    "may",
    "must",
    "which",
    "when",
    "who",
    "for",
    "each",
    "every",
    "all",
    "only",
    "one",
    "by",
    "new",
    "change",
    "delete",
    "create",
    "name",
    "value",
    "list",
    "search",
    "save",
    "cancel",
    "more",
    "user",
    "users",
    "customer",
    "customers",
    "call",
    "calls",
    "queue",
    "queues",
    "phone",
    "number",
    "here",
    "nothing",
    "yet",
];

/// Checks the HTML of a page.
fn check_page(
    page: &TestResponse,
    language: &str,
    shown: &str,
    labels: &BTreeSet<String>,
    wrong: &mut dyn FnMut(String),
) {
    let html = &page.text;
    if html.len() > 60_000 {
        wrong(format!("{} bytes", html.len()));
    }
    if !html.contains(&format!("<html lang=\"{language}\">")) {
        wrong("no lang".into());
    }
    let elements = elements(html);
    let is = |element: &Element, names: &[&str]| names.contains(&element["<"].as_str());
    let mut ids = BTreeSet::new();
    for id in elements.iter().filter_map(|element| element.get("id")) {
        if !ids.insert(id.clone()) {
            wrong(format!("the id {id} twice"));
        }
    }
    let labelled: BTreeSet<&String> = elements.iter().filter_map(|element| element.get("for")).collect();
    for id in &labelled {
        if !ids.contains(*id) {
            wrong(format!("a label for {id}, which does not exist"));
        }
    }
    for attribute in ["aria-labelledby", "aria-describedby"] {
        for named in elements.iter().filter_map(|element| element.get(attribute)) {
            for id in named.split(' ').filter(|id| !ids.contains(*id)) {
                wrong(format!("{attribute} names {id}, which does not exist"));
            }
        }
    }
    let mut inside_label = 0;
    let mut last_heading = 0;
    let mut headings = 0;
    let mut language_of = Vec::new();
    for element in &elements {
        match element["<"].as_str() {
            "label" => inside_label += 1,
            "/label" => inside_label -= 1,
            "h1" | "h2" | "h3" | "h4" => {
                let level = element["<"][1..].parse::<i32>().unwrap();
                headings += i32::from(level == 1);
                if level > last_heading + 1 {
                    wrong(format!("h{level} after h{last_heading}: {}", element[">"]));
                }
                last_heading = level;
            }
            _ => {}
        }
        let is_hidden = ["hidden", "submit"].contains(&element.get("type").map_or("", String::as_str));
        if is(element, &["input", "select", "textarea"]) && !is_hidden {
            let has_label = element.get("id").is_some_and(|id| labelled.contains(id))
                || element.contains_key("aria-label")
                || element.contains_key("aria-labelledby")
                || inside_label > 0;
            if !has_label {
                wrong(format!("no label: {element:?}"));
            }
        }
        let is_value =
            is(element, &["textarea", "code", "pre", "script", "style", "dd", "td", "b", "time", "summary", "title"]);
        let is_foreign = element.get("lang").is_some_and(|lang| lang != language);
        if shown == "fr" && !is_value && !is_foreign {
            let texts = ["placeholder", "aria-label", "title", ">"];
            language_of.extend(texts.iter().filter_map(|name| element.get(*name)).map(|text| text.trim().to_owned()));
        }
    }
    if headings != 1 {
        wrong(format!("{headings} h1"));
    }
    // Data of the samples, and texts with placeholders.
    let is_data = |text: &&String| {
        ["walked", "French departments", "{"].iter().any(|data| text.to_lowercase().contains(&data.to_lowercase()))
    };
    for text in language_of.iter().filter(|text| !is_data(text)) {
        if labels.contains(text) {
            wrong(format!("English label: {text}"));
        }
        let words = text.split(|c: char| !c.is_alphanumeric() && !"-_.'’@/:".contains(c));
        let english: Vec<&str> = words
            .filter(|word| ENGLISH.contains(&word.trim_end_matches(['.', ':', ',']).to_lowercase().as_str()))
            .collect();
        if !english.is_empty() {
            wrong(format!("English words {english:?}: {text}"));
        }
    }
}

/// The status and heading of a page.
fn heading(page: &TestResponse) -> String {
    let heading = page.text.split("<h1").nth(1).unwrap_or(&page.text);
    format!("{} {}", page.status, heading.chars().take(150).collect::<String>())
}

/// English labels that are not also French.
fn english_labels() -> BTreeSet<String> {
    let central = crate::central_resources();
    let resources: Vec<_> = central.chain(crate::workspace::resources()).collect();
    let mut labels = Vec::new();
    for resource in &resources {
        let view = &resource.view;
        labels.extend(
            resource.fields.iter().chain(resource.more_fields.iter().copied().flatten()).map(|field| field.label),
        );
        labels.extend(view.groups.iter().map(|group| group.label));
        labels.extend(view.help.iter().map(|(_, help)| *help));
        labels.extend(view.quick_filters.iter().map(|filter| filter.label));
        labels.extend(related(view).map(|related| related.label));
        labels.extend(view.buttons.iter().flat_map(|button| [button.label, button.about]));
        labels.extend([view.purpose, view.singular]);
    }
    let french: BTreeSet<&str> = labels.iter().map(|label| label.french).collect();
    let names: BTreeSet<&str> = resources.iter().map(|resource| resource.french_name).collect();
    let mut english: BTreeSet<String> = labels.iter().map(|label| label.english.to_owned()).collect();
    english.extend(resources.iter().map(|resource| resource.name.to_owned()));
    english.retain(|label| !label.is_empty() && !french.contains(label.as_str()) && !names.contains(label.as_str()));
    english
}

#[test]
fn every_page_is_sound_in_both_languages_and_changes_nothing() {
    let server = TestServer::new();
    let mut addresses = Addresses::on(&server);
    let labels = english_labels();
    let pages = read_pages(&mut addresses);
    assert!(pages.len() > 150, "{}", pages.len());
    let before = content(&server);
    let router = crate::router().unwrap();
    let mut wrong = BTreeSet::new();
    let mut links: BTreeMap<(bool, String), (String, String)> = BTreeMap::new();
    let owners = LAYERS.map(|layer| Person::owner(&server, layer));
    for (layer, route, address) in &pages {
        for language in ["en", "fr"] {
            let person = owners[usize::from(*layer == Layer::Workspace)].speaking(language);
            let page = person.get(address);
            let mut say = |text: String| _ = wrong.insert(format!("{} ({language}): {text}", route.path));
            if page.status != 200 {
                say(heading(&page));
                continue;
            }
            let kind = page.headers[header::CONTENT_TYPE].to_str().unwrap();
            if !kind.starts_with("text/html") {
                continue;
            }
            // The built-in models have names and sources in English, and mails are in the language of their recipients.
            let is_foreign = route.path.ends_with("/geo/models") || route.path == "/ui/instance/mails";
            let shown = if is_foreign { "en" } else { language };
            check_page(&page, language, shown, &labels, &mut say);
            for element in elements(&page.text) {
                for attribute in ["href", "src", "action", "formaction", "data-lookup"] {
                    let Some(target) = element.get(attribute) else { continue };
                    if target.starts_with("http")
                        || target.starts_with("tel:")
                        || target.starts_with("mailto:")
                        || target.starts_with('#')
                    {
                        continue;
                    }
                    let path = address.split('?').next().unwrap();
                    let target = if target.starts_with('?') { format!("{path}{target}") } else { target.clone() };
                    let bare = target.split(['?', '#']).next().unwrap();
                    let is_post = element.get("method").is_some_and(|method| method == "post");
                    let method = if is_post { Method::POST } else { Method::GET };
                    let found = router.find(*layer, bare).or_else(|| router.at_root(bare));
                    if found.is_none_or(|found| found.route(&method).is_err()) {
                        say(format!("{attribute} leads nowhere: {method} {target}"));
                    } else if attribute != "action" && bare.starts_with("/ui") && language == "en" {
                        let shape: String = target.chars().filter(|c| !c.is_ascii_digit()).collect();
                        links.entry((*layer == Layer::Central, shape)).or_insert((target, route.path.to_owned()));
                    }
                }
            }
        }
    }
    assert!(content(&server) == before, "a page that is only read changed something");
    for ((is_central, _), (target, from)) in &links {
        let answer = owners[usize::from(!is_central)].get(target);
        if ![200, 303].contains(&answer.status.as_u16()) {
            wrong.insert(format!("{from} links to {target}: {}", heading(&answer)));
        }
    }
    assert!(wrong.is_empty(), "{} {wrong:#?}", wrong.len());
}

/// Every route of the API has a page, or a reason not to have one.
#[test]
fn every_route_has_a_page_or_a_reason() {
    let router = crate::router().unwrap();
    let mut wrong = BTreeSet::new();
    for layer in LAYERS {
        let run = pages::run_by_pages(layer);
        for route in api_routes(&router, layer) {
            let reasons = pages::reasons_without_page(layer, &route.method, route.path);
            let is_covered = run.iter().any(|(method, path)| method == route.method.as_str() && *path == route.path);
            let reasons = reasons.count();
            if reasons + usize::from(is_covered) != 1 {
                wrong.insert(format!(
                    "{layer:?} {} {}: {reasons} reasons, a page: {is_covered}",
                    route.method, route.path
                ));
            }
        }
    }
    for (layer, method, path, reason) in pages::WITHOUT_PAGE {
        let is_of = |route: &&Route| {
            route.method.as_str() == *method
                && path.strip_prefix('*').map_or(route.path == *path, |end| route.path.ends_with(end))
        };
        assert!(router.routes(*layer).any(|route| is_of(&route)), "{method} {path} is no route");
        assert!(reason.len() > 10, "{method} {path}: {reason}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

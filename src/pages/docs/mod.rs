//! The API reference: OpenAPI for programs, and for people an index, one page per resource and a search. Both hosts
//! serve the pages of both layers, so that a reader finds everything in one place. The pages have no scripts.

mod curl;
mod reference;
mod search;

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::Value;

use super::Message;
use super::translations::Translations;
use crate::api::{
    ApiResponse, BlockingCtx, CachedContent, CachedDocument, Error, Html, Input, IntoResponse, Json200, Layer, Needs,
    Operation, Request, Result, Route, blocking, get, openapi, pairs, render,
};
use crate::values::{Language, PublicUrl};
use reference::SectionDoc;
use search::SearchHit;

pub const OPENAPI: &[Route] =
    &[get("/openapi.json", &blocking(description), Needs::Anyone, "Get this description as OpenAPI 3.1")
        .named("getOpenApi")];

pub const PAGES: &[Route] = &[
    get("/docs", &blocking(index), Needs::Anyone, "Read or search the API reference"),
    get("/docs/{layer}/{resource}", &blocking(resource), Needs::Anyone, "Read the reference of one resource"),
];

/// All documents. They are built once and stay the same until the public URL changes.
struct DocsLibrary {
    url: PublicUrl,
    descriptions: [Arc<CachedContent>; 2],
    sections: Vec<SectionDoc>,
    index: Arc<CachedContent>,
    /// Pages by path: `/docs/workspace/customers`.
    pages: HashMap<String, Arc<CachedContent>>,
}

#[derive(Template)]
#[template(path = "docs_index.html")]
struct IndexPage<'a> {
    version: &'static str,
    asked: &'a str,
    found: Option<Vec<SearchHit<'a>>>,
    sections: &'a [SectionDoc],
}

#[derive(Template)]
#[template(path = "docs_resource.html")]
struct ResourcePage<'a> {
    version: &'static str,
    sections: &'a [SectionDoc],
    section: &'a SectionDoc,
    resource: &'a reference::ResourceDoc,
}

/// The search text, or empty.
struct SearchQuery(String);

impl Input for SearchQuery {
    fn read(request: &Request) -> Result<Self> {
        let asked = pairs(&request.query).find(|(name, _)| name == "q").map(|(_, text)| text.trim().to_owned());
        Ok(Self(asked.unwrap_or_default()))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.query(
            "q",
            "Words to search for. The page lists the operations that contain all of them.",
            serde_json::json!({"type": "string"}),
        );
    }
}

/// The layer and the resource in the path.
struct DocsPath {
    path: String,
}

impl Input for DocsPath {
    fn read(request: &Request) -> Result<Self> {
        Ok(Self { path: format!("/docs/{}", request.path_values.join("/")) })
    }

    fn describe(operation: &mut Operation<'_>) {
        let text = || serde_json::json!({"type": "string"});
        operation.path_value(0, "`central` or `workspace`.", text());
        operation.path_value(1, "The resource, as the index links to it.", text());
    }
}

fn description(ctx: &BlockingCtx<'_>) -> Result<CachedDocument<Json200>> {
    let library = library(ctx.request)?;
    Ok(CachedDocument::new(Arc::clone(&library.descriptions[usize::from(ctx.request.layer == Layer::Workspace)])))
}

fn index(ctx: &BlockingCtx<'_>, SearchQuery(asked): SearchQuery) -> Result<DocsPage> {
    let library = library(ctx.request)?;
    if asked.is_empty() {
        return Ok(DocsPage::Kept(CachedDocument::new(Arc::clone(&library.index))));
    }
    let found = Some(search::search(&library.sections, &asked));
    page(&IndexPage { version: VERSION, asked: &asked, found, sections: &library.sections }).map(DocsPage::Made)
}

fn resource(ctx: &BlockingCtx<'_>, place: DocsPath) -> Result<DocsPage> {
    let library = library(ctx.request)?;
    if let Some(page) = library.pages.get(&place.path) {
        return Ok(DocsPage::Kept(CachedDocument::new(Arc::clone(page))));
    }
    let words = Translations::of(ctx.request);
    let missing = Message::about(words, "No such page", "The reference has no page here. Its index is at /docs.");
    missing.page(StatusCode::NOT_FOUND).map(DocsPage::Made)
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn page(template: &impl Template) -> Result<Html> {
    render(template).map(|text| Html::ok(Language::English, text))
}

fn library(request: &Request) -> Result<Arc<DocsLibrary>> {
    static KEPT: Mutex<Option<Arc<DocsLibrary>>> = Mutex::new(None);
    let url = request.instance.public_url();
    let mut kept = KEPT.lock();
    match &*kept {
        Some(library) if library.url == url => Ok(Arc::clone(library)),
        _ => {
            let library = Arc::new(DocsLibrary::make(request, url)?);
            *kept = Some(Arc::clone(&library));
            Ok(library)
        }
    }
}

impl DocsLibrary {
    fn make(request: &Request, url: PublicUrl) -> Result<Self> {
        let router = crate::router().map_err(|error| Error::Internal(error.to_string()))?;
        let described = [Layer::Central, Layer::Workspace].map(|layer| openapi::document(&router, layer, &url));
        let sections: Vec<SectionDoc> = described
            .iter()
            .zip([Layer::Central, Layer::Workspace])
            .map(|(document, layer)| SectionDoc::of(document, layer))
            .collect();
        let index = IndexPage { version: VERSION, asked: "", found: None, sections: &sections };
        let index = Arc::new(CachedContent::of(page(&index)?.into_response(request)?)?);
        let mut pages = HashMap::new();
        for section in &sections {
            for resource in &section.resources {
                let page = page(&ResourcePage { version: VERSION, sections: &sections, section, resource })?;
                pages.insert(resource.path.clone(), Arc::new(CachedContent::of(page.into_response(request)?)?));
            }
        }
        let [central, workspace] =
            described.map(|document: Value| CachedContent::of(Json200(document).into_response(request)?));
        Ok(Self { url, descriptions: [Arc::new(central?), Arc::new(workspace?)], sections, index, pages })
    }
}

/// A page of the reference: a stored one, or one built for this request.
enum DocsPage {
    Kept(CachedDocument<Html>),
    Made(Html),
}

impl IntoResponse for DocsPage {
    fn into_response(self, request: &Request) -> Result<ApiResponse> {
        match self {
            Self::Kept(page) => page.into_response(request),
            Self::Made(page) => page.into_response(request),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.page_response();
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use crate::tests::TestServer;

    #[test]
    fn the_reference_is_sent_packed_and_not_again_to_whoever_has_it() {
        let server = TestServer::new();
        for (host, path) in [
            ("localhost", "/docs/central/tokens"),
            ("acme.localhost", "/docs/workspace/customers"),
            ("acme.localhost", "/openapi.json"),
        ] {
            let anybody = server.anonymous().at(host);
            let plain = anybody.get(path);
            let mut tags = vec![plain.headers[header::ETAG].clone()];
            for coding in ["gzip", "br"] {
                let packing = anybody.with_header("accept-encoding", coding);
                let packed = packing.get(path);
                assert_eq!(packed.headers[header::CONTENT_ENCODING], coding);
                assert!(packed.headers.get_all(header::VARY).iter().any(|vary| vary == "Accept-Encoding"));
                let length = packed.headers.get(header::CONTENT_TYPE).map(|_| packed.text.len()).unwrap();
                assert!(length * 2 < plain.text.len(), "{coding}: {length} of {}", plain.text.len());
                let tag = packed.headers[header::ETAG].clone();
                let known = packing.with_header("if-none-match", tag.to_str().unwrap()).get(path);
                assert_eq!((known.status.as_u16(), known.text.as_str()), (304, ""));
                tags.push(tag);
            }
            assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
            assert_eq!(plain.headers[header::CACHE_CONTROL], "no-cache");
            assert!(plain.headers.get(header::CONTENT_ENCODING).is_none());
        }
    }

    /// The targets of a page's links on the same host.
    fn links(page: &str) -> Vec<String> {
        let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        links
            .filter(|link| link.starts_with('/'))
            .map(|link| link.strip_prefix("/api").unwrap_or(link))
            .map(|link| link.split('#').next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn every_link_leads_to_a_page_and_every_anchor_is_there() {
        let server = TestServer::new();
        for host in ["localhost", "acme.localhost"] {
            let anybody = server.anonymous().at(host);
            let index = anybody.get("/docs");
            let pages = links(&index.text);
            assert!(
                pages.contains(&"/docs/central/tokens".into()) && pages.contains(&"/docs/workspace/customers".into())
            );
            for path in pages {
                let page = anybody.get(&path);
                assert_eq!(page.status, 200, "{path}");
                for anchor in page.text.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
                    assert!(page.text.contains(&format!("id=\"{anchor}\"")), "{path} has no #{anchor}");
                }
            }
        }
        assert_eq!(server.anonymous().get("/docs/central/nothing").status, 404);
    }

    #[test]
    fn a_body_is_shown_also_of_an_import() {
        let server = TestServer::new();
        let page = server.anonymous().at("acme.localhost").get("/docs/workspace/contacts").text;
        let shown = |id: &str| {
            let (_, operation) = page.split_once(&format!("<section class=\"operation\" id=\"{id}\"")).unwrap();
            operation.split_once("</section>").unwrap().0
        };
        assert!(shown("importContacts").contains("Body: a list"), "{}", shown("importContacts"));
        assert!(shown("importContacts").contains("<code>last_name</code>"));
        assert!(shown("updateContact").contains("<code>If-Match</code>"));
        assert!(shown("listContacts").contains("<a href=\"#ContactCursorPage\">"), "{}", shown("listContacts"));
        assert!(shown("createContact").contains("$CX/contacts"));
    }

    #[test]
    fn a_search_finds_operations_by_path_sentence_and_field() {
        let server = TestServer::new();
        let found = |asked: &str| server.anonymous().get(&format!("/docs?q={asked}")).text;
        assert!(found("phone-calls").contains("/docs/workspace/phone-calls#listPhoneCalls"));
        assert!(found("IMPORT+customers").contains("#importCustomers"));
        assert!(found("tax_registration_number").contains("#createCustomer"));
        assert!(found("zzz").contains("Nothing found"));
        let page = found("%3Cscript%3E");
        assert!(page.contains("&#60;script&#62;") && !page.contains("<script>"), "{page}");
    }
}

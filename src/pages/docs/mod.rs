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
use super::words::Words;
use crate::api::{
    Answer, Call, Document, Html, Input, Json200, Kept, Layer, Needs, Operation, Reply, Result, Route, Steps, get,
    openapi, pairs, rendered, steps,
};
use crate::values::{Language, PublicUrl};
use reference::Section;
use search::Found;

pub const OPENAPI: &[Route] =
    &[get("/openapi.json", &steps(description), Needs::Anyone, "Get this description as OpenAPI 3.1")
        .named("getOpenApi")];

pub const PAGES: &[Route] = &[
    get("/docs", &steps(index), Needs::Anyone, "Read or search the API reference"),
    get("/docs/{layer}/{resource}", &steps(resource), Needs::Anyone, "Read the reference of one resource"),
];

/// All documents. They are built once and stay the same until the public URL changes.
struct Library {
    url: PublicUrl,
    descriptions: [Arc<Document>; 2],
    sections: Vec<Section>,
    index: Arc<Document>,
    /// Pages by path: `/docs/workspace/customers`.
    pages: HashMap<String, Arc<Document>>,
}

#[derive(Template)]
#[template(path = "docs_index.html")]
struct IndexPage<'a> {
    version: &'static str,
    asked: &'a str,
    found: Option<Vec<Found<'a>>>,
    sections: &'a [Section],
}

#[derive(Template)]
#[template(path = "docs_resource.html")]
struct ResourcePage<'a> {
    version: &'static str,
    sections: &'a [Section],
    section: &'a Section,
    resource: &'a reference::Resource,
}

/// The search text, or empty.
struct Asked(String);

impl Input for Asked {
    fn read(call: &Call) -> Result<Self> {
        let asked = pairs(&call.query).find(|(name, _)| name == "q").map(|(_, text)| text.trim().to_owned());
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
struct Place {
    path: String,
}

impl Input for Place {
    fn read(call: &Call) -> Result<Self> {
        Ok(Self { path: format!("/docs/{}", call.path_values.join("/")) })
    }

    fn describe(operation: &mut Operation<'_>) {
        let text = || serde_json::json!({"type": "string"});
        operation.path_value(0, "`central` or `workspace`.", text());
        operation.path_value(1, "The resource, as the index links to it.", text());
    }
}

fn description(steps: &Steps<'_>) -> Result<Kept<Json200>> {
    let library = library(steps.call)?;
    Ok(Kept::new(Arc::clone(&library.descriptions[usize::from(steps.call.layer == Layer::Workspace)])))
}

fn index(steps: &Steps<'_>, Asked(asked): Asked) -> Result<DocsPage> {
    let library = library(steps.call)?;
    if asked.is_empty() {
        return Ok(DocsPage::Kept(Kept::new(Arc::clone(&library.index))));
    }
    let found = Some(search::search(&library.sections, &asked));
    page(&IndexPage { version: VERSION, asked: &asked, found, sections: &library.sections }).map(DocsPage::Made)
}

fn resource(steps: &Steps<'_>, place: Place) -> Result<DocsPage> {
    let library = library(steps.call)?;
    if let Some(page) = library.pages.get(&place.path) {
        return Ok(DocsPage::Kept(Kept::new(Arc::clone(page))));
    }
    let words = Words::of(steps.call);
    let missing = Message::about(words, "No such page", "The reference has no page here. Its index is at /docs.");
    missing.page(StatusCode::NOT_FOUND).map(DocsPage::Made)
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn page(template: &impl Template) -> Result<Html> {
    rendered(template).map(|text| Html::ok(Language::English, text))
}

fn library(call: &Call) -> Result<Arc<Library>> {
    static KEPT: Mutex<Option<Arc<Library>>> = Mutex::new(None);
    let url = call.engine.public_url();
    let mut kept = KEPT.lock();
    match &*kept {
        Some(library) if library.url == url => Ok(Arc::clone(library)),
        _ => {
            let library = Arc::new(Library::make(call, url)?);
            *kept = Some(Arc::clone(&library));
            Ok(library)
        }
    }
}

impl Library {
    fn make(call: &Call, url: PublicUrl) -> Result<Self> {
        let described = [Layer::Central, Layer::Workspace].map(|layer| openapi::document(&call.router, layer, &url));
        let sections: Vec<Section> = described
            .iter()
            .zip([Layer::Central, Layer::Workspace])
            .map(|(document, layer)| Section::of(document, layer))
            .collect();
        let index = IndexPage { version: VERSION, asked: "", found: None, sections: &sections };
        let index = Arc::new(Document::of(page(&index)?.into_response(call)?)?);
        let mut pages = HashMap::new();
        for section in &sections {
            for resource in &section.resources {
                let page = page(&ResourcePage { version: VERSION, sections: &sections, section, resource })?;
                pages.insert(resource.path.clone(), Arc::new(Document::of(page.into_response(call)?)?));
            }
        }
        let [central, workspace] =
            described.map(|document: Value| Document::of(Json200(document).into_response(call)?));
        Ok(Self { url, descriptions: [Arc::new(central?), Arc::new(workspace?)], sections, index, pages })
    }
}

/// A page of the reference: a stored one, or one built for this request.
enum DocsPage {
    Kept(Kept<Html>),
    Made(Html),
}

impl Reply for DocsPage {
    fn into_response(self, call: &Call) -> Result<Answer> {
        match self {
            Self::Kept(page) => page.into_response(call),
            Self::Made(page) => page.into_response(call),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.page();
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use crate::testing::Bench;

    #[test]
    fn the_reference_is_sent_packed_and_not_again_to_whoever_has_it() {
        let bench = Bench::new();
        for (host, path) in [
            ("localhost", "/docs/central/tokens"),
            ("acme.localhost", "/docs/workspace/customers"),
            ("acme.localhost", "/openapi.json"),
        ] {
            let anybody = bench.nobody().at(host);
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
        let bench = Bench::new();
        for host in ["localhost", "acme.localhost"] {
            let anybody = bench.nobody().at(host);
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
        assert_eq!(bench.nobody().get("/docs/central/nothing").status, 404);
    }

    #[test]
    fn a_body_is_shown_also_of_an_import() {
        let bench = Bench::new();
        let page = bench.nobody().at("acme.localhost").get("/docs/workspace/contacts").text;
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
        let bench = Bench::new();
        let found = |asked: &str| bench.nobody().get(&format!("/docs?q={asked}")).text;
        assert!(found("phone-calls").contains("/docs/workspace/phone-calls#listPhoneCalls"));
        assert!(found("IMPORT+customers").contains("#importCustomers"));
        assert!(found("tax_registration_number").contains("#createCustomer"));
        assert!(found("zzz").contains("Nothing found"));
        let page = found("%3Cscript%3E");
        assert!(page.contains("&#60;script&#62;") && !page.contains("<script>"), "{page}");
    }
}

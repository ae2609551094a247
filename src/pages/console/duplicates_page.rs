//! Pairs of contacts, or of customers, that may be the same: each is compared and merged, or dismissed.

use askama::Template;
use http::StatusCode;
use serde_json::{Value, json};

use super::catalog::Collection;
use super::console_page::ConsolePage;
use super::display::{at, plain};
use super::form_page;
use super::links::record_page;
use super::page::{Frame, PageCtx};
use super::query;
use super::texts::choice_label;
use crate::api::{ApiResponse, Error, InnerRequest, Needs, Result, Route, form_pairs, get, post};
use crate::executors::Executor;
use crate::pages::translations::Translations;

pub const ROUTES: &[Route] = &[
    get(
        "/ui/contacts/duplicates",
        &DuplicatesPage { of: &CONTACTS, sends: false },
        Needs::Scoped("contact.update"),
        "Show contacts that may be the same as a page",
    ),
    post(
        "/ui/contacts/duplicates",
        &DuplicatesPage { of: &CONTACTS, sends: true },
        Needs::Scoped("contact.update"),
        "Dismiss or restore a pair of contacts from a page",
    ),
    get(
        "/ui/customers/duplicates",
        &DuplicatesPage { of: &CUSTOMERS, sends: false },
        Needs::Scoped("customer.update"),
        "Show customers that may be the same as a page",
    ),
    post(
        "/ui/customers/duplicates",
        &DuplicatesPage { of: &CUSTOMERS, sends: true },
        Needs::Scoped("customer.update"),
        "Dismiss or restore a pair of customers from a page",
    ),
];

/// The routes of the API about the duplicates of a resource.
struct Routes {
    path: &'static str,
    list: &'static str,
    dismiss: &'static str,
    restore: &'static str,
}

const CONTACTS: Routes = Routes {
    path: "/contacts",
    list: "/contacts/duplicates",
    dismiss: "/contacts/duplicates/dismiss",
    restore: "/contacts/duplicates/restore",
};

const CUSTOMERS: Routes = Routes {
    path: "/customers",
    list: "/customers/duplicates",
    dismiss: "/customers/duplicates/dismiss",
    restore: "/customers/duplicates/restore",
};

/// Requests after which the page shows what it has found so far. Each reads a limited part of the records.
const MOST_REQUESTS: usize = 50;

/// Pairs on a page, and candidates for one record.
const PAIRS: usize = 20;
const CANDIDATES: &str = "10";

/// Values of a record in its second line.
const MOST_VALUES: usize = 4;

/// The pairs, or the form that dismisses or restores one.
struct DuplicatesPage {
    of: &'static Routes,
    sends: bool,
}

#[derive(Template)]
#[template(path = "console/duplicates.html")]
struct PairsPage<'a> {
    frame: &'a Frame,
    words: Translations,
    title: String,
    list: String,
    list_label: String,
    action: String,
    /// The address of this page, to which the form leads back.
    back: String,
    /// Label, address, and whether it is the current one.
    shown: Vec<(String, String, bool)>,
    is_dismissed: bool,
    pairs: Vec<PairLine>,
    next: Option<String>,
}

/// A pair of records that may be the same.
pub struct PairLine {
    pub a: RecordLine,
    pub b: RecordLine,
    pub reasons: Vec<String>,
    /// How many records have it in common, if they are more than two.
    pub shared_by: Option<String>,
}

/// A record in a pair.
pub struct RecordLine {
    pub id: String,
    pub name: String,
    pub href: String,
    pub values: Vec<String>,
}

impl RecordLine {
    fn of(collection: &Collection, record: &Value) -> Self {
        let id = plain(&record["id"]);
        let title = collection.title_fields();
        let columns = collection.columns().into_iter().filter(|field| !title.contains(&field.name.as_str()));
        let texts = columns.filter_map(|field| at(record, &field.name).as_str());
        let values = texts.filter(|text| !text.is_empty()).take(MOST_VALUES).map(str::to_owned).collect();
        Self { name: collection.title(record), href: record_page(collection, None, &[], &id), values, id }
    }
}

impl PairLine {
    pub fn records(&self) -> [&RecordLine; 2] {
        [&self.a, &self.b]
    }

    /// The page that compares them. It keeps the first one.
    pub fn compare(&self) -> String {
        format!("{}/merge?{}", self.a.href, query(&[("with", &self.b.id)]))
    }

    fn of(words: Translations, collection: &Collection, pair: &Value) -> Self {
        let (a, b) = (RecordLine::of(collection, &pair["a"]), RecordLine::of(collection, &pair["b"]));
        let reasons = pair["reasons"].as_array().into_iter().flatten();
        let shared = pair["shared_by"].as_i64().filter(|shared| *shared > 2);
        Self {
            a,
            b,
            reasons: reasons.map(|reason| choice_label(words, "reasons", &plain(reason))).collect(),
            shared_by: shared.map(|shared| words.shared_by(&shared.to_string())),
        }
    }

    /// The pairs of one record, which is kept.
    pub fn of_record(page: &PageCtx<'_>, collection: &'static Collection, record: &Value) -> Result<Vec<Self>> {
        let routes = if collection.path == CONTACTS.path { &CONTACTS } else { &CUSTOMERS };
        let id = plain(&record["id"]);
        let asked = query(&[("of", id.as_str()), ("limit", CANDIDATES)]);
        let found = page.send(InnerRequest::get(routes.list).with_query(asked))?.body;
        let pairs = found["pairs"].as_array().into_iter().flatten();
        Ok(pairs
            .map(|pair| {
                let line = Self::of(page.words(), collection, pair);
                let (a, b) = if line.a.id == id { (line.a, line.b) } else { (line.b, line.a) };
                Self { a, b, ..line }
            })
            .collect())
    }
}

impl DuplicatesPage {
    fn show(&self, page: &PageCtx<'_>) -> Result<ApiResponse> {
        let collection = page.collection(self.of.path)?;
        let is_dismissed = page.query("dismissed").as_deref() == Some("1");
        let mut cursor = page.query("cursor").unwrap_or_default();
        let own = format!("{}/duplicates", collection.page);
        let address = |cursor: &str| {
            let mut given = Vec::new();
            if is_dismissed {
                given.push(("dismissed", "1"));
            }
            if !cursor.is_empty() {
                given.push(("cursor", cursor));
            }
            if given.is_empty() { own.clone() } else { format!("{own}?{}", query(&given)) }
        };
        let back = address(&cursor);
        let (mut pairs, mut next) = (Vec::new(), None);
        for _ in 0..MOST_REQUESTS {
            let limit = (PAIRS - pairs.len()).to_string();
            let dismissed = if is_dismissed { "1" } else { "0" };
            let asked = query(&[("limit", limit.as_str()), ("cursor", &cursor), ("dismissed", dismissed)]);
            let found = page.send(InnerRequest::get(self.of.list).with_query(asked))?.body;
            let lines = found["pairs"].as_array().into_iter().flatten();
            pairs.extend(lines.map(|pair| PairLine::of(page.words(), collection, pair)));
            next = found["next_cursor"].as_str().map(str::to_owned);
            match &next {
                Some(next) if pairs.len() < PAIRS => next.clone_into(&mut cursor),
                _ => break,
            }
        }
        let frame = Frame::of(page)?;
        let words = frame.words;
        let rendered = PairsPage {
            words,
            title: words.duplicates(),
            list: collection.page.to_owned(),
            list_label: collection.plural(words),
            action: own.clone(),
            back,
            shown: vec![
                (words.possible_duplicates(), own.clone(), !is_dismissed),
                (words.not_the_same(), format!("{own}?dismissed=1"), is_dismissed),
            ],
            is_dismissed,
            pairs,
            next: next.map(|next| address(&next)),
            frame: &frame,
        };
        frame.respond(page, StatusCode::OK, &rendered)
    }

    /// Dismisses or restores a pair.
    fn send(&self, page: &PageCtx<'_>) -> Result<ApiResponse> {
        let sent = form_pairs(page.request)?;
        let text = |name: &str| sent.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let id = |name: &str| text(name).and_then(|id| id.parse::<i64>().ok()).unwrap_or_default();
        let (route, done) = match text("restore") {
            Some(_) => (self.of.restore, "restored"),
            None => (self.of.dismiss, "dismissed"),
        };
        let own = format!("/ui{}", self.of.list);
        let back = text("back").filter(|back| back.starts_with(&own)).unwrap_or(&own).to_owned();
        match page.send(InnerRequest::post(route, json!({"a": id("a"), "b": id("b")}))) {
            Ok(_) => form_page::redirect(page, &back, done),
            // A record is gone meanwhile, and the pair with it.
            Err(Error::Invalid(_)) => form_page::redirect(page, &back, "unchanged"),
            Err(error) => Err(error),
        }
    }
}

impl ConsolePage for DuplicatesPage {
    /// Each request of the list has its own turn, so that others can work in between.
    fn executor(&self) -> Executor {
        Executor::Blocking
    }

    fn is_sent(&self) -> bool {
        self.sends
    }

    fn respond(&self, page: &PageCtx<'_>) -> Result<ApiResponse> {
        if self.sends { self.send(page) } else { self.show(page) }
    }

    fn secret_fields(&self) -> Option<Vec<String>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::{TestBrowser, TestServer};

    #[test]
    fn pairs_are_compared_dismissed_and_restored() {
        let server = TestServer::new();
        let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
        browser.go("http://acme.localhost/ui/enter").go("/ui/contacts/duplicates");
        assert!(browser.page.text.contains("None found."), "{browser:?}");
        for body in [
            json!({"last_name": "Martin", "fax": "0142000000", "company": "Acme"}),
            json!({"last_name": "Zola", "fax": "+33 1 42 00 00 00"}),
        ] {
            server.admin().post("/contacts", body).created();
        }
        browser.go("/ui/contacts/duplicates");
        for said in ["Martin", "Zola", "Acme", "Number", "/ui/contacts/1/merge?with=2"] {
            assert!(browser.page.text.contains(said), "{said}: {browser:?}");
        }
        browser.submit("/ui/contacts/duplicates", &[]);
        assert_eq!(browser.url, "http://acme.localhost/ui/contacts/duplicates?done=dismissed", "{browser:?}");
        assert!(browser.page.text.contains("None found.") && !browser.page.text.contains("Zola"), "{browser:?}");
        browser.go("/ui/contacts/duplicates?dismissed=1");
        browser.submit("/ui/contacts/duplicates", &[("restore", "1")]);
        assert!(browser.page.text.contains("The pair is restored."), "{browser:?}");
        browser.go("/ui/contacts/duplicates");
        // The pair is gone before it is dismissed.
        server.admin().delete("/contacts/2").ok();
        browser.submit("/ui/contacts/duplicates", &[]);
        assert!(browser.page.status == 200 && browser.page.text.contains("Nothing was changed."), "{browser:?}");

        let mut browser = browser.in_french();
        browser.go("/ui/customers/duplicates");
        assert!(browser.page.text.contains("Aucun doublon."), "{browser:?}");
    }
}

//! The merge of two contacts, or of two customers: first the choice of the other record, then the two records side by side
//! with one choice for each field in which they differ.

use std::collections::HashMap;

use askama::Template;
use http::{StatusCode, header};
use serde_json::{Map, Value, json};

use super::affected_records::{self, AffectedRecords};
use super::catalog::{Action, Collection};
use super::conflict_page::text_of;
use super::console_page::ConsolePage;
use super::detail_page;
use super::display::plain;
use super::duplicates_page::PairLine;
use super::form::{self, FormInput, FormState, InputKind, input_kind, linked_id, typed_of, value_in};
use super::form_page::{self, IDEMPOTENCY_KEY, is_of_form, names, problems_of, sent_form};
use super::page::{Frame, PageCtx};
use super::query;
use super::resource_page::Place;
use super::schema::FieldSpec;
use super::texts::choice_label;
use crate::api::resource_view::Widget;
use crate::api::{ApiResponse, Error, InnerRequest, InnerResponse, Needs, Result, Route, form_pairs, get, post};
use crate::auth::secret;
use crate::executors::Executor;
use crate::pages::interrupted_form;
use crate::pages::translations::Translations;

pub const ROUTES: &[Route] = &[
    get(
        "/ui/contacts/{id}/merge",
        &MergePage { path: "/contacts", sends: false },
        Needs::Scoped("contact.delete"),
        "Show two contacts and the choices of a merge as a page",
    ),
    post(
        "/ui/contacts/{id}/merge",
        &MergePage { path: "/contacts", sends: true },
        Needs::Scoped("contact.delete"),
        "Merge two contacts from a form",
    ),
    get(
        "/ui/customers/{id}/merge",
        &MergePage { path: "/customers", sends: false },
        Needs::Permission("customer.update"),
        "Show two customers and the choices of a merge as a page",
    ),
    post(
        "/ui/customers/{id}/merge",
        &MergePage { path: "/customers", sends: true },
        Needs::Permission("customer.update"),
        "Merge two customers from a form",
    ),
];

/// Begins the name of an input with the choice of a field. The name of the field follows.
const CHOICE: &str = "choice:";

/// The option that moves credentials.
const MOVE_KEYS: &str = "move_keys";

/// The page of a merge, or its form when it is sent.
struct MergePage {
    /// The path of the list in the API.
    path: &'static str,
    sends: bool,
}

/// The choice of the other record.
#[derive(Template)]
#[template(path = "console/merge_pick.html")]
struct PickPage<'a> {
    frame: &'a Frame,
    words: Translations,
    title: String,
    about: String,
    record: String,
    name: String,
    input: FormInput,
    problems: Vec<String>,
    candidates: Vec<PairLine>,
}

#[derive(Template)]
#[template(path = "console/merge.html")]
struct ComparePage<'a> {
    frame: &'a Frame,
    words: Translations,
    title: String,
    kept: Side,
    other: Side,
    action: String,
    /// The same page, with the other record as the one that is kept.
    swap: String,
    hidden: Vec<(&'static str, String)>,
    problems: Vec<(Option<String>, String)>,
    choices: Vec<Choice>,
    /// Label and value of the fields that are equal.
    equal: Vec<(String, String)>,
    affected: Vec<AffectedRecords>,
    /// The label of the box that moves credentials, and whether it is ticked.
    move_keys: Option<(String, bool)>,
}

/// One of the two records.
struct Side {
    /// What becomes of it.
    label: String,
    name: String,
    href: String,
}

/// A field in which the records differ.
struct Choice {
    id: String,
    /// The name of the input.
    name: String,
    label: String,
    problem: Option<String>,
    options: Vec<ChoiceOption>,
}

struct ChoiceOption {
    value: &'static str,
    label: String,
    /// The field's value. `None` if the option needs none.
    text: Option<String>,
    is_chosen: bool,
}

/// What the person chose.
#[derive(Default)]
struct Chosen {
    fields: HashMap<String, String>,
    once: String,
    /// The tag of the kept record as the person saw it.
    state: Option<String>,
    move_keys: bool,
}

/// The record that is kept, and how its resource is merged.
struct Merge<'p> {
    page: &'p PageCtx<'p>,
    collection: &'static Collection,
    action: &'static Action,
    place: Place,
}

impl<'p> Merge<'p> {
    fn of(page: &'p PageCtx<'p>, path: &'static str) -> Result<Self> {
        let collection = page.collection(path)?;
        let action = collection.actions.iter().find(|action| action.is_of_record && action.verb == "merge");
        let action = action.ok_or_else(Error::not_found)?;
        Ok(Self { page, collection, action, place: Place::of(collection, page.request) })
    }

    fn address(&self, of: &Place) -> String {
        format!("{}/merge", of.page(self.collection))
    }

    /// The field of the request that names the other record.
    fn with_field(&self) -> Result<FieldSpec> {
        let field = self.action.fields.iter().find(|field| field.name == "with").ok_or_else(Error::not_found)?;
        Ok(FieldSpec { widget: Some(Widget::Link(self.collection.path)), is_required: true, ..field.clone() })
    }

    /// The page for the record that the address names, or the choice of that record.
    fn show(&self) -> Result<ApiResponse> {
        let text = self.page.query("with").unwrap_or_default();
        if text.trim().is_empty() {
            return self.pick("", None);
        }
        let id = match linked_id(self.page, &self.with_field()?, &json!({}), text.trim(), None)? {
            Ok(id) => plain(&id),
            Err(problem) => return self.pick(&text, Some(problem)),
        };
        if Some(&id) == self.place.id.as_ref() {
            return self.pick(&text, Some(self.page.words().same_record()));
        }
        match detail_page::read(self.page, self.collection, &self.other(&id)) {
            Ok(other) => {
                let kept = detail_page::read(self.page, self.collection, &self.place)?;
                let chosen =
                    Chosen { once: secret::random()?, state: kept.etag.clone(), move_keys: true, ..Chosen::default() };
                self.compare(&kept, &other, &chosen, Vec::new(), StatusCode::OK)
            }
            Err(error) if error.status().is_client_error() => {
                self.pick(&text, Some(self.page.words().no_such_record(&text)))
            }
            Err(error) => Err(error),
        }
    }

    fn other(&self, id: &str) -> Place {
        Place { id: Some(id.to_owned()), ..self.place.clone() }
    }

    /// Asks for the other record. Possible duplicates are one click away.
    fn pick(&self, typed: &str, problem: Option<String>) -> Result<ApiResponse> {
        let page = self.page;
        let record = detail_page::read(page, self.collection, &self.place)?.body;
        let frame = Frame::of(page)?;
        let words = frame.words;
        let typed = HashMap::from([("with".to_owned(), form::Typed::One(typed.to_owned()))]);
        let mut state = FormState::opened(typed, json!({}), None)?;
        state.problems.extend(problem.clone().map(|problem| (Some("with".to_owned()), problem)));
        let mut input = form::inputs(page, &[self.with_field()?], &state)?.pop().ok_or_else(Error::not_found)?;
        input.label = words.other_record();
        let name = self.collection.title(&record);
        let rendered = PickPage {
            words,
            title: words.merge_record(&name),
            about: words.label(self.action.about),
            record: self.place.page(self.collection),
            name,
            input,
            candidates: PairLine::of_record(page, self.collection, &record)?,
            problems: problem.clone().into_iter().collect(),
            frame: &frame,
        };
        let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        frame.respond(page, status, &rendered)
    }

    /// The two records, with one choice for each field in which they differ.
    fn compare(
        &self,
        kept: &InnerResponse,
        other: &InnerResponse,
        chosen: &Chosen,
        problems: Vec<form::Problem>,
        status: StatusCode,
    ) -> Result<ApiResponse> {
        let (page, collection) = (self.page, self.collection);
        let frame = Frame::of(page)?;
        let words = frame.words;
        let zone = page.zone()?;
        let other_place = self.other(&plain(&other.body["id"]));
        let names = [
            names(page, &collection.change, &kept.body, &self.place)?,
            names(page, &collection.change, &other.body, &other_place)?,
        ];
        let (mut choices, mut equal) = (Vec::new(), Vec::new());
        for field in &collection.change {
            let [kept_text, other_text] =
                [(&kept.body, &names[0]), (&other.body, &names[1])].map(|(record, names)| match input_kind(field) {
                    InputKind::Check if value_in(record, &field.name) == true => words.yes(),
                    InputKind::Check => words.no(),
                    _ => text_of(&typed_of(field, record, &zone, names)),
                });
            if kept_text == other_text {
                if !kept_text.is_empty() {
                    equal.push((words.label(field.label), kept_text));
                }
                continue;
            }
            let first = match chosen.fields.get(&field.name).map(String::as_str) {
                Some(chosen) => chosen,
                None if is_united(field) => "both",
                None if kept_text.is_empty() => "other",
                None => "kept",
            };
            let option = |value: &'static str, text: Option<String>| ChoiceOption {
                value,
                label: choice_label(words, "fields", value),
                text,
                is_chosen: value == first,
            };
            let mut options = vec![option("kept", Some(kept_text)), option("other", Some(other_text))];
            if is_united(field) {
                options.push(option("both", None));
            }
            let problem = problems.iter().find(|(name, _)| name.as_ref() == Some(&field.name));
            choices.push(Choice {
                id: format!("i-{}", field.name.replace('_', "-")),
                name: format!("{CHOICE}{}", field.name),
                label: words.label(field.label),
                problem: problem.map(|(_, sentence)| sentence.clone()),
                options,
            });
        }
        let side = |choice: &str, record: &Value, place: &Place| Side {
            label: choice_label(words, "fields", choice),
            name: format!("{} #{}", collection.title(record), plain(&record["id"])),
            href: place.page(collection),
        };
        let at = |name: Option<String>| {
            let wanted = format!("{CHOICE}{}", name?);
            choices.iter().find(|choice| choice.name == wanted).map(|choice| choice.id.clone())
        };
        let keys = self.action.fields.iter().find(|field| field.name == MOVE_KEYS);
        let rendered = ComparePage {
            words,
            title: words.merge_record(&collection.title(&kept.body)),
            kept: side("kept", &kept.body, &self.place),
            other: side("other", &other.body, &other_place),
            action: self.address(&self.place),
            swap: format!(
                "{}?{}",
                self.address(&other_place),
                query(&[("with", self.place.id.as_deref().unwrap_or_default())])
            ),
            hidden: vec![
                ("once", chosen.once.clone()),
                ("state", chosen.state.clone().unwrap_or_default()),
                ("with", plain(&other.body["id"])),
            ],
            problems: problems.into_iter().map(|(name, sentence)| (at(name), sentence)).collect(),
            affected: affected_records::count(page, collection, &other_place, self.action.affected)?,
            move_keys: keys.map(|field| (words.label(field.label), chosen.move_keys)),
            equal,
            choices,
            frame: &frame,
        };
        frame.respond(page, status, &rendered)
    }

    /// Merges, or shows the choices again.
    fn send(&self) -> Result<ApiResponse> {
        let page = self.page;
        let sent = form_pairs(page.request)?;
        let text = |name: &str| sent.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let with = text("with").unwrap_or_default();
        let choices =
            sent.iter().filter_map(|(name, value)| Some((name.strip_prefix(CHOICE)?.to_owned(), value.clone())));
        let mut chosen = Chosen {
            fields: choices.collect(),
            once: text("once").unwrap_or_default(),
            state: sent_form(page, &[])?.state,
            move_keys: text(MOVE_KEYS).is_some(),
        };
        if interrupted_form::is_shown_again(page.request)? {
            return self.again(&with, &chosen, Vec::new(), StatusCode::OK);
        }
        let fields: Map<String, Value> = chosen.fields.iter().map(|(name, side)| (name.clone(), json!(side))).collect();
        let with_id = with.parse::<i64>().map_or_else(|_| json!(with), |id| json!(id));
        let mut inner = self
            .place
            .address(InnerRequest::to(self.action.route))
            .with_body(json!({"with": with_id, "fields": fields}))
            .with_header(IDEMPOTENCY_KEY, &chosen.once);
        if chosen.move_keys {
            inner = inner.with_query(query(&[(MOVE_KEYS, "1")]));
        }
        if let Some(state) = &chosen.state {
            inner = inner.with_header(header::IF_MATCH, state);
        }
        match page.send(inner) {
            Ok(_) => form_page::redirect(page, &self.place.page(self.collection), "records_merged"),
            Err(Error::PreconditionFailed) => {
                // The choices stay, next to the present values.
                chosen.state = detail_page::read(page, self.collection, &self.place)?.etag;
                let problem = (None, page.words().changed_before_merge());
                self.again(&with, &chosen, vec![problem], StatusCode::PRECONDITION_FAILED)
            }
            Err(error) if is_of_form(&error) => {
                let problems = problems_of(page, self.collection, &error);
                self.again(&with, &chosen, problems, StatusCode::UNPROCESSABLE_ENTITY)
            }
            Err(error) => Err(error),
        }
    }

    fn again(
        &self,
        with: &str,
        chosen: &Chosen,
        problems: Vec<form::Problem>,
        status: StatusCode,
    ) -> Result<ApiResponse> {
        let kept = detail_page::read(self.page, self.collection, &self.place)?;
        match detail_page::read(self.page, self.collection, &self.other(with)) {
            Ok(other) if other.body["id"] != kept.body["id"] => self.compare(&kept, &other, chosen, problems, status),
            Err(error) if !error.status().is_client_error() => Err(error),
            _ => self.pick(with, Some(self.page.words().no_such_record(with))),
        }
    }
}

/// Whether the API keeps both values of a field.
fn is_united(field: &FieldSpec) -> bool {
    matches!(input_kind(field), InputKind::Tel | InputKind::Lines | InputKind::Pairs)
}

impl ConsolePage for MergePage {
    fn executor(&self) -> Executor {
        if self.sends { Executor::Blocking } else { Executor::Transaction }
    }

    fn is_sent(&self) -> bool {
        self.sends
    }

    fn respond(&self, page: &PageCtx<'_>) -> Result<ApiResponse> {
        let merge = Merge::of(page, self.path)?;
        if self.sends { merge.send() } else { merge.show() }
    }

    fn secret_fields(&self) -> Option<Vec<String>> {
        self.sends.then(Vec::new)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::routing_endpoints::CreatedRows;
    use crate::tests::{RoutingClient, TestBrowser, TestServer};

    const PAGE: &str = "/ui/contacts/1/merge";

    fn owner(server: &TestServer) -> TestBrowser<'_> {
        let mut browser = TestBrowser::signed_in(server, "owner@example.com");
        browser.go("http://acme.localhost/ui/enter");
        browser
    }

    /// Two contacts that differ in many fields, and a call of the second one.
    fn contacts(server: &TestServer) {
        let admin = server.admin();
        for body in [
            json!({"last_name": "Martin", "company": "Acme", "fax": "0142000000", "comment": "One."}),
            json!({"last_name": "Martin", "company": "Bcme", "fax": "0143000000", "comment": "Two.", "email": "zoe@example.com"}),
        ] {
            admin.post("/contacts", body).created();
        }
        admin.post("/phone-calls", json!({"direction": "inbound", "contact_id": 2})).created();
    }

    #[test]
    fn two_contacts_are_compared_and_merged_with_one_choice_a_field() {
        let server = TestServer::new();
        contacts(&server);
        let mut browser = owner(&server);
        browser.go("/ui/contacts/1").go(&format!("{PAGE}?with=2"));
        for said in
            ["Merge Martin", "Acme", "Bcme", "Same in both", "calls move: <b>1</b>", "/ui/contacts/2/merge?with=1"]
        {
            assert!(browser.page.text.contains(said), "{said}: {browser:?}");
        }
        browser.submit(PAGE, &[("choice:company", "other"), ("choice:comment", "both"), ("choice:fax", "other")]);
        assert_eq!(browser.url, "http://acme.localhost/ui/contacts/1?done=records_merged", "{browser:?}");
        let merged = server.admin().get("/contacts/1").ok();
        for (field, value) in
            [("company", "Bcme"), ("comment", "One.\n\nTwo."), ("fax", "0143000000"), ("email", "zoe@example.com")]
        {
            assert_eq!(merged[field], value, "{field}");
        }
        server.admin().get("/contacts/2").rejected(404, "not_found");
        assert_eq!(server.admin().get("/phone-calls?filter[contact_id]=1").ok()["total"], 1);
    }

    #[test]
    fn a_rejected_merge_shows_the_page_again_with_the_choices() {
        let server = TestServer::new();
        contacts(&server);
        let mut browser = owner(&server);
        browser.go(&format!("{PAGE}?with=2"));
        // Somebody changes the kept contact meanwhile.
        server.admin().put("/contacts/1", json!({"role": "CEO"})).created();
        browser.submit(PAGE, &[("choice:company", "other"), ("choice:email", "kept")]);
        assert_eq!(browser.page.status, 412, "{browser:?}");
        assert!(browser.page.text.contains("Somebody changed the kept record meanwhile."), "{browser:?}");
        let chosen = |browser: &TestBrowser<'_>| {
            let fields = browser.fields(PAGE);
            let of = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
            (of("choice:company"), of("choice:email"), of("choice:role"))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(chosen(&browser), (some("other"), some("kept"), some("kept")));
        // The other one goes meanwhile.
        server.admin().delete("/contacts/2").ok();
        browser.submit(PAGE, &[]);
        assert_eq!(browser.page.status, 422, "{browser:?}");
        assert!(browser.page.text.contains("Nothing matches"), "{browser:?}");
        assert_eq!(server.admin().get("/contacts/1").ok()["company"], "Acme");
    }

    #[test]
    fn a_number_without_a_free_field_is_named_at_its_field() {
        let server = TestServer::new();
        let numbers = |first: u32| {
            let mut body = json!({"last_name": "Martin"});
            for (place, field) in
                ["phone_business_1", "phone_business_2", "phone_mobile_1", "phone_mobile_2", "phone_home_1"]
                    .iter()
                    .enumerate()
            {
                body[field] = json!(format!("01 42 00 00 {first}{place}"));
            }
            body
        };
        for first in [1, 2] {
            server.admin().post("/contacts", numbers(first)).created();
        }
        let mut browser = owner(&server).in_french();
        browser.go(&format!("{PAGE}?with=2")).submit(PAGE, &[("choice:phone_home_1", "other")]);
        assert_eq!(browser.page.status, 422, "{browser:?}");
        for said in
            ["Aucun champ n’est libre", "01 42 00 00 20", "href=\"#i-phone-mobile-1\"", "id=\"i-phone-mobile-1-error\""]
        {
            assert!(browser.page.text.contains(said), "{said}: {browser:?}");
        }
        let kept: Vec<(&str, &str)> = ["phone_business_1", "phone_business_2", "phone_mobile_1", "phone_mobile_2"]
            .iter()
            .zip([
                "choice:phone_business_1",
                "choice:phone_business_2",
                "choice:phone_mobile_1",
                "choice:phone_mobile_2",
            ])
            .map(|(_, name)| (name, "kept"))
            .collect();
        browser.submit(PAGE, &kept);
        assert_eq!(server.admin().get("/contacts/1").ok()["phone_home_1"], "01 42 00 00 24", "{browser:?}");
    }

    #[test]
    fn the_other_record_is_chosen_by_words_or_among_the_possible_duplicates() {
        let server = TestServer::new();
        contacts(&server);
        server.admin().post("/contacts", json!({"last_name": "Zola", "fax": "+33142000000"})).created();
        let mut browser = owner(&server);
        browser.go(PAGE);
        let candidate = "href=\"/ui/contacts/1/merge?with=3\">Zola</a>";
        assert!(browser.page.status == 200 && browser.page.text.contains(candidate), "{browser:?}");
        for (with, said) in [
            ("1", "Choose another record than this one."),
            ("99", "Nothing matches “99”."),
            ("Nobody", "Nothing matches “Nobody”."),
        ] {
            browser.go(&format!("{PAGE}?with={with}"));
            assert!(browser.page.status == 422 && browser.page.text.contains(said), "{said}: {browser:?}");
        }
        browser.go(&format!("{PAGE}?with=Zola"));
        assert!(browser.page.text.contains("Zola #3"), "{browser:?}");
    }

    #[test]
    fn the_page_of_a_merge_counts_what_moves_and_moves_the_keys() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        CreatedRows::make(&routing);
        let gone = routing.customer;
        let kept = server.admin().post("/customers", json!({"name": "Kept"})).created()["id"].clone();
        for name in ["A", "B"] {
            server.admin().post("/contacts", json!({"last_name": name, "customer_id": gone})).created();
        }
        server.admin().post("/contacts", json!({"last_name": "Of the kept one", "customer_id": kept})).created();
        server.key(&["*"], Some(gone));
        let address = format!("/ui/customers/{kept}/merge");
        let mut browser = owner(&server);
        browser.go(&format!("{address}?with={gone}"));
        for said in [
            "What changes:",
            "contacts move: <b>2</b>",
            "call queues move: <b>1</b>",
            "CTIs move: <b>1</b>",
            "integration keys are deleted, unless they move too: <b>1</b>",
            "Move keys and tokens too",
        ] {
            assert!(browser.page.text.contains(said), "{said}: {browser:?}");
        }
        assert!(!browser.page.text.contains("chats move"), "{browser:?}");
        browser.submit(&address, &[]);
        assert_eq!(
            browser.url,
            format!("http://acme.localhost/ui/customers/{kept}?done=records_merged"),
            "{browser:?}"
        );
        assert_eq!(server.admin().get("/integration-keys").ok()["data"][0]["customer_id"], kept);
        assert_eq!(server.admin().get(&format!("/contacts?filter[customer_id]={kept}")).ok()["total"], 3);
    }

    #[test]
    fn a_person_sees_only_the_links_and_counts_that_they_may_use() {
        let server = TestServer::new();
        let admin = server.admin();
        for name in ["A", "B"] {
            admin.post("/customers", json!({"name": name})).created();
        }
        admin.post("/contacts", json!({"last_name": "C", "customer_id": 2})).created();
        let weak = server.with_only(&["customer.view", "customer.update"]).token().unwrap().to_owned();
        let mut browser = TestBrowser::new(&server);
        browser.sign_in_with("acme.localhost", &weak);
        browser.go("http://acme.localhost/ui/customers/1/merge?with=2");
        assert!(browser.page.status == 200 && !browser.page.text.contains("contacts move"), "{browser:?}");
        browser.submit("/ui/customers/1/merge", &[]);
        assert!(browser.page.status == 422 && browser.page.text.contains("customer.delete"), "{browser:?}");

        let agent = server.with_role("agent").token().unwrap().to_owned();
        let mut browser = TestBrowser::new(&server);
        browser.sign_in_with("acme.localhost", &agent);
        for page in ["/ui/contacts", "/ui/contacts/1", "/ui/customers", "/ui/customers/1"] {
            browser.go(&format!("http://acme.localhost{page}"));
            let text = &browser.page.text;
            assert!(
                browser.page.status == 200 && !text.contains("duplicates") && !text.contains("/merge"),
                "{browser:?}"
            );
        }
        let mut browser = owner(&server);
        for (page, link) in [
            ("/ui/contacts", "/ui/contacts/duplicates"),
            ("/ui/contacts/1", "/ui/contacts/1/merge"),
            ("/ui/customers", "/ui/customers/duplicates"),
            ("/ui/customers/1", "/ui/customers/1/merge"),
        ] {
            browser.go(page);
            assert!(browser.page.text.contains(&format!("href=\"{link}\"")), "{link}: {browser:?}");
        }
    }
}

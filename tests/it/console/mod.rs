//! The console in a real browser: the tasks of people with their clicks, accessibility, and screenshots.

mod access;
mod calls_pop_up;
mod console_keys;
mod console_tasks;
mod forms_in_browser;
mod import_in_browser;
mod merging_in_browser;
mod recorded_day;
mod screenshots;

use serde_json::{Value, json};

use crate::chromium::{Chromium, Scheme};
use crate::test_server::{PASSWORD, Team, TestServer, Who, at, email, text};

/// A workspace with a customer, contacts, calls and a queue, and its owner at a browser.
struct Office {
    server: TestServer,
    acme: Team,
    customer: i64,
    /// The account of the customer.
    account: String,
    contact: i64,
    call: i64,
}

/// How a person uses the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hands {
    Mouse,
    MouseWithoutScripts,
    Keys,
}

const HANDS: [Hands; 3] = [Hands::Mouse, Hands::MouseWithoutScripts, Hands::Keys];

impl Office {
    fn new() -> Self {
        let server = TestServer::new();
        let acme = server.team("acme");
        let create = |path: &str, body: Value| server.post(&acme.inside, path, body).created()["id"].as_i64().unwrap();
        let customer = create("/customers", json!({"name": "Boulangerie Leroy", "city": "Lyon"}));
        let account = text(&server.get(&acme.inside, &format!("/customers/{customer}")).ok()["customer_account"]);
        let contact = create(
            "/contacts",
            json!({
                "first_name": "Zoé", "last_name": "Lefèvre", "company": "Boulangerie Leroy", "customer_id": customer,
                "phone_mobile_1": "+33 6 12 34 56 78", "email": "zoe@example.com",
            }),
        );
        for name in ["Martin", "Bernard", "Dubois", "Thomas"] {
            create("/contacts", json!({"last_name": name, "first_name": "Ada"}));
        }
        let call = create(
            "/phone-calls",
            json!({"direction": "inbound", "status": "missed", "number_from": "+33 1 42 00 00 07", "customer_id": customer}),
        );
        server
            .post(
                &acme.inside,
                &format!("/smart-routings/call-queues/queues?customer_account={account}"),
                json!({"name": "Accueil", "code": "accueil", "default_destination": "899", "default_destination_type": "voicemail", "type": "inbound"}),
            )
            .created();
        Self { server, acme, customer, account, contact, call }
    }

    fn url(&self, path: &str) -> String {
        format!("http://acme.localhost:{}{path}", self.server.address().port())
    }

    fn central_url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.server.address().port())
    }

    /// Signs the owner in and opens the first page.
    fn open(&self, browser: &mut Chromium) {
        browser.go(&self.url("/ui/sign-in"));
        self.sign_in(browser);
        browser.clicks = 0;
    }

    /// Fills in the sign-in form and sends it.
    fn fill_in(&self, browser: &mut Chromium) {
        browser.fill("#email", &email("acme"));
        browser.fill("#password", PASSWORD);
        browser.click("form:has(#password) button");
    }

    fn sign_in(&self, browser: &mut Chromium) {
        self.fill_in(browser);
        assert!(browser.url().ends_with("/ui"), "{}", browser.url());
    }

    fn record(&self, path: &str) -> Value {
        self.server.get(&self.acme.inside, path).ok()
    }

    /// The contact, read with a new token: the old ones may have been revoked.
    fn record_again(&self) -> Value {
        let owner = self.server.log_in("acme");
        let inside = self.server.enter(&owner, &self.acme.workspace);
        self.server.get(&inside, &format!("/contacts/{}", self.contact)).ok()
    }

    /// A PBX with a key of its own.
    fn pbx(&self) -> Who {
        let key = json!({"name": "PBX", "permissions": ["crm.lookup"]});
        let key = self.server.post(&self.acme.inside, "/integration-keys", key).created()["key"].clone();
        at("acme").with(&key)
    }

    /// A list of the call routing of the customer.
    fn routing(&self, path: &str) -> Value {
        let and = if path.contains('?') { '&' } else { '?' };
        self.record(&format!("/smart-routings{path}{and}customer_account={}", self.account))
    }

    /// Opens the queue on Mondays.
    fn open_on_monday(&self) {
        let path = format!("/smart-routings/call-queues/time-spans?customer_account={}", self.account);
        let monday = json!({
            "time_spanable_id": 1, "time_spanable_type": "call_queue", "day_of_week": 1, "start_time": "09:00",
            "end_time": "18:00",
        });
        self.server.post(&self.acme.inside, &path, monday).created();
    }

    /// Closes the queue on a day.
    fn close_on(&self, day: &str) {
        let path = format!("/smart-routings/call-queues/exceptions?customer_account={}", self.account);
        let closed = json!({
            "exceptionable_id": 1, "exceptionable_type": "call_queue", "day": day, "label": "Inventaire",
        });
        self.server.post(&self.acme.inside, &path, closed).created();
    }

    fn count(&self, path: &str) -> u64 {
        self.record(path)["total"].as_u64().unwrap()
    }

    fn contact_named(&self, name: &str) -> Value {
        let found = self.record(&format!("/contacts?filter[last_name]={name}"));
        assert_eq!(found["total"], 1, "{found}");
        found["data"][0].clone()
    }
}

/// A person at the first page of the console.
struct Person {
    browser: Chromium,
    hands: Hands,
}

impl Person {
    fn at(office: &Office, hands: Hands, language: &str) -> Option<Self> {
        let mut browser = Chromium::start(language)?;
        if hands == Hands::MouseWithoutScripts {
            browser.without_scripts();
        }
        browser.show(1280, Scheme::Light);
        office.open(&mut browser);
        Some(Self { browser, hands })
    }

    /// Follows a link, or sends a form.
    #[track_caller]
    fn choose(&mut self, selector: &str) {
        if self.hands == Hands::Keys {
            self.browser.tab_to(selector);
            self.browser.clicks += 1;
            self.browser.enter();
        } else {
            self.browser.click(selector);
        }
    }

    #[track_caller]
    fn write(&mut self, selector: &str, text: &str) {
        if self.hands == Hands::Keys {
            self.browser.fill_by_keys(selector, text);
        } else {
            self.browser.fill(selector, text);
        }
    }

    /// Sends the form with the Enter key of the field in which the person types, which is no click.
    fn enter(&mut self) {
        self.browser.enter();
    }

    fn clicks(&mut self) -> u32 {
        std::mem::take(&mut self.browser.clicks)
    }

    fn text(&mut self) -> String {
        self.browser.text()
    }

    #[track_caller]
    fn sees(&mut self, said: &str) {
        let text = self.text();
        assert!(text.contains(said), "{said} is not in {text}");
    }

    #[track_caller]
    fn had_no_error(&mut self) {
        assert_eq!(self.browser.errors(), Vec::<String>::new());
    }
}

/// The value of a field as text.
fn field(record: &Value, name: &str) -> String {
    text(&record[name])
}

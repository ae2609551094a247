//! The test server: an in-process server in a temporary directory, without a socket, and requests in one line.
//!
//! `server.admin().post("/customers", json!({"name": "Ada"})).created()`. The server has two workspaces, `acme` and
//! `other`, and several kinds of users in `acme`.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::api::{Error, Layer, Router, openapi};
use crate::auth::{NodeKey, Origin, Permissions, TokenScope};
use crate::central::credentials::{self, TokenSpec};
use crate::central::invitations::{self, Guest, InviteRole, Inviter};
use crate::central::outbox::Mail;
use crate::central::quotas::Quotas;
use crate::central::workspace_lifecycle::{self, NewWorkspace};
use crate::central::workspace_rows::{self, Workspace};
use crate::central::{accounts, memberships, password_recovery};
use crate::cluster::NodeDirectory;
use crate::config::{Config, RawSettings, Setting};
use crate::instance::Instance;
use crate::pages;
use crate::server::Service;
use crate::tenancy::{ChangeRecorder, members};
use crate::values::{Name, Password, PublicUrl, Timestamp};
use crate::workspace::users;

pub struct TestServer {
    pub instance: Arc<Instance>,
    pub acme: Workspace,
    pub other: Workspace,
    pub service: Service,
    runtime: Runtime,
    folder: Arc<TempDir>,
}

/// A client: a host, a token, and optional headers.
#[derive(Clone)]
pub struct TestClient<'b> {
    server: &'b TestServer,
    host: String,
    token: Option<String>,
    headers: Vec<(&'static str, String)>,
}

/// An authenticator app with the secret of one account.
pub struct AuthenticatorApp {
    totp: totp_rs::Totp,
    pub recovery_codes: Vec<String>,
    /// The time step of the next code. The server accepts each step once, and only those directly before and after now.
    next: std::cell::Cell<u64>,
}

impl AuthenticatorApp {
    /// Adds a second factor to the account of a client of the central API.
    pub fn enroll(client: &TestClient<'_>) -> Self {
        let begun = client.post("/account/second-factor", json!({"current_password": PASSWORD})).created();
        let mut app = Self::with_secret(begun["secret"].as_str().unwrap());
        let done = client.post("/account/second-factor", json!({"code": app.code()})).created();
        let codes = done["recovery_codes"].as_array().unwrap().iter();
        app.recovery_codes = codes.map(|code| code.as_str().unwrap().to_owned()).collect();
        app
    }

    /// Uses a secret as shown by an enrollment.
    pub fn with_secret(base32: &str) -> Self {
        let secret = totp_rs::Secret::try_from_base32(base32).unwrap();
        let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
        let now = u64::try_from(Timestamp::now().seconds()).unwrap() / 30;
        Self { totp, recovery_codes: Vec::new(), next: (now - 1).into() }
    }

    /// An unused code. There are two besides the one used to enroll.
    pub fn code(&self) -> String {
        let step = self.next.replace(self.next.get() + 1);
        self.totp.generate(step * 30).to_string()
    }
}

#[derive(Debug)]
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

pub const PASSWORD: &str = "a-password-for-tests";

/// The table of routes. It is built once: it takes long.
pub fn router() -> &'static Arc<Router> {
    static ROUTER: LazyLock<Arc<Router>> = LazyLock::new(|| Arc::new(crate::router().unwrap()));
    &ROUTER
}

impl TestServer {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With other settings than the default ones for tests.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        Self::create(Arc::clone(router()), settings)
    }

    /// With routes that exist only in a test.
    pub fn with_router(router: Router) -> Self {
        Self::create(Arc::new(router), &[])
    }

    fn create(router: Arc<Router>, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_files(data_dir(), folder.path());
        Self::open(router, Arc::new(folder), settings)
    }

    /// Another server on the same data directory, as if both had the same central file.
    pub fn beside(&self, settings: &[(&str, &str)]) -> Self {
        Self::open(Arc::clone(self.service.router()), Arc::clone(&self.folder), settings)
    }

    /// Forwards requests to other nodes.
    pub fn among_nodes(self, key: NodeKey, placement: Arc<dyn NodeDirectory>) -> Self {
        Self { service: self.service.among_nodes(key, placement), ..self }
    }

    fn open(router: Arc<Router>, folder: Arc<TempDir>, settings: &[(&str, &str)]) -> Self {
        let instance = Instance::open(config(folder.path(), settings), now()).unwrap();
        let [acme, other] = ["acme", "other"].map(|subdomain| {
            let (mut found, _) = workspace_rows::named(instance.central.all_workspaces().unwrap(), subdomain).unwrap();
            found.set_url(&instance);
            found
        });
        Self {
            service: Service::new(Arc::clone(&instance), router),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            folder,
            instance,
            acme,
            other,
        }
    }

    /// An anonymous client on the central host.
    pub fn anonymous(&self) -> TestClient<'_> {
        TestClient { server: self, host: "localhost".into(), token: None, headers: Vec::new() }
    }

    /// The first account, owner of both workspaces, on the central host.
    pub fn central(&self) -> TestClient<'_> {
        TestClient { token: Some(self.token("owner@example.com", TokenScope::Central)), ..self.anonymous() }
    }

    /// The owner, in `acme`.
    pub fn admin(&self) -> TestClient<'_> {
        self.in_acme("owner@example.com")
    }

    /// The owner, in `other`.
    pub fn admin_of_other(&self) -> TestClient<'_> {
        let token = self.token("owner@example.com", TokenScope::Workspace(self.other.id));
        self.anonymous().at("other.localhost").with_token(token)
    }

    /// A user of `acme` with this role, created on first use.
    pub fn with_role(&self, role: &str) -> TestClient<'_> {
        let email = format!("{role}@example.com");
        if self.account(&email).is_none() {
            self.join_acme(&email, role);
        }
        self.in_acme(&email)
    }

    /// A user of `acme` with a new role that has only these permissions.
    pub fn with_only(&self, permissions: &[&str]) -> TestClient<'_> {
        let name = Uuid::now_v7().simple().to_string();
        self.admin().post("/roles", json!({"name": name, "permissions": permissions})).created();
        self.with_role(&name)
    }

    /// An integration key of `acme` with these permissions, optionally bound to one customer.
    pub fn key(&self, permissions: &[&str], customer_id: Option<i64>) -> TestClient<'_> {
        let body = json!({"name": "a program", "permissions": permissions, "customer_id": customer_id});
        let made = self.admin().post("/integration-keys", body).created();
        self.anonymous().at("acme.localhost").with_token(made["key"].as_str().unwrap().to_owned())
    }

    /// A program with a token of an OAuth client of `acme` with these scopes, optionally bound to one customer.
    pub fn oauth(&self, scopes: &[&str], customer_id: Option<i64>) -> TestClient<'_> {
        let body = json!({
            "name": "a program", "grants": ["client_credentials"], "scopes": scopes, "customer_id": customer_id,
        });
        let made = self.admin().post("/oauth-clients", body).created();
        let wish = json!({
            "grant_type": "client_credentials", "client_id": made["client_id"], "client_secret": made["client_secret"],
        });
        let program = self.anonymous().at("acme.localhost");
        let token = program.post("/oauth/token", wish).ok()["access_token"].as_str().unwrap().to_owned();
        program.with_token(token)
    }

    /// A browser with a signed-in user of `acme`.
    pub fn browser(&self, email: &str) -> TestClient<'_> {
        let token = self.token(email, TokenScope::Workspace(self.acme.id));
        self.anonymous().at("acme.localhost").with_header("cookie", &format!("cx_session={token}"))
    }

    /// Signs a user of `acme` in on an authorization page and approves; returns the code that the program gets.
    pub fn approve(&self, email: &str, path: &str) -> String {
        let browser = self.anonymous().at("acme.localhost");
        let cookie = |answer: &TestResponse| {
            let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
            set.split(';').next().unwrap().to_owned()
        };
        let hidden = |page: &TestResponse| -> Vec<(String, String)> {
            let fields = page.text.split("<form").nth(1).unwrap().split("<input type=\"hidden\" name=\"").skip(1);
            let field = |text: &str| {
                let (name, rest) = text.split_once("\" value=\"").unwrap();
                (name.to_owned(), rest.split('"').next().unwrap().replace("&#38;", "&"))
            };
            fields.map(field).collect()
        };
        let submit = |browser: &TestClient<'_>, path: &str, page: &TestResponse, filled: &[(&str, &str)]| {
            let hidden = hidden(page);
            let hidden = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let answer = browser.submit(path, &hidden.chain(filled.iter().copied()).collect::<Vec<_>>());
            (answer.headers[header::LOCATION].to_str().unwrap().to_owned(), answer)
        };
        let asked = browser.get(path);
        let page = browser.get(asked.headers[header::LOCATION].to_str().unwrap());
        let visiting = browser.with_header("cookie", &cookie(&page));
        let (back, done) = submit(&visiting, "/ui/sign-in", &page, &[("email", email), ("password", PASSWORD)]);
        let browser = browser.with_header("cookie", &cookie(&done));
        let page = browser.get(&back);
        let (told, _) = submit(&browser, "/oauth/authorize", &page, &[("decision", "approve")]);
        let told = url::Url::parse(&told).unwrap();
        told.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
    }

    /// An account without a workspace, on the central host.
    pub fn stranger(&self) -> TestClient<'_> {
        let email = "stranger@example.com";
        if self.account(email).is_none() {
            account(&self.instance, email);
        }
        TestClient { token: Some(self.token(email, TokenScope::Central)), ..self.anonymous() }
    }

    /// True if a role of `acme` has a permission, according to the file.
    pub fn may(&self, role: &str, permission: &str) -> bool {
        let role = role.to_owned();
        let file = self.instance.registry.lease(self.acme.id);
        let granted = file.file().read(move |db| {
            let sql = "SELECT permissions FROM roles WHERE name = ?1";
            Ok::<_, Error>(db.query_row(sql, [&role], |row| row.get::<_, Permissions>(0))?)
        });
        granted.unwrap().grants(permission)
    }

    /// Makes an account a user of `acme`; returns the user's id.
    pub fn join_acme(&self, email: &str, role: &str) -> i64 {
        let (acme, role, in_file) = (self.acme.id, role.to_owned(), role.to_owned());
        let account_id = self.account(email).unwrap_or_else(|| account(&self.instance, email));
        self.instance.central.write(move |db| memberships::save(db, account_id, acme, &role, now())).unwrap();
        let (email, recorder) = (email.to_owned(), self.recorder());
        self.in_file(move |db| {
            let role = members::role_named(db, &in_file)?.expect("a role that is there");
            members::add(db, &recorder, account_id, "Somebody", &email, role)?;
            Ok(users::of_account(db, account_id)?.expect("just added").id)
        })
    }

    /// Invites an address into a workspace other than `acme` and `other`; returns the invitation's id and code.
    pub fn invited(&self, email: &str) -> (i64, String) {
        let host = format!("host-{}@example.com", Uuid::now_v7().simple());
        let subdomain = format!("hosts-{}", Uuid::now_v7().simple());
        let theirs = workspace(&self.instance, &subdomain, account(&self.instance, &host));
        let guest = Guest {
            workspace: theirs.id,
            email: email.parse().unwrap(),
            name: None,
            role: InviteRole { id: 3, name: "agent".into() },
            inviter: Inviter { id: Some(1), name: "Somebody".into() },
        };
        let made =
            self.instance.central.write(move |db| invitations::create(db, &guest, Quotas::default(), Timestamp::now()));
        let (invite, code) = made.unwrap();
        (invite.id, code)
    }

    fn account(&self, email: &str) -> Option<i64> {
        let email = email.to_owned();
        let found = self.instance.central.read(move |db| Ok::<_, Error>(accounts::find_by_email(db, &email)?));
        found.unwrap().map(|(account, _)| account.id)
    }

    fn in_acme(&self, email: &str) -> TestClient<'_> {
        let token = self.token(email, TokenScope::Workspace(self.acme.id));
        self.anonymous().at("acme.localhost").with_token(token)
    }

    /// The recorder of changes in `acme` that bypass the API.
    pub fn recorder(&self) -> ChangeRecorder {
        self.instance.system_recorder(self.acme.id, now())
    }

    /// Runs a closure on the file of `acme`, bypassing the API.
    pub fn in_file<T: Send + 'static>(
        &self,
        work: impl FnMut(&rusqlite::Connection) -> Result<T, Error> + Send + 'static,
    ) -> T {
        self.instance.registry.lease(self.acme.id).file().write(work).unwrap()
    }

    pub fn token(&self, email: &str, scope: TokenScope) -> String {
        self.token_of(email, scope, Timestamp::now())
    }

    /// A token that was issued at this moment, valid for an hour.
    pub fn token_of(&self, email: &str, scope: TokenScope, moment: Timestamp) -> String {
        let (instance, email) = (Arc::clone(&self.instance), email.to_owned());
        let issued = self.instance.central.write(move |db| {
            let (account, _) = accounts::find_by_email(db, &email)?.ok_or_else(Error::not_found)?;
            credentials::issue(
                db,
                &instance,
                &TokenSpec::is_session(account.id, scope, "test", 3600),
                &Origin::system(moment),
            )
        });
        issued.unwrap().token
    }

    /// The queued mails, oldest first, after requests for password resets were handled.
    pub fn mails(&self) -> Vec<Mail> {
        let now = Timestamp::now();
        password_recovery::answer_requests(&self.instance, now).unwrap();
        let mut queued = self.instance.central.mails_due(now, 1000, 1000).unwrap();
        queued.sort_by_key(|queued| queued.id);
        queued.into_iter().map(|queued| queued.mail).collect()
    }

    /// What a route with a `job` answers to an operator, once no work runs any more.
    pub fn until_ended(&self, path: &str) -> Value {
        loop {
            let listed = self.central().get(path).ok();
            let job = &listed["job"];
            assert!(job["done"].as_i64() <= job["of"].as_i64(), "{job}");
            if job["state"] != "running" {
                return listed;
            }
        }
    }

    /// Verifies a client's email address with the code that was mailed last.
    pub fn verify_email(&self, client: &TestClient<'_>) -> Value {
        client.post("/account/email/verify", json!({"code": self.mailed("/ui/verify-email?code=")})).created()
    }

    /// The text after `before` in the newest mail that contains it.
    pub fn mailed(&self, before: &str) -> String {
        let mails = self.mails();
        let rest = mails.iter().rev().find_map(|mail| mail.text.split_once(before)).expect("a mail that has it").1;
        rest.split_whitespace().next().unwrap().to_owned()
    }

    /// A token for the central API that is valid until a moment.
    pub fn token_until(&self, email: &str, moment: Timestamp) -> String {
        let (instance, email) = (Arc::clone(&self.instance), email.to_owned());
        let issued = self.instance.central.write(move |db| {
            let (account, _) = accounts::find_by_email(db, &email)?.ok_or_else(Error::not_found)?;
            let token = TokenSpec::is_session(account.id, TokenScope::Central, "test", 0);
            credentials::issue(db, &instance, &token, &Origin::system(moment))
        });
        issued.unwrap().token
    }

    pub fn send(&self, request: Request<Full<Bytes>>) -> TestResponse {
        self.runtime.block_on(async {
            let (head, mut body) = self.service.answer(request, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.into_parts();
            let body = match head.headers.get(header::CONTENT_TYPE) {
                // A stream has no end: its first piece is enough.
                Some(kind) if kind == "text/event-stream" => {
                    body.frame().await.unwrap().unwrap().into_data().unwrap_or_default()
                }
                _ => body.collect().await.unwrap().to_bytes(),
            };
            let response = TestResponse {
                status: head.status,
                headers: head.headers,
                text: String::from_utf8_lossy(&body).into_owned(),
            };
            if response.status.is_client_error() && response.text.starts_with('{') {
                pages::check_has_french_form(response.status.as_u16(), &response.json());
            }
            response
        })
    }
}

/// An open stream of Server-Sent Events.
pub struct TestStream<'b> {
    server: &'b TestServer,
    body: UnsyncBoxBody<Bytes, String>,
    /// Dropped with the body, as a connection does.
    _head: http::response::Parts,
    /// Text that was received and not read yet.
    received: String,
}

impl TestStream<'_> {
    /// The next event: name, id and data. `None` at the end of the stream.
    pub fn next_event(&mut self) -> Option<(String, Option<i64>, Value)> {
        loop {
            while let Some((event, rest)) = self.received.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.received = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let Some(name) = field("event: ") {
                    let data = serde_json::from_str(&field("data: ").expect("data")).expect("JSON");
                    return Some((name, field("id: ").map(|id| id.parse().unwrap()), data));
                }
            }
            let frame = self.server.runtime.block_on(self.body.frame())?;
            let bytes = frame.unwrap().into_data().unwrap_or_default();
            self.received.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The names of records that the next events say are changed, as many as asked for.
    pub fn changes(&mut self, number: usize) -> Vec<String> {
        let next = |_| {
            let (name, _, data) = self.next_event().expect("another event");
            assert_eq!(name, "changed", "{data}");
            format!("{} {}", data["action"].as_str().unwrap(), data["resource_id"])
        };
        (0..number).map(next).collect()
    }
}

impl<'b> TestClient<'b> {
    /// Opens the stream of events.
    pub fn stream(&self) -> TestStream<'b> {
        self.try_stream().expect("a stream")
    }

    /// Opens the stream of events, unless the server refuses it.
    pub fn try_stream(&self) -> Option<TestStream<'b>> {
        let request = self.request(Method::GET, "/events").body(Full::default()).unwrap();
        let server = self.server;
        let response = server.runtime.block_on(server.service.answer(request, IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let (head, body) = response.into_parts();
        let body = body.map_err(|error| error.to_string()).boxed_unsync();
        (head.status == StatusCode::OK).then(|| TestStream { server, body, _head: head, received: String::new() })
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let mut request = Request::builder().method(method).uri(format!("/api{path}")).header(header::HOST, &self.host);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request
    }
}

impl TestClient<'_> {
    pub fn get(&self, path: &str) -> TestResponse {
        self.send(Method::GET, path, None)
    }

    pub fn post(&self, path: &str, body: Value) -> TestResponse {
        self.send(Method::POST, path, Some(body))
    }

    /// Posts a CSV file.
    pub fn post_csv(&self, path: &str, text: impl Into<Vec<u8>>) -> TestResponse {
        self.ask(Method::POST, path, "text/csv", text)
    }

    pub fn put(&self, path: &str, body: Value) -> TestResponse {
        self.send(Method::PUT, path, Some(body))
    }

    pub fn delete(&self, path: &str) -> TestResponse {
        self.send(Method::DELETE, path, None)
    }

    pub fn delete_with(&self, path: &str, body: Value) -> TestResponse {
        self.send(Method::DELETE, path, Some(body))
    }

    /// Submits the form of a page.
    pub fn submit(&self, path: &str, form: &[(&str, &str)]) -> TestResponse {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.ask(Method::POST, path, "application/x-www-form-urlencoded", body)
    }

    pub fn send(&self, method: Method, path: &str, body: Option<Value>) -> TestResponse {
        self.ask(method, path, "application/json", body.map(|body| body.to_string()).unwrap_or_default())
    }

    pub fn ask(&self, method: Method, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> TestResponse {
        let request = self.request(method, path).header(header::CONTENT_TYPE, kind);
        self.server.send(request.body(Full::from(body.into())).unwrap())
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The same client without a token.
    pub fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// With the token from a response.
    pub fn signed_in(self, answer: &Value) -> Self {
        let token = answer["token"].as_str().expect("a token").to_owned();
        self.with_token(token)
    }

    pub fn with_token(self, token: String) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The same client with an additional header.
    pub fn with_header(&self, name: &'static str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name, value.to_owned()));
        other
    }

    /// The same client on another host.
    pub fn at(self, host: &str) -> Self {
        Self { host: host.into(), ..self }
    }
}

impl TestResponse {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    #[track_caller]
    pub fn created(&self) -> Value {
        assert_eq!(self.status, StatusCode::CREATED, "{}", self.text);
        self.json()
    }

    /// An error of the form `{message, error}`.
    #[track_caller]
    pub fn rejected(&self, status: u16, error: &str) {
        assert_eq!((self.status.as_u16(), &self.json()["error"]), (status, &json!(error)), "{}", self.text);
    }

    /// A 400 with these sentences, in any order.
    #[track_caller]
    pub fn invalid(&self, sentences: &[&str]) {
        assert_eq!(self.status, StatusCode::BAD_REQUEST, "{}", self.text);
        let body = self.json();
        let mut hint: Vec<&str> = body["hint"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut expected = sentences.to_vec();
        hint.sort_unstable();
        expected.sort_unstable();
        assert_eq!(hint, expected);
    }
}

fn config(folder: &Path, settings: &[(&str, &str)]) -> Config {
    let mut typed = RawSettings::default();
    let folder = folder.display().to_string();
    let server = [
        ("data_dir", folder.as_str()),
        // The default port, so that URLs in responses contain no port.
        ("public_url", "http://localhost"),
        ("password_memory_kib", "64"),
        ("password_passes", "1"),
        ("statement_timeout", "2"),
        // The tests of every route fail more often than any limit allows.
        ("throttle_attempts", "0"),
    ];
    for (name, value) in server.iter().chain(settings).copied() {
        typed.insert(Setting::named(name).unwrap(), value.into(), "the bench".into());
    }
    Config::new(&typed).unwrap()
}

fn account(instance: &Instance, email: &str) -> i64 {
    let password = Password::parse(PASSWORD.into()).unwrap();
    let name = Name::parse("Somebody".into()).unwrap();
    accounts::create(instance, name, email.parse().unwrap(), &password, false, &Origin::system(now())).unwrap().id
}

fn workspace(instance: &Arc<Instance>, subdomain: &str, owner: i64) -> Workspace {
    let new = NewWorkspace { name: Name::parse(subdomain.into()).unwrap(), subdomain: subdomain.parse().ok() };
    workspace_lifecycle::create_workspace(
        instance,
        Uuid::now_v7(),
        new,
        owner,
        Quotas::default(),
        &Origin::system(now()),
    )
    .unwrap()
}

/// The files of a data directory with an owner and two workspaces. They are created once: the migrations take long.
fn data_dir() -> &'static [DataFile] {
    static FILES: LazyLock<Vec<DataFile>> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let instance = Instance::open_or_create(config(folder.path(), &[]), now()).unwrap();
        let owner = account(&instance, "owner@example.com");
        for subdomain in ["acme", "other"] {
            workspace(&instance, subdomain, owner);
        }
        let minute = Duration::from_secs(60);
        instance.registry.close_all(minute).unwrap();
        let closed = instance.central.file().closed();
        drop(instance);
        assert_eq!(closed.recv_timeout(minute), Err(RecvTimeoutError::Disconnected));
        let mut files = Vec::new();
        read_files(folder.path(), Path::new(""), &mut files);
        files
    });
    &FILES
}

/// A file of a data directory: its path there, and its content.
type DataFile = (PathBuf, Vec<u8>);

fn read_files(data: &Path, folder: &Path, files: &mut Vec<DataFile>) {
    for entry in fs::read_dir(data.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => read_files(data, &path, files),
            false => files.push((path, fs::read(entry.path()).unwrap())),
        }
    }
}

fn write_files(files: &[DataFile], data: &Path) {
    for (path, content) in files {
        let path = data.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
        file.write_all(content).unwrap();
    }
}

/// 2024-01-20T12:00:00Z
fn now() -> Timestamp {
    Timestamp::from_seconds(1_705_752_000)
}

/// The OpenAPI document of a layer, as `cx-engine openapi` prints it by default.
pub fn description(layer: Layer) -> Value {
    openapi::document(router(), layer, &PublicUrl::new("http", "localhost", 8080))
}

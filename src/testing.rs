//! The test server: an in-process server in a temporary directory, without a socket, and requests in one line.
//!
//! `bench.admin().post("/customers", json!({"name": "Ada"})).created()`. The server has two workspaces, `acme` and
//! `other`, and several kinds of users in `acme`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::api::{Error, Layer, Router, openapi};
use crate::auth::{Origin, Permissions, Scope};
use crate::central::credentials::{self, NewIssue};
use crate::central::invitations::{self, Guest, InviteRole, Inviter};
use crate::central::outbox::Mail;
use crate::central::quotas::Quotas;
use crate::central::workspace_lifecycle::{self, NewWorkspace};
use crate::central::workspace_rows::Workspace;
use crate::central::{accounts, memberships, password};
use crate::config::{Config, Setting, Typed};
use crate::engine::Engine;
use crate::server::Service;
use crate::tenancy::{Author, members};
use crate::values::{Name, Password, PublicUrl, Timestamp};
use crate::workspace::users;

pub struct Bench {
    pub engine: Arc<Engine>,
    pub acme: Workspace,
    pub other: Workspace,
    pub service: Service,
    runtime: Runtime,
    _folder: TempDir,
}

/// A client: a host, a token, and optional headers.
#[derive(Clone)]
pub struct Client<'b> {
    bench: &'b Bench,
    host: String,
    token: Option<String>,
    headers: Vec<(&'static str, String)>,
}

/// An authenticator app with the secret of one account.
pub struct App {
    totp: totp_rs::Totp,
    pub recovery_codes: Vec<String>,
    /// The time step of the next code. The server accepts each step once, and only those directly before and after now.
    next: std::cell::Cell<u64>,
}

impl App {
    /// Adds a second factor to the account of a client of the central API.
    pub fn enroll(client: &Client<'_>) -> Self {
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
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

pub const PASSWORD: &str = "a-password-for-tests";

impl Bench {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With other settings than the default ones for tests.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        Self::make(crate::router().unwrap(), settings)
    }

    /// With routes that exist only in a test.
    pub fn with_router(router: Router) -> Self {
        Self::make(router, &[])
    }

    fn make(router: Router, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open_or_create(config(folder.path(), settings), now()).unwrap();
        let owner = account(&engine, "owner@example.com");
        let acme = workspace(&engine, "acme", owner);
        let other = workspace(&engine, "other", owner);
        Self {
            service: Service::new(Arc::clone(&engine), Arc::new(router)),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            _folder: folder,
            engine,
            acme,
            other,
        }
    }

    /// An anonymous client on the central host.
    pub fn nobody(&self) -> Client<'_> {
        Client { bench: self, host: "localhost".into(), token: None, headers: Vec::new() }
    }

    /// The first account, owner of both workspaces, on the central host.
    pub fn central(&self) -> Client<'_> {
        Client { token: Some(self.token("owner@example.com", Scope::Central)), ..self.nobody() }
    }

    /// The owner, in `acme`.
    pub fn admin(&self) -> Client<'_> {
        self.in_acme("owner@example.com")
    }

    /// The owner, in `other`.
    pub fn admin_of_other(&self) -> Client<'_> {
        let token = self.token("owner@example.com", Scope::Workspace(self.other.id));
        self.nobody().at("other.localhost").with_token(token)
    }

    /// A user of `acme` with this role, created on first use.
    pub fn with_role(&self, role: &str) -> Client<'_> {
        let email = format!("{role}@example.com");
        if self.account(&email).is_none() {
            self.join_acme(&email, role);
        }
        self.in_acme(&email)
    }

    /// A user of `acme` with a new role that has only these permissions.
    pub fn with_only(&self, permissions: &[&str]) -> Client<'_> {
        let name = Uuid::now_v7().simple().to_string();
        self.admin().post("/roles", json!({"name": name, "permissions": permissions})).created();
        self.with_role(&name)
    }

    /// An integration key of `acme` with these permissions, optionally bound to one customer.
    pub fn key(&self, permissions: &[&str], customer_id: Option<i64>) -> Client<'_> {
        let body = json!({"name": "a program", "permissions": permissions, "customer_id": customer_id});
        let made = self.admin().post("/integration-keys", body).created();
        self.nobody().at("acme.localhost").with_token(made["key"].as_str().unwrap().to_owned())
    }

    /// A program with a token of an OAuth client of `acme` with these scopes, optionally bound to one customer.
    pub fn oauth(&self, scopes: &[&str], customer_id: Option<i64>) -> Client<'_> {
        let body = json!({
            "name": "a program", "grants": ["client_credentials"], "scopes": scopes, "customer_id": customer_id,
        });
        let made = self.admin().post("/oauth-clients", body).created();
        let wish = json!({
            "grant_type": "client_credentials", "client_id": made["client_id"], "client_secret": made["client_secret"],
        });
        let program = self.nobody().at("acme.localhost");
        let token = program.post("/oauth/token", wish).ok()["access_token"].as_str().unwrap().to_owned();
        program.with_token(token)
    }

    /// A browser with a signed-in user of `acme`.
    pub fn browser(&self, email: &str) -> Client<'_> {
        let token = self.token(email, Scope::Workspace(self.acme.id));
        self.nobody().at("acme.localhost").with_header("cookie", &format!("cx_session={token}"))
    }

    /// Signs a user of `acme` in on an authorization page and approves; returns the code that the program gets.
    pub fn approve(&self, email: &str, path: &str) -> String {
        let browser = self.nobody().at("acme.localhost");
        let cookie = |answer: &Answer| {
            let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
            set.split(';').next().unwrap().to_owned()
        };
        let hidden = |page: &Answer| -> Vec<(String, String)> {
            let fields = page.text.split("<form").nth(1).unwrap().split("<input type=\"hidden\" name=\"").skip(1);
            let field = |text: &str| {
                let (name, rest) = text.split_once("\" value=\"").unwrap();
                (name.to_owned(), rest.split('"').next().unwrap().replace("&#38;", "&"))
            };
            fields.map(field).collect()
        };
        let submit = |browser: &Client<'_>, path: &str, page: &Answer, filled: &[(&str, &str)]| {
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
    pub fn stranger(&self) -> Client<'_> {
        let email = "stranger@example.com";
        if self.account(email).is_none() {
            account(&self.engine, email);
        }
        Client { token: Some(self.token(email, Scope::Central)), ..self.nobody() }
    }

    /// True if a role of `acme` has a permission, according to the file.
    pub fn may(&self, role: &str, permission: &str) -> bool {
        let role = role.to_owned();
        let file = self.engine.registry.lease(self.acme.id);
        let granted = file.file().read(move |db| {
            let sql = "SELECT permissions FROM roles WHERE name = ?1";
            Ok::<_, Error>(db.query_row(sql, [&role], |row| row.get::<_, Permissions>(0))?)
        });
        granted.unwrap().cover(permission)
    }

    /// Makes an account a user of `acme`; returns the user's id.
    pub fn join_acme(&self, email: &str, role: &str) -> i64 {
        let (acme, role, in_file) = (self.acme.id, role.to_owned(), role.to_owned());
        let account_id = self.account(email).unwrap_or_else(|| account(&self.engine, email));
        self.engine.central.write(move |db| memberships::save(db, account_id, acme, &role, now())).unwrap();
        let (email, author) = (email.to_owned(), self.author());
        self.in_file(move |db| {
            let role = members::role_named(db, &in_file)?.expect("a role that is there");
            members::add(db, &author, account_id, "Somebody", &email, role)?;
            Ok(users::of_account(db, account_id)?.expect("just added").id)
        })
    }

    /// Invites an address into a workspace other than `acme` and `other`; returns the invitation's id and code.
    pub fn invited(&self, email: &str) -> (i64, String) {
        let host = format!("host-{}@example.com", Uuid::now_v7().simple());
        let subdomain = format!("hosts-{}", Uuid::now_v7().simple());
        let theirs = workspace(&self.engine, &subdomain, account(&self.engine, &host));
        let guest = Guest {
            workspace: theirs.id,
            email: email.parse().unwrap(),
            name: None,
            role: InviteRole { id: 3, name: "agent".into() },
            inviter: Inviter { id: Some(1), name: "Somebody".into() },
        };
        let made =
            self.engine.central.write(move |db| invitations::create(db, &guest, Quotas::default(), Timestamp::now()));
        let (invite, code) = made.unwrap();
        (invite.id, code)
    }

    fn account(&self, email: &str) -> Option<i64> {
        let email = email.to_owned();
        let found = self.engine.central.read(move |db| Ok::<_, Error>(accounts::find_by_email(db, &email)?));
        found.unwrap().map(|(account, _)| account.id)
    }

    fn in_acme(&self, email: &str) -> Client<'_> {
        let token = self.token(email, Scope::Workspace(self.acme.id));
        self.nobody().at("acme.localhost").with_token(token)
    }

    /// The author of changes in `acme` that bypass the API.
    pub fn author(&self) -> Author {
        self.engine.system(self.acme.id, now())
    }

    /// Runs a closure on the file of `acme`, bypassing the API.
    pub fn in_file<T: Send + 'static>(
        &self,
        work: impl FnMut(&rusqlite::Connection) -> Result<T, Error> + Send + 'static,
    ) -> T {
        self.engine.registry.lease(self.acme.id).file().write(work).unwrap()
    }

    pub fn token(&self, email: &str, scope: Scope) -> String {
        self.token_of(email, scope, Timestamp::now())
    }

    /// A token that was issued at this moment, valid for an hour.
    pub fn token_of(&self, email: &str, scope: Scope, moment: Timestamp) -> String {
        let (engine, email) = (Arc::clone(&self.engine), email.to_owned());
        let issued = self.engine.central.write(move |db| {
            let (account, _) = accounts::find_by_email(db, &email)?.ok_or_else(Error::not_found)?;
            credentials::issue(
                db,
                &engine,
                &NewIssue::session(account.id, scope, "test", 3600),
                &Origin::system(moment),
            )
        });
        issued.unwrap().token
    }

    /// The queued mails, oldest first, after requests for password resets were handled.
    pub fn mails(&self) -> Vec<Mail> {
        let now = Timestamp::now();
        password::answer_requests(&self.engine, now).unwrap();
        let mut queued = self.engine.central.mails_due(now, 1000, 1000).unwrap();
        queued.sort_by_key(|queued| queued.id);
        queued.into_iter().map(|queued| queued.mail).collect()
    }

    /// Verifies a client's email address with the code that was mailed last.
    pub fn verify_email(&self, client: &Client<'_>) -> Value {
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
        let (engine, email) = (Arc::clone(&self.engine), email.to_owned());
        let issued = self.engine.central.write(move |db| {
            let (account, _) = accounts::find_by_email(db, &email)?.ok_or_else(Error::not_found)?;
            let token = NewIssue::session(account.id, Scope::Central, "test", 0);
            credentials::issue(db, &engine, &token, &Origin::system(moment))
        });
        issued.unwrap().token
    }

    pub fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.runtime.block_on(async {
            let (head, body) = self.service.answer(request, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Answer { status: head.status, headers: head.headers, text: String::from_utf8_lossy(&body).into_owned() }
        })
    }
}

impl Client<'_> {
    pub fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None)
    }

    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body))
    }

    /// Posts a CSV file.
    pub fn post_csv(&self, path: &str, text: impl Into<Vec<u8>>) -> Answer {
        self.ask(Method::POST, path, "text/csv", text)
    }

    pub fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body))
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None)
    }

    pub fn delete_with(&self, path: &str, body: Value) -> Answer {
        self.send(Method::DELETE, path, Some(body))
    }

    /// Submits the form of a page.
    pub fn submit(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.ask(Method::POST, path, "application/x-www-form-urlencoded", body)
    }

    pub fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.ask(method, path, "application/json", body.map(|body| body.to_string()).unwrap_or_default())
    }

    pub fn ask(&self, method: Method, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api{path}"))
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, kind);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        self.bench.send(request.body(Full::from(body.into())).unwrap())
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

impl Answer {
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
    pub fn refused(&self, status: u16, error: &str) {
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
    let mut typed = Typed::default();
    let folder = folder.display().to_string();
    let bench = [
        ("data_dir", folder.as_str()),
        // The default port, so that URLs in responses contain no port.
        ("public_url", "http://localhost"),
        ("password_memory_kib", "64"),
        ("password_passes", "1"),
        ("statement_timeout", "2"),
        // A walk over all routes fails more often than any limit allows.
        ("throttle_attempts", "0"),
    ];
    for (name, value) in bench.iter().chain(settings).copied() {
        typed.insert(Setting::named(name).unwrap(), value.into(), "the bench".into());
    }
    Config::new(&typed).unwrap()
}

fn account(engine: &Engine, email: &str) -> i64 {
    let password = Password::parse(PASSWORD.into()).unwrap();
    let name = Name::parse("Somebody".into()).unwrap();
    accounts::create(engine, name, email.parse().unwrap(), &password, false, &Origin::system(now())).unwrap().id
}

fn workspace(engine: &Arc<Engine>, subdomain: &str, owner: i64) -> Workspace {
    let new = NewWorkspace { name: Name::parse(subdomain.into()).unwrap(), subdomain: subdomain.parse().ok() };
    workspace_lifecycle::make(engine, new, owner, Quotas::default(), &Origin::system(now())).unwrap()
}

/// 2024-01-20T12:00:00Z
fn now() -> Timestamp {
    Timestamp::from_seconds(1_705_752_000)
}

/// The OpenAPI document of a layer, as `cx-engine openapi` prints it by default.
pub fn description(layer: Layer) -> Value {
    openapi::document(&crate::router().unwrap(), layer, &PublicUrl::new("http", "localhost", 8080))
}

//! Tests over every route of the table: rules that each route must follow.

use std::collections::HashSet;
use std::sync::LazyLock;

use http::Method;
use http::header::{self, ETAG};
use http_body_util::Full;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{
    Audience, BlockingCtx, Error, Id, Layer, Needs, Ok200, Resource, Result, Route, Router, get, inline, openapi,
};
use crate::auth::NOTIFY_PATH;
use crate::auth::TokenScope;
use crate::backups::{self, BackupScope, Ownership, Repository};
use crate::central::outbox::{self, Mail};
use crate::executors::Executor;
use crate::findings::Check;
use crate::pages;
use crate::tenancy::ChangeRecorder;
use crate::tests::routing_endpoints::{self, CreatedRows};
use crate::tests::{
    AuthenticatorApp, PASSWORD, RoutingClient, StubProvider, TestClient, TestResponse, TestServer, description, router,
};
use crate::values::Timestamp;
use crate::workspace::oauth::grants::{self, Approval};
use crate::workspace::{self, permission_catalog};

/// A request for which the route succeeds.
#[derive(Clone)]
pub struct Sample {
    pub path: String,
    pub body: Option<Value>,
}

/// A client with these scopes.
fn oauth_client(scopes: &[String]) -> Value {
    json!({"name": "Walked", "redirect_uris": ["https://example.com/"], "grants": ["authorization_code"], "scopes": scopes})
}

fn webhook_of(event: &str) -> Value {
    json!({"url": "https://example.com/walked", "events": [event]})
}

/// The permission, and others that the route's request requires: webhooks about customers need access to customers, and a
/// merge changes one contact and deletes another.
fn asks<'p>(route: &Route, permission: &'p str) -> Vec<&'p str> {
    let besides = match route.path {
        path if path.starts_with("/webhooks") && permission != "audit.view" => &["customer.view"][..],
        "/contacts/{id}/merge" if permission == "contact.delete" => &["contact.update"],
        "/smart-routings/cfd-tokens" if permission == "routing.create" => &["routing.view"],
        "/smart-routings/call-queues/time-spans/replace" => &["routing.create", "routing.delete"],
        _ => &[],
    };
    [permission].into_iter().chain(besides.iter().copied()).collect()
}

/// Creates the rows that requests need, through the API, as the owner.
struct Samples<'b> {
    server: &'b TestServer,
    /// The customer that the rows belong to, if any.
    customer: Option<i64>,
    /// True: rows that let others act get all permissions. False: only the permissions that the route requires.
    greater: bool,
}

impl Samples<'_> {
    fn made(&self, path: &str, body: Value) -> String {
        self.server.admin().post(path, body).created()["id"].to_string()
    }

    fn customer(&self) -> String {
        let own = self.customer.map(|id| id.to_string());
        own.unwrap_or_else(|| self.made("/customers", json!({"name": "Walked"})))
    }

    fn contact(&self) -> String {
        self.made("/contacts", json!({"last_name": "Walked", "customer_id": self.customer}))
    }

    fn phone_call(&self) -> String {
        let call = json!({"direction": "inbound", "subject": "Walked", "customer_id": self.customer});
        self.made("/phone-calls", call)
    }

    /// A role without permissions, which anyone may assign, or one with an admin's permissions.
    fn role(&self) -> String {
        self.role_named(&format!("walked {}", Uuid::now_v7()))
    }

    fn role_named(&self, name: &str) -> String {
        let permissions: &[&str] = if self.greater { &["*"] } else { &[] };
        self.made("/roles", json!({"name": name, "permissions": permissions}))
    }

    /// A user with such a role.
    fn user(&self) -> String {
        let role = format!("walked {}", Uuid::now_v7());
        self.role_named(&role);
        self.server.join_acme(&address(), &role).to_string()
    }

    fn invite(&self) -> String {
        self.made("/user-invites", self.guest())
    }

    fn guest(&self) -> Value {
        json!({"email": address(), "role_id": self.role().parse::<i64>().unwrap()})
    }

    /// A key that a caller of this route may have.
    fn key(&self, route: &Route) -> String {
        let permissions = if self.greater { ["*"] } else { [route.needs.permission().unwrap()] };
        self.made("/integration-keys", json!({"name": "walked", "permissions": permissions}))
    }

    fn oauth_client(&self, route: &Route) -> String {
        let own = || route.needs.permission().map(str::to_owned).into_iter().collect();
        let scopes: Vec<String> = if self.greater { permission_catalog::names().collect() } else { own() };
        self.made("/oauth-clients", oauth_client(&scopes))
    }

    /// The token request of a new client.
    fn token_request(&self, path: &str) -> Value {
        let client = json!({"name": "Walked", "grants": ["client_credentials"], "scopes": ["contact.view"]});
        let client = self.server.admin().post("/oauth-clients", client).created();
        let mut asked = json!({"client_id": client["client_id"], "client_secret": client["client_secret"]});
        match path {
            "/oauth/token" => asked["grant_type"] = json!("client_credentials"),
            _ => asked["token"] = json!("walked"),
        }
        asked
    }

    /// A grant that the owner approved for a client.
    fn oauth_grant(&self, route: &Route) -> String {
        let client_id = self.oauth_client(route).parse().unwrap();
        let recorder = ChangeRecorder { at: Timestamp::now(), ..self.server.recorder() };
        let id = self.server.in_file(move |db| {
            let sql = "SELECT scopes FROM oauth_clients WHERE id = ?1";
            let scopes = db.query_row(sql, [client_id], |row| row.get(0))?;
            let redirect_uri = "https://example.com/".into();
            grants::approve(db, &recorder, &Approval { client_id, user_id: 1, redirect_uri, scopes, challenge: None })?;
            Ok(db.query_row("SELECT max(id) FROM oauth_grants", [], |row| row.get::<_, i64>(0))?)
        });
        id.to_string()
    }

    fn webhook(&self) -> String {
        self.made("/webhooks", webhook_of(if self.greater { "*" } else { "customer.created" }))
    }

    /// An import with one record that is refused and one that is not. Waits until a check has ended.
    fn import(&self, is_checked: bool) -> String {
        let rows = json!([{"last_name": "Walked"}, {"email": "walked"}]);
        let id = self.made("/imports?resource=contacts", rows);
        if is_checked {
            self.server.admin().post(&format!("/imports/{id}/check"), json!({}));
            while self.server.admin().get(&format!("/imports/{id}")).ok()["state"] == "checking" {}
        }
        id
    }

    fn token(&self) -> String {
        self.server.central().post("/tokens", json!({"label": "walked"})).created()["id"].to_string()
    }

    /// Mailed codes for a change of the owner's address: one verifies the new address, one undoes the change.
    fn email_codes(&self) -> (String, String) {
        let change = json!({"email": address(), "current_password": PASSWORD});
        self.server.central().put("/account", change).created();
        (self.server.mailed("/ui/verify-email?code="), self.server.mailed("/ui/undo-email-change?code="))
    }

    /// A backup, by its name.
    fn backup(&self) -> String {
        let config = &self.server.instance.config;
        let repository = Repository::new(config, Ownership::of_data_dir(&config.data_dir).unwrap());
        backups::take(&config.data_dir, None, &repository, BackupScope::Everything, Timestamp::now(), |_, _| {})
            .unwrap()
            .name
    }

    /// A mail that waits.
    fn mail(&self) -> i64 {
        let to = address().parse().unwrap();
        let mail = Mail { to, subject: "Walked".into(), text: "Walked".into(), html: "Walked".into() };
        let now = Timestamp::now();
        let queued = self.server.instance.central.write(move |db| {
            outbox::queue(db, &mail, now)?;
            Ok::<_, Error>(db.last_insert_rowid())
        });
        queued.unwrap()
    }

    /// A mail that failed for good.
    fn failed_mail(&self) -> i64 {
        let id = self.mail();
        let failed =
            "UPDATE outbox SET due_at = NULL, tries = 5, last_tried_at = due_at, last_error = 'walked' WHERE id = ?1";
        self.server.instance.central.write(move |db| Ok::<_, Error>(db.execute(failed, [id])?)).unwrap();
        id
    }

    /// A finding that the server can fix.
    fn finding(&self) -> Uuid {
        let failed = format!("mail {}", self.failed_mail());
        let instance = &self.server.instance;
        let check = Check::run(instance, Timestamp::now(), |_, _| {}).unwrap();
        check.save(&instance.config.data_dir).unwrap();
        check.findings.iter().find(|finding| finding.what == failed).unwrap().id
    }

    fn unverify(&self) {
        let unverified = "UPDATE accounts SET email_verified = 0";
        self.server.instance.central.write(move |db| Ok::<_, Error>(db.execute(unverified, [])?)).unwrap();
    }

    /// A member of `acme` with a second factor: the email address and the authenticator app.
    fn second_factor(&self) -> (String, AuthenticatorApp) {
        let email = address();
        self.server.join_acme(&email, "agent");
        let client = self.server.anonymous().with_token(self.server.token(&email, TokenScope::Central));
        (email, AuthenticatorApp::enroll(&client))
    }

    /// The second factor of the owner. A sample of another route may have added one before.
    fn own_second_factor(&self) -> AuthenticatorApp {
        let none = "DELETE FROM second_factors WHERE account_id = 1";
        self.server.instance.central.write(move |db| Ok::<_, Error>(db.execute(none, [])?)).unwrap();
        AuthenticatorApp::enroll(&self.server.central())
    }

    /// A workspace with an identity provider.
    fn identity_provider(&self) -> String {
        let (id, _) = self.workspace();
        let domains = json!({"identity_domains": ["example.com"]});
        self.server.central().put(&format!("/instance/workspaces/{id}/identity-domains"), domains).created();
        self.server.central().put(&format!("/workspaces/{id}/identity-provider"), identity_provider()).created();
        id
    }

    /// An identity by which the owner signs in.
    fn identity(&self) -> i64 {
        let new = "INSERT INTO linked_identities (account_id, issuer, subject, provider, created_at)
                   VALUES (1, 'https://login.example.com', ?1, 'Walked', 1) RETURNING id";
        let subject = Uuid::now_v7().to_string();
        let made = self
            .server
            .instance
            .central
            .write(move |db| Ok::<_, Error>(db.query_row(new, [&subject], |row| row.get(0))?));
        made.unwrap()
    }

    fn second_factor_of_somebody(&self) -> i64 {
        let (email, _) = self.second_factor();
        let client = self.server.anonymous().with_token(self.server.token(&email, TokenScope::Central));
        client.get("/whoami").ok()["user"]["id"].as_i64().unwrap()
    }

    fn workspace(&self) -> (String, Value) {
        let made = self.server.central().post("/workspaces", json!({"name": "Walked"})).created();
        (made["id"].as_str().unwrap().to_owned(), made["subdomain"].clone())
    }

    /// A request of a resource that declares its samples.
    fn declared(&self, route: &Route) -> Option<Sample> {
        let is_own = |own: &Route| own.method == route.method && own.path == route.path;
        let resource = workspace::resources().find(|resource| resource.routes.iter().any(is_own))?;
        let [create, change] = resource.samples?;
        let mut new: Value = serde_json::from_str(create).unwrap();
        let (collection, rest) = match route.path.split_once("/{id}") {
            Some((collection, rest)) => (collection, Some(rest)),
            None => (route.path, None),
        };
        let has_customer = resource.table?.fields.iter().any(|field| field.name == "customer_id");
        if has_customer && self.customer.is_some() {
            new["customer_id"] = json!(self.customer);
        }
        let sample = |path: String, body: Option<Value>| Some(Sample { path, body });
        let own = collection.trim_end_matches("/bulk").to_owned();
        let row = || if own == "/customers" { self.customer() } else { self.made(&own, new.clone()) };
        match (route.method.as_str(), rest, route.path.rsplit('/').next()?) {
            ("POST", None, "import") => {
                sample(collection.into(), Some(json!([serde_json::from_str::<Value>(create).unwrap()])))
            }
            ("POST", None, name) if format!("/{name}") == collection => {
                sample(collection.into(), Some(serde_json::from_str(create).unwrap()))
            }
            ("DELETE", None, "bulk") => {
                sample(collection.into(), Some(json!({"ids": [row().parse::<i64>().unwrap()]})))
            }
            ("GET" | "DELETE", Some(""), _) => sample(format!("{collection}/{}", row()), None),
            ("PUT", Some(""), _) => {
                sample(format!("{collection}/{}", row()), Some(serde_json::from_str(change).unwrap()))
            }
            _ => None,
        }
    }

    /// The sample for a route. Every new route gets its sample here.
    fn of(&self, layer: Layer, route: &Route) -> Sample {
        if layer == Layer::Workspace
            && let Some(sample) = self.declared(route)
        {
            return sample;
        }
        let path = route.path;
        let with_id = |id: &str| path.replace("{id}", id);
        let at = |id: String| Sample { path: with_id(&id), body: None };
        let change = |id: String, body: Value| Sample { path: with_id(&id), body: Some(body) };
        let plain = |body: Value| Sample { path: path.into(), body: Some(body) };
        let ids = |id: String| json!({"ids": [id.parse::<i64>().unwrap()]});
        match (layer, route.method.as_str(), path) {
            (_, method, path) if path.starts_with("/smart-routings/") => {
                let routing = RoutingClient::of(self.server, &self.customer());
                let rows = routing_endpoints::all();
                let row = rows.iter().find(|row| row.method == method && path.ends_with(row.path));
                let row = row.expect("a row of its own for every endpoint");
                let world = CreatedRows::make(&routing);
                Sample { path: routing.path(&row.path(&world)), body: row.body(&world) }
            }
            (_, "GET", "/customers/resolve") => {
                let made = self.server.admin().get(&format!("/customers/{}", self.customer())).ok();
                let account = made["customer_account"].as_str().unwrap().to_owned();
                Sample { path: format!("{path}?customer_account={account}"), body: None }
            }
            (_, "GET", "/crm/lookup/caller-name/{key}") => {
                let new = json!({"name": "Walked", "permissions": ["crm.caller-name"]});
                let key = self.server.admin().post("/integration-keys", new).created();
                Sample { path: path.replace("{key}", key["key"].as_str().unwrap()), body: None }
            }
            (_, "GET", "/crm/lookup/contacts/search" | "/crm/lookup/caller-name") => {
                let contact =
                    json!({"last_name": "Walked", "phone_home_1": "01 42 00 00 00", "customer_id": self.customer});
                self.made("/contacts", contact);
                let number = if path.ends_with("name") { "number" } else { "phone" };
                Sample { path: format!("{path}?{number}=%2B33142000000"), body: None }
            }
            (_, method, "/ui/verify-email" | "/ui/undo-email-change") => {
                let (verify, undo) = self.email_codes();
                let code = if path.ends_with("verify-email") { verify } else { undo };
                let body = json!({"code": code, "password": PASSWORD});
                Sample { path: format!("{path}?code={code}"), body: (method == "POST").then_some(body) }
            }
            (_, "POST", "/account/email/verify") => plain(json!({"code": self.email_codes().0})),
            (_, "POST", "/account/email/undo") => plain(json!({"code": self.email_codes().1})),
            (_, "POST", "/account/email/resend") => {
                self.unverify();
                Sample { path: path.into(), body: None }
            }
            (_, "POST", "/login/second-factor" | "/ui/sign-in/code") => {
                let (email, app) = self.second_factor();
                let login = json!({"email": email, "password": PASSWORD});
                let host = if layer == Layer::Central { "localhost" } else { "acme.localhost" };
                let answer = self.server.anonymous().at(host).post("/login", login).json();
                plain(json!({"challenge": answer["challenge"], "code": app.code()}))
            }
            (_, "POST", "/account/second-factor") => plain(json!({"current_password": PASSWORD})),
            (_, "DELETE", "/account/second-factor") => {
                let app = self.own_second_factor();
                plain(json!({"current_password": PASSWORD, "code": app.code()}))
            }
            (_, "POST", "/account/second-factor/recovery-codes") => {
                plain(json!({"code": self.own_second_factor().code()}))
            }
            (_, "DELETE", "/account/identities/{id}") => at(self.identity().to_string()),
            (_, "GET", "/ui/sign-in/with/{provider}" | "/ui/sign-in/with/{provider}/callback") => {
                Sample { path: path.replace("{provider}", "company"), body: None }
            }
            (_, "DELETE", "/accounts/{id}/second-factor") => at(self.second_factor_of_somebody().to_string()),
            (_, "POST", "/imports") => {
                Sample { path: format!("{path}?resource=contacts"), body: Some(json!([{"last_name": "Ada"}])) }
            }
            (_, "PUT", "/imports/{id}") => change(self.import(false), json!({"mode": "upsert"})),
            (_, "POST", "/imports/{id}/run") => change(self.import(true), json!({"leave_out_refused": true})),
            (_, "GET", "/imports/{id}/refused.csv") => at(self.import(true)),
            (_, _, path) if path.starts_with("/imports/{id}") => at(self.import(false)),
            (_, "DELETE", "/tokens") => Sample { path: format!("{path}?others=1"), body: None },
            (_, "GET", "/search") => Sample { path: format!("{path}?q=nothing"), body: None },
            (_, "GET", "/crm/template") => Sample { path: format!("{path}?pbx=3cx"), body: None },
            (_, "POST", "/internal/cluster/notify") => plain(json!({})),
            (_, "GET", "/internal/tls-ask") => Sample { path: format!("{path}?domain=acme.localhost"), body: None },
            (_, method, "/oauth/authorize") => {
                let client: Value = self
                    .server
                    .admin()
                    .get(&format!(
                        "/oauth-clients/{}",
                        self.made("/oauth-clients", oauth_client(&["contact.view".into()]))
                    ))
                    .ok();
                let id = client["client_id"].as_str().unwrap();
                let asked = json!({
                    "client_id": id, "redirect_uri": "https://example.com/", "response_type": "code",
                    "decision": "approve",
                });
                let query = format!("client_id={id}&redirect_uri=https%3A%2F%2Fexample.com%2F&response_type=code");
                Sample { path: format!("{path}?{query}"), body: (method == "POST").then_some(asked) }
            }
            (_, "POST", "/ui/sign-in") => {
                plain(json!({"email": "owner@example.com", "password": PASSWORD, "to": "/docs"}))
            }
            (_, "POST", "/ui/register") => plain(json!({
                "name": "New", "email": address(), "password": "quite-a-long-one", "workspace_name": "Walked",
            })),
            (_, "POST", "/ui/password-forgot") => plain(json!({"email": "owner@example.com"})),
            (_, "GET", "/ui/enter/{id}") => {
                Sample { path: format!("{}?visit=walked&to=%2Fdocs", with_id(&self.workspace().0)), body: None }
            }
            (_, "POST", "/ui/sign-in/again") => plain(json!({})),
            (_, "POST", "/ui/sign-out") => plain(json!({"to": "/docs"})),
            (_, "POST", "/ui/second-factor") => plain(json!({"action": "begin", "current_password": PASSWORD})),
            (_, "GET", path) if !path.contains('{') => Sample { path: path.into(), body: None },
            (_, "GET" | "DELETE", path) if path.starts_with("/customers/{id}") => at(self.customer()),
            (_, "PUT", "/customers/{id}") => change(self.customer(), json!({"vip": true})),
            (_, "POST", "/customers/{id}/merge") => {
                let into = self.made("/customers", json!({"name": "Kept"})).parse::<i64>().unwrap();
                change(self.customer(), json!({"into": into}))
            }
            (_, "POST", "/contacts/{id}/merge") => {
                let with = self.contact().parse::<i64>().unwrap();
                change(self.contact(), json!({"with": with}))
            }
            (_, "POST", path) if path.ends_with("/duplicates/dismiss") || path.ends_with("/duplicates/restore") => {
                let of = path.split("/duplicates").next().unwrap();
                let one = |name: &str| match of {
                    "/contacts" => self.contact(),
                    _ => self.made(of, json!({"name": name})),
                };
                let one = |name: &str| one(name).parse::<i64>().unwrap();
                let pair = json!({"a": one("Zoe"), "b": one("Zoé")});
                if path.ends_with("/restore") {
                    self.server.admin().post(&format!("{of}/duplicates/dismiss"), pair.clone()).ok();
                }
                plain(pair)
            }
            (_, "DELETE", "/customers/bulk") => plain(ids(self.customer())),

            (_, "POST", "/oauth-clients") => {
                plain(oauth_client(&[route.needs.permission().unwrap_or_default().to_owned()]))
            }
            (_, "PUT", "/oauth-clients/{id}") => change(self.oauth_client(route), json!({"active": false})),
            (_, _, path) if path.starts_with("/oauth-clients/{id}") => at(self.oauth_client(route)),
            (_, "DELETE", "/oauth-grants/{id}") => at(self.oauth_grant(route)),
            (_, "POST", path) if path.starts_with("/oauth/") && path != "/oauth/authorize" => {
                plain(self.token_request(path))
            }

            (_, "POST", "/webhooks") => plain(webhook_of("customer.created")),
            (_, "PUT", "/webhooks/{id}") => change(self.webhook(), json!({"active": false})),
            (_, _, path) if path.starts_with("/webhooks/{id}") => {
                let id = self.webhook();
                let delivery = self.made(&format!("/webhooks/{id}/test"), json!({}));
                Sample { path: with_id(&id).replace("{delivery_id}", &delivery), body: None }
            }

            (_, "POST", "/crm/lookup/contacts") => plain(json!({"last_name": "Lovelace", "phone": "01 42 00 00 00"})),
            (_, "POST", "/crm/lookup/phone-calls") => {
                self.contact();
                plain(json!({"call_type": "Missed", "number": "01 42 00 00 00", "external_id": "7"}))
            }
            (_, "PUT", "/crm/lookup/phone-calls/{id}") => change(self.phone_call(), json!({"body": "Called back"})),
            (_, "POST", "/crm/lookup/chats") => plain(json!({"number": "01 42 00 00 00", "body": "Bonjour"})),

            (_, "PUT", "/settings") => plain(json!({"locale": "de-CH"})),

            (_, "GET" | "DELETE", "/users/{id}") => at(self.user()),
            (_, "PUT", "/users/{id}") => change(self.user(), json!({"phone": "01 42 00 00 00"})),
            (_, "GET" | "DELETE", "/roles/{id}") => at(self.role()),
            (_, "POST", "/roles") => plain(json!({"name": "Readers", "permissions": []})),
            (_, "PUT", "/roles/{id}") => change(self.role(), json!({"name": "Writers"})),
            (_, "POST", "/integration-keys") => {
                plain(json!({"name": "importer", "permissions": [route.needs.permission()]}))
            }
            (_, "PUT", "/integration-keys/{id}") => change(self.key(route), json!({"active": false})),
            (_, "POST", "/integration-keys/{id}/rotate") => change(self.key(route), json!({"grace": 0})),
            (_, "GET" | "DELETE", "/integration-keys/{id}") => at(self.key(route)),
            (Layer::Workspace, "POST", "/user-invites") => plain(self.guest()),
            (Layer::Workspace, "POST" | "DELETE", path) if path.starts_with("/user-invites/{id}") => at(self.invite()),

            (_, "GET", "/user-invites/code/{code}") => {
                let (_, code) = self.server.invited("owner@example.com");
                Sample { path: path.replace("{code}", &code), body: None }
            }
            (_, method, "/ui/invitations/{code}") => {
                let (_, code) = self.server.invited("owner@example.com");
                let body = (method == "POST").then(|| json!({"password": PASSWORD}));
                Sample { path: path.replace("{code}", &code), body }
            }
            (_, "POST", "/user-invites/{id}/accept" | "/user-invites/{id}/decline") => {
                at(self.server.invited("owner@example.com").0.to_string())
            }
            (_, "POST", "/login") => plain(json!({"email": "owner@example.com", "password": PASSWORD})),
            (_, "POST", "/logout") => Sample { path: path.into(), body: None },
            (_, "POST", "/switch-to") => plain(json!({"workspace_id": self.server.acme.id})),
            (_, "POST", "/register") => plain(json!({
                "name": "New", "email": address(), "password": "quite-a-long-one",
                "subdomain": format!("newly-{}", Uuid::now_v7().simple()),
            })),
            (_, "POST", "/password/forgot") => plain(json!({"email": "owner@example.com"})),
            (_, "POST", "/password/reset" | "/ui/password-reset") => {
                self.server.anonymous().post("/password/forgot", json!({"email": "owner@example.com"})).ok();
                let mail = self.server.mails().pop().unwrap();
                let (_, code) = mail.text.split_once("&code=").unwrap();
                let code = code.split_whitespace().next().unwrap();
                plain(json!({"email": "owner@example.com", "code": code, "password": "quite-a-long-one"}))
            }
            (_, "PUT", "/account") => plain(json!({"name": "Renamed"})),
            (_, "DELETE", "/account") => plain(json!({"current_password": PASSWORD})),
            (_, "POST", "/tokens") => plain(json!({"label": "program"})),
            (_, "DELETE", "/tokens/{id}") => at(self.token()),
            (_, "POST", "/workspaces") => plain(json!({"name": "Another"})),
            (_, "GET", "/workspaces/{id}" | "/workspaces/{id}/export" | "/workspaces/{id}/members") => {
                at(self.workspace().0)
            }
            (_, "GET" | "DELETE", "/workspaces/{id}/identity-provider") => at(self.identity_provider()),
            (_, "PUT", "/workspaces/{id}/identity-provider") => change(self.identity_provider(), json!({"name": "N"})),
            (_, "PUT", "/instance/workspaces/{id}/identity-domains") => {
                change(self.workspace().0, json!({"identity_domains": ["example.com"]}))
            }
            (_, "GET", "/instance/workspaces/{id}") => at(self.workspace().0),
            (_, "POST", "/instance/workspaces/{id}/suspend") => change(self.workspace().0, json!({})),
            (_, "POST", "/instance/workspaces/{id}/resume") => {
                let (id, _) = self.workspace();
                self.server.central().post(&format!("/instance/workspaces/{id}/suspend"), json!({})).created();
                change(id, json!({}))
            }
            (_, "POST", "/instance/workspaces/{id}/restore") => {
                let (id, subdomain) = self.workspace();
                self.server.central().delete_with(&format!("/workspaces/{id}"), json!({"subdomain": subdomain})).ok();
                change(id, json!({}))
            }
            (_, "GET", "/instance/mails/{id}") => at(self.mail().to_string()),
            (_, "POST", "/instance/mails/{id}/send-again") => {
                let id = self.failed_mail();
                change(id.to_string(), json!({}))
            }
            (_, "POST", "/instance/backups" | "/instance/findings/check") => plain(json!({})),
            (_, "POST", "/instance/findings/{id}/fix") => change(self.finding().to_string(), json!({})),
            (_, "POST", "/instance/backups/{id}/verify") => change(self.backup(), json!({})),
            (_, "PUT", "/workspaces/{id}") => change(self.workspace().0, json!({"name": "N"})),
            (_, "POST", "/workspaces/{id}/transfer") => change(self.workspace().0, json!({"user_id": 1})),
            (_, "DELETE", "/workspaces/{id}") => {
                let (id, subdomain) = self.workspace();
                change(id, json!({"subdomain": subdomain}))
            }
            (_, "GET", "/docs/{layer}/{resource}") => Sample { path: "/docs/workspace/customers".into(), body: None },
            (_, method, path) => panic!("{method} {path} has no sample: add one, so that the walk can take it"),
        }
    }
}

/// An unused address.
fn address() -> String {
    format!("walked-{}@example.com", Uuid::now_v7().simple())
}

pub fn sample(server: &TestServer, layer: Layer, route: &Route) -> Sample {
    Samples { server, customer: None, greater: false }.of(layer, route)
}

/// Calls `check` for every route but the pages of the console, on a fresh server after each route that writes.
/// `console_pages.rs` covers the console.
fn walk(mut check: impl FnMut(&TestServer, Layer, &'static Route)) {
    let router = router();
    let mut server = server();
    for layer in [Layer::Central, Layer::Workspace] {
        let at_root = router.root_routes().filter(|_| layer == Layer::Central);
        for route in at_root.chain(router.routes(layer)).filter(|route| !is_console(layer, route)) {
            check(&server, layer, route);
            if route.method != Method::GET {
                server = self::server();
            }
        }
    }
}

fn identity_provider() -> Value {
    json!({"name": "Walked", "issuer": "https://login.example.com", "client_id": "walked", "client_secret": "walked"})
}

/// A server that serves every route.
fn server() -> TestServer {
    static PROVIDER: LazyLock<(StubProvider, String)> = LazyLock::new(|| {
        let provider = StubProvider::start();
        let file = provider.file("");
        (provider, file)
    });
    TestServer::with(&[("metrics", "true"), ("single_sign_on", &PROVIDER.1)])
}

/// Whether the route is a page, which knows the sessions of browsers.
pub fn is_page(layer: Layer, route: &Route) -> bool {
    let audience = router().find(layer, route.path).map(|found| found.audience);
    audience == Some(Audience::People)
}

/// Whether the route is a page of the console.
pub fn is_console(layer: Layer, route: &Route) -> bool {
    static PAGES: LazyLock<HashSet<(bool, &str)>> = LazyLock::new(|| {
        let of = |layer| console_routes(layer).map(move |page| (layer == Layer::Central, page.path));
        of(Layer::Central).chain(of(Layer::Workspace)).collect()
    });
    PAGES.contains(&(layer == Layer::Central, route.path))
}

/// The pages of the console.
pub fn console_routes(layer: Layer) -> impl Iterator<Item = &'static Route> {
    let resources = match layer {
        Layer::Central => pages::console_of_central(),
        Layer::Workspace => pages::console_of_workspace(),
    };
    resources.into_iter().flat_map(|resource| resource.routes)
}

/// Whether the path of the route is never below `/api`.
fn is_at_root(route: &Route) -> bool {
    router().root_routes().any(|other| std::ptr::eq(other, route))
}

/// Sends a request as the holder of a person's token. A page gets the token as the session of a browser, with the key
/// of its form.
fn send(layer: Layer, route: &Route, caller: &TestClient<'_>, path: &str, body: Option<Value>) -> TestResponse {
    match caller.token() {
        Some(token) if is_page(layer, route) => {
            let browser = caller.anonymous().with_header("cookie", &format!("cx_session={token}"));
            browser.send(route.method.clone(), path, with_form_key(body, token))
        }
        _ => caller.send(route.method.clone(), path, body),
    }
}

fn with_form_key(body: Option<Value>, secret: &str) -> Option<Value> {
    body.map(|mut body| {
        body["form_key"] = json!(pages::form_key_of(secret));
        body
    })
}

/// Checks that a page leads to the sign-in page and back.
#[track_caller]
pub fn leads_to_sign_in(route: &Route, path: &str, answer: &TestResponse) {
    let path = form_urlencoded::byte_serialize(format!("/api{path}").as_bytes()).collect::<String>();
    let location = answer.headers.get(header::LOCATION).map(|location| location.to_str().unwrap());
    let expected = format!("/ui/sign-in?to={path}");
    assert_eq!((answer.status.as_u16(), location), (303, Some(&*expected)), "{} {}", route.method, route.path);
}

/// Like [`walk`], over the routes of a workspace.
fn walk_workspace(mut check: impl FnMut(&TestServer, &'static Route)) {
    walk(|server, layer, route| {
        if layer == Layer::Workspace {
            check(server, route);
        }
    });
}

pub fn owner(server: &TestServer, layer: Layer) -> TestClient<'_> {
    match layer {
        Layer::Central => server.central(),
        Layer::Workspace => server.admin(),
    }
}

fn host(layer: Layer) -> &'static str {
    match layer {
        Layer::Central => "localhost",
        Layer::Workspace => "acme.localhost",
    }
}

#[track_caller]
fn done(route: &Route, answer: &TestResponse) {
    let is_page = [Layer::Central, Layer::Workspace].iter().any(|layer| is_page(*layer, route));
    let leads_on = answer.status == 303 && (is_page || is_at_root(route));
    // A sample has no cookie of an attempt.
    let is_callback = route.path.ends_with("/callback") && answer.status == 403;
    assert!(answer.status.is_success() || leads_on || is_callback, "{} {}: {answer:?}", route.method, route.path);
}

#[track_caller]
fn misses(route: &Route, permission: &str, answer: &TestResponse) {
    // A page does not reveal which rows exist.
    if is_page(Layer::Workspace, route) {
        return assert_eq!(answer.status, 404, "{answer:?}");
    }
    answer.rejected(403, "missing_permission");
    assert!(answer.text.contains(&format!("permission {permission}.")), "{}", answer.text);
}

#[test]
fn without_a_token_only_what_is_for_anyone_is_answered() {
    walk(|server, layer, route| {
        let Sample { path, body } = sample(server, layer, route);
        let nobody = server.anonymous().at(host(layer));
        let answer = match is_page(layer, route) {
            _ if is_at_root(route) => at_root(server, &route.method, &path),
            true => nobody.with_header("cookie", "cx_visit=walked").send(
                route.method.clone(),
                &path,
                with_form_key(body, "walked"),
            ),
            false => nobody.send(route.method.clone(), &path, body),
        };
        match route.needs {
            // For nodes, which sign their requests.
            Needs::Anyone if route.path == NOTIFY_PATH => answer.rejected(401, "unknown_node"),
            Needs::Anyone => done(route, &answer),
            _ if is_page(layer, route) => leads_to_sign_in(route, &path, &answer),
            _ => answer.rejected(401, "token_missing"),
        }
    });
}

/// Requests a path that is never below `/api`.
fn at_root(server: &TestServer, method: &Method, path: &str) -> TestResponse {
    let request = http::Request::builder().method(method).uri(path).header(header::HOST, "localhost");
    server.send(request.body(Full::default()).unwrap())
}

/// A page accepts the session of a browser in its own workspace, or on the central host, and nothing else. The form of a
/// page accepts only the key of the visitor.
#[test]
fn a_page_accepts_its_own_session_alone() {
    let mut seen = Vec::new();
    walk(|server, layer, route| {
        if !is_page(layer, route) {
            return;
        }
        let Sample { path, body } = sample(server, layer, route);
        let nobody = server.anonymous().at(host(layer));
        let session = |token: &str| nobody.with_header("cookie", &format!("cx_session={token}"));
        let acme = TokenScope::Workspace(server.acme.id);
        let (own_scope, other_scope) = match layer {
            Layer::Central => (TokenScope::Central, acme),
            Layer::Workspace => (acme, TokenScope::Central),
        };
        let own = server.token("owner@example.com", own_scope);
        let key = server.key(&["*"], None).token().unwrap().to_owned();
        let program = server.oauth(&["contact.view"], None).token().unwrap().to_owned();
        let no_sessions = [
            nobody.clone().with_token(own.clone()),
            nobody.clone().with_token(key.clone()),
            nobody.clone().with_token(program.clone()),
            session(&key),
            session(&program),
            session("walked"),
            session(&server.token("owner@example.com", other_scope)),
            session(&server.token("owner@example.com", TokenScope::Workspace(server.other.id))),
            session(&server.token_of("owner@example.com", own_scope, Timestamp::now().plus(-7200))),
        ];
        for visitor in no_sessions.iter().filter(|_| route.needs != Needs::Anyone) {
            leads_to_sign_in(route, &path, &visitor.send(route.method.clone(), &path, body.clone()));
            seen.push((layer, route.path));
        }
        if route.needs != Needs::Anyone && layer == Layer::Workspace {
            let other = session(&own).at("other.localhost").send(route.method.clone(), &path, body.clone());
            leads_to_sign_in(route, &path, &other);
        }
        if body.is_some() {
            let status = if route.path == "/oauth/authorize" { 400 } else { 403 };
            for form in [body.clone(), with_form_key(body.clone(), "walked")] {
                let answer = session(&own).send(route.method.clone(), &path, form);
                assert!(answer.status == status && answer.text.contains("from another site"), "{path}: {answer:?}");
            }
            let good = with_form_key(body.clone(), &own);
            for site in ["cross-site", "same-site"] {
                let visitor = session(&own).with_header("sec-fetch-site", site);
                assert_eq!(visitor.send(route.method.clone(), &path, good.clone()).status, status, "{path}");
            }
            assert!(session(&own).send(route.method.clone(), &path, good).status.as_u16() < 400, "{path}");
            if route.has_form_key {
                let answer = nobody.send(route.method.clone(), &path, with_form_key(body, "walked"));
                assert_eq!(answer.status, 403, "{path}: {answer:?}");
            }
        }
    });
    let page = (Layer::Workspace, "/ui/second-factor");
    assert!(seen.contains(&page), "{page:?}: {seen:?}");
}

/// Checks that each of these clients gets its error, and nothing else.
#[track_caller]
fn open_nothing<'c>(
    server: &TestServer,
    layer: Layer,
    route: &Route,
    expected: impl IntoIterator<Item = (TestClient<'c>, &'static str)>,
) {
    let Sample { path, body } = sample(server, layer, route);
    for (number, (client, code)) in expected.into_iter().enumerate() {
        let answer = client.send(route.method.clone(), &path, body.clone());
        if is_page(layer, route) {
            leads_to_sign_in(route, &path, &answer);
            continue;
        }
        let said = answer.json()["error"] == code;
        assert!(answer.status == 401 && said, "{} {path}, {number}: {answer:?}", route.method);
    }
}

#[test]
fn what_is_no_credential_any_more_or_never_was_opens_nothing() {
    walk(|server, layer, route| {
        if route.needs == Needs::Anyone {
            return;
        }
        let email = "owner@example.com";
        let (scope, no_key) = match layer {
            Layer::Central => (TokenScope::Central, "wrong_token_scope"),
            Layer::Workspace => (TokenScope::Workspace(server.acme.id), "token_invalid"),
        };
        let nobody = server.anonymous().at(host(layer));
        let good = server.token(email, scope);
        let over = server.token_of(email, scope, Timestamp::now().plus(-7200));
        let gone = server.token(email, scope);
        nobody.clone().with_token(gone.clone()).post("/logout", json!({})).ok();
        let with = |value: &str| nobody.with_header("authorization", value);
        // A login that waits for its second factor grants nothing, and a code is not a token.
        let (somebody, app) = Samples { server, customer: None, greater: false }.second_factor();
        let login = json!({"email": somebody, "password": PASSWORD});
        let pending = server.anonymous().at(host(layer)).post("/login", login).json();
        let challenge = pending["challenge"].as_str().unwrap().to_owned();
        // No route but a page looks at cookies. A page looks at nothing else.
        let session = nobody.with_header("cookie", &format!("cx_session={good}"));
        let elsewhere = if is_page(layer, route) { with(&format!("Bearer {good}")) } else { session };
        let expected = [
            (with(&format!("Bearer {challenge}")), "token_invalid"),
            (with(&format!("Bearer {}", app.recovery_codes[0])), "token_invalid"),
            (with(&format!("Bearer {}", server.invited("owner@example.com").1)), "token_invalid"),
            (nobody.with_header("cookie", &format!("cx_session={challenge}")), "token_missing"),
            (with(&format!("Bearer {over}")), "token_expired"),
            (with(&format!("Bearer {gone}")), "token_revoked"),
            (with("Bearer"), "token_invalid"),
            (with("Bearer "), "token_invalid"),
            (with("Bearer cxk_0000"), no_key),
            (with("Bearer cxf_0000"), no_key),
            (with(&format!("Basic {good}")), "token_invalid"),
            (with(&format!("Bearer {good}x")), "token_invalid"),
            // Either of two headers could count, so both are rejected.
            (with(&format!("Bearer {good}")).with_header("authorization", "Bearer x"), "token_invalid"),
            (elsewhere, "token_missing"),
        ];
        open_nothing(server, layer, route, expected);
    });
}

/// Members without the required second factor cannot read or change anything. Programs are not affected.
#[test]
fn a_member_without_the_second_factor_that_the_workspace_requires_is_let_into_nothing() {
    walk_workspace(|server, route| {
        if matches!(route.needs, Needs::Anyone | Needs::SignedIn | Needs::AnyToken) {
            return;
        }
        let Sample { path, body } = sample(server, Layer::Workspace, route);
        let key = route.needs.permission().map(|permission| server.key(&asks(route, permission), None));
        let sql = "INSERT OR REPLACE INTO settings (name, value) VALUES ('require_second_factor', '1')";
        server.in_file(move |db| Ok(db.execute(sql, [])?));
        let audited =
            || server.in_file(|db| Ok(db.query_row("SELECT count(*) FROM audit_log", [], |row| row.get::<_, i64>(0))?));
        let before = audited();
        let answer = send(Layer::Workspace, route, &server.admin(), &path, body.clone());
        match is_page(Layer::Workspace, route) {
            true => assert_eq!(answer.status, 404, "{answer:?}"),
            false => answer.rejected(403, "second_factor_required"),
        }
        assert_eq!(audited(), before, "{} {path}", route.method);
        let is_for_programs = route.needs.permission() != Some("*") && !is_page(Layer::Workspace, route);
        if let Some(key) = key.filter(|_| is_for_programs) {
            done(route, &key.send(route.method.clone(), &path, body));
        }
        let sql = "DELETE FROM settings WHERE name = 'require_second_factor'";
        server.in_file(move |db| Ok(db.execute(sql, [])?));
    });
}

/// An unverified address only prevents answering invitations.
#[test]
fn an_account_with_an_unverified_address_does_all_but_answer_invitations() {
    walk(|server, layer, route| {
        let Sample { path, body } = sample(server, layer, route);
        Samples { server, customer: None, greater: false }.unverify();
        if route.method == Method::DELETE && route.path == "/account" {
            server.instance.central.write(|db| Ok::<_, Error>(db.execute("DELETE FROM workspaces", [])?)).unwrap();
        }
        if is_at_root(route) {
            return;
        }
        let answer = send(layer, route, &owner(server, layer), &path, body);
        match route.path {
            "/user-invites/{id}/accept" | "/user-invites/{id}/decline" => answer.rejected(404, "not_found"),
            _ => done(route, &answer),
        }
    });
}

#[test]
fn a_token_of_another_scope_is_refused() {
    walk(|server, layer, route| {
        if matches!(route.needs, Needs::Anyone | Needs::AnyToken) {
            return;
        }
        let Sample { path, body } = sample(server, layer, route);
        let strangers = match layer {
            // Such a route of the central host accepts a workspace's token.
            Layer::Central if route.follows_token => vec![server.key(&["*"], None).at("localhost")],
            Layer::Central => vec![server.admin().at("localhost"), server.key(&["*"], None).at("localhost")],
            Layer::Workspace => vec![
                server.central().at("acme.localhost"),
                server.admin_of_other().at("acme.localhost"),
                server.key(&["*"], None).at("localhost"),
            ],
        };
        for stranger in strangers {
            let answer = stranger.send(route.method.clone(), &path, body.clone());
            if is_page(layer, route) {
                assert!(answer.status == 303 || answer.status == 404, "{answer:?}");
                continue;
            }
            // A key has no access from the central host. A path of both layers may lack the method there.
            if answer.status != 405 {
                answer.rejected(401, "wrong_token_scope");
            }
        }
        if layer == Layer::Workspace && !is_page(layer, route) {
            let answer = server.key(&["*"], None).at("other.localhost").send(route.method.clone(), &path, body);
            answer.rejected(401, "token_invalid");
        }
    });
}

#[test]
fn a_programs_token_opens_nothing_elsewhere_or_once_it_is_gone() {
    walk(|server, layer, route| {
        if route.needs == Needs::Anyone {
            return;
        }
        let program = server.oauth(&["customer.view"], None);
        let routing = RoutingClient::new(server);
        let flow = |token: &Value| server.anonymous().at("acme.localhost").signed_in(token);
        let made = routing.post("/cfd-tokens", json!({"name": "Night"})).created();
        let call_flow = flow(&made);
        let mut expected = match layer {
            Layer::Central => {
                vec![(program.at("localhost"), "wrong_token_scope"), (call_flow.at("localhost"), "wrong_token_scope")]
            }
            Layer::Workspace => vec![
                (program.at("other.localhost"), "wrong_token_scope"),
                (call_flow.at("other.localhost"), "token_invalid"),
            ],
        };
        if layer == Layer::Workspace {
            let gone = routing.post("/cfd-tokens", json!({"name": "Gone"})).created();
            assert!(routing.delete(&format!("/cfd-tokens/{}", gone["id"])).status.is_success());
            expected.push((flow(&gone), "token_invalid"));
            for (change, code) in [("active = 0", "token_revoked"), ("expires_at = 1", "token_expired")] {
                let key = server.key(&["*"], None);
                let sql =
                    format!("UPDATE integration_keys SET {change} WHERE id = (SELECT max(id) FROM integration_keys)");
                server.in_file(move |db| Ok(db.execute(&sql, [])?));
                expected.push((key, code));
            }
            let program = server.oauth(&["customer.view"], None);
            let revoke = "UPDATE oauth_grants SET revoked_at = 1 WHERE id = (SELECT max(id) FROM oauth_grants)";
            server.in_file(move |db| Ok(db.execute(revoke, [])?));
            expected.push((program, "token_revoked"));
            // A cookie may hold only a person's session, and only for pages.
            let key = server.key(&["*"], None).token().unwrap().to_owned();
            let cookie = format!("cx_session={key}");
            expected.push((server.anonymous().at("acme.localhost").with_header("cookie", &cookie), "token_missing"));
        }
        open_nothing(server, layer, route, expected);
    });
}

#[test]
fn an_account_reaches_what_its_place_in_the_workspace_allows() {
    walk(|server, layer, route| {
        if layer != Layer::Central || is_at_root(route) {
            return;
        }
        let Sample { path, body } = sample(server, layer, route);
        let agent = server.with_role("agent").post("/switch-to", json!({})).ok();
        // The rows belong to a workspace of the owner; the agent is not a member of it.
        let outsiders = [server.stranger(), server.anonymous().signed_in(&agent)];
        for outsider in outsiders {
            let answer = send(layer, route, &outsider, &path, body.clone());
            match route.needs {
                Needs::Member | Needs::Owner if is_page(layer, route) => assert_eq!(answer.status, 404, "{answer:?}"),
                Needs::Member | Needs::Owner => answer.rejected(404, "workspace_not_found"),
                Needs::Operator => answer.rejected(403, "forbidden"),
                // A challenge can be used once, and the first outsider has used it.
                _ if matches!(route.path, "/login/second-factor" | "/ui/sign-in/code") => {}
                // The request may fail for other reasons, but not because of its sender.
                _ => assert!(answer.status != 401 && !answer.text.contains("\"forbidden\""), "{answer:?}"),
            }
        }
        if matches!(route.needs, Needs::Member | Needs::Owner) {
            let path = route.path.replace("{id}", &server.acme.id.to_string());
            let answer = send(layer, route, &server.anonymous().signed_in(&agent), &path, body);
            match route.needs {
                Needs::Member => done(route, &answer),
                _ if is_page(layer, route) => assert_eq!(answer.status, 403, "{answer:?}"),
                _ => answer.rejected(403, "forbidden"),
            }
        }
    });
}

/// A caller who may change but not view a row gets back only the fields of the request.
#[test]
fn a_change_shows_nothing_to_whoever_may_not_view() {
    let mut limited = Vec::new();
    walk_workspace(|server, route| {
        let Some(permission) = route.needs.permission() else { return };
        let router = router();
        let list = router.list_of(Layer::Workspace, route).and_then(|list| list.needs.permission());
        let is_change = route.method == Method::PUT || (route.method == Method::POST && route.path.contains("{id}"));
        if !is_change || list.is_none_or(|list| asks(route, permission).contains(&list)) {
            return;
        }
        let Sample { path, body } = sample(server, Layer::Workspace, route);
        let answer = server.with_only(&asks(route, permission)).send(route.method.clone(), &path, body.clone());
        done(route, &answer);
        let sent = body.unwrap_or_default();
        let json = answer.json();
        for name in json.as_object().unwrap().keys() {
            let is_known =
                ["id", "key", "client_secret", "response"].contains(&name.as_str()) || sent.get(name).is_some();
            assert!(is_known, "{} {path}: {answer:?}", route.method);
        }
        assert!(answer.headers.get(ETAG).is_none(), "{answer:?}");
        limited.push(route.path);
    });
    for path in ["/customers/{id}", "/contacts/{id}", "/customers/{id}/merge", "/integration-keys/{id}/rotate"] {
        assert!(limited.contains(&path), "{path}: {limited:?}");
    }
}

/// True if everyone may use the list and sees only their own rows.
fn lists_ones_own(route: &Route) -> bool {
    matches!(route.needs, Needs::OwnOr(_)) && !route.path.contains("{id}")
}

#[test]
fn a_role_does_what_its_permissions_say_and_is_told_which_is_missing() {
    walk_workspace(|server, route| {
        for role in ["admin", "manager", "agent"] {
            let Sample { path, body } = sample(server, Layer::Workspace, route);
            let caller = server.with_role(role);
            let send = || send(Layer::Workspace, route, &caller, &path, body);
            match route.needs.permission() {
                _ if lists_ones_own(route) => done(route, &send()),
                // The sample is the admin's.
                _ if route.needs == Needs::Own && route.path.contains("{id}") => send().rejected(404, "not_found"),
                Some(permission) if !server.may(role, permission) => misses(route, permission, &send()),
                _ if route.path == "/login" => {}
                _ => done(route, &send()),
            }
        }
    });
}

#[test]
fn one_permission_is_enough_for_its_own_rows_and_for_no_other() {
    walk_workspace(|server, route| {
        let Some(permission) = route.needs.permission() else { return };
        for only in [permission, "customer.view", "audit.view"] {
            let Sample { path, body } = sample(server, Layer::Workspace, route);
            let answer = send(Layer::Workspace, route, &server.with_only(&asks(route, only)), &path, body);
            if only == permission || lists_ones_own(route) {
                done(route, &answer)
            } else {
                misses(route, permission, &answer)
            }
        }
    });
}

/// Resources that let others act. A caller may change one only with all of its permissions.
const ACTING: &[&str] =
    &["users", "roles", "integration-keys", "user-invites", "oauth-clients", "oauth-grants", "webhooks"];

#[test]
fn nobody_touches_what_they_could_not_give() {
    let mut touched = Vec::new();
    walk_workspace(|server, route| {
        let resource = route.path.split('/').nth(1).unwrap_or_default();
        if route.method == Method::GET || !ACTING.contains(&resource) || !route.path.contains("{id}") {
            return;
        }
        let Sample { path, body } = Samples { server, customer: None, greater: true }.of(Layer::Workspace, route);
        let caller = server.with_only(&asks(route, route.needs.permission().unwrap()));
        let all = || {
            let list = |path: &str| server.admin().get(path).ok();
            (list(&format!("/{resource}")), list("/audit-log")["total"].clone(), server.mails())
        };
        let before = all();
        let answer = caller.send(route.method.clone(), &path, body.clone());
        assert_eq!(answer.status, 403, "{} {path}: {answer:?}", route.method);
        answer.rejected(403, "missing_permission");
        assert_eq!(all(), before, "{} {path}", route.method);
        // A caller with the same permissions may change it.
        done(route, &server.with_role("admin").send(route.method.clone(), &path, body));
        touched.push(format!("{} {}", route.method, route.path));
    });
    for resource in ACTING {
        assert!(touched.contains(&format!("DELETE /{resource}/{{id}}")), "{resource}: {touched:?}");
    }
}

#[test]
fn a_key_does_what_it_was_given_and_nothing_that_is_a_persons() {
    programs_do_what_they_were_given(|server, permissions| server.key(permissions, None));
}

#[test]
fn an_oauth_token_does_what_it_was_given_and_nothing_that_is_a_persons() {
    programs_do_what_they_were_given(|server, scopes| server.oauth(scopes, None));
}

fn programs_do_what_they_were_given(program: impl for<'b> Fn(&'b TestServer, &[&str]) -> TestClient<'b>) {
    walk_workspace(|server, route| {
        let permission = route.needs.permission();
        let Sample { path, body } = sample(server, Layer::Workspace, route);
        let send = |caller: TestClient<'_>| caller.send(route.method.clone(), &path, body.clone());
        if is_page(Layer::Workspace, route) {
            return;
        }
        match (route.needs, permission) {
            (Needs::Anyone, _) => {}
            // The sample is the admin's.
            (Needs::Own, _) if route.path.contains("{id}") => {
                send(program(server, &["contact.create"])).rejected(404, "not_found");
            }
            (Needs::Own, _) if route.method == Method::POST => {
                misses(route, "contact.create", &send(program(server, &["audit.view"])));
                done(route, &send(program(server, &["contact.create"])));
            }
            (Needs::SignedIn | Needs::AnyToken, _) => send(program(server, &["audit.view"])).rejected(403, "forbidden"),
            // Only an admin may do this.
            (_, Some("*")) => misses(route, "*", &send(program(server, &["audit.view", "user.view"]))),
            (_, Some(permission)) => {
                let other = if permission == "audit.view" { "contact.view" } else { "audit.view" };
                misses(route, permission, &send(program(server, &[other])));
                done(route, &send(program(server, &asks(route, permission))));
            }
            (_, None) => done(route, &send(program(server, &["audit.view"]))),
        }
    });
}

#[test]
fn a_customers_key_reaches_the_customers_rows_alone() {
    customers_programs_reach_their_rows_alone(|server, customer| server.key(&["*"], customer));
}

#[test]
fn a_customers_oauth_token_reaches_the_customers_rows_alone() {
    customers_programs_reach_their_rows_alone(|server, customer| {
        let all: Vec<String> = permission_catalog::names().collect();
        server.oauth(&all.iter().map(String::as_str).collect::<Vec<_>>(), customer)
    });
}

/// A caller bound to a customer can see and change only that customer's rows, on every route.
fn customers_programs_reach_their_rows_alone(program: impl for<'b> Fn(&'b TestServer, Option<i64>) -> TestClient<'b>) {
    walk_workspace(|server, route| {
        let is_for_people = is_page(Layer::Workspace, route);
        if is_for_people || matches!(route.needs, Needs::Anyone | Needs::SignedIn | Needs::AnyToken) {
            return;
        }
        let own = server.admin().post("/customers", json!({"name": "Own"})).created()["id"].as_i64();
        let send = |Sample { path, body }: Sample| {
            let answer = program(server, own).send(route.method.clone(), &path, body);
            assert!(!answer.text.contains("Walked"), "{} {path}: {answer:?}", route.method);
            answer
        };
        let theirs = send(sample(server, Layer::Workspace, route));
        match route.needs {
            Needs::Permission("*") | Needs::Self_("*") => return assert_eq!(theirs.status, 403),
            Needs::Permission(_) | Needs::Self_(_) | Needs::OwnOr(_) => return theirs.rejected(403, "forbidden"),
            // Public holidays are nobody's.
            _ if route.path.ends_with("/holidays/calendar") => return done(route, &theirs),
            // The request names its customer.
            _ if route.path.starts_with("/smart-routings/") => theirs.rejected(403, "forbidden"),
            Needs::Scoped(_) | Needs::Own if route.path.contains("{id}") => theirs.rejected(404, "not_found"),
            // The body names two records.
            Needs::Scoped(_) if route.path.contains("/duplicates/") => assert_eq!(theirs.status, 400),
            Needs::Scoped(_) if route.path.ends_with("/bulk") => theirs.rejected(422, "unknown_ids"),
            Needs::Scoped(_) if route.path.ends_with("/resolve") => theirs.rejected(404, "customer_not_found"),
            _ => done(route, &theirs),
        }
        // No caller sees two customers and is bound to one.
        let is_possible = !route.path.starts_with("/customers/duplicates/");
        if let (Needs::Scoped(_) | Needs::Lookup(_), true) = (route.needs, is_possible) {
            let rows = Samples { server, customer: own, greater: false }.of(Layer::Workspace, route);
            let answer = program(server, own).send(route.method.clone(), &rows.path, rows.body);
            done(route, &answer);
            // Some answers are a text.
            let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
            if let Some(customer) = body.get("customer_id") {
                assert_eq!(customer.as_i64(), own, "{} {}", route.method, route.path);
            }
        }
    });
}

#[test]
fn a_call_flow_looks_up_and_does_nothing_else() {
    walk_workspace(|server, route| {
        if route.needs == Needs::Anyone || is_page(Layer::Workspace, route) {
            return;
        }
        let Sample { path, body } = sample(server, Layer::Workspace, route);
        let account = path.split("customer_account=").nth(1).filter(|_| path.starts_with("/smart-routings/"));
        let routing = match account {
            Some(account) => {
                server.admin().get(&format!("/customers/resolve?customer_account={account}")).ok()["id"].to_string()
            }
            None => server.admin().post("/customers", json!({"name": "Own"})).created()["id"].to_string(),
        };
        let token = RoutingClient::of(server, &routing).post("/cfd-tokens", json!({"name": "Night"})).created();
        let flow = server.anonymous().at("acme.localhost").signed_in(&token);
        let answer = flow.send(route.method.clone(), &path, body);
        match route.needs {
            Needs::Lookup(_) => done(route, &answer),
            _ => answer.rejected(403, "forbidden"),
        }
    });
}

#[test]
fn rows_of_another_workspace_are_never_there() {
    walk(|server, layer, route| {
        if layer != Layer::Workspace || !route.path.contains("{id}") {
            return;
        }
        let Sample { path, body } = sample(server, layer, route);
        let answer = send(layer, route, &server.admin_of_other(), &path, body);
        // The other workspace has users and roles with the same ids: the built-in ones and the owner's.
        assert!(!answer.text.contains("alked"), "{} {path}: {answer:?}", route.method);
        assert!(answer.status == 404, "{} {path}: {answer:?}", route.method);
    });
}

#[test]
fn every_answer_has_the_shape_that_the_description_gives_it() {
    let documents = [description(Layer::Central), description(Layer::Workspace)];
    walk(|server, layer, route| {
        let document = &documents[usize::from(layer == Layer::Workspace)];
        let Sample { path, body } = sample(server, layer, route);
        let deletes_account = route.method == Method::DELETE && route.path == "/account";
        if deletes_account {
            server.instance.central.write(|db| Ok::<_, Error>(db.execute("DELETE FROM workspaces", [])?)).unwrap();
        }
        if is_at_root(route) {
            return;
        }
        let answer = send(layer, route, &owner(server, layer), &path, body);
        done(route, &answer);

        let method = route.method.as_str().to_ascii_lowercase();
        if document["paths"].get(route.path).is_none() {
            // Pages are not part of the OpenAPI document.
            let audience = router().find(layer, route.path).unwrap().audience;
            assert_eq!(audience, Audience::People, "{} is not described", route.path);
            return;
        }
        let reply = &document["paths"][route.path][method]["responses"][answer.status.as_str()];
        assert!(reply.is_object(), "{} {path} does not describe {}", route.method, answer.status);
        let schema = &reply["content"]["application/json"]["schema"];
        if schema.is_object() {
            let whole = json!({"$ref": "#/schema", "schema": schema, "components": document["components"]});
            let validator = jsonschema::validator_for(&whole).unwrap();
            let problems: Vec<String> = validator.iter_errors(&answer.json()).map(|error| error.to_string()).collect();
            assert!(problems.is_empty(), "{} {path}: {problems:?} in {}", route.method, answer.text);
        }
    });
}

/// A change responds with the same tag as a later read, and the tag from before is stale.
#[test]
fn a_change_has_the_tag_of_what_it_made() {
    let router = router();
    let mut tagged = 0;
    walk(|server, layer, route| {
        let Some(shows) = router.show_route(layer, route).filter(|_| route.has_preconditions()) else { return };
        let Sample { path, body } = sample(server, layer, route);
        let shown = path.split('?').next().unwrap().split('/').take(shows.path.split('/').count());
        let shown = shown.collect::<Vec<_>>().join("/");
        let caller = owner(server, layer);
        let tag = |answer: &TestResponse| answer.headers.get(ETAG).map(|tag| tag.to_str().unwrap().to_owned());
        let before = tag(&caller.get(if route.changes.is_some() { &shown } else { &path })).unwrap();
        let send = |tag: &str| caller.with_header("If-Match", tag).send(route.method.clone(), &path, body.clone());
        send("\"another\"").rejected(412, "stale_write");
        let changed = send(&before);
        done(route, &changed);
        if route.method == Method::PUT {
            assert_eq!(route.handler.resource(), shows.handler.resource(), "{path} answers another shape");
            assert_eq!(tag(&changed), tag(&caller.get(&path)), "{path}");
            assert_ne!(tag(&changed).unwrap(), before, "{path}");
        }
        tagged += 1;
    });
    assert!(tagged > 10, "{tagged}");
}

/// Each operation of both layers, with its document.
fn operations() -> Vec<(Value, &'static str, Value)> {
    let mut all = Vec::new();
    for layer in [Layer::Central, Layer::Workspace] {
        let document = description(layer);
        for route in router().routes(layer) {
            let operation = document["paths"][route.path][route.method.as_str().to_ascii_lowercase()].clone();
            if operation.is_object() {
                all.push((document.clone(), route.method.as_str(), operation));
            }
        }
    }
    all
}

/// Verbs that a summary may begin with. Add one only if none of these fits.
const VERBS: &[&str] = &[
    "Accept",
    "Add",
    "Approve",
    "Ask",
    "Cancel",
    "Change",
    "Check",
    "Choose",
    "Compare",
    "Complete",
    "Create",
    "Decline",
    "Delete",
    "Deny",
    "Dismiss",
    "Download",
    "Export",
    "Fix",
    "Get",
    "Import",
    "Introspect",
    "Invite",
    "Journal",
    "List",
    "Log",
    "Look",
    "Merge",
    "Move",
    "Read",
    "Record",
    "Redirect",
    "Register",
    "Remove",
    "Rename",
    "Replace",
    "Replay",
    "Request",
    "Resend",
    "Resolve",
    "Restore",
    "Resume",
    "Revoke",
    "Rotate",
    "Run",
    "Search",
    "Send",
    "Set",
    "Show",
    "Sign",
    "Stream",
    "Summarize",
    "Suspend",
    "Transfer",
    "Undo",
    "Upload",
    "Verify",
];

#[test]
fn every_summary_begins_with_a_verb() {
    let router = router();
    let of_layers = [Layer::Central, Layer::Workspace].into_iter().flat_map(|layer| router.routes(layer));
    for route in router.root_routes().chain(of_layers) {
        let first = route.summary.split([' ', ':']).next().unwrap_or_default();
        assert!(VERBS.contains(&first), "{} {}: {:?}", route.method, route.path, route.summary);
    }
}

#[test]
fn no_public_text_is_a_riddle() {
    let opens_well = |text: &str| {
        let first = text.split(|letter: char| !letter.is_alphabetic()).next().unwrap_or_default().to_lowercase();
        !["what", "who", "whose"].contains(&first.as_str())
    };
    for layer in [Layer::Central, Layer::Workspace] {
        for resource in router().resources(layer) {
            assert!(opens_well(resource.about), "{}: {:?}", resource.name, resource.about);
        }
        let document = description(layer);
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                let text = schema["description"].as_str().unwrap_or_default();
                assert!(!text.trim().is_empty(), "{name}.{field} has no description");
                assert!(opens_well(text), "{name}.{field}: {text:?}");
            }
        }
    }
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    for layer in [Layer::Central, Layer::Workspace] {
        let document = description(layer);
        let paths = document["paths"].as_object().unwrap();
        let ids = paths.values().flat_map(|path| path.as_object().unwrap().values());
        let mut names = HashSet::new();
        for id in ids.map(|operation| operation["operationId"].as_str().unwrap()) {
            assert!(id.starts_with(|letter: char| letter.is_ascii_lowercase()), "{id}");
            assert!(id.chars().all(|letter| letter.is_ascii_alphanumeric()), "{id}");
            assert!(names.insert(id.to_owned()), "two operations are named {id}");
        }
        assert!(names.len() > 30);
    }
}

/// Generated clients would send a default with every change, and reset fields that their user did not set.
#[test]
fn no_body_has_a_default_and_no_change_a_required_field() {
    fn defaults(document: &Value, schema: &Value) -> bool {
        let schema = openapi::resolve(document, schema);
        match schema {
            Value::Object(parts) => {
                parts.contains_key("default") || parts.values().any(|part| defaults(document, part))
            }
            Value::Array(parts) => parts.iter().any(|part| defaults(document, part)),
            _ => false,
        }
    }
    let mut changes = 0;
    for (document, method, operation) in operations() {
        let content = operation["requestBody"]["content"].as_object();
        for schema in content.into_iter().flatten().map(|(_, content)| &content["schema"]) {
            assert!(!defaults(&document, schema), "{}", operation["operationId"]);
            if method == "PUT" {
                assert_eq!(openapi::resolve(&document, schema).get("required"), None, "{}", operation["operationId"]);
                changes += 1;
            }
        }
    }
    assert!(changes > 20, "{changes}");
}

#[test]
fn every_body_has_an_example_that_fits_its_schema() {
    for (document, _, operation) in operations() {
        let Some(body) = operation["requestBody"]["content"].get("application/json") else { continue };
        let id = &operation["operationId"];
        assert!(body.get("example").is_some(), "{id} has no example");
        let whole = json!({"$ref": "#/schema", "schema": body["schema"], "components": document["components"]});
        let validator = jsonschema::validator_for(&whole).unwrap();
        let problems: Vec<String> = validator.iter_errors(&body["example"]).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{id}: {problems:?}");
    }
}

#[test]
fn the_description_is_the_one_that_is_kept() {
    for layer in [Layer::Central, Layer::Workspace] {
        let path = format!("{}/tests/openapi/{}.json", env!("CARGO_MANIFEST_DIR"), layer.name());
        let kept: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert!(
            kept == description(layer),
            "the API has changed; if it is meant to: cargo run -- openapi {name} > tests/openapi/{name}.json",
            name = layer.name()
        );
    }
}

#[test]
fn a_table_in_which_two_rows_answer_the_same_request_is_refused() {
    fn nothing(_: &BlockingCtx<'_>) -> Result<Ok200<bool>> {
        Ok(Ok200(true))
    }
    fn by_id(_: &BlockingCtx<'_>, _: Id) -> Result<Ok200<bool>> {
        Ok(Ok200(true))
    }
    const TWICE: &[Route] =
        &[get("/a", &inline(nothing), Needs::Anyone, "one"), get("/a", &inline(nothing), Needs::Anyone, "two")];
    const AMBIGUOUS: &[Route] =
        &[get("/a/{id}", &inline(by_id), Needs::Anyone, "one"), get("/a/{name}", &inline(by_id), Needs::Anyone, "two")];
    const LITERAL_WINS: &[Route] =
        &[get("/a/{id}", &inline(by_id), Needs::Anyone, "one"), get("/a/b", &inline(nothing), Needs::Anyone, "two")];
    let router = |routes| Router::new(&[Resource::new("a", "", routes)], &[]);
    assert!(router(TWICE).is_err());
    assert!(router(AMBIGUOUS).is_err());
    let router = router(LITERAL_WINS).unwrap();
    let found = router.find(Layer::Central, "/a/b").unwrap().route(&Method::GET).unwrap();
    assert_eq!(found.summary, "two");
}

/// Identifying a caller reads a file, which must not happen on a connection's thread.
#[test]
fn what_is_answered_at_once_asks_for_nobody() {
    walk(|_, _, route| {
        if route.handler.executor() == Executor::Inline {
            assert_eq!(route.needs, Needs::Anyone, "{}", route.path);
        }
    });
}

#[test]
fn every_permission_that_a_route_needs_is_in_the_catalogue() {
    walk_workspace(|_, route| {
        if let Some(permission) = route.needs.permission() {
            assert!(permission_catalog::is_known(permission), "{}: {permission}", route.path);
        }
    });
}

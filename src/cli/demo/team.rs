//! The people and programs of the demo: users, roles, an invitation, a key, a client, a webhook with its deliveries.
//! All of it comes from requests to the API, as its account would send them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};

use anyhow::anyhow;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use super::SUBDOMAIN;
use crate::api::{
    Address, Audience, BlockingCtx, BodyKind, Error, InnerRequest, Layer, Needs, Request, Result, Router,
};
use crate::auth::{Caller, Credential, Origin, SignInMethod, TokenInUse, TokenKind, TokenScope};
use crate::central::accounts;
use crate::instance::Instance;
use crate::tenancy::members;
use crate::values::{Email, Name, Password, Timestamp};
use crate::workspace::webhook_deliveries::{self, DeliveryOutcome};

/// Colleagues of the demo's account: name, email address, extension, mobile phone and role.
const COLLEAGUES: [(&str, &str, &str, &str, &str); 2] = [
    ("Hugo Bernard", "hugo.bernard@example.com", "202", "06 12 34 56 02", "manager"),
    ("Inès Moreau", "ines.moreau@example.com", "203", "06 12 34 56 03", "agent"),
];

/// Contacts that the colleagues changed. Each change is delivered to the webhook.
const CHANGED: i64 = 12;

/// Sends requests to the API of the demo's workspace.
struct Api<'a> {
    instance: &'a Arc<Instance>,
    request: Arc<Request>,
}

impl Api<'_> {
    fn send(&self, inner: InnerRequest) -> Result<Value> {
        let ctx = BlockingCtx {
            instance: self.instance,
            caller: &Caller::Anonymous,
            now: self.request.now,
            request: &self.request,
        };
        Ok(ctx.send(inner)?.body)
    }

    fn post(&self, path: &'static str, body: Value) -> Result<Value> {
        self.send(InnerRequest::post(path, body))
    }
}

/// A request of an account to a workspace, as the frame of other requests.
fn request_of(instance: &Arc<Instance>, router: Router, workspace: Uuid, account_id: i64, now: Timestamp) -> Request {
    let token = TokenInUse {
        id: 0,
        account_id,
        scope: TokenScope::Workspace(workspace),
        kind: TokenKind::SESSION,
        label: "demo".into(),
        expires_at: now.plus(3600),
        operator: false,
        method: SignInMethod::default(),
        second_factor: false,
        last_used: AtomicI64::new(now.seconds()),
    };
    let (authority, prefix, path) = (format!("{SUBDOMAIN}.localhost"), String::new(), String::new());
    Request {
        instance: Arc::clone(instance),
        router: Arc::new(router),
        method: Method::POST,
        route_path: "",
        needs: Needs::Principal,
        accepts: BodyKind::None,
        has_form_key: false,
        audience: Audience::Programs,
        layer: Layer::Workspace,
        path_values: Vec::new(),
        query: String::new(),
        body: Bytes::new(),
        form: None,
        sent_as: None,
        headers: HeaderMap::new(),
        credential: Credential::Token(Arc::new(token)),
        workspace: Some(instance.registry.lease(workspace)),
        address: Address { scheme: "http", authority, prefix, path },
        time_zone: OnceLock::new(),
        workspace_language: OnceLock::new(),
        texts_indexed: OnceLock::new(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        id: Uuid::now_v7(),
        now,
    }
}

/// Fills a workspace that has data but no team.
pub fn fill(
    instance: &Arc<Instance>,
    router: Router,
    workspace: Uuid,
    account_id: i64,
    now: Timestamp,
) -> anyhow::Result<()> {
    let request = Arc::new(request_of(instance, router, workspace, account_id, now));
    let api = Api { instance, request };
    let role = api.post(
        "/roles",
        json!({"name": "Comptabilité", "permissions": ["customer.view", "customer.update", "contact.view"]}),
    )?;
    for (name, email, extension, mobile, role) in COLLEAGUES {
        let user = join(instance, workspace, name, email, role, now)?;
        let change = json!({"extension": extension, "mobile_phone": mobile, "pops": "mine"});
        api.send(InnerRequest::put("/users/{id}", change).at(user))?;
    }
    api.post(
        "/user-invites",
        json!({"name": "Nadia Benali", "email": "nadia.benali@example.com", "role_id": role["id"]}),
    )?;
    api.post("/integration-keys", json!({"name": "Import du CRM", "permissions": ["customer.*", "contact.*"]}))?;
    api.post(
        "/oauth-clients",
        json!({
            "name": "3CX", "redirect_uris": ["https://pbx.example.com/oauth2callback"],
            "grants": ["authorization_code"], "scopes": ["client", "crm"],
        }),
    )?;
    for (name, kind, city) in [("Acme Télécom SAS", "SAS", "Paris"), ("Acme Services SARL", "SARL", "Lyon")] {
        api.post(
            "/organisations",
            json!({
                "name": name, "organisation_type": kind, "capital": "10 000 EUR", "main_address_city": city,
                "main_address_country": "France",
            }),
        )?;
    }
    deliveries(&api, now)?;
    Ok(())
}

/// Makes a person a member of the workspace. Nobody knows the password.
fn join(
    instance: &Arc<Instance>,
    workspace: Uuid,
    name: &'static str,
    email: &'static str,
    role: &'static str,
    now: Timestamp,
) -> anyhow::Result<i64> {
    let password = Password::parse(crate::auth::secret::random()?).map_err(|said| anyhow!(said))?;
    let address: Email = email.parse().map_err(|said: String| anyhow!(said))?;
    let named = Name::parse(name.to_owned()).map_err(|said| anyhow!(said))?;
    let account = match instance.central.password_by_email(email)? {
        Some((account, _)) => account,
        None => accounts::create(instance, named, address, &password, false, &Origin::system(now))?,
    };
    let account_id = account.id;
    instance.central.save_membership(account_id, workspace, role, now)?;
    let recorder = instance.system_recorder(workspace, now);
    let user = instance.registry.lease(workspace).file().write(move |db| {
        let role = members::role_named(db, role)?.ok_or_else(|| Error::Internal(format!("no role {role}")))?;
        members::add(db, &recorder, account_id, name, email, role)?;
        let user = members::of_account(db, account_id)?;
        user.map(|user| user.id).ok_or_else(|| Error::Internal("the user was not added".into()))
    })?;
    Ok(user)
}

/// Creates a webhook and its deliveries: most were received, some failed. Nothing is sent.
fn deliveries(api: &Api<'_>, now: Timestamp) -> Result<()> {
    let webhook = api.post("/webhooks", json!({"url": "https://crm.acme.example/hooks", "events": ["contact.*"]}))?;
    for id in 1..=CHANGED {
        let change = json!({"comment": format!("Rappelé le {}.", now.plus(-id * 86_400).date())});
        api.send(InnerRequest::put("/contacts/{id}", change).at(id))?;
    }
    let webhook_id = webhook["id"].as_i64().unwrap_or_default();
    api.request.file().write(move |db| {
        for number in 0..CHANGED {
            let Some(due) = webhook_deliveries::next_due(db, webhook_id, now)? else { break };
            let failed = number % 5 == 3;
            let outcome = DeliveryOutcome {
                status: Some(if failed { 503 } else { 204 }),
                body: failed.then(|| "Service Unavailable".into()),
                error: failed.then(|| "The receiver responded with 503.".into()),
            };
            // A message that failed has no try left.
            for _ in 0..if failed { webhook_deliveries::MOST_TRIES } else { 1 } {
                webhook_deliveries::record_outcome(db, due.id, &outcome, now)?;
            }
        }
        Ok(())
    })
}

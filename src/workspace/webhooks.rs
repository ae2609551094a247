//! Webhooks: URLs that are notified of changes by signed messages (Standard Webhooks 1.0).

use std::sync::Arc;

use rusqlite::Connection;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::webhook_deliveries;
use crate::api::crud::{list, show};
use crate::api::entity::{Entity, entity};
use crate::api::resource::{MANAGER, MANAGER_AND_AGENT, PermissionGroup, Resource, Section, action};
use crate::api::resource_view::{ResourceView, Widget, button, group, label, quick_filter, related};
use crate::api::{
    BlockingCtx, CallerScope, Changes, Ctx, Done, Error, Id, Json, Needs, Result, Route, Saved, blocking, delete,
    entity_rows, get, post, put, require_grantable, run,
};
use crate::auth::{Permissions, Principal, SigningSecret};
use crate::central::quotas::Quotas;
use crate::storage::Stored;
use crate::tenancy::journal::{self, Recorded, VERBS};
use crate::values::{WebUrl, distinct, is_public, stored_as_json};

pub const RESOURCE: Resource =
    Resource::new("Webhooks", "URLs that are notified of changes by signed messages (Standard Webhooks 1.0).", ROUTES)
        .section(Section::Integrations)
        .permissions(&PERMISSIONS)
        .entity::<Webhook>()
        .more_fields(&[webhook_deliveries::FIELDS])
        .view(VIEW);

const VIEW: ResourceView = ResourceView {
    title: &["url"],
    columns: &["url", "events", "active", "updated_at"],
    groups: &[
        group("Webhook", "Webhook", &["url", "active", "secret", "secret_last_four"]),
        group("Events", "Événements", &["events"]),
    ],
    widgets: &[("url", Widget::Url), ("events", Widget::Events), ("secret", Widget::Secret)],
    help: &[
        (
            "secret",
            label(
                "Signs the messages. Leave it empty to get a random one, or to keep the present one.",
                "Signe les messages. Laissez vide pour en obtenir un au hasard, ou pour garder le secret actuel.",
            ),
        ),
        (
            "url",
            label(
                "The server posts a message there at each event.",
                "Le serveur y envoie un message à chaque événement.",
            ),
        ),
    ],
    quick_filters: &[
        quick_filter("Active", "Actifs", "filter[active]=true"),
        quick_filter("Disabled", "Désactivés", "filter[active]=false"),
    ],
    related: &[related("Deliveries", "Envois", "/webhooks/{id}/deliveries", "")],
    affected_by_delete: &[related("deliveries are deleted", "envois sont supprimés", "/webhooks/{id}/deliveries", "")],
    buttons: &[button(
        "test",
        label("Send a test", "Envoyer un essai"),
        label(
            "A message with the event webhook.test is sent to the URL.",
            "Un message avec l’événement webhook.test est envoyé à l’URL.",
        ),
    )],
    purpose: label(
        "A webhook tells another program about changes as they happen.",
        "Un webhook informe un autre programme des changements dès qu’ils se produisent.",
    ),
    singular: label("webhook", "un webhook"),
    secret: Some("secret"),
    ..ResourceView::DERIVED
};

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "webhook",
    actions: &[
        action("view", "see webhooks", "voir les webhooks", MANAGER_AND_AGENT),
        action("create", "create webhooks", "créer des webhooks", MANAGER),
        action("update", "change webhooks", "modifier les webhooks", MANAGER),
        action("delete", "delete webhooks", "supprimer des webhooks", MANAGER),
    ],
};

const ROUTES: &[Route] = &[
    get("/webhooks", &run(list::<Webhook>), Needs::Permission("webhook.view"), "List webhooks"),
    get("/webhooks/{id}", &run(show::<Webhook>), Needs::Permission("webhook.view"), "Show a webhook"),
    post(
        "/webhooks",
        &blocking(create),
        Needs::Permission("webhook.create"),
        "Create a webhook; its secret is shown only once",
    ),
    put("/webhooks/{id}", &run(update), Needs::Permission("webhook.update"), "Change a webhook, or disable it"),
    delete("/webhooks/{id}", &run(remove), Needs::Permission("webhook.delete"), "Delete a webhook and its deliveries"),
    post(
        "/webhooks/{id}/test",
        &run(webhook_deliveries::test),
        Needs::Permission("webhook.update"),
        "Send a test message to a webhook",
    )
    .named("testWebhook"),
];

entity! {
    /// A URL that is notified of changes.
    #[derive(Debug, Clone, Serialize, JsonSchema)]
    pub struct Webhook in "webhooks" {
        /// URL that messages are posted to.
        pub url: WebUrl => text.sorted_by("fold(url)"), "URL", "URL";
        /// Events to deliver, for example `customer.created`, `contact.*` or `*`.
        pub events: Events => stored, "Events", "Événements";
        /// Whether messages are sent. A webhook whose receiver responds with 410 is disabled.
        pub active: bool => flag, "Active", "Actif";
        /// Last four characters of the secret, to tell secrets apart.
        #[serde(rename = "secret_last_four", serialize_with = "last_four")]
        #[schemars(with = "String")]
        secret: SigningSecret => stored.named("secret_last_four"), "Secret", "Secret";
    }
    recorded: &Recorded::new("webhook", Some("webhook.view")), permissions: "webhook", scope: CallerScope;
}

impl Entity for Webhook {}

/// A webhook together with its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WebhookShown {
    #[serde(flatten)]
    known: Webhook,
    /// Secret that signs the messages (Standard Webhooks). It is shown only in this response.
    secret: SigningSecret,
}

/// A webhook to create or change.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewWebhook {
    /// `http` or `https` URL that messages are posted to. It must not lead into the server's own network.
    url: WebUrl,
    /// Events to deliver, for example `customer.created`, `contact.*` or `*`.
    events: Events,
    /// Secret that signs the messages. If absent, a new webhook gets a random one, and a change keeps the old one.
    secret: Option<SigningSecret>,
    /// Whether messages are sent.
    active: bool,
}

/// The events of a webhook: at least one of `customer.created`, `contact.*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Events(Vec<String>);

/// The central file comes first: a stale entry is harmless, a missing entry loses deliveries.
fn create(ctx: &BlockingCtx<'_>, Json(new): Json<NewWebhook>) -> Result<Saved<WebhookShown>> {
    new.check(ctx.instance.config.private_webhooks)?;
    require_grantable(ctx.principal()?, [&new.events.permissions()])?;
    let (recorder, lease) = (ctx.recorder()?, ctx.request.workspace()?);
    let workspace = lease.id();
    ctx.instance.central.add_webhook_workspace(workspace)?;
    let (file, quotas) = (Arc::clone(lease.file()), Quotas::of(ctx.request));
    file.write(move |db| {
        quotas.check_webhooks(db)?;
        let secret = new.secret.clone().map_or_else(SigningSecret::random, Ok)?;
        let webhook = Webhook {
            id: 0,
            url: new.url.clone(),
            events: new.events.clone(),
            active: new.active,
            secret: secret.clone(),
            created_at: recorder.at,
            updated_at: recorder.at,
        };
        let webhook = entity_rows::add(db, &recorder, webhook)?;
        Ok(Saved(WebhookShown { known: webhook, secret }))
    })
}

/// A caller who changes the URL or the events could read the messages. So the caller needs the permissions for the old
/// and the new events.
fn update(ctx: &mut Ctx<'_>, Id(id): Id, changes: Changes<NewWebhook>) -> Result<Saved<Webhook>> {
    let old = find(ctx.db, id)?;
    let new = changes.apply(&NewWebhook {
        url: old.url.clone(),
        events: old.events.clone(),
        secret: None,
        active: old.active,
    })?;
    new.check(ctx.request.instance.config.private_webhooks)?;
    require_grantable(ctx.principal()?, [&old.events.permissions(), &new.events.permissions()])?;
    let webhook = Webhook {
        id,
        url: new.url,
        events: new.events,
        active: new.active,
        secret: new.secret.unwrap_or_else(|| old.secret.clone()),
        created_at: old.created_at,
        updated_at: ctx.now,
    };
    let recorder = ctx.recorder()?;
    if webhook.active && !old.active {
        recorder.pending.add(recorder.workspace);
    }
    entity_rows::rewrite(ctx.db, &recorder, &old, webhook).map(Saved)
}

fn remove(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    let webhook = find(ctx.db, id)?;
    webhook.check_touch(ctx.principal()?)?;
    entity_rows::delete(ctx.db, &ctx.recorder()?, &webhook)?;
    Ok(Done)
}

impl Webhook {
    /// Checks that the caller may change the webhook or trigger a message to it.
    pub fn check_touch(&self, caller: &Principal) -> Result<()> {
        require_grantable(caller, [&self.events.permissions()])
    }

    /// A disabled webhook gets no messages, not even on request.
    pub fn check_active(&self) -> Result<()> {
        if self.active {
            return Ok(());
        }
        Err(Error::rejected("webhook_inactive", "The webhook is disabled. Enable it first."))
    }
}

pub fn find(db: &Connection, id: i64) -> Result<Webhook> {
    Webhook::find(db, id)?.ok_or_else(Error::not_found)
}

/// Disables a webhook whose receiver wants no more messages.
pub fn deactivate(db: &Connection, recorder: &journal::ChangeRecorder, id: i64) -> Result<()> {
    let Some(old) = Webhook::find(db, id)?.filter(|webhook| webhook.active) else { return Ok(()) };
    let webhook = Webhook { active: false, updated_at: recorder.at, ..old.clone() };
    entity_rows::rewrite(db, recorder, &old, webhook).map(|_| ())
}

fn last_four<S: Serializer>(secret: &SigningSecret, output: S) -> Result<S::Ok, S::Error> {
    output.serialize_str(secret.last_four())
}

impl NewWebhook {
    fn check(&self, private: bool) -> Result<()> {
        let url = url::Url::parse(&self.url).map_err(|error| Error::Internal(error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::invalid("The url may not hold a user or a password."));
        }
        let address = match url.host() {
            Some(url::Host::Ipv4(address)) => Some(address.into()),
            Some(url::Host::Ipv6(address)) => Some(address.into()),
            _ => None,
        };
        if address.is_some_and(|address| !private && !is_public(address)) {
            return Err(Error::invalid("The url may not lead to a private address."));
        }
        Ok(())
    }
}

impl Default for NewWebhook {
    fn default() -> Self {
        Self { url: WebUrl::default(), events: Events::default(), secret: None, active: true }
    }
}

/// The resources whose changes are announced, each with the permission to see it.
fn announced() -> impl Iterator<Item = (&'static str, &'static str)> {
    super::recorded()
        .filter(|recorded| recorded.is_announced)
        .filter_map(|recorded| Some((recorded.name, recorded.view?)))
}

impl Events {
    /// All events that a webhook can subscribe to.
    fn all() -> impl Iterator<Item = String> {
        let of = |(resource, _)| VERBS.iter().chain(&["*"]).map(move |verb| format!("{resource}.{verb}"));
        std::iter::once("*".to_owned()).chain(announced().flat_map(of))
    }

    /// The permissions that a caller needs to see these events.
    fn permissions(&self) -> Permissions {
        Permissions::of(announced().filter_map(|(resource, permission)| {
            let includes =
                |wanted: &String| VERBS.iter().any(|verb| journal::matches(wanted, &format!("{resource}.{verb}")));
            self.0.iter().any(includes).then_some(permission)
        }))
    }
}

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let events: Vec<WebhookEvent> = distinct(input)?;
        if events.is_empty() {
            return Err(de::Error::custom("field is required."));
        }
        Ok(Self(events.into_iter().map(|WebhookEvent(event)| event).collect()))
    }
}

/// A single event, so that an error names the position of an unknown one in the list.
#[derive(PartialEq)]
struct WebhookEvent(String);

impl<'de> Deserialize<'de> for WebhookEvent {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let event = String::deserialize(input)?;
        if Events::all().any(|known| known == event) {
            Ok(Self(event))
        } else {
            Err(de::Error::custom("unknown event"))
        }
    }
}

impl JsonSchema for Events {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Events".into()
    }

    /// Responses are not restricted to known events: a later version may add some.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            return json_schema!({"type": "array", "items": {"type": "string"}, "examples": [["customer.created"]]});
        }
        let all: Vec<String> = Self::all().collect();
        json_schema!({
            "type": "array", "minItems": 1, "items": {"type": "string", "enum": all},
            "description": "Events to deliver.", "examples": [["customer.created", "contact.*"]]
        })
    }
}

stored_as_json!(Events);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::{TestClient, TestServer};

    fn made(client: &TestClient<'_>, events: &[&str]) -> Value {
        client.post("/webhooks", json!({"url": "https://example.com/hook", "events": events})).created()
    }

    #[test]
    fn a_webhook_is_answered_whole_and_its_secret_is_shown_once() {
        let server = TestServer::new();
        let mut made = made(&server.admin(), &["customer.created", "contact.*", "contact.*"]);
        let secret = made.as_object_mut().unwrap().remove("secret").unwrap();
        assert!(secret.as_str().unwrap().parse::<SigningSecret>().is_ok());
        assert_eq!((&made["events"], &made["active"]), (&json!(["customer.created", "contact.*"]), &json!(true)));
        assert_eq!(server.admin().get("/webhooks/1").ok(), made);
        assert_eq!(server.admin().get("/webhooks").ok()["data"], json!([made]));
        let changed = server.admin().put("/webhooks/1", json!({"active": false, "events": ["*"]})).created();
        assert_eq!(
            (&changed["active"], &changed["events"], &changed["url"]),
            (&json!(false), &json!(["*"]), &made["url"])
        );
        assert_eq!(changed.get("secret"), None);
        server.admin().delete("/webhooks/1").ok();
        server.admin().get("/webhooks/1").rejected(404, "not_found");
        server.admin().get("/webhooks/1/deliveries").rejected(404, "not_found");
    }

    #[test]
    fn a_secret_may_be_brought_and_changed() {
        let server = TestServer::new();
        let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = json!({"url": "https://example.com/", "events": ["*"], "secret": own});
        assert_eq!(server.admin().post("/webhooks", body).created()["secret"], own);
        let kept = |server: &TestServer| {
            server.in_file(|db| Ok(db.query_row("SELECT secret FROM webhooks", [], |row| row.get::<_, String>(0))?))
        };
        server.admin().put("/webhooks/1", json!({"url": "https://example.com/other"})).created();
        assert_eq!(kept(&server), own);
        let other = own.replace("LaSw", "LbSw");
        let changed = server.admin().put("/webhooks/1", json!({"secret": other})).created();
        assert_eq!((kept(&server), &changed["secret_last_four"]), (other, &json!("LbSw")));
    }

    #[test]
    fn what_is_not_as_it_should_be_is_refused() {
        let server = TestServer::new();
        let good = json!({"url": "https://example.com/", "events": ["*"]});
        server.admin().post("/webhooks", good.clone()).created();
        for (change, says) in [
            (json!({"url": null}), "The url field is required."),
            (json!({"url": "ftp://example.com/"}), "The url must be an absolute http or https URL."),
            (json!({"url": "https://ada:secret@example.com/"}), "The url may not hold a user or a password."),
            (json!({"url": "http://127.0.0.1:8080/"}), "The url may not lead to a private address."),
            (json!({"events": []}), "The events field is required."),
            (json!({"events": ["customer.created", "customer.painted"]}), "The selected events 1 is invalid."),
            (json!({"events": ["role.created"]}), "The selected events 0 is invalid."),
            (json!({"events": "*"}), "The events must be a list."),
            (json!({"secret": "short"}), "The secret must be whsec_ and 24 to 64 bytes in base64."),
            (json!({"active": 2}), "The active must be true or false."),
        ] {
            let mut body = good.clone();
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            server.admin().post("/webhooks", body).invalid(&[says]);
            server.admin().put("/webhooks/1", change).invalid(&[says]);
        }
        assert_eq!(server.admin().get("/webhooks").ok()["total"], 1);
    }

    #[test]
    fn nobody_is_told_what_they_may_not_see() {
        let server = TestServer::new();
        let limited = server.with_only(&["webhook.*", "customer.view"]);
        made(&limited, &["customer.*"]);
        for events in [json!(["contact.created"]), json!(["customer.created", "*"])] {
            let body = json!({"url": "https://example.com/", "events": events});
            limited.post("/webhooks", body.clone()).rejected(403, "missing_permission");
            limited.put("/webhooks/1", body).rejected(403, "missing_permission");
        }
        // A caller cannot redirect events that they may not see to their own URL.
        made(&server.admin(), &["contact.*"]);
        limited.put("/webhooks/2", json!({"url": "https://evil.example.com/"})).rejected(403, "missing_permission");
        server.admin().post("/contacts", json!({"last_name": "B"})).created();
        limited.get("/webhooks/2/deliveries").ok();
        limited.get("/webhooks/2/deliveries/1").rejected(403, "missing_permission");
        assert_eq!(server.admin().get("/webhooks/2/deliveries/1").ok()["body"]["data"]["last_name"], "B");
        server.admin().get("/webhooks/1/deliveries/1").rejected(404, "not_found");
    }

    #[test]
    fn what_happens_while_a_webhook_is_off_is_not_told_later() {
        let server = TestServer::new();
        made(&server.admin(), &["*"]);
        server.admin().put("/webhooks/1", json!({"active": false})).created();
        server.admin().post("/customers", json!({"name": "A"})).created();
        server.admin().put("/webhooks/1", json!({"active": true})).created();
        server.admin().post("/customers", json!({"name": "B"})).created();
        let told = server.admin().get("/webhooks/1/deliveries").ok();
        assert_eq!((&told["total"], &told["data"][0]["status"]), (&json!(1), &json!("pending")));
    }
}
